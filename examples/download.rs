//! Downloads a torrent, given as a file or as a magnet link. One that leads to a key (BEP 46) is looked up in the DHT.
//!
//! Without arguments it makes up content, seeds it on loopback, and downloads that.

use indicatif::MultiProgress;
use std::collections::HashSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use unchoke_core::{DiskError, PeerId};
use unchoke_dht::MutableTorrentEvent;
use unchoke_examples::{
    Failure, Progress, Source, address, addresses, bytes, generate, host_port, load, positive, run, say, tell,
    tell_tracker_failures, text, unexpected,
};
use unchoke_storage::FileStorage;
use unchoke_swarm::picker::Sequential;
use unchoke_swarm::{Event, FilePriorities};
use unchoke_tokio::{AddTorrent, Client, ClientBuilder, Torrent, TorrentFeed};

const USAGE: &str = "download <FILE.torrent | magnet:…> [--output DIR] [--peer HOST:PORT]… [--listen ADDR] [--seed] \
                     [--files N[-N],…] [--sequential] [--dht HOST:PORT]… [--tracker-ca FILE.der]… [--limit-down BYTES/S] [--limit-up BYTES/S] [--json]\n\
                     Peers that cannot be reached are tried again until the download is complete or Ctrl-C ends it.";

#[derive(Default)]
struct Options {
    source: Option<OsString>,
    output: PathBuf,
    peers: Vec<SocketAddr>,
    listen: Option<SocketAddr>,
    seed: bool,
    sequential: bool,
    files: FilePriorities,
    down: Option<u64>,
    up: Option<u64>,
    tracker_roots: Vec<Vec<u8>>,
    dht: Vec<String>,
    json: bool,
}

fn parse() -> Result<Options, Failure> {
    use lexopt::Arg::{Long, Value};
    let mut options = Options { output: PathBuf::from("."), ..Options::default() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("output") => options.output = parser.value()?.into(),
            Long("peer") => options.peers.extend(addresses(&parser.value()?)?),
            Long("listen") => options.listen = Some(address(&parser.value()?)?),
            Long("seed") => options.seed = true,
            Long("files") => options.files = FilePriorities::only(ranges(&text(parser.value()?)?)?),
            Long("sequential") => options.sequential = true,
            Long("dht") => options.dht.push(host_port(text(parser.value()?)?)?),
            Long("tracker-ca") => options.tracker_roots.push(bytes(&parser.value()?)?),
            Long("limit-down") => options.down = Some(positive(&parser.value()?)?),
            Long("limit-up") => options.up = Some(positive(&parser.value()?)?),
            Long("json") => options.json = true,
            Value(source) if options.source.is_none() => options.source = Some(source),
            other => return Err(unexpected(other)),
        }
    }
    Ok(options)
}

/// Numbers and ranges of numbers, separated by commas.
fn ranges(text: &str) -> Result<Vec<RangeInclusive<u32>>, Failure> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    let parts: Option<Vec<RangeInclusive<u32>>> = text.split(',').map(range).collect();
    parts.ok_or_else(|| Failure::Usage(format!("{text:?} is no list of file numbers such as 0,3-5")))
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match parse() {
        Ok(options) if options.source.is_none() => offline(options).await,
        Ok(options) => download(options).await,
        Err(failure) => Err(failure),
    };
    run(USAGE, result)
}

/// Seeds made-up content on loopback and downloads it.
async fn offline(mut options: Options) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::failed(&error);
    let (from, to) = (tempfile::tempdir().map_err(io)?, tempfile::tempdir().map_err(io)?);
    let content = generate(from.path(), "sample", &[24 << 20, 1, 8_000_001], |builder| builder).map_err(io)?;
    let seed = Client::builder().listen(SocketAddr::from(([127, 0, 0, 1], 0))).build().await;
    let seed = seed.map_err(|error| Failure::failed(&error))?;
    let torrent = AddTorrent::from_metainfo(&content.metainfo, FileStorage::read_only(from.path()));
    seed.add(torrent).await.map_err(|error| Failure::failed(&error))?;
    let file = from.path().join("sample.torrent");
    std::fs::write(&file, content.metainfo.to_bytes()).map_err(io)?;
    options.source = Some(file.into());
    options.output = to.path().to_owned();
    options.peers.extend(seed.local_addr());
    download(options).await
}

