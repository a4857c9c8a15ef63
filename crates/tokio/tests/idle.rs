//! What torrents take that nobody asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicIsize, Ordering};
use unchoke_storage::{FileStorage, create};
use unchoke_swarm::TorrentState;
use unchoke_tokio::{AddTorrent, Client};

/// Counts the bytes that are allocated.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller has promised what is needed.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller has promised what is needed.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TORRENTS: usize = 500;

/// Five hundred small torrents that are complete, checked and seeding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_torrent_takes_four_kibibytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut torrents = Vec::new();
    for number in 0..TORRENTS {
        let path = folder.path().join(format!("file {number}"));
        std::fs::write(&path, [number.to_be_bytes().repeat(2048), vec![1; 16_384]].concat()).unwrap();
        torrents.push(create(&path, 16_384, |builder| builder, |_, _| ControlFlow::Continue(())).unwrap());
    }
    let client = Client::builder().build().await.unwrap();
    let mut handles = Vec::new();
    let before = BYTES.load(Ordering::Relaxed);
    for metainfo in torrents.drain(..) {
        handles.push(client.add(AddTorrent::from_metainfo(&metainfo, FileStorage::new(folder.path()))).await.unwrap());
    }
    for torrent in &handles {
        torrent.completed().await.unwrap();
        assert_eq!(torrent.stats().unwrap().state, TorrentState::Seeding);
    }
    client.remove(&handles[0]).await.unwrap();
    let each = (BYTES.load(Ordering::Relaxed) - before) / TORRENTS.cast_signed();
    assert!(each <= 4096, "{each} bytes each");
}
