//! The ledger's side of a channel: what was put in, what was claimed, and when it ends.
//!
//! ```text
//! Open ──(payer asks)──► Closing { deadline } ──(anybody, from the deadline on)──► Done
//!   └────(payee releases, or both have signed a total)────────────────────────────►┘
//! ```
//!
//! Claims are taken from anybody while it is open or closing, and pay the payee alone. What was claimed of a lane never falls.

use crate::address::{Address, AddressError};
use crate::contract::{ChannelCloseMutual, ChannelOpen, LaneClaim};
use crate::ids::SchemeId;
use crate::ids::{AssetId, ChannelId, Height, Lane, LedgerId};
use crate::scheme::{Check, Schemes};
use crate::tick::Tick;
use crate::units::Units;
use crate::voucher::{Claim, CloseStatement, SignedVoucher, Voucher, VoucherError};
use unchoke_core::hash::sha256;

/// What a ledger asks of channels. Numbers of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChannelParams {
    /// The shortest time for claims after the payer has asked to close. Shorter is quicker for payers and harder for payees who are often away.
    pub min_dispute: u64,
    /// The longest.
    pub max_dispute: u64,
    /// A claim in the last so many blocks of that time makes it longer by as many, once.
    pub extension: u64,
    /// A channel is opened within so many blocks after the height that it names. For as long the ledger remembers those that are done.
    pub open_window: u64,
    /// Lanes of one channel.
    pub max_lanes: usize,
    /// The least deposit.
    pub min_deposit: Units,
}

/// A channel, as the ledger knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    pub(crate) payer: Address,
    pub(crate) payee: Address,
    pub(crate) asset: AssetId,
    pub(crate) deposit: Option<Units>,
    pub(crate) key: VoucherKey,
    pub(crate) opened_at: Height,
    pub(crate) dispute: u64,
    /// By lane, rising.
    pub(crate) lanes: Vec<(Lane, Units)>,
    pub(crate) claimed: Units,
    pub(crate) paid: Units,
    pub(crate) phase: Phase,
}

/// What proves a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum VoucherKey {
    /// Vouchers that this key signs.
    Signed {
        /// The scheme.
        scheme: SchemeId,
        /// The key.
        key: Vec<u8>,
    },
    /// Ticks of one chain alone.
    HashOnly {
        /// Its end.
        anchor: [u8; 32],
        /// What each is worth.
        tick_value: Units,
        /// How many there are.
        max_ticks: u32,
    },
}

/// Where a channel stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Claims are taken.
    Open,
    /// Claims are taken below this height.
    Closing {
        /// From here on it can be finished.
        deadline: Height,
        /// Whether a late claim has put it off.
        is_extended: bool,
    },
    /// Nothing changes any more.
    Done,
}

/// What leaves a channel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Payout {
    /// To the payee. Of a channel without a deposit it comes out of the payer's vault, as far as that has it; [`Channel::settle`] tells how much that was.
    pub payee: Units,
    /// Back to the payer.
    pub payer: Units,
}

