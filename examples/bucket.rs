//! Torrents in an object store: downloads into a bucket, and seeds from it.
//!
//! Without arguments it makes up content and takes a folder for a bucket: it downloads into that, finds all of it there again, and seeds it to
//! another client.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use unchoke_examples::{
    Failure, Source, address, addresses, generate, load, positive, run, say, tell, text, unexpected,
};
use unchoke_metainfo::Metainfo;
use unchoke_storage::{CachedStorage, FileStorage};
use unchoke_swarm::{Event, SessionConfig};
use unchoke_tokio::{AddTorrent, Client, ObjectStorage, Torrent};

const USAGE: &str = "bucket <FILE.torrent> --url URL [--option NAME=VALUE]… [--peer HOST:PORT]… [--listen ADDR] [--limit-down BYTES/S]\n\
                     [--group BYTES] [--seed]\n\
                     URL is s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder. Options are taken from the environment,\n\
                     too (AWS_REGION, AWS_ACCESS_KEY_ID and so on). Prints a line of JSON for what happens.";

/// Bytes of pieces that are kept in memory for peers that ask for their next blocks.
const CACHE: usize = 64 << 20;

/// What is downloaded or seeded.
#[derive(Default)]
struct Options {
    torrent: Option<OsString>,
    url: Option<String>,
    options: Vec<(String, String)>,
    peers: Vec<SocketAddr>,
    listen: Option<SocketAddr>,
    down: Option<u64>,
    /// Bytes of an object.
    group: Option<u64>,
    seed: bool,
}

fn parse() -> Result<Options, Failure> {
    use lexopt::Arg::{Long, Value};
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("url") => options.url = Some(text(parser.value()?)?),
            Long("option") => {
                let option = text(parser.value()?)?;
                let (name, value) =
                    option.split_once('=').ok_or_else(|| Failure::Usage("an option is NAME=VALUE".into()))?;
                options.options.push((name.to_owned(), value.to_owned()));
            }
            Long("peer") => options.peers.extend(addresses(&parser.value()?)?),
            Long("listen") => options.listen = Some(address(&parser.value()?)?),
            Long("limit-down") => options.down = Some(positive(&parser.value()?)?),
            Long("group") => options.group = Some(positive(&parser.value()?)?),
            Long("seed") => options.seed = true,
            Value(file) if options.torrent.is_none() => options.torrent = Some(file),
            other => return Err(unexpected(other)),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match parse() {
        Ok(options) => start(options).await,
        Err(failure) => Err(failure),
    };
    run(USAGE, result)
}

async fn start(options: Options) -> Result<(), Failure> {
    match (&options.torrent, &options.url) {
        (None, None) => offline().await,
        (Some(file), Some(url)) => match load(file)? {
            Source::Torrent(metainfo) => online(&metainfo, url, &options).await,
            _ => Err(Failure::Usage("a torrent file is needed".into())),
        },
        _ => Err(Failure::Usage("a torrent and --url are needed".into())),
    }
}

/// A store with a cache in front: each request to a bucket takes its time, and peers ask for one block after the other.
fn bucket(url: &str, options: &Options) -> Result<CachedStorage<ObjectStorage>, Failure> {
    let builder = ObjectStorage::builder(url).environment();
    let builder = options.options.iter().fold(builder, |builder, (name, value)| builder.option(name, value));
    let builder = options.group.iter().fold(builder, |builder, bytes| builder.group_len(*bytes));
    Ok(CachedStorage::new(builder.build().map_err(failed)?, CACHE))
}

/// Downloads, and seeds if that is wanted.
async fn online(metainfo: &Metainfo, url: &str, options: &Options) -> Result<(), Failure> {
    // What is said to be synced is what a kill leaves, so it is said often.
    let mut config = SessionConfig::default();
    config.sync_interval = Duration::from_secs(1);
    config.disk_retry = Duration::from_secs(1);
    config.download_limit = options.down;
    let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let client = Client::builder().config(config).listen(listen).build().await.map_err(failed)?;
    let result = carry(&client, metainfo, url, options).await;
    // The first failure is the one to tell.
    let ended = client.shutdown().await.map_err(failed);
    result.and(ended)
}

