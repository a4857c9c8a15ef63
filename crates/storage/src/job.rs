//! Disk jobs in core's words, done on a store.

use crate::error::StorageError;
use crate::store::TorrentStorage;
use bytes::Bytes;
use std::fmt;
use std::io::IoSlice;
use unchoke_core::hash::{Sha1Lanes, sha1};
use unchoke_core::{
    BLOCK_LEN, Block, DiskError, DiskOutcome, DiskWork, Geometry, PieceHash, PieceIndex, PieceVerifier, Sha1Hash,
};

/// Bytes read at a time when a piece is checked.
const READ: u32 = 512 * 1024;

/// A job and what it is done on.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a driver puts it together, and a job needs no more")]
pub struct Job<'a> {
    /// The store of the torrent.
    pub store: &'a dyn TorrentStorage,
    /// The shape of the torrent.
    pub geometry: &'a Geometry,
    /// What is to be done.
    pub work: &'a DiskWork,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("work", self.work).finish_non_exhaustive()
    }
}

/// Does one job and says what came of it. Blocks while the disk does, and while hashing.
#[must_use]
pub fn run(store: &dyn TorrentStorage, geometry: &Geometry, work: &DiskWork) -> DiskOutcome {
    do_one(Job { store, geometry, work }, None)
}

/// Does several jobs, one after the other, and says what came of each. Pieces of v1 torrents that are to be stored are hashed side by side,
/// which takes less time than one by one; [`unchoke_core::hash::lanes`] of them are best.
#[must_use]
pub fn run_each(jobs: &[Job<'_>]) -> Vec<DiskOutcome> {
    let whole = |job: &Job<'_>| matches!(job.work, DiskWork::Store { expected: PieceHash::V1(_), .. });
    let mut sums = if jobs.iter().filter(|job| whole(job)).count() > 1 {
        let pieces = jobs.iter().filter_map(|job| match job.work {
            DiskWork::Store { expected: PieceHash::V1(_), data, .. } => Some(data.as_slice()),
            _ => None,
        });
        hash_together(&pieces.collect::<Vec<_>>())
    } else {
        Vec::new()
    }
    .into_iter();
    jobs.iter().map(|job| do_one(*job, if whole(job) { sums.next() } else { None })).collect()
}

/// The SHA-1 of each piece.
fn hash_together(pieces: &[&[Bytes]]) -> Vec<Sha1Hash> {
    let mut hashers = Sha1Lanes::new(pieces.len());
    for number in 0..pieces.iter().map(|piece| piece.len()).max().unwrap_or(0) {
        let blocks: Vec<&[u8]> = pieces.iter().map(|piece| piece.get(number).map_or(&[][..], |block| block)).collect();
        hashers.update(&blocks);
    }
    hashers.finish()
}

/// Does a job; `sum` is the SHA-1 of the piece that it stores, if that is known.
fn do_one(job: Job<'_>, sum: Option<Sha1Hash>) -> DiskOutcome {
    let Job { store, geometry, work } = job;
    let result = match work {
        DiskWork::Store { piece, expected, data, digests } => {
            let is_right = match (expected, sum) {
                (PieceHash::V1(expected), Some(sum)) => sum == *expected,
                _ => is_whole(*expected, data),
            };
            put(store, *piece, is_right, data, *digests)
        }
        DiskWork::Check { piece, expected, digests } => check(store, geometry, *piece, *expected, *digests),
        DiskWork::Write { piece, offset, data } => {
            store.write(*piece, *offset, &slices(data)).map(|()| DiskOutcome::Written)
        }
        DiskWork::Sync => store.sync().map(|()| DiskOutcome::Synced),
        DiskWork::Discard { piece } => store.discard(*piece).map(|()| DiskOutcome::Discarded),
        DiskWork::Recover => store.recover().map(|found| {
            let pieces = found.verified.into_iter().chain(found.suspects);
            DiskOutcome::Recovered { pieces: pieces.collect() }
        }),
        DiskWork::SkipFiles { files } => store.skip_files(files).map(|()| DiskOutcome::FilesSkipped),
        // A job of a later version of the vocabulary is not done, and that is said.
        _ => return DiskOutcome::Failed(DiskError::Io),
    };
    result.unwrap_or_else(|error| DiskOutcome::Failed(DiskError::from(&error)))
}

fn slices(data: &[Bytes]) -> Vec<IoSlice<'_>> {
    data.iter().map(|bytes| IoSlice::new(bytes)).collect()
}

fn is_whole(expected: PieceHash, data: &[Bytes]) -> bool {
    let mut verifier = PieceVerifier::new(expected);
    verifier.update_all(data);
    verifier.finish()
}

fn put(
    store: &dyn TorrentStorage,
    piece: PieceIndex,
    is_right: bool,
    data: &[Bytes],
    digests: bool,
) -> Result<DiskOutcome, StorageError> {
    let blocks = || data.iter().map(|bytes| sha1(bytes)).collect();
    if !is_right {
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

    #[test]
    fn several_pieces_are_judged_each_by_its_own_hash() {
        let geometry = Geometry::new(5 * 40_000 - 9000, 40_000).unwrap();
        let store = MemoryStorage::torrent(geometry.clone());
        let whole: Vec<u8> = (0..191_000_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 9) as u8).collect();
        let work: Vec<DiskWork> = (0..)
            .zip(whole.chunks(40_000))
            .map(|(number, bytes)| {
                let expected = PieceHash::V1(sha1(if number == 2 { b"other" } else { bytes }));
                let data = bytes.chunks(16_384).map(Bytes::copy_from_slice).collect();
                DiskWork::Store { piece: PieceIndex(number), expected, data, digests: false }
            })
            .chain([DiskWork::Sync])
            .collect();
        let jobs: Vec<Job<'_>> =
            work.iter().map(|work| Job { store: store.as_ref(), geometry: &geometry, work }).collect();
        let right: Vec<bool> =
            run_each(&jobs).iter().map(|outcome| matches!(outcome, DiskOutcome::Verified { .. })).collect();
        assert_eq!(right, [true, true, false, true, true, false]);
        let mut last = vec![0; 31_000];
        store.read(Block { piece: PieceIndex(4), offset: 0, length: 31_000 }, &mut last).unwrap();
        assert!(last == whole[160_000..]);
    }
}
