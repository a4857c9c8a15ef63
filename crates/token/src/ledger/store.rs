//! Where a ledger's blocks and records lie.

pub mod contract;
#[cfg(feature = "redb")]
mod redb;

use super::state::Key;
use crate::ids::Height;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;

#[cfg(feature = "redb")]
pub use self::redb::RedbLedgerStore;

/// Keeps what a ledger has sealed.
///
/// A block and the records that it changes are kept together or not at all, and durably when [`commit`](Self::commit) returns.
pub trait LedgerStore: Send {
    /// The last block's number; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    fn head(&mut self) -> Result<Option<Height>, StoreError>;

    /// Gives all records, in no order.
    ///
    /// # Errors
    /// If they cannot be read, or what `take` says.
    fn load(&mut self, take: &mut TakeRecord<'_>) -> Result<(), StoreError>;

    /// The bytes of a block; `None` if there is none with this number.
    ///
    /// # Errors
    /// If it cannot be read.
    fn block(&mut self, number: Height) -> Result<Option<Vec<u8>>, StoreError>;

    /// Adds a block, and sets or removes records. The block is the next one, or once more the last one, which then counts as this.
    ///
    /// # Errors
    /// If it cannot be written. Then nothing was changed, or all was: the same commit may be tried again. A block that leaves out numbers, or
    /// is of a number below the last one's, is refused.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;
}

/// Takes a record.
pub type TakeRecord<'a> = dyn FnMut(Key, &[u8]) -> Result<(), StoreError> + 'a;

/// A block, and what it changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The block's number.
    pub number: Height,
    /// Its bytes.
    pub block: Vec<u8>,
    /// Records that have another value now, or none.
    pub records: Vec<(Key, Option<Vec<u8>>)>,
}

/// A store cannot do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or what lies below.
    #[error("the ledger's store fails: {0}")]
    Io(#[from] io::Error),
    /// What is there is not what was written.
    #[error("the ledger's store is damaged: {0}")]
    Corrupt(&'static str),
    /// The database below says that it is no sound one.
    #[error("the ledger's store is not a sound database")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// Another process, or another store of this one, has it open.
    #[error("the ledger's store is in use")]
    InUse,
    /// It has another format.
    #[error("the ledger's store has format {0}, which is not known")]
    Version(u64),
    /// The block is neither the next one nor the last one.
    #[error("block {0} does not follow what is stored")]
    Order(Height),
    /// The block could not be written so far, and until it is nothing is taken.
    #[error("block {0} could not be written yet")]
    Unwritten(Height),
}

/// Keeps everything in memory.
#[derive(Clone, Default, Debug)]
pub struct MemoryLedgerStore {
    records: BTreeMap<Key, Vec<u8>>,
    blocks: Vec<Vec<u8>>,
}

impl Batch {
    /// A block and no records.
    #[must_use]
    pub const fn new(number: Height, block: Vec<u8>) -> Self {
        Self { number, block, records: Vec::new() }
    }
}

impl LedgerStore for MemoryLedgerStore {
    fn head(&mut self) -> Result<Option<Height>, StoreError> {
        Ok((self.blocks.len() as u64).checked_sub(1).map(Height::new))
    }

    fn load(&mut self, take: &mut TakeRecord<'_>) -> Result<(), StoreError> {
        self.records.iter().try_for_each(|(key, bytes)| take(*key, bytes))
    }

    fn block(&mut self, number: Height) -> Result<Option<Vec<u8>>, StoreError> {
        let place = usize::try_from(number.get()).ok();
        Ok(place.and_then(|place| self.blocks.get(place)).cloned())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let number = usize::try_from(batch.number.get()).unwrap_or(usize::MAX);
        if number > self.blocks.len() || number.saturating_add(1) < self.blocks.len() {
            return Err(StoreError::Order(batch.number));
        }
        self.blocks.truncate(number);
        self.blocks.push(batch.block.clone());
        for (key, value) in &batch.records {
            match value {
                Some(value) => drop(self.records.insert(*key, value.clone())),
                None => drop(self.records.remove(key)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_the_contract() {
        contract::check(|| Box::new(MemoryLedgerStore::default()));
    }
}
