//! Nodes of the DHT on loopback, each at an address of its own, as a table has one node of an address.

use crate::{content, local, same, within};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::keys::SecretKey;
use unchoke_core::{InfoHash, InfoHashes, Seed};
use unchoke_dht::{
    Announcement, Config, DhtEvent, Id, Item, MutableTorrent, MutableTorrentConfig, MutableTorrentEvent, Outcome,
};
use unchoke_metainfo::MutableLink;
use unchoke_storage::{FileStorage, create};
use unchoke_tokio::{AddTorrent, Client, ClientError, Dht, DhtError, TorrentFeed};

/// How often it is looked whether something has come about that nobody tells of.
const SOON: Duration = Duration::from_millis(10);

/// A network of nodes of which each has joined through all before it, and knows four if there are so many.
async fn network(count: u8) -> Vec<Dht> {
    let mut nodes: Vec<Dht> = Vec::new();
    for number in 1..=count {
        let roots: Vec<String> = nodes.iter().map(root).collect();
        let address = SocketAddr::from(([127, 0, 7, number], 0));
        nodes.push(Dht::bind(Config::default(), &[address], roots).await.unwrap());
    }
    for node in nodes.iter().skip(1) {
        within(node.bootstrapped()).await.unwrap();
    }
    for node in &nodes {
        let knows = async || node.health().await.unwrap().nodes_v4;
        within(async {
            while knows().await < usize::from(count - 1).min(4) {
                tokio::time::sleep(SOON).await
            }
        })
        .await;
    }
    nodes
}

fn root(node: &Dht) -> String {
    node.local_addrs()[0].to_string()
}

