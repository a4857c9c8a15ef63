//! Payment channels: unidirectional, cumulative, with lanes, vouchers and ticks.

pub mod adjudicator;
pub mod fault;
pub mod gate;
mod journal;
pub mod log;
pub mod message;
pub mod output;
pub mod payee;
pub mod payer;
pub mod store;
pub mod vault;
pub mod watcher;

pub use adjudicator::{Channel, ChannelError, ChannelParams};
pub use fault::{Disposition, Fault};
pub use gate::{Durable, Gated};
pub use journal::RecordError;
pub use log::{Damage, Log};
pub use message::{Message, MessageError};
pub use output::{Event, Output, Request, Session, ToSign};
pub use payee::{Payee, PayeeConfig, PayeePhase};
pub use payer::{Payer, PayerConfig, PayerPhase};
#[cfg(feature = "fs")]
pub use store::FileChannelStore;
pub use store::{ChannelStore, MemoryChannelStore, StoreError};
pub use vault::{Vault, VaultError};
pub use watcher::{Client, Watcher, WatcherConfig};
