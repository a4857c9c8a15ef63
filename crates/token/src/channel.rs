//! Payment channels: unidirectional, cumulative, with lanes, vouchers and ticks.

pub mod adjudicator;
pub mod fault;
pub mod gate;
pub mod message;
pub mod output;
pub mod payee;
pub mod payer;
pub mod vault;

pub use adjudicator::{Channel, ChannelError, ChannelParams};
pub use fault::{Disposition, Fault};
pub use gate::{Durable, Gated};
pub use message::{Message, MessageError};
pub use output::{Event, Output, Request, Session, ToSign};
pub use payee::{Payee, PayeeConfig, PayeePhase};
pub use payer::{Payer, PayerConfig, PayerPhase, RecordError};
pub use vault::{Vault, VaultError};
