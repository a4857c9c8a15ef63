//! Pieces in memory.

mod pool;

use crate::error::{StorageError, StorageErrorKind};
use crate::store::{Recovered, Storage, TorrentStorage};
use pool::Pool;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::{Bitfield, Block, Geometry, InfoHashes, PieceIndex};
use unchoke_metainfo::Info;

/// Keeps torrents in memory for as long as the value lives. Opening a torrent again finds what was committed.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    torrents: Mutex<Vec<(InfoHashes, Arc<MemoryTorrent>)>>,
    pool: Option<Arc<Pool>>,
}

impl MemoryStorage {
    /// An empty store without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that holds so many bytes at most, all torrents together. Where a new piece needs room, the committed piece that was not
    /// read for longest gives way and is [`Evicted`](StorageErrorKind::Evicted); where all is being written to, the store is
    /// [`Full`](StorageErrorKind::Full).
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        Self { torrents: Mutex::default(), pool: Some(Arc::new(Pool::new(bytes))) }
    }

    /// The store of one torrent, without a list of torrents around it.
    #[must_use]
    pub fn torrent(geometry: Geometry) -> Arc<dyn TorrentStorage> {
        Arc::new(MemoryTorrent::new(geometry, None))
    }
}

impl Storage for MemoryStorage {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        let mut torrents = self.torrents.lock().unwrap_or_else(PoisonError::into_inner);
        let hashes = info.info_hashes();
        if let Some((_, torrent)) = torrents.iter().find(|(known, _)| *known == hashes) {
            return Ok(Arc::clone(torrent) as Arc<dyn TorrentStorage>);
        }
        let torrent = Arc::new(MemoryTorrent::new(info.geometry().clone(), self.pool.clone()));
        torrents.push((hashes, Arc::clone(&torrent)));
        Ok(torrent)
    }
}

#[derive(Debug)]
struct MemoryTorrent {
    geometry: Geometry,
    held: Arc<Mutex<Held>>,
    pool: Option<Arc<Pool>>,
}

/// What is held of a torrent. Its lock is taken before that of the pool, never after it.
#[derive(Debug)]
struct Held {
    pieces: BTreeMap<PieceIndex, Vec<u8>>,
    committed: Bitfield,
    /// When each committed piece was last used, in the pool's time.
    used: BTreeMap<PieceIndex, u64>,
    /// Pieces that had to give way.
    evicted: BTreeSet<PieceIndex>,
}

impl Held {
    fn new(geometry: &Geometry) -> Self {
        Self {
            pieces: BTreeMap::new(),
            committed: Bitfield::new(geometry.piece_count()),
            used: BTreeMap::new(),
            evicted: BTreeSet::new(),
        }
    }

    /// Forgets a piece. Returns the bytes that it took, and when it was last used.
    fn remove(&mut self, piece: PieceIndex) -> (u64, Option<u64>) {
        self.committed.remove(piece);
        let bytes = self.pieces.remove(&piece).map_or(0, |bytes| bytes.len() as u64);
        (bytes, self.used.remove(&piece))
    }
}

impl MemoryTorrent {
    fn new(geometry: Geometry, pool: Option<Arc<Pool>>) -> Self {
        let held = Arc::new(Mutex::new(Held::new(&geometry)));
        Self { geometry, held, pool }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a piece.
    fn reserve(&self, bytes: u64) -> Result<(), StorageError> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let victims = pool.reserve(bytes).ok_or_else(|| StorageError::new(StorageErrorKind::Full))?;
        for (held, piece) in victims {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.remove(piece);
            held.evicted.insert(piece);
        }
        Ok(())
    }
}

