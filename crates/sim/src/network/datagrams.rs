//! The way of a datagram: the sender's NAT and line, the distance, the receiver's NAT and line.

use super::{LAN_DELAY, NO_NAT, Network, Unreachable, What};
use std::net::SocketAddr;

/// A datagram under way.
#[derive(Debug)]
pub(super) struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    sender: u32,
    target: u32,
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Through the internet, and the receiver's NAT if there is one.
    Outside,
    /// It has passed that, or did not need to.
    Inside,
    /// The news that `to` cannot be reached.
    Unreachable,
}

/// What a host gets.
#[derive(Debug)]
pub(crate) enum Arrival {
    Datagram { host: u32, local: SocketAddr, remote: SocketAddr, bytes: Vec<u8> },
    Unreachable { host: u32, to: SocketAddr },
}

impl Network {
    pub(crate) fn send(&mut self, host: u32, from: Option<SocketAddr>, to: SocketAddr, bytes: &[u8]) {
        let sender = host as usize;
        if !self.sites[sender].is_up {
            return;
        }
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += bytes.len() as u64;
        let traffic = &mut self.sites[sender].traffic;
        traffic.datagrams_sent = traffic.datagrams_sent.saturating_add(1);
        traffic.bytes_sent += bytes.len() as u64;
        self.trace.add(self.now);
        self.trace.add(u64::from(host) << 16 | u64::from(to.port()));
        self.trace.add_ip(to.ip());
        self.trace.add_bytes(bytes);
        let lost = |network: &mut Self, cause: &str| {
            network.note(host, format_args!("> {to} {} bytes, {cause}", bytes.len()));
        };
        let Some(from) = from else {
            self.counters.to_nobody += 1;
            return lost(self, "no address of that family");
        };
        let located = self.locate(host, to);
        let nat = self.sites[sender].nat;
        let same_side = located.is_some_and(|(_, same_side)| same_side);
        let mut outer = from;
        if !same_side && let Some(nat) = self.nats.get_mut(nat as usize) {
            if nat.public() == Some(to.ip()) {
                self.counters.blocked += 1;
                return lost(self, "no hairpin");
            }
            match nat.handle_outbound(self.now, from, to) {
                Some(address) => outer = address,
                None => {
                    self.counters.blocked += 1;
                    return lost(self, "no port left");
                }
            }
        }
        let Some((target, _)) = located else {
            self.counters.to_nobody += 1;
            let delay = 4_000 * u64::from(self.sites[sender].access);
            self.bounce(host, to, delay);
            return lost(self, "nobody there");
        };
        if self.cut_until(host, target).is_some() {
            self.counters.cut += 1;
            return lost(self, "cut");
        }
        let link = &self.links[self.sites[sender].link as usize];
        let (other, distance) = (&self.sites[target as usize], self.config.distance);
        let mut delay = self.sites[sender].delay(other, distance);
        let site = &mut self.sites[sender];
        let departs = match link.up {
            None => self.now,
            Some(rate) => match rate.admit(self.now, &mut site.up_free, bytes.len()) {
                Some(departs) => departs,
                None => {
                    self.counters.queue_full += 1;
                    return lost(self, "queue full");
                }
            },
        };
        let route = if self.routes.is_empty() { None } else { self.routes.get(&(host, target)) };
        let (loss, duplicates, vary) = match route {
            None => (link.loss, link.duplicates, &link.jitter),
            Some(route) => (route.loss, route.duplicates, &route.latency),
        };
        if same_side {
            delay = LAN_DELAY;
        } else if route.is_some() {
            delay = 0;
        }
        if !same_side && loss.takes(&mut site.dice, &mut site.is_bad) {
            self.counters.lost += 1;
            return lost(self, "lost");
        }
        let copies = if !same_side && site.dice.chance(duplicates) { 2 } else { 1 };
        let mut arrivals = [0; 2];
        for arrival in arrivals.iter_mut().take(copies) {
            let jitter = if same_side { 0 } else { vary.draw(&mut site.dice, 0) };
            *arrival = departs.saturating_add(delay).saturating_add(jitter);
        }
        self.counters.duplicated += copies as u64 - 1;
        self.note(host, format_args!("> {to} {} bytes", bytes.len()));
        for arrival in arrivals.into_iter().take(copies) {
            let mut buffer = self.buffers.pop().unwrap_or_default();
            buffer.extend_from_slice(bytes);
            let kind = if same_side { Kind::Inside } else { Kind::Outside };
            let flight = self.flights.insert(Flight { from: outer, to, sender: host, target, kind, bytes: buffer });
            self.schedule(arrival, What::Arrive(flight));
        }
    }

