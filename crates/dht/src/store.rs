//! What a node keeps for others: peers of torrents and items.

pub mod contract;
mod memory;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redb")]
mod row;

pub use memory::{MemoryStore, StoreLimits};
#[cfg(feature = "redb")]
pub use redb::{RedbError, RedbReport, RedbStore};

use crate::filter::Filter;
use crate::id::Id;
use crate::item::Item;
use crate::krpc::ErrorCode;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use unchoke_core::Rng;

/// A bounded place for records. Items arrive verified, so that no implementation can forget to check them.
///
/// Implementations must bound what they keep, and share the room fairly: [`contract::check`] holds them to it.
pub trait RecordStore: Send {
    /// Whether a peer of this torrent would be stored. If not, whoever asks gets no token.
    fn has_room_for(&self, info_hash: Id) -> bool;

    /// Keeps a peer of a torrent.
    ///
    /// # Errors
    /// [`NoRoom`] if there is none.
    fn announce_peer(&mut self, now: Instant, info_hash: Id, peer: SocketAddr, seed: bool) -> Result<(), NoRoom>;

    /// Appends peers of a torrent, any of them if there are more than `wanted.count`.
    fn peers(&mut self, now: Instant, info_hash: Id, wanted: PeersWanted, rng: &mut Rng, out: &mut Vec<SocketAddr>);

    /// Filters of the peers of a torrent (BEP 33).
    fn scrape(&mut self, now: Instant, info_hash: Id) -> Scrape;

    /// Keeps an item that `source` has sent.
    ///
    /// # Errors
    /// If a newer one is there, another one than `cas` says, or there is no room.
    fn put(&mut self, now: Instant, item: &Item, cas: Option<i64>, source: IpAddr) -> Result<(), PutError>;

    /// The item at a target.
    fn get(&mut self, now: Instant, target: Id) -> Option<Item>;

    /// Appends up to `count` of the info-hashes of which there are peers, and tells how many there are (BEP 51). Until `interval` has passed
    /// the sample stays the same.
    fn sample(&mut self, now: Instant, count: usize, rng: &mut Rng, out: &mut Vec<Id>) -> SampleInfo;

    /// Drops what nobody has renewed for long. The node calls it once a minute.
    fn expire(&mut self, now: Instant);

    /// The node has this id from now on. Stores that keep what is near have to know it; it is told before anything else, and again when the
    /// node takes another id (BEP 42).
    fn handle_id(&mut self, _own: Id) {}

    /// What there is.
    fn usage(&self) -> StoreUsage;
}

/// Which peers are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "implementations need all of it")]
pub struct PeersWanted {
    /// With IPv6 addresses rather than IPv4 ones.
    pub v6: bool,
    /// No seeds.
    pub no_seed: bool,
    /// At most so many.
    pub count: usize,
}

/// Filters of the peers of a torrent (BEP 33).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 33 closes the set")]
pub struct Scrape {
    /// Those that have all of it.
    pub seeds: Filter,
    /// Those that do not.
    pub downloaders: Filter,
}

/// What a sample is taken from (BEP 51).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 51 closes the set")]
pub struct SampleInfo {
    /// Torrents of which there are peers.
    pub total: u32,
    /// Seconds until the next sample.
    pub interval: u32,
}

/// What a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StoreUsage {
    /// Torrents.
    pub torrents: usize,
    /// Peers of all torrents.
    pub peers: usize,
    /// Items.
    pub items: usize,
}

/// There is no room for another peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no room")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to tell")]
pub struct NoRoom;

/// Why an item is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// There is no room.
    #[error("there is no room")]
    NoRoom,
    /// The stored item has another sequence number than was asked for.
    #[error("stored item has sequence number {0}")]
    CasMismatch(i64),
    /// The stored item is newer, or has the same number and another value.
    #[error("stored item has sequence number {0}")]
    SeqTooLow(i64),
}

impl PutError {
    /// What the protocol calls it (BEP 44).
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoRoom => ErrorCode::SERVER,
            Self::CasMismatch(_) => ErrorCode::CAS_MISMATCH,
            Self::SeqTooLow(_) => ErrorCode::SEQ_TOO_LOW,
        }
    }

    /// Whether an item may take the place of the one that is there (BEP 44). For implementations.
    ///
    /// # Errors
    /// If it may not.
    pub fn check(stored: Option<&Item>, item: &Item, cas: Option<i64>) -> Result<(), Self> {
        let (Some(stored), Some(seq)) = (stored, item.seq()) else { return Ok(()) };
        let stored_seq = stored.seq().unwrap_or(i64::MIN);
        if cas.is_some_and(|cas| cas != stored_seq) {
            return Err(Self::CasMismatch(stored_seq));
        }
        if seq < stored_seq || seq == stored_seq && stored.value() != item.value() {
            return Err(Self::SeqTooLow(stored_seq));
        }
        Ok(())
    }
}
