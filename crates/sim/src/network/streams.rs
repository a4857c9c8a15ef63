//! The way of a stream. Bytes leave in chunks, in turn with all else on the sender's line, and arrive in order; what is lost costs a
//! round trip; no more than a window is under way.

use super::{LAN_DELAY, NO_NAT, Network, Unreachable, What};
use crate::dice::nanos;
use crate::stream::{ConnectError, StreamEvent, StreamId};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// One end of a stream.
#[derive(Debug)]
pub(super) struct End {
    serial: u32,
    host: u32,
    remote: SocketAddr,
    remote_host: Option<u32>,
    /// The other end, once the stream is open.
    peer: Option<StreamId>,
    /// Whether hosts are on the same side of a NAT.
    same_side: bool,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Bytes that have left and that the peer has not read.
    in_flight: usize,
    is_leaving: bool,
    finish: Finish,
    /// When the last of what was sent arrives; nothing overtakes it.
    last_arrival: u64,
    /// What has come and was not read; `None` is the end.
    inbox: VecDeque<Option<Bytes>>,
    is_paused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finish {
    Open,
    Wanted,
    Sent,
}

/// What happens to a stream at a time.
#[derive(Debug)]
pub(super) enum Step {
    /// The wish to connect reaches the other host.
    Open {
        from: StreamId,
        host: u32,
        local: SocketAddr,
    },
    Opened {
        end: StreamId,
        peer: StreamId,
    },
    Failed {
        end: StreamId,
        error: ConnectError,
    },
    Left {
        end: StreamId,
        bytes: Bytes,
    },
    Arrive {
        end: StreamId,
        bytes: Bytes,
    },
    Through {
        end: StreamId,
        bytes: Bytes,
    },
    Read {
        end: StreamId,
        bytes: usize,
    },
    Finished {
        end: StreamId,
    },
    Resumed {
        end: StreamId,
    },
    Gone {
        end: StreamId,
    },
}

/// What a host is told of a stream.
pub(crate) type Told = (u32, StreamId, StreamEvent);

impl Network {
    pub(crate) fn connect(&mut self, host: u32, to: SocketAddr) -> StreamId {
        let end = self.add_end(host, to);
        let timeout = self.now.saturating_add(nanos(self.config.stream_timeout));
        let failed = |error| Step::Failed { end, error };
        let Some((target, same_side)) = self.locate(host, to) else {
            match self.config.unreachable {
                Unreachable::Silent => self.step_at(timeout, failed(ConnectError::TimedOut)),
                Unreachable::Told => {
                    let delay = 4_000 * u64::from(self.sites[host as usize].access);
                    self.step_at(self.now.saturating_add(delay), failed(ConnectError::Refused));
                }
            }
            return end;
        };
        let local = self.inner(target, to);
        let is_blocked = !same_side && local.is_none();
        if let Some(entry) = self.end_mut(end) {
            entry.remote_host = Some(target);
            entry.same_side = same_side;
        }
        match local.or_else(|| Some(to).filter(|_| same_side)) {
            Some(local) if !is_blocked && self.cut_until(host, target).is_none() => {
                let at = self.now.saturating_add(self.delay(end, 1));
                self.step_at(at, Step::Open { from: end, host: target, local });
            }
            _ => self.step_at(timeout, failed(ConnectError::TimedOut)),
        }
        end
    }

    pub(crate) fn write(&mut self, host: u32, stream: StreamId, bytes: Bytes) {
        if let Some(end) = self.own(host, stream).filter(|it| it.finish == Finish::Open && !bytes.is_empty()) {
            end.queued += bytes.len();
            end.queue.push_back(bytes);
            self.push(stream);
        }
    }

    pub(crate) fn unsent(&self, stream: StreamId) -> usize {
        self.ends.get(stream.index).filter(|it| it.serial == stream.serial).map_or(0, |it| it.queued)
    }

    pub(crate) fn finish(&mut self, host: u32, stream: StreamId) {
        if let Some(end) = self.own(host, stream).filter(|it| it.finish == Finish::Open) {
            end.finish = Finish::Wanted;
            self.push(stream);
        }
    }

