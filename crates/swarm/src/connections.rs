//! How many connections there are, and with whom.

use crate::config::SessionConfig;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The connections of a session, counted.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    incoming: usize,
    outgoing: usize,
    connecting: usize,
    /// By neighbourhood.
    near: BTreeMap<IpAddr, usize>,
}

impl Connections {
    /// Whether one more that a peer has opened may be taken. A quarter of the room is kept for those that we open, or strangers could fill
    /// all of it.
    pub(crate) fn may_accept(&self, config: &SessionConfig, address: SocketAddr) -> bool {
        let max = config.max_connections;
        let near = self.near.get(&neighbourhood(address)).copied().unwrap_or(0);
        self.all() < max && self.incoming < max.saturating_sub(max / 4) && near < config.max_connections_per_address
    }

    /// Whether one more may be opened.
    pub(crate) fn may_connect(&self, config: &SessionConfig) -> bool {
        self.connecting < config.max_connecting && self.all() < config.max_connections
    }

    fn all(&self) -> usize {
        self.incoming.saturating_add(self.outgoing).saturating_add(self.connecting)
    }

    /// One is being opened.
    pub(crate) fn connect(&mut self) {
        self.connecting = self.connecting.saturating_add(1);
    }

    /// One that was being opened stands, or did not come about.
    pub(crate) fn connected(&mut self) {
        self.connecting = self.connecting.saturating_sub(1);
    }

    pub(crate) fn opened(&mut self, address: SocketAddr, by_us: bool) {
        let count = if by_us { &mut self.outgoing } else { &mut self.incoming };
        *count = count.saturating_add(1);
        let near = self.near.entry(neighbourhood(address)).or_default();
        *near = near.saturating_add(1);
    }

    pub(crate) fn closed(&mut self, address: SocketAddr, by_us: bool) {
        let count = if by_us { &mut self.outgoing } else { &mut self.incoming };
        *count = count.saturating_sub(1);
        let key = neighbourhood(address);
        if let Some(near) = self.near.get_mut(&key) {
            *near = near.saturating_sub(1);
            if *near == 0 {
                self.near.remove(&key);
            }
        }
    }
}

/// The address of IPv4, the first 64 bits of IPv6: what one subscriber is usually given.
fn neighbourhood(address: SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_fill_all_the_room_nor_one_neighbourhood_most_of_it() {
        let mut config = SessionConfig::default();
        (config.max_connections, config.max_connections_per_address) = (8, 3);
        let mut connections = Connections::default();
        let from = |net: u16, host: u16| SocketAddr::from(([0x2001, 0xdb8, 0, net, 0, 0, 0, host], 6881));
        for host in 0..3 {
            assert!(connections.may_accept(&config, from(1, host)));
            connections.opened(from(1, host), false);
        }
        assert!(!connections.may_accept(&config, from(1, 9)) && connections.may_accept(&config, from(2, 9)));
        (0..3).for_each(|host| connections.opened(from(2, host), false));
        assert!(!connections.may_accept(&config, from(3, 1)) && connections.may_connect(&config));
        connections.closed(from(1, 0), false);
        assert!(connections.may_accept(&config, from(1, 9)));
        (0..3).for_each(|_| connections.connect());
        assert!(!connections.may_connect(&config) && !connections.may_accept(&config, from(3, 1)));
        connections.connected();
        assert!(connections.may_connect(&config));
    }
}
