//! Whether the machine has moved to another network, or has slept.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Clocks that are apart by so much more than before have seen the machine asleep.
const ASLEEP: Duration = Duration::from_secs(30);

/// What the system says at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Observation {
    /// The address that datagrams to the world would leave from.
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    /// A clock that, as a rule, stands still while the machine sleeps,
    at: Instant,
    /// and one that does not.
    wall: SystemTime,
}

impl Observation {
    /// Asks the system. Nothing is sent: connecting a UDP socket only looks up the way.
    pub(crate) fn now() -> Self {
        // Addresses of the documentation stand for the rest of the world, which is behind the same router.
        let v4 = SocketAddr::from(([192, 0, 2, 1], 9));
        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9));
        Self { v4: source(v4).ok(), v6: source(v6).ok(), at: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether nodes have to be found anew, given what was seen before. An address that is gone is none to begin with, so it is no reason; that
    /// there is one again, is.
    pub(crate) fn is_change_from(self, before: Self) -> bool {
        let is_new = |now: Option<IpAddr>, before| now.is_some() && now != before;
        let running = self.at.saturating_duration_since(before.at);
        // If somebody has set the clock back, that says nothing.
        let passed = self.wall.duration_since(before.wall).unwrap_or_default();
        let has_slept = passed > running.saturating_add(ASLEEP) || running > LOOK_EVERY.saturating_add(ASLEEP);
        is_new(self.v4, before.v4) || is_new(self.v6, before.v6) || has_slept
    }
}

/// The local address on the way to another one.
fn source(to: SocketAddr) -> io::Result<IpAddr> {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What is seen so many seconds after `start`, by either clock, with the last byte of an address.
    pub(crate) fn seen(start: Observation, running: u64, passed: u64, address: Option<u8>) -> Observation {
        Observation {
            v4: address.map(|last| IpAddr::from([192, 168, 1, last])),
            at: start.at + Duration::from_secs(running),
            wall: start.wall + Duration::from_secs(passed),
            ..start
        }
    }

    #[test]
    fn another_address_or_sleep_is_a_change_and_nothing_else_is() {
        let start = Observation::now();
        let table = [
            ((0, 0, Some(1)), (5, 5, Some(1)), false, "nothing has happened"),
            ((0, 0, Some(1)), (5, 5, Some(2)), true, "another address"),
            ((0, 0, Some(1)), (5, 5, None), false, "the cable is out"),
            ((5, 5, None), (10, 10, Some(1)), true, "and in again"),
            ((0, 0, None), (5, 5, None), false, "there was no network and is none"),
            ((0, 0, Some(1)), (5, 34, Some(1)), false, "clocks go a little differently"),
            ((0, 0, Some(1)), (5, 3600, Some(1)), true, "asleep, while one clock stood still"),
            ((0, 0, Some(1)), (3600, 3600, Some(1)), true, "asleep, while both went on"),
            ((0, 3600, Some(1)), (5, 0, Some(1)), false, "the clock was set back"),
        ];
        for (before, after, is_change, what) in table {
            let [before, after] = [before, after].map(|(at, wall, address)| seen(start, at, wall, address));
            assert_eq!(after.is_change_from(before), is_change, "{what}");
        }
    }

    #[test]
    fn the_way_to_oneself_begins_at_oneself() {
        let local = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(source(local).unwrap(), local.ip());
    }
}
