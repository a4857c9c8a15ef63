//! What all connections of one torrent share: the info dictionary, or the wish for it.

use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::InfoHashes;
use unchoke_core::hash::{sha1, sha256};

/// A handle to one torrent's info dictionary, cheap to clone; give one to each connection's [`UtMetadata`](crate::UtMetadata).
#[derive(Clone)]
pub struct SharedMetadata(Arc<Mutex<State>>);

struct State {
    wanted: Option<InfoHashes>,
    known: Option<Bytes>,
    fetching: usize,
}

impl SharedMetadata {
    /// A dictionary that is to be fetched; it must match every hash that is known of it.
    #[must_use]
    pub fn wanted(hashes: InfoHashes) -> Self {
        Self(Arc::new(Mutex::new(State { wanted: Some(hashes), known: None, fetching: 0 })))
    }

    /// A dictionary that is there, in its exact bytes.
    #[must_use]
    pub fn known(metadata: Bytes) -> Self {
        Self(Arc::new(Mutex::new(State { wanted: None, known: Some(metadata), fetching: 0 })))
    }

    /// The dictionary, once it is there.
    #[must_use]
    pub fn get(&self) -> Option<Bytes> {
        self.lock().known.clone()
    }

    /// Sets the dictionary, which the caller has verified.
    pub fn set(&self, metadata: Bytes) {
        self.lock().known = Some(metadata);
    }

    /// Sets a dictionary that matches, unless there is one already; returns whether it was the first.
    pub(super) fn offer(&self, metadata: &Bytes) -> bool {
        let mut state = self.lock();
        let first = state.known.is_none();
        if first {
            state.known = Some(metadata.clone());
        }
        first
    }

    pub(super) fn matches(&self, metadata: &[u8]) -> bool {
        let Some(hashes) = self.lock().wanted else { return false };
        hashes.get_v1().is_none_or(|wanted| sha1(metadata) == wanted)
            && hashes.get_v2().is_none_or(|wanted| sha256(metadata) == wanted)
    }

    /// Leave to fetch, given back when it is dropped.
    pub(super) fn try_slot(&self) -> Option<Slot> {
        let mut state = self.lock();
        if state.fetching >= MAX_FETCHING {
            return None;
        }
        state.fetching = state.fetching.saturating_add(1);
        Some(Slot(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let known = state.known.as_ref().map(Bytes::len);
        f.debug_struct("SharedMetadata").field("known", &known).field("fetching", &state.fetching).finish()
    }
}

/// Leave to fetch.
pub(super) struct Slot(SharedMetadata);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.fetching = state.fetching.saturating_sub(1);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// Connections that fetch at a time: enough that one slow peer does not hold up the rest, few enough to waste little.
const MAX_FETCHING: usize = 3;
