//! Gathers small writes in memory.

use super::check_read;
use crate::error::{StorageError, StorageErrorKind};
use crate::folder::StorageFolder;
use crate::store::{Recovered, Storage, TorrentStorage, check_write};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::{Bitfield, Block, Geometry, PieceIndex};
use unchoke_metainfo::Info;

/// Writes back late: what comes in parts is gathered until its piece is committed, or until so many bytes are waiting that the piece with
/// most of them has to go. The store behind gets few and long writes. Nothing that is committed waits here.
#[derive(Debug)]
pub struct GatheringStorage<S> {
    inner: S,
    limit: usize,
}

impl<S> GatheringStorage<S> {
    /// Lets so many bytes of each torrent wait in front of a store.
    #[must_use]
    pub const fn new(inner: S, bytes: usize) -> Self {
        Self { inner, limit: bytes }
    }
}

impl<S: Storage> Storage for GatheringStorage<S> {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        let geometry = info.geometry().clone();
        let committed = Bitfield::new(geometry.piece_count());
        let waiting = Mutex::new(Waiting { pieces: BTreeMap::new(), bytes: 0, committed });
        Ok(Arc::new(Gathering { inner: self.inner.open(info)?, geometry, limit: self.limit, waiting }))
    }

    fn folder(&self) -> Option<StorageFolder> {
        self.inner.folder()
    }
}

struct Gathering {
    inner: Arc<dyn TorrentStorage>,
    geometry: Geometry,
    limit: usize,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// Of each piece the parts that have come, by their offset; they do not touch each other.
    pieces: BTreeMap<PieceIndex, BTreeMap<u32, Vec<u8>>>,
    bytes: usize,
    committed: Bitfield,
}

impl Waiting {
    fn take(&mut self, piece: PieceIndex) -> BTreeMap<u32, Vec<u8>> {
        let parts = self.pieces.remove(&piece).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(parts.values().map(Vec::len).sum());
        parts
    }

    fn put(&mut self, piece: PieceIndex, mut offset: u32, mut bytes: Vec<u8>) {
        let parts = self.pieces.entry(piece).or_default();
        let before: usize = parts.values().map(Vec::len).sum();
        // What it overlaps or touches becomes one part with it; where both say something, the new one counts.
        let end = |offset: u32, bytes: &[u8]| offset.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let new_end = end(offset, &bytes);
        let touched: Vec<u32> =
            parts.range(..=new_end).filter(|(at, part)| end(**at, part) >= offset).map(|(at, _)| *at).collect();
        for at in touched {
            let Some(old) = parts.remove(&at) else { continue };
            let old_end = end(at, &old);
            if at < offset {
                let mut joined = old.get(..(offset - at) as usize).unwrap_or_default().to_vec();
                joined.extend_from_slice(&bytes);
                (offset, bytes) = (at, joined);
            }
            let ours = end(offset, &bytes);
            if old_end > ours {
                let tail = (old_end - ours) as usize;
                bytes.extend_from_slice(old.get(old.len().saturating_sub(tail)..).unwrap_or_default());
            }
        }
        parts.insert(offset, bytes);
        let after: usize = parts.values().map(Vec::len).sum();
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
    }

    /// The piece of which most is waiting.
    fn largest(&self) -> Option<PieceIndex> {
        let size = |parts: &BTreeMap<u32, Vec<u8>>| parts.values().map(Vec::len).sum::<usize>();
        self.pieces.iter().max_by_key(|(_, parts)| size(parts)).map(|(piece, _)| *piece)
    }
}

impl Gathering {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits of a piece. What could not be written waits on.
    fn flush(&self, waiting: &mut Waiting, piece: PieceIndex) -> Result<(), StorageError> {
        let mut parts = waiting.take(piece).into_iter();
        for (offset, bytes) in parts.by_ref() {
            if let Err(error) = self.inner.write(piece, offset, &[IoSlice::new(&bytes)]) {
                waiting.put(piece, offset, bytes);
                parts.for_each(|(offset, bytes)| waiting.put(piece, offset, bytes));
                return Err(error);
            }
        }
        Ok(())
    }
}

impl TorrentStorage for Gathering {
    fn recover(&self) -> Result<Recovered, StorageError> {
        let recovered = self.inner.recover()?;
        let mut waiting = self.waiting();
        waiting.committed = Bitfield::new(self.geometry.piece_count());
        for piece in &recovered.verified {
            waiting.committed.insert(*piece);
        }
        Ok(recovered)
    }

    fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), StorageError> {
        self.inner.rename_file(file, path)
    }

    fn delete(&self) -> Result<(), StorageError> {
        let committed = Bitfield::new(self.geometry.piece_count());
        *self.waiting() = Waiting { pieces: BTreeMap::new(), bytes: 0, committed };
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
        self.flush(&mut self.waiting(), block.piece)?;
        self.inner.read(block, buf)
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        check_write(&self.geometry, piece, offset, data)?;
        let length: usize = data.iter().map(|slice| slice.len()).sum();
        let mut waiting = self.waiting();
        if waiting.committed.contains(piece) {
            return Err(StorageError::new(StorageErrorKind::Committed(piece)));
        }
        if length >= self.limit || length == self.geometry.piece_len(piece).unwrap_or(0) as usize {
            // There is nothing to be gained by a copy.
            waiting.take(piece);
            return self.inner.write(piece, offset, data);
        }
        waiting.put(piece, offset, data.iter().flat_map(|slice| slice.iter().copied()).collect());
        while waiting.bytes > self.limit
            && let Some(largest) = waiting.largest()
        {
            self.flush(&mut waiting, largest)?;
        }
        Ok(())
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut waiting = self.waiting();
        self.flush(&mut waiting, piece)?;
        self.inner.commit(piece)?;
        waiting.committed.insert(piece);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.inner.sync()
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut waiting = self.waiting();
        waiting.take(piece);
        waiting.committed.remove(piece);
        self.inner.discard(piece)
    }
}
