//! Torrents that go to another place.

use crate::{content, content_of, same, seed, within};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use unchoke_metainfo::Version;
use unchoke_storage::{CachedStorage, FileStorage, MemoryStorage, StorageErrorKind};
use unchoke_swarm::{Event, FilePriorities, Priority, SessionConfig, TorrentState};
use unchoke_tokio::{AddTorrent, Client, ClientError};

fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}

fn slow() -> SessionConfig {
    let mut config = SessionConfig::default();
    config.download_limit = Some(3_000_000);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_moves_while_it_is_downloaded_and_nothing_verified_is_fetched_again() {
    let (from, old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content_of(from.path(), Version::V1);
    let seed = seed(from.path(), &metainfo).await;
    let leech = Client::builder().config(slow()).build().await.unwrap();
    let layout = metainfo.info().layout();
    let small = layout.files().iter().find(|entry| entry.path().ends_with("deep/b.bin")).unwrap().number() as u32;
    let priorities = FilePriorities::default().with(small..=small, Priority::Skip);
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(old.path())).file_priorities(priorities);
    let torrent = leech.add(add).await.unwrap();
    let mut events = torrent.events().unwrap();
    torrent.add_peers(&[seed.local_addr().unwrap()]);
    let mut verified = BTreeSet::new();
    within(async {
        while verified.len() < 20 {
            if let Event::PieceVerified { piece, .. } = *events.recv().await.unwrap() {
                verified.insert(piece);
            }
        }
    })
    .await;
    let told = Arc::new(AtomicU64::new(0));
    let (storage, tells) = (CachedStorage::new(FileStorage::new(new.path()), 1 << 20), Arc::clone(&told));
    let progress = move |done, total| {
        assert!(done <= total);
        tells.store(done, Ordering::SeqCst);
        ControlFlow::Continue(())
    };
    let left = within(leech.move_storage(&torrent, storage, progress)).await.unwrap();
    assert!(left.is_none(), "{left:?}");
    assert!(told.load(Ordering::SeqCst) >= 20 * 65_536 - 65_536, "{told:?}");
    assert_eq!(files(old.path()), [".unchoke/lock"]);
    assert!(torrent.stats().unwrap().verified as usize >= verified.len());
    within(torrent.completed()).await.unwrap();
    while let Ok(event) = events.try_recv() {
        if let Event::PieceVerified { piece, .. } = *event {
            assert!(verified.insert(piece), "{piece} was here");
        }
    }
    assert!(!new.path().join("content/deep/b.bin").exists(), "what was not wanted is not wanted there");
    assert_eq!(files(old.path()), [".unchoke/lock"]);
    torrent.set_file_priorities(FilePriorities::default()).await.unwrap();
    within(torrent.completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), new.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_cannot_be_made_leaves_the_torrent_where_it_is() {
    let (from, old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let leech = Client::builder().config(slow()).build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(old.path())).peers(seed.local_addr());
    let torrent = leech.add(add).await.unwrap();
    std::fs::create_dir(new.path().join("content")).unwrap();
    std::fs::write(new.path().join("content/z.bin"), b"mine").unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    let moved = within(leech.move_storage(&torrent, FileStorage::new(new.path()), go_on)).await;
    let Err(ClientError::Storage(error)) = moved else { panic!("{moved:?}") };
    assert_eq!(error.kind(), StorageErrorKind::Occupied);
    assert!(error.path().unwrap().ends_with("content/z.bin"), "{error:?}");
    assert_eq!(std::fs::read(new.path().join("content/z.bin")).unwrap(), b"mine");
    within(torrent.completed()).await.unwrap();
    let moved = within(leech.move_storage(&torrent, MemoryStorage::new(), |_, _| ControlFlow::Break(()))).await;
    assert!(matches!(moved, Err(ClientError::Storage(error)) if error.kind() == StorageErrorKind::Cancelled));
    assert_eq!(torrent.stats().unwrap().state, TorrentState::Seeding);
    same(from.path(), old.path());

    // Into memory, back to files, and away.
    within(leech.move_storage(&torrent, MemoryStorage::new(), go_on)).await.unwrap();
    assert_eq!(files(old.path()), [".unchoke/lock"]);
    within(leech.move_storage(&torrent, FileStorage::new(old.path()), go_on)).await.unwrap();
    assert_eq!(torrent.stats().unwrap().state, TorrentState::Seeding);
    same(from.path(), old.path());
    leech.remove(&torrent).await.unwrap();
    let moved = within(leech.move_storage(&torrent, MemoryStorage::new(), go_on)).await;
    assert!(matches!(moved, Err(ClientError::Removed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_magnet_link_moves_before_anything_is_known_of_it() {
    let (from, old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_hashes(metainfo.info_hashes(), FileStorage::new(old.path()));
    let torrent = leech.add(add).await.unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    assert!(leech.move_storage(&torrent, FileStorage::new(new.path()), go_on).await.unwrap().is_none());
    torrent.add_peers(&[seed.local_addr().unwrap()]);
    within(torrent.completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), new.path());
    assert!(files(old.path()).is_empty());
}
