//! Disk jobs in core's words, done on a store.

use crate::error::StorageError;
use crate::store::TorrentStorage;
use bytes::Bytes;
use std::io::IoSlice;
use unchoke_core::hash::sha1;
use unchoke_core::{
    BLOCK_LEN, Block, DiskError, DiskOutcome, DiskWork, Geometry, PieceHash, PieceIndex, PieceVerifier, Sha1Hash,
};

/// Bytes read at a time when a piece is checked.
const READ: u32 = 512 * 1024;

/// Does one job and says what came of it. Blocks while the disk does, and while hashing.
#[must_use]
pub fn run(store: &dyn TorrentStorage, geometry: &Geometry, work: &DiskWork) -> DiskOutcome {
    let result = match work {
        DiskWork::Store { piece, expected, data, digests } => put(store, *piece, *expected, data, *digests),
        DiskWork::Check { piece, expected, digests } => check(store, geometry, *piece, *expected, *digests),
        DiskWork::Write { piece, offset, data } => {
            store.write(*piece, *offset, &slices(data)).map(|()| DiskOutcome::Written)
        }
        DiskWork::Sync => store.sync().map(|()| DiskOutcome::Synced),
        DiskWork::Discard { piece } => store.discard(*piece).map(|()| DiskOutcome::Discarded),
        // A job of a later version of the vocabulary is not done, and that is said.
        _ => return DiskOutcome::Failed(DiskError::Io),
    };
    result.unwrap_or_else(|error| DiskOutcome::Failed(DiskError::from(&error)))
}

fn slices(data: &[Bytes]) -> Vec<IoSlice<'_>> {
    data.iter().map(|bytes| IoSlice::new(bytes)).collect()
}

fn put(
    store: &dyn TorrentStorage,
    piece: PieceIndex,
    expected: PieceHash,
    data: &[Bytes],
    digests: bool,
) -> Result<DiskOutcome, StorageError> {
    let mut verifier = PieceVerifier::new(expected);
    verifier.update_all(data);
    let blocks = || data.iter().map(|bytes| sha1(bytes)).collect();
    if !verifier.finish() {
        return Ok(DiskOutcome::Mismatch { blocks: blocks() });
    }
    store.write(piece, 0, &slices(data))?;
    store.commit(piece)?;
    Ok(DiskOutcome::Verified { blocks: if digests { blocks() } else { Vec::new() } })
}

fn check(
    store: &dyn TorrentStorage,
    geometry: &Geometry,
    piece: PieceIndex,
    expected: PieceHash,
    digests: bool,
) -> Result<DiskOutcome, StorageError> {
    let length = geometry.piece_len(piece).unwrap_or(0);
    let mut buf = vec![0; length.min(READ) as usize];
    let mut verifier = PieceVerifier::new(expected);
    let mut blocks: Vec<Sha1Hash> = Vec::new();
    let mut offset = 0;
    while offset < length {
        let step = (length - offset).min(READ);
        let part = buf.get_mut(..step as usize).unwrap_or_default();
        store.read(Block { piece, offset, length: step }, part)?;
        verifier.update(part);
        if digests {
            blocks.extend(part.chunks(BLOCK_LEN as usize).map(sha1));
        }
        offset += step;
    }
    if verifier.finish() {
        store.commit(piece)?;
        return Ok(DiskOutcome::Verified { blocks });
    }
    if !digests {
        // Who is to blame is asked only of a piece that is wrong, so only such a piece is read twice.
        if let DiskOutcome::Mismatch { blocks } = check(store, geometry, piece, expected, true)? {
            return Ok(DiskOutcome::Mismatch { blocks });
        }
    }
    Ok(DiskOutcome::Mismatch { blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStorage;

    #[test]
    fn a_piece_is_stored_only_if_it_hashes_right() {
        let geometry = Geometry::new(40_000, 40_000).unwrap();
        let store = MemoryStorage::torrent(geometry.clone());
        let data = vec![Bytes::from(vec![1; 16384]), Bytes::from(vec![2; 16384]), Bytes::from(vec![3; 7232])];
        let right = PieceHash::V1(sha1(&data.concat()));
        let wrong = PieceHash::V1(sha1(b"other"));
        let piece = PieceIndex(0);
        let work = |expected| DiskWork::Store { piece, expected, data: data.clone(), digests: false };
        let DiskOutcome::Mismatch { blocks } = run(store.as_ref(), &geometry, &work(wrong)) else { panic!() };
        assert_eq!(blocks, data.iter().map(|bytes| sha1(bytes)).collect::<Vec<_>>());
        let check = |expected| DiskWork::Check { piece, expected, digests: true };
        assert_eq!(run(store.as_ref(), &geometry, &check(right)), DiskOutcome::Failed(DiskError::Missing));
        assert_eq!(run(store.as_ref(), &geometry, &work(right)), DiskOutcome::Verified { blocks: Vec::new() });
        assert_eq!(run(store.as_ref(), &geometry, &check(right)), DiskOutcome::Verified { blocks: blocks.clone() });
        assert_eq!(run(store.as_ref(), &geometry, &check(wrong)), DiskOutcome::Mismatch { blocks });
    }
}