    pub(crate) fn close(&mut self, host: u32, stream: StreamId) {
        if self.own(host, stream).is_some() {
            self.end(stream);
        }
    }

    pub(crate) fn pause(&mut self, host: u32, stream: StreamId) {
        if let Some(end) = self.own(host, stream) {
            end.is_paused = true;
        }
    }

    pub(crate) fn resume(&mut self, host: u32, stream: StreamId) {
        if let Some(end) = self.own(host, stream).filter(|it| it.is_paused) {
            end.is_paused = false;
            self.step_at(self.now, Step::Resumed { end: stream });
        }
    }

    /// Ends all streams of a host that goes down.
    pub(crate) fn close_all(&mut self, host: u32) {
        for stream in self.streams.get(&host).cloned().unwrap_or_default() {
            self.end(stream);
        }
    }

    /// Carries out a step; what the host has to be told of it.
    pub(crate) fn step(&mut self, number: u32) -> Option<Told> {
        match self.steps.remove(number)? {
            Step::Open { from, host, local } => self.open(from, host, local),
            Step::Opened { end, peer } => {
                let Some(entry) = self.end_mut(end) else {
                    self.gone(peer, self.now);
                    return None;
                };
                entry.peer = Some(peer);
                let host = entry.host;
                self.push(end);
                Some((host, end, StreamEvent::Connected))
            }
            Step::Failed { end, error } => {
                self.counters.streams_failed += 1;
                let entry = self.remove(end)?;
                Some((entry.host, end, StreamEvent::Failed(error)))
            }
            Step::Left { end, bytes } => self.left(end, bytes),
            Step::Arrive { end, bytes } => {
                let host = self.end_mut(end)?.host;
                let site = &mut self.sites[host as usize];
                if let Some(rate) = self.links[site.link as usize].down {
                    let at = rate.wait(self.now, &mut site.down_free, bytes.len());
                    self.step_at(at, Step::Through { end, bytes });
                    return None;
                }
                self.receive(end, Some(bytes))
            }
            Step::Through { end, bytes } => self.receive(end, Some(bytes)),
            Step::Finished { end } => self.receive(end, None),
            Step::Read { end, bytes } => {
                let entry = self.end_mut(end)?;
                entry.in_flight = entry.in_flight.saturating_sub(bytes);
                self.push(end);
                None
            }
            Step::Resumed { end } => {
                let entry = self.end_mut(end).filter(|it| !it.is_paused)?;
                let item = entry.inbox.pop_front()?;
                if !entry.inbox.is_empty() {
                    self.step_at(self.now, Step::Resumed { end });
                }
                self.hand_over(end, item)
            }
            Step::Gone { end } => {
                let entry = self.remove(end)?;
                Some((entry.host, end, StreamEvent::Closed))
            }
        }
    }

    fn open(&mut self, from: StreamId, host: u32, local: SocketAddr) -> Option<Told> {
        let opener = self.end_mut(from)?;
        let (caller, same_side, sought) = (opener.host, opener.same_side, opener.remote);
        let listens = self.sites[host as usize].is_up && self.addresses(host).contains(&local);
        let Some(own) = self.source(caller, sought).filter(|_| listens) else {
            let at = self.now.saturating_add(nanos(self.config.stream_timeout));
            self.step_at(at, Step::Failed { end: from, error: ConnectError::TimedOut });
            return None;
        };
        // Each stream has a port of its own at the caller's side.
        let port = 49_152 + u16::try_from(from.serial % 16_384).unwrap_or(0);
        let nat = self.nats.get(self.sites[caller as usize].nat as usize).filter(|_| !same_side);
        let ip = nat.and_then(|it| it.translates(&own)).unwrap_or(own.ip());
        let remote = SocketAddr::new(ip, port);
        let end = self.add_end(host, remote);
        let entry = self.end_mut(end)?;
        (entry.remote_host, entry.peer, entry.same_side) = (Some(caller), Some(from), same_side);
        let at = self.now.saturating_add(self.delay(end, 1));
        self.end_mut(end)?.last_arrival = at;
        self.step_at(at, Step::Opened { end: from, peer: end });
        self.counters.streams_opened += 1;
        Some((host, end, StreamEvent::Accepted { local, remote }))
    }

