//! Pieces in memory.

use crate::error::{StorageError, StorageErrorKind};
use crate::store::{Recovered, Storage, TorrentStorage};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::{Bitfield, Block, Geometry, InfoHashes, PieceIndex};
use unchoke_metainfo::Info;

/// Keeps torrents in memory for as long as the value lives. Opening a torrent again finds what was committed.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    torrents: Mutex<Vec<(InfoHashes, Arc<MemoryTorrent>)>>,
}

impl MemoryStorage {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of one torrent, without a list of torrents around it.
    #[must_use]
    pub fn torrent(geometry: Geometry) -> Arc<dyn TorrentStorage> {
        Arc::new(MemoryTorrent::new(geometry))
    }
}

impl Storage for MemoryStorage {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        let mut torrents = self.torrents.lock().unwrap_or_else(PoisonError::into_inner);
        let hashes = info.info_hashes();
        if let Some((_, torrent)) = torrents.iter().find(|(known, _)| *known == hashes) {
            return Ok(Arc::clone(torrent) as Arc<dyn TorrentStorage>);
        }
        let torrent = Arc::new(MemoryTorrent::new(info.geometry().clone()));
        torrents.push((hashes, Arc::clone(&torrent)));
        Ok(torrent)
    }
}

#[derive(Debug)]
struct MemoryTorrent {
    geometry: Geometry,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    pieces: BTreeMap<PieceIndex, Vec<u8>>,
    committed: Bitfield,
}

impl MemoryTorrent {
    fn new(geometry: Geometry) -> Self {
        let held = Held { pieces: BTreeMap::new(), committed: Bitfield::new(geometry.piece_count()) };
        Self { geometry, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
        let held = self.held();
        let piece = held.pieces.get(&block.piece);
        let start = block.offset as usize;
        let bytes = piece.and_then(|piece| piece.get(start..start.saturating_add(buf.len())));
        buf.copy_from_slice(bytes.ok_or_else(|| StorageError::new(StorageErrorKind::Missing))?);
        Ok(())
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        crate::store::check_write(&self.geometry, piece, offset, data)?;
        let length = self.geometry.piece_len(piece).unwrap_or(0) as usize;
        let mut held = self.held();
        if held.committed.contains(piece) {
            return Err(StorageError::new(StorageErrorKind::Committed(piece)));
        }
        let bytes = held.pieces.entry(piece).or_insert_with(|| vec![0; length]);
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
        self.held().committed.insert(piece);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn delete(&self) -> Result<(), StorageError> {
        let mut held = self.held();
        *held = Held { pieces: BTreeMap::new(), committed: Bitfield::new(self.geometry.piece_count()) };
        Ok(())
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut held = self.held();
        held.committed.remove(piece);
        held.pieces.remove(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        crate::contract::check(|geometry| MemoryStorage::torrent(geometry));
    }
}
