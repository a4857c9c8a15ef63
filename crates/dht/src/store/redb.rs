//! Records on disk, in a database of one file.

use super::memory::{MemoryStore, StoreLimits};
use super::row::{Epoch, read_item, read_torrent, write_item, write_torrent};
use super::{NoRoom, PeersWanted, PutError, RecordStore, SampleInfo, Scrape, StoreUsage};
use crate::id::Id;
use crate::item::Item;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unchoke_core::Rng;

/// Records that outlast the process, in a database of one file (feature `redb`, which needs Rust 1.90).
///
/// It is a [`MemoryStore`] that is written down: the same limits, the same fairness, answers from memory. What has changed is committed as one
/// transaction, no more often than every five seconds, when a record comes or old ones [expire](RecordStore::expire), which a node has done
/// every minute; and when the store is dropped. A commit waits for the disk, so the thread that drives the node does.
///
/// If the process is killed, or the machine loses its power, what came after the last commit is lost: that of the last seconds, or of the
/// last minute if nothing came in between. The store itself is never torn; the next [`open`](Self::open) finds the last commit. If a commit
/// fails, as on a full disk, the store goes on in memory, and [`report`](Self::report) says so: the database takes nothing more then until it is
/// opened again.
///
/// ```
/// use std::time::{Instant, SystemTime, UNIX_EPOCH};
/// use unchoke_core::Seed;
/// use unchoke_dht::store::{RedbStore, StoreLimits};
/// use unchoke_dht::{Config, Node};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("records");
/// let (now, unix) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
/// let store = RedbStore::open(&path, StoreLimits::default(), now, unix)?;
/// let node = Node::with_store(Config::default(), Box::new(store), &Seed::new([1; 32]), now);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RedbStore {
    memory: MemoryStore,
    database: Database,
    epoch: Epoch,
    /// By how much the clock of `memory` is ahead, as records of an earlier run may be older than the clock's first moment.
    ahead: Duration,
    /// Torrents in the file, and how many peers each has there.
    written_torrents: BTreeMap<Id, usize>,
    written_items: BTreeSet<Id>,
    /// What was announced or put since the last commit.
    fresh_torrents: BTreeSet<Id>,
    fresh_items: BTreeSet<Id>,
    committed: Instant,
    limits: StoreLimits,
    report: Arc<Mutex<RedbReport>>,
}

/// What became of the commits of a [`RedbStore`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RedbReport {
    /// Commits that have reached the disk.
    pub commits: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Why the last one failed, if it did.
    pub failure: Option<String>,
}

/// Why a file cannot be opened as a [`RedbStore`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedbError {
    /// Another store has it open.
    #[error("file is in use")]
    InUse,
    /// The system cannot open, read or write it.
    #[error("cannot use file")]
    Io(#[from] io::Error),
    /// It is no database, or a damaged one.
    #[error("not a sound database")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// It has another format.
    #[error("format {0} is not known")]
    Version(u64),
    /// A row makes no sense, or the hash or signature of an item is wrong.
    #[error("row {key} of table {table} is damaged")]
    Row {
        /// The table.
        table: &'static str,
        /// The info-hash or target.
        key: Id,
    },
}

/// At most one commit in such a time.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// What the database may keep in memory of its file, in bytes.
const CACHE: usize = 1 << 20;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const VERSION: u64 = 1;
const TORRENTS: TableDefinition<'_, [u8; 20], &[u8]> = TableDefinition::new("torrents");
const ITEMS: TableDefinition<'_, [u8; 20], &[u8]> = TableDefinition::new("items");

