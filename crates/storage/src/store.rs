//! The contract of a store.

use crate::error::{StorageError, StorageErrorKind};
use crate::folder::StorageFolder;
use std::any::Any;
use std::fs::File;
use std::io::IoSlice;
use std::sync::Arc;
use unchoke_core::{Block, Geometry, PieceIndex};
use unchoke_metainfo::Info;

/// Opens the stores of torrents.
pub trait Storage: Send + Sync {
    /// Opens the store of one torrent.
    ///
    /// # Errors
    /// If the place cannot be reached.
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError>;

    /// Where it keeps files, for whoever wants to come back to them; `None` if it keeps none.
    fn folder(&self) -> Option<StorageFolder> {
        None
    }
}

/// What a store holds when it is opened.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// Pieces that were committed and made durable.
    pub verified: Vec<PieceIndex>,
    /// Pieces that may be there. They must be hashed before they count.
    pub suspects: Vec<PieceIndex>,
}

/// A place in a file of the operating system.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores of others put it together, and a place needs no more")]
pub struct FilePlace {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// Bytes from its start.
    pub offset: u64,
}

/// The store of one torrent: addressed by piece, positioned, blocking. Calls may come from several threads at a time.
pub trait TorrentStorage: Send + Sync {
    /// What is held. Called before anything else, and again when everything is to be looked at anew; what was committed meanwhile is told
    /// then, too, as verified or as a suspect.
    ///
    /// # Errors
    /// If the state of an earlier run cannot be read although it is there.
    fn recover(&self) -> Result<Recovered, StorageError>;

    /// Nobody wants these files of the torrent, by their numbers; all others are wanted. Called after `recover`, and again whenever that has
    /// changed. A store that keeps files makes none of these, and finds another place for what pieces bring of them; one that keeps pieces
    /// has nothing to do.
    ///
    /// # Errors
    /// If what is there of a file that is wanted again cannot be put in its place; all is as before then.
    fn skip_files(&self, files: &[u32]) -> Result<(), StorageError> {
        let _ = files;
        Ok(())
    }

    /// Reads a block; `buf` is as long as the block.
    ///
    /// # Errors
    /// [`Missing`](crate::StorageErrorKind::Missing) if it was never written, [`Evicted`](crate::StorageErrorKind::Evicted) if a bounded store
    /// had to let it go after it was committed.
    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError>;

    /// Where a block lies, whole and as it is to be read, in a file of the operating system: a driver may then send it without reading it.
    /// `None` if it lies in no such file, or in several; it has to be read then. The file may have become shorter when it is sent from.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn locate(&self, block: Block) -> Result<Option<FilePlace>, StorageError> {
        let _ = block;
        Ok(None)
    }

    /// Writes bytes of a piece, from `offset` of it.
    ///
    /// # Errors
    /// [`Committed`](crate::StorageErrorKind::Committed) if the piece is committed: what has been verified is never overwritten.
    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError>;

    /// The piece, which has been written in full, has hashed right.
    ///
    /// # Errors
    /// If that cannot be noted.
    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError>;

    /// Makes everything durable that was committed before the call, and then notes that it is.
    ///
    /// # Errors
    /// If that is not possible; nothing is noted then.
    fn sync(&self) -> Result<(), StorageError>;

    /// The piece hashed wrong, or is no longer wanted.
    ///
    /// # Errors
    /// If that cannot be noted.
    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError>;

    /// Gives a file of the torrent, by its number, another name: the names that lead to it from the folder of the store. It keeps that name.
    ///
    /// # Errors
    /// [`Occupied`](crate::StorageErrorKind::Occupied) if another file has the name, [`Escapes`](crate::StorageErrorKind::Escapes) if it is
    /// none, [`Unsupported`](crate::StorageErrorKind::Unsupported) if the store has no files. All is as before then.
    fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), StorageError> {
        let _ = (file, path);
        Err(StorageError::new(StorageErrorKind::Unsupported))
    }

    /// Removes all that is held of the torrent, and what is known of it. Nothing is asked of this value any more afterwards.
    ///
    /// # Errors
    /// If something cannot be removed; it can be tried again.
    fn delete(&self) -> Result<(), StorageError> {
        Err(StorageError::new(StorageErrorKind::Unsupported))
    }

    /// The store itself, or the one that it stands in front of, for [`move_storage`](crate::move_storage): stores of one kind may have a
    /// shorter way to each other than piece by piece.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// Refuses writes that do not fit into their piece.
pub(crate) fn check_write(
    geometry: &Geometry,
    piece: PieceIndex,
    offset: u32,
    data: &[IoSlice<'_>],
) -> Result<(), StorageError> {
    let total: usize = data.iter().map(|slice| slice.len()).sum();
    let block = Block { piece, offset, length: u32::try_from(total).unwrap_or(u32::MAX) };
    if geometry.contains(block) { Ok(()) } else { Err(StorageError::new(StorageErrorKind::OutOfRange(block))) }
}
