#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::disallowed_methods
    )
)]

pub mod address;
pub mod block;
pub mod channel;
pub mod contract;
pub mod history;
pub mod ids;
pub mod ledger;
pub mod policy;
mod proto;
pub mod scheme;
pub mod signer;
pub mod tick;
pub mod transaction;
pub mod units;
pub mod voucher;
#[cfg(feature = "wallet")]
pub mod wallet;

pub use address::Address;
pub use block::{Block, BlockHeader, BlockId, SignedHeader};
pub use contract::Contract;
pub use ids::{AssetId, ChannelId, Height, Lane, LedgerId, SchemeId, Seq, Timestamp, TxId, UpdateId};
pub use proto::DecodeError;
pub use scheme::{Schemes, Verifier};
pub use signer::{KeySigner, Refused, Signable, Signer};
pub use transaction::{SignedTransaction, Transaction};
pub use units::{Rate, Units};
pub use voucher::Voucher;