impl RedbStore {
    /// Opens or creates a file. `unix` is the time since 1970 at `now`; the store reads no clock of its own, and from then on follows `now`.
    /// What has become too old since the last run is dropped, and so is what the limits do not allow.
    ///
    /// # Errors
    /// If the file is in use, cannot be used, or is damaged. To begin again, delete it: nothing in it is needed.
    pub fn open(path: impl AsRef<Path>, limits: StoreLimits, now: Instant, unix: Duration) -> Result<Self, RedbError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create(path).map_err(|error| Failure::from(error).0)?;
        // Whatever is as old as this has expired.
        let ahead = limits.peer_lifetime.max(limits.item_lifetime).min(MAX_LIFETIME);
        let at = now.checked_add(ahead).unwrap_or(now);
        let mut store = Self {
            // The node tells its id before anything else.
            memory: MemoryStore::new(Id::new([0; 20]), limits),
            database,
            epoch: Epoch { at, unix: unix.as_secs(), oldest: ahead },
            ahead,
            written_torrents: BTreeMap::new(),
            written_items: BTreeSet::new(),
            fresh_torrents: BTreeSet::new(),
            fresh_items: BTreeSet::new(),
            committed: now,
            limits,
            report: Arc::default(),
        };
        store.load().map_err(|failure| failure.0)?;
        Ok(store)
    }

    /// What becomes of the commits. The handle tells it even when the store belongs to a node.
    #[must_use]
    pub fn report(&self) -> Arc<Mutex<RedbReport>> {
        Arc::clone(&self.report)
    }

    /// Writes down what has changed.
    ///
    /// # Errors
    /// If the disk is full or broken. From then on the database refuses to write until it is opened again.
    pub fn commit(&mut self) -> Result<(), RedbError> {
        let outcome = self.write().map_err(|failure| failure.0);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(false) => {}
            Ok(true) => {
                report.commits = report.commits.saturating_add(1);
                report.failure = None;
            }
            Err(error) => {
                report.failures = report.failures.saturating_add(1);
                report.failure = Some(with_sources(error));
            }
        }
        outcome.map(drop)
    }

    /// The clock of `memory`.
    fn ahead(&self, now: Instant) -> Instant {
        now.checked_add(self.ahead).unwrap_or(now)
    }

    fn load(&mut self) -> Result<(), Failure> {
        let begin = self.database.begin_write()?;
        {
            let mut meta = begin.open_table(META)?;
            let version = meta.get("version")?.map(|version| version.value());
            match version {
                None => drop(meta.insert("version", VERSION)?),
                Some(VERSION) => {}
                Some(other) => return Err(Failure(RedbError::Version(other))),
            }
            begin.open_table(TORRENTS)?;
            begin.open_table(ITEMS)?;
        }
        begin.commit()?;
        let read = self.database.begin_read()?;
        for entry in read.open_table(TORRENTS)?.iter()? {
            let (key, row) = entry?;
            let key = Id::new(key.value());
            let damaged = Failure(RedbError::Row { table: "torrents", key });
            let torrent = read_torrent(row.value(), self.epoch).ok_or(damaged)?;
            self.written_torrents.insert(key, torrent.peers.len());
            self.memory.restore_torrent(key, torrent);
        }
        for entry in read.open_table(ITEMS)?.iter()? {
            let (key, row) = entry?;
            let key = Id::new(key.value());
            let stored =
                read_item(key, row.value(), self.epoch).ok_or(Failure(RedbError::Row { table: "items", key }))?;
            self.written_items.insert(key);
            self.memory.restore_item(stored);
        }
        self.memory.expire(self.epoch.at);
        Ok(())
    }

    /// Brings the file to what is in memory, in one transaction. Returns whether there was anything to do.
    fn write(&mut self) -> Result<bool, Failure> {
        let torrents: BTreeMap<Id, _> = self.memory.torrents().collect();
        let items: BTreeMap<Id, _> = self.memory.items.values().map(|it| (it.item.target(), it)).collect();
        let gone_torrents: Vec<Id> =
            self.written_torrents.keys().filter(|id| !torrents.contains_key(id)).copied().collect();
        let gone_items: Vec<Id> = self.written_items.iter().filter(|id| !items.contains_key(id)).copied().collect();
        // A torrent that has lost peers without an announce has another number of them than in the file.
        let is_changed =
            |id: &Id, count| self.fresh_torrents.contains(id) || self.written_torrents.get(id) != Some(&count);
        let changed_torrents: Vec<_> = torrents.iter().filter(|(id, it)| is_changed(id, it.peers.len())).collect();
        let changed_items: Vec<_> = items.iter().filter(|(id, _)| self.fresh_items.contains(id)).collect();
        if gone_torrents.is_empty() && gone_items.is_empty() && changed_torrents.is_empty() && changed_items.is_empty()
        {
            return Ok(false);
        }
        let mut transaction = self.database.begin_write()?;
        // Strangers choose what is written, so a sum that they can forge must not decide which commit is the last whole one.
        transaction.set_two_phase_commit(true);
        {
            let mut table = transaction.open_table(TORRENTS)?;
            for id in &gone_torrents {
                table.remove(*id.as_bytes())?;
            }
            for (id, torrent) in &changed_torrents {
                table.insert(*id.as_bytes(), &write_torrent(torrent, self.epoch)[..])?;
            }
            let mut table = transaction.open_table(ITEMS)?;
            for id in &gone_items {
                table.remove(*id.as_bytes())?;
            }
            for (id, stored) in &changed_items {
                table.insert(*id.as_bytes(), &write_item(stored, self.epoch)[..])?;
            }
        }
        transaction.commit()?;
        self.written_torrents = torrents.into_iter().map(|(id, it)| (id, it.peers.len())).collect();
        self.written_items = items.into_keys().collect();
        self.fresh_torrents.clear();
        self.fresh_items.clear();
        Ok(true)
    }

    /// Commits if it is time.
    fn handle_change(&mut self, now: Instant) {
        if now.saturating_duration_since(self.committed) >= COMMIT_EVERY {
            self.committed = now;
            // The report tells of a failure.
            let _ = self.commit();
        }
    }

    /// A torrent has another peer, or an item was put.
    fn handle_fresh(&mut self, now: Instant, torrent: Option<Id>, item: Option<Id>) {
        self.fresh_torrents.extend(torrent);
        self.fresh_items.extend(item);
        // What was announced and is gone again need not be remembered, however long no commit succeeds.
        if self.fresh_torrents.len() > self.limits.torrents.saturating_mul(2) {
            let there: BTreeSet<Id> = self.memory.torrents().map(|(info_hash, _)| info_hash).collect();
            self.fresh_torrents.retain(|id| there.contains(id));
        }
        if self.fresh_items.len() > self.limits.items.saturating_mul(2) {
            let there: BTreeSet<Id> = self.memory.items.values().map(|it| it.item.target()).collect();
            self.fresh_items.retain(|id| there.contains(id));
        }
        self.handle_change(now);
    }
}

