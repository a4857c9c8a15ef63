//! Torrents in an object store.

use crate::{content, local, same, seed, within};
use unchoke_storage::{CachedStorage, FileStorage};
use unchoke_tokio::{AddTorrent, Client, ObjectStorage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_takes_a_download_and_seeds_it_after_a_restart() {
    let (from, bucket, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let metainfo = content(from.path());
    let origin = seed(from.path(), &metainfo).await;
    let url = format!("file://{}", bucket.path().display());
    let storage = || {
        let objects = ObjectStorage::builder(&url).group_len(300_000).memory(1 << 20).build().unwrap();
        CachedStorage::new(objects, 1 << 20)
    };
    let total = metainfo.info().geometry().total_len();
    for fetched in [total, 0] {
        let client = Client::builder().build().await.unwrap();
        let add = AddTorrent::from_metainfo(&metainfo, storage()).peers(origin.local_addr());
        let torrent = client.add(add).await.unwrap();
        within(torrent.completed()).await.unwrap();
        assert_eq!(torrent.stats().unwrap().downloaded, fetched);
        client.shutdown().await.unwrap();
    }
    origin.shutdown().await.unwrap();
    let seed = Client::builder().listen(local()).build().await.unwrap();
    seed.add(AddTorrent::from_metainfo(&metainfo, storage())).await.unwrap();
    let leech = Client::builder().build().await.unwrap();
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(to.path())).peers(seed.local_addr());
    within(leech.add(add).await.unwrap().completed()).await.unwrap();
    leech.shutdown().await.unwrap();
    same(from.path(), to.path());
}
