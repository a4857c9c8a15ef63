//! A ledger on disk, in a database of one file.

use super::{Batch, LedgerStore, StoreError, TakeRecord};
use crate::ids::Height;
use crate::ledger::state::Key;
use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Blocks and records in a database of one file (feature `redb`, which needs Rust 1.90).
///
/// A block and what it changes are one transaction of the database, which waits for the disk. After a kill or a loss of power the file holds
/// all blocks whose commit has returned, and perhaps the one whose commit had begun, never a part of one. If a commit fails, as on a full
/// disk, the next one opens the file anew and tries again.
///
/// ```
/// use unchoke_core::Seed;
/// use unchoke_core::keys::SecretKey;
/// use unchoke_token::ledger::{ChainParams, EmbeddedLedger, Genesis, Ledger as _, RedbLedgerStore};
/// use unchoke_token::{KeySigner, Schemes, Timestamp};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("ledger");
/// for height in 0..2 {
///     let operator = KeySigner::new(SecretKey::from_seed(&Seed::new([1; 32])));
///     let store = Box::new(RedbLedgerStore::open(&path)?);
///     let (genesis, params) = (Genesis::default(), ChainParams::embedded());
///     let mut ledger = EmbeddedLedger::open(&genesis, params, Schemes::default(), Box::new(operator), store)?;
///     assert_eq!(ledger.head().number.get(), height);
///     ledger.seal(Timestamp::new(1_800_000_000_000))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RedbLedgerStore {
    open: Box<Open>,
    /// `None` after a failure, until the file was opened anew.
    database: Option<Database>,
}

type Open = dyn FnMut(&Builder) -> Result<Database, DatabaseError> + Send;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const VERSION: u64 = 1;
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// What the database may keep in memory of its file, in bytes. The ledger has its state in memory and reads only when it is opened.
const CACHE: usize = 64 << 20;

impl RedbLedgerStore {
    /// Opens a file, or creates it if there is none. A file without bytes is a damaged one, not a new one: what it has held may be in the hands
    /// of others, who would see a second story of the same ledger.
    ///
    /// # Errors
    /// If the file is in use, cannot be used, or is damaged or of another format.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        // Later it is only opened: what has vanished since does not begin anew.
        let mut is_new = !path.try_exists()?;
        let open = move |builder: &Builder| {
            let database = if is_new { builder.create(&path) } else { builder.open(&path) }?;
            is_new = false;
            Ok(database)
        };
        Self::with(Box::new(open))
    }

    fn with(open: Box<Open>) -> Result<Self, StoreError> {
        let mut store = Self { open, database: None };
        store.database()?;
        Ok(store)
    }

    /// The database, opened if it is not.
    fn database(&mut self) -> Result<&Database, Failure> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let mut builder = Builder::new();
                builder.set_cache_size(CACHE);
                let database = (self.open)(&builder)?;
                prepare(&database)?;
                database
            }
        };
        Ok(self.database.insert(database))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let mut transaction = self.database()?.begin_write()?;
        // Who pays chooses what is written, so a sum that can be forged must not decide which commit is the last whole one.
        transaction.set_two_phase_commit(true);
        // After a kill the file opens at once, however large it is.
        transaction.set_quick_repair(true);
        {
            let mut blocks = transaction.open_table(BLOCKS)?;
            let (number, last) = (batch.number.get(), blocks.last()?.map(|(number, _)| number.value()));
            if last != Some(number) && number.checked_sub(1) != last {
                return Err(Failure(StoreError::Order(batch.number)));
            }
            blocks.insert(number, &batch.block[..])?;
            let mut records = transaction.open_table(RECORDS)?;
            for (key, value) in &batch.records {
                match value {
                    Some(value) => drop(records.insert(&key.to_bytes()[..], &value[..])?),
                    None => drop(records.remove(&key.to_bytes()[..])?),
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

/// Makes the tables of a new file, and looks at the version of another.
fn prepare(database: &Database) -> Result<(), Failure> {
    let mut begin = database.begin_write()?;
    begin.set_two_phase_commit(true);
    begin.set_quick_repair(true);
    {
        let mut meta = begin.open_table(META)?;
        let version = meta.get("version")?.map(|version| version.value());
        match version {
            None => drop(meta.insert("version", VERSION)?),
            Some(VERSION) => {}
            Some(other) => return Err(Failure(StoreError::Version(other))),
        }
        begin.open_table(BLOCKS)?;
        begin.open_table(RECORDS)?;
    }
    Ok(begin.commit()?)
}

impl LedgerStore for RedbLedgerStore {
    fn head(&mut self) -> Result<Option<Height>, StoreError> {
        let mut head = || {
            let blocks = self.database()?.begin_read()?.open_table(BLOCKS)?;
            Ok::<_, Failure>(blocks.last()?.map(|(number, _)| Height::new(number.value())))
        };
        Ok(head()?)
    }

    fn load(&mut self, take: &mut TakeRecord<'_>) -> Result<(), StoreError> {
        let mut load = || {
            for entry in self.database()?.begin_read()?.open_table(RECORDS)?.iter()? {
                let (key, value) = entry?;
                let key = Key::from_bytes(key.value()).ok_or(StoreError::Corrupt("a key of no kind"))?;
                take(key, value.value())?;
            }
            Ok::<_, Failure>(())
        };
        Ok(load()?)
    }

    fn block(&mut self, number: Height) -> Result<Option<Vec<u8>>, StoreError> {
        let mut block = || {
            let blocks = self.database()?.begin_read()?.open_table(BLOCKS)?;
            Ok::<_, Failure>(blocks.get(number.get())?.map(|it| it.value().to_vec()))
        };
        Ok(block()?)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let outcome = self.write(batch).map_err(|failure| failure.0);
        if !matches!(outcome, Ok(()) | Err(StoreError::Order(_))) {
            // A database that could not write takes nothing more until it is opened again.
            self.database = None;
        }
        outcome
    }
}

impl fmt::Debug for RedbLedgerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbLedgerStore").finish_non_exhaustive()
    }
}

/// An error on its way out. The database's own errors turn into it, so that they are no part of what is public.
struct Failure(StoreError);

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(match redb::Error::from(error) {
                    redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
                    redb::Error::Io(error) => match error.kind() {
                        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StoreError::Damaged(Box::new(error)),
                        _ => StoreError::Io(error),
                    },
                    other => StoreError::Damaged(Box::new(other)),
                })
            }
        })*
    };
}

from_redb!(DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

#[cfg(test)]
mod tests;
