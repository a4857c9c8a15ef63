//! A ledger of TRC-10 assets, vaults and channels that whoever runs it cannot bend unseen.

mod access;
mod embedded;
mod error;
mod execute;
mod follower;
mod genesis;
mod light;
mod machine;
pub mod params;
pub mod record;
mod state;
pub mod store;
mod tree;
mod verified;

pub use access::{Cursor, Ledger, LedgerError, LedgerEvent};
pub use embedded::{EmbeddedLedger, SealError};
pub use error::{ContractError, TxError};
pub use execute::Receipt;
pub use follower::{FollowError, Follower};
pub use genesis::{Genesis, OpenError};
pub use light::Proven;
pub use params::ChainParams;
pub use record::{Account, Asset, Exchange, Totals};
pub use state::Key;
#[cfg(feature = "redb")]
pub use store::RedbLedgerStore;
pub use store::{Batch, LedgerStore, MemoryLedgerStore, StoreError, TakeRecord};
pub use tree::Proof;
pub use verified::VerifiedTransaction;
