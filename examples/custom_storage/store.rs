//! Pieces as values of a redb database.

use redb::{
    Builder, Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction,
};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use unchoke_core::{Block, Geometry, PieceIndex};
use unchoke_metainfo::Info;
use unchoke_storage::{Recovered, Storage, StorageError, StorageErrorKind, TorrentStorage};

/// The name of a torrent, and the number of a piece.
type Key = (&'static str, u32);

/// The bytes of pieces, zeros where nothing has been written yet.
const BYTES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("bytes");

/// The pieces that have hashed right.
const COMMITTED: TableDefinition<'_, Key, ()> = TableDefinition::new("committed");

/// What the database may keep of its file in memory, in bytes.
const CACHE: usize = 64 << 20;

/// Keeps all its torrents in one file.
pub(crate) struct RedbStorage {
    file: Arc<File>,
}

struct File {
    database: Database,
    path: PathBuf,
}

impl RedbStorage {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// If it cannot be read or made, or is in use.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let database = Builder::new().set_cache_size(CACHE).create(path).map_err(|error| failure(path, error))?;
        let file = File { database, path: path.to_owned() };
        // Reading asks for the tables, so they are made.
        let begun = file.begin(Durability::Immediate)?;
        begun.open_table(BYTES).map_err(|error| failure(path, error))?;
        begun.open_table(COMMITTED).map_err(|error| failure(path, error))?;
        begun.commit().map_err(|error| failure(path, error))?;
        Ok(Self { file: Arc::new(file) })
    }

    /// The store of one torrent.
    pub(crate) fn torrent(&self, name: String, geometry: Geometry) -> Arc<dyn TorrentStorage> {
        Arc::new(RedbTorrent { file: Arc::clone(&self.file), name, geometry, is_known: AtomicBool::new(false) })
    }
}

impl Storage for RedbStorage {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        Ok(self.torrent(info.info_hashes().to_string(), info.geometry().clone()))
    }
}

impl File {
    fn begin(&self, durability: Durability) -> Result<WriteTransaction, StorageError> {
        let mut begun = self.database.begin_write().map_err(|error| failure(&self.path, error))?;
        begun.set_durability(durability).map_err(|error| failure(&self.path, error))?;
        Ok(begun)
    }
}

/// The store of one torrent.
struct RedbTorrent {
    file: Arc<File>,
    name: String,
    geometry: Geometry,
    /// Whether it has been told before what there is.
    is_known: AtomicBool,
}

impl RedbTorrent {
    fn check(&self, block: Block) -> Result<(), StorageError> {
        let fits = self.geometry.contains(block);
        if fits { Ok(()) } else { Err(StorageError::new(StorageErrorKind::OutOfRange(block))) }
    }

    fn failure(&self, error: impl Into<redb::Error>) -> StorageError {
        failure(&self.file.path, error)
    }

    /// Does something as one change, which others see and a crash may undo until the next sync.
    fn change(&self, work: impl FnOnce(&WriteTransaction) -> Result<(), StorageError>) -> Result<(), StorageError> {
        let begun = self.file.begin(Durability::None)?;
        // What fails is undone when `begun` is dropped.
        work(&begun)?;
        begun.commit().map_err(|error| self.failure(error))
    }
}

