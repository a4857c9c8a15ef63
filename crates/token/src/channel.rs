//! Payment channels: unidirectional, cumulative, with lanes, vouchers and ticks.

pub mod adjudicator;
pub mod gate;
pub mod message;
pub mod tick;
pub mod vault;
pub mod voucher;

pub use adjudicator::{Channel, ChannelError, ChannelParams};
pub use gate::{Durable, Gated};
pub use message::{Message, MessageError};
pub use tick::{Tick, TickChain, TickCursor};
pub use vault::{Vault, VaultError};
pub use voucher::{Claim, CloseStatement, SignedVoucher, Voucher, VoucherError};
