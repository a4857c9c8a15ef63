//! Payment channels: unidirectional, cumulative, with lanes, vouchers and ticks.

pub mod adjudicator;
pub mod tick;
pub mod vault;
pub mod voucher;

pub use adjudicator::{Channel, ChannelError, ChannelParams};
pub use tick::{Tick, TickChain, TickCursor};
pub use vault::{Vault, VaultError};
pub use voucher::{Claim, CloseStatement, SignedVoucher, Voucher, VoucherError};
