//! The network between the hosts: who is where, what is under way, and what becomes of it. It knows nothing of what the hosts are.

mod datagrams;
mod streams;

pub(crate) use datagrams::Arrival;

use crate::address_map::{AddressMap, fingerprint};
use crate::counters::{Counters, TraceHash};
use crate::cut::Cut;
use crate::dice::nanos;
use crate::host_id::HostId;
use crate::link::{Addresses, Link, Route, Site};
use crate::nat::NatBox;
use crate::slab::Slab;
use crate::stream::StreamId;
use crate::wheel::Wheel;
use bytes::Bytes;
use datagrams::Flight;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use streams::{End, Step};

/// What a world is like.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct WorldConfig {
    /// The line of hosts that name no other.
    pub link: Link,
    /// Hosts stand in a square with sides of length 1, at random places unless told otherwise. This is the delay, one way, between two
    /// places at a distance of 1; it comes on top of the delays of both lines. Half of all pairs are less than 0.51 apart.
    pub distance: Duration,
    /// What a sender learns when it sends to an address that nobody has, or whose host is down.
    pub unreachable: Unreachable,
    /// Bytes that may be on their way in each direction of a stream, those that the receiver has not read among them. A stream carries
    /// no more than this in each round trip.
    pub stream_window: usize,
    /// After how much time without an answer a stream is not opened, or, under a cut, is closed.
    pub stream_timeout: Duration,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            link: Link::default(),
            distance: Duration::from_millis(40),
            unreachable: Unreachable::Silent,
            stream_window: 1 << 20,
            stream_timeout: Duration::from_secs(20),
        }
    }
}

/// What comes back from an address that nobody has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Unreachable {
    /// Nothing, as from most hosts that are switched off.
    Silent,
    /// A message of ICMP, and for streams a refusal.
    Told,
}

/// What an entry of the queue stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A datagram reaches the host's line.
    Arrive(u32),
    /// A datagram has passed the host's line.
    Deliver(u32),
    /// The host may have a timeout.
    Wake(u32),
    /// A stream goes on.
    Stream(u32),
    /// A script of the user runs.
    Script(u32),
    /// The session of a host ends, if it is still this one (by the lowest 16 bits of its number).
    Leave(u32, u16),
    /// The next session of a host begins, if it is not up.
    Join(u32, u16),
}

impl What {
    const fn pack(self) -> u64 {
        let (kind, number, session) = match self {
            Self::Arrive(number) => (0, number, 0),
            Self::Deliver(number) => (1, number, 0),
            Self::Wake(number) => (2, number, 0),
            Self::Stream(number) => (3, number, 0),
            Self::Script(number) => (4, number, 0),
            Self::Leave(number, session) => (5, number, session),
            Self::Join(number, session) => (6, number, session),
        };
        (kind << 56) | ((session as u64) << 32) | number as u64
    }