impl RecordStore for RedbStore {
    fn has_room_for(&self, info_hash: Id) -> bool {
        self.memory.has_room_for(info_hash)
    }

    fn announce_peer(&mut self, now: Instant, info_hash: Id, peer: SocketAddr, seed: bool) -> Result<(), NoRoom> {
        self.memory.announce_peer(self.ahead(now), info_hash, peer, seed)?;
        self.handle_fresh(now, Some(info_hash), None);
        Ok(())
    }

    fn peers(&mut self, now: Instant, info_hash: Id, wanted: PeersWanted, rng: &mut Rng, out: &mut Vec<SocketAddr>) {
        self.memory.peers(self.ahead(now), info_hash, wanted, rng, out);
    }

    fn scrape(&mut self, now: Instant, info_hash: Id) -> Scrape {
        self.memory.scrape(self.ahead(now), info_hash)
    }

    fn put(&mut self, now: Instant, item: &Item, cas: Option<i64>, source: IpAddr) -> Result<(), PutError> {
        self.memory.put(self.ahead(now), item, cas, source)?;
        self.handle_fresh(now, None, Some(item.target()));
        Ok(())
    }

    fn get(&mut self, now: Instant, target: Id) -> Option<Item> {
        self.memory.get(self.ahead(now), target)
    }

    fn sample(&mut self, now: Instant, count: usize, rng: &mut Rng, out: &mut Vec<Id>) -> SampleInfo {
        self.memory.sample(self.ahead(now), count, rng, out)
    }

    fn expire(&mut self, now: Instant) {
        self.memory.expire(self.ahead(now));
        self.handle_change(now);
    }

    fn handle_id(&mut self, own: Id) {
        self.memory.handle_id(own);
    }

    fn usage(&self) -> StoreUsage {
        self.memory.usage()
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // The report tells of a failure.
        let _ = self.commit();
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// Longer lifetimes than a year are taken for one, as far as the age of records of earlier runs goes.
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn with_sources(error: &RedbError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// An error on its way out. The database's own errors turn into it, so that they are no part of what is public.
struct Failure(RedbError);

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(match redb::Error::from(error) {
                    redb::Error::DatabaseAlreadyOpen => RedbError::InUse,
                    redb::Error::Io(error) => RedbError::from_io(error),
                    other => RedbError::Damaged(Box::new(other)),
                })
            }
        })*
    };
}

from_redb!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

impl RedbError {
    /// A file that ends too soon, or begins otherwise, is a damaged one.
    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged(Box::new(error)),
            _ => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests;
