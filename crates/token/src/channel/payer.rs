//! The payer's side of all its channels.
//!
//! A lane is armed with a voucher and pays by revealing ticks. A voucher is in the log before it is signed, and ticks are reserved there ahead,
//! [`PayerConfig::reserve`] at a time: after a crash all that were reserved count as spent, until the payee tells what it holds.

mod lane;
mod peer;
mod record;

use super::adjudicator::{Channel, Phase};
use super::fault::Fault;
use super::gate::Gated;
use super::journal::{Journal, RecordError};
use super::log::Log;
use super::message::{MAX_LANES, Message};
use super::output::{Event, Output, Request, Session, ToSign};
use crate::contract::{ChannelCloseMutual, ChannelOpen, Contract};
use crate::ids::{ChannelId, Height, Lane, Seq, UpdateId};
use crate::tick::STEP;
use crate::transaction::SignedTransaction;
use crate::units::Units;
use crate::voucher::{CloseStatement, SignedVoucher, Voucher};
use lane::PayerLane;
use record::Record;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use unchoke_core::Seed;

/// How a payer goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PayerConfig {
    /// Ticks that are reserved in the log at a time. More is fewer writes, and more that counts as spent after a crash until the payee is heard.
    pub reserve: u32,
    /// Ticks of one voucher. More is fewer signatures, and more hashes at the beginning.
    pub ticks: u32,
    /// Blocks after which a channel that the ledger does not have is over, or never will be opened: no less than [`ChannelParams::open_window`] of the ledger.
    ///
    /// [`ChannelParams::open_window`]: super::ChannelParams::open_window
    pub open_window: u64,
    /// Lanes of a channel: no more than [`ChannelParams::max_lanes`] of the ledger, which forgets what it has paid for further ones.
    ///
    /// [`ChannelParams::max_lanes`]: super::ChannelParams::max_lanes
    pub max_lanes: usize,
    /// Blocks for which a total may count that a payee proposes, from the last height that [`Payer::handle_channel`] was told. Until it has
    /// lapsed nothing is paid.
    pub close_within: u64,
}

/// A payer.
pub struct Payer {
    config: PayerConfig,
    seed: Seed,
    channels: BTreeMap<ChannelId, PayerChannel>,
    aliases: HashMap<Session, u16>,
    /// The last that the ledger was seen at.
    height: Height,
    journal: Journal<Asked>,
}

/// A channel, as its payer knows it.
struct PayerChannel {
    open: ChannelOpen,
    phase: PayerPhase,
    /// Vouchers have numbers above this one.
    above: Seq,
    /// Whether the log has all vouchers, or the payee has told which it has.
    is_told: bool,
    /// All that may be owed.
    limit: Units,
    session: Option<Session>,
    lanes: BTreeMap<Lane, PayerLane>,
    /// What was handed to the ledger last and is not known to be in.
    pending: Option<SignedTransaction>,
}

/// Where a channel stands for its payer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PayerPhase {
    /// The ledger does not have it yet.
    Funding,
    /// It can be paid through.
    Open,
    /// A total is signed: nothing is paid any more.
    CoopClosing {
        /// The total.
        total: Units,
        /// The last height at which it counts. Should it not have been handed in by then, payments go on.
        not_after: Height,
    },
    /// Claims are taken until then.
    Closing {
        /// The height.
        deadline: Height,
    },
}

#[derive(Clone)]
enum Asked {
    Voucher(ChannelId, Lane, Seq),
    Close { channel: ChannelId, statement: CloseStatement, theirs: Vec<u8> },
    Mutual(ChannelId),
}

impl Payer {
    /// A payer without channels. The chains of its ticks come from the seed, so that it has to be the same after each start.
    #[must_use]
    pub fn new(config: PayerConfig, seed: Seed) -> Self {
        Self {
            config,
            seed,
            channels: BTreeMap::new(),
            aliases: HashMap::new(),
            height: Height::new(0),
            journal: Journal::default(),
        }
    }