async fn carry(client: &Client, metainfo: &Metainfo, url: &str, options: &Options) -> Result<(), Failure> {
    let add = AddTorrent::from_metainfo(metainfo, bucket(url, options)?);
    let torrent = client.add(add).await.map_err(failed)?;
    let total = metainfo.info().geometry().total_len();
    let found = torrent.stats().map_or(0, |stats| stats.verified_bytes);
    say(serde_json::json!({ "found": found, "of": total, "listen": client.local_addr() }))?;
    tokio::select! {
        downloaded = download(&torrent, &options.peers) => downloaded?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::Failed("interrupted; the state is saved".into())),
    }
    let downloaded = torrent.stats().map_or(0, |stats| stats.downloaded);
    say(serde_json::json!({ "complete": total, "downloaded": downloaded }))?;
    if options.seed {
        // Without an answer to Ctrl-C there would be no way to stop, so its failure ends the program, too.
        let _ = tokio::signal::ctrl_c().await;
    }
    Ok(())
}

/// Waits until the whole torrent is in the bucket, and says what becomes of its pieces.
async fn download(torrent: &Torrent, peers: &[SocketAddr]) -> Result<(), Failure> {
    let removed = || Failure::Failed("the torrent was removed".into());
    let mut events = torrent.events().ok_or_else(removed)?;
    let is_complete = || torrent.stats().is_some_and(|stats| stats.verified == stats.pieces);
    if is_complete() {
        return Ok(());
    }
    torrent.add_peers(peers);
    loop {
        match events.recv().await.as_deref() {
            Ok(Event::PieceVerified { piece, .. }) => say(serde_json::json!({ "verified": piece.0 }))?,
            Ok(Event::Synced { .. }) => {
                say(serde_json::json!({ "synced": true }))?;
                // A bucket that fails is tried again until here; what comes after this is synced once more, by the shutdown.
                if is_complete() {
                    return Ok(());
                }
            }
            Ok(Event::StorageFailed { error, .. }) => tell(format_args!("the bucket fails, waiting: {error}")),
            Ok(Event::StorageRecovered { .. }) => tell("the bucket works again"),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Err(removed()),
        }
    }
}

async fn offline() -> Result<(), Failure> {
    let (from, folder, to) = (
        tempfile::tempdir().map_err(failed)?,
        tempfile::tempdir().map_err(failed)?,
        tempfile::tempdir().map_err(failed)?,
    );
    let content = generate(from.path(), "sample", &[24 << 20, 1, 8_000_001], |builder| builder).map_err(failed)?;
    let url = format!("file://{}", folder.path().display());
    let origin = seed(&content.metainfo, FileStorage::read_only(from.path())).await?;
    for _ in 0..2 {
        let options = Options { peers: origin.local_addr().into_iter().collect(), ..Options::default() };
        online(&content.metainfo, &url, &options).await?;
    }
    origin.shutdown().await.map_err(failed)?;
    let seed = seed(&content.metainfo, bucket(&url, &Options::default())?).await?;
    let leech = Client::builder().build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, FileStorage::new(to.path())).peers(seed.local_addr());
    leech.add(add).await.map_err(failed)?.completed().await.map_err(failed)?;
    leech.shutdown().await.map_err(failed)?;
    say(format_args!("{} bytes were seeded out of {}", content.total, Path::new(&url).display()))
}

/// A client on loopback that has all of a torrent.
async fn seed(metainfo: &Metainfo, storage: impl unchoke_storage::Storage + 'static) -> Result<Client, Failure> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let client = Client::builder().listen(local).build().await.map_err(failed)?;
    client
        .add(AddTorrent::from_metainfo(metainfo, storage))
        .await
        .map_err(failed)?
        .completed()
        .await
        .map_err(failed)?;
    Ok(client)
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}
