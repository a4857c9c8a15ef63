//! The world: hosts, the network between them, and virtual time.

use crate::churn::{Birth, Churn, ChurnId, Memory};
use crate::counters::{Counters, TraceHash, Traffic};
use crate::cut::{Cut, Groups};
use crate::dice::{Dice, nanos};
use crate::host::Host;
use crate::host_id::HostId;
use crate::link::{Addresses, Link, LinkId, Route, Site};
use crate::nat::{NatBox, NatConfig, NatId};
use crate::network::{Arrival, NO_NAT, Net, Network, What, WorldConfig};
use crate::slab::Slab;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{Path, Rng, Seed};

/// Where a host stands and what its line is.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct HostConfig {
    /// Its own addresses; behind a NAT those are inner ones. There may be several, of both families. Streams are accepted at all of them.
    pub addresses: Vec<SocketAddr>,
    /// Its line; [`WorldConfig::link`] if `None`.
    pub link: Option<LinkId>,
    /// The NAT or firewall that it is behind.
    pub nat: Option<NatId>,
    /// The groups that it is in, for [`Cut`].
    pub groups: Groups,
    /// How it comes and goes; it stays if `None`.
    pub churn: Option<ChurnId>,
    /// Its place in the square with sides of length 1; a random one if `None`.
    pub place: Option<[f32; 2]>,
}

impl HostConfig {
    /// A host that stays, at a random place, with the world's line, and with this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let addresses = vec![address];
        Self { addresses, link: None, nat: None, groups: Groups::NONE, churn: None, place: None }
    }
}

/// What the owner of a world is told.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice<E> {
    /// A host has an event.
    Event {
        /// The host.
        host: HostId,
        /// What it says.
        event: E,
    },
    /// A time has come that was asked for with [`World::mark`].
    Mark(u64),
    /// A session of a host has begun.
    Joined(HostId),
    /// A session of a host has ended.
    Left(HostId),
}

/// Makes a host for a session that begins.
type Factory<H> = Box<dyn FnMut(Birth<H>) -> H>;

/// What the owner wants done at a time.
type Work<H> = Box<dyn FnOnce(&mut World<H>)>;

enum Script<H: Host> {
    Run(Work<H>),
    Mark(u64),
}

/// What the world knows of a host beside its network.
struct Slot<H> {
    /// In its own memory, so that one that is down takes none.
    host: Option<Box<H>>,
    /// Sessions that have begun.
    sessions: u32,
    churn: Option<ChurnId>,
}

/// Hosts of one type, the network between them, and virtual time.
///
/// Time stands still between calls, and goes on in [`next`](Self::next), [`run_until`](Self::run_until) and [`skip_to`](Self::skip_to).
/// It is told in two ways: as an [`Instant`], which is what protocols take, and as the [`Duration`] since the beginning of the world,
/// which is what scripts are written in.
pub struct World<H: Host> {
    network: Network,
    slots: Vec<Slot<H>>,
    churns: Vec<Churn>,
    factory: Option<Factory<H>>,
    scripts: Slab<Script<H>>,
    notices: VecDeque<Notice<H::Event>>,
    seed: Seed,
    /// Draws what belongs to no host's datagrams: places, lines, sessions.
    rng: Rng,
}

impl<H: Host> World<H> {
    /// An empty world at time zero, which is called `start` in it. The same seed and the same calls give the same run.
    #[must_use]
    pub fn new(start: Instant, seed: &Seed, config: WorldConfig) -> Self {
        Self {
            network: Network::new(start, config),
            slots: Vec::new(),
            churns: Vec::new(),
            factory: None,
            scripts: Slab::new(),
            notices: VecDeque::new(),
            seed: seed.derive("sessions"),
            rng: seed.derive("world").rng(),
        }
    }

    /// Adds a kind of line.
    #[must_use]
    pub fn add_link(&mut self, link: Link) -> LinkId {
        let number = u32::try_from(self.network.links.len()).unwrap_or(u32::MAX);
        self.network.links.push(link);
        LinkId(number)
    }

    /// Adds a NAT or firewall.
    #[must_use]
    pub fn add_nat(&mut self, config: &NatConfig) -> NatId {
        NatId(self.network.add_nat(NatBox::new(config)))
    }

    /// Adds a way in which hosts come and go.
    #[must_use]
    pub fn add_churn(&mut self, churn: Churn) -> ChurnId {
        let number = u32::try_from(self.churns.len()).unwrap_or(u32::MAX);
        self.churns.push(churn);
        ChurnId(number)
    }

