//! Clients that keep a list of their torrents.

use crate::{content, local, same, seed, within};
use std::ops::ControlFlow;
use std::path::Path;
use unchoke_core::{InfoHashes, Sha1Hash};
use unchoke_storage::{FileStorage, MemoryStorage, TorrentList};
use unchoke_swarm::{FilePriorities, Priority, TorrentState};
use unchoke_tokio::{AddTorrent, Client, ClientError, RestoreError, Torrent};

async fn client(list: &Path) -> Client {
    Client::builder().listen(local()).list(list).build().await.unwrap()
}

fn find(torrents: &[Torrent], name: InfoHashes) -> &Torrent {
    torrents.iter().find(|torrent| torrent.info_hashes() == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_dropped_has_all_its_torrents_again_and_seeds() {
    let (from, to, list) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let seed = seed(from.path(), &metainfo).await;
    let first = client(list.path()).await;
    // The metadata of a magnet link is kept, too.
    let add = AddTorrent::from_hashes(metainfo.info_hashes(), FileStorage::new(to.path())).peers(seed.local_addr());
    let torrent = first.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    torrent.set_limits(None, Some(50_000_000)).await.unwrap();
    let link = InfoHashes::v1(Sha1Hash::new([7; 20]));
    let add = AddTorrent::from_hashes(link, FileStorage::new(to.path())).trackers(["udp://127.0.0.1:1/announce"]);
    let magnet = first.add(add).await.unwrap();
    magnet.set_file_priorities(FilePriorities::only([2..=3]).with(3..=3, Priority::High)).await.unwrap();
    let gone = InfoHashes::v1(Sha1Hash::new([8; 20]));
    let gone = first.add(AddTorrent::from_hashes(gone, FileStorage::new(to.path()))).await.unwrap();
    first.remove(&gone).await.unwrap();
    let memory = InfoHashes::v1(Sha1Hash::new([9; 20]));
    first.add(AddTorrent::from_hashes(memory, MemoryStorage::new())).await.unwrap();
    let listed = TorrentList::new(list.path()).load().unwrap();
    let complete = listed.torrents.iter().find(|listed| listed.info_hashes == metainfo.info_hashes()).unwrap();
    assert!(complete.info.is_some(), "the metadata is there by now");
    drop((first, seed));

    std::fs::write(list.path().join(format!("{}.entry", Sha1Hash::new([6; 20]))), b"damaged").unwrap();
    let second = client(list.path()).await;
    let restored = second.restore().await.unwrap();
    assert_eq!(restored.torrents.len(), 2);
    let faults = &restored.faults;
    assert!(
        matches!(&faults[..], [RestoreError::List(_), RestoreError::NoFolder(it)] if it.info_hashes == memory),
        "{faults:?}"
    );
    let again = find(&restored.torrents, metainfo.info_hashes());
    within(again.completed()).await.unwrap();
    assert_eq!(again.stats().unwrap().downloaded, 0);
    let magnet = find(&restored.torrents, link);
    assert_eq!(magnet.stats().unwrap().state, TorrentState::Metadata);
    assert_eq!(magnet.trackers().unwrap().borrow().trackers[0].url, "udp://127.0.0.1:1/announce");
    let listed = TorrentList::new(list.path()).load().unwrap();
    let entry = |name| listed.torrents.iter().find(|listed| listed.info_hashes == name).unwrap();
    assert_eq!((entry(link).file_priorities.len(), entry(metainfo.info_hashes()).upload_limit), (3, Some(50_000_000)));
    assert!(second.restore().await.unwrap().torrents.is_empty(), "all are here");

    let other = tempfile::tempdir().unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(other.path())).peers(second.local_addr());
    within(leech.add(add).await.unwrap().completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), other.path());
    second.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_knows_where_a_torrent_has_moved_and_that_one_is_deleted() {
    let (from, new, list) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let old = tempfile::tempdir().unwrap();
    let first = client(list.path()).await;
    std::fs::rename(from.path().join("content"), old.path().join("content")).unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(old.path()));
    let torrent = first.add(add).await.unwrap();
    within(torrent.completed()).await.unwrap();
    // A list that cannot be written keeps the torrent where the list says that it is.
    let go_on = |_, _| ControlFlow::Continue(());
    let entry = list.path().join(format!("{}.entry", metainfo.info_hashes()));
    let sound = std::fs::read(&entry).unwrap();
    std::fs::remove_file(&entry).unwrap();
    std::fs::create_dir_all(entry.join("in the way")).unwrap();
    let moved = within(first.move_storage(&torrent, FileStorage::new(new.path()), go_on)).await;
    assert!(matches!(moved, Err(ClientError::Storage(_))), "{moved:?}");
    assert!(!new.path().join("content").exists());
    assert!(matches!(first.delete(&torrent).await, Err(ClientError::List(_))));
    assert!(torrent.set_limits(None, None).await.is_err());
    let other = AddTorrent::from_hashes(InfoHashes::v1(Sha1Hash::new([5; 20])), MemoryStorage::new());
    first.add(other).await.unwrap();
    assert_eq!(torrent.stats().unwrap().state, TorrentState::Seeding);
    std::fs::remove_dir_all(&entry).unwrap();
    std::fs::write(&entry, sound).unwrap();
    drop(first);

    let second = client(list.path()).await;
    let restored = second.restore().await.unwrap();
    let [torrent] = &restored.torrents[..] else { panic!("{restored:?}") };
    within(torrent.completed()).await.unwrap();
    assert!(within(second.move_storage(torrent, FileStorage::new(new.path()), go_on)).await.unwrap().is_none());
    drop(second);
    let third = client(list.path()).await;
    let restored = third.restore().await.unwrap();
    within(restored.torrents[0].completed()).await.unwrap();
    assert_eq!(std::fs::read(new.path().join("content/z.bin")).unwrap().len(), 1_234_567);
    third.delete(&restored.torrents[0]).await.unwrap();
    assert!(!new.path().join("content").exists());
    third.shutdown().await.unwrap();
    let fourth = client(list.path()).await;
    assert!(fourth.restore().await.unwrap().torrents.is_empty());
}
