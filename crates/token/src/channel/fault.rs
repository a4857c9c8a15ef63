//! What goes wrong between payer and payee, and what to do about it.

use super::adjudicator::ChannelError;
use super::message::MessageError;
use crate::ids::{ChannelId, Height, Lane};
use crate::tick::TickError;
use crate::units::Units;
use crate::voucher::VoucherError;

/// Something that a machine does not do, or that the other side should not have done. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A message is none.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A voucher is none.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
    /// A signature does not fit.
    #[error("bad signature")]
    Signature,
    /// A tick pays nothing.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A message names a lane that was not begun.
    #[error("no lane has the alias {0}")]
    Alias(u16),
    /// There is no such channel here.
    #[error("no channel {0}")]
    UnknownChannel(ChannelId),
    /// There is no such lane here.
    #[error("no lane {0}")]
    UnknownLane(Lane),
    /// A voucher is not later than the one that is here, or owes less than was paid.
    #[error("not better than what is here")]
    Stale,
    /// A voucher ends too soon.
    #[error("the voucher ends too soon")]
    EndsTooSoon,
    /// A total would count too long: nothing could be paid in the meantime.
    #[error("the total counts beyond height {0}")]
    EndsTooLate(Height),
    /// A lane gets voucher after voucher, and none is worth more than the one before.
    #[error("too many vouchers that are worth no more")]
    Idle,
    /// Another session pays through the channel. It keeps the channel until it ends.
    #[error("another session pays through the channel")]
    Busy,
    /// It is more than the channel holds.
    #[error("{need} units needed, {have} there")]
    Funds {
        /// What it would take.
        need: Units,
        /// What there is.
        have: Units,
    },
    /// The lane has no ticks left: it needs a new voucher.
    #[error("{left} ticks left in the lane")]
    Exhausted {
        /// Ticks that are left.
        left: u32,
    },
    /// It does not go with where the channel stands.
    #[error("the channel is {0}")]
    Phase(&'static str),
    /// There are as many lanes as there may be.
    #[error("too many lanes")]
    Lanes,
    /// There are as many channels as there may be, here or of whoever asks.
    #[error("too many channels")]
    Channels,
    /// The other side is not there, or has not told yet what it holds.
    #[error("not connected")]
    Disconnected,
    /// The log cannot be written. Nothing new is issued or taken until it can.
    #[error("the log cannot be written")]
    Frozen,
    /// The log is damaged: claims can be made, nothing can be issued.
    #[error("the log is damaged")]
    Corrupt,
    /// A transaction is not the one that was asked for.
    #[error("not the transaction that was asked for")]
    Transaction,
    /// The ledger's rules do not allow it.
    #[error(transparent)]
    Ledger(#[from] ChannelError),
    /// A sum does not fit.
    #[error("the amount is nothing or too large")]
    Amount,
}

/// What to do about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Disposition {
    /// The other side breaks the protocol: end the session, and count it.
    Strike,
    /// It happens when messages come twice or in another order.
    Ignore,
    /// Tell the other side, and go on without.
    Reply,
    /// Try again when what is missing is there.
    Retry,
    /// Issue nothing any more.
    ReadOnly,
}

impl Fault {
    /// The number under which the other side is told. It does not change between versions.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Message(_) => 1,
            Self::Voucher(_) => 2,
            Self::Signature => 3,
            Self::Tick(_) => 4,
            Self::Alias(_) => 5,
            Self::UnknownChannel(_) => 6,
            Self::UnknownLane(_) => 7,
            Self::Stale => 8,
            Self::EndsTooSoon => 9,
            Self::Funds { .. } => 10,
            Self::Exhausted { .. } => 11,
            Self::Phase(_) => 12,
            Self::Lanes => 13,
            Self::Disconnected => 14,
            Self::Frozen => 15,
            Self::Corrupt => 16,
            Self::Transaction => 17,
            Self::Ledger(_) => 18,
            Self::Amount => 19,
            Self::Channels => 20,
            Self::EndsTooLate(_) => 21,
            Self::Idle => 22,
            Self::Busy => 23,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Tick(TickError::Stale { .. }) | Self::Stale => Disposition::Ignore,
            Self::Message(_) | Self::Voucher(_) | Self::Signature | Self::Tick(_) | Self::Alias(_) | Self::Idle => {
                Disposition::Strike
            }
            Self::Disconnected | Self::Frozen => Disposition::Retry,
            Self::Corrupt => Disposition::ReadOnly,
            _ => Disposition::Reply,
        }
    }
}
