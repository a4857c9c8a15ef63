//! Lets a store fail.

use crate::error::{StorageError, StorageErrorKind};
use crate::folder::StorageFolder;
use crate::store::{Recovered, Storage, TorrentStorage};
use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
use unchoke_core::{Block, PieceIndex};
use unchoke_metainfo::Info;

/// A store that fails when it is told to, for tests of whatever uses one.
///
/// ```
/// use unchoke_storage::{FaultyStorage, MemoryStorage, Operation, StorageErrorKind};
/// let full = FaultyStorage::new(MemoryStorage::new(), |operation| match operation {
///     Operation::Write { .. } => Some(StorageErrorKind::Full),
///     _ => None,
/// });
/// ```
pub struct FaultyStorage<S> {
    inner: S,
    judge: Judge,
}

/// Says whether and how an operation fails.
type Judge = Arc<dyn Fn(Operation) -> Option<StorageErrorKind> + Send + Sync>;

/// What is about to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// A torrent is opened.
    Open,
    /// What is held is found out.
    Recover,
    /// Files are no longer wanted, or again.
    SkipFiles,
    /// A block is read.
    Read(Block),
    /// Bytes of a piece are written.
    Write {
        /// The piece.
        piece: PieceIndex,
        /// Where in it they begin.
        offset: u32,
    },
    /// A piece is committed.
    Commit(PieceIndex),
    /// What was committed is made durable.
    Sync,
    /// A piece is forgotten.
    Discard(PieceIndex),
    /// A file is renamed.
    RenameFile,
    /// Everything is removed.
    Delete,
}

impl<S> FaultyStorage<S> {
    /// Asks `judge` before each operation whether and how it fails. One that fails does nothing.
    #[must_use]
    pub fn new(inner: S, judge: impl Fn(Operation) -> Option<StorageErrorKind> + Send + Sync + 'static) -> Self {
        Self { inner, judge: Arc::new(judge) }
    }
}

impl<S: Storage> Storage for FaultyStorage<S> {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        ask(&self.judge, Operation::Open)?;
        Ok(Arc::new(Faulty { inner: self.inner.open(info)?, judge: Arc::clone(&self.judge) }))
    }

    fn folder(&self) -> Option<StorageFolder> {
        self.inner.folder()
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultyStorage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStorage").field("inner", &self.inner).finish_non_exhaustive()
    }
}

fn ask(judge: &Judge, operation: Operation) -> Result<(), StorageError> {
    judge(operation).map_or(Ok(()), |kind| Err(StorageError::new(kind)))
}

struct Faulty {
    inner: Arc<dyn TorrentStorage>,
    judge: Judge,
}

impl TorrentStorage for Faulty {
    fn recover(&self) -> Result<Recovered, StorageError> {
        ask(&self.judge, Operation::Recover)?;
        self.inner.recover()
    }

    fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), StorageError> {
        ask(&self.judge, Operation::RenameFile)?;
        self.inner.rename_file(file, path)
    }

    fn delete(&self) -> Result<(), StorageError> {
        ask(&self.judge, Operation::Delete)?;
        self.inner.delete()
    }

    fn skip_files(&self, files: &[u32]) -> Result<(), StorageError> {
        ask(&self.judge, Operation::SkipFiles)?;
        self.inner.skip_files(files)
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        ask(&self.judge, Operation::Read(block))?;
        self.inner.read(block, buf)
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        ask(&self.judge, Operation::Write { piece, offset })?;
        self.inner.write(piece, offset, data)
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        ask(&self.judge, Operation::Commit(piece))?;
        self.inner.commit(piece)
    }

    fn sync(&self) -> Result<(), StorageError> {
        ask(&self.judge, Operation::Sync)?;
        self.inner.sync()
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        ask(&self.judge, Operation::Discard(piece))?;
        self.inner.discard(piece)
    }
}
