//! How the files of a torrent come from another place, or from another store.
//!
//! A note beside the state says that a move has begun, and whether the torrent was known here before. While it says that it was not, all that
//! lies at the torrent's places is what the move has brought, and may be replaced or removed again.

use super::handles;
use super::manage::gone;
use super::names;
use super::state;
use super::{Access, FileTorrent, State};
use crate::error::{StorageError, StorageErrorKind};
use crate::store::TorrentStorage;
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

/// The notes: nothing was here before, or something was.
const NEW: &[u8] = b"new";
const KNOWN: &[u8] = b"known";

/// What there was at the place that a torrent is to be moved to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ground {
    /// Nothing but what an earlier move has left.
    New,
    /// The torrent is known there.
    Known,
    /// It is the place that the torrent is to be moved from.
    Same,
}

/// Files that a move gets, told as they come: bytes.
type Progress<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// The store of files that a store is, or stands in front of.
pub(crate) fn of(store: &dyn TorrentStorage) -> Option<&FileTorrent> {
    store.as_any()?.downcast_ref()
}

impl FileTorrent {
    /// A move to here begins, as a rule from another store of files.
    ///
    /// # Errors
    /// [`Occupied`](StorageErrorKind::Occupied) if somebody else's file is in the way; nothing is changed then.
    pub(crate) fn begin_move(&self, source: Option<&Self>) -> Result<Ground, StorageError> {
        self.check_writable()?;
        self.lock()?;
        let fault = || self.fault(Path::new(state::FOLDER));
        let (note, is_known) = {
            let state = self.state();
            (state.files.read_move().map_err(fault())?, state.files.exists())
        };
        let was_new = note.as_deref() == Some(NEW);
        let is_new = was_new || !is_known;
        if let Some(source) = source.filter(|source| source.access != Access::ReadOnly) {
            // The torrent has settled there, whatever became of a move to there.
            source.end_move()?;
        }
        if is_new && !was_new {
            self.check_free(source)?;
        }
        let noted = self.state().files.note_move(if is_new { NEW } else { KNOWN }).map_err(fault());
        // One folder may have several names. A note that is seen from both sides tells.
        let seen = noted.and_then(|()| match source {
            Some(source) => source.state().files.read_move().map_err(source.fault(Path::new(state::FOLDER))),
            None => Ok(None),
        });
        match seen {
            Ok(None) => Ok(if is_new { Ground::New } else { Ground::Known }),
            Ok(Some(_)) => self.end_move().map(|()| Ground::Same),
            Err(error) => {
                if !was_new {
                    let _ = self.end_move();
                }
                Err(error)
            }
        }
    }

    /// The move has ended.
    pub(crate) fn end_move(&self) -> Result<(), StorageError> {
        self.state().files.end_move().map_err(self.fault(Path::new(state::FOLDER)))
    }

    /// Fails if there is anything where files of the torrent will be.
    fn check_free(&self, source: Option<&Self>) -> Result<(), StorageError> {
        for number in 0..self.part() {
            if self.entry(number)?.is_padding() {
                continue;
            }
            let path = source.unwrap_or(self).at(number, names::owned)?;
            match self.fs.metadata(&names::as_str(&path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                _ => return Err(StorageError::new(StorageErrorKind::Occupied).at(path.iter().collect::<PathBuf>())),
            }
        }
        Ok(())
    }

    /// The files that nobody wants, as a store is told.
    pub(crate) fn skipped(&self) -> Vec<u32> {
        self.state().places.skipped.iter().filter_map(|file| u32::try_from(*file).ok()).collect()
    }

    /// Files have the names here that they have at another place. Nothing of the torrent is here yet.
    pub(crate) fn take_names(&self, source: &Self) -> Result<(), StorageError> {
        let mut taken = source.names().clone();
        taken.values_mut().for_each(|name| name.was.clear());
        let mut state = self.state();
        if *self.names() == taken {
            return Ok(());
        }
        *self.names() = taken;
        let parted = BTreeSet::clone(&state.places.parted);
        self.save(&mut state, &parted)
    }

    /// Gives the files of another place names here, which takes no room and next to no time, and then the state that they are in. False if
    /// that cannot be done; then nothing is here. Both are to have been [recovered](TorrentStorage::recover), and names been taken.
    pub(crate) fn link_all(&self, source: &Self, progress: Progress<'_>) -> Result<bool, StorageError> {
        // What is not to be changed is not to be shared with what is. And what a failed sync has left may be nowhere but in memory.
        if source.access == Access::ReadOnly || source.state().doubtful {
            return Ok(false);
        }
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = self.placing.write().unwrap_or_else(PoisonError::into_inner);
        let _theirs = source.placing.write().unwrap_or_else(PoisonError::into_inner);
        handles::lock(&self.open).clear();
        let mut folders: BTreeSet<Vec<String>> = BTreeSet::new();
        for number in 0..=self.part() {
            let is_padding = self.entry(number).is_ok_and(|entry| entry.is_padding());
            let path = self.at(number, names::owned)?;
            let to = names::as_str(&path);
            if is_padding {
                continue;
            }
            // An earlier move may have come so far.
            gone(self.fs.remove(&to)).map_err(self.fault_at(number))?;
            let Some(stamp) = source.stamp(number) else { continue };
            match source.at(number, |from| self.fs.link(source.fs.as_ref(), from, &to))? {
                Ok(()) => {}
                Err(error) if is_refused(error.kind()) => {
                    for earlier in 0..number {
                        gone(self.at(earlier, |path| self.fs.remove(path))?).map_err(self.fault_at(earlier))?;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(self.fault_at(number)(error)),
            }
            let mut folder = path;
            while folder.pop().is_some() && folders.insert(folder.clone()) {}
            let length = self.entry(number).map_or(0, |entry| entry.length().min(stamp.length));
            if progress(length).is_break() {
                return Err(StorageError::new(StorageErrorKind::Cancelled));
            }
        }
        for folder in folders {
            self.fs.sync_folder(&names::as_str(&folder)).map_err(self.fault(&folder.iter().collect::<PathBuf>()))?;
        }
        let theirs = source.state();
        let mut ours = self.state();
        let mut since = theirs.suspects.clone();
        theirs.committed.iter().filter(|piece| !theirs.durable.contains(*piece)).for_each(|piece| {
            since.insert(piece);
        });
        let names = self.names().clone();
        let State { durable, stamps, places, .. } = &*theirs;
        let known = state::Known { pieces: durable, since: &since, stamps, parted: &places.parted, names: &names };
        ours.files.save(&known).map_err(self.fault(Path::new(state::FOLDER)))?;
        Ok(true)
    }
}

/// Whether a link cannot be had there, but maybe a copy.
fn is_refused(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(kind, CrossesDevices | Unsupported | PermissionDenied | TooManyLinks)
}
