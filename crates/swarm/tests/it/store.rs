//! The store of one torrent in a map, and what a disk job does to it.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_core::hash::sha1;
use unchoke_core::{BLOCK_LEN, Block, DiskError, DiskOutcome, DiskWork, Geometry, PieceHash, PieceIndex, Sha1Hash};

pub(crate) struct Store {
    geometry: Geometry,
    pieces: BTreeMap<PieceIndex, Vec<u8>>,
    pub(crate) committed: BTreeSet<PieceIndex>,
    pub(crate) skipped: Vec<u32>,
}

impl Store {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, pieces: BTreeMap::new(), committed: BTreeSet::new(), skipped: Vec::new() }
    }

    /// Puts bytes in place of a piece, unverified.
    pub(crate) fn put(&mut self, piece: PieceIndex, offset: usize, data: &[u8]) {
        assert!(!self.committed.contains(&piece), "{piece:?} is verified and must not be written again");
        let length = self.geometry.piece_len(piece).unwrap() as usize;
        self.pieces.entry(piece).or_insert_with(|| vec![0; length])[offset..][..data.len()].copy_from_slice(data);
    }

    pub(crate) fn read(&self, block: Block) -> Option<&[u8]> {
        self.pieces.get(&block.piece)?.get(block.offset as usize..)?.get(..block.length as usize)
    }

    /// Somebody takes the bytes of a piece away, or puts others in their place.
    pub(crate) fn tamper(&mut self, piece: PieceIndex, bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
        match bytes {
            Some(bytes) => self.pieces.insert(piece, bytes),
            None => self.pieces.remove(&piece),
        }
    }

    pub(crate) fn holds(&self, content: &[u8]) -> bool {
        self.committed.len() as u32 == self.geometry.piece_count() && self.pieces.values().flatten().eq(content.iter())
    }

    pub(crate) fn run(&mut self, work: &DiskWork) -> DiskOutcome {
        match work {
            DiskWork::Store { piece, expected, data, .. } => {
                let whole = data.concat();
                let outcome = verdict(&whole, *expected);
                if matches!(outcome, DiskOutcome::Verified { .. }) {
                    self.put(*piece, 0, &whole);
                    self.committed.insert(*piece);
                }
                outcome
            }
            DiskWork::Write { piece, offset, data } => {
                self.put(*piece, *offset as usize, &data.concat());
                DiskOutcome::Written
            }
            DiskWork::Check { piece, expected, .. } => match self.pieces.get(piece) {
                None => DiskOutcome::Failed(DiskError::Missing),
                Some(bytes) => {
                    let outcome = verdict(bytes, *expected);
                    if matches!(outcome, DiskOutcome::Verified { .. }) {
                        self.committed.insert(*piece);
                    }
                    outcome
                }
            },
            DiskWork::Sync => DiskOutcome::Synced,
            DiskWork::Discard { piece } => {
                self.pieces.remove(piece);
                self.committed.remove(piece);
                DiskOutcome::Discarded
            }
            DiskWork::Recover => DiskOutcome::Recovered { pieces: self.pieces.keys().copied().collect() },
            DiskWork::SkipFiles { files } => {
                self.skipped.clone_from(files);
                DiskOutcome::FilesSkipped
            }
            other => panic!("an unknown job {other:?}"),
        }
    }
}

fn verdict(bytes: &[u8], expected: PieceHash) -> DiskOutcome {
    let blocks: Vec<Sha1Hash> = bytes.chunks(BLOCK_LEN as usize).map(sha1).collect();
    if expected.matches(bytes) { DiskOutcome::Verified { blocks } } else { DiskOutcome::Mismatch { blocks } }
}

/// Payload bytes that a job holds.
pub(crate) fn payload(work: &DiskWork) -> usize {
    match work {
        DiskWork::Store { data, .. } | DiskWork::Write { data, .. } => data.iter().map(Bytes::len).sum(),
        _ => 0,
    }
}