    #[allow(clippy::cast_possible_truncation, reason = "the parts are cut out of the word")]
    const fn unpack(word: u64) -> Self {
        let (number, session) = (word as u32, (word >> 32) as u16);
        match word >> 56 {
            0 => Self::Arrive(number),
            1 => Self::Deliver(number),
            2 => Self::Wake(number),
            3 => Self::Stream(number),
            4 => Self::Script(number),
            5 => Self::Leave(number, session),
            _ => Self::Join(number, session),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Network {
    start: Instant,
    now: u64,
    pub(crate) config: WorldConfig,
    wheel: Wheel,
    pub(crate) sites: Vec<Site>,
    /// Hosts by the fingerprint of realm and address; realm 0 is the internet, above are the insides of the NATs.
    bound: AddressMap<u64, u32>,
    pub(crate) nats: Vec<NatBox>,
    nat_by_ip: AddressMap<IpAddr, u32>,
    pub(crate) links: Vec<Link>,
    pub(crate) routes: AddressMap<(u32, u32), Route>,
    pub(crate) cuts: Vec<Cut>,
    flights: Slab<Flight>,
    /// Emptied buffers of datagrams, to use again.
    buffers: Vec<Vec<u8>>,
    /// What protocols write their datagrams into.
    scratch: Vec<u8>,
    steps: Slab<Step>,
    ends: Slab<End>,
    streams: AddressMap<u32, Vec<StreamId>>,
    next_serial: u32,
    pub(crate) counters: Counters,
    pub(crate) trace: TraceHash,
    pub(crate) log: Option<(u32, String)>,
}

impl Network {
    pub(crate) fn new(start: Instant, config: WorldConfig) -> Self {
        Self {
            start,
            now: 0,
            wheel: Wheel::new(),
            sites: Vec::new(),
            bound: AddressMap::default(),
            nats: Vec::new(),
            nat_by_ip: AddressMap::default(),
            links: vec![config.link.clone()],
            routes: AddressMap::default(),
            cuts: Vec::new(),
            flights: Slab::new(),
            buffers: Vec::new(),
            scratch: Vec::new(),
            steps: Slab::new(),
            ends: Slab::new(),
            streams: AddressMap::default(),
            next_serial: 0,
            counters: Counters::default(),
            trace: TraceHash::NEW,
            log: None,
            config,
        }
    }

    pub(crate) const fn nanos(&self) -> u64 {
        self.now
    }

    pub(crate) fn now(&self) -> Instant {
        self.instant(self.now)
    }

    pub(crate) fn instant(&self, at: u64) -> Instant {
        // The sum fits for as long as the platform's clock does; beyond that time stands still.
        self.start.checked_add(Duration::from_nanos(at)).unwrap_or(self.start)
    }

    pub(crate) fn schedule(&mut self, at: u64, what: What) {
        self.wheel.push(at.max(self.now), what.pack());
    }

    /// The next thing that is due until `limit`; the time goes there.
    pub(crate) fn next(&mut self, limit: u64) -> Option<What> {
        let next = self.wheel.pop(limit);
        self.now = self.now.max(next.map_or(limit, |(at, _)| at));
        Some(What::unpack(next?.1))
    }

    /// Takes note of a host's deadline, and sees to it that the host is woken then. At most one entry of the queue is in force for each host.
    pub(crate) fn wake_at(&mut self, host: u32, deadline: Option<Instant>) {
        let at = deadline.map_or(u64::MAX, |it| nanos(it.saturating_duration_since(self.start)).max(self.now));
        if let Some(site) = self.sites.get_mut(host as usize) {
            site.deadline = at;
            self.wake_by(host, at);
        }
    }

    /// Sees to it that the host is woken at this time or before.
    pub(crate) fn wake_by(&mut self, host: u32, at: u64) {
        if let Some(site) = self.sites.get_mut(host as usize)
            && at < site.wake
        {
            site.wake = at;
            self.schedule(at, What::Wake(host));
        }
    }

    /// Whether the entry that was due is the one in force.
    pub(crate) fn is_wake(&mut self, host: u32) -> bool {
        let now = self.now;
        let Some(site) = self.sites.get_mut(host as usize).filter(|it| it.wake == now) else { return false };
        site.wake = u64::MAX;
        true
    }

    pub(crate) fn add_nat(&mut self, nat: NatBox) -> u32 {
        let number = u32::try_from(self.nats.len()).unwrap_or(u32::MAX);
        if let Some(public) = nat.public() {
            self.nat_by_ip.insert(public, number);
        }
        self.nats.push(nat);
        number
    }

    /// Puts a host into the network; it is down.
    pub(crate) fn add_site(&mut self, site: Site) -> u32 {
        let host = u32::try_from(self.sites.len()).unwrap_or(u32::MAX);
        self.sites.push(site);
        self.bind(host);
        host
    }

    /// Gives a host these addresses in place of those that it has.
    pub(crate) fn rebind(&mut self, host: u32, addresses: Vec<SocketAddr>) {
        for address in self.addresses(host).to_vec() {
            let key = fingerprint(&(self.realm(host, &address), address));
            if self.bound.get(&key) == Some(&host) {
                self.bound.remove(&key);
            }
        }
        self.sites[host as usize].addresses = Addresses::new(addresses);
        self.bind(host);
    }

    fn bind(&mut self, host: u32) {
        for address in self.sites[host as usize].addresses.as_slice() {
            self.bound.insert(fingerprint(&(self.realm(host, address), *address)), host);
        }
    }

    pub(crate) fn addresses(&self, host: u32) -> &[SocketAddr] {
        self.sites[host as usize].addresses.as_slice()
    }

    /// Where an address of a host means something.
    fn realm(&self, host: u32, address: &SocketAddr) -> u32 {
        let nat = self.sites[host as usize].nat;
        let translates = self.nats.get(nat as usize).is_some_and(|it| it.translates(address).is_some());
        if translates { nat + 1 } else { 0 }
    }

    fn find(&self, realm: u32, address: SocketAddr) -> Option<u32> {
        self.bound.get(&fingerprint(&(realm, address))).copied()
    }

    /// The host that an address leads to from where `host` is, and whether they are on the same side of a NAT.
    fn locate(&self, host: u32, to: SocketAddr) -> Option<(u32, bool)> {
        let nat = self.sites[host as usize].nat;
        let direct = self.find(0, to).or_else(|| self.find(nat.checked_add(1)?, to));
        if let Some(target) = direct {
            return Some((target, nat != NO_NAT && self.sites[target as usize].nat == nat));
        }
        let outer = *self.nat_by_ip.get(&to.ip())?;
        let inner = self.nats[outer as usize].owner(to.port())?;
        self.find(outer + 1, inner).map(|target| (target, false))
    }

    /// Until when a rule stops what one host sends to the other.
    fn cut_until(&self, from: u32, to: u32) -> Option<u64> {
        let groups = |host: u32| self.sites[host as usize].groups;
        self.cuts.iter().filter_map(|it| it.stops(self.now, groups(from), groups(to))).max()
    }

    /// The first of a host's addresses that can send to `to`.
    fn source(&self, host: u32, to: SocketAddr) -> Option<SocketAddr> {
        self.addresses(host).iter().find(|it| it.is_ipv4() == to.is_ipv4()).copied()
    }

    fn note(&mut self, host: u32, what: std::fmt::Arguments<'_>) {
        if let Some((watched, log)) = &mut self.log
            && *watched == host
        {
            let (seconds, nanos) = (self.now / 1_000_000_000, self.now % 1_000_000_000);
            // Writing to a string does not fail.
            let _ = writeln!(log, "{seconds}.{nanos:09} {what}");
        }
    }
}

/// What a host may do to the network, and what it may know of it.
#[derive(Debug)]
pub struct Net<'a> {
    network: &'a mut Network,
    host: u32,
}

impl<'a> Net<'a> {
    pub(crate) const fn new(network: &'a mut Network, host: u32) -> Self {
        Self { network, host }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The host that this is.
    #[must_use]
    pub const fn host(&self) -> HostId {
        HostId(self.host)
    }

    /// The host's own addresses, as it sees them.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.network.addresses(self.host)
    }

    /// Sends a datagram from the first of the host's addresses that is of the same family as `to`.
    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let from = self.network.source(self.host, to);
        self.network.send(self.host, from, to, datagram);
    }

    /// Sends a datagram from a particular address of the host. From one that it does not have nothing is sent.
    pub fn send_from(&mut self, local: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let from = Some(local).filter(|it| self.addresses().contains(it));
        self.network.send(self.host, from, to, datagram);
    }

    /// An empty buffer, to be given back.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.network.scratch)
    }