async fn download(mut options: Options) -> Result<(), Failure> {
    let source = load(options.source.as_ref().unwrap_or(&OsString::new()))?;
    if matches!(source, Source::Mutable(_)) && options.dht.is_empty() {
        return Err(Failure::Usage("a link to a key is looked up in the DHT: --dht is missing".into()));
    }
    let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let mut builder = std::mem::take(&mut options.tracker_roots)
        .into_iter()
        .fold(Client::builder().listen(listen), ClientBuilder::tracker_root);
    if !options.dht.is_empty() {
        builder = builder.dht(unchoke_dht::Config::default(), std::mem::take(&mut options.dht));
    }
    let client = builder.build().await.map_err(|error| Failure::failed(&error))?;
    client.set_limits(options.down, options.up);
    let begin = Instant::now();
    let added = tokio::select! {
        added = add(&client, source, &mut options) => added,
        _ = tokio::signal::ctrl_c() => Err(Failure::Failed("interrupted".into())),
    };
    let (torrent, label) = match added {
        Ok(added) => added,
        Err(failure) => {
            let _ = client.shutdown().await;
            return Err(failure);
        }
    };
    tokio::spawn(tell_tracker_failures(torrent.clone()));
    let label: String = label.chars().take(12).collect();
    let watched = tokio::select! {
        watched = watch(&torrent, &options, &label) => watched,
        _ = tokio::signal::ctrl_c() => {
            client.shutdown().await.map_err(|error| Failure::failed(&error))?;
            return Err(Failure::Failed("interrupted; the state is saved".into()));
        }
    };
    let peers = match watched {
        Ok(peers) => peers,
        Err(failure) => {
            // The first failure is the one to tell.
            let _ = client.shutdown().await;
            return Err(failure);
        }
    };
    let told = if options.json
        && let Some(stats) = torrent.stats()
    {
        let line = serde_json::json!({
            "info_hash": torrent.info_hashes().to_string(),
            "bytes": stats.verified_bytes,
            "skipped_bytes": stats.total.saturating_sub(stats.wanted),
            "seconds": begin.elapsed().as_secs_f64(),
            "peers": peers,
            "verified_pieces": stats.verified,
        });
        say(line)
    } else {
        tell(format_args!("complete and verified in {:.1} s", begin.elapsed().as_secs_f64()));
        Ok(())
    };
    if options.seed && told.is_ok() {
        // Without an answer to Ctrl-C there would be no way to stop, so its failure ends the program, too.
        let _ = tokio::signal::ctrl_c().await;
    }
    let ended = client.shutdown().await.map_err(|error| Failure::failed(&error));
    told.and(ended)
}

/// Adds what is to be downloaded. Returns it with the name to show.
async fn add(client: &Client, source: Source, options: &mut Options) -> Result<(Torrent, String), Failure> {
    let storage = FileStorage::new(&options.output);
    let sequential = options.sequential;
    if let Source::Magnet(link) = &source
        && options.files == FilePriorities::default()
        && !link.selected().is_empty()
    {
        options.files = FilePriorities::only(link.selected().iter().cloned());
    }
    let files = options.files.clone();
    let how = move |add: AddTorrent| {
        let add = add.file_priorities(files);
        if sequential { add.picker(Box::new(|geometry, _| Box::new(Sequential::new(geometry)))) } else { add }
    };
    let (added, label) = match source {
        Source::Torrent(metainfo) => {
            let add = how(AddTorrent::from_metainfo(&metainfo, storage));
            (client.add(add).await, metainfo.info().name().to_owned())
        }
        Source::Magnet(link) => {
            options.peers.extend(link.peers());
            let add = how(AddTorrent::from_hashes(link.info_hashes(), storage).trackers(link.trackers()));
            (client.add(add).await, link.name().unwrap_or("magnet link").to_owned())
        }
        Source::Mutable(link) => {
            tell("looking up what the key publishes");
            let added = client.add_mutable(&link, |name| how(AddTorrent::from_hashes(name, storage))).await;
            let torrent = added.map(|(torrent, feed)| {
                tell(format_args!("it is {}", torrent.info_hashes()));
                tokio::spawn(tell_updates(feed));
                torrent
            });
            (torrent, link.name().unwrap_or("magnet link").to_owned())
        }
    };
    Ok((added.map_err(|error| Failure::failed(&error))?, label))
}

/// Says when there is a newer version, which is not downloaded.
async fn tell_updates(mut feed: TorrentFeed) {
    while let Some(event) = feed.next().await {
        if let MutableTorrentEvent::Updated { seq, info_hash } = event {
            tell(format_args!("version {seq} is published now: magnet:?xt=urn:btih:{info_hash}"));
        }
    }
}

/// Brings in the peers and shows progress until the torrent is complete. Returns how many different peers were connected.
async fn watch(torrent: &Torrent, options: &Options, label: &str) -> Result<usize, Failure> {
    let removed = || Failure::Failed("the torrent was removed".into());
    let mut events = torrent.events().ok_or_else(removed)?;
    let mut peers: HashSet<PeerId> = torrent.peers().into_iter().map(|peer| peer.id).collect();
    torrent.add_peers(&options.peers);
    let mut progress = Progress::new(&MultiProgress::new(), label);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let completed = torrent.completed();
    tokio::pin!(completed);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            result = &mut completed => {
                result.map_err(|error| Failure::failed(&error))?;
                while let Ok(event) = events.try_recv() {
                    note_peer(&event, &mut peers);
                }
                progress.show(torrent);
                progress.finish();
                return Ok(peers.len());
            }
            _ = ticks.tick() => {
                progress.show(torrent);
                continue;
            }
        };
        match event.as_deref() {
            Ok(Event::StorageFailed { error, .. }) => wait_or_fail(*error, &options.output)?,
            Ok(event) => note_peer(event, &mut peers),
            // Events came faster than they were read. Who is connected can be seen; who came and went meanwhile cannot.
            Err(RecvError::Lagged(_)) => peers.extend(torrent.peers().into_iter().map(|peer| peer.id)),
            Err(RecvError::Closed) => return Err(removed()),
        }
    }
}

fn note_peer(event: &Event, peers: &mut HashSet<PeerId>) {
    if let Event::PeerConnected { id, .. } = event {
        peers.insert(*id);
    }
}

/// Says that the disk is full, which may pass. Anything else does not pass by waiting.
fn wait_or_fail(error: DiskError, output: &Path) -> Result<(), Failure> {
    if error == DiskError::Full {
        tell("the disk is full, waiting");
        return Ok(());
    }
    Err(Failure::Failed(format!("cannot store the download in {}: {error}", output.display())))
}
