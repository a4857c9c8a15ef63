//! Seeds a torrent from a folder, to which it writes nothing. Its first line tells the address that it listens on. It ends with a failure if
//! anything is missing. With a key it also publishes the torrent in the DHT (BEP 46), and says by which link it is found.
//!
//! Without arguments it makes up content and seeds it until nobody has asked for anything for two seconds.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use unchoke_core::keys::SecretKey;
use unchoke_dht::MutableTorrentEvent;
use unchoke_dht::item::MAX_SALT_LEN;
use unchoke_examples::{
    Failure, Source, address, bytes, generate, host_port, load, run, say, secret_or_new, tell, tell_tracker_failures,
    text, tracker_url, unexpected,
};
use unchoke_metainfo::{Metainfo, MutableLink};
use unchoke_storage::FileStorage;
use unchoke_swarm::TorrentState;
use unchoke_tokio::{AddTorrent, Client, ClientBuilder, Torrent};

const USAGE: &str = "seed <FILE.torrent> --data DIR [--listen ADDR] [--tracker URL]… [--dht HOST:PORT]… \
                     [--publish KEY_FILE [--salt TEXT]] [--tracker-ca FILE.der]… [--json]\n\
                     KEY_FILE holds a secret key of 32 bytes, and is made if there is none.";

/// How a torrent is published.
struct Publication {
    secret: Arc<SecretKey>,
    salt: Vec<u8>,
}

#[tokio::main]
async fn main() -> ExitCode {
    run(USAGE, start().await)
}

async fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut file, mut data, mut json) = (None::<OsString>, None::<PathBuf>, false);
    let (mut trackers, mut dht) = (Vec::new(), Vec::new());
    let (mut key, mut salt) = (None::<PathBuf>, Vec::new());
    let mut builder = Client::builder();
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("data") => data = Some(parser.value()?.into()),
            Long("listen") => listen = address(&parser.value()?)?,
            Long("tracker") => trackers.push(tracker_url(parser.value()?)?),
            Long("dht") => dht.push(host_port(text(parser.value()?)?)?),
            Long("publish") => key = Some(parser.value()?.into()),
            Long("salt") => salt = text(parser.value()?)?.into_bytes(),
            Long("tracker-ca") => builder = builder.tracker_root(bytes(&parser.value()?)?),
            Long("json") => json = true,
            Value(value) if file.is_none() => file = Some(value),
            other => return Err(unexpected(other)),
        }
    }
    if key.is_none() && !salt.is_empty() {
        return Err(Failure::Usage("--salt belongs to --publish".into()));
    }
    if key.is_some() && dht.is_empty() {
        return Err(Failure::Usage("--publish needs the DHT: --dht is missing".into()));
    }
    if salt.len() > MAX_SALT_LEN {
        return Err(Failure::Usage(format!("a salt has at most {MAX_SALT_LEN} bytes")));
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
                seed(&content.metainfo, folder.path().to_owned(), builder.listen(listen), trackers, None, json),
            );
            forever.await.unwrap_or(Ok(()))
        }
        (Some(file), Some(data)) => match load(&file)? {
            Source::Torrent(metainfo) => {
                if key.is_some() && metainfo.info_hashes().get_v1().is_none() {
                    return Err(Failure::Usage(
                        "a torrent of version 2 alone has no name that can be published".into(),
                    ));
                }
                let secret = key.map(|key| secret_or_new(&key)).transpose()?;
                let publication = secret.map(|secret| Publication { secret: Arc::new(secret), salt });
                seed(&metainfo, data, builder.listen(listen), trackers, publication, json).await
            }
            Source::Magnet(_) | Source::Mutable(_) => {
                Err(Failure::Usage("a magnet link does not say what to seed".into()))
            }
        },
        _ => Err(Failure::Usage("a torrent and --data are needed".into())),
    }
}

async fn seed(
    metainfo: &Metainfo,
    data: PathBuf,
    builder: ClientBuilder,
    trackers: Vec<String>,
    publication: Option<Publication>,
    json: bool,
) -> Result<(), Failure> {
    let client = builder.build().await.map_err(|error| Failure::failed(&error))?;
    let torrent = AddTorrent::from_metainfo(metainfo, FileStorage::read_only(&data)).trackers(trackers);
    let torrent = client.add(torrent).await.map_err(|error| Failure::failed(&error))?;
    tokio::spawn(tell_tracker_failures(torrent.clone()));
    if let Some(local) = client.local_addr() {
        if json {
            say(serde_json::json!({ "listen": local, "info_hash": torrent.info_hashes().to_string() }))?;
        } else {
            say(format_args!("listening on {local}"))?;
        }
    }
    let result = tokio::select! {
        Err(failure) = publish(&client, &torrent, publication, json) => Err(failure),
        Err(failure) = serve(&torrent, &data) => Err(failure),
        // Without an answer to Ctrl-C there would be no way to stop, so its failure ends the program, too.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let ended = client.shutdown().await.map_err(|error| Failure::failed(&error));
    result.and(ended)
}

/// Publishes the torrent under a key once it is known to be whole, says so, and keeps it alive.
///
/// # Errors
/// If it cannot be published.
async fn publish(
    client: &Client,
    torrent: &Torrent,
    publication: Option<Publication>,
    json: bool,
) -> Result<(), Failure> {
    let (Some(Publication { secret, salt }), Some(dht)) = (publication, client.dht()) else { return Ok(()) };
    let link = MutableLink::new(*secret.public_key().as_bytes()).with_salt(&salt);
    // What cannot be seeded is not published. If that is so, somebody else says why.
    if torrent.completed().await.is_err() {
        return Ok(());
    }
    let feed = dht.publish_torrent(secret, &salt, torrent.info_hashes().wire());
    let mut feed = feed.map_err(|error| Failure::usage(&error))?;
    while let Some(event) = feed.next().await {
        match event {
            MutableTorrentEvent::Published { seq, stored, .. } if json => {
                say(serde_json::json!({ "link": link.to_string(), "seq": seq, "stored": stored }))?;
            }
            MutableTorrentEvent::Published { seq, stored, .. } => {
                say(&link)?;
                tell(format_args!("published as version {seq}, stored by {stored} nodes"));
            }
            MutableTorrentEvent::NotPublished { error, .. } => {
                return Err(Failure::Failed(format!("cannot publish the torrent: {error}")));
            }
            MutableTorrentEvent::Updated { seq, info_hash } => {
                tell(format_args!("version {seq} under this key is another torrent: {info_hash}"));
            }
            _ => {}
        }
    }
    Ok(())
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