/// Something that a channel does not do. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// An address is none.
    #[error("bad address: {0}")]
    Address(#[from] AddressError),
    /// A field does not have the length or range that it has to have.
    #[error("field {0} is out of range")]
    Field(&'static str),
    /// It was made for another ledger.
    #[error("made for ledger {0}")]
    OtherLedger(LedgerId),
    /// It is too early or too late to open it.
    #[error("can be opened from height {from} to {to}, not at {at}")]
    Height {
        /// The first one.
        from: Height,
        /// The last one.
        to: Height,
        /// The one that is.
        at: Height,
    },
    /// Its voucher key is none of a scheme that the ledger knows.
    #[error("unknown or bad voucher key")]
    Key,
    /// A voucher is none.
    #[error("bad voucher: {0}")]
    Voucher(#[from] VoucherError),
    /// A voucher is one of another channel.
    #[error("voucher of channel {0}")]
    OtherChannel(ChannelId),
    /// A voucher's time is over.
    #[error("voucher counted until height {0}")]
    Expired(Height),
    /// A signature does not fit.
    #[error("bad signature")]
    Signature,
    /// A tick is no link of the chain.
    #[error("tick {0} is no link of the chain")]
    Tick(i64),
    /// As much was claimed of this lane before.
    #[error("lane {lane}: {claimed} claimed already, {value} is no more")]
    Stale {
        /// The lane.
        lane: Lane,
        /// What was claimed of it.
        claimed: Units,
        /// What this claim is worth.
        value: Units,
    },
    /// There are no claims, too many, or their lanes do not rise.
    #[error("claims have to be of different lanes, in rising order, {0} at most over all")]
    Lanes(usize),
    /// Only this account may do it.
    #[error("only {0} may do that")]
    NotAllowed(Address),
    /// It does not go with where the channel stands.
    #[error("the channel is {0}")]
    Phase(&'static str),
    /// The time for claims is not over.
    #[error("possible from height {0} on")]
    TooEarly(Height),
    /// A total is below what was claimed, or above what there is.
    #[error("total {total} is not between {claimed} and {deposit}")]
    Total {
        /// The total.
        total: Units,
        /// What was claimed.
        claimed: Units,
        /// What there is.
        deposit: Units,
    },
    /// The amount is nothing, or more than can be.
    #[error("the amount is nothing or too large")]
    Amount,
}

impl Channel {
    /// The id of the channel that this opens. It commits to everything but the anchor of a channel without vouchers, whose chain needs the id.
    #[must_use]
    pub fn id(open: &ChannelOpen) -> ChannelId {
        let bytes = crate::Contract::from(ChannelOpen { anchor: Vec::new(), ..open.clone() }).encode();
        sha256(&[&b"btpc/id/1"[..], &bytes].concat()).into()
    }

    /// Opens a channel. The ledger takes the deposit from the payer, and sees to it that the id is new.
    ///
    /// # Errors
    /// If the ledger's rules do not allow it.
    pub fn open(
        open: &ChannelOpen,
        ledger: &LedgerId,
        height: Height,
        params: &ChannelParams,
        schemes: &Schemes,
    ) -> Result<Self, ChannelError> {
        let payer = Address::from_slice(&open.owner_address)?;
        let payee = Address::from_slice(&open.payee_address)?;
        if payer == payee {
            return Err(ChannelError::Field("payee_address"));
        }
        let asset = AssetId::parse(&open.asset_name).ok_or(ChannelError::Field("asset_name"))?;
        let made_for: [u8; 32] = open.ledger[..].try_into().map_err(|_| ChannelError::Field("ledger"))?;
        if LedgerId::new(made_for) != *ledger {
            return Err(ChannelError::OtherLedger(LedgerId::new(made_for)));
        }
        if open.salt.len() != 16 {
            return Err(ChannelError::Field("salt"));
        }
        let opened_at = Height::new(u64::try_from(open.opened_at).map_err(|_| ChannelError::Field("opened_at"))?);
        let last = opened_at.saturating_add(params.open_window);
        if height < opened_at || height > last {
            return Err(ChannelError::Height { from: opened_at, to: last, at: height });
        }
        let dispute = u64::try_from(open.dispute).map_err(|_| ChannelError::Field("dispute"))?;
        if dispute < params.min_dispute || dispute > params.max_dispute {
            return Err(ChannelError::Field("dispute"));
        }
        let deposit = Units::try_from(open.deposit).map_err(|_| ChannelError::Field("deposit"))?;
        let deposit = Some(deposit).filter(|it| !it.is_zero());
        if deposit.is_some_and(|it| it < params.min_deposit) {
            return Err(ChannelError::Field("deposit"));
        }
        let key = VoucherKey::read(open, schemes)?;
        let (lanes, claimed, paid, phase) = (Vec::new(), Units::ZERO, Units::ZERO, Phase::Open);
        Ok(Self { payer, payee, asset, deposit, key, opened_at, dispute, lanes, claimed, paid, phase })
    }

    /// Adds to the deposit.
    ///
    /// # Errors
    /// If the channel is closing or done, has no deposit, or the amount is none.
    pub fn top_up(&mut self, amount: Units) -> Result<(), ChannelError> {
        if self.phase != Phase::Open {
            return Err(self.wrong_phase());
        }
        let deposit = self.deposit.ok_or(ChannelError::Field("amount"))?;
        let sum = deposit.checked_add(amount).filter(|_| !amount.is_zero());
        self.deposit = Some(sum.ok_or(ChannelError::Amount)?);
        Ok(())
    }

    /// Takes claims, all or none; those that are no better than what was claimed of their lanes do no harm beside one that is. Of one that is
    /// worth more than what is left of the deposit, as much counts as there is. No claims at all ask for what a vault has not paid yet of those
    /// before, even when the channel is done. Where there are as many lanes as are kept, the one of which least was claimed gives way to one that
    /// is worth more.
    ///
    /// # Errors
    /// If one is not good, or none is better than what was claimed.
    pub fn claim(
        &mut self,
        id: &ChannelId,
        claims: &[LaneClaim],
        height: Height,
        params: &ChannelParams,
        schemes: &Schemes,
    ) -> Result<Payout, ChannelError> {
        if claims.is_empty() && !self.unpaid().is_zero() {
            return Ok(Payout { payee: self.unpaid(), payer: Units::ZERO });
        }
        let after = self.claimed_after(id, claims, height, params, schemes)?;
        if let Phase::Closing { deadline, is_extended: false } = self.phase
            && height.saturating_add(params.extension) >= deadline
        {
            self.phase = Phase::Closing { deadline: deadline.saturating_add(params.extension), is_extended: true };
        }
        Ok(self.take(after))
    }

    /// The payee closes with its last claims, or none.
    ///
    /// # Errors
    /// If somebody else asks, or a claim is not good.
    pub fn release(
        &mut self,
        id: &ChannelId,
        by: &Address,
        claims: &[LaneClaim],
        height: Height,
        params: &ChannelParams,
        schemes: &Schemes,
    ) -> Result<Payout, ChannelError> {
        if *by != self.payee {
            return Err(ChannelError::NotAllowed(self.payee));
        }
        let payout = if claims.is_empty() {
            if self.phase == Phase::Done {
                return Err(self.wrong_phase());
            }
            Payout::default()
        } else {
            let after = self.claimed_after(id, claims, height, params, schemes)?;
            self.take(after)
        };
        Ok(Payout { payer: self.finish_now(), ..payout })
    }

    /// Both close, at a total that both have signed.
    ///
    /// # Errors
    /// If the total or a signature is not good, or its time is over.
    pub fn close_mutual(
        &mut self,
        id: &ChannelId,
        close: &ChannelCloseMutual,
        height: Height,
        schemes: &Schemes,
    ) -> Result<Payout, ChannelError> {
        if self.phase == Phase::Done {
            return Err(self.wrong_phase());
        }
        let total = Units::try_from(close.total).map_err(|_| ChannelError::Amount)?;
        let not_after = Height::new(u64::try_from(close.not_after).map_err(|_| ChannelError::Field("not_after"))?);
        if height > not_after {
            return Err(ChannelError::Expired(not_after));
        }
        let deposit = self.deposit.unwrap_or(Units::MAX);
        let due = total.checked_sub(self.claimed).filter(|_| total <= deposit);
        let due = due.ok_or(ChannelError::Total { total, claimed: self.claimed, deposit })?;
        let statement = CloseStatement::new(*id, total, not_after).to_bytes();
        for (party, signature) in [(self.payer, &close.payer_signature), (self.payee, &close.payee_signature)] {
            if schemes.signer(&statement, signature).is_none_or(|(signer, _)| signer != party) {
                return Err(ChannelError::Signature);
            }
        }
        self.claimed = total;
        let payee = self.due(due);
        Ok(Payout { payee, payer: self.finish_now() })
    }

    /// The payer asks to close.
    ///
    /// # Errors
    /// If somebody else asks, or it was asked before.
    pub fn close(&mut self, by: &Address, height: Height) -> Result<(), ChannelError> {
        if *by != self.payer {
            return Err(ChannelError::NotAllowed(self.payer));
        }
        if self.phase != Phase::Open {
            return Err(self.wrong_phase());
        }
        self.phase = Phase::Closing { deadline: height.saturating_add(self.dispute), is_extended: false };
        Ok(())
    }

    /// Ends it when the time for claims is over.
    ///
    /// # Errors
    /// If it is not.
    pub fn finish(&mut self, height: Height) -> Result<Payout, ChannelError> {
        match self.phase {
            Phase::Closing { deadline, .. } if height >= deadline => {
                Ok(Payout { payee: Units::ZERO, payer: self.finish_now() })
            }
            Phase::Closing { deadline, .. } => Err(ChannelError::TooEarly(deadline)),
            Phase::Open | Phase::Done => Err(self.wrong_phase()),
        }
    }

    /// Takes note of what the vault has paid of what is due.
    pub fn settle(&mut self, paid: Units) {
        self.paid = self.paid.checked_add(paid).unwrap_or(Units::MAX).min(self.claimed);
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.payer
    }

    /// Who is paid.
    #[must_use]
    pub const fn payee(&self) -> Address {
        self.payee
    }

    /// In what.
    #[must_use]
    pub const fn asset(&self) -> AssetId {
        self.asset
    }

    /// What was put in; `None` if the payer's vault pays.
    #[must_use]
    pub const fn deposit(&self) -> Option<Units> {
        self.deposit
    }

    /// What proves a payment.
    #[must_use]
    pub const fn key(&self) -> &VoucherKey {
        &self.key
    }

    /// Blocks in which claims are taken after the payer has asked to close.
    #[must_use]
    pub const fn dispute(&self) -> u64 {
        self.dispute
    }

    /// The height that it was made at.
    #[must_use]
    pub const fn opened_at(&self) -> Height {
        self.opened_at
    }

    /// What was claimed over all lanes.
    #[must_use]
    pub const fn claimed(&self) -> Units {
        self.claimed
    }

    /// What was paid of that.
    #[must_use]
    pub const fn paid(&self) -> Units {
        self.paid
    }

    /// What was claimed, by lane.
    #[must_use]
    pub fn lanes(&self) -> &[(Lane, Units)] {
        &self.lanes
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What was claimed and not paid, because the vault had not as much.
    #[must_use]
    pub const fn unpaid(&self) -> Units {
        self.claimed.saturating_sub(self.paid)
    }

    /// What it still holds.
    #[must_use]
    pub fn held(&self) -> Units {
        match (self.phase, self.deposit) {
            (Phase::Done, _) | (_, None) => Units::ZERO,
            (_, Some(deposit)) => deposit.saturating_sub(self.claimed),
        }
    }

    /// What would be claimed by lane, and the sum.
    fn claimed_after(
        &self,
        id: &ChannelId,
        claims: &[LaneClaim],
        height: Height,
        params: &ChannelParams,
        schemes: &Schemes,
    ) -> Result<(Vec<(Lane, Units)>, Units), ChannelError> {
        match self.phase {
            Phase::Open => {}
            Phase::Closing { deadline, .. } if height < deadline => {}
            Phase::Closing { .. } | Phase::Done => return Err(self.wrong_phase()),
        }
        if claims.is_empty() || claims.len() > params.max_lanes {
            return Err(ChannelError::Lanes(params.max_lanes));
        }
        let (mut lanes, mut sum, mut last, mut stale) = (self.lanes.clone(), self.claimed, None, None);
        // Signatures come first: a chain is long, and walking it is paid for by nobody if a claim behind it is refused.
        let mut read = Vec::with_capacity(claims.len());
        for claim in claims {
            let claim = self.read_claim(id, claim, height, schemes)?;
            if last.replace(claim.lane).is_some_and(|last| claim.lane <= last) {
                return Err(ChannelError::Lanes(params.max_lanes));
            }
            read.push(claim);
        }
        for it in read {
            let ReadClaim { lane, value, .. } = it;
            let place = match lanes.binary_search_by_key(&lane, |(lane, _)| *lane) {
                Ok(place) => place,
                Err(_) => {
                    make_room(&mut lanes, value, params.max_lanes)?;
                    let place = lanes.partition_point(|(other, _)| *other < lane);
                    lanes.insert(place, (lane, Units::ZERO));
                    place
                }
            };
            let Some((_, claimed)) = lanes.get_mut(place) else { continue };
            let Some(more) = value.checked_sub(*claimed).filter(|more| !more.is_zero()) else {
                // Whoever hands in one of them alone would keep the others out.
                stale.get_or_insert(ChannelError::Stale { lane, claimed: *claimed, value });
                continue;
            };
            it.check_chain(id)?;
            // As much as there is; a later claim may get the rest, if the payer adds to the deposit.
            let room = self.deposit.unwrap_or(Units::MAX).saturating_sub(sum);
            let counted = more.min(room);
            *claimed = claimed.checked_add(counted).ok_or(ChannelError::Amount)?;
            sum = sum.checked_add(counted).ok_or(ChannelError::Amount)?;
        }
        if sum == self.claimed {
            let deposit = self.deposit.unwrap_or(Units::MAX);
            return Err(stale.unwrap_or(ChannelError::Total { total: sum, claimed: self.claimed, deposit }));
        }
        lanes.retain(|(_, claimed)| !claimed.is_zero());
        Ok((lanes, sum))
    }

    /// A claim of which everything was looked at but the chain.
    pub(super) fn read_claim(
        &self,
        id: &ChannelId,
        claim: &LaneClaim,
        height: Height,
        schemes: &Schemes,
    ) -> Result<ReadClaim, ChannelError> {
        let tick = read_tick(claim)?;
        let bad_tick = ChannelError::Tick(claim.tick);
        match &self.key {
            VoucherKey::Signed { scheme, key } => {
                let voucher = Voucher::from_bytes(&claim.voucher)?;
                if voucher.channel != *id {
                    return Err(ChannelError::OtherChannel(voucher.channel));
                }
                if voucher.not_after != Height::new(0) && height > voucher.not_after {
                    return Err(ChannelError::Expired(voucher.not_after));
                }
                let verifier = schemes.get(*scheme).ok_or(ChannelError::Key)?;
                if !verifier.verify(&Check::new(key, &claim.voucher, &claim.signature)) {
                    return Err(ChannelError::Signature);
                }
                let held = Claim::new(SignedVoucher::new(voucher, Vec::new()), tick);
                let value = held.value().ok_or(bad_tick)?;
                let chain = tick.map(|tick| (tick, voucher.anchor));
                Ok(ReadClaim { lane: voucher.lane, value, until: voucher.not_after, chain })
            }
            VoucherKey::HashOnly { anchor, tick_value, max_ticks } => {
                let is_bare = claim.voucher.is_empty() && claim.signature.is_empty();
                let tick = tick.filter(|tick| is_bare && tick.index <= *max_ticks).ok_or(bad_tick)?;
                let value = tick_value.checked_mul(tick.index.into()).ok_or(ChannelError::Amount)?;
                Ok(ReadClaim { lane: Lane::new(0), value, until: Height::new(0), chain: Some((tick, *anchor)) })
            }
        }
    }

    /// Counts claims that were found good.
    fn take(&mut self, (lanes, claimed): (Vec<(Lane, Units)>, Units)) -> Payout {
        let more = claimed.saturating_sub(self.claimed);
        (self.lanes, self.claimed) = (lanes, claimed);
        Payout { payee: self.due(more), payer: Units::ZERO }
    }

    /// What is due after so much more was claimed. A deposit pays at once; a vault is asked for all that it has not paid yet.
    fn due(&mut self, more: Units) -> Units {
        if self.deposit.is_some() {
            self.paid = self.claimed;
            return more;
        }
        self.unpaid()
    }

    /// Ends it; what it held goes back.
    fn finish_now(&mut self) -> Units {
        let rest = self.held();
        self.phase = Phase::Done;
        rest
    }

    const fn wrong_phase(&self) -> ChannelError {
        ChannelError::Phase(match self.phase {
            Phase::Open => "open",
            Phase::Closing { .. } => "closing",
            Phase::Done => "done",
        })
    }
}

impl VoucherKey {
    fn read(open: &ChannelOpen, schemes: &Schemes) -> Result<Self, ChannelError> {
        let scheme = SchemeId::new(u8::try_from(open.voucher_scheme).map_err(|_| ChannelError::Key)?);
        let has_chain = !open.anchor.is_empty() || open.tick_value != 0 || open.max_ticks != 0;
        if scheme != SchemeId::NONE {
            let verifier = schemes.get(scheme).ok_or(ChannelError::Key)?;
            if has_chain || !verifier.is_key(&open.voucher_key) {
                return Err(ChannelError::Key);
            }
            return Ok(Self::Signed { scheme, key: open.voucher_key.clone() });
        }
        if !open.voucher_key.is_empty() {
            return Err(ChannelError::Key);
        }
        let anchor = open.anchor[..].try_into().map_err(|_| ChannelError::Field("anchor"))?;
        let tick_value = Units::try_from(open.tick_value).ok().filter(|it| !it.is_zero());
        let tick_value = tick_value.ok_or(ChannelError::Field("tick_value"))?;
        let max_ticks = u32::try_from(open.max_ticks).ok().filter(|it| (1..=crate::tick::MAX_TICKS).contains(it));
        let max_ticks = max_ticks.ok_or(ChannelError::Field("max_ticks"))?;
        tick_value.checked_mul(max_ticks.into()).ok_or(ChannelError::Amount)?;
        Ok(Self::HashOnly { anchor, tick_value, max_ticks })
    }
}

impl Default for ChannelParams {
    /// Blocks of three seconds: claims are taken for an hour to a month.
    fn default() -> Self {
        Self {
            min_dispute: 1200,
            max_dispute: 864_000,
            extension: 200,
            open_window: 1500,
            max_lanes: 64,
            min_deposit: Units::new(1).unwrap_or(Units::ZERO),
        }
    }
}

/// What a claim says.
pub(super) struct ReadClaim {
    pub(super) lane: Lane,
    pub(super) value: Units,
    /// The last height at which it counts, 0 if there is none.
    pub(super) until: Height,
    /// The tick, and the anchor that it has to lead to.
    chain: Option<(Tick, [u8; 32])>,
}

impl ReadClaim {
    /// Walks its chain: up to [`MAX_TICKS`](crate::tick::MAX_TICKS) hashes.
    pub(super) fn check_chain(&self, id: &ChannelId) -> Result<(), ChannelError> {
        match self.chain {
            Some((tick, anchor)) if !tick.leads_to(id, &anchor) => Err(ChannelError::Tick(tick.index.into())),
            _ => Ok(()),
        }
    }
}

/// Makes room for a lane that is worth so much. A payer that signs vouchers of more lanes than a ledger keeps cannot shut out its payee's:
/// the lane of which least was claimed gives way to one that is worth more. What was paid for it stays paid, and if it is handed in again, it
/// counts again, at the payer's cost.
fn make_room(lanes: &mut Vec<(Lane, Units)>, value: Units, max_lanes: usize) -> Result<(), ChannelError> {
    if lanes.len() < max_lanes {
        return Ok(());
    }
    let (place, (_, least)) =
        lanes.iter().enumerate().min_by_key(|(_, (_, claimed))| *claimed).ok_or(ChannelError::Lanes(max_lanes))?;
    if value <= *least {
        return Err(ChannelError::Lanes(max_lanes));
    }
    lanes.remove(place);
    Ok(())
}

fn read_tick(claim: &LaneClaim) -> Result<Option<Tick>, ChannelError> {
    if claim.tick == 0 && claim.preimage.is_empty() {
        return Ok(None);
    }
    // A ledger hashes no more for one claim than a chain may have links.
    let index = u32::try_from(claim.tick).ok().filter(|index| (1..=crate::tick::MAX_TICKS).contains(index));
    let preimage = claim.preimage[..].try_into().ok();
    index.zip(preimage).map(|(index, preimage)| Some(Tick::new(index, preimage))).ok_or(ChannelError::Tick(claim.tick))
}

#[cfg(test)]
mod tests;