    /// A datagram reaches its receiver's line.
    pub(crate) fn arrive(&mut self, number: u32) -> Option<Arrival> {
        let flight = self.flights.get_mut(number)?;
        let (host, target) = (flight.target, flight.target as usize);
        if flight.kind == Kind::Unreachable {
            return self.deliver(number);
        }
        let (from, to, sender) = (flight.from, flight.to, flight.sender);
        let site = &mut self.sites[target];
        if !site.is_up {
            self.counters.to_down += 1;
            return self.fail(number, sender);
        }
        if flight.kind == Kind::Outside
            && site.nat != NO_NAT
            && let Some(nat) = self.nats.get(site.nat as usize)
        {
            let Some(inner) = nat.handle_inbound(self.now, to, from) else {
                self.counters.blocked += 1;
                self.note(host, format_args!("| {from} at {to}, blocked"));
                self.forget(number);
                return None;
            };
            flight.to = inner;
        }
        if !site.addresses.as_slice().contains(&flight.to) {
            self.counters.to_nobody += 1;
            return self.fail(number, sender);
        }
        if let Some(rate) = self.links[site.link as usize].down {
            let Some(at) = rate.admit(self.now, &mut site.down_free, flight.bytes.len()) else {
                self.counters.queue_full += 1;
                self.note(host, format_args!("| {from}, queue full"));
                self.forget(number);
                return None;
            };
            self.schedule(at, What::Deliver(number));
            return None;
        }
        self.deliver(number)
    }

    /// A datagram has passed its receiver's line.
    pub(crate) fn deliver(&mut self, number: u32) -> Option<Arrival> {
        let flight = self.flights.remove(number)?;
        let host = flight.target;
        if !self.sites[host as usize].is_up {
            self.recycle(flight.bytes);
            return None;
        }
        if flight.kind == Kind::Unreachable {
            self.note(host, format_args!("! {} is unreachable", flight.to));
            return Some(Arrival::Unreachable { host, to: flight.to });
        }
        let size = flight.bytes.len();
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += size as u64;
        let traffic = &mut self.sites[host as usize].traffic;
        traffic.datagrams_received = traffic.datagrams_received.saturating_add(1);
        traffic.bytes_received += size as u64;
        self.note(host, format_args!("< {} {size} bytes", flight.from));
        Some(Arrival::Datagram { host, local: flight.to, remote: flight.from, bytes: flight.bytes })
    }

    /// Takes back the buffer of a datagram that was handled.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BYTES && self.buffers.len() < KEPT_BUFFERS {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    fn forget(&mut self, number: u32) {
        if let Some(flight) = self.flights.remove(number) {
            self.recycle(flight.bytes);
        }
    }

    /// Nobody takes a datagram that has come all the way.
    fn fail(&mut self, number: u32, sender: u32) -> Option<Arrival> {
        if let Some(flight) = self.flights.remove(number) {
            let distance = self.config.distance;
            let delay = self.sites[flight.target as usize].delay(&self.sites[sender as usize], distance);
            self.bounce(sender, flight.to, delay);
            self.recycle(flight.bytes);
        }
        None
    }

    /// Tells a sender that an address cannot be reached.
    fn bounce(&mut self, host: u32, to: SocketAddr, delay: u64) {
        if self.config.unreachable == Unreachable::Told {
            let kind = Kind::Unreachable;
            let flight = Flight { from: to, to, sender: host, target: host, kind, bytes: Vec::new() };
            let number = self.flights.insert(flight);
            self.schedule(self.now.saturating_add(delay), What::Arrive(number));
        }
    }
}

/// Buffers that are kept for further datagrams, and the most bytes of each.
const KEPT_BUFFERS: usize = 65_536;
const KEPT_BYTES: usize = 2048;
