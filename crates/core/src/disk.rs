//! Disk jobs as plain words: an engine says what it wants done, a driver does it on a thread that may block.
//!
//! The engine never names a storage crate and the storage crate never names an engine; both know these.

use crate::hash::{PieceHash, Sha1Hash};
use crate::piece::PieceIndex;
use bytes::Bytes;

/// The number of one disk job within one engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a job's number is a number and stays one")]
pub struct JobId(pub u64);

/// What is to be done. Every job ends in exactly one [`DiskOutcome`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DiskWork {
    /// Hash a whole piece that is in memory; if it is right, write it with one call and commit it.
    ///
    /// Ends in `Verified` or `Mismatch`.
    Store {
        /// The piece.
        piece: PieceIndex,
        /// What it must hash to.
        expected: PieceHash,
        /// Its bytes, in order, without a gap.
        data: Vec<Bytes>,
        /// Whether to tell the blocks' digests even if the piece is right.
        digests: bool,
    },
    /// Write bytes that have not been verified yet, because memory is short. Ends in `Written`.
    Write {
        /// The piece.
        piece: PieceIndex,
        /// Bytes from the start of the piece.
        offset: u32,
        /// The bytes, in order, without a gap.
        data: Vec<Bytes>,
    },
    /// Hash what the store holds of a piece and commit it if it is right. Ends in `Verified` or `Mismatch`.
    Check {
        /// The piece.
        piece: PieceIndex,
        /// What it must hash to.
        expected: PieceHash,
        /// Whether to tell the blocks' digests even if the piece is right.
        digests: bool,
    },
    /// Make all that was committed before durable. Ends in `Synced`.
    Sync,
    /// Forget what was written of a piece. Ends in `Discarded`.
    Discard {
        /// The piece.
        piece: PieceIndex,
    },
    /// Find out anew what the store holds. Ends in `Recovered`.
    Recover,
    /// Nobody wants these files; all others are wanted. Ends in `FilesSkipped`.
    SkipFiles {
        /// Their numbers.
        files: Vec<u32>,
    },
}

/// How a disk job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DiskOutcome {
    /// The piece hashed right and is committed.
    Verified {
        /// One digest a block of 16 KiB, in order, if they were asked for; else empty.
        blocks: Vec<Sha1Hash>,
    },
    /// The piece hashed wrong. The digests let the engine tell which block was bad once a right copy has come.
    Mismatch {
        /// One digest a block of 16 KiB, in order.
        blocks: Vec<Sha1Hash>,
    },
    /// The bytes were written.
    Written,
    /// All that was committed before the job is durable.
    Synced,
    /// What was written of the piece is forgotten.
    Discarded,
    /// Wanted files are in their places.
    FilesSkipped,
    /// The store has looked at what is there.
    Recovered {
        /// Pieces that may be there.
        pieces: Vec<PieceIndex>,
    },
    /// The job could not be done.
    Failed(DiskError),
}

/// Why a disk job could not be done, as far as an engine must tell cases apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// There is no room left; trying again later may help.
    #[error("no space left")]
    Full,
    /// The bytes are not there.
    #[error("data missing")]
    Missing,
    /// The place may not be read or written: no permission, a read-only file system, or a folder or link where a file should be.
    /// Trying again does not help until somebody changes that.
    #[error("access denied")]
    Denied,
    /// Somebody else has changed the bytes. They have to be hashed anew before they count.
    #[error("data changed by somebody else")]
    Changed,
    /// The store is bounded, and the bytes had to give way to others.
    #[error("data evicted")]
    Evicted,
    /// Another process has the store open.
    #[error("in use by another process")]
    Locked,
    /// Anything else that the operating system reports.
    #[error("disk failure")]
    Io,
}
