//! Keeps pieces that were read in memory.

use super::check_read;
use crate::error::StorageError;
use crate::folder::StorageFolder;
use crate::store::{Recovered, Storage, TorrentStorage};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::{Bitfield, Block, Geometry, PieceIndex};
use unchoke_metainfo::Info;

/// A read cache of bounded size, for stores that are slow to read from. All torrents share it.
///
/// A block is read with the whole piece that it is part of, since peers ask for one block of a piece after the other; the piece that was not
/// read for longest gives way. Only committed pieces are kept. Pieces that are longer than half of the cache are passed on.
#[derive(Debug)]
pub struct CachedStorage<S> {
    inner: S,
    cache: Arc<Mutex<Cache>>,
}

impl<S> CachedStorage<S> {
    /// A cache of so many bytes in front of a store.
    #[must_use]
    pub fn new(inner: S, bytes: usize) -> Self {
        let cache = Cache { limit: bytes, used: 0, next: 0, pieces: BTreeMap::new(), order: VecDeque::new() };
        Self { inner, cache: Arc::new(Mutex::new(cache)) }
    }

    /// Bytes that are kept now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).used
    }
}

impl<S: Storage> Storage for CachedStorage<S> {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        let inner = self.inner.open(info)?;
        let torrent = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.next = cache.next.saturating_add(1);
            cache.next
        };
        Ok(Arc::new(Cached {
            inner,
            torrent,
            geometry: info.geometry().clone(),
            cache: Arc::clone(&self.cache),
            committed: Mutex::new(Bitfield::new(info.geometry().piece_count())),
        }))
    }

    fn folder(&self) -> Option<StorageFolder> {
        self.inner.folder()
    }
}

/// A torrent of this process, and a piece of it.
type Key = (u64, PieceIndex);

#[derive(Debug)]
struct Cache {
    limit: usize,
    used: usize,
    /// The number of the torrent that was opened last.
    next: u64,
    pieces: BTreeMap<Key, Arc<[u8]>>,
    /// The piece that was read last comes last.
    order: VecDeque<Key>,
}

impl Cache {
    fn get(&mut self, key: Key) -> Option<Arc<[u8]>> {
        let found = self.pieces.get(&key).cloned()?;
        self.touch(key);
        Some(found)
    }

    fn touch(&mut self, key: Key) {
        if self.order.back() != Some(&key) {
            self.order.retain(|known| *known != key);
            self.order.push_back(key);
        }
    }

    fn insert(&mut self, key: Key, bytes: Arc<[u8]>) {
        self.remove(key);
        while self.used.saturating_add(bytes.len()) > self.limit
            && let Some(oldest) = self.order.front().copied()
        {
            self.remove(oldest);
        }
        self.used = self.used.saturating_add(bytes.len());
        self.pieces.insert(key, bytes);
        self.touch(key);
    }

    fn remove(&mut self, key: Key) {
        if let Some(bytes) = self.pieces.remove(&key) {
            self.used = self.used.saturating_sub(bytes.len());
            self.order.retain(|known| *known != key);
        }
    }
}

struct Cached {
    inner: Arc<dyn TorrentStorage>,
    torrent: u64,
    geometry: Geometry,
    cache: Arc<Mutex<Cache>>,
    committed: Mutex<Bitfield>,
}

impl Cached {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self) -> MutexGuard<'_, Bitfield> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_all(&self) {
        let torrent = self.torrent;
        let mut cache = self.cache();
        let gone: Vec<Key> = cache.order.iter().copied().filter(|(of, _)| *of == torrent).collect();
        gone.into_iter().for_each(|key| cache.remove(key));
    }

    fn forget(&self, piece: PieceIndex) {
        self.cache().remove((self.torrent, piece));
    }
}

impl TorrentStorage for Cached {
    fn recover(&self) -> Result<Recovered, StorageError> {
        let recovered = self.inner.recover()?;
        self.forget_all();
        let mut committed = self.committed();
        *committed = Bitfield::new(self.geometry.piece_count());
        for piece in &recovered.verified {
            committed.insert(*piece);
        }
        Ok(recovered)
    }

    fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), StorageError> {
        self.inner.rename_file(file, path)
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.forget_all();
        *self.committed() = Bitfield::new(self.geometry.piece_count());
        self.inner.delete()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.inner.as_any()
    }

    fn skip_files(&self, files: &[u32]) -> Result<(), StorageError> {
        self.inner.skip_files(files)
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        check_read(&self.geometry, block, buf)?;
        let length = self.geometry.piece_len(block.piece).unwrap_or(0);
        let fits = length as usize <= self.cache().limit / 2;
        if !fits || !self.committed().contains(block.piece) {
            return self.inner.read(block, buf);
        }
        let key = (self.torrent, block.piece);
        let known = self.cache().get(key);
        let piece = match known {
            Some(piece) => piece,
            None => {
                let mut bytes = vec![0; length as usize];
                self.inner.read(Block { piece: block.piece, offset: 0, length }, &mut bytes)?;
                let piece: Arc<[u8]> = bytes.into();
                // Nobody has taken it back meanwhile, or it is not kept.
                let committed = self.committed();
                if committed.contains(block.piece) {
                    self.cache().insert(key, Arc::clone(&piece));
                }
                piece
            }
        };
        let start = block.offset as usize;
        if let Some(part) = piece.get(start..start.saturating_add(buf.len())) {
            buf.copy_from_slice(part);
        }
        Ok(())
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        self.inner.write(piece, offset, data)
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.inner.commit(piece)?;
        self.committed().insert(piece);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.inner.sync()
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.committed().remove(piece);
        self.forget(piece);
        self.inner.discard(piece)
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        self.forget_all();
    }
}
