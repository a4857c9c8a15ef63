//! A whole swarm in one process, over real loopback sockets: a tracker, one seed with a limited uplink and three downloaders that feed one another.
//!
//! It fails unless every downloader has everything, hashed, the seed sent no more than two copies, and each downloader served at least a
//! tenth of the size to the others.

use indicatif::{HumanBytes, MultiProgress};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_examples::{Failure, Progress, generate, no_arguments, run, say, tell};
use unchoke_storage::{FileStorage, Storage as _};
use unchoke_tokio::{AddTorrent, Client, HttpTrackerServer, Torrent};

const USAGE: &str = "demo";
/// What is shared: several files, none of them a whole number of pieces.
const FILES: [u64; 4] = [150 << 20, 80 << 20, (26 << 20) - 12_345, 12_345];
/// What the seed may send, in bytes per second.
const SEED_UPLINK: u64 = 20 << 20;
const DOWNLOADERS: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    run(USAGE, demo().await)
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}

async fn demo() -> Result<(), Failure> {
    no_arguments()?;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let folder = tempfile::tempdir().map_err(failed)?;
    tell(format_args!("making {} of content", HumanBytes(FILES.iter().sum())));
    let tracker = HttpTrackerServer::bind(local, Seed::new([1; 32])).await.map_err(failed)?;
    let content =
        generate(folder.path(), "content", &FILES, |builder| builder.tracker(tracker.url())).map_err(failed)?;

    let seed = Client::builder().listen(local).build().await.map_err(failed)?;
    seed.set_limits(None, Some(SEED_UPLINK));
    let storage = FileStorage::read_only(folder.path());
    let seeding = seed.add(AddTorrent::from_metainfo(&content.metainfo, storage)).await.map_err(failed)?;
    seeding.completed().await.map_err(failed)?;

    let begin = Instant::now();
    let bars = MultiProgress::new();
    let mut clients: Vec<Client> = Vec::new();
    let mut torrents: Vec<(Torrent, Progress)> = Vec::new();
    for number in 0..DOWNLOADERS {
        let client = Client::builder().listen(local).build().await.map_err(failed)?;
        let storage = FileStorage::new(folder.path().join(format!("downloader-{number}")));
        let add = AddTorrent::from_metainfo(&content.metainfo, storage);
        let torrent = client.add(add).await.map_err(failed)?;
        torrents.push((torrent, Progress::new(&bars, &format!("downloader {number}"))));
        clients.push(client);
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while torrents.iter().any(|(torrent, _)| torrent.stats().is_some_and(|stats| stats.left() != Some(0))) {
        ticks.tick().await;
        torrents.iter_mut().for_each(|(torrent, progress)| progress.show(torrent));
    }
    torrents.iter().for_each(|(_, progress)| progress.finish());
    let seconds = begin.elapsed().as_secs_f64();

    let sent = |torrent: &Torrent| torrent.stats().map_or(0, |stats| stats.uploaded);
    let from_seed = sent(&seeding);
    say(format_args!("{} to each of {DOWNLOADERS} in {seconds:.1} s", HumanBytes(content.total)))?;
    say(format_args!("seed          sent {}", HumanBytes(from_seed)))?;
    let mut served_enough = true;
    for (number, (torrent, _)) in torrents.iter().enumerate() {
        say(format_args!("downloader {number}  sent {}", HumanBytes(sent(torrent))))?;
        served_enough &= sent(torrent) >= content.total / 10;
    }
    for client in clients {
        client.shutdown().await.map_err(failed)?;
    }
    for number in 0..DOWNLOADERS {
        check(&content.metainfo, folder.path().join(format!("downloader-{number}"))).await?;
    }
    say("every piece of every copy hashes right")?;
    if from_seed > content.total.saturating_mul(2) {
        return Err(Failure::Failed("the seed sent more than two copies".into()));
    }
    if !served_enough {
        return Err(Failure::Failed("a downloader served less than a tenth of the size".into()));
    }
    Ok(())
}

/// Hashes a copy anew, from its files alone.
async fn check(metainfo: &unchoke_metainfo::Metainfo, folder: std::path::PathBuf) -> Result<(), Failure> {
    use unchoke_core::{DiskOutcome, DiskWork};
    let info = std::sync::Arc::clone(metainfo.info());
    let work = move || -> Result<bool, Failure> {
        let store = FileStorage::read_only(folder).open(&info).map_err(failed)?;
        Ok(info.geometry().pieces().all(|piece| {
            info.piece_hash(piece).is_some_and(|expected| {
                let work = DiskWork::Check { piece, expected, digests: false };
                matches!(unchoke_storage::run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. })
            })
        }))
    };
    let right = tokio::task::spawn_blocking(work).await.map_err(failed)??;
    if right { Ok(()) } else { Err(Failure::Failed("a copy does not hash right".into())) }
}
