//! What one node does for one command.

use crate::arguments::Command;
use crate::crawl;
use serde_json::json;
use std::collections::HashSet;
use unchoke_core::Seed;
use unchoke_dht::item::Mutable;
use unchoke_dht::{DhtEvent, Id, Item, MutableTorrentEvent, OpStats, Outcome};
use unchoke_examples::{Failure, say, tell};
use unchoke_metainfo::MutableLink;
use unchoke_tokio::{Dht, DhtAnswer, DhtError, DhtOperation, TorrentFeed};

pub(crate) async fn run(dht: &Dht, command: Command, json: bool) -> Result<(), Failure> {
    let target = command.target();
    match command {
        Command::Node => node(dht, json).await,
        Command::GetPeers(torrent) => peers(dht.get_peers(torrent), json).await,
        Command::Announce(torrent, announcement) => peers(dht.announce(torrent, announcement), json).await,
        Command::Scrape(torrent) => scrape(dht.scrape(torrent), json).await,
        Command::Put { item, cas } => put(dht, *item, cas, json).await,
        Command::Get(id) => item(dht.get(id), target, json).await,
        Command::GetMutable { key, salt } => item(dht.get_mutable(&key, &salt), target, json).await,
        Command::Publish { secret, salt, info_hash } => {
            let link = MutableLink::new(*secret.public_key().as_bytes()).with_salt(&salt);
            let feed = dht.publish_torrent(secret, &salt, info_hash).map_err(|error| Failure::usage(&error))?;
            publish(feed, &link, json).await
        }
        Command::Follow(link) => {
            let feed = dht.follow_torrent(&link).map_err(|error| Failure::usage(&error))?;
            follow(feed, json).await
        }
        Command::Sample(target) => {
            let target = target.unwrap_or_else(|| Id::random(&mut Seed::new(rand::random()).rng()));
            sample(dht.sample(target), json).await
        }
        Command::Crawl(time) => crawl::run(dht, time, json).await,
    }
}

fn ended(error: DhtError) -> Failure {
    Failure::failed(&error)
}

/// Waits for the end, at which somebody must have answered.
async fn finish(operation: DhtOperation) -> Result<DhtAnswer, Failure> {
    let answer = operation.finish().await.map_err(ended)?;
    check(&answer.outcome)?;
    Ok(answer)
}

fn check(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::NoNodes => Err(Failure::Failed("no node has answered".into())),
        Outcome::Refused(code) => Err(Failure::Failed(format!("refused with error {code:?}"))),
        _ => Ok(()),
    }
}

fn cost(stats: &OpStats) -> serde_json::Value {
    json!({
        "milliseconds": stats.took.as_secs_f64() * 1e3,
        "first_milliseconds": stats.first.map(|first| first.as_secs_f64() * 1e3),
        "sent": stats.sent,
        "replied": stats.replied,
        "timeouts": stats.timeouts,
        "hops": stats.hops,
    })
}

fn tell_cost(stats: &OpStats) {
    let took = stats.took.as_secs_f64() * 1e3;
    tell(format_args!("{took:.0} ms, {} queries, {} answers, {} hops", stats.sent, stats.replied, stats.hops));
}

fn stored(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Finished { stored, .. } => *stored,
        _ => 0,
    }
}

async fn node(dht: &Dht, json: bool) -> Result<(), Failure> {
    for address in dht.local_addrs() {
        if json {
            say(json!({ "listen": address }))?;
        } else {
            say(format_args!("listening on {address}"))?;
        }
    }
    dht.bootstrapped().await.map_err(ended)?;
    tell("joined");
    std::future::pending().await
}