impl TorrentStorage for MemoryTorrent {
    fn recover(&self) -> Result<Recovered, StorageError> {
        Ok(Recovered { verified: self.held().committed.iter().collect(), suspects: Vec::new() })
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        if !self.geometry.contains(block) || buf.len() != block.length as usize {
            return Err(StorageError::new(StorageErrorKind::OutOfRange(block)));
        }
        let mut held = self.held();
        if held.evicted.contains(&block.piece) {
            return Err(StorageError::new(StorageErrorKind::Evicted));
        }
        let piece = held.pieces.get(&block.piece);
        let start = block.offset as usize;
        let bytes = piece.and_then(|piece| piece.get(start..start.saturating_add(buf.len())));
        buf.copy_from_slice(bytes.ok_or_else(|| StorageError::new(StorageErrorKind::Missing))?);
        if let Some(pool) = &self.pool
            && let Some(used) = held.used.get_mut(&block.piece)
        {
            *used = pool.touch(*used);
        }
        Ok(())
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        crate::store::check_write(&self.geometry, piece, offset, data)?;
        let length = self.geometry.piece_len(piece).unwrap_or(0);
        let is_new = {
            let held = self.held();
            if held.committed.contains(piece) {
                return Err(StorageError::new(StorageErrorKind::Committed(piece)));
            }
            !held.pieces.contains_key(&piece)
        };
        if is_new {
            self.reserve(length.into())?;
        }
        let mut held = self.held();
        if is_new
            && held.pieces.contains_key(&piece)
            && let Some(pool) = &self.pool
        {
            // Somebody else began it at the same time.
            pool.release(length.into(), None);
        }
        held.evicted.remove(&piece);
        let bytes = held.pieces.entry(piece).or_insert_with(|| vec![0; length as usize]);
        let mut at = offset as usize;
        for slice in data {
            let end = at.saturating_add(slice.len());
            if let Some(to) = bytes.get_mut(at..end) {
                to.copy_from_slice(slice);
            }
            at = end;
        }
        Ok(())
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut held = self.held();
        if held.committed.insert(piece)
            && let Some(pool) = &self.pool
            && let Some(bytes) = held.pieces.get(&piece)
        {
            let used = pool.enter(Arc::downgrade(&self.held), piece, bytes.len() as u64);
            held.used.insert(piece, used);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut held = self.held();
        let (bytes, used) = held.remove(piece);
        held.evicted.remove(&piece);
        if let Some(pool) = &self.pool {
            pool.release(bytes, used);
        }
        Ok(())
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.geometry.pieces().try_for_each(|piece| self.discard(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::info;

    #[test]
    fn keeps_the_contract() {
        crate::contract::check(|geometry| MemoryStorage::torrent(geometry));
        crate::contract::check(|geometry| {
            let of = info("t", &[("a", geometry.total_len())]);
            MemoryStorage::with_capacity(geometry.total_len()).open(&of).unwrap()
        });
    }

    const PIECE: u32 = 32 * 1024;

    fn put(store: &dyn TorrentStorage, piece: u32) -> Result<(), StorageErrorKind> {
        let bytes = vec![piece as u8; PIECE as usize];
        let written = store.write(PieceIndex(piece), 0, &[IoSlice::new(&bytes)]);
        written.and_then(|()| store.commit(PieceIndex(piece))).map_err(|error| error.kind())
    }

    fn get(store: &dyn TorrentStorage, piece: u32) -> Result<u8, StorageErrorKind> {
        let mut buf = [0; 16];
        let block = Block { piece: PieceIndex(piece), offset: 0, length: 16 };
        store.read(block, &mut buf).map(|()| buf[0]).map_err(|error| error.kind())
    }

    #[test]
    fn the_piece_that_was_not_read_for_longest_gives_way_over_all_torrents() {
        let storage = MemoryStorage::with_capacity(3 * u64::from(PIECE));
        let one = storage.open(&info("one", &[("a", 8 * u64::from(PIECE))])).unwrap();
        let two = storage.open(&info("two", &[("b", 8 * u64::from(PIECE) + 1)])).unwrap();
        (0..3).for_each(|piece| put(one.as_ref(), piece).unwrap());
        assert_eq!(get(one.as_ref(), 0), Ok(0));
        put(two.as_ref(), 7).unwrap();
        assert_eq!(get(one.as_ref(), 1), Err(StorageErrorKind::Evicted));
        assert_eq!((get(one.as_ref(), 0), get(one.as_ref(), 2), get(two.as_ref(), 7)), (Ok(0), Ok(2), Ok(7)));
        assert_eq!(one.recover().unwrap().verified, [0, 2].map(PieceIndex));
        put(one.as_ref(), 1).unwrap();
        assert_eq!((get(one.as_ref(), 1), get(one.as_ref(), 0)), (Ok(1), Err(StorageErrorKind::Evicted)));
        one.discard(PieceIndex(1)).unwrap();
        put(two.as_ref(), 1).unwrap();
        assert_eq!((get(one.as_ref(), 2), get(two.as_ref(), 7)), (Ok(2), Ok(7)), "what was discarded left room");
    }

    #[test]
    fn what_is_being_written_does_not_give_way() {
        let storage = MemoryStorage::with_capacity(2 * u64::from(PIECE));
        let store = storage.open(&info("one", &[("a", 8 * u64::from(PIECE))])).unwrap();
        for piece in 0..2 {
            store.write(PieceIndex(piece), 0, &[IoSlice::new(b"begun")]).unwrap();
        }
        assert_eq!(put(store.as_ref(), 2), Err(StorageErrorKind::Full));
        store.discard(PieceIndex(0)).unwrap();
        put(store.as_ref(), 2).unwrap();
        store.delete().unwrap();
        (0..2).for_each(|piece| put(store.as_ref(), piece).unwrap());
    }
}
