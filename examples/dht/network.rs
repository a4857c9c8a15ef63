//! Fifty nodes on loopback, and how long they take for what they are asked.

use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_dht::{Announcement, Config, Id, Item, Outcome};
use unchoke_examples::{Failure, say};
use unchoke_tokio::{Dht, DhtAnswer, DhtOperation};

const NODES: u8 = 50;
/// Nodes that a new one joins through.
const ROOTS: usize = 8;
/// Times that each thing is done.
const ROUNDS: u8 = 20;
/// After this a network of this size has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// One row of the table.
struct Row {
    what: &'static str,
    took: Vec<Duration>,
    sent: u32,
}

pub(crate) async fn run(json: bool) -> Result<(), Failure> {
    let late = |_| Failure::Failed("the network is not done in time".into());
    tokio::time::timeout(LIMIT, exercise(json)).await.map_err(late)?
}

async fn exercise(json: bool) -> Result<(), Failure> {
    let failed = |error: unchoke_tokio::DhtError| Failure::failed(&error);
    let begin = Instant::now();
    let mut nodes: Vec<Dht> = Vec::new();
    for number in 1..=NODES {
        let roots: Vec<String> =
            nodes.iter().rev().take(ROOTS).flat_map(|node| node.local_addrs()).map(SocketAddr::to_string).collect();
        // A table has one node of an address, so each has its own.
        let node = Dht::bind(Config::default(), &[SocketAddr::from(([127, 0, 0, number], 0))], roots).await;
        nodes.push(node.map_err(failed)?);
    }
    // The first had nobody to join through.
    let others = nodes.iter().skip(1).take(ROOTS).flat_map(|node| node.local_addrs()).map(SocketAddr::to_string);
    nodes.first().ok_or_else(nobody)?.bootstrap(others);
    for node in &nodes {
        node.bootstrapped().await.map_err(failed)?;
    }
    let joined = begin.elapsed();
    let pair = |round: u8| {
        let node = |number: usize| nodes.get(number % nodes.len()).ok_or_else(nobody);
        Ok::<_, Failure>((node(usize::from(round) * 7)?, node(usize::from(round) * 7 + 23)?))
    };
    let key = SecretKey::from_seed(&Seed::new(rand::random()));
    let mut rows = ["announce", "get-peers", "put", "get", "put mutable", "get mutable"].map(|what| Row {
        what,
        took: Vec::new(),
        sent: 0,
    });
    let [announce, get_peers, put, get, put_mutable, get_mutable] = &mut rows;
    for round in 0..ROUNDS {
        let (telling, asking) = pair(round)?;
        let torrent = Id::new([round; 20]);
        announce.add(telling.announce(torrent, Announcement::new(6881)), is_stored).await?;
        get_peers.add(asking.get_peers(torrent), |answer| !answer.peers.is_empty()).await?;
        let wrong = |error: unchoke_dht::item::ItemError| Failure::failed(&error);
        let fixed = Item::immutable(format!("i{round}e").as_bytes()).map_err(wrong)?;
        put.add(telling.put(fixed.clone(), None), is_stored).await?;
        get.add(asking.get(fixed.target()), |answer| answer.item.as_ref() == Some(&fixed)).await?;
        let signed = Item::sign(&key, &[round], 1, b"5:hello").map_err(wrong)?;
        put_mutable.add(telling.put(signed.clone(), None), is_stored).await?;
        let search = asking.get_mutable(&key.public_key(), &[round]);
        get_mutable.add(search, |answer| answer.item.as_ref() == Some(&signed)).await?;
    }
    if json {
        say(json!({ "nodes": NODES, "joined_milliseconds": joined.as_secs_f64() * 1e3 }))?;
    } else {
        say(format_args!("{NODES} nodes on loopback have joined in {:.0} ms", joined.as_secs_f64() * 1e3))?;
        say(format_args!("{:<14}{:>12}{:>12}{:>12}", "", "median ms", "longest ms", "queries"))?;
    }
    rows.iter_mut().try_for_each(|row| row.say(json))
}

impl Row {
    /// Waits for the end and demands that it was a success.
    async fn add(&mut self, operation: DhtOperation, is_good: impl Fn(&DhtAnswer) -> bool) -> Result<(), Failure> {
        let answer = operation.finish().await.map_err(|error| Failure::failed(&error))?;
        if !is_good(&answer) {
            return Err(Failure::Failed(format!("{} came to nothing: {:?}", self.what, answer.outcome)));
        }
        self.took.push(answer.stats.took);
        self.sent = self.sent.saturating_add(answer.stats.sent);
        Ok(())
    }

    fn say(&mut self, json: bool) -> Result<(), Failure> {
        self.took.sort();
        let milliseconds = |at: usize| self.took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3);
        let count = self.took.len().max(1);
        let (median, longest) = (milliseconds(count / 2), milliseconds(count - 1));
        let queries = f64::from(self.sent) / count as f64;
        if json {
            let row = json!({
                "operation": self.what, "median_milliseconds": median, "longest_milliseconds": longest, "queries": queries,
            });
            say(row)
        } else {
            say(format_args!("{:<14}{median:>12.1}{longest:>12.1}{queries:>12.1}", self.what))
        }
    }
}

fn is_stored(answer: &DhtAnswer) -> bool {
    matches!(answer.outcome, Outcome::Finished { stored: 1.., .. })
}

fn nobody() -> Failure {
    Failure::Failed("there are no nodes".into())
}
