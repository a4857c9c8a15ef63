//! A watcher: it holds the best claims of channels for payees that may be away, and sees to it that the ledger gets them before a channel ends.
//!
//! It has no keys and no money of channels. A claim pays the payee alone, whoever hands it in, so that clients trust a watcher to be there, and
//! with nothing else; and a watcher trusts no client, because it checks each claim against the ledger's view of the channel.

mod record;

use super::adjudicator::{Channel, Phase, ReadClaim};
use super::fault::Fault;
use super::gate::Gated;
use super::journal::{Journal, RecordError};
use super::log::Log;
use super::output::{Event, Output, Request};
use crate::address::Address;
use crate::contract::{ChannelClaim, LaneClaim};
use crate::ids::{ChannelId, Height, Lane, UpdateId};
use crate::scheme::Schemes;
use crate::transaction::SignedTransaction;
use crate::units::Units;
use record::Record;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How much a watcher takes on. A lane takes about 400 bytes of memory, and as much in the log each time that it is renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WatcherConfig {
    /// Channels in all.
    pub max_channels: usize,
    /// Channels that one client has brought.
    pub max_channels_of_client: usize,
    /// Lanes of a channel: no more than [`ChannelParams::max_lanes`] of the ledger. Beyond that, those worth least give way to those worth more.
    ///
    /// [`ChannelParams::max_lanes`]: super::ChannelParams::max_lanes
    pub max_lanes: usize,
    /// A voucher that ends has to count for so many blocks yet; it is claimed when half of them are left.
    pub min_life: u64,
    /// Blocks after which a channel that the ledger does not have is over: no less than [`ChannelParams::open_window`] of the ledger.
    ///
    /// [`ChannelParams::open_window`]: super::ChannelParams::open_window
    pub open_window: u64,
}

/// Who brings claims, as the watcher's owner numbers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Client(u64);

/// A watcher.
///
/// Its owner shows it the ledger's view of each of [`channels`](Self::channels) at every height, and does what
/// [`poll_output`](Self::poll_output) says, as it does for a payee.
pub struct Watcher {
    config: WatcherConfig,
    address: Address,
    schemes: Arc<Schemes>,
    channels: HashMap<ChannelId, Watched>,
    /// How many channels each client has brought.
    clients: HashMap<Client, usize>,
    height: Height,
    journal: Journal<ChannelId>,
}

/// A channel, and the best that is held of it.
struct Watched {
    client: Client,
    opened_at: Height,
    deadline: Option<Height>,
    /// There is nothing left that could be claimed.
    is_spent: bool,
    /// A claim that the wallet is asked for.
    asked: Option<Request>,
    /// The height at which a claim was handed in last.
    submitted: Option<Height>,
    lanes: Vec<WatchedLane>,
}

struct WatchedLane {
    lane: Lane,
    value: Units,
    /// What the ledger has been shown.
    claimed: Units,
    not_after: Height,
    claim: LaneClaim,
}

impl Watcher {
    /// A watcher without channels, whose account hands in the claims.
    #[must_use]
    pub fn new(config: WatcherConfig, address: Address, schemes: Arc<Schemes>) -> Self {
        Self {
            config,
            address,
            schemes,
            channels: HashMap::new(),
            clients: HashMap::new(),
            height: Height::new(0),
            journal: Journal::default(),
        }
    }

    /// A watcher that goes on where its log ends. If the log is damaged, it claims what is left, and takes nothing.
    ///
    /// # Errors
    /// If a record is none, or does not follow from those before, and the log does not know of any damage.
    pub fn restore(
        config: WatcherConfig,
        address: Address,
        schemes: Arc<Schemes>,
        log: &Log,
    ) -> Result<Self, RecordError> {
        let mut watcher = Self::new(config, address, schemes);
        watcher.journal = Journal::restore(log, |_, bytes| watcher.replay(Record::decode(bytes)?))?;
        Ok(watcher)
    }