fn stored(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Finished { stored, .. } => *stored,
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_find_what_others_announce_and_store() {
    let nodes = network(12).await;
    let [asking, telling, ..] = &nodes[..] else { panic!("there are twelve") };
    let torrent = Id::new([7; 20]);
    let announced = within(telling.announce(torrent, Announcement::new(6881).with_seed(true)).finish()).await.unwrap();
    assert!(stored(&announced.outcome) >= 8, "{announced:?}");
    let found = within(asking.get_peers(torrent).finish()).await.unwrap();
    assert_eq!(found.peers, [SocketAddr::new(telling.local_addrs()[0].ip(), 6881)]);
    let scraped = within(asking.scrape(torrent).finish()).await.unwrap();
    let Outcome::Finished { scrape: Some(scrape), .. } = scraped.outcome else { panic!("{scraped:?}") };
    assert_eq!((scrape.seeds.estimate().round(), scrape.downloaders.estimate().round()), (1.0, 0.0));

    let fixed = Item::immutable(b"12:Hello World!").unwrap();
    assert!(stored(&within(telling.put(fixed.clone(), None).finish()).await.unwrap().outcome) >= 8);
    assert_eq!(within(asking.get(fixed.target()).finish()).await.unwrap().item, Some(fixed));
    let key = SecretKey::from_seed(&Seed::new([1; 32]));
    for seq in [1, 2] {
        let item = Item::sign(&key, b"salt", seq, b"i1e").unwrap();
        assert!(stored(&within(telling.put(item, None).finish()).await.unwrap().outcome) >= 8);
    }
    let newest = within(asking.get_mutable(&key.public_key(), b"salt").finish()).await.unwrap().item;
    assert_eq!(newest.and_then(|item| item.seq()), Some(2));

    let mut samples = asking.sample(Id::new([8; 20]));
    let mut sampled = Vec::new();
    while let Some(event) = within(samples.next()).await {
        if let DhtEvent::Samples { info_hashes, .. } = event {
            sampled.extend(info_hashes);
        }
    }
    assert!(sampled.contains(&torrent));
    assert!(within(asking.find_node(torrent).finish()).await.unwrap().stats.closest.len() >= 8);
    let health = asking.health().await.unwrap();
    assert!(health.nodes_v4 >= 8 && health.operations == 0, "{health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_dropped_is_cancelled() {
    let silent = tokio::net::UdpSocket::bind(local()).await.unwrap();
    let root = silent.local_addr().unwrap().to_string();
    let dht = Dht::bind(Config::default(), &[local()], [root]).await.unwrap();
    // The query is under way when it has come, so the root is known.
    silent.readable().await.unwrap();
    let before = dht.health().await.unwrap().operations;
    let search = dht.get_peers(Id::new([1; 20]));
    assert_eq!(dht.health().await.unwrap().operations, before + 1);
    drop(search);
    assert_eq!(dht.health().await.unwrap().operations, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_before_the_roots_are_known_waits_for_them() {
    let nodes = network(1).await;
    let dht = Dht::bind(Config::default(), &[local()], [root(&nodes[0])]).await.unwrap();
    let answer = within(dht.announce(Id::new([1; 20]), Announcement::new(6881)).finish()).await.unwrap();
    assert_eq!(stored(&answer.outcome), 1, "{answer:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = tokio::net::UdpSocket::bind(local()).await.unwrap().local_addr();
    let holder = Dht::bind(Config::default(), &[taken.unwrap()], None::<String>).await.unwrap();
    let address = holder.local_addrs()[0];
    let error = Dht::bind(Config::default(), &[address], None::<String>).await.unwrap_err();
    assert!(matches!(error, DhtError::Bind { address: named, .. } if named == address), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_magnet_is_downloaded_with_nothing_but_the_dht() {
    let nodes = network(4).await;
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let client = || Client::builder().listen(local()).dht(Config::default(), [root(&nodes[0])]);
    let seed = client().build().await.unwrap();
    let port = seed.local_addr().unwrap().port();
    assert!(seed.dht().unwrap().local_addrs().iter().any(|it| it.port() == port), "the port of TCP is free for UDP");
    let torrent = AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(from.path()));
    within(seed.add(torrent).await.unwrap().completed()).await.unwrap();
    let leech = client().build().await.unwrap();
    let name = AddTorrent::from_hashes(metainfo.info_hashes(), FileStorage::new(to.path()));
    within(leech.add(name).await.unwrap().completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());
    seed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_torrent_is_not_told_to_the_dht() {
    let nodes = network(3).await;
    let folder = tempfile::tempdir().unwrap();
    content(folder.path());
    let [secret, open] = [true, false].map(|private| {
        let options = move |it: unchoke_metainfo::Builder| if private { it.private() } else { it };
        create(&folder.path().join("content"), 65_536, options, |_, _| ControlFlow::Continue(())).unwrap()
    });
    let id = |hashes: InfoHashes| Id::from(hashes.wire());
    let client = Client::builder().listen(local()).dht(Config::default(), [root(&nodes[0])]).build().await.unwrap();
    for metainfo in [&secret, &open] {
        let add = AddTorrent::from_metainfo(metainfo, FileStorage::read_only(folder.path()));
        within(client.add(add).await.unwrap().completed()).await.unwrap();
    }
    // What was added later is known, so what was added earlier would be.
    let known = async |hashes| within(nodes[1].get_peers(id(hashes)).finish()).await.unwrap().peers.len();
    while known(open.info_hashes()).await == 0 {
        tokio::time::sleep(SOON).await;
    }
    assert_eq!(known(secret.info_hashes()).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_that_was_bound_is_announced() {
    let nodes = network(10).await;
    let addresses = [101, 102, 103].map(|last| SocketAddr::from(([127, 0, 7, last], 0)));
    let host = Dht::bind(Config::default(), &addresses, nodes.iter().map(root)).await.unwrap();
    within(host.bootstrapped()).await.unwrap();
    let torrent = Id::new([7; 20]);
    let announced = within(host.announce(torrent, Announcement::implied_port()).finish()).await.unwrap();
    assert!(stored(&announced.outcome) >= 20, "{announced:?}");
    let mut found = within(nodes[1].get_peers(torrent).finish()).await.unwrap().peers;
    found.sort_unstable();
    assert_eq!(found, host.local_addrs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_bring_one_another_into_the_dht() {
    let nodes = network(5).await;
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    // One has joined, the other does not know a node to begin with.
    let client = |roots: Option<String>| Client::builder().listen(local()).dht(Config::default(), roots);
    let (seed, leech) = (client(Some(root(&nodes[0]))).build().await.unwrap(), client(None).build().await.unwrap());
    within(seed.dht().unwrap().bootstrapped()).await.unwrap();
    let torrent = AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(from.path()));
    within(seed.add(torrent).await.unwrap().completed()).await.unwrap();
    let torrent = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers(seed.local_addr());
    within(leech.add(torrent).await.unwrap().completed()).await.unwrap();
    for (one, other) in [(&seed, &leech), (&leech, &seed)] {
        let node = other.dht().unwrap().local_addrs().iter().copied().find(SocketAddr::is_ipv4);
        within(async {
            while !one.dht().unwrap().nodes().await.unwrap().iter().any(|(_, at)| Some(*at) == node) {
                tokio::time::sleep(SOON).await;
            }
        })
        .await;
    }
    // Through its peer's node the other one has found the rest of the network.
    within(leech.dht().unwrap().bootstrapped()).await.unwrap();
    within(async {
        while leech.dht().unwrap().nodes().await.unwrap().len() < 4 {
            tokio::time::sleep(SOON).await;
        }
    })
    .await;
}

/// The next of these events that the feed tells of.
async fn told<T>(feed: &mut TorrentFeed, which: impl Fn(MutableTorrentEvent) -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(found) = which(feed.next().await.expect("the node is there")) {
                return found;
            }
        }
    })
    .await
}

fn published(event: MutableTorrentEvent) -> Option<(i64, InfoHash)> {
    match event {
        MutableTorrentEvent::Published { seq, info_hash, .. } => Some((seq, info_hash)),
        MutableTorrentEvent::NotPublished { error, .. } => panic!("{error}"),
        _ => None,
    }
}

fn updated(event: MutableTorrentEvent) -> Option<(i64, InfoHash)> {
    match event {
        MutableTorrentEvent::Updated { seq, info_hash } => Some((seq, info_hash)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_a_key_leads_to_the_download_and_later_versions_are_told() {
    let nodes = network(8).await;
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let client = || Client::builder().listen(local()).dht(Config::default(), [root(&nodes[0])]);
    let seed = client().build().await.unwrap();
    let torrent = AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(from.path()));
    within(seed.add(torrent).await.unwrap().completed()).await.unwrap();
    let secret = Arc::new(SecretKey::from_seed(&Seed::new([4; 32])));
    let name = metainfo.info_hashes().wire();
    let mut author = seed.dht().unwrap().publish_torrent(Arc::clone(&secret), b"salt", name).unwrap();
    assert_eq!(told(&mut author, published).await, (1, name));

    let link = MutableLink::new(*secret.public_key().as_bytes()).with_salt(b"salt").to_string();
    let link: MutableLink = link.parse().unwrap();
    let leech = client().build().await.unwrap();
    let make = |name| AddTorrent::from_hashes(name, FileStorage::new(to.path()));
    let (torrent, feed) = within(leech.add_mutable(&link, make)).await.unwrap();
    within(torrent.completed()).await.unwrap();
    assert_eq!(feed.newest().and_then(|item| item.seq()), Some(1));

    // Another one follows as well, and asks more often.
    let mut config = MutableTorrentConfig::default();
    config.ask_every = Duration::from_millis(50);
    let key = secret.public_key();
    let machine = MutableTorrent::new(Instant::now(), config, key, b"salt", &Seed::new([5; 32])).unwrap();
    let mut follower = nodes[7].keep_torrent(machine);
    assert_eq!(told(&mut follower, updated).await, (1, name));
    let next = InfoHash::new([9; 20]);
    author.publish(Arc::clone(&secret), next).unwrap();
    assert_eq!(told(&mut author, published).await, (2, next));
    assert_eq!(told(&mut follower, updated).await, (2, next));
    assert!(torrent.stats().is_some(), "it is the application that decides what becomes of the old version");
    assert!(author.publish(Arc::new(SecretKey::from_seed(&Seed::new([6; 32]))), next).is_err());
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());
    seed.shutdown().await.unwrap();
    assert_eq!(within(author.next()).await, None, "without a node nothing more is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_publishes_something_else_adds_nothing() {
    let nodes = network(3).await;
    let secret = SecretKey::from_seed(&Seed::new([4; 32]));
    let item = Item::sign(&secret, b"", 3, b"5:hello").unwrap();
    assert!(stored(&within(nodes[1].put(item, None).finish()).await.unwrap().outcome) > 0);
    let link = MutableLink::new(*secret.public_key().as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let make = |name| AddTorrent::from_hashes(name, FileStorage::new(folder.path()));
    let client = Client::builder().dht(Config::default(), [root(&nodes[0])]).build().await.unwrap();
    let error = within(client.add_mutable(&link, make)).await.unwrap_err();
    assert!(matches!(error, ClientError::NoTorrent { seq: 3, .. }), "{error:?}");
    let without = Client::builder().build().await.unwrap();
    assert!(matches!(within(without.add_mutable(&link, make)).await, Err(ClientError::NoDht)));
}
