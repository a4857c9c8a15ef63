//! Address translation and firewalls, as RFC 4787 sorts them: how inner addresses are mapped to outer ones, and whose datagrams may
//! come in.

use crate::address_map::fingerprint;
use crate::dice::nanos;
use crate::sorted::Sorted;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
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

/// The state of a NAT. Memory goes with the number of live mappings: 8 bytes for each address that may answer.
#[derive(Debug)]
pub(crate) struct NatBox {
    kind: NatKind,
    public: Option<IpAddr>,
    /// In ticks, as are all times here.
    timeout: u32,
    next_port: u16,
    /// Outer ports by the fingerprint of inner address and, if symmetric, remote address.
    out: Sorted<u32, (u16, u32)>,
    /// Inner addresses by outer port.
    ports: Sorted<u16, Mapping>,
    /// Until when a remote may send to an address of ours, by the fingerprint of both.
    permits: Sorted<u32, u32>,
}

#[derive(Debug)]
struct Mapping {
    inner: SocketAddr,
    expires: u32,
    /// Set up by hand or by a port mapping protocol: everyone may send, for ever.
    is_forwarded: bool,
}

impl NatBox {
    pub(crate) fn new(config: &NatConfig) -> Self {
        Self {
            kind: config.kind,
            public: config.public,
            timeout: ticks(nanos(config.timeout)),
            next_port: FIRST_PORT,
            out: Sorted::new(),
            ports: Sorted::new(),
            permits: Sorted::new(),
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
        let Some(public) = self.translates(&inner) else {
            self.permit(now, permit_key(inner, to, NatKind::Firewall), expires);
            return Some(inner);
        };
        let symmetric = self.kind == NatKind::Symmetric;
        let forwarded = self.out.get(short(&(inner, None::<SocketAddr>))).filter(|(_, expires)| *expires == FOREVER);
        let key = short(&(inner, Some(to).filter(|_| symmetric)));
        let known = forwarded.or_else(|| self.out.get(key).filter(|(_, expires)| *expires >= now)).copied();
        let port = match known {
            Some((port, FOREVER)) => port,
            known => {
                let port = known.map_or_else(|| self.free_port(now, inner, symmetric), |(port, _)| Some(port))?;
                self.out.tidy(|(_, expires)| *expires >= now);
                self.ports.tidy(|it| it.expires >= now);
                self.out.insert(key, (port, expires));
                self.ports.insert(port, Mapping { inner, expires, is_forwarded: false });
                port
            }
        };
        let outer = SocketAddr::new(public, port);
        if self.kind != NatKind::FullCone {
            self.permit(now, permit_key(outer, to, self.kind), expires);
        }
        Some(outer)
    }

    /// The inner address that owns an outer port, whether or not it would get anything now.
    pub(crate) fn owner(&self, port: u16) -> Option<SocketAddr> {
        self.ports.get(port).map(|it| it.inner)
    }

    /// The inner address that an outer one is forwarded to.
    pub(crate) fn forwarded(&self, to: SocketAddr) -> Option<SocketAddr> {
        let mapping = self.ports.get(to.port()).filter(|it| it.is_forwarded)?;
        Some(mapping.inner).filter(|inner| Some(to.ip()) == self.public || *inner == to)
    }

    /// Where a datagram from outside goes; `None` if it is blocked.
    pub(crate) fn handle_inbound(&self, now: u64, to: SocketAddr, from: SocketAddr) -> Option<SocketAddr> {
        let now = ticks(now);
        let allows = |kind| self.permits.get(permit_key(to, from, kind)).is_some_and(|expires| *expires >= now);
        if Some(to.ip()) != self.public || self.kind == NatKind::Firewall {
            return Some(to).filter(|_| allows(NatKind::Firewall) || self.forwarded(to).is_some());
        }
        let mapping = self.ports.get(to.port()).filter(|it| it.expires >= now)?;
        let passes = mapping.is_forwarded || self.kind == NatKind::FullCone || allows(self.kind);
        Some(mapping.inner).filter(|_| passes)
    }

    /// Lets everyone reach an inner address through an outer port, for ever.
    pub(crate) fn forward(&mut self, port: u16, inner: SocketAddr) {
        self.out.insert(short(&(inner, None::<SocketAddr>)), (port, FOREVER));
        self.ports.insert(port, Mapping { inner, expires: FOREVER, is_forwarded: true });
    }

    /// Forgets all mappings, as a restart does, forwarded ports too.
    pub(crate) fn reset(&mut self) {
        self.out.clear();
        self.ports.clear();
        self.permits.clear();
    }

    fn permit(&mut self, now: u32, key: u32, expires: u32) {
        self.permits.tidy(|expires| *expires >= now);
        self.permits.insert(key, expires);
    }

    /// Cones keep the inner port where it is free; symmetric ones give the next.
    fn free_port(&mut self, now: u32, inner: SocketAddr, symmetric: bool) -> Option<u16> {
        let is_free =
            |port: u16| self.ports.get(port).is_none_or(|it| it.expires < now || it.inner == inner && !symmetric);
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

/// When a mapping expires that stays.
const FOREVER: u32 = u32::MAX;
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
