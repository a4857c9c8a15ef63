//! Finds the peers of a torrent in the DHT with one thread and one socket of the standard library: no runtime.
//!
//! Without arguments it runs a second node on another thread and finds what it has announced there.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use unchoke_core::{DatagramProtocol as _, Path, Seed};
use unchoke_dht::{Announcement, Config, DhtEvent, Id, Node, Outcome};
use unchoke_examples::{Failure, address, addresses, hex, port, run, say, text, unexpected};

const USAGE: &str = "dht_blocking [INFO_HASH --bootstrap HOST:PORT… [--listen ADDR] [--announce PORT]]";
/// The longest time without a look at whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// A node, its socket and its clock.
struct Driver {
    node: Node,
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Driver {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut config = Config::default();
        (config.v4, config.v6) = (address.is_ipv4(), address.is_ipv6());
        let node = Node::new(config, &Seed::new(rand::random()), Instant::now());
        Ok(Self { node, socket: UdpSocket::bind(address)?, buffer: vec![0; 64 * 1024] })
    }

    /// Sends what there is to send, then waits for one datagram or the deadline.
    fn turn(&mut self) -> io::Result<()> {
        let mut outgoing = Vec::new();
        while let Some(transmit) = self.node.poll_transmit(Instant::now(), &mut outgoing) {
            let datagram = outgoing.get(..transmit.size).unwrap_or_default();
            if self.socket.send_to(datagram, transmit.destination).is_err() {
                self.node.handle_unreachable(Instant::now(), transmit.destination);
            }
            outgoing.clear();
        }
        let until = self.node.poll_timeout().map_or(TICK, |at| at.saturating_duration_since(Instant::now()));
        // A timeout of nothing would be none.
        self.socket.set_read_timeout(Some(until.clamp(Duration::from_millis(1), TICK)))?;
        match self.socket.recv_from(&mut self.buffer) {
            Ok((length, from)) => {
                let datagram = self.buffer.get(..length).unwrap_or_default();
                // There is nothing else on this socket whose datagram it could be.
                let _ = self.node.handle_input(Instant::now(), Path::from_remote(from), datagram);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        if self.node.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            self.node.handle_timeout(Instant::now());
        }
        Ok(())
    }

    /// Looks for peers and prints them.
    fn find(&mut self, torrent: Id, announcement: Option<Announcement>) -> Result<usize, Failure> {
        let search = self.node.get_peers(Instant::now(), torrent, announcement);
        let mut found = 0_usize;
        loop {
            self.turn().map_err(|error| Failure::failed(&error))?;
            while let Some(event) = self.node.poll_event() {
                match event {
                    DhtEvent::Peers { op, peers, .. } if op == search => {
                        found = found.saturating_add(peers.len());
                        peers.iter().try_for_each(say)?;
                    }
                    DhtEvent::Done { op, outcome: Outcome::NoNodes, .. } if op == search => {
                        return Err(Failure::Failed("no node has answered".into()));
                    }
                    DhtEvent::Done { op, .. } if op == search => return Ok(found),
                    _ => {}
                }
            }
        }
    }
}

fn main() -> ExitCode {
    run(USAGE, start())
}

fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut torrent, mut roots, mut announcement) = (None, Vec::new(), None);
    let mut listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bootstrap") => roots.extend(addresses(&parser.value()?)?),
            Long("listen") => listen = address(&parser.value()?)?,
            Long("announce") => {
                announcement = Some(Announcement::new(port(&parser.value()?)?));
            }
            Value(hash) if torrent.is_none() => {
                torrent = Some(Id::new(hex(&text(hash)?)?));
            }
            other => return Err(unexpected(other)),
        }
    }
    let Some(torrent) = torrent else { return alone() };
    if roots.is_empty() {
        return Err(Failure::Usage("there is nobody to ask: --bootstrap is missing".into()));
    }
    let mut driver = Driver::bind(listen).map_err(|error| Failure::failed(&error))?;
    driver.node.bootstrap(Instant::now(), &roots);
    driver.find(torrent, announcement).map(drop)
}

/// Two nodes of one program: one announces itself at the other and finds itself there.
fn alone() -> Result<(), Failure> {
    let io = |error: io::Error| Failure::failed(&error);
    let mut other = Driver::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(io)?;
    let mut driver = Driver::bind(SocketAddr::from(([127, 0, 0, 2], 0))).map_err(io)?;
    driver.node.bootstrap(Instant::now(), &[other.socket.local_addr().map_err(io)?]);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // Without an answer the search fails, which is told.
                if other.turn().is_err() {
                    return;
                }
            }
        });
        let torrent = Id::new([7; 20]);
        let found = driver.find(torrent, Some(Announcement::new(6881))).and_then(|_| driver.find(torrent, None));
        is_done.store(true, Ordering::Relaxed);
        match found? {
            0 => Err(Failure::Failed("what was announced was not found".into())),
            _ => Ok(()),
        }
    })
}
