//! Walks through the key space and collects what the nodes on the way tell.

use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_dht::{DhtEvent, Id};
use unchoke_examples::{Failure, say, tell};
use unchoke_tokio::Dht;

/// Nodes that have answered.
#[derive(Default)]
struct Nodes(HashSet<SocketAddr>);

impl Nodes {
    /// Adds a node; programs are told of each, people of their number at the end.
    fn tell(&mut self, address: SocketAddr, json: bool) -> Result<(), Failure> {
        if self.0.insert(address) && json { say(json!({ "node": address })) } else { Ok(()) }
    }
}

/// Samples one random point after the other until the time is over.
pub(crate) async fn run(dht: &Dht, time: Duration, json: bool) -> Result<(), Failure> {
    let ended = |error: unchoke_tokio::DhtError| Failure::failed(&error);
    let mut rng = Seed::new(rand::random()).rng();
    let (mut nodes, mut torrents, mut points) = (Nodes::default(), HashSet::new(), 0_u32);
    let begin = Instant::now();
    tokio::time::timeout(time, dht.bootstrapped())
        .await
        .map_err(|_| Failure::Failed("no node has answered".into()))?
        .map_err(ended)?;
    while begin.elapsed() < time {
        let mut search = dht.sample(Id::random(&mut rng));
        points = points.saturating_add(1);
        let left = time.saturating_sub(begin.elapsed());
        // What is not done when the time is over is dropped, which cancels it.
        let walk = async {
            while let Some(event) = search.next().await {
                match event {
                    DhtEvent::Samples { from, info_hashes, .. } => {
                        nodes.tell(from, json)?;
                        for hash in info_hashes.into_iter().filter(|hash| torrents.insert(*hash)) {
                            let hash = hash.to_string();
                            if json { say(json!({ "info_hash": hash, "from": from }))? } else { say(hash)? }
                        }
                    }
                    DhtEvent::Done { stats, .. } => {
                        stats.closest.iter().try_for_each(|(_, address)| nodes.tell(*address, json))?;
                    }
                    _ => {}
                }
            }
            Ok::<_, Failure>(())
        };
        tokio::time::timeout(left, walk).await.unwrap_or(Ok(()))?;
    }
    // What the node itself has come to know answers, too.
    let known = dht.nodes().await.map_err(ended)?;
    known.into_iter().try_for_each(|(_, address)| nodes.tell(address, json))?;
    let size = dht.network_size().await.map_err(ended)?;
    if json {
        let (nodes, torrents) = (nodes.0.len(), torrents.len());
        return say(json!({ "nodes": nodes, "info_hashes": torrents, "points": points, "network_size": size }));
    }
    tell(format_args!("{} nodes and {} info-hashes on the way to {points} points", nodes.0.len(), torrents.len()));
    Ok(())
}
