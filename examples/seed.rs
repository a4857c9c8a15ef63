//! Seeds a torrent from a folder, to which it writes nothing. Its first line tells the address that it listens on. It ends with a failure if
//! anything is missing.
//!
//! Without arguments it makes up content and seeds it until nobody has asked for anything for two seconds.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use unchoke_examples::{
    Failure, Source, address, bytes, generate, host_port, load, run, say, tell_tracker_failures, text, tracker_url,
    unexpected,
};
use unchoke_metainfo::Metainfo;
use unchoke_storage::FileStorage;
use unchoke_swarm::TorrentState;
use unchoke_tokio::{AddTorrent, Client, ClientBuilder, Torrent};

const USAGE: &str = "seed <FILE.torrent> --data DIR [--listen ADDR] [--tracker URL]… [--dht HOST:PORT]… \
                     [--tracker-ca FILE.der]… [--json]";

#[tokio::main]
async fn main() -> ExitCode {
    run(USAGE, start().await)
}

async fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut file, mut data, mut json) = (None::<OsString>, None::<PathBuf>, false);
    let (mut trackers, mut dht) = (Vec::new(), Vec::new());
    let mut builder = Client::builder();
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("data") => data = Some(parser.value()?.into()),
            Long("listen") => listen = address(&parser.value()?)?,
            Long("tracker") => trackers.push(tracker_url(parser.value()?)?),
            Long("dht") => dht.push(host_port(text(parser.value()?)?)?),
            Long("tracker-ca") => builder = builder.tracker_root(bytes(&parser.value()?)?),
            Long("json") => json = true,
            Value(value) if file.is_none() => file = Some(value),
            other => return Err(unexpected(other)),
        }
    }
    if !dht.is_empty() {
        builder = builder.dht(unchoke_dht::Config::default(), dht);
    }
    match (file, data) {
        (None, None) => {
            let io = |error: std::io::Error| Failure::failed(&error);
            let folder = tempfile::tempdir().map_err(io)?;
            let content = generate(folder.path(), "sample", &[1 << 20, 300_000], |builder| builder).map_err(io)?;
            let forever = tokio::time::timeout(
                Duration::from_secs(2),
                seed(&content.metainfo, folder.path().to_owned(), builder, listen, trackers, json),
            );
            forever.await.unwrap_or(Ok(()))
        }
        (Some(file), Some(data)) => match load(&file)? {
            Source::Torrent(metainfo) => seed(&metainfo, data, builder, listen, trackers, json).await,
            Source::Magnet(_) => Err(Failure::Usage("a magnet link does not say what to seed".into())),
        },
        _ => Err(Failure::Usage("a torrent and --data are needed".into())),
    }
}

async fn seed(
    metainfo: &Metainfo,
    data: PathBuf,
    builder: ClientBuilder,
    listen: SocketAddr,
    trackers: Vec<String>,
    json: bool,
) -> Result<(), Failure> {
    let client = builder.listen(listen).build().await.map_err(|error| Failure::failed(&error))?;
    let torrent = AddTorrent::from_metainfo(metainfo, FileStorage::read_only(&data)).trackers(trackers);
    let torrent = client.add(torrent).await.map_err(|error| Failure::failed(&error))?;
    tokio::spawn(tell_tracker_failures(torrent.clone()));
    let local = client.local_addr().unwrap_or(listen);
    if json {
        say(serde_json::json!({ "listen": local, "info_hash": torrent.info_hashes().to_string() }))?;
    } else {
        say(format_args!("listening on {local}"))?;
    }
    let result = tokio::select! {
        Err(failure) = serve(&torrent, &data) => Err(failure),
        // Without an answer to Ctrl-C there would be no way to stop, so its failure ends the program, too.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let ended = client.shutdown().await.map_err(|error| Failure::failed(&error));
    result.and(ended)
}

/// Waits for the end of the check.
///
/// # Errors
/// If something is missing.
async fn serve(torrent: &Torrent, data: &Path) -> Result<(), Failure> {
    let Some(mut events) = torrent.events() else { return Ok(()) };
    while let Some(stats) = torrent.stats() {
        match stats.state {
            TorrentState::Seeding => return Ok(()),
            TorrentState::Checking | TorrentState::Metadata => {}
            TorrentState::StorageFailed => {
                return Err(Failure::Failed(format!("the data in {} cannot be read", data.display())));
            }
            _ => {
                let missing = stats.pieces.saturating_sub(stats.verified);
                let text = format!("{missing} of {} pieces are missing in {}", stats.pieces, data.display());
                return Err(Failure::Failed(text));
            }
        }
        // Events that were missed do not matter: each only says to look again.
        let _ = events.recv().await;
    }
    Ok(())
}
