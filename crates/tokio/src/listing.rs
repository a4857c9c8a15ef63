//! What the list of a client says of its torrents.

use crate::engine::{Core, Engine};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use unchoke_core::InfoHashes;
use unchoke_storage::{FilesPriority, ListError, ListedTorrent};
use unchoke_swarm::{FilePriorities, Priority};

impl Engine {
    /// Brings the list up to date with a torrent: what is known of it, or that it is gone. Durable when it returns.
    pub(crate) async fn write_down(self: &Arc<Self>, torrent: InfoHashes) -> Result<(), ListError> {
        if self.list.is_none() {
            return Ok(());
        }
        let engine = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || engine.write_down_now(torrent));
        written
            .await
            .unwrap_or_else(|error| Err(ListError::Io { path: PathBuf::new(), source: io::Error::other(error) }))
    }

    /// The same, on a thread that may block.
    pub(crate) fn write_down_now(&self, torrent: InfoHashes) -> Result<(), ListError> {
        let Some(list) = &self.list else { return Ok(()) };
        // What was looked at first must not be written last.
        let _one_at_a_time = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.read(|core| listed(core, torrent)) {
            Some(listed) => list.put(&listed),
            None => list.remove(&torrent),
        }
    }

    /// Takes a torrent off the list although it is here. It comes back with the next change.
    pub(crate) async fn strike_out(self: &Arc<Self>, torrent: InfoHashes) -> Result<(), ListError> {
        if self.list.is_none() {
            return Ok(());
        }
        let engine = Arc::clone(self);
        let struck = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = engine.listing.lock().unwrap_or_else(PoisonError::into_inner);
            engine.list.as_ref().map_or(Ok(()), |list| list.remove(&torrent))
        });
        struck
            .await
            .unwrap_or_else(|error| Err(ListError::Io { path: PathBuf::new(), source: io::Error::other(error) }))
    }
}

/// What there is to be said of a torrent; `None` if it is not here.
fn listed(core: &Core, torrent: InfoHashes) -> Option<ListedTorrent> {
    let key = core.session.find(torrent.wire())?;
    let tasks = core.torrents.get(&key)?;
    let mut listed = ListedTorrent::new(torrent);
    listed.info.clone_from(&tasks.info);
    listed.trackers.clone_from(&tasks.tiers);
    listed.folder = tasks.storage.folder();
    listed.file_priorities = core.session.file_priorities(key).map(write_priorities).unwrap_or_default();
    (listed.download_limit, listed.upload_limit) = tasks.limits;
    Some(listed)
}

fn write_priorities(files: &FilePriorities) -> Vec<FilesPriority> {
    let number = |priority| match priority {
        Priority::Skip => 0,
        Priority::Low => 1,
        Priority::High => 3,
        _ => 2,
    };
    let rule = |(files, priority): (std::ops::RangeInclusive<u32>, Priority)| FilesPriority {
        first: *files.start(),
        last: *files.end(),
        priority: number(priority),
    };
    files.rules().map(rule).collect()
}

/// The priorities that a list has.
pub(crate) fn read_priorities(listed: &[FilesPriority]) -> FilePriorities {
    let priority = |number| match number {
        0 => Priority::Skip,
        1 => Priority::Low,
        2 => Priority::Normal,
        _ => Priority::High,
    };
    let rules = listed.iter().map(|it| (it.first..=it.last, priority(it.priority)));
    rules.fold(FilePriorities::default(), |made, (files, priority)| made.with(files, priority))
}
