//! Address translation and firewalls, as RFC 4787 sorts them: how inner addresses are mapped to outer ones, and whose datagrams may
//! come in.

use crate::address_map::fingerprint;
use crate::dice::nanos;
use crate::sorted::Sorted;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// Names a NAT or firewall of a world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NatId(pub(crate) u32);

/// How a NAT maps and filters. Hairpins, from behind a NAT to its own outer address, are dropped by all kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum NatKind {
    /// One outer port for each inner address; anyone may send to it while it lives.
    FullCone,
    /// One outer port; only IP addresses that were sent to may answer.
    Restricted,
    /// One outer port; only addresses with port that were sent to may answer.
    PortRestricted,
    /// An outer port for each address that is sent to, which alone may answer.
    Symmetric,
    /// No translation: hosts keep public addresses, and only addresses with port that were sent to may answer.
    Firewall,
}

impl NatKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::FullCone, Self::Restricted, Self::PortRestricted, Self::Symmetric, Self::Firewall];
}

/// A box between some hosts and the internet. IPv6 is not translated: for it every kind is a [`NatKind::Firewall`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NatConfig {
    /// How it maps and filters.
    pub kind: NatKind,
    /// Its outer IPv4 address; a firewall needs none.
    pub public: Option<IpAddr>,
    /// How long a mapping, and the right to answer, lives after the last datagram that went out. Real ones take 30 s to 5 min.
    pub timeout: Duration,
}

impl NatConfig {
    /// A NAT with an outer address and a timeout of 90 s.
    #[must_use]
    pub const fn new(kind: NatKind, public: IpAddr) -> Self {
        Self { kind, public: Some(public), timeout: Duration::from_secs(90) }
    }

    /// A firewall with a timeout of 90 s.
    #[must_use]
    pub const fn firewall() -> Self {
        Self { kind: NatKind::Firewall, public: None, timeout: Duration::from_secs(90) }
    }
}

/// The state of a NAT. Memory goes with what is live: 8 bytes for each address that may answer, 16 for each outer port.
#[derive(Debug)]
pub(crate) struct NatBox {
    kind: NatKind,
    public: Option<IpAddr>,
    /// In ticks, as are all times here.
    timeout: u32,
    next_port: u16,
    /// Outer ports by the fingerprint of inner address and, if symmetric, remote address.
    mappings: Sorted<u32, Mapping>,
    /// Those that were set up by hand or by a port mapping protocol: everyone may send, for ever.
    forwards: Sorted<u16, SocketAddr>,
    /// Until when a remote may send to an address of ours, by the fingerprint of both. Symmetric ones need none: a mapping is for one remote.
    permits: Sorted<u32, u32>,
    /// When it was last looked for what has expired.
    tidied: u32,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    port: u16,
    inner: SocketAddrV4,
    expires: u32,
}

impl NatBox {
    pub(crate) fn new(config: &NatConfig) -> Self {
        Self {
            kind: config.kind,
            public: config.public,
            timeout: ticks(nanos(config.timeout)),
            next_port: FIRST_PORT,
            mappings: Sorted::new(),
            forwards: Sorted::new(),
            permits: Sorted::new(),
            tidied: 0,
        }
    }

    pub(crate) const fn public(&self) -> Option<IpAddr> {
        self.public
    }

    /// The outer IP address under which an inner one is seen, if it is translated.
    pub(crate) fn translates(&self, inner: &SocketAddr) -> Option<IpAddr> {
        self.public.filter(|_| inner.is_ipv4() && self.kind != NatKind::Firewall)
    }

    /// The address that a datagram bears outside. `None` if there is no port left.
    pub(crate) fn handle_outbound(&mut self, now: u64, inner: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let now = ticks(now);
        let expires = now.saturating_add(self.timeout);
        self.tidy(now);
        let (Some(public), SocketAddr::V4(own)) = (self.translates(&inner), inner) else {
            self.permit(permit_key(inner, to, NatKind::Firewall), expires);
            return Some(inner);
        };
        let symmetric = self.kind == NatKind::Symmetric;
        let port = match self.forwards.find_value(|forwarded| *forwarded == inner) {
            Some((port, _)) => port,
            None => {
                let key = mapping_key(inner, to, symmetric);
                let known = self.mappings.get(key).filter(|it| it.expires >= now).map(|it| it.port);
                let port = known.or_else(|| self.free_port(now, own, symmetric))?;
                self.mappings.insert(key, Mapping { port, inner: own, expires });
                port
            }
        };
        let outer = SocketAddr::new(public, port);
        if self.kind != NatKind::FullCone && !symmetric {
            self.permit(permit_key(outer, to, self.kind), expires);
        }
        Some(outer)
    }

    /// The inner address that owns an outer port, whether or not it would get anything now.
    pub(crate) fn owner(&self, port: u16) -> Option<SocketAddr> {
        self.forwards.get(port).copied().or_else(|| self.mapping(port).map(|it| it.inner.into()))
    }

    /// The inner address that an outer one is forwarded to.
    pub(crate) fn forwarded(&self, to: SocketAddr) -> Option<SocketAddr> {
        let inner = *self.forwards.get(to.port())?;
        Some(inner).filter(|inner| Some(to.ip()) == self.public || *inner == to)
    }

