//! A protocol of pings and pongs over datagrams.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{DatagramProtocol, Handled, Path, Seed, Transmit};
use unchoke_sim::{DatagramHost, HostConfig, HostId, Link, World, WorldConfig};

/// Sends pings when told to, or again and again, and answers those of others.
#[derive(Debug, Default)]
pub(crate) struct Pinger {
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Said>,
    /// Whom to ping, how often, and when next.
    pub(crate) beat: Option<(Vec<SocketAddr>, Duration, Instant)>,
    turn: usize,
    pub(crate) changes: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Ping(SocketAddr),
    Pong(SocketAddr),
    Noise,
    Unreachable(SocketAddr),
}

impl Pinger {
    pub(crate) fn ping(&mut self, to: SocketAddr) {
        self.ping_with(to, 64);
    }

    pub(crate) fn ping_with(&mut self, to: SocketAddr, size: usize) {
        self.out.push_back((to, vec![b'?'; size]));
    }
}

impl DatagramProtocol for Pinger {
    type Event = Said;

    fn handle_input(&mut self, _now: Instant, path: Path, datagram: &[u8]) -> Handled {
        let said = match datagram.first() {
            Some(b'?') if datagram.iter().all(|it| *it == b'?') => {
                self.out.push_back((path.remote, vec![b'!'; datagram.len()]));
                Said::Ping(path.remote)
            }
            Some(b'!') => Said::Pong(path.remote),
            _ => Said::Noise,
        };
        self.events.push_back(said);
        Handled::Taken
    }

    fn handle_unreachable(&mut self, _now: Instant, to: SocketAddr) {
        self.events.push_back(Said::Unreachable(to));
    }

    fn handle_network_change(&mut self, _now: Instant) {
        self.changes += 1;
    }

    fn handle_timeout(&mut self, now: Instant) {
        let Some((others, every, next)) = self.beat.as_mut().filter(|(.., next)| *next <= now) else { return };
        *next = now + *every;
        let to = others[self.turn % others.len()];
        self.turn += 1;
        self.ping(to);
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (to, bytes) = self.out.pop_front()?;
        buf.extend_from_slice(&bytes);
        Some(Transmit::new(to, bytes.len()))
    }

    fn poll_event(&mut self) -> Option<Said> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.beat.as_ref().map(|(.., next)| *next)
    }
}

pub(crate) type PingWorld = World<DatagramHost<Pinger>>;

pub(crate) fn pinger() -> DatagramHost<Pinger> {
    DatagramHost::new(Pinger::default())
}

/// 198.51.100.`last`, port 6881.
pub(crate) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 6881))
}

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A world where each line takes 10 ms, places do not matter and nothing gets lost.
pub(crate) fn plain_config() -> WorldConfig {
    let mut config = WorldConfig::default();
    config.link = Link::constant(10 * MS);
    config.distance = Duration::ZERO;
    config
}

pub(crate) fn world(seed: u8, config: WorldConfig) -> PingWorld {
    World::new(Instant::now(), &Seed::new([seed; 32]), config)
}

/// Adds hosts at [`address`] 1, 2 and so on.
pub(crate) fn add_pingers<const N: usize>(world: &mut PingWorld) -> [HostId; N] {
    std::array::from_fn(|n| world.add(HostConfig::new(address(u8::try_from(n + 1).unwrap())), pinger()))
}

pub(crate) fn ping(world: &mut PingWorld, from: HostId, to: SocketAddr) {
    world.with(from, |host, _| host.protocol.ping(to)).unwrap();
}
