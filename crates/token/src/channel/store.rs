//! Where the logs of payers and payees lie.

pub mod contract;
#[cfg(feature = "fs")]
mod file;

use super::gate::Durable;
use super::log::{self, Damage, Log, TooLong};
use crate::ids::UpdateId;
use std::io;

#[cfg(feature = "fs")]
pub use file::FileChannelStore;

/// Keeps the log of one machine.
///
/// What is appended may be lost in a crash until [`sync`](Self::sync) has returned; then it may not. Of what was not synced any part may be left, but
/// a record is there only if all before it are. A store that has failed may be asked again: what was appended is not forgotten.
pub trait ChannelStore: Send {
    /// Adds a record.
    ///
    /// # Errors
    /// If its number does not follow, it is too long, or the store fails. Then it was not added.
    fn append(&mut self, id: UpdateId, record: &[u8]) -> Result<(), StoreError>;

    /// Makes all that was appended durable, and tells up to where that is.
    ///
    /// # Errors
    /// If the store fails. It is not known then how much of what was appended is durable.
    fn sync(&mut self) -> Result<Durable, StoreError>;

    /// Reads the log, as after a start, and makes what it gives durable. What was appended and not synced is not waited for.
    ///
    /// # Errors
    /// If the store fails. A log that is damaged is given, and takes nothing any more.
    fn load(&mut self) -> Result<Log, StoreError>;

    /// Begins the log anew with a snapshot, which stands for all that was appended. When this returns it is durable; after a crash there is either
    /// log.
    ///
    /// # Errors
    /// If a record is too long or the store fails. Then the log is as it was.
    fn replace(&mut self, snapshot: &[Vec<u8>]) -> Result<Durable, StoreError>;
}

/// A store cannot do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or what lies below. Asked again it may do it.
    #[error("the log's store fails: {0}")]
    Io(#[from] io::Error),
    /// A record does not follow on the last one.
    #[error("record {found} follows {last}")]
    Order {
        /// The last one.
        last: UpdateId,
        /// The next one.
        found: UpdateId,
    },
    /// A record is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The log is damaged, and only read.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Keeps a log in memory, and fails when it is told to.
#[derive(Clone, Default, Debug)]
pub struct MemoryChannelStore {
    /// What survives.
    disk: Vec<u8>,
    /// What was appended since.
    unsynced: Vec<u8>,
    last: UpdateId,
    durable: UpdateId,
    damage: Option<Damage>,
    plan: Option<(u64, Failure)>,
    is_down: bool,
}

/// How a store in memory fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// One call does not do what it should.
    Once,
    /// From one call on the machine is down, until [`MemoryChannelStore::restart`].
    Crash,
}

impl MemoryChannelStore {
    /// Plans a failure: `after` calls of append, sync or replace do what they should, the next one does not.
    pub const fn fail_after(&mut self, after: u64, failure: Failure) {
        self.plan = Some((after, failure));
    }

    /// The machine is down now.
    pub const fn crash(&mut self) {
        self.is_down = true;
    }

    /// Whether the machine is down.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.is_down
    }

    /// After a crash: what was synced is there, and of the rest so many bytes.
    pub fn restart(&mut self, keep: usize) {
        let kept = self.unsynced.get(..keep.min(self.unsynced.len())).unwrap_or_default();
        self.disk.extend_from_slice(kept);
        self.unsynced.clear();
        (self.is_down, self.plan) = (false, None);
    }

    /// Bytes that a crash may take.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The bytes that survive. To change them is to damage the log.
    pub const fn disk_mut(&mut self) -> &mut Vec<u8> {
        &mut self.disk
    }

    /// The last record that was appended.
    #[must_use]
    pub const fn last(&self) -> UpdateId {
        self.last
    }

    fn call(&mut self) -> Result<(), StoreError> {
        if self.is_down {
            return Err(io::Error::other("the machine is down").into());
        }
        match self.plan {
            Some((0, failure)) => {
                (self.plan, self.is_down) = (None, failure == Failure::Crash);
                Err(io::Error::other("a planned failure").into())
            }
            Some((after, failure)) => {
                self.plan = Some((after.saturating_sub(1), failure));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl ChannelStore for MemoryChannelStore {
    fn append(&mut self, id: UpdateId, record: &[u8]) -> Result<(), StoreError> {
        self.call()?;
        self.damage.map_or(Ok(()), Err)?;
        if self.last.next() != Some(id) {
            return Err(StoreError::Order { last: self.last, found: id });
        }
        let mut bytes = Vec::new();
        if self.disk.is_empty() && self.unsynced.is_empty() {
            bytes = Log::begin(UpdateId::new(0), &[])?;
        }
        log::append(&mut bytes, id, self.durable, record)?;
        self.unsynced.append(&mut bytes);
        self.last = id;
        Ok(())
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.call()?;
        self.disk.append(&mut self.unsynced);
        self.durable = self.last;
        Ok(Durable::up_to(self.durable))
    }

    fn load(&mut self) -> Result<Log, StoreError> {
        if self.is_down {
            return Err(io::Error::other("the machine is down").into());
        }
        let log = Log::read(&self.disk);
        self.unsynced.clear();
        if log.damage.is_none() {
            self.disk.truncate(usize::try_from(log.len).unwrap_or(usize::MAX));
        }
        (self.last, self.durable, self.damage) = (log.last(), log.last(), log.damage);
        Ok(log)
    }

    fn replace(&mut self, snapshot: &[Vec<u8>]) -> Result<Durable, StoreError> {
        self.call()?;
        self.damage.map_or(Ok(()), Err)?;
        self.disk = Log::begin(self.last, snapshot)?;
        self.unsynced.clear();
        self.durable = self.last;
        Ok(Durable::up_to(self.durable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_the_contract() {
        contract::check(MemoryChannelStore::default);
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
        let mut store = MemoryChannelStore::default();
        let id = UpdateId::new;
        store.append(id(1), b"one").unwrap();
        store.sync().unwrap();
        store.append(id(2), b"two").unwrap();
        store.append(id(3), b"three").unwrap();
        for keep in 0..=store.unsynced() {
            let mut store = store.clone();
            store.crash();
            assert!(store.append(id(4), b"four").is_err() && store.sync().is_err() && store.load().is_err());
            store.restart(keep);
            let log = store.load().unwrap();
            let expected = 1 + usize::from(keep >= 27) + usize::from(keep >= 27 + 29);
            assert_eq!((log.records.len(), log.damage), (expected, None), "{keep} bytes");
            store.append(log.last().next().unwrap(), b"next").unwrap();
            store.sync().unwrap();
            assert_eq!(store.load().unwrap().records.len(), expected + 1);
        }
        store.disk_mut()[50] ^= 1;
        assert!(store.load().unwrap().records.is_empty());
    }

    #[test]
    fn a_planned_failure_happens_once_and_a_planned_crash_stays() {
        let mut store = MemoryChannelStore::default();
        store.fail_after(1, Failure::Once);
        store.append(UpdateId::new(1), b"one").unwrap();
        assert!(store.sync().is_err());
        assert_eq!(store.sync().unwrap(), Durable::up_to(UpdateId::new(1)));
        store.fail_after(0, Failure::Crash);
        assert!(store.sync().is_err() && store.sync().is_err() && store.is_down());
        store.restart(0);
        assert_eq!(store.load().unwrap().last(), UpdateId::new(1));
    }
}
