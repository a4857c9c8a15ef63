//! A node of the DHT that does what it is told on standard input, for `cargo xtask bench-dht`, `crawl` and `interop`.
//!
//! `dht_peer unchoke|mainline|mainline-client IP:PORT [IP:PORT]…` runs one node that knows the others. It prints one line of JSON when it has joined, and one for each
//! command: `peers INFO_HASH`, `announce INFO_HASH PORT`, `put TEXT`, `get TARGET`, `put-mutable SEED SALT TEXT`, `get-mutable PUBLIC_KEY SALT`
//! (all in hex, but for the texts), `nodes`, and `queries`: how many it has sent.
//!
//! `dht_peer network PATTERN COUNT [IP:PORT]…` runs nodes of ours at the addresses that come of putting 1, 2 and so on in the place of `{}`. It prints a
//! line when they have joined, and each of them knows the first one and its three predecessors, and the named ones.

#![allow(clippy::print_stdout, reason = "the answers are what it is for")]

#[path = "dht_peer/mainline.rs"]
mod others;
#[path = "dht_peer/unchoke.rs"]
mod ours;

use serde_json::{Value, json};
use std::error::Error;
use std::io::BufRead as _;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a command asks of a node. Each waits until it is done.
trait Peer {
    /// The next command.
    fn wait(&self, lines: &mut UnboundedReceiver<String>) -> Option<String> {
        lines.blocking_recv()
    }

    /// Calls `found` with the number of peers that each answer has.
    fn peers(&self, info_hash: [u8; 20], found: &mut dyn FnMut(usize)) -> Outcome<()>;
    fn announce(&self, info_hash: [u8; 20], port: u16) -> Outcome<()>;
    /// Stores a byte string and returns where it lies.
    fn put(&self, value: &[u8]) -> Outcome<String>;
    fn put_mutable(&self, seed: [u8; 32], salt: &[u8], value: &[u8]) -> Outcome<()>;
    fn get(&self, target: [u8; 20]) -> Outcome<Option<Vec<u8>>>;
    fn get_mutable(&self, key: [u8; 32], salt: &[u8]) -> Outcome<Option<Vec<u8>>>;
    /// Nodes in its table.
    fn nodes(&self) -> Outcome<usize>;
    /// Queries sent since it began, where it counts them.
    fn queries(&self) -> Outcome<Option<u64>>;
}

fn main() -> Outcome<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let words = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let (peer, listen): (Box<dyn Peer>, &str) = match words.as_slice() {
        ["unchoke", listen, roots @ ..] => (Box::new(ours::Ours::start(listen.parse()?, roots)?), listen),
        ["mainline", listen, roots @ ..] => (Box::new(others::Mainline::serve(listen.parse()?, roots)?), listen),
        ["mainline-client", listen, roots @ ..] => (Box::new(others::Mainline::join(listen.parse()?, roots)?), listen),
        ["network", pattern, count, roots @ ..] => return ours::network(pattern, count.parse()?, roots),
        _ => return Err(
            "usage: dht_peer unchoke|mainline|mainline-client IP:PORT [IP:PORT]… | network PATTERN COUNT [IP:PORT]…"
                .into(),
        ),
    };
    println!("{}", json!({ "listen": listen.parse::<SocketAddrV4>()? }));
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = peer.wait(&mut lines) {
        let answer = answer(peer.as_ref(), &line.split(' ').collect::<Vec<_>>());
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": error.to_string() })));
    }
    Ok(())
}

fn answer(peer: &dyn Peer, words: &[&str]) -> Outcome<Value> {
    let begin = Instant::now();
    let text = |value: Option<Vec<u8>>| value.map(|value| String::from_utf8_lossy(&value).into_owned());
    Ok(match words {
        ["peers", info_hash] => {
            let (mut first, mut count) = (None, 0);
            peer.peers(hex(info_hash)?, &mut |peers| {
                if peers > 0 {
                    first.get_or_insert_with(|| begin.elapsed());
                    count += peers;
                }
            })?;
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            json!({
                "first_ms": first.map(milliseconds),
                "complete_ms": milliseconds(begin.elapsed()),
                "peers": count,
            })
        }
        ["announce", info_hash, port] => {
            peer.announce(hex(info_hash)?, port.parse()?)?;
            json!({})
        }
        ["put", value] => json!({ "target": peer.put(value.as_bytes())? }),
        ["put-mutable", seed, salt, value] => {
            peer.put_mutable(hex(seed)?, salt.as_bytes(), value.as_bytes())?;
            json!({})
        }
        ["get", target] => json!({ "value": text(peer.get(hex(target)?)?) }),
        ["get-mutable", key, salt] => json!({ "value": text(peer.get_mutable(hex(key)?, salt.as_bytes())?) }),
        ["nodes"] => json!({ "nodes": peer.nodes()? }),
        ["queries"] => json!({ "queries": peer.queries()? }),
        _ => return Err(format!("unknown command {words:?}").into()),
    })
}

fn hex<const N: usize>(text: &str) -> Outcome<[u8; N]> {
    let bytes = text.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    let bytes = bytes.collect::<Outcome<Vec<u8>>>()?;
    bytes.try_into().map_err(|_| format!("{text:?} is not {N} bytes in hex").into())
}
