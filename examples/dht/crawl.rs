//! Walks through the key space and collects what the nodes on the way tell.

use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_dht::{DhtEvent, Id};
use unchoke_examples::{Failure, say, tell};
use unchoke_tokio::Dht;

/// Samples one random point after the other until the time is over.
pub(crate) async fn run(dht: &Dht, time: Duration, json: bool) -> Result<(), Failure> {
    let ended = |error: unchoke_tokio::DhtError| Failure::failed(&error);
    let mut rng = Seed::new(rand::random()).rng();
    let (mut nodes, mut torrents, mut points) = (HashSet::new(), HashSet::new(), 0_u32);
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
                        nodes.insert(from);
                        for hash in info_hashes.into_iter().filter(|hash| torrents.insert(*hash)) {
                            let hash = hash.to_string();
                            if json { say(json!({ "info_hash": hash, "from": from }))? } else { say(hash)? }
                        }
                    }
                    DhtEvent::Done { stats, .. } => nodes.extend(stats.closest.iter().map(|(_, address)| *address)),
                    _ => {}
                }
            }
            Ok::<_, Failure>(())
        };
        tokio::time::timeout(left, walk).await.unwrap_or(Ok(()))?;
    }
    let size = dht.network_size().await.map_err(ended)?;
    if json {
        let (nodes, torrents) = (nodes.len(), torrents.len());
        return say(json!({ "nodes": nodes, "info_hashes": torrents, "points": points, "network_size": size }));
    }
    tell(format_args!("{} nodes and {} info-hashes on the way to {points} points", nodes.len(), torrents.len()));
    Ok(())
}
