//! Memory that torrents share, and who gives way when there is no more.

use super::Held;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use unchoke_core::PieceIndex;

#[derive(Debug)]
pub(super) struct Pool {
    capacity: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of all pieces, those that are being written included.
    used: u64,
    /// Counts uses.
    now: u64,
    /// The committed pieces, by their last use.
    pieces: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    torrent: Weak<Mutex<Held>>,
    piece: PieceIndex,
    bytes: u64,
}

impl Pool {
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many bytes. Returns the pieces that have to give way, or `None` if that is not enough.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Vec<(Arc<Mutex<Held>>, PieceIndex)>> {
        let mut state = self.state();
        let committed: u64 = state.pieces.values().map(|entry| entry.bytes).sum();
        if state.used.saturating_sub(committed).saturating_add(bytes) > self.capacity {
            return None;
        }
        let mut victims = Vec::new();
        while state.used.saturating_add(bytes) > self.capacity {
            let (_, entry) = state.pieces.pop_first()?;
            state.used = state.used.saturating_sub(entry.bytes);
            victims.extend(entry.torrent.upgrade().map(|torrent| (torrent, entry.piece)));
        }
        state.used = state.used.saturating_add(bytes);
        Some(victims)
    }

    /// A piece was committed and can give way from now on. Returns the time of its last use.
    pub(super) fn enter(&self, torrent: Weak<Mutex<Held>>, piece: PieceIndex, bytes: u64) -> u64 {
        let mut state = self.state();
        state.now = state.now.saturating_add(1);
        let now = state.now;
        state.pieces.insert(now, Entry { torrent, piece, bytes });
        now
    }

    /// The piece that was last used at that time is used again. Returns the time of that.
    pub(super) fn touch(&self, used: u64) -> u64 {
        let mut state = self.state();
        // One that is about to give way is not there.
        let Some(entry) = state.pieces.remove(&used) else { return used };
        state.now = state.now.saturating_add(1);
        let now = state.now;
        state.pieces.insert(now, entry);
        now
    }

    /// A piece is gone, which was last used at that time if it was committed.
    pub(super) fn release(&self, bytes: u64, used: Option<u64>) {
        let mut state = self.state();
        match used {
            // One that is giving way is no longer counted.
            Some(used) if state.pieces.remove(&used).is_none() => {}
            _ => state.used = state.used.saturating_sub(bytes),
        }
    }
}