    /// The records that make a watcher such as this one: a new log in place of a long one.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for (id, channel) in &self.channels {
            let (client, opened_at) = (channel.client, channel.opened_at);
            records.push(Record::Channel { id: *id, client, opened_at }.encode());
            records.extend(channel.lanes.iter().map(|it| it.record(*id).encode()));
        }
        records
    }

    /// Takes claims of a channel, those that are better than what is held of their lanes, or none if one is not good. Returns what is held then of
    /// the whole channel, in smallest units, which the client may be told when it is durable. `view` is the ledger's.
    ///
    /// # Errors
    /// If the ledger has no such channel, a claim does not hold there, none is better, or there is no room. Nothing has changed then.
    pub fn handle_claims(
        &mut self,
        now: Height,
        client: Client,
        id: ChannelId,
        view: Option<&Channel>,
        claims: &[LaneClaim],
    ) -> Result<Gated<Units>, Fault> {
        self.journal.check()?;
        self.height = self.height.max(now);
        let view = view.ok_or(Fault::UnknownChannel(id))?;
        let known = self.channels.get(&id);
        if known.is_none() {
            let brought = self.clients.get(&client).copied().unwrap_or(0);
            if self.channels.len() >= self.config.max_channels || brought >= self.config.max_channels_of_client {
                return Err(Fault::Channels);
            }
        }
        let (next, long) = (self.height.saturating_add(1), self.height.saturating_add(self.config.min_life));
        // One that ends in the next block may not take the place of one that lasts; in the last blocks it is better than none.
        let (least, least_beside) = match view.phase() {
            Phase::Open => (long, long),
            Phase::Closing { deadline, .. } => (next, deadline.min(long)),
            Phase::Done => return Err(Fault::Phase("done")),
        };
        let held = known.map_or(&[][..], |it| &it.lanes);
        let mut better = Vec::new();
        if claims.is_empty() || claims.len() > self.config.max_lanes {
            return Err(Fault::Lanes);
        }
        for claim in claims.iter().filter(|claim| held.iter().all(|it| it.claim != **claim)) {
            let read = view.read_claim(&id, claim, self.height, &self.schemes)?;
            let (lane, value, not_after) = (read.lane, read.value, read.until);
            let before = held.iter().find(|it| it.lane == lane);
            let claimed = view.lanes().iter().find(|(it, _)| *it == lane).map_or(Units::ZERO, |(_, claimed)| *claimed);
            let is_beside = before.is_some_and(|it| it.value > claimed && !it.ends_before(next));
            if not_after != Height::new(0) && not_after < if is_beside { least_beside } else { least } {
                return Err(Fault::EndsTooSoon);
            }
            if value > claimed.max(before.map_or(Units::ZERO, |it| it.value)) {
                better.push((read, WatchedLane { lane, value, claimed, not_after, claim: claim.clone() }));
            }
        }
        let is_twice = |(at, (it, _)): (usize, &(ReadClaim, WatchedLane))| {
            better.iter().skip(at).skip(1).any(|(other, _)| other.lane == it.lane)
        };
        if better.iter().enumerate().any(is_twice) {
            return Err(Fault::Lanes);
        }
        if better.is_empty() {
            return Err(Fault::Stale);
        }
        let dropped = self.dropped(held, better.iter().map(|(_, it)| it))?;
        // Nobody pays for a walk: whatever else may be wrong is looked at before.
        better.iter().try_for_each(|(read, _)| read.check_chain(&id))?;
        if known.is_none() {
            self.write(Record::Channel { id, client, opened_at: view.opened_at() })?;
        }
        for lane in dropped {
            self.write(Record::Dropped(id, lane))?;
        }
        for (_, it) in better {
            self.write(it.record(id))?;
        }
        self.look(id, view, None);
        Ok(Gated::new(self.journal.last(), self.held(&id)))
    }

    /// The ledger's view of a channel, at every height, from a block that will not be taken back. `limit` is what can be had of it over its life: its
    /// deposit, or what it was paid and what is sure for its payee in the payer's vault.
    ///
    /// It asks for a transaction with the best claims when the payer is about to close, when a voucher is about to end, and when less is to be had
    /// than is held; and does so again at each height until the ledger has them.
    ///
    /// # Errors
    /// If the log cannot be numbered any further.
    pub fn handle_channel(
        &mut self,
        now: Height,
        id: ChannelId,
        view: Option<&Channel>,
        limit: Units,
    ) -> Result<(), Fault> {
        self.height = self.height.max(now);
        let Some(channel) = self.channels.get(&id) else { return Ok(()) };
        match view.filter(|it| it.phase() != Phase::Done) {
            Some(view) => self.look(id, view, Some(limit)),
            // What was claimed and not paid is the ledger's to know.
            None if view.is_some() || now > channel.opened_at.saturating_add(self.config.open_window) => {
                self.write(Record::Settled(id))?;
                let claimed = view.map_or(Units::ZERO, Channel::claimed);
                self.journal.tell(Event::Settled { channel: id, claimed });
            }
            None => {}
        }
        Ok(())
    }

    /// The transaction that was asked for.
    ///
    /// # Errors
    /// If none was asked for under this request.
    pub fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Fault> {
        let id = self.journal.asked.remove(&request).ok_or(Fault::Transaction)?;
        if let Some(channel) = self.channels.get_mut(&id) {
            (channel.asked, channel.submitted) = (None, Some(self.height));
        }
        // A claim is as good if it is forgotten here: it need not wait for the log.
        self.journal.push(Output::Submit(Gated::new(UpdateId::new(0), Box::new(transaction))));
        Ok(())
    }

    /// The wallet has refused. It is asked again at the next height.
    pub fn handle_refused(&mut self, request: Request) {
        let channel = self.journal.asked.remove(&request).and_then(|id| self.channels.get_mut(&id));
        channel.into_iter().for_each(|it| it.asked = None);
    }

    /// The log cannot be written. Nothing is taken until it can.
    pub fn handle_store_failure(&mut self) {
        self.journal.is_frozen = true;
    }

    /// The log has what it was given.
    pub fn handle_store_recovery(&mut self) {
        self.journal.is_frozen = false;
    }

    /// The next thing to do. To be asked again after every other call, until there is nothing more: what is not taken stays, without a limit, because
    /// nothing of it may be lost.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.journal.poll()
    }

    /// All channels, in no order.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.keys().copied()
    }

    /// What is held of a channel over all lanes.
    #[must_use]
    pub fn held(&self, id: &ChannelId) -> Units {
        self.channels.get(id).map_or(Units::ZERO, Watched::held)
    }

    /// The lanes that give way to new ones when there would be too many. A payer that brings vouchers of many lanes cannot shut out its payee's: those
    /// of which least is left to claim give way to what is worth more.
    fn dropped<'a>(
        &self,
        held: &[WatchedLane],
        better: impl Iterator<Item = &'a WatchedLane> + Clone,
    ) -> Result<Vec<Lane>, Fault> {
        let stays = |it: &&WatchedLane| better.clone().all(|other| other.lane != it.lane);
        let new = better.clone().filter(|it| held.iter().all(|other| other.lane != it.lane));
        let excess = held.len().saturating_add(new.clone().count()).saturating_sub(self.config.max_lanes);
        let least = new.map(WatchedLane::rest).min();
        let mut poorer: Vec<_> = held.iter().filter(stays).filter(|it| Some(it.rest()) < least).collect();
        poorer.sort_by_key(|it| it.rest());
        Ok(poorer.get(..excess).ok_or(Fault::Lanes)?.iter().map(|it| it.lane).collect())
    }

    /// What the ledger says of a channel, and whether that is a reason to claim.
    fn look(&mut self, id: ChannelId, view: &Channel, limit: Option<Units>) {
        let soon = self.height.saturating_add(self.config.min_life / 2);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        for (lane, claimed) in view.lanes() {
            channel.lanes.iter_mut().filter(|it| it.lane == *lane).for_each(|it| it.claimed = *claimed);
        }
        channel.is_spent = view.deposit().is_some_and(|deposit| deposit <= view.claimed());
        let deadline = match view.phase() {
            Phase::Closing { deadline, .. } => Some(deadline),
            Phase::Open | Phase::Done => None,
        };
        let before = std::mem::replace(&mut channel.deadline, deadline);
        if let Some(deadline) = deadline.filter(|_| before != deadline) {
            self.journal.tell(Event::Closing { channel: id, deadline });
        }
        let is_due = |it: &WatchedLane| it.value > it.claimed && it.ends_before(soon);
        if deadline.is_some() || limit.is_some_and(|limit| channel.held() > limit) || channel.lanes.iter().any(is_due) {
            self.claim(id);
        }
    }

    /// Asks for a transaction with what the ledger has not seen, unless one is on its way.
    fn claim(&mut self, id: ChannelId) {
        let next = self.height.saturating_add(1);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let is_late = channel.deadline.is_some_and(|deadline| deadline <= next);
        let is_asked = channel.asked.is_some() || channel.submitted.is_some_and(|at| at >= self.height);
        // One that has ended would spoil the others.
        let counts = |it: &&WatchedLane| it.value > it.claimed && !it.ends_before(next);
        let mut lanes: Vec<_> = channel.lanes.iter().filter(counts).collect();
        if is_late || is_asked || channel.is_spent || lanes.is_empty() {
            return;
        }
        lanes.sort_unstable_by_key(|it| it.lane);
        let claims = lanes.into_iter().map(|it| it.claim.clone()).collect();
        let request = self.journal.request(id);
        channel.asked = Some(request);
        let (owner_address, channel) = (self.address.as_bytes().to_vec(), id.as_bytes().to_vec());
        let contract = Box::new(ChannelClaim { owner_address, channel, claims }.into());
        self.journal.push(Output::Build { request, contract });
    }

    /// Every change that is to survive goes this way: into the log, and by [`replay`](Self::replay) into the state.
    fn write(&mut self, record: Record) -> Result<UpdateId, Fault> {
        let entry = self.journal.begin(record.encode())?;
        self.replay(record).map_err(|_| Fault::Corrupt)?;
        Ok(self.journal.write(entry))
    }

    fn replay(&mut self, record: Record) -> Result<(), RecordError> {
        match record {
            Record::Channel { id, client, opened_at } => {
                let (deadline, asked, submitted) = (None, None, None);
                let channel =
                    Watched { client, opened_at, deadline, is_spent: false, asked, submitted, lanes: Vec::new() };
                if self.channels.insert(id, channel).is_some() {
                    return Err(RecordError::Inconsistent);
                }
                let brought = self.clients.entry(client).or_default();
                *brought = brought.saturating_add(1);
            }
            Record::Claim { id, lane, value, claim } => {
                let not_after = record::end(&claim)?;
                let channel = self.channels.get_mut(&id).ok_or(RecordError::Inconsistent)?;
                let claimed = Units::ZERO;
                let renewed = WatchedLane { lane, value, claimed, not_after, claim };
                match channel.lanes.iter_mut().find(|it| it.lane == lane) {
                    Some(it) if it.value < value => *it = WatchedLane { claimed: it.claimed, ..renewed },
                    Some(_) => return Err(RecordError::Inconsistent),
                    None => channel.lanes.push(renewed),
                }
            }
            Record::Dropped(id, lane) => {
                let channel = self.channels.get_mut(&id).ok_or(RecordError::Inconsistent)?;
                channel.lanes.retain(|it| it.lane != lane);
            }
            Record::Settled(id) => {
                let channel = self.channels.remove(&id).ok_or(RecordError::Inconsistent)?;
                if let Some(brought) = self.clients.get_mut(&channel.client) {
                    *brought = brought.saturating_sub(1);
                    if *brought == 0 {
                        self.clients.remove(&channel.client);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Watched {
    fn held(&self) -> Units {
        let sum = self.lanes.iter().map(|it| it.value).try_fold(Units::ZERO, Units::checked_add);
        sum.unwrap_or(Units::MAX)
    }
}

impl WatchedLane {
    /// What is left to claim.
    const fn rest(&self) -> Units {
        self.value.saturating_sub(self.claimed)
    }

    /// Whether the voucher counts no more at a height.
    fn ends_before(&self, height: Height) -> bool {
        self.not_after != Height::new(0) && self.not_after < height
    }

    fn record(&self, id: ChannelId) -> Record {
        Record::Claim { id, lane: self.lane, value: self.value, claim: self.claim.clone() }
    }
}

impl Client {
    /// The client with a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Default for WatcherConfig {
    fn default() -> Self {
        Self { max_channels: 65_536, max_channels_of_client: 64, max_lanes: 64, min_life: 2400, open_window: 1500 }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("channels", &self.channels.len())
            .field("clients", &self.clients.len())
            .field("last", &self.journal.last())
            .finish_non_exhaustive()
    }
}
