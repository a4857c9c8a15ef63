//! Open files: few for all torrents of the process together, however many there are.

use crate::fs::{FsFile, OpenMode};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

/// Files kept open over all torrents. Processes often may have no more than 1,024, sockets included.
pub(super) const MAX_OPEN: usize = 512;

/// The open files of all torrents, in the order in which they were opened.
static OPENED: Mutex<VecDeque<(Weak<Files>, usize)>> = Mutex::new(VecDeque::new());

#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) file: Arc<dyn FsFile>,
    pub(super) mode: OpenMode,
    /// How often it was read since it was last looked at.
    pub(super) reads: u32,
    /// It was used since it was last its turn to be closed.
    pub(super) used: bool,
}

/// The open files of one torrent.
pub(super) type Files = Mutex<Open>;

/// Open files by their numbers, in order. Most torrents have one or none.
#[derive(Default, Debug)]
pub(super) struct Open(Vec<(usize, Handle)>);

impl Open {
    fn find(&self, number: usize) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(it, _)| *it)
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Handle> {
        let at = self.find(number).ok()?;
        self.0.get_mut(at).map(|(_, handle)| handle)
    }

    pub(super) fn insert(&mut self, number: usize, handle: Handle) {
        match self.find(number) {
            Ok(at) => {
                if let Some((_, there)) = self.0.get_mut(at) {
                    *there = handle;
                }
            }
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (number, handle));
            }
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        if let Ok(at) = self.find(number) {
            self.0.remove(at);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn lock(files: &Files) -> MutexGuard<'_, Open> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The open file of this number.
pub(super) fn find(files: &Files, number: usize) -> Option<Arc<dyn FsFile>> {
    let mut files = lock(files);
    let handle = files.get_mut(number)?;
    handle.used = true;
    Some(Arc::clone(&handle.file))
}

/// A file was opened. Closes another one, of whatever torrent, if there are too many: the one that was opened first, but for those that were
/// used since it was last their turn. Files of torrents that are locked stay open: who waits for nobody can be waited for by anybody.
pub(super) fn opened(files: &Arc<Files>, number: usize) {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.push_back((Arc::downgrade(files), number));
    let mut chances = opened.len();
    while opened.len() > MAX_OPEN {
        let Some((of, number)) = opened.pop_front() else { return };
        let Some(files) = of.upgrade() else { continue };
        let has_chance = chances > 0;
        chances = chances.saturating_sub(1);
        let mut files = match files.try_lock() {
            Ok(files) => files,
            Err(TryLockError::Poisoned(files)) => files.into_inner(),
            Err(TryLockError::WouldBlock) => {
                opened.push_back((of, number));
                if has_chance {
                    continue;
                }
                return;
            }
        };
        let Some(handle) = files.get_mut(number) else { continue };
        if std::mem::replace(&mut handle.used, false) && has_chance {
            opened.push_back((of, number));
        } else {
            files.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::sim::SimFs;
    use crate::fs::{Fs as _, OpenMode};

    #[test]
    fn however_many_torrents_there_are_few_files_are_open_and_those_in_use_stay() {
        let fs = SimFs::new();
        let file = fs.open(&["a"], OpenMode::Write).unwrap();
        let torrents: Vec<Arc<Files>> = (0..5000).map(|_| Arc::default()).collect();
        let handle = || Handle { file: Arc::clone(&file), mode: OpenMode::Read, reads: 0, used: false };
        for torrent in &torrents {
            lock(torrent).insert(3, handle());
            opened(torrent, 3);
            if let Some(first) = lock(&torrents[0]).get_mut(3) {
                first.used = true;
            }
        }
        let open = torrents.iter().filter(|torrent| !lock(torrent).is_empty()).count();
        assert!((1..=MAX_OPEN).contains(&open), "{open}");
        assert!(!lock(&torrents[0]).is_empty(), "the one that is in use");
        let held: Vec<_> = torrents.iter().map(|torrent| lock(torrent)).collect();
        let another = Arc::default();
        opened(&another, 3);
        drop(held);
    }
}
