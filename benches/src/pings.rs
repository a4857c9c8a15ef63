//! The least protocol that keeps a world busy: each host pings another one again and again, and answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{DatagramProtocol, Handled, Path, Rng, Seed, Transmit};
use unchoke_sim::{DatagramHost, HostConfig, World, WorldConfig};

/// Pings a random host at each deadline.
#[derive(Debug)]
pub struct Pinger {
    rng: Rng,
    hosts: u32,
    next: Instant,
    out: Option<(SocketAddr, u8)>,
}

impl DatagramProtocol for Pinger {
    type Event = ();

    fn handle_input(&mut self, _now: Instant, path: Path, datagram: &[u8]) -> Handled {
        if datagram.first() == Some(&PING) {
            self.out = Some((path.remote, PONG));
        }
        Handled::Taken
    }

    fn handle_unreachable(&mut self, _now: Instant, _to: SocketAddr) {}

    fn handle_network_change(&mut self, _now: Instant) {}

    fn handle_timeout(&mut self, now: Instant) {
        if self.next <= now {
            self.next = now + EVERY;
            self.out = Some((address(self.rng.below(self.hosts)), PING));
        }
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (to, kind) = self.out.take()?;
        buf.resize(buf.len() + SIZE, kind);
        Some(Transmit::new(to, SIZE))
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }
}

/// A world of so many hosts on lines with a tail, jitter and 1 % of loss, each of which sends a ping a second.
#[must_use]
pub fn world(hosts: u32, now: Instant) -> World<DatagramHost<Pinger>> {
    let seed = Seed::new([7; 32]);
    let mut config = WorldConfig::default();
    config.link.loss = unchoke_sim::Loss::Random(0.01);
    let mut world = World::new(now, &seed, config);
    let mut rng = seed.rng();
    for number in 0..hosts {
        let next = now + Duration::from_micros(rng.below(1_000_000).into());
        let pinger = Pinger { rng: rng.seed().rng(), hosts, next, out: None };
        world.add(HostConfig::new(address(number)), DatagramHost::new(pinger));
    }
    world
}

fn address(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 6881))
}

const PING: u8 = 1;
const PONG: u8 = 2;
/// The size of a query or a reply of the DHT, in bytes.
const SIZE: usize = 100;
const EVERY: Duration = Duration::from_secs(1);
