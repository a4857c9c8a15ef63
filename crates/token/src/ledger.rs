//! A ledger of TRC-10 assets, vaults and channels that whoever runs it cannot bend unseen.

pub mod params;
pub mod record;
pub(crate) mod state;
pub(crate) mod tree;

pub use params::ChainParams;
pub use record::{Account, Asset, Exchange, Totals};
pub use state::Key;
pub use tree::Proof;