    pub(crate) fn put_scratch(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.network.scratch = buffer;
    }

    /// Opens a stream; [`StreamEvent::Connected`](crate::StreamEvent::Connected) or [`StreamEvent::Failed`](crate::StreamEvent::Failed)
    /// tells what became of it.
    #[must_use]
    pub fn connect(&mut self, to: SocketAddr) -> StreamId {
        self.network.connect(self.host, to)
    }

    /// Puts bytes into a stream of this host. They are kept until they can leave; [`StreamEvent::Sent`](crate::StreamEvent::Sent) tells
    /// of that, and [`unsent`](Self::unsent) how many wait.
    pub fn write(&mut self, stream: StreamId, bytes: Bytes) {
        self.network.write(self.host, stream, bytes);
    }

    /// Bytes that were written and have not left.
    #[must_use]
    pub fn unsent(&self, stream: StreamId) -> usize {
        self.network.unsent(stream)
    }

    /// Says that no more bytes follow, once those that were written have left.
    pub fn finish(&mut self, stream: StreamId) {
        self.network.finish(self.host, stream);
    }

    /// Ends a stream of this host in both directions at once. What has not left is lost.
    pub fn close(&mut self, stream: StreamId) {
        self.network.close(self.host, stream);
    }

    /// Reads no more from the stream until [`resume`](Self::resume). The other side goes on until its window is full.
    pub fn pause(&mut self, stream: StreamId) {
        self.network.pause(self.host, stream);
    }

    /// Reads on.
    pub fn resume(&mut self, stream: StreamId) {
        self.network.resume(self.host, stream);
    }
}

/// In place of the number of a NAT: none.
pub(crate) const NO_NAT: u32 = u32::MAX;
/// The delay between hosts on the same side of a NAT, in nanoseconds.
const LAN_DELAY: u64 = 200_000;
