//! Clients that talk to one another over loopback sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

#[cfg(feature = "dht")]
mod dht;
mod gate;
#[cfg(feature = "https")]
mod https;
mod kill;
mod lists;
#[cfg(feature = "object-store")]
mod objects;
mod places;

use gate::{Gate, Gated};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unchoke_core::{InfoHashes, Seed, Sha1Hash, Sha256Hash};
use unchoke_metainfo::{Builder, Metainfo, Version};
use unchoke_storage::{FileStorage, MemoryStorage, create};
use unchoke_tokio::{
    AddTorrent, AnnounceError, Client, ClientBuilder, ClientError, HttpTrackerServer, Torrent, TorrentError,
    TrackerAnswer, TrackerReport, UdpTrackerServer,
};

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn content(root: &Path) -> Metainfo {
    content_of(root, Version::Hybrid)
}

fn content_of(root: &Path, version: Version) -> Metainfo {
    let folder = root.join("content");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    for (name, length) in [("a.bin", 3_000_001_usize), ("deep/b.bin", 70_000), ("empty", 0), ("z.bin", 1_234_567)] {
        let bytes: Vec<u8> = (0..length).map(|at| (at * 31 + at / 251) as u8).collect();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    create(&folder, 65_536, |builder| builder.version(version), |_, _| ControlFlow::Continue(())).unwrap()
}

fn same(left: &Path, right: &Path) {
    for name in ["a.bin", "deep/b.bin", "empty", "z.bin"] {
        assert!(
            std::fs::read(left.join("content").join(name)).unwrap()
                == std::fs::read(right.join("content").join(name)).unwrap(),
            "{name}"
        );
    }
}

async fn seed(root: &Path, metainfo: &Metainfo) -> Client {
    let client = Client::builder().listen(local()).build().await.unwrap();
    let torrent = client.add(AddTorrent::from_metainfo(metainfo, FileStorage::read_only(root))).await.unwrap();
    torrent.completed().await.unwrap();
    client
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("done within a minute")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_over_loopback_and_resumes_without_fetching_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let leech = Client::builder().listen(local()).build().await.unwrap();
    let add = || AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers(seed.local_addr());
    let torrent = leech.add(add()).await.unwrap();
    within(torrent.completed()).await.unwrap();
    assert_eq!(torrent.stats().unwrap().downloaded, metainfo.info().geometry().total_len());
    assert!(matches!(leech.add(add()).await, Err(ClientError::Duplicate(_))));
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());

    let again = Client::builder().listen(local()).build().await.unwrap();
    let torrent = again.add(add()).await.unwrap();
    within(torrent.completed()).await.unwrap();
    assert_eq!(torrent.stats().unwrap().downloaded, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torrents_of_every_version_are_downloaded_and_resumed() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        content(from.path());
        let options = |builder: Builder| builder.version(version);
        let folder = from.path().join("content");
        let metainfo = create(&folder, 65_536, options, |_, _| ControlFlow::Continue(())).unwrap();
        let seed = seed(from.path(), &metainfo).await;
        for downloads in [true, false] {
            let leech = Client::builder().build().await.unwrap();
            let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers(seed.local_addr());
            let torrent = leech.add(add).await.unwrap();
            within(torrent.completed()).await.unwrap();
            assert_eq!(torrent.stats().unwrap().downloaded > 0, downloads, "{version:?}");
            assert_eq!(torrent.stats().unwrap().failed_pieces, 0);
            leech.shutdown().await.unwrap();
        }
        same(from.path(), to.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_magnet_link_needs_only_a_peer() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_hashes(metainfo.info_hashes(), FileStorage::new(to.path())).peers(seed.local_addr());
    let torrent = leech.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_is_gone_only_when_its_last_disk_job_has_ended() {
    let from = tempfile::tempdir().unwrap();
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let (gate, leech) = (Gate::default(), Client::builder().build().await.unwrap());
    let add = AddTorrent::from_metainfo(&metainfo, Gated(gate.clone())).peers(seed.local_addr());
    let torrent = leech.add(add).await.unwrap();
    within(async {
        while gate.writing() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut removal = std::pin::pin!(leech.remove(&torrent));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut removal).await;
    assert!(early.is_err(), "a write is under way");
    gate.open();
    within(removal).await.unwrap();
    assert_eq!(gate.writing(), 0);
    assert!(torrent.stats().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_magnet_link_whose_store_cannot_be_opened_fails_and_says_so() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let in_the_way = to.path().join("a file");
    std::fs::write(&in_the_way, "").unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_hashes(metainfo.info_hashes(), FileStorage::new(in_the_way.join("x")))
        .peers(seed.local_addr());
    let torrent = leech.add(add).await.unwrap();
    let error = within(torrent.completed()).await.unwrap_err();
    assert!(matches!(error, TorrentError::Store(_)), "{error:?}");
    leech.remove(&torrent).await.unwrap();
    assert!(matches!(torrent.completed().await, Err(TorrentError::Removed)));
    let v2 = AddTorrent::from_hashes(InfoHashes::v2(Sha256Hash::new([1; 32])), MemoryStorage::new());
    assert!(matches!(leech.add(v2).await, Err(ClientError::V2Name(_))));
}

#[tokio::test]
async fn a_tracker_closes_the_connection_after_a_refusal() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let tracker = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    for request in ["GET /nope HTTP/1.1\r\n\r\n", "PUT /announce HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(tracker.local_addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok() && answer.starts_with(b"HTTP/1.1 4"), "{request}");
    }
}

/// What came of the last announce to a tracker, once there was one.
async fn answer(torrent: &Torrent, tracker: usize) -> Result<TrackerAnswer, Arc<AnnounceError>> {
    let mut report = torrent.trackers().unwrap();
    let asked = |report: &TrackerReport| report.trackers[tracker].last.is_some();
    let report = within(report.wait_for(asked)).await.unwrap();
    report.trackers[tracker].last.clone().unwrap().result
}

/// What the tracker says of the seeds and the downloaders of a torrent.
async fn scrape(tracker: &HttpTrackerServer, metainfo: &Metainfo) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(tracker.local_addr()).await.unwrap();
    let hash = metainfo.info_hashes().to_string();
    let digits: Vec<char> = hash.chars().collect();
    let query: String = digits.chunks(2).map(|pair| format!("%{}{}", pair[0], pair[1])).collect();
    let request = format!("GET /scrape?info_hash={query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_is_announced_as_a_seed_from_the_start() {
    let from = tempfile::tempdir().unwrap();
    let metainfo = content(from.path());
    let tracker = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    let seed = Client::builder().listen(local()).build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(from.path())).trackers([tracker.url()]);
    seed.add(add).await.unwrap();
    let first = async {
        loop {
            let answer = scrape(&tracker, &metainfo).await;
            if answer.contains("completei1e") {
                return answer;
            }
        }
    };
    let answer = within(first).await;
    assert!(answer.contains("8:completei1e") && answer.contains("10:incompletei0e"), "{answer}");
}

/// Whether a downloader that announces to one URL of a tracker finds a seed that announces to another.
async fn found_through(seeds: String, downloads: String, builder: impl Fn() -> ClientBuilder) {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = builder().listen(local()).build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(from.path())).trackers([seeds]);
    let seeded = seed.add(add).await.unwrap();
    seeded.completed().await.unwrap();
    // Whoever is told of nobody asks again in half an hour, so the tracker must know the seed first.
    assert!(answer(&seeded, 0).await.is_ok());
    let leech = builder().listen(local()).build().await.unwrap();
    let dead = "http://127.0.0.1:1/announce".to_owned();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).trackers([dead, downloads]);
    let torrent = leech.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    let refused = answer(&torrent, 0).await.unwrap_err();
    assert!(matches!(*refused, AnnounceError::Connect { .. }), "{refused:?}");
    assert!(answer(&torrent, 1).await.is_ok());
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_found_through_a_tracker_over_http() {
    let tracker = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    found_through(tracker.url(), tracker.url(), Client::builder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_announces_over_udp_is_found_over_http() {
    let tracker = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    let beside = UdpTrackerServer::beside(&tracker, local(), &Seed::new([6; 32])).await.unwrap();
    found_through(beside.url(), tracker.url(), Client::builder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_announces_over_http_is_found_over_udp() {
    let tracker = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    let beside = UdpTrackerServer::beside(&tracker, local(), &Seed::new([6; 32])).await.unwrap();
    found_through(tracker.url(), beside.url(), Client::builder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announces_at_one_tracker_at_a_time_get_each_its_own_answer() {
    let tracker = HttpTrackerServer::bind(local(), Seed::new([5; 32])).await.unwrap();
    let beside = UdpTrackerServer::beside(&tracker, local(), &Seed::new([6; 32])).await.unwrap();
    let client = Client::builder().listen(local()).build().await.unwrap();
    let mut torrents = Vec::new();
    for number in 0..20 {
        let hashes = InfoHashes::v1(Sha1Hash::new([number; 20]));
        let add = AddTorrent::from_hashes(hashes, MemoryStorage::new()).trackers([beside.url()]);
        torrents.push(client.add(add).await.unwrap());
    }
    for torrent in torrents {
        assert!(within(answer(&torrent, 0)).await.is_ok());
    }
}

#[tokio::test]
async fn trackers_that_cannot_be_asked_say_why() {
    let client = Client::builder().listen(local()).build().await.unwrap();
    let hashes = InfoHashes::v1(Sha1Hash::new([7; 20]));
    let urls = ["wss://a/\u{1b}[2J", "http://127.0.0.1:1/announce", "https://127.0.0.1:1/announce"];
    let add = AddTorrent::from_hashes(hashes, MemoryStorage::new()).trackers(urls);
    let torrent = client.add(add).await.unwrap();
    assert!(matches!(&*answer(&torrent, 0).await.unwrap_err(), AnnounceError::Url(_)));
    assert!(matches!(&*answer(&torrent, 1).await.unwrap_err(), AnnounceError::Connect { .. }));
    let error = answer(&torrent, 2).await.unwrap_err();
    let refused = if cfg!(feature = "https") {
        matches!(&*error, AnnounceError::Connect { .. })
    } else {
        matches!(&*error, AnnounceError::HttpsDisabled)
    };
    assert!(refused, "{error:?}");
    let report = torrent.trackers().unwrap().borrow().clone();
    assert_eq!(report.trackers.iter().map(|tracker| tracker.tier).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(report.trackers[0].url, "wss://a/\u{fffd}[2J");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_under_a_seed_pauses_it_until_a_recheck_takes_it_as_it_is() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let source = seed(from.path(), &metainfo).await;
    let source_address = source.local_addr().unwrap();
    let client = Client::builder().listen(local()).build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers([source_address]);
    let torrent = client.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    let mut events = torrent.events().unwrap();

    let file = to.path().join("content/a.bin");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(1_000_000).unwrap();
    let other = tempfile::tempdir().unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(other.path()));
    let download = leech.add(add.peers([client.local_addr().unwrap()])).await.unwrap();
    let failed = async {
        loop {
            if let unchoke_swarm::Event::StorageFailed { error, .. } = *events.recv().await.unwrap() {
                return error;
            }
        }
    };
    assert_eq!(within(failed).await, unchoke_core::DiskError::Missing);

    torrent.recheck();
    torrent.add_peers(&[source_address]);
    let whole = async {
        while !torrent.stats().unwrap().is_seed() {
            let _ = events.recv().await;
        }
    };
    within(whole).await;
    same(from.path(), to.path());
    download.add_peers(&[source_address]);
    within(download.completed()).await.unwrap();
    for client in [leech, client, source] {
        client.shutdown().await.unwrap();
    }
    same(from.path(), other.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_is_renamed_while_it_is_seeded_and_deleted_with_its_files() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let source = seed(from.path(), &metainfo).await;
    let client = Client::builder().listen(local()).build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers(source.local_addr());
    let torrent = client.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    let layout = metainfo.info().layout();
    let number = layout.files().iter().find(|entry| entry.path().ends_with("a.bin")).unwrap().number() as u32;
    torrent.rename_file(number, &["elsewhere", "first.bin"]).await.unwrap();
    assert!(torrent.rename_file(number, &["..", "out"]).await.is_err());

    let other = tempfile::tempdir().unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(other.path())).peers(client.local_addr());
    within(leech.add(add).await.unwrap().completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), other.path());
    client.delete(&torrent).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".unchoke"]);
    assert!(torrent.stats().is_none());
    client.shutdown().await.unwrap();
    source.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_store_passes_on_more_than_it_holds_and_tells_peers_what_it_let_go() {
    let from = tempfile::tempdir().unwrap();
    let metainfo = content(from.path());
    let source = seed(from.path(), &metainfo).await;
    let client = Client::builder().listen(local()).build().await.unwrap();
    // Room for a third of the torrent.
    let add =
        AddTorrent::from_metainfo(&metainfo, MemoryStorage::with_capacity(24 * 65_536)).peers(source.local_addr());
    let torrent = client.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    let mut events = torrent.events().unwrap();

    let other = tempfile::tempdir().unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(other.path())).peers(client.local_addr());
    let download = leech.add(add).await.unwrap();
    let evicted =
        async { while !matches!(*events.recv().await.unwrap(), unchoke_swarm::Event::PieceEvicted { .. }) {} };
    within(evicted).await;
    download.add_peers(&[source.local_addr().unwrap()]);
    within(download.completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), other.path());
    assert_eq!(torrent.stats().unwrap().state, unchoke_swarm::TorrentState::Seeding, "it is no failure");
    for client in [client, source] {
        client.shutdown().await.unwrap();
    }
}