impl TorrentStorage for RedbTorrent {
    fn recover(&self) -> Result<Recovered, StorageError> {
        let begun = self.file.database.begin_read().map_err(|error| self.failure(error))?;
        let committed = begun.open_table(COMMITTED).map_err(|error| self.failure(error))?;
        let bytes = begun.open_table(BYTES).map_err(|error| self.failure(error))?;
        let name = self.name.as_str();
        let anew = self.is_known.swap(true, Ordering::SeqCst);
        let mut found = Recovered::default();
        for entry in bytes.range((name, 0)..=(name, u32::MAX)).map_err(|error| self.failure(error))? {
            let (key, _) = entry.map_err(|error| self.failure(error))?;
            let piece = PieceIndex(key.value().1);
            let is_committed = committed.get((name, piece.0)).map_err(|error| self.failure(error))?.is_some();
            // The bytes came before the mark, and a commit keeps both or neither. So what has a mark need not be hashed again.
            let list = if is_committed && !anew { &mut found.verified } else { &mut found.suspects };
            list.push(piece);
        }
        if anew {
            // All is to be looked at anew: what is found wrong can be written again.
            self.change(|begun| {
                let mut committed = begun.open_table(COMMITTED).map_err(|error| self.failure(error))?;
                for piece in &found.suspects {
                    committed.remove((name, piece.0)).map_err(|error| self.failure(error))?;
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        self.check(block)?;
        let begun = self.file.database.begin_read().map_err(|error| self.failure(error))?;
        let bytes = begun.open_table(BYTES).map_err(|error| self.failure(error))?;
        let piece = bytes.get((self.name.as_str(), block.piece.0)).map_err(|error| self.failure(error))?;
        let start = block.offset as usize;
        let part = piece.as_ref().and_then(|piece| piece.value().get(start..start.saturating_add(buf.len())));
        buf.copy_from_slice(part.ok_or_else(|| StorageError::new(StorageErrorKind::Missing))?);
        Ok(())
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let length = data.iter().map(|slice| slice.len()).sum::<usize>();
        self.check(Block { piece, offset, length: u32::try_from(length).unwrap_or(u32::MAX) })?;
        let whole = self.geometry.piece_len(piece).unwrap_or(0) as usize;
        let key = (self.name.as_str(), piece.0);
        self.change(|begun| {
            let committed = begun.open_table(COMMITTED).map_err(|error| self.failure(error))?;
            // There is one writer at a time, so the piece cannot be committed under a write.
            if committed.get(key).map_err(|error| self.failure(error))?.is_some() {
                return Err(StorageError::new(StorageErrorKind::Committed(piece)));
            }
            let mut table = begun.open_table(BYTES).map_err(|error| self.failure(error))?;
            let known = table.get(key).map_err(|error| self.failure(error))?.map(|known| known.value().to_vec());
            let mut bytes = known.unwrap_or_else(|| vec![0; whole]);
            let mut at = offset as usize;
            for slice in data {
                let end = at.saturating_add(slice.len());
                if let Some(to) = bytes.get_mut(at..end) {
                    to.copy_from_slice(slice);
                }
                at = end;
            }
            table.insert(key, bytes.as_slice()).map_err(|error| self.failure(error))?;
            Ok(())
        })
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.change(|begun| {
            let mut committed = begun.open_table(COMMITTED).map_err(|error| self.failure(error))?;
            committed.insert((self.name.as_str(), piece.0), ()).map_err(|error| self.failure(error))?;
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut begun = self.file.begin(Durability::Immediate)?;
        // Peers choose the bytes of a torrent. With two phases a page that they have shaped cannot pass for one that was written whole.
        begun.set_two_phase_commit(true);
        begun.commit().map_err(|error| self.failure(error))
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let key = (self.name.as_str(), piece.0);
        self.change(|begun| {
            let mut committed = begun.open_table(COMMITTED).map_err(|error| self.failure(error))?;
            committed.remove(key).map_err(|error| self.failure(error))?;
            let mut bytes = begun.open_table(BYTES).map_err(|error| self.failure(error))?;
            bytes.remove(key).map_err(|error| self.failure(error))?;
            Ok(())
        })
    }

    fn delete(&self) -> Result<(), StorageError> {
        let all = (self.name.as_str(), 0)..=(self.name.as_str(), u32::MAX);
        self.change(|begun| {
            let mut committed = begun.open_table(COMMITTED).map_err(|error| self.failure(error))?;
            committed.retain_in(all.clone(), |_, ()| false).map_err(|error| self.failure(error))?;
            let mut bytes = begun.open_table(BYTES).map_err(|error| self.failure(error))?;
            bytes.retain_in(all, |_, _| false).map_err(|error| self.failure(error))
        })?;
        self.sync()
    }
}

/// The kind of a failure follows from what the operating system said, if it said anything.
fn failure(path: &Path, error: impl Into<redb::Error>) -> StorageError {
    let error = match error.into() {
        redb::Error::Io(error) => error,
        error @ redb::Error::DatabaseAlreadyOpen => io::Error::new(io::ErrorKind::ResourceBusy, error),
        error => io::Error::other(error),
    };
    StorageError::io(path, error)
}
