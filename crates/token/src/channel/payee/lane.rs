//! A lane of the payee's: the best that it holds.

use super::short::Short;
use crate::channel::fault::Fault;
use crate::channel::message::MAX_REARMED;
use crate::ids::{ChannelId, Height};
use crate::tick::{Tick, TickCursor};
use crate::units::Units;
use crate::voucher::{Claim, SignedVoucher, Voucher};

/// What a payee holds of a lane.
pub(super) struct PayeeLane {
    pub(super) voucher: Voucher,
    signature: Short<64>,
    /// The last tick that counts.
    last: Tick,
    /// The number of the last tick that is in the log.
    flushed: u32,
    /// What the ledger has been shown.
    pub(super) claimed: Units,
    /// Bytes served, or what else is measured.
    pub(super) served: u64,
    /// Whether its ticks go into the log when their time has come.
    pub(super) is_noted: bool,
    /// Vouchers in a row that were worth no more than the one before.
    rearmed: u8,
}

impl PayeeLane {
    pub(super) fn new(signed: SignedVoucher) -> Self {
        let SignedVoucher { voucher, signature } = signed;
        let (signature, last) = (signature[..].into(), Tick::new(0, voucher.anchor));
        let (claimed, served) = (Units::ZERO, 0);
        Self { voucher, signature, last, flushed: 0, claimed, served, is_noted: false, rearmed: 0 }
    }

    /// A later voucher takes the place of the last one.
    pub(super) fn renew(&mut self, signed: SignedVoucher) {
        let (served, claimed, is_noted) = (self.served, self.claimed, self.is_noted);
        let rearmed = if signed.voucher.base > self.voucher.base { 0 } else { self.rearmed.saturating_add(1) };
        *self = Self { served, claimed, is_noted, rearmed, ..Self::new(signed) };
    }

    /// Takes a tick.
    pub(super) fn accept(&mut self, channel: &ChannelId, tick: Tick) -> Result<(), Fault> {
        let mut cursor = TickCursor::resume(self.last, self.voucher.max_ticks);
        cursor.accept(channel, tick)?;
        self.last = cursor.last();
        Ok(())
    }

    /// A tick is in the log.
    pub(super) fn handle_flushed(&mut self, tick: Tick) {
        if tick.index > self.last.index {
            self.last = tick;
        }
        self.flushed = tick.index;
    }

    /// Whether no further voucher is taken that is worth no more.
    pub(super) const fn is_idle(&self) -> bool {
        self.rearmed >= MAX_REARMED
    }

    pub(super) const fn last_tick(&self) -> Tick {
        self.last
    }

    pub(super) const fn flushed(&self) -> u32 {
        self.flushed
    }

    /// Ticks that are not in the log.
    pub(super) const fn unflushed(&self) -> u32 {
        self.last.index.saturating_sub(self.flushed)
    }

    /// What was paid over the channel's life.
    pub(super) fn value(&self) -> Units {
        // No tick beyond the last one is taken.
        self.voucher.value(self.last.index).unwrap_or(self.voucher.base)
    }

    /// Whether the voucher counts no more at a height.
    pub(super) fn ends_before(&self, height: Height) -> bool {
        self.voucher.not_after != Height::new(0) && self.voucher.not_after < height
    }

    pub(super) fn signed(&self) -> SignedVoucher {
        SignedVoucher::new(self.voucher, self.signature.to_vec())
    }

    pub(super) fn claim(&self) -> Claim {
        Claim::new(self.signed(), Some(self.last_tick()).filter(|tick| tick.index > 0))
    }
}
