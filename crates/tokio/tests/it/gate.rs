//! A store in memory whose writes wait until they are let through.

use std::io::IoSlice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use unchoke_core::{Block, PieceIndex};
use unchoke_metainfo::Info;
use unchoke_storage::{MemoryStorage, Recovered, Storage, StorageError, TorrentStorage};

#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<State>);

#[derive(Default)]
struct State {
    open: Mutex<bool>,
    opened: Condvar,
    writing: AtomicUsize,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }

    /// Writes that have begun and not ended.
    pub(crate) fn writing(&self) -> usize {
        self.0.writing.load(Ordering::SeqCst)
    }

    fn pass(&self) {
        let mut open = self.0.open.lock().unwrap();
        while !*open {
            open = self.0.opened.wait(open).unwrap();
        }
    }
}

pub(crate) struct Gated(pub(crate) Gate);

impl Storage for Gated {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        Ok(Arc::new(GatedTorrent { gate: self.0.clone(), store: MemoryStorage::new().open(info)? }))
    }
}

struct GatedTorrent {
    gate: Gate,
    store: Arc<dyn TorrentStorage>,
}

impl TorrentStorage for GatedTorrent {
    fn recover(&self) -> Result<Recovered, StorageError> {
        self.store.recover()
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        self.store.read(block, buf)
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        self.gate.0.writing.fetch_add(1, Ordering::SeqCst);
        self.gate.pass();
        let result = self.store.write(piece, offset, data);
        self.gate.0.writing.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.store.commit(piece)
    }

    fn sync(&self) -> Result<(), StorageError> {
        assert_eq!(self.gate.writing(), 0, "nothing is written while the last sync is made");
        self.store.sync()
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.store.discard(piece)
    }
}
