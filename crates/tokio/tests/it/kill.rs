//! A downloader in a process of its own that is killed on its way.

use crate::{content_of, same, seed, within};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use unchoke_core::{Block, PieceIndex};
use unchoke_metainfo::{Metainfo, Version};
use unchoke_storage::{FileStorage, Storage as _};
use unchoke_swarm::{Event, FilePriorities, Priority, SessionConfig};
use unchoke_tokio::{AddTorrent, Client};

/// Tells the child what to do, one a line: the seed's address, the torrent file, where to, the sync interval in milliseconds, and the file
/// that it does not want, or `-`.
const TASK: &str = "UNCHOKE_TEST_CHILD";

/// Downloads and tells of each piece on standard output. A no-op unless a parent has set the task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [seed, torrent, to, sync, skipped] = task.lines().collect::<Vec<_>>()[..] else { panic!("{task}") };
    let metainfo = Metainfo::from_bytes(&std::fs::read(torrent).unwrap()).unwrap();
    let mut config = SessionConfig::default();
    config.sync_interval = Duration::from_millis(sync.parse().unwrap());
    // Slow enough to be killed on the way.
    config.download_limit = Some(20_000_000);
    let client = Client::builder().config(config).build().await.unwrap();
    let skipped = skipped.parse().ok();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to)).file_priorities(without(skipped));
    let torrent = client.add(add).await.unwrap();
    let mut events = torrent.events().unwrap();
    torrent.add_peers(&[seed.parse().unwrap()]);
    loop {
        if let Event::PieceVerified { piece, .. } = *events.recv().await.unwrap() {
            let mut out = std::io::stdout().lock();
            writeln!(out, "verified {}", piece.0).unwrap();
            out.flush().unwrap();
        }
    }
}

/// The priorities of files without this one.
fn without(skipped: Option<u32>) -> FilePriorities {
    let all = FilePriorities::default();
    skipped.map_or(all.clone(), |file| all.with(file..=file, Priority::Skip))
}

/// Runs a child until it has told of so many pieces, and kills it. Returns the pieces.
fn run_and_kill(task: &str, after: usize) -> Vec<PieceIndex> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(TASK, task)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).filter_map(|line| {
        let (_, number) = line.split_once("verified ")?;
        number.parse().ok().map(PieceIndex)
    });
    let told: Vec<PieceIndex> = told.take(after).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told.len(), after, "the child was killed on its way");
    told
}

/// What is in a store, hashed: the pieces that it vouches for, and those that are right among the ones it suspects.
fn held(metainfo: &Metainfo, to: PathBuf) -> (Vec<PieceIndex>, Vec<PieceIndex>) {
    let info = metainfo.info();
    let store = FileStorage::new(to).open(info).unwrap();
    let recovered = store.recover().unwrap();
    let is_right = |piece: &PieceIndex| {
        let length = info.geometry().piece_len(*piece).unwrap();
        let mut bytes = vec![0; length as usize];
        let read = store.read(Block { piece: *piece, offset: 0, length }, &mut bytes);
        read.is_ok() && info.piece_hash(*piece).is_some_and(|expected| expected.matches(&bytes))
    };
    assert!(recovered.verified.iter().all(is_right), "what is vouched for is right");
    (recovered.verified.clone(), recovered.suspects.iter().copied().filter(is_right).collect())
}

/// After how many pieces there is a kill, and the milliseconds between syncs: a few, or as many as `UNCHOKE_KILLS` says.
fn plan(pieces: usize) -> Vec<(usize, u64)> {
    let Ok(kills) = std::env::var("UNCHOKE_KILLS") else {
        return vec![(1, 10_000), (9, 0), (23, 1), (40, 2), (60, 10_000)];
    };
    let kills: usize = kills.parse().unwrap();
    let sync = [0, 1, 2, 5, 20, 100, 10_000];
    (0..kills).map(|number| (1 + number * 37 % (pieces - 1), sync[number % sync.len()])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_no_verified_piece() {
    let from = tempfile::tempdir().unwrap();
    // In a v1 torrent pieces reach over the ends of files.
    let metainfo = content_of(from.path(), Version::V1);
    let seed = seed(from.path(), &metainfo).await;
    let address = seed.local_addr().unwrap();
    let file = from.path().join("content.torrent");
    std::fs::write(&file, metainfo.to_bytes()).unwrap();
    let pieces = metainfo.info().geometry().piece_count() as usize;
    let small = Path::new("deep/b.bin");
    let skipped = metainfo.info().layout().files().iter().find(|entry| entry.to_path_buf().ends_with(small));
    let skipped = skipped.unwrap().number() as u32;
    for (number, (after, sync_ms)) in plan(pieces).into_iter().enumerate() {
        let to = tempfile::tempdir().unwrap();
        // Every other time a file in the middle is not wanted, and what pieces bring of it waits in the part file.
        let skipped = Some(skipped).filter(|_| number % 2 == 1);
        let word = skipped.map_or("-".to_owned(), |file| file.to_string());
        let task = format!("{address}\n{}\n{}\n{sync_ms}\n{word}", file.display(), to.path().display());
        let told = tokio::task::spawn_blocking(move || run_and_kill(&task, after)).await.unwrap();
        let (vouched, right) = held(&metainfo, to.path().to_owned());
        let here: Vec<PieceIndex> = vouched.iter().chain(&right).copied().collect();
        assert!(told.iter().all(|piece| here.contains(piece)), "{after}: {told:?} of {here:?}");

        let client = Client::builder().build().await.unwrap();
        let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers([address]);
        let torrent = client.add(add.file_priorities(without(skipped))).await.unwrap();
        within(torrent.completed()).await.unwrap();
        if skipped.is_some() {
            assert!(!to.path().join("content").join(small).exists(), "a file that is not wanted is not made");
            torrent.set_file_priorities(FilePriorities::default()).await.unwrap();
            within(torrent.completed()).await.unwrap();
        }
        let geometry = metainfo.info().geometry();
        let kept: u64 = here.iter().filter_map(|piece| geometry.piece_len(*piece)).map(u64::from).sum();
        assert_eq!(torrent.stats().unwrap().downloaded, geometry.total_len() - kept, "nothing is fetched again");
        client.shutdown().await.unwrap();
        same(from.path(), to.path());
    }
}
