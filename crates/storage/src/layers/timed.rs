//! Measures how long a store takes.

use crate::error::StorageError;
use crate::folder::StorageFolder;
use crate::store::{Recovered, Storage, TorrentStorage};
use std::any::Any;
use std::fmt;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unchoke_core::{Block, PieceIndex};
use unchoke_metainfo::Info;

/// Measures how long each operation of a store takes. The clock is the caller's, so that it may be a simulated one.
pub struct TimedStorage<S> {
    inner: S,
    meter: Arc<Meter>,
}

struct Meter {
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    timings: Mutex<[Timing; KINDS]>,
}

const KINDS: usize = 9;

/// The operations that are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OperationKind {
    /// Finding out what is held.
    Recover,
    /// Reading a block.
    Read,
    /// Writing.
    Write,
    /// Committing a piece.
    Commit,
    /// Making durable.
    Sync,
    /// Forgetting a piece.
    Discard,
    /// Finding other places for files that are not wanted, or are again.
    SkipFiles,
    /// Renaming a file.
    RenameFile,
    /// Removing everything.
    Delete,
}

/// How long operations of one kind took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// Operations that have ended.
    pub count: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Bytes read or written.
    pub bytes: u64,
    /// The time of all.
    pub total: Duration,
    /// The time of the longest.
    pub longest: Duration,
}

/// A handle to what a [`TimedStorage`] measures.
#[derive(Clone)]
pub struct Timings(Arc<Meter>);

impl Timings {
    /// What was measured so far.
    #[must_use]
    pub fn get(&self, kind: OperationKind) -> Timing {
        let timings = self.0.timings.lock().unwrap_or_else(PoisonError::into_inner);
        timings.get(kind as usize).copied().unwrap_or_default()
    }
}

impl fmt::Debug for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timings").field(&self.0.timings).finish()
    }
}

impl<S> TimedStorage<S> {
    /// Measures a store, as a rule with `Instant::now`.
    #[must_use]
    pub fn new(inner: S, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        let timings = Mutex::new([Timing::default(); KINDS]);
        Self { inner, meter: Arc::new(Meter { clock: Box::new(clock), timings }) }
    }

    /// What is measured, for all torrents together.
    #[must_use]
    pub fn timings(&self) -> Timings {
        Timings(Arc::clone(&self.meter))
    }
}

impl<S: fmt::Debug> fmt::Debug for TimedStorage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedStorage").field("inner", &self.inner).field("timings", &self.timings()).finish()
    }
}

impl<S: Storage> Storage for TimedStorage<S> {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        Ok(Arc::new(Timed { inner: self.inner.open(info)?, meter: Arc::clone(&self.meter) }))
    }

    fn folder(&self) -> Option<StorageFolder> {
        self.inner.folder()
    }
}

struct Timed {
    inner: Arc<dyn TorrentStorage>,
    meter: Arc<Meter>,
}

impl Timed {
    fn time<T>(
        &self,
        kind: OperationKind,
        bytes: usize,
        work: impl FnOnce(&dyn TorrentStorage) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let begin = (self.meter.clock)();
        let outcome = work(self.inner.as_ref());
        let took = (self.meter.clock)().saturating_duration_since(begin);
        let mut timings = self.meter.timings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(timing) = timings.get_mut(kind as usize) {
            timing.count = timing.count.saturating_add(1);
            timing.failed = timing.failed.saturating_add(outcome.is_err().into());
            timing.bytes = timing.bytes.saturating_add(if outcome.is_ok() { bytes as u64 } else { 0 });
            timing.total = timing.total.saturating_add(took);
            timing.longest = timing.longest.max(took);
        }
        outcome
    }
}

impl TorrentStorage for Timed {
    fn recover(&self) -> Result<Recovered, StorageError> {
        self.time(OperationKind::Recover, 0, |inner| inner.recover())
    }

    fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), StorageError> {
        self.time(OperationKind::RenameFile, 0, |inner| inner.rename_file(file, path))
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.time(OperationKind::Delete, 0, |inner| inner.delete())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.inner.as_any()
    }

    fn skip_files(&self, files: &[u32]) -> Result<(), StorageError> {
        self.time(OperationKind::SkipFiles, 0, |inner| inner.skip_files(files))
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        self.time(OperationKind::Read, buf.len(), |inner| inner.read(block, buf))
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let bytes = data.iter().map(|slice| slice.len()).sum();
        self.time(OperationKind::Write, bytes, |inner| inner.write(piece, offset, data))
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.time(OperationKind::Commit, 0, |inner| inner.commit(piece))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.time(OperationKind::Sync, 0, |inner| inner.sync())
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.time(OperationKind::Discard, 0, |inner| inner.discard(piece))
    }
}
