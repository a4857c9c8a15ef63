//! Downloads a torrent, given as a file or as a magnet link.
//!
//! Without arguments it makes up content, seeds it on loopback, and downloads that.

use indicatif::MultiProgress;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use unchoke_examples::{Failure, Progress, Source, address, bytes, generate, load, number, run, tell_tracker_failures};
use unchoke_storage::FileStorage;
use unchoke_swarm::TorrentState;
use unchoke_swarm::picker::Sequential;
use unchoke_tokio::{AddTorrent, Client, ClientBuilder, Torrent};

const USAGE: &str = "download <FILE.torrent | magnet:…> [--output DIR] [--peer HOST:PORT]… [--listen ADDR] [--seed] \
                     [--sequential] [--tracker-ca FILE.der]… [--limit-down BYTES/S] [--limit-up BYTES/S] [--json]";

#[derive(Default)]
struct Options {
    source: Option<OsString>,
    output: PathBuf,
    peers: Vec<SocketAddr>,
    listen: Option<SocketAddr>,
    seed: bool,
    sequential: bool,
    down: Option<u64>,
    up: Option<u64>,
    tracker_roots: Vec<Vec<u8>>,
    json: bool,
}

fn parse() -> Result<Options, Failure> {
    use lexopt::Arg::{Long, Value};
    let mut options = Options { output: PathBuf::from("."), ..Options::default() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("output") => options.output = parser.value()?.into(),
            Long("peer") => options.peers.push(address(&parser.value()?)?),
            Long("listen") => options.listen = Some(address(&parser.value()?)?),
            Long("seed") => options.seed = true,
            Long("sequential") => options.sequential = true,
            Long("tracker-ca") => options.tracker_roots.push(bytes(&parser.value()?)?),
            Long("limit-down") => options.down = Some(number(&parser.value()?)?),
            Long("limit-up") => options.up = Some(number(&parser.value()?)?),
            Long("json") => options.json = true,
            Value(source) if options.source.is_none() => options.source = Some(source),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
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

async fn download(options: Options) -> Result<(), Failure> {
    let storage = FileStorage::new(&options.output);
    let (mut add, label) = match load(options.source.as_ref().unwrap_or(&OsString::new()))? {
        Source::Torrent(metainfo) => (AddTorrent::from_metainfo(&metainfo, storage), metainfo.info().name().to_owned()),
        Source::Magnet(link) => {
            let name = link.name().unwrap_or("magnet link").to_owned();
            (AddTorrent::from_hashes(link.info_hashes(), storage).peers(link.peers()).trackers(link.trackers()), name)
        }
    };
    if options.sequential {
        add = add.picker(Box::new(|geometry, _| Box::new(Sequential::new(geometry))));
    }
    let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let builder = options.tracker_roots.into_iter().fold(Client::builder().listen(listen), ClientBuilder::tracker_root);
    let client = builder.build().await.map_err(|error| Failure::failed(&error))?;
    client.set_limits(options.down, options.up);
    let begin = Instant::now();
    let torrent = client.add(add.peers(options.peers)).await.map_err(|error| Failure::failed(&error))?;
    tokio::spawn(tell_tracker_failures(torrent.clone()));
    let label: String = label.chars().take(12).collect();
    let peers = tokio::select! {
        peers = watch(&torrent, &label) => peers?,
        _ = tokio::signal::ctrl_c() => {
            client.shutdown().await.map_err(|error| Failure::failed(&error))?;
            return Err(Failure::Failed("interrupted; the state is saved".into()));
        }
    };
    let stats = torrent.stats();
    if options.json
        && let Some(stats) = stats
    {
        let line = serde_json::json!({
            "info_hash": torrent.info_hashes().to_string(),
            "bytes": stats.verified_bytes,
            "seconds": begin.elapsed().as_secs_f64(),
            "peers": peers,
            "verified_pieces": stats.verified,
        });
        println!("{line}");
    } else {
        eprintln!("complete and verified in {:.1} s", begin.elapsed().as_secs_f64());
    }
    if options.seed {
        // Without an answer to Ctrl-C there would be no way to stop, so its failure ends the program, too.
        let _ = tokio::signal::ctrl_c().await;
    }
    client.shutdown().await.map_err(|error| Failure::failed(&error))
}

/// Shows progress until the torrent is complete. Returns the most peers seen at a time.
async fn watch(torrent: &Torrent, label: &str) -> Result<usize, Failure> {
    let mut progress = Progress::new(&MultiProgress::new(), label);
    let mut peers = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let completed = torrent.completed();
    tokio::pin!(completed);
    let mut told = false;
    loop {
        tokio::select! {
            result = &mut completed => {
                progress.show(torrent);
                progress.finish();
                return result.map(|()| peers).map_err(|error| Failure::failed(&error));
            }
            _ = ticks.tick() => {
                progress.show(torrent);
                let Some(stats) = torrent.stats() else { return Err(Failure::Failed("the torrent was removed".into())) };
                peers = peers.max(stats.peers);
                let failed = stats.state == TorrentState::StorageFailed;
                if failed && !std::mem::replace(&mut told, true) {
                    eprintln!("the store fails (is the disk full?); trying again from time to time");
                }
                told &= failed;
            }
        }
    }
}
