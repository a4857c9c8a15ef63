//! The disk side of a transfer: checks at the start, group syncs, and what to do when the store fails.

use crate::event::Event;
use crate::ids::TorrentKey;
use crate::shared::Shared;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use unchoke_core::{Bitfield, DiskError, DiskWork, PieceIndex};
use unchoke_metainfo::Info;

/// The longest wait between two tries of a store that fails.
const LAST_RETRY: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Disk {
    torrent: TorrentKey,
    /// Pieces that the store may hold and that have not been sent to be checked.
    suspects: VecDeque<PieceIndex>,
    /// Those, and the ones that are being checked.
    unchecked: Bitfield,
    /// Checks of suspects that have not ended.
    checking: usize,
    /// Whether the end of the checks has been told.
    reported: bool,
    /// Jobs that failed; they are done again once the store may work.
    failed: Vec<DiskWork>,
    error: Option<DiskError>,
    retry_at: Option<Instant>,
    wait: Duration,
    sync_due: Option<Instant>,
    /// Bytes committed since the last sync began.
    unsynced: u64,
    syncing: bool,
    /// The store is being told which files are not wanted.
    placing: bool,
    /// The store is finding out what it holds.
    recovering: bool,
    /// That was done after the start.
    rechecked: bool,
}

impl Disk {
    pub(super) fn new(torrent: TorrentKey, suspects: Bitfield) -> Self {
        Self {
            torrent,
            suspects: suspects.iter().collect(),
            unchecked: suspects,
            checking: 0,
            reported: false,
            failed: Vec::new(),
            error: None,
            retry_at: None,
            wait: Duration::ZERO,
            sync_due: None,
            unsynced: 0,
            syncing: false,
            placing: false,
            recovering: false,
            rechecked: false,
        }
    }

    /// Everything is looked at anew. Jobs that failed are for the caller to forget.
    pub(super) fn recover(&mut self, shared: &mut Shared) {
        self.suspects.clear();
        (self.reported, self.rechecked, self.retry_at) = (false, true, None);
        if self.error.take().is_some() {
            shared.events.push_back(Event::StorageRecovered { torrent: self.torrent });
        }
        if !std::mem::replace(&mut self.recovering, true) {
            shared.disk(self.torrent, DiskWork::Recover);
        }
    }

    /// The store has found these.
    pub(super) fn recovered(&mut self, suspects: Bitfield) {
        self.recovering = false;
        self.suspects = suspects.iter().collect();
        self.unchecked = suspects;
    }

    /// Whether what is checked may have been committed before.
    pub(super) fn was_rechecked(&self) -> bool {
        self.rechecked
    }

    /// Whether the store can take pieces.
    pub(super) fn is_ready(&self) -> bool {
        self.error.is_none() && !self.placing
    }

    /// Whether the piece waits to be checked or is being checked.
    pub(super) fn is_suspect(&self, piece: PieceIndex) -> bool {
        self.unchecked.contains(piece)
    }

    /// These files are not wanted. Until the store knows, nothing is asked for.
    pub(super) fn skip_files(&mut self, shared: &mut Shared, files: &[u32]) {
        // One after the other, since jobs may overtake one another. What has changed meanwhile is seen at the end.
        if !std::mem::replace(&mut self.placing, true) {
            shared.disk(self.torrent, DiskWork::SkipFiles { files: files.to_vec() });
        }
    }

    /// The store knows that `done` are not wanted; `wanted` are not wanted by now.
    pub(super) fn files_skipped(&mut self, shared: &mut Shared, done: &[u32], wanted: &[u32]) {
        self.placing = false;
        if done != wanted {
            self.skip_files(shared, wanted);
        }
    }

    pub(super) fn is_checking(&self) -> bool {
        self.recovering || self.checking > 0 || !self.suspects.is_empty()
    }

    pub(super) fn error(&self) -> Option<DiskError> {
        self.error
    }

    /// Keeps as many checks running as the configuration allows.
    pub(super) fn check_more(&mut self, shared: &mut Shared, info: &Info) {
        while self.checking < shared.config.check_depth.max(1)
            && let Some(piece) = self.suspects.pop_front()
        {
            if let Some(expected) = info.piece_hash(piece) {
                self.checking = self.checking.saturating_add(1);
                shared.disk(self.torrent, DiskWork::Check { piece, expected, digests: false });
            }
        }
    }

    /// A check of a suspect has ended.
    pub(super) fn checked(&mut self, piece: PieceIndex) {
        self.unchecked.remove(piece);
        self.checking = self.checking.saturating_sub(1);
    }

    /// Whether the checks have just ended; true once.
    pub(super) fn reports_checked(&mut self) -> bool {
        !self.is_checking() && !std::mem::replace(&mut self.reported, true)
    }

    /// So many bytes were committed that are not durable yet.
    pub(super) fn committed(&mut self, now: Instant, shared: &Shared, bytes: u64, within: Duration) {
        self.unsynced = self.unsynced.saturating_add(bytes);
        let within = if self.owes(shared.config.sync_bytes) { Duration::ZERO } else { within };
        let due = now.checked_add(within).unwrap_or(now);
        self.sync_due = Some(self.sync_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Whether so many bytes are committed and not durable.
    pub(super) fn owes(&self, bytes: u64) -> bool {
        self.unsynced >= bytes
    }

    /// The store could not do a job.
    pub(super) fn fail(&mut self, now: Instant, shared: &mut Shared, work: DiskWork, error: DiskError) {
        self.failed.push(work);
        if self.error != Some(error) {
            shared.events.push_back(Event::StorageFailed { torrent: self.torrent, error });
        }
        if self.error.is_none() {
            self.wait = shared.config.disk_retry;
        } else if self.retry_at.is_none() {
            self.wait = self.wait.saturating_mul(2).min(LAST_RETRY);
        }
        self.error = Some(error);
        if self.retry_at.is_none() {
            self.retry_at = now.checked_add(self.wait);
        }
    }

    /// The store has done a job.
    pub(super) fn succeed(&mut self, shared: &mut Shared) {
        if self.error.take().is_some() {
            self.retry_at = None;
            shared.events.push_back(Event::StorageRecovered { torrent: self.torrent });
            self.retry(shared);
        }
    }

    pub(super) fn synced(&mut self, shared: &mut Shared) {
        self.syncing = false;
        shared.events.push_back(Event::Synced { torrent: self.torrent });
    }

    /// The jobs that failed, for whoever gives up on them.
    pub(super) fn take_failed(&mut self) -> Vec<DiskWork> {
        std::mem::take(&mut self.failed)
    }

    fn retry(&mut self, shared: &mut Shared) {
        for work in self.failed.drain(..) {
            shared.disk(self.torrent, work);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.retry(shared);
        }
        if !self.syncing && self.error.is_none() && self.sync_due.is_some_and(|due| due <= now) {
            (self.sync_due, self.unsynced) = (None, 0);
            self.syncing = true;
            shared.disk(self.torrent, DiskWork::Sync);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sync = self.sync_due.filter(|_| !self.syncing && self.error.is_none());
        [self.retry_at, sync].into_iter().flatten().min()
    }
}