    /// Where a datagram from outside goes; `None` if it is blocked.
    pub(crate) fn handle_inbound(&self, now: u64, to: SocketAddr, from: SocketAddr) -> Option<SocketAddr> {
        let now = ticks(now);
        let allows = |kind| self.permits.get(permit_key(to, from, kind)).is_some_and(|expires| *expires >= now);
        if Some(to.ip()) != self.public || self.kind == NatKind::Firewall {
            return Some(to).filter(|_| allows(NatKind::Firewall) || self.forwarded(to).is_some());
        }
        if let Some(inner) = self.forwards.get(to.port()) {
            return Some(*inner);
        }
        let is_open = |it: &Mapping| it.port == to.port() && it.expires >= now;
        let (key, mapping) = self.mappings.find_value(is_open)?;
        let inner = mapping.inner.into();
        let passes = match self.kind {
            NatKind::FullCone => true,
            NatKind::Symmetric => key == mapping_key(inner, from, true),
            kind => allows(kind),
        };
        Some(inner).filter(|_| passes)
    }

    fn mapping(&self, port: u16) -> Option<&Mapping> {
        self.mappings.find_value(|it| it.port == port).map(|(_, mapping)| mapping)
    }

    /// Lets everyone reach an inner address through an outer port, for ever.
    pub(crate) fn forward(&mut self, port: u16, inner: SocketAddr) {
        self.forwards.insert(port, inner);
    }

    /// Forgets all mappings, as a restart does, forwarded ports too.
    pub(crate) fn reset(&mut self) {
        self.mappings.clear();
        self.forwards.clear();
        self.permits.clear();
    }

    fn permit(&mut self, key: u32, expires: u32) {
        self.permits.insert(key, expires);
    }

    /// Forgets what has expired, when there is no room left and from time to time.
    fn tidy(&mut self, now: u32) {
        let is_time = now.saturating_sub(self.tidied) > self.timeout;
        if is_time || self.permits.is_full() {
            self.permits.tidy(|expires| *expires >= now);
        }
        if is_time || self.mappings.is_full() {
            self.mappings.tidy(|it| it.expires >= now);
        }
        if is_time {
            self.tidied = now;
        }
    }

    /// Cones keep the inner port where it is free; symmetric ones give the next.
    fn free_port(&mut self, now: u32, inner: SocketAddrV4, symmetric: bool) -> Option<u16> {
        let is_free = |port: u16| {
            let is_ours = |other: SocketAddr| other == SocketAddr::V4(inner) && !symmetric;
            self.forwards.get(port).is_none_or(|other| is_ours(*other))
                && self.mapping(port).is_none_or(|it| it.expires < now || is_ours(it.inner.into()))
        };
        if !symmetric && is_free(inner.port()) {
            return Some(inner.port());
        }
        let mut port = self.next_port;
        for _ in FIRST_PORT..=u16::MAX {
            let next = if port == u16::MAX { FIRST_PORT } else { port + 1 };
            if is_free(port) {
                self.next_port = next;
                return Some(port);
            }
            port = next;
        }
        None
    }
}

/// What a kind has an outer port for: an inner address, or one and a remote.
fn mapping_key(inner: SocketAddr, remote: SocketAddr, symmetric: bool) -> u32 {
    short(&(inner, Some(remote).filter(|_| symmetric)))
}

/// Whom a kind lets answer: a host, or one port of it.
fn permit_key(ours: SocketAddr, remote: SocketAddr, kind: NatKind) -> u32 {
    match kind {
        NatKind::Restricted => short(&(ours, remote.ip())),
        _ => short(&(ours, remote)),
    }
}

/// Time in units of 2²⁶ ns, some 67 ms: rights end so much later at most.
#[expect(clippy::cast_possible_truncation, reason = "it is enough for nine years")]
const fn ticks(nanos: u64) -> u32 {
    (nanos >> 26) as u32
}

/// Half of a fingerprint: within one box it tells apart what has to be told apart.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn short(value: &impl Hash) -> u32 {
    fingerprint(value) as u32
}

const FIRST_PORT: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], port))
    }

    fn nat(kind: NatKind) -> NatBox {
        NatBox::new(&NatConfig::new(kind, address(1, 0).ip()))
    }

    #[test]
    fn cones_show_one_port_and_symmetric_ones_a_port_for_each_remote() {
        let inner = SocketAddr::from(([10, 0, 0, 2], 6881));
        for kind in NatKind::ALL {
            let mut nat = nat(kind);
            let first = nat.handle_outbound(0, inner, address(7, 1)).unwrap();
            let second = nat.handle_outbound(0, inner, address(8, 1)).unwrap();
            assert_eq!(first == second, kind != NatKind::Symmetric, "{kind:?}");
            assert_eq!(nat.handle_outbound(0, inner, address(7, 1)), Some(first), "{kind:?}");
        }
    }

    #[test]
    fn two_hosts_with_one_inner_port_get_two_outer_ones() {
        let mut nat = nat(NatKind::PortRestricted);
        let inner = |last| SocketAddr::from(([10, 0, 0, last], 6881));
        let first = nat.handle_outbound(0, inner(2), address(7, 1)).unwrap();
        let second = nat.handle_outbound(0, inner(3), address(7, 1)).unwrap();
        assert_ne!(first, second);
        assert_eq!(nat.handle_inbound(1, first, address(7, 1)), Some(inner(2)));
        assert_eq!(nat.handle_inbound(1, second, address(7, 1)), Some(inner(3)));
    }

    #[test]
    fn expired_permits_are_forgotten() {
        let mut nat = nat(NatKind::PortRestricted);
        let inner = SocketAddr::from(([10, 0, 0, 2], 6881));
        for second in 0..10_000_u64 {
            let remote = SocketAddr::from(([198, 51, 100, 1], u16::try_from(second).unwrap()));
            nat.handle_outbound(second * 1_000_000_000, inner, remote).unwrap();
        }
        let live = (0..10_000).filter(|port| {
            let remote = SocketAddr::from(([198, 51, 100, 1], *port));
            nat.permits.get(permit_key(address(1, 6881), remote, nat.kind)).is_some()
        });
        assert!(live.count() < 300);
    }
}
