//! The payee's side of all its channels: what it holds of each lane, and how that comes to the ledger.
//!
//! Vouchers are checked together, those that have come since the last look, and count when they are in the log. Ticks count at once and go into
//! the log every [`PayeeConfig::flush_ticks`], so that a crash takes back no more than the payee has allowed.

mod lane;
mod names;
mod peer;
mod record;
mod short;
mod table;

use super::adjudicator::{Channel, Phase, VoucherKey};
use super::fault::Fault;
use super::gate::Gated;
use super::journal::{Journal, RecordError};
use super::log::Log;
use super::message::Message;
use super::output::{Event, Output, Request, Session, ToSign};
use crate::address::Address;
use crate::contract::{ChannelClaim, LaneClaim};
use crate::ids::{ChannelId, Height, Lane, UpdateId};
use crate::scheme::Schemes;
use crate::transaction::SignedTransaction;
use crate::units::Units;
use crate::voucher::{CloseStatement, SignedVoucher};
use lane::PayeeLane;
use names::Names;
use record::Record;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{PayeeChannel, Place, Table};
use unchoke_core::Rng;

pub use table::PayeePhase;

/// How a payee goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PayeeConfig {
    /// Ticks that may be out of the log, by lane. Their value is what a crash can cost; it should be within the window that is granted.
    pub flush_ticks: u32,
    /// How long a tick may be out of the log.
    pub flush_after: Duration,
    /// A voucher that ends has to count for so many blocks yet.
    pub min_life: u64,
    /// Lanes of a channel: no more than [`ChannelParams::max_lanes`] of the ledger, which takes no claim of more.
    ///
    /// [`ChannelParams::max_lanes`]: super::ChannelParams::max_lanes
    pub max_lanes: usize,
    /// Vouchers that wait to be checked together.
    pub batch: usize,
    /// Blocks after which a channel that the ledger does not have is over, and not just unknown to an earlier state of it: no less than
    /// [`ChannelParams::open_window`] of the ledger.
    ///
    /// [`ChannelParams::open_window`]: super::ChannelParams::open_window
    pub open_window: u64,
}

/// A payee.
pub struct Payee {
    config: PayeeConfig,
    address: Address,
    schemes: Arc<Schemes>,
    rng: Rng,
    channels: Table,
    names: Names,
    /// Vouchers that were not checked yet.
    unchecked: Vec<(Session, u16, SignedVoucher)>,
    /// Channels that have ticks which are not in the log.
    unflushed: Vec<Place>,
    /// When these have to go into the log.
    flush_at: Option<Instant>,
    height: Height,
    faults: VecDeque<(Session, Fault)>,
    /// How many found no room there.
    dropped_faults: u64,
    journal: Journal<Asked>,
}

#[derive(Clone, Copy)]
enum Asked {
    Close(ChannelId, CloseStatement),
    Claim(ChannelId),
}

impl Payee {
    /// A payee without channels, whose money comes to an account.
    #[must_use]
    pub fn new(config: PayeeConfig, address: Address, schemes: Arc<Schemes>, rng: Rng) -> Self {
        Self {
            config,
            address,
            schemes,
            rng,
            channels: Table::default(),
            names: Names::default(),
            unchecked: Vec::new(),
            unflushed: Vec::new(),
            flush_at: None,
            height: Height::new(0),
            faults: VecDeque::new(),
            dropped_faults: 0,
            journal: Journal::default(),
        }
    }

    /// A payee that goes on where its log ends. If the log is damaged, it claims what is left, and takes nothing.
    ///
    /// # Errors
    /// If a record is none, or does not follow from those before, and the log does not know of any damage.
    pub fn restore(
        config: PayeeConfig,
        address: Address,
        schemes: Arc<Schemes>,
        rng: Rng,
        log: &Log,
    ) -> Result<Self, RecordError> {
        let mut payee = Self::new(config, address, schemes, rng);
        payee.journal = Journal::restore(log, |_, bytes| payee.replay(Record::decode(bytes)?))?;
        Ok(payee)
    }