    /// A chunk has left its host.
    fn left(&mut self, end: StreamId, bytes: Bytes) -> Option<Told> {
        let entry = self.end_mut(end)?;
        entry.is_leaving = false;
        entry.queued = entry.queued.saturating_sub(bytes.len());
        entry.in_flight += bytes.len();
        let (host, peer, size) = (entry.host, entry.peer?, bytes.len());
        self.sites[host as usize].traffic.bytes_sent += size as u64;
        self.trace.add(self.now);
        self.trace.add(u64::from(end.serial));
        self.trace.add_bytes(&bytes);
        if let Some(at) = self.arrival(end, size) {
            self.step_at(at, Step::Arrive { end: peer, bytes });
            self.push(end);
        }
        Some((host, end, StreamEvent::Sent(size)))
    }

    /// When something that leaves now arrives; `None` if the way is cut for so long that the stream ends.
    fn arrival(&mut self, end: StreamId, size: usize) -> Option<u64> {
        let entry = self.end_mut(end)?;
        let (host, peer, remote_host) = (entry.host, entry.peer?, entry.remote_host?);
        let mut leaves = self.now;
        if let Some(until) = self.cut_until(host, remote_host) {
            let timeout = self.now.saturating_add(nanos(self.config.stream_timeout));
            if until > timeout {
                self.gone(end, timeout);
                self.gone(peer, timeout);
                return None;
            }
            leaves = until;
        }
        let at = leaves.saturating_add(self.delay(end, size));
        let entry = self.end_mut(end)?;
        entry.last_arrival = entry.last_arrival.max(at);
        Some(entry.last_arrival)
    }

    fn receive(&mut self, end: StreamId, item: Option<Bytes>) -> Option<Told> {
        let entry = self.end_mut(end)?;
        if entry.is_paused || !entry.inbox.is_empty() {
            entry.inbox.push_back(item);
            return None;
        }
        self.hand_over(end, item)
    }

    fn hand_over(&mut self, end: StreamId, item: Option<Bytes>) -> Option<Told> {
        let entry = self.end_mut(end)?;
        let (host, peer) = (entry.host, entry.peer);
        let Some(bytes) = item else { return Some((host, end, StreamEvent::End)) };
        self.counters.stream_bytes += bytes.len() as u64;
        self.sites[host as usize].traffic.bytes_received += bytes.len() as u64;
        if let Some(peer) = peer {
            let at = self.now.saturating_add(self.delay(end, 1));
            self.step_at(at, Step::Read { end: peer, bytes: bytes.len() });
        }
        Some((host, end, StreamEvent::Data(bytes)))
    }

    /// Lets the next chunk leave, if one may.
    fn push(&mut self, stream: StreamId) {
        let window = self.config.stream_window;
        let Some(end) = self.end_mut(stream).filter(|it| !it.is_leaving) else { return };
        let Some(peer) = end.peer else { return };
        let Some(first) = end.queue.front_mut() else {
            if end.finish == Finish::Wanted {
                end.finish = Finish::Sent;
                if let Some(at) = self.arrival(stream, 1) {
                    self.step_at(at, Step::Finished { end: peer });
                }
            }
            return;
        };
        let size = first.len().min(CHUNK).min(window.saturating_sub(end.in_flight));
        if size == 0 {
            return;
        }
        let bytes = first.split_to(size);
        if first.is_empty() {
            end.queue.pop_front();
        }
        end.is_leaving = true;
        let host = end.host as usize;
        let site = &mut self.sites[host];
        let up = self.links[site.link as usize].up;
        let at = up.map_or(self.now, |rate| rate.wait(self.now, &mut site.up_free, size));
        self.step_at(at, Step::Left { end: stream, bytes });
    }

