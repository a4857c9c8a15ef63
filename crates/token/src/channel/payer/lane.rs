//! A lane of the payer's: the last voucher, and how far its chain is revealed.

use crate::channel::message::MAX_REARMED;
use crate::ids::UpdateId;
use crate::tick::{Tick, TickChain};
use crate::units::Units;
use crate::voucher::Voucher;
use unchoke_core::Seed;

/// What a payer knows of a lane.
pub(super) struct PayerLane {
    /// The last one.
    pub(super) voucher: Voucher,
    /// Its record.
    pub(super) written_by: UpdateId,
    /// What can be claimed by vouchers before this one.
    floor: Units,
    /// Ticks that have gone out.
    pub(super) revealed: u32,
    /// Ticks that count as spent after a crash.
    pub(super) reserved: u32,
    /// The record of that.
    pub(super) reserved_by: UpdateId,
    /// Ticks that are durable at the payee.
    pub(super) acked: u32,
    /// The lane's name in the session; `None` until the voucher has gone out there.
    pub(super) alias: Option<u16>,
    /// Whether `revealed` is known, and not only `reserved`.
    is_settled: bool,
    /// Whether the voucher has gone out in the session.
    is_sent: bool,
    /// Vouchers in a row that were worth no more than the one before.
    rearmed: u8,
    chain: Option<TickChain>,
}

impl PayerLane {
    pub(super) const fn new(voucher: Voucher, written_by: UpdateId) -> Self {
        Self {
            voucher,
            written_by,
            floor: Units::ZERO,
            revealed: 0,
            reserved: 0,
            reserved_by: written_by,
            acked: 0,
            alias: None,
            is_settled: true,
            is_sent: false,
            rearmed: 0,
            chain: None,
        }
    }

    /// Another voucher takes the place of the last one.
    pub(super) fn renew(&mut self, voucher: Voucher, written_by: UpdateId) {
        let rearmed = if voucher.base > self.voucher.base { 0 } else { self.rearmed.saturating_add(1) };
        *self = Self { alias: self.alias, rearmed, floor: self.owed(), ..Self::new(voucher, written_by) };
    }

    /// After a start it is not known how much of what is reserved has gone out.
    pub(super) const fn handle_restart(&mut self) {
        self.revealed = self.reserved;
        self.is_settled = false;
    }

    /// In a new session the lane has no name yet, and what has gone out in the last one may not have arrived.
    pub(super) const fn handle_connected(&mut self) {
        self.alias = None;
        (self.is_settled, self.is_sent) = (false, false);
    }

    /// The payee holds this voucher and so many of its ticks.
    pub(super) fn handle_held(&mut self, index: u32) {
        self.revealed = index.min(self.voucher.max_ticks);
        // Further ticks may have gone out, and may be held back.
        self.reserved = self.reserved.max(self.revealed);
        self.is_settled = true;
    }

    /// Its voucher has gone out.
    pub(super) const fn handle_sent(&mut self, alias: u16) {
        self.alias = Some(alias);
        self.is_sent = true;
    }

    /// What can be claimed by vouchers that are not here any more.
    pub(super) fn handle_floor(&mut self, floor: Units) {
        self.floor = self.floor.max(floor);
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    pub(super) const fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// The name under which ticks of the voucher go out.
    pub(super) fn name(&self) -> Option<u16> {
        self.alias.filter(|_| self.is_settled && self.is_sent)
    }

    /// Whether the payee takes no further voucher that is worth no more.
    pub(super) const fn is_idle(&self) -> bool {
        self.rearmed >= MAX_REARMED
    }

    pub(super) const fn floor(&self) -> Units {
        self.floor
    }

    /// What was paid over the channel's life.
    pub(super) fn paid(&self) -> Units {
        self.voucher.value(self.revealed).unwrap_or(self.voucher.base)
    }

    /// The most that can be claimed.
    pub(super) fn owed(&self) -> Units {
        self.voucher.value(self.reserved.max(self.revealed)).unwrap_or(self.voucher.base).max(self.floor)
    }

    /// The link with a number, which does not go out.
    pub(super) fn tick(&mut self, seed: &Seed, index: u32) -> Option<Tick> {
        self.chain(seed)?.tick(index)
    }

    /// The link with a number, which goes out.
    pub(super) fn reveal(&mut self, seed: &Seed, index: u32) -> Option<Tick> {
        let tick = self.chain(seed)?.reveal(index)?;
        self.revealed = index;
        Some(tick)
    }

    fn chain(&mut self, seed: &Seed) -> Option<&mut TickChain> {
        let (voucher, len) = (&self.voucher, self.voucher.max_ticks);
        let chain = self.chain.get_or_insert_with(|| chain(seed, voucher, len));
        // A chain from another seed pays nothing.
        Some(chain).filter(|it| *it.anchor() == self.voucher.anchor)
    }
}

/// The chain of a voucher: the seed, channel, lane and number give it.
pub(super) fn chain(seed: &Seed, voucher: &Voucher, len: u32) -> TickChain {
    let label = format!("ticks {} {} {}", voucher.channel, voucher.lane, voucher.seq);
    TickChain::new(voucher.channel, &seed.derive(&label), len)
}
