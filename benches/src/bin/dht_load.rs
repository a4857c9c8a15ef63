//! Nodes of the DHT that fill the tables of others and ask them as fast as they answer, for `cargo xtask bench-dht`.
//!
//! `dht_load COUNT` has that many nodes, at 127.1.40.1:6881, 127.2.40.1:6881 and so on, which answer `ping`, `find_node` and `get_peers`. To whom asks, their
//! ids are spread over eight nodes a bucket, counted from its own id, so that all of them fit into any table. It prints a line when they are there. For
//! each line `flood IP:PORT SECONDS` on standard input the first of them asks that node for random targets, with [`WINDOW`] queries under way at a time,
//! and prints what came back. It goes on answering meanwhile.

#![allow(clippy::print_stdout, reason = "the answers are what it is for")]

use serde_json::json;
use std::error::Error;
use std::io::{self, BufRead as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use unchoke_bencode::{DecodeLimits, Value, decode, encode};
use unchoke_core::{Rng, Seed};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Queries under way at a time.
const WINDOW: u32 = 64;
/// Silence after which those under way are taken for lost.
const LOST: Duration = Duration::from_millis(100);
/// The wait for answers while there are none.
const NAP: Duration = Duration::from_micros(50);
/// Nodes in a bucket, and in a reply.
const BUCKET: usize = 8;
/// The length of a node in a reply: its id, address and port.
const COMPACT: usize = 26;

struct Fake {
    number: usize,
    count: usize,
    socket: UdpSocket,
    buffer: Vec<u8>,
}

/// What came of a flood.
#[derive(Default)]
struct Flood {
    sent: u64,
    replies: u64,
    nodes: u64,
    bytes: u64,
}

fn main() -> Outcome<()> {
    let count = std::env::args().nth(1).ok_or("usage: dht_load COUNT")?.parse()?;
    let mut fakes = (0..count).map(|number| Fake::bind(number, count)).collect::<io::Result<Vec<_>>>()?.into_iter();
    let mut first = fakes.next().ok_or("at least one node is needed")?;
    for mut fake in fakes {
        std::thread::spawn(move || {
            loop {
                // It asks nobody, so there are no answers.
                let _ = fake.take();
            }
        });
    }
    let (sender, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    first.socket.set_read_timeout(Some(LOST))?;
    println!("{}", json!({ "nodes": count }));
    first.obey(&commands)
}

impl Fake {
    fn bind(number: usize, count: usize) -> io::Result<Self> {
        Ok(Self { number, count, socket: UdpSocket::bind(address(number))?, buffer: vec![0; 2048] })
    }

    /// Takes one datagram. If it is an answer, returns its length and that of the nodes in it.
    fn take(&mut self) -> Option<(usize, usize)> {
        let (length, from) = self.socket.recv_from(&mut self.buffer).ok()?;
        let datagram = self.buffer.get(..length)?;
        let message = decode(datagram, &DecodeLimits::default()).ok()?;
        let root = message.root();
        if let Some(reply) = root.get(b"r") {
            return Some((length, reply.get(b"nodes").and_then(Value::as_bytes).map_or(0, <[u8]>::len)));
        }
        let reply = self.reply(root)?;
        // A lost answer is asked for again.
        let _ = self.socket.send_to(&reply, from);
        None
    }

    /// Our answer to a query. To a search it names nodes at random, so that all become known.
    fn reply(&self, query: Value<'_, '_>) -> Option<Vec<u8>> {
        let arguments = query.get(b"a")?;
        let asking = <[u8; 20]>::try_from(arguments.get(b"id")?.as_bytes()?).ok()?;
        let transaction = query.get(b"t")?.as_bytes()?;
        let is_search = arguments.get(b"target").or_else(|| arguments.get(b"info_hash")).is_some();
        let start =
            transaction.iter().fold(self.number, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        let named = (0..BUCKET).map(|step| start.wrapping_add(step.wrapping_mul(13)) % self.count);
        let nodes = named.flat_map(|number| {
            let place = address(number);
            [&id(asking, number)[..], &place.ip().octets(), &place.port().to_be_bytes()].concat()
        });
        let nodes = nodes.collect::<Vec<_>>();
        Some(encode(|value| {
            value.dict(|message| {
                message.entry("r", |value| {
                    value.dict(|reply| {
                        reply.bytes("id", id(asking, self.number));
                        if is_search {
                            reply.bytes("nodes", &nodes);
                        }
                    })
                });
                message.bytes("t", transaction);
                message.bytes("y", "r");
            })
        }))
    }

    /// Answers, and does what it is told.
    fn obey(&mut self, commands: &Receiver<String>) -> Outcome<()> {
        loop {
            match commands.try_recv() {
                Ok(line) => {
                    let words = line.split(' ').collect::<Vec<_>>();
                    let ["flood", to, seconds] = words.as_slice() else { return Err("unknown command".into()) };
                    let flood = self.flood(to.parse()?, Duration::from_secs_f64(seconds.parse()?))?;
                    let mean = |sum: u64| sum as f64 / flood.replies.max(1) as f64;
                    println!(
                        "{}",
                        json!({
                            "sent": flood.sent,
                            "replies": flood.replies,
                            "nodes": mean(flood.nodes) / COMPACT as f64,
                            "bytes": mean(flood.bytes),
                        })
                    );
                }
                Err(mpsc::TryRecvError::Empty) => {
                    // An answer that came too late.
                    let _ = self.take();
                }
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Asks until the time is over.
    fn flood(&mut self, to: SocketAddr, time: Duration) -> Outcome<Flood> {
        let own = id(self.ask_id(to)?, self.number);
        let mut rng = Seed::new([7; 32]).rng();
        let (mut flood, end) = (Flood::default(), Instant::now() + time);
        let mut send = |fake: &Self, flood: &mut Flood, count: u32| {
            (0..count).for_each(|_| fake.send(flood, to, &own, &mut rng));
        };
        self.socket.set_nonblocking(true)?;
        send(self, &mut flood, WINDOW);
        let mut last = Instant::now();
        while Instant::now() < end {
            let before = flood.replies;
            while let Some((bytes, nodes)) = self.take() {
                flood.replies += 1;
                flood.bytes += bytes as u64;
                flood.nodes += nodes as u64;
            }
            let came = u32::try_from(flood.replies - before).unwrap_or(WINDOW);
            if came > 0 {
                last = Instant::now();
                send(self, &mut flood, came);
            } else if last.elapsed() > LOST {
                last = Instant::now();
                send(self, &mut flood, WINDOW);
            } else {
                // One processor is left to who answers.
                std::thread::sleep(NAP);
            }
        }
        // What is still under way must not count for the next one.
        std::thread::sleep(LOST);
        while self.socket.recv_from(&mut self.buffer).is_ok() {}
        self.socket.set_nonblocking(false)?;
        Ok(flood)
    }

    fn send(&self, flood: &mut Flood, to: SocketAddr, own: &[u8; 20], rng: &mut Rng) {
        let mut target = [0; 20];
        rng.fill(&mut target);
        // Four bytes: some take no other length.
        let transaction = u32::try_from(flood.sent & 0xffff_ffff).unwrap_or(0).to_be_bytes();
        flood.sent += 1;
        // What does not leave is lost like any datagram.
        let _ = self.socket.send_to(&query("find_node", own, Some(&target), transaction), to);
    }

    /// The id of a node.
    fn ask_id(&mut self, of: SocketAddr) -> Outcome<[u8; 20]> {
        for _ in 0..50 {
            self.socket.send_to(&query("ping", &[9; 20], None, *b"ping"), of)?;
            let Ok((length, from)) = self.socket.recv_from(&mut self.buffer) else { continue };
            let message = decode(self.buffer.get(..length).unwrap_or_default(), &DecodeLimits::default());
            let Ok(message) = message else { continue };
            if let Some(id) = message.root().get(b"r").and_then(|reply| reply.get(b"id")?.as_bytes())
                && from == of
            {
                return Ok(id.try_into()?);
            }
        }
        Err(format!("{of} answers no ping").into())
    }
}

fn query(method: &str, own: &[u8; 20], target: Option<&[u8; 20]>, transaction: [u8; 4]) -> Vec<u8> {
    encode(|value| {
        value.dict(|message| {
            message.entry("a", |value| {
                value.dict(|arguments| {
                    arguments.bytes("id", own);
                    if let Some(target) = target {
                        arguments.bytes("target", target);
                    }
                })
            });
            message.bytes("q", method);
            message.bytes("t", transaction);
            message.bytes("y", "q");
        })
    })
}

fn address(number: usize) -> SocketAddrV4 {
    let second = u8::try_from(number.saturating_add(1)).unwrap_or(u8::MAX);
    SocketAddrV4::new(Ipv4Addr::new(127, second, 40, 1), 6881)
}

/// The id of a node for whom asks: it has as many bits in common with theirs as there are full buckets of nodes before it.
fn id(asking: [u8; 20], number: usize) -> [u8; 20] {
    let mut seed = [0; 32];
    seed.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
    let mut id = [0; 20];
    Seed::new(seed).rng().fill(&mut id);
    let common = number / BUCKET;
    for bit in 0..=common {
        let mask = 0x80_u8 >> (bit % 8);
        if let (Some(to), Some(from)) = (id.get_mut(bit / 8), asking.get(bit / 8)) {
            let wanted = if bit == common { !from } else { *from };
            *to = *to & !mask | wanted & mask;
        }
    }
    id
}