    /// How long bytes take from this end to the other. Each lost segment's resending costs a round trip, and those of one chunk are
    /// resent together.
    fn delay(&mut self, end: StreamId, size: usize) -> u64 {
        let Some((host, remote, same_side)) =
            self.end_mut(end).and_then(|it| Some((it.host, it.remote_host?, it.same_side)))
        else {
            return 0;
        };
        if same_side {
            return LAN_DELAY;
        }
        let link = &self.links[self.sites[host as usize].link as usize];
        let distance = self.sites[host as usize].delay(&self.sites[remote as usize], self.config.distance);
        let site = &mut self.sites[host as usize];
        let (loss, delay) = match self.routes.get(&(host, remote)) {
            None => (link.loss, distance.saturating_add(link.jitter.draw(&mut site.dice, 0))),
            Some(route) => (route.loss, route.latency.draw(&mut site.dice, 0)),
        };
        let mut missing = size.div_ceil(SEGMENT);
        let mut rounds = 0;
        while missing > 0 && rounds < MAX_RESENT {
            missing = (0..missing).filter(|_| loss.takes(&mut site.dice, &mut site.is_bad)).count();
            rounds += u64::from(missing > 0);
        }
        delay.saturating_add(delay.saturating_mul(2).max(MIN_RESEND).saturating_mul(rounds))
    }

    /// The address at which a host would accept a stream from outside; `None` if its NAT does not let it through.
    fn inner(&self, host: u32, to: SocketAddr) -> Option<SocketAddr> {
        let site = &self.sites[host as usize];
        if site.nat == NO_NAT {
            return Some(to);
        }
        self.nats.get(site.nat as usize)?.forwarded(to)
    }

    fn add_end(&mut self, host: u32, remote: SocketAddr) -> StreamId {
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let index = self.ends.insert(End {
            serial,
            host,
            remote,
            remote_host: None,
            peer: None,
            same_side: false,
            queue: VecDeque::new(),
            queued: 0,
            in_flight: 0,
            is_leaving: false,
            finish: Finish::Open,
            last_arrival: 0,
            inbox: VecDeque::new(),
            is_paused: false,
        });
        let id = StreamId { serial, index };
        self.streams.entry(host).or_default().push(id);
        id
    }

    fn end_mut(&mut self, stream: StreamId) -> Option<&mut End> {
        self.ends.get_mut(stream.index).filter(|it| it.serial == stream.serial)
    }

    fn own(&mut self, host: u32, stream: StreamId) -> Option<&mut End> {
        self.end_mut(stream).filter(|it| it.host == host)
    }

    fn remove(&mut self, stream: StreamId) -> Option<End> {
        self.end_mut(stream)?;
        let end = self.ends.remove(stream.index)?;
        if let Some(streams) = self.streams.get_mut(&end.host) {
            streams.retain(|it| *it != stream);
            if streams.is_empty() {
                self.streams.remove(&end.host);
            }
        }
        Some(end)
    }

    /// Removes an end and tells the other one.
    fn end(&mut self, stream: StreamId) {
        let arrives = self.arrival(stream, 1);
        let Some(end) = self.remove(stream) else { return };
        if let (Some(peer), Some(at)) = (end.peer, arrives) {
            self.gone(peer, at);
        }
    }

    fn gone(&mut self, end: StreamId, at: u64) {
        self.step_at(at, Step::Gone { end });
    }

    fn step_at(&mut self, at: u64, step: Step) {
        let number = self.steps.insert(step);
        self.schedule(at, What::Stream(number));
    }
}

/// What leaves at a time, in bytes; other streams of the host have their turn after it.
const CHUNK: usize = 16_384;
/// Payload of a packet of TCP.
const SEGMENT: usize = 1460;
/// How often lost segments are resent before they count as arrived.
const MAX_RESENT: u64 = 16;
/// The least delay of what was resent, in nanoseconds.
const MIN_RESEND: u64 = 10_000_000;