    /// The records that make a payee such as this one: a new log in place of a long one.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for (id, channel) in self.channels.ids().filter_map(|id| Some((id, self.channels.get(&id)?))) {
            let (scheme, key) = (channel.scheme, channel.key[..].into());
            let (payer, opened_at) = (channel.payer, channel.opened_at);
            records.push(Record::Channel { id, scheme, key, payer, opened_at }.encode());
            for lane in &channel.lanes {
                records.push(Record::Voucher(lane.signed()).encode());
                if lane.last_tick().index > 0 {
                    let (seq, tick) = (lane.voucher.seq, lane.last_tick());
                    records.push(Record::Tick(id, lane.voucher.lane, seq, tick).encode());
                }
            }
            if let PayeePhase::CoopClosing { total, not_after } = channel.phase {
                records.push(Record::Agreed(CloseStatement::new(id, total, not_after)).encode());
            }
        }
        records
    }

    /// The ledger's view of a channel that pays us, at every height, from a block that will not be taken back. `limit` is what can be had of it
    /// over its life: its deposit, or what it was paid, what is sure for us in the payer's vault, and what we are ready to believe besides.
    ///
    /// When the payer is about to close or a voucher is about to end, it asks for a transaction with the best claims, and does so again until
    /// the ledger has them.
    ///
    /// # Errors
    /// If it is none of ours, or the log cannot be written.
    pub fn handle_channel(
        &mut self,
        now: Height,
        id: ChannelId,
        view: Option<&Channel>,
        limit: Units,
    ) -> Result<(), Fault> {
        self.height = self.height.max(now);
        let is_owing = |view: &&Channel| view.phase() != Phase::Done || !view.unpaid().is_zero();
        let Some(view) = view.filter(is_owing) else {
            let claimed = view.map(Channel::claimed);
            let window = self.config.open_window;
            if let Some(channel) = self.channels.get(&id)
                && (view.is_some() || now > channel.opened_at.saturating_add(window))
            {
                let claimed = claimed.unwrap_or(channel.claimed);
                self.write(Record::Settled(id))?;
                self.journal.tell(Event::Settled { channel: id, claimed });
            }
            return Ok(());
        };
        if view.payee() != self.address {
            return Err(Fault::UnknownChannel(id));
        }
        let VoucherKey::Signed { scheme, key } = view.key() else { return Err(Fault::Phase("without vouchers")) };
        if !self.channels.contains(&id) {
            self.journal.check()?;
            let (key, payer, opened_at) = (key[..].into(), view.payer(), view.opened_at());
            self.write(Record::Channel { id, scheme: *scheme, key, payer, opened_at })?;
        }
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        (channel.limit, channel.has_deposit) = (limit, view.deposit().is_some());
        (channel.claimed, channel.paid) = (view.claimed(), view.paid());
        for (lane, claimed) in view.lanes() {
            channel.lane_mut(*lane).into_iter().for_each(|it| it.claimed = *claimed);
        }
        match view.phase() {
            Phase::Closing { deadline, .. } => {
                let before = std::mem::replace(&mut channel.phase, PayeePhase::Closing { deadline });
                if before != channel.phase {
                    self.journal.tell(Event::Closing { channel: id, deadline });
                }
                self.claim(id);
            }
            Phase::Done => {
                channel.phase = PayeePhase::Unpaid { rest: view.unpaid() };
                self.claim(id);
            }
            Phase::Open => {
                match channel.phase {
                    PayeePhase::Unknown => {
                        channel.phase = PayeePhase::Open;
                        self.journal.tell(Event::Opened(id));
                    }
                    // The total was not handed in while it counted.
                    PayeePhase::CoopClosing { not_after, .. } if now > not_after => channel.phase = PayeePhase::Open,
                    // The payer's wish to close was taken back.
                    PayeePhase::Closing { .. } => channel.phase = PayeePhase::Open,
                    PayeePhase::Open | PayeePhase::CoopClosing { .. } | PayeePhase::Unpaid { .. } => {}
                }
                let soon = now.saturating_add(self.config.min_life / 2);
                let is_due = |lane: &PayeeLane| lane.value() > lane.claimed && lane.ends_before(soon);
                // A reservation that shrinks can be claimed for a while yet.
                if channel.held() > limit || channel.lanes.iter().any(is_due) {
                    self.claim(id);
                }
            }
        }
        Ok(())
    }

    /// Asks for a transaction that claims the best of a channel, if there is more than the ledger has seen, or a vault has more now than it had.
    /// Whoever has the transaction may hand it in.
    pub fn claim(&mut self, id: ChannelId) {
        let claims = self.claims(&id);
        let Some(channel) = self.channels.get(&id).filter(|it| !it.is_asked) else { return };
        if claims.is_empty()
            && (channel.has_deposit || channel.claimed <= channel.paid || channel.limit <= channel.paid)
        {
            return;
        }
        let (owner_address, channel) = (self.address.as_bytes().to_vec(), id.as_bytes().to_vec());
        let contract = ChannelClaim { owner_address, channel, claims };
        let request = self.journal.request(Asked::Claim(id));
        self.channels.get_mut(&id).into_iter().for_each(|it| it.is_asked = true);
        self.journal.push(Output::Build { request, contract: Box::new(contract.into()) });
    }

    /// The best of each lane of a channel, for a claim; nothing if the ledger has seen as much, or takes nothing any more.
    #[must_use]
    pub fn claims(&self, id: &ChannelId) -> Vec<LaneClaim> {
        let Some(channel) = self.channels.get(id) else { return Vec::new() };
        let is_spent = channel.has_deposit && channel.limit <= channel.claimed;
        if is_spent || matches!(channel.phase, PayeePhase::Unpaid { .. }) {
            return Vec::new();
        }
        // One that has ended would spoil the others.
        let next = self.height.saturating_add(1);
        let counts = |lane: &&PayeeLane| lane.value() > lane.claimed && !lane.ends_before(next);
        let mut lanes: Vec<_> = channel.lanes.iter().filter(counts).collect();
        lanes.sort_unstable_by_key(|lane| lane.voucher.lane);
        lanes.into_iter().map(|lane| lane.claim().to_contract()).collect()
    }

    /// Would close at what is held. When the payer has signed, too, the channel ends at once. The payer signs one total at a time, and none that
    /// counts longer than its [`PayerConfig::close_within`](super::PayerConfig::close_within): as long as a total counts, it is proposed again as
    /// it was, whatever `not_after` is.
    ///
    /// # Errors
    /// If there is no such channel, it is not open, or the log cannot be written.
    pub fn propose_close(&mut self, id: ChannelId, not_after: Height) -> Result<(), Fault> {
        self.journal.check()?;
        // What the total counts has to be there after a crash, or the payer is told of less than it is asked for.
        self.flush_unflushed();
        let channel = self.channels.get(&id).ok_or(Fault::UnknownChannel(id))?;
        let (statement, after) = match channel.phase {
            PayeePhase::Open => {
                let statement = CloseStatement::new(id, channel.held(), not_after);
                (statement, self.write(Record::Agreed(statement))?)
            }
            PayeePhase::CoopClosing { total, not_after } => {
                (CloseStatement::new(id, total, not_after), self.journal.last())
            }
            _ => return Err(Fault::Phase("closing")),
        };
        let request = self.journal.request(Asked::Close(id, statement));
        self.journal.push(Output::Sign { request, what: Gated::new(after, ToSign::Close(statement)) });
        Ok(())
    }

    /// A session has ended. The channels that were paid through in it are free for others.
    pub fn disconnect(&mut self, session: Session) {
        for place in self.names.end(session) {
            let channel = self.channels.at_mut(place).filter(|it| it.session == session);
            channel.into_iter().for_each(|it| it.is_paid = false);
        }
        self.unchecked.retain(|(known, ..)| *known != session);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.flush_at.is_some_and(|at| at <= now) && !self.journal.is_frozen {
            self.flush_unflushed();
        }
    }

    /// Writes what is not in the log yet, as before a shutdown.
    pub fn flush_all(&mut self) {
        self.check_vouchers();
        self.flush_unflushed();
    }

    /// The signature that was asked for.
    ///
    /// # Errors
    /// If none was asked for under this request.
    pub fn handle_signed(&mut self, request: Request, session: Session, signature: Vec<u8>) -> Result<(), Fault> {
        let Some(Asked::Close(channel, statement)) = self.journal.asked.remove(&request) else {
            return Err(Fault::Transaction);
        };
        let (total, not_after) = (statement.total, statement.not_after);
        self.journal.send(session, self.journal.last(), Message::Close { channel, total, not_after, signature });
        Ok(())
    }

    /// The signer or the wallet has refused.
    pub fn handle_refused(&mut self, request: Request) {
        if let Some(Asked::Claim(id)) = self.journal.asked.remove(&request) {
            self.channels.get_mut(&id).into_iter().for_each(|it| it.is_asked = false);
        }
    }

    /// The transaction that was asked for.
    ///
    /// # Errors
    /// If none was asked for under this request.
    pub fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Fault> {
        let Some(Asked::Claim(id)) = self.journal.asked.remove(&request) else { return Err(Fault::Transaction) };
        self.channels.get_mut(&id).into_iter().for_each(|it| it.is_asked = false);
        self.journal.push(Output::Submit(Gated::new(self.journal.last(), Box::new(transaction))));
        Ok(())
    }

    /// The log cannot be written. Nothing counts until it can.
    pub fn handle_store_failure(&mut self) {
        self.journal.is_frozen = true;
    }

    /// The log has what it was given.
    pub fn handle_store_recovery(&mut self) {
        self.journal.is_frozen = false;
    }

    /// The next thing to do. To be asked again after every other call, until there is nothing more: what is not taken stays, without a limit, because
    /// nothing of it may be lost. A message makes some for each lane of its channel, or for each voucher of a batch.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.journal.is_silent() && !self.journal.is_frozen {
            self.check_vouchers();
        }
        self.journal.poll()
    }

    /// What was wrong with a voucher, and whose it was. To be asked again after every call of [`handle_message`](Self::handle_message),
    /// [`poll_output`](Self::poll_output) and [`flush_all`](Self::flush_all), until there is none: of those that wait, 1024 or one
    /// [`PayeeConfig::batch`] are kept, whichever is more. Later ones are dropped, and [counted](Self::dropped_faults).
    #[must_use]
    pub fn poll_fault(&mut self) -> Option<(Session, Fault)> {
        self.faults.pop_front()
    }

    /// How many faults were dropped, because [`poll_fault`](Self::poll_fault) had not been asked. The vouchers were refused all the same.
    #[must_use]
    pub const fn dropped_faults(&self) -> u64 {
        self.dropped_faults
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Where a channel stands.
    #[must_use]
    pub fn phase(&self, id: &ChannelId) -> Option<PayeePhase> {
        self.channels.get(id).map(|it| it.phase)
    }

    /// All channels, in no order.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.ids()
    }

    /// What was paid in a lane over the channel's life.
    #[must_use]
    pub fn paid(&self, id: &ChannelId, lane: Lane) -> Units {
        self.channels.get(id).and_then(|it| it.lane(lane)).map_or(Units::ZERO, PayeeLane::value)
    }

    /// What was paid through a channel.
    #[must_use]
    pub fn held(&self, id: &ChannelId) -> Units {
        self.channels.get(id).map_or(Units::ZERO, PayeeChannel::held)
    }

    /// Notes what was served in a lane, for receipts.
    pub fn set_served(&mut self, id: &ChannelId, lane: Lane, bytes: u64) {
        let lane = self.channels.get_mut(id).and_then(|it| it.lane_mut(lane));
        lane.into_iter().for_each(|it| it.served = bytes);
    }

    /// Writes the last ticks of all lanes.
    fn flush_unflushed(&mut self) {
        self.flush_at = None;
        for place in std::mem::take(&mut self.unflushed) {
            let lanes = self.channels.at_mut(place).map(|it| it.lanes.iter_mut()).into_iter().flatten();
            let due = lanes.filter_map(|it| std::mem::take(&mut it.is_noted).then_some(it.voucher.lane));
            for lane in due.collect::<Vec<_>>() {
                self.flush(place, lane);
            }
        }
    }

    /// Writes the last tick of a lane, and tells the payer.
    fn flush(&mut self, place: Place, lane: Lane) {
        let channel = self.channels.at(place);
        let Some((channel, state)) = channel.and_then(|it| Some((it, it.lane(lane)?))) else { return };
        if state.unflushed() == 0 {
            return;
        }
        let session = channel.session;
        let record = Record::Tick(state.voucher.channel, lane, state.voucher.seq, state.last_tick());
        if self.write(record).is_ok()
            && let Some(alias) = self.names.name(session, place, lane)
        {
            self.receipt(session, alias, place, lane);
        }
    }

    /// Tells the payer what is in the log of a lane.
    fn receipt(&mut self, session: Session, alias: u16, place: Place, lane: Lane) {
        let Some(state) = self.channels.at(place).and_then(|it| it.lane(lane)) else { return };
        let (seq, index, served) = (state.voucher.seq, state.flushed(), state.served);
        self.journal.send(session, self.journal.last(), Message::Receipt { alias, seq, index, served });
    }

    /// Every change that is to survive goes this way: into the log, and by [`replay`](Self::replay) into the state.
    fn write(&mut self, record: Record) -> Result<UpdateId, Fault> {
        let entry = self.journal.begin(record.encode())?;
        self.replay(record).map_err(|_| Fault::Corrupt)?;
        Ok(self.journal.write(entry))
    }

    fn replay(&mut self, record: Record) -> Result<(), RecordError> {
        let lost = RecordError::Inconsistent;
        match record {
            Record::Channel { id, scheme, key, payer, opened_at } => {
                self.channels.insert(id, PayeeChannel::new(scheme, &key, payer, opened_at));
            }
            Record::Voucher(signed) => {
                let channel = self.channels.get_mut(&signed.voucher.channel).ok_or(lost)?;
                match channel.lane_mut(signed.voucher.lane) {
                    Some(lane) if lane.voucher.seq < signed.voucher.seq => lane.renew(signed),
                    Some(_) => return Err(lost),
                    None => channel.add(PayeeLane::new(signed)),
                }
            }
            Record::Tick(id, lane, seq, tick) => {
                let channel = self.channels.get_mut(&id).ok_or(lost)?;
                let state = channel.lane_mut(lane).filter(|it| it.voucher.seq == seq);
                state.ok_or(lost)?.handle_flushed(tick);
            }
            Record::Agreed(statement) => {
                let channel = self.channels.get_mut(&statement.channel).ok_or(lost)?;
                // What was signed before may count for longer.
                let not_after = match channel.phase {
                    PayeePhase::CoopClosing { not_after, .. } => statement.not_after.max(not_after),
                    _ => statement.not_after,
                };
                channel.phase = PayeePhase::CoopClosing { total: statement.total, not_after };
            }
            Record::Settled(id) => {
                if let Some(place) = self.channels.remove(&id) {
                    self.names.remove(place);
                    self.unflushed.retain(|of| *of != place);
                }
            }
        }
        Ok(())
    }
}

impl Default for PayeeConfig {
    fn default() -> Self {
        Self {
            flush_ticks: 16,
            flush_after: Duration::from_millis(500),
            min_life: 2400,
            max_lanes: 64,
            batch: 256,
            open_window: 1500,
        }
    }
}

impl fmt::Debug for Payee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payee")
            .field("channels", &self.channels.len())
            .field("last", &self.journal.last())
            .finish_non_exhaustive()
    }
}

/// Faults that wait to be taken.
const MAX_FAULTS: usize = 1024;