async fn peers(mut search: DhtOperation, json: bool) -> Result<(), Failure> {
    let mut known = HashSet::new();
    while let Some(event) = search.next().await {
        match event {
            DhtEvent::Peers { peers, .. } => {
                for peer in peers.into_iter().filter(|peer| known.insert(*peer)) {
                    if json { say(json!({ "peer": peer }))? } else { say(peer)? }
                }
            }
            DhtEvent::Done { outcome, stats, .. } => {
                check(&outcome)?;
                if json {
                    say(json!({ "peers": known.len(), "stored": stored(&outcome), "cost": cost(&stats) }))?;
                } else {
                    tell(format_args!("{} peers, announced to {} nodes", known.len(), stored(&outcome)));
                    tell_cost(&stats);
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Err(ended(DhtError::Ended))
}

async fn scrape(search: DhtOperation, json: bool) -> Result<(), Failure> {
    let answer = finish(search).await?;
    let Outcome::Finished { scrape: Some(scrape), .. } = &answer.outcome else { return Ok(()) };
    let (seeds, downloaders) = (scrape.seeds.estimate(), scrape.downloaders.estimate());
    if json {
        say(json!({ "seeds": seeds, "downloaders": downloaders, "cost": cost(&answer.stats) }))
    } else {
        say(format_args!("about {seeds:.0} seeds and {downloaders:.0} downloaders"))?;
        tell_cost(&answer.stats);
        Ok(())
    }
}

async fn put(dht: &Dht, item: Item, cas: Option<i64>, json: bool) -> Result<(), Failure> {
    let (target, key) = (item.target(), item.mutable().map(|Mutable { key, .. }| key.to_string()));
    let answer = finish(dht.put(item, cas)).await?;
    let stored = stored(&answer.outcome);
    if json {
        let target = target.to_string();
        say(json!({ "target": target, "public_key": key, "stored": stored, "cost": cost(&answer.stats) }))?;
    } else {
        say(target)?;
        key.into_iter().for_each(|key| tell(format_args!("public key {key}")));
        tell(format_args!("stored by {stored} nodes"));
        tell_cost(&answer.stats);
    }
    if stored == 0 { Err(Failure::Failed("no node has stored it".into())) } else { Ok(()) }
}

async fn item(search: DhtOperation, target: Option<Id>, json: bool) -> Result<(), Failure> {
    let answer = finish(search).await?;
    let Some(item) = &answer.item else {
        let target = target.map(|target| target.to_string()).unwrap_or_default();
        return Err(Failure::Failed(format!("there is no item at {target}")));
    };
    // Text is shown as text; anything else as it is encoded.
    let value = unchoke_bencode::decode(item.value(), &unchoke_bencode::DecodeLimits::default());
    let shown = value.ok().and_then(|document| document.root().as_bytes().map(<[u8]>::to_vec));
    let shown = String::from_utf8_lossy(shown.as_deref().unwrap_or(item.value())).into_owned();
    if json {
        return say(json!({ "value": shown, "seq": item.seq(), "cost": cost(&answer.stats) }));
    }
    say(shown)?;
    item.seq().into_iter().for_each(|seq| tell(format_args!("sequence number {seq}")));
    tell_cost(&answer.stats);
    Ok(())
}

/// Waits until the torrent is published.
async fn publish(mut feed: TorrentFeed, link: &MutableLink, json: bool) -> Result<(), Failure> {
    while let Some(event) = feed.next().await {
        match event {
            MutableTorrentEvent::Published { seq, stored, .. } if json => {
                return say(json!({ "link": link.to_string(), "seq": seq, "stored": stored }));
            }
            MutableTorrentEvent::Published { seq, stored, .. } => {
                say(link)?;
                tell(format_args!("version {seq}, stored by {stored} nodes"));
                return Ok(());
            }
            MutableTorrentEvent::NotPublished { error, .. } => return Err(Failure::failed(&error)),
            _ => {}
        }
    }
    Err(ended(DhtError::Ended))
}

async fn follow(mut feed: TorrentFeed, json: bool) -> Result<(), Failure> {
    while let Some(event) = feed.next().await {
        match event {
            MutableTorrentEvent::Updated { seq, info_hash } if json => {
                say(json!({ "seq": seq, "info_hash": info_hash.to_string() }))?;
            }
            MutableTorrentEvent::Updated { seq, info_hash } => {
                say(info_hash)?;
                tell(format_args!("version {seq}"));
            }
            MutableTorrentEvent::NoTorrent { seq, error } => tell(format_args!("version {seq} is no torrent: {error}")),
            MutableTorrentEvent::StoredAgain { stored, .. } => tell(format_args!("stored again by {stored} nodes")),
            _ => {}
        }
    }
    Err(ended(DhtError::Ended))
}

async fn sample(mut search: DhtOperation, json: bool) -> Result<(), Failure> {
    let mut known = HashSet::new();
    while let Some(event) = search.next().await {
        match event {
            DhtEvent::Samples { info_hashes, from, .. } => {
                for hash in info_hashes.into_iter().filter(|hash| known.insert(*hash)) {
                    let hash = hash.to_string();
                    if json { say(json!({ "info_hash": hash, "from": from }))? } else { say(hash)? }
                }
            }
            DhtEvent::Done { outcome, stats, .. } => {
                check(&outcome)?;
                if json {
                    say(json!({ "info_hashes": known.len(), "cost": cost(&stats) }))?;
                } else {
                    tell_cost(&stats);
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Err(ended(DhtError::Ended))
}