    /// Sets what makes a host for each session that [`spawn`](Self::spawn), [`join`](Self::join) or churn begins. Without it, a host that
    /// comes back is the one that left.
    pub fn set_factory(&mut self, factory: impl FnMut(Birth<H>) -> H + 'static) {
        self.factory = Some(Box::new(factory));
    }

    /// Adds a host, which is up from now on.
    pub fn add(&mut self, config: HostConfig, host: H) -> HostId {
        let id = self.place(config);
        self.slots[id.index()].host = Some(Box::new(host));
        self.begin(id);
        id
    }

    /// Adds a host that the factory makes, which is up from now on; without a factory it stays down.
    pub fn spawn(&mut self, config: HostConfig) -> HostId {
        let id = self.place(config);
        self.join(id);
        id
    }

    /// Adds a host that is down until [`join`](Self::join), or for a random part of a pause of its churn.
    pub fn add_offline(&mut self, config: HostConfig) -> HostId {
        let id = self.place(config);
        if let Some(churn) = self.churn(id) {
            let mut dice = self.dice();
            let wait = churn.offline.draw(&mut dice, 0) as f64 * dice.unit();
            self.schedule_life(id, crate::dice::whole(wait), What::Join);
        }
        id
    }

    /// Begins a session of a host that is down.
    pub fn join(&mut self, id: HostId) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|_| !self.network.sites[id.index()].is_up) else {
            return;
        };
        let previous = slot.host.take();
        slot.host = match &mut self.factory {
            None => previous,
            Some(factory) => {
                let birth = Birth {
                    host: id,
                    now: self.network.now(),
                    addresses: self.network.addresses(id.0).to_vec(),
                    session: slot.sessions,
                    seed: self.seed.derive(&format!("{} {}", id.number(), slot.sessions)),
                    previous: previous.map(|it| *it),
                };
                Some(Box::new(factory(birth)))
            }
        };
        self.begin(id);
    }

    /// Ends a session of a host at once: its streams close, and what comes for it is lost.
    pub fn leave(&mut self, id: HostId) {
        if !self.is_up(id) {
            return;
        }
        self.network.close_all(id.0);
        let site = &mut self.network.sites[id.index()];
        site.is_up = false;
        (site.wake, site.deadline) = (u64::MAX, u64::MAX);
        self.network.counters.left += 1;
        let churn = self.churn(id);
        let slot = &mut self.slots[id.index()];
        if self.factory.is_some() && churn.as_ref().is_none_or(|it| it.memory == Memory::Lost) {
            slot.host = None;
        }
        if let Some(churn) = churn {
            let turn = self.slots[id.index()].sessions.saturating_sub(1) as usize;
            let wait = churn.offline.draw(&mut self.dice(), turn);
            self.schedule_life(id, wait, What::Join);
        }
        self.notices.push_back(Notice::Left(id));
    }

    /// Does something with a host that is up, and what follows from it. `None` if it is not.
    pub fn with<T>(&mut self, id: HostId, work: impl FnOnce(&mut H, &mut Net<'_>) -> T) -> Option<T> {
        let is_up = self.network.sites.get(id.index())?.is_up;
        let host = self.slots.get_mut(id.index())?.host.as_deref_mut().filter(|_| is_up)?;
        let mut net = Net::new(&mut self.network, id.0);
        let result = work(host, &mut net);
        host.drive(&mut net);
        while let Some(event) = host.poll_event() {
            self.notices.push_back(Notice::Event { host: id, event });
        }
        self.network.wake_at(id.0, host.poll_timeout());
        Some(result)
    }

    /// Runs a script at a time since the beginning of the world.
    pub fn at(&mut self, when: Duration, script: impl FnOnce(&mut Self) + 'static) {
        let number = self.scripts.insert(Script::Run(Box::new(script)));
        self.network.schedule(nanos(when), What::Script(number));
    }

    /// Gives [`Notice::Mark`] with a number at a time since the beginning of the world.
    pub fn mark(&mut self, when: Duration, number: u64) {
        let script = self.scripts.insert(Script::Mark(number));
        self.network.schedule(nanos(when), What::Script(script));
    }

    /// Runs until there is something to tell. `None` when the time `until`, since the beginning of the world, has come.
    pub fn next(&mut self, until: Duration) -> Option<Notice<H::Event>> {
        let limit = nanos(until);
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            let what = self.network.next(limit)?;
            self.step(what);
        }
    }

    /// Runs until a time since the beginning of the world; `handle` is called for each notice, at its time, and may act on the world.
    pub fn run_until(&mut self, until: Duration, mut handle: impl FnMut(&mut Self, Notice<H::Event>)) {
        while let Some(notice) = self.next(until) {
            handle(self, notice);
        }
    }

    /// Runs until a time since the beginning of the world, and drops all notices.
    pub fn skip_to(&mut self, until: Duration) {
        self.run_until(until, |_, _| {});
    }

    /// Gives a host other addresses, as a new lease or network does. What is under way to the old ones is lost; streams go on.
    pub fn set_addresses(&mut self, id: HostId, addresses: Vec<SocketAddr>) {
        if id.index() < self.slots.len() {
            self.network.rebind(id.0, addresses);
            self.with(id, |host, net| host.handle_network_change(net));
        }
    }

    /// Gives a host another line. The delay of its access stays.
    pub fn set_link(&mut self, id: HostId, link: LinkId) {
        if let Some(site) = self.network.sites.get_mut(id.index()) {
            site.link = link.0;
        }
    }

    /// Sets how one host's datagrams and streams come to another, in place of what distance and lines give. Limits of rate stay.
    pub fn set_route(&mut self, from: HostId, to: HostId, route: Route) {
        self.network.routes.insert((from.0, to.0), route);
    }

    /// Puts a host into groups, for [`Cut`].
    pub fn set_groups(&mut self, id: HostId, groups: Groups) {
        if let Some(site) = self.network.sites.get_mut(id.index()) {
            site.groups = groups.0;
        }
    }

    /// Adds a rule that stops what hosts send to one another. Streams wait, and close if it lasts too long.
    pub fn cut(&mut self, cut: Cut) {
        let now = self.network.nanos();
        self.network.cuts.retain(|it| !it.is_over(now));
        self.network.cuts.push(cut);
    }

    /// Takes back all rules of [`cut`](Self::cut).
    pub fn heal(&mut self) {
        self.network.cuts.clear();
    }

    /// Lets everyone reach an inner address through a port of a NAT or firewall, as a port mapping does.
    pub fn forward_port(&mut self, nat: NatId, port: u16, inner: SocketAddr) {
        if let Some(nat) = self.network.nats.get_mut(nat.0 as usize) {
            nat.forward(port, inner);
        }
    }

    /// Lets a NAT forget all its mappings, forwarded ports too.
    pub fn reset_nat(&mut self, nat: NatId) {
        if let Some(nat) = self.network.nats.get_mut(nat.0 as usize) {
            nat.reset();
        }
    }

    /// Writes a line for each datagram of one host from now on; [`take_log`](Self::take_log) gives them.
    pub fn watch(&mut self, id: HostId) {
        self.network.log = Some((id.0, String::new()));
    }

    /// The lines since the last call: seconds, direction, the other address, bytes, and what became of it.
    pub fn take_log(&mut self) -> String {
        self.network.log.as_mut().map(|(_, log)| std::mem::take(log)).unwrap_or_default()
    }

    /// The time as protocols know it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The time since the beginning of the world.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.network.nanos())
    }

    /// A host: one that is up, or that is down with its memory kept.
    #[must_use]
    pub fn host(&self, id: HostId) -> Option<&H> {
        self.slots.get(id.index())?.host.as_deref()
    }

    /// Whether a host is up.
    #[must_use]
    pub fn is_up(&self, id: HostId) -> bool {
        self.network.sites.get(id.index()).is_some_and(|it| it.is_up)
    }

    /// All hosts, whether up or not.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<H> {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).map(HostId)
    }

    /// A host's own addresses.
    #[must_use]
    pub fn addresses(&self, id: HostId) -> &[SocketAddr] {
        self.network.sites.get(id.index()).map_or(&[], |it| it.addresses.as_slice())
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.network.counters
    }

    /// What one host sent and received, over all its sessions.
    #[must_use]
    pub fn traffic(&self, id: HostId) -> Traffic {
        self.network.sites.get(id.index()).map_or_else(Traffic::default, |it| it.traffic)
    }

    /// The digest over all that was sent so far.
    #[must_use]
    pub const fn trace_hash(&self) -> TraceHash {
        self.network.trace
    }

    /// Puts a host into the network, down.
    fn place(&mut self, config: HostConfig) -> HostId {
        let mut dice = self.dice();
        let mut coordinate = || crate::dice::coordinate(&mut dice);
        let [x, y] = config.place.unwrap_or_else(|| [coordinate(), coordinate()]);
        let link = config.link.map_or(0, |it| it.0);
        let access = self.network.links[link as usize].latency.draw(&mut dice, 0) / 1000;
        let host = self.network.add_site(Site {
            addresses: Addresses::new(config.addresses),
            traffic: Traffic::default(),
            up_free: 0,
            down_free: 0,
            wake: u64::MAX,
            deadline: u64::MAX,
            dice,
            x,
            y,
            access: u32::try_from(access).unwrap_or(u32::MAX),
            nat: config.nat.map_or(NO_NAT, |it| it.0),
            groups: config.groups.0,
            link,
            is_up: false,
            is_bad: false,
        });
        self.slots.push(Slot { host: None, sessions: 0, churn: config.churn });
        HostId(host)
    }

    fn begin(&mut self, id: HostId) {
        let slot = &mut self.slots[id.index()];
        if slot.host.is_none() {
            return;
        }
        let turn = slot.sessions as usize;
        slot.sessions = slot.sessions.wrapping_add(1);
        self.network.sites[id.index()].is_up = true;
        self.network.counters.joined += 1;
        if let Some(churn) = self.churn(id) {
            let length = churn.session.draw(&mut self.dice(), turn);
            self.schedule_life(id, length, What::Leave);
        }
        self.notices.push_back(Notice::Joined(id));
        self.visit(id.0, |host, net| host.handle_start(net));
    }

    fn churn(&self, id: HostId) -> Option<Churn> {
        self.churns.get(self.slots[id.index()].churn?.0 as usize).cloned()
    }

    fn dice(&mut self) -> Dice {
        Dice::new(self.rng.next_u64())
    }

    fn schedule_life(&mut self, id: HostId, wait: u64, what: fn(u32, u16) -> What) {
        let session = session_mark(self.slots[id.index()].sessions);
        self.network.schedule(self.network.nanos().saturating_add(wait), what(id.0, session));
    }

    fn is_session(&self, id: HostId, session: u16) -> bool {
        session_mark(self.slots[id.index()].sessions) == session
    }

    fn step(&mut self, what: What) {
        match what {
            What::Arrive(number) => {
                let arrival = self.network.arrive(number);
                self.hand_over(arrival);
            }
            What::Deliver(number) => {
                let arrival = self.network.deliver(number);
                self.hand_over(arrival);
            }
            What::Stream(number) => {
                if let Some((host, stream, event)) = self.network.step(number) {
                    self.visit(host, |host, net| host.handle_stream(net, stream, event));
                }
            }
            What::Wake(host) => {
                if self.network.is_wake(host) {
                    self.wake(host);
                }
            }
            What::Script(number) => match self.scripts.remove(number) {
                Some(Script::Run(script)) => script(self),
                Some(Script::Mark(number)) => self.notices.push_back(Notice::Mark(number)),
                None => {}
            },
            What::Leave(host, session) => {
                if self.is_session(HostId(host), session) {
                    self.leave(HostId(host));
                }
            }
            What::Join(host, session) => {
                if self.is_session(HostId(host), session) {
                    self.join(HostId(host));
                }
            }
        }
    }

    fn hand_over(&mut self, arrival: Option<Arrival>) {
        match arrival {
            Some(Arrival::Datagram { host, local, remote, bytes }) => {
                let mut path = Path::from_remote(remote);
                path.local = Some(local);
                self.visit(host, |host, net| host.handle_datagram(net, path, &bytes));
                self.network.recycle(bytes);
            }
            Some(Arrival::Unreachable { host, to }) => {
                self.visit(host, |host, net| host.handle_unreachable(net, to));
            }
            None => {}
        }
    }

    /// The host's entry in the queue is due; its deadline may have moved since.
    fn wake(&mut self, number: u32) {
        let now = self.network.nanos();
        let deadline = self.network.sites[number as usize].deadline;
        if deadline > now {
            self.network.wake_by(number, deadline);
            return;
        }
        self.network.counters.timeouts += 1;
        // A host that wants to be woken at once, again and again, must not stop the time.
        self.network.sites[number as usize].wake = 0;
        self.visit(number, |host, net| host.handle_timeout(net));
        let site = &mut self.network.sites[number as usize];
        site.wake = u64::MAX;
        let mut deadline = site.deadline;
        if deadline <= now {
            self.network.counters.stuck_timeouts += 1;
            deadline = now.saturating_add(STUCK);
        }
        self.network.wake_by(number, deadline);
    }

    fn visit(&mut self, host: u32, work: impl FnOnce(&mut H, &mut Net<'_>)) {
        self.network.counters.events += 1;
        let _ = self.with(HostId(host), work);
    }
}

impl<H: Host> fmt::Debug for World<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("elapsed", &self.elapsed())
            .field("hosts", &self.slots.len())
            .field("counters", self.counters())
            .finish_non_exhaustive()
    }
}

/// By what a queued beginning or end of a session is known to be still meant.
#[allow(clippy::cast_possible_truncation, reason = "the lowest bits are wanted")]
const fn session_mark(sessions: u32) -> u16 {
    sessions as u16
}

/// The wait after a timeout that did not move its deadline, in nanoseconds.
const STUCK: u64 = 1_000_000;
