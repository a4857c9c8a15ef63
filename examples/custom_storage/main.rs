//! A store of one's own: the pieces of torrents as values of a redb database, in one file.
//!
//! It is held to the contract that the storage crate ships as a test, and then takes a download over loopback, which a second run finds whole.

mod store;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::RedbStorage;
use unchoke_core::{DiskOutcome, DiskWork};
use unchoke_examples::{Content, Failure, generate, no_arguments, run, say};
use unchoke_storage::{FileStorage, Storage as _, contract};
use unchoke_tokio::{AddTorrent, Client};

#[tokio::main]
async fn main() -> ExitCode {
    run("custom_storage", start().await)
}

async fn start() -> Result<(), Failure> {
    no_arguments()?;
    let folder = tempfile::tempdir().map_err(failed)?;
    let storage = RedbStorage::open(&folder.path().join("contract.redb")).map_err(failed)?;
    let opened = AtomicU32::new(0);
    contract::check(|geometry| {
        let number = opened.fetch_add(1, Ordering::Relaxed);
        storage.torrent(format!("torrent {number}"), geometry)
    });
    say("the store keeps the contract")?;

    let content = generate(folder.path(), "sample", &[5 << 20, 300_000], |builder| builder).map_err(failed)?;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let seed = Client::builder().listen(local).build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, FileStorage::read_only(folder.path()));
    seed.add(add).await.map_err(failed)?.completed().await.map_err(failed)?;

    let file = folder.path().join("copy.redb");
    let fetched = download(&content, &file, seed.local_addr()).await?;
    let again = download(&content, &file, seed.local_addr()).await?;
    say(format_args!("{fetched} bytes were fetched, and {again} by a client that found them in the database"))?;

    let info = content.metainfo.info();
    let store = RedbStorage::open(&file).map_err(failed)?.open(info).map_err(failed)?;
    let found = store.recover().map_err(failed)?.verified;
    let right = found.iter().filter(|piece| {
        info.piece_hash(**piece).is_some_and(|expected| {
            let work = DiskWork::Check { piece: **piece, expected, digests: false };
            matches!(unchoke_storage::run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. })
        })
    });
    let (right, wanted) = (right.count(), info.geometry().piece_count() as usize);
    say(format_args!("{right} of {wanted} pieces are in the database and hash right"))?;
    let is_whole = right == wanted && fetched == content.total && again == 0;
    if is_whole { Ok(()) } else { Err(Failure::Failed("the copy is not whole".into())) }
}

/// Downloads into a database. Returns how many bytes came.
async fn download(content: &Content, file: &Path, seed: Option<SocketAddr>) -> Result<u64, Failure> {
    let client = Client::builder().build().await.map_err(failed)?;
    let storage = RedbStorage::open(file).map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, storage).peers(seed);
    let torrent = client.add(add).await.map_err(failed)?;
    let completed = tokio::time::timeout(Duration::from_secs(60), torrent.completed()).await;
    completed.map_err(|_| Failure::Failed("the download took more than a minute".into()))?.map_err(failed)?;
    let fetched = torrent.stats().map_or(0, |stats| stats.downloaded);
    client.shutdown().await.map_err(failed)?;
    Ok(fetched)
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}