    /// A payer that goes on where its log ends. It has to hear from the ledger and from its payees before it pays. If the log is damaged, it tells
    /// what is left, closes channels at the ledger, and issues nothing.
    ///
    /// # Errors
    /// If a record is none, or does not follow from those before, and the log does not know of any damage.
    pub fn restore(config: PayerConfig, seed: Seed, log: &Log) -> Result<Self, RecordError> {
        let mut payer = Self::new(config, seed);
        payer.journal = Journal::restore(log, |id, bytes| payer.replay(id, Record::decode(bytes)?))?;
        for channel in payer.channels.values_mut() {
            channel.lanes.values_mut().for_each(PayerLane::handle_restart);
            if let Some(pending) = &channel.pending {
                payer.journal.push(Output::Submit(Gated::new(payer.journal.last(), Box::new(pending.clone()))));
            }
        }
        Ok(payer)
    }

    /// The records that make a payer such as this one: a new log in place of a long one.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for (id, channel) in &self.channels {
            let (open, transaction) = (channel.open.clone(), channel.pending.clone());
            let opened = Record::Opened { open, transaction, above: channel.above };
            records.push(opened.encode());
            for lane in channel.lanes.values() {
                records.push(Record::Voucher(lane.voucher).encode());
                records.push(Record::Reserved(*id, lane.voucher.lane, lane.voucher.seq, lane.reserved).encode());
                records.push(Record::Floor(*id, lane.voucher.lane, lane.floor()).encode());
            }
            if let PayerPhase::CoopClosing { total, not_after } = channel.phase {
                records.push(Record::Agreed(CloseStatement::new(*id, total, not_after)).encode());
            }
        }
        records
    }

    /// Opens a channel by a transaction of the wallet's.
    ///
    /// # Errors
    /// If it opens none, or the log cannot be written.
    pub fn open(&mut self, transaction: SignedTransaction) -> Result<ChannelId, Fault> {
        self.journal.check()?;
        let Contract::ChannelOpen(open) = &transaction.transaction().contract else { return Err(Fault::Transaction) };
        let (open, id) = (open.clone(), Channel::id(open));
        if self.channels.contains_key(&id) {
            return Err(Fault::Transaction);
        }
        let (above, pending) = (Seq::new(0), Some(transaction.clone()));
        let after = self.write(Record::Opened { open, transaction: pending, above })?;
        // Nothing was paid through it before.
        self.channels.get_mut(&id).into_iter().for_each(|it| it.is_told = true);
        self.journal.push(Output::Submit(Gated::new(after, Box::new(transaction))));
        Ok(id)
    }

    /// Takes over a channel that the ledger has and the log has not, because the log was lost. Until its payee has told what it holds, nothing
    /// is paid through it; what it holds and does not tell it can claim on top of what is paid later, up to the deposit. `now` is the ledger's
    /// height: vouchers get numbers that none had before it, unless a log was lost at that very height before, or there were 2³² vouchers of a
    /// lane.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn adopt(&mut self, now: Height, open: ChannelOpen) -> Result<ChannelId, Fault> {
        self.journal.check()?;
        let id = Channel::id(&open);
        if !self.channels.contains_key(&id) {
            let above = Seq::new(now.get().min(u32::MAX.into()) << 32);
            self.write(Record::Opened { open, transaction: None, above })?;
        }
        Ok(id)
    }

    /// The payee of a channel is there. The payer asks what it holds.
    ///
    /// # Errors
    /// If there is no such channel.
    pub fn connect(&mut self, id: ChannelId, session: Session) -> Result<(), Fault> {
        let channel = self.channels.get_mut(&id).ok_or(Fault::UnknownChannel(id))?;
        channel.session = Some(session);
        // What was to be signed for another session is asked for again, if the payee lacks it.
        self.journal.asked.retain(|_, asked| !matches!(asked, Asked::Voucher(of, ..) if *of == id));
        let lanes = channel.lanes.values_mut().map(|lane| {
            lane.handle_connected();
            (lane.voucher.lane, lane.voucher.seq)
        });
        let message = Message::Reestablish { channel: id, lanes: lanes.collect() };
        self.journal.send(session, self.journal.last(), message);
        Ok(())
    }

    /// A session has ended.
    pub fn disconnect(&mut self, session: Session) {
        self.aliases.remove(&session);
        self.channels.values_mut().filter(|it| it.session == Some(session)).for_each(|it| it.session = None);
    }

    /// Gives a lane a new voucher: for what was paid so far and `now` besides, with as many ticks of `tick_value` as the configuration has.
    ///
    /// # Errors
    /// If the channel is not open, holds less, the log cannot be written, the channel has as many lanes as it may or the session [`MAX_LANES`], or nothing was paid through so many
    /// vouchers that the payee takes no further one.
    pub fn arm(&mut self, id: ChannelId, lane: Lane, now: Units, tick_value: Units) -> Result<(), Fault> {
        self.journal.check()?;
        let config = self.config;
        let session = self.open_channel(id)?.session.ok_or(Fault::Disconnected)?;
        let lanes: usize = self.of_session(session).map(|it| it.lanes.len()).sum();
        let channel = self.open_channel(id)?;
        let is_full = lanes >= MAX_LANES || channel.lanes.len() >= config.max_lanes;
        if is_full && !channel.lanes.contains_key(&lane) {
            return Err(Fault::Lanes);
        }
        let known = channel.lanes.get(&lane);
        if !channel.is_told || known.is_some_and(|lane| !lane.is_settled()) {
            return Err(Fault::Disconnected);
        }
        let (paid, seq) = known.map_or((Units::ZERO, Seq::new(0)), |lane| (lane.paid(), lane.voucher.seq));
        let seq = seq.max(channel.above);
        let base = paid.checked_add(now).ok_or(Fault::Amount)?;
        let others = channel.owed_besides(lane)?;
        let need = others.checked_add(base).ok_or(Fault::Amount)?;
        if need > channel.limit {
            return Err(Fault::Funds { need, have: channel.limit });
        }
        if known.is_some_and(|it| it.is_idle() && base <= it.voucher.base) {
            return Err(Fault::Idle);
        }
        let seq = seq.next().ok_or(Fault::Amount)?;
        let voucher = Voucher::new(id, lane, seq, base);
        let voucher = if tick_value.is_zero() {
            voucher
        } else {
            let chain = lane::chain(&self.seed, &voucher, config.ticks);
            voucher.with_ticks(*chain.anchor(), tick_value, chain.len())
        };
        voucher.value(voucher.max_ticks).ok_or(Fault::Amount)?;
        let after = self.write(Record::Voucher(voucher))?;
        self.ask_to_sign(after, voucher);
        Ok(())
    }

    /// Pays so many ticks: in one message for each [`STEP`] of them, because a payee walks no further for one.
    ///
    /// # Errors
    /// If the lane has fewer, the channel holds less, the payee is not there, or the log cannot be written.
    pub fn pay(&mut self, id: ChannelId, lane: Lane, ticks: u32) -> Result<(), Fault> {
        self.journal.check()?;
        let config = self.config;
        let channel = self.open_channel(id)?;
        let session = channel.session.ok_or(Fault::Disconnected)?;
        let (others, limit) = (channel.owed_besides(lane)?, channel.limit);
        let state = channel.lanes.get(&lane).ok_or(Fault::UnknownLane(lane))?;
        let alias = state.name().ok_or(Fault::Disconnected)?;
        let left = state.voucher.max_ticks.saturating_sub(state.revealed);
        let index = state.revealed.checked_add(ticks).filter(|_| ticks > 0 && ticks <= left);
        let index = index.ok_or(Fault::Exhausted { left })?;
        let value = state.voucher.value(index).ok_or(Fault::Amount)?;
        let need = others.checked_add(value).ok_or(Fault::Amount)?;
        if need > limit {
            return Err(Fault::Funds { need, have: limit });
        }
        if index > state.reserved {
            // What counts as spent after a crash has to be there, too.
            let most = state.voucher.max_ticks.min(index.saturating_add(config.reserve.saturating_sub(1)));
            let affordable = (index..=most).rev().find(|upto| {
                state.voucher.value(*upto).and_then(|it| it.checked_add(others)).is_some_and(|all| all <= limit)
            });
            let record = Record::Reserved(id, lane, state.voucher.seq, affordable.unwrap_or(index));
            self.write(record)?;
        }
        let Self { seed, channels, journal, .. } = self;
        let state = channels.get_mut(&id).and_then(|it| it.lanes.get_mut(&lane)).ok_or(Fault::UnknownLane(lane))?;
        while state.revealed < index {
            let tick = state.reveal(seed, index.min(state.revealed.saturating_add(STEP))).ok_or(Fault::Amount)?;
            journal.send(session, state.reserved_by, Message::Tick { alias, tick });
        }
        Ok(())
    }

    /// Asks the ledger to close, by a transaction of the wallet's. Claims are taken for a while yet. It is the way out when the log is damaged.
    ///
    /// # Errors
    /// If it closes no channel of ours, or the log cannot be written.
    pub fn close(&mut self, transaction: SignedTransaction) -> Result<(), Fault> {
        self.journal.check().or_else(|fault| if fault == Fault::Corrupt { Ok(()) } else { Err(fault) })?;
        let Contract::ChannelClose(close) = &transaction.transaction().contract else { return Err(Fault::Transaction) };
        let id = ChannelId::new(close.channel[..].try_into().map_err(|_| Fault::Transaction)?);
        self.channels.get(&id).ok_or(Fault::UnknownChannel(id))?;
        self.hand_in(id, transaction)
    }

    /// Adds to a channel's deposit, by a transaction of the wallet's. It counts when the ledger has it.
    ///
    /// # Errors
    /// If it is for no channel of ours, or the log cannot be written.
    pub fn top_up(&mut self, transaction: SignedTransaction) -> Result<(), Fault> {
        self.journal.check()?;
        let Contract::ChannelTopUp(it) = &transaction.transaction().contract else { return Err(Fault::Transaction) };
        let id = ChannelId::new(it.channel[..].try_into().map_err(|_| Fault::Transaction)?);
        self.open_channel(id)?;
        self.hand_in(id, transaction)
    }

    /// For a channel without a deposit: what the vault may be asked for by it, reservation and credit together.
    ///
    /// # Errors
    /// If there is no such channel.
    pub fn set_limit(&mut self, id: ChannelId, limit: Units) -> Result<(), Fault> {
        self.channels.get_mut(&id).ok_or(Fault::UnknownChannel(id))?.limit = limit;
        Ok(())
    }

    /// The ledger's view of a channel at the height `now`, whenever it may have changed and at every height while it closes, from a block that
    /// will not be taken back. `None` if the ledger has none, or none any more.
    pub fn handle_channel(&mut self, now: Height, id: ChannelId, view: Option<&Channel>) {
        self.height = self.height.max(now);
        let window = self.config.open_window;
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(view) = view else {
            // Before that it may be opened yet, whatever an earlier state of the ledger has told. After it the ledger never had it, or has
            // forgotten it.
            if now.get() > channel.open.opened_at.cast_unsigned().saturating_add(window) {
                self.settle(id, Units::ZERO);
            }
            return;
        };
        if let Some(deposit) = view.deposit() {
            channel.limit = deposit;
        }
        match view.phase() {
            Phase::Open => {
                if matches!(channel.phase, PayerPhase::Funding | PayerPhase::Closing { .. }) {
                    channel.phase = PayerPhase::Open;
                    channel.pending = None;
                    self.journal.tell(Event::Opened(id));
                }
                if matches!(channel.phase, PayerPhase::CoopClosing { not_after, .. } if now > not_after) {
                    channel.phase = PayerPhase::Open;
                    channel.pending = None;
                }
            }
            Phase::Closing { deadline, .. } => {
                let before = std::mem::replace(&mut channel.phase, PayerPhase::Closing { deadline });
                channel.pending = None;
                if before != channel.phase {
                    self.journal.tell(Event::Closing { channel: id, deadline });
                }
            }
            Phase::Done => self.settle(id, view.claimed()),
        }
    }

    /// The signature that was asked for.
    ///
    /// # Errors
    /// If none was asked for under this request.
    pub fn handle_signed(&mut self, request: Request, signature: Vec<u8>) -> Result<(), Fault> {
        match self.journal.asked.remove(&request).ok_or(Fault::Transaction)? {
            Asked::Voucher(id, lane, seq) => {
                let Some(session) = self.channels.get(&id).and_then(|it| it.session) else { return Ok(()) };
                let named = self.of_session(session).flat_map(|it| it.lanes.values()).filter(|it| it.alias.is_some());
                let has_room = named.count() < MAX_LANES;
                let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
                let Some(state) = channel.lanes.get_mut(&lane).filter(|it| it.voucher.seq == seq) else {
                    return Ok(());
                };
                let next = self.aliases.entry(session).or_insert(0);
                let alias = match state.alias {
                    Some(alias) => alias,
                    None if *next < ALIASES && has_room => {
                        *next = next.saturating_add(1);
                        next.saturating_sub(1)
                    }
                    None => return Err(Fault::Lanes),
                };
                state.handle_sent(alias);
                let (after, ticks) = (state.written_by, state.voucher.max_ticks);
                let voucher = SignedVoucher::new(state.voucher, signature);
                self.journal.send(session, after, Message::Voucher { alias, voucher });
                self.journal.tell(Event::Armed { channel: id, lane, ticks });
                Ok(())
            }
            Asked::Close { channel: id, statement, theirs } => {
                let Some(channel) = self.channels.get(&id) else { return Ok(()) };
                let (session, owner_address) = (channel.session, channel.open.owner_address.clone());
                if let Some(session) = session {
                    let message = Message::CloseSigned { channel: id, signature: signature.clone() };
                    self.journal.send(session, self.journal.last(), message);
                }
                let contract = ChannelCloseMutual {
                    owner_address,
                    channel: id.as_bytes().to_vec(),
                    total: statement.total.to_i64(),
                    not_after: statement.not_after.get().cast_signed(),
                    payer_signature: signature,
                    payee_signature: theirs,
                };
                let request = self.journal.request(Asked::Mutual(id));
                self.journal.push(Output::Build { request, contract: Box::new(contract.into()) });
                Ok(())
            }
            Asked::Mutual(_) => Err(Fault::Transaction),
        }
    }

    /// The signer has refused. What was asked for is not done; a voucher may be asked for again with [`arm`](Self::arm).
    pub fn handle_refused(&mut self, request: Request) {
        self.journal.asked.remove(&request);
    }

    /// The transaction that was asked for.
    ///
    /// # Errors
    /// If none was asked for under this request, or the log cannot be written.
    pub fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Fault> {
        self.journal.check()?;
        match self.journal.asked.remove(&request) {
            Some(Asked::Mutual(id)) => self.hand_in(id, transaction),
            _ => Err(Fault::Transaction),
        }
    }

    /// The log cannot be written. Nothing is paid until it can.
    pub fn handle_store_failure(&mut self) {
        self.journal.is_frozen = true;
    }

    /// The log has what it was given.
    pub fn handle_store_recovery(&mut self) {
        self.journal.is_frozen = false;
    }

    /// The next thing to do. To be asked again after every other call, until there is nothing more: what is not taken stays, without a limit, because
    /// nothing of it may be lost. A message makes some for each lane of its channel.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.journal.poll()
    }

    /// Where a channel stands.
    #[must_use]
    pub fn phase(&self, id: &ChannelId) -> Option<PayerPhase> {
        self.channels.get(id).map(|it| it.phase)
    }

    /// All channels.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.keys().copied()
    }

    /// What was paid in a lane over the channel's life, as far as the payer knows; what it has to reckon with may be more.
    #[must_use]
    pub fn paid(&self, id: &ChannelId, lane: Lane) -> Units {
        self.channels.get(id).and_then(|it| it.lanes.get(&lane)).map_or(Units::ZERO, PayerLane::paid)
    }

    /// The most that the payee may claim.
    #[must_use]
    pub fn owed(&self, id: &ChannelId) -> Units {
        self.channels.get(id).map_or(Units::ZERO, |channel| sum(channel.lanes.values()).unwrap_or(channel.limit))
    }

    /// Ticks that a lane has left.
    #[must_use]
    pub fn ticks_left(&self, id: &ChannelId, lane: Lane) -> u32 {
        let state = self.channels.get(id).and_then(|it| it.lanes.get(&lane));
        state.map_or(0, |it| it.voucher.max_ticks.saturating_sub(it.revealed))
    }

    fn hand_in(&mut self, id: ChannelId, transaction: SignedTransaction) -> Result<(), Fault> {
        let after = self.write(Record::Submitted(id, transaction.clone()))?;
        self.journal.push(Output::Submit(Gated::new(after, Box::new(transaction))));
        Ok(())
    }

    fn settle(&mut self, id: ChannelId, claimed: Units) {
        // What the ledger knows to be over needs no care: should the record be lost, it is written again.
        if self.write(Record::Settled(id)).is_ok() {
            self.journal.tell(Event::Settled { channel: id, claimed });
        }
    }

    fn open_channel(&mut self, id: ChannelId) -> Result<&mut PayerChannel, Fault> {
        let channel = self.channels.get_mut(&id).ok_or(Fault::UnknownChannel(id))?;
        match channel.phase {
            PayerPhase::Open => Ok(channel),
            PayerPhase::Funding => Err(Fault::Phase("not open yet")),
            PayerPhase::CoopClosing { .. } | PayerPhase::Closing { .. } => Err(Fault::Phase("closing")),
        }
    }

    fn of_session(&self, session: Session) -> impl Iterator<Item = &PayerChannel> {
        self.channels.values().filter(move |it| it.session == Some(session))
    }

    fn ask_to_sign(&mut self, after: UpdateId, voucher: Voucher) {
        let request = self.journal.request(Asked::Voucher(voucher.channel, voucher.lane, voucher.seq));
        self.journal.push(Output::Sign { request, what: Gated::new(after, ToSign::Voucher(voucher)) });
    }

    /// Every change that is to survive goes this way: into the log, and by [`replay`](Self::replay) into the state.
    fn write(&mut self, record: Record) -> Result<UpdateId, Fault> {
        let entry = self.journal.begin(record.encode())?;
        self.replay(entry.id, record).map_err(|_| Fault::Corrupt)?;
        Ok(self.journal.write(entry))
    }

    fn replay(&mut self, by: UpdateId, record: Record) -> Result<(), RecordError> {
        let lost = RecordError::Inconsistent;
        match record {
            Record::Opened { open, transaction, above } => {
                let id = Channel::id(&open);
                let limit = Units::try_from(open.deposit).map_err(|_| lost)?;
                let (phase, session, lanes) = (PayerPhase::Funding, None, BTreeMap::new());
                let (is_told, pending) = (false, transaction);
                let channel = PayerChannel { open, phase, above, is_told, limit, session, lanes, pending };
                self.channels.insert(id, channel);
            }
            Record::Voucher(voucher) => {
                let channel = self.channels.get_mut(&voucher.channel).ok_or(lost)?;
                match channel.lanes.get_mut(&voucher.lane) {
                    Some(lane) if lane.voucher.seq < voucher.seq => lane.renew(voucher, by),
                    Some(_) => return Err(lost),
                    None => drop(channel.lanes.insert(voucher.lane, PayerLane::new(voucher, by))),
                }
            }
            Record::Reserved(id, lane, seq, upto) => {
                let lane = self.channels.get_mut(&id).and_then(|it| it.lanes.get_mut(&lane)).ok_or(lost)?;
                if lane.voucher.seq != seq || upto > lane.voucher.max_ticks || upto < lane.reserved {
                    return Err(lost);
                }
                (lane.reserved, lane.reserved_by) = (upto, by);
            }
            Record::Submitted(id, transaction) => {
                self.channels.get_mut(&id).ok_or(lost)?.pending = Some(transaction);
            }
            Record::Agreed(CloseStatement { channel, total, not_after }) => {
                let channel = self.channels.get_mut(&channel).ok_or(lost)?;
                // What was signed before may count for longer.
                let not_after = match channel.phase {
                    PayerPhase::CoopClosing { not_after: before, .. } => not_after.max(before),
                    _ => not_after,
                };
                channel.phase = PayerPhase::CoopClosing { total, not_after };
            }
            Record::Settled(id) => drop(self.channels.remove(&id)),
            Record::Floor(id, lane, floor) => {
                let lane = self.channels.get_mut(&id).and_then(|it| it.lanes.get_mut(&lane));
                lane.ok_or(lost)?.handle_floor(floor);
            }
        }
        Ok(())
    }
}

impl PayerChannel {
    /// What has to be reckoned with in all lanes but one.
    fn owed_besides(&self, lane: Lane) -> Result<Units, Fault> {
        let others = self.lanes.iter().filter(|(other, _)| **other != lane);
        sum(others.map(|(_, lane)| lane)).ok_or(Fault::Amount)
    }
}

fn sum<'a>(mut lanes: impl Iterator<Item = &'a PayerLane>) -> Option<Units> {
    lanes.try_fold(Units::ZERO, |all, lane| all.checked_add(lane.owed()))
}

impl Default for PayerConfig {
    fn default() -> Self {
        Self { reserve: 64, ticks: 4096, open_window: 1500, max_lanes: 64, close_within: 28_800 }
    }
}

impl fmt::Debug for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payer")
            .field("channels", &self.channels.len())
            .field("last", &self.journal.last())
            .finish_non_exhaustive()
    }
}

/// Aliases of one session.
const ALIASES: u16 = 0x8000;
