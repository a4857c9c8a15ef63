//! What an owner does to the files of a torrent: renaming and deleting.

use super::handles;
use super::names::{self, Name, as_str, owned};
use super::{Access, FileTorrent, state};
use crate::error::{StorageError, StorageErrorKind};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

impl FileTorrent {
    /// Gives a file another name. Resume data names both until that is done, so that a kill in the middle leaves no doubt.
    pub(super) fn rename(&self, number: usize, path: &[&str]) -> Result<(), StorageError> {
        self.check_writable()?;
        self.lock()?;
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = self.placing.write().unwrap_or_else(PoisonError::into_inner);
        let new = names::check(path, state::FOLDER)?;
        if self.entry(number)?.is_padding() {
            return Err(StorageError::new(StorageErrorKind::Missing));
        }
        let was = self.at(number, owned)?;
        if was == new {
            return Ok(());
        }
        let is_same = |other: &Vec<String>| {
            other.len() == new.len() && other.iter().zip(&new).all(|(one, two)| one.eq_ignore_ascii_case(two))
        };
        let others = (0..self.part()).filter(|other| *other != number);
        if self.fs.metadata(path).is_ok()
            || others.into_iter().any(|other| self.at(other, owned).is_ok_and(|it| is_same(&it)))
        {
            return Err(StorageError::new(StorageErrorKind::Occupied).at(path.iter().collect::<PathBuf>()));
        }
        let is_there = self.stamp(number).is_some();
        let before =
            self.names().insert(number, Name { path: new.clone(), was: if is_there { was } else { Vec::new() } });
        let moved = self.save_names().and_then(|()| self.finish_rename(number));
        if moved.is_err() {
            // As far as is known the file is where it was.
            let mut names = self.names();
            match before {
                Some(before) => drop(names.insert(number, before)),
                None => drop(names.remove(&number)),
            }
            drop(names);
            let _ = self.save_names();
            return moved;
        }
        handles::lock(&self.open).remove(number);
        let named = {
            let mut state = self.state();
            state.named.remove(&number);
            state.unnamed.insert(number);
            drop(state);
            self.name_files()
        };
        // Until it is known to last, the old name stays in resume data.
        if named.is_ok() {
            self.settle_name(number)?;
            let _ = self.save_names();
        }
        Ok(())
    }

    /// The old name needs to be remembered no longer, and the new one only if it is another than the torrent's.
    fn settle_name(&self, number: usize) -> Result<(), StorageError> {
        let original: Vec<String> = self.entry(number)?.components().map(str::to_owned).collect();
        let mut names = self.names();
        if let Some(name) = names.get_mut(&number) {
            name.was.clear();
            if name.path == original {
                names.remove(&number);
            }
        }
        Ok(())
    }

    /// Moves a file from its old name to its new one, if it is still there.
    pub(super) fn finish_rename(&self, number: usize) -> Result<(), StorageError> {
        let Some(Name { path, was }) = self.names().get(&number).cloned() else { return Ok(()) };
        let (from, to): (Vec<&str>, Vec<&str>) = (as_str(&was), as_str(&path));
        if was.is_empty() || self.fs.metadata(&to).is_ok() || self.fs.metadata(&from).is_err() {
            return Ok(());
        }
        // The folders must last before the file is in them, or it would be lost with them.
        let parents = to.get(..to.len().saturating_sub(1)).unwrap_or_default();
        self.fs.make_folder(parents).map_err(self.fault_at(number))?;
        for length in 0..=parents.len() {
            self.fs.sync_folder(parents.get(..length).unwrap_or_default()).map_err(self.fault_at(number))?;
        }
        self.fs.rename(&from, &to).map_err(self.fault_at(number))?;
        let mut folder = from;
        // Folders that are not empty stay.
        while folder.pop().is_some() && !folder.is_empty() && self.fs.remove(&folder).is_ok() {}
        Ok(())
    }

    fn save_names(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        let parted = state.places.parted.clone();
        self.save(&mut state, &parted)
    }

    /// Removes the files of the torrent, what is known of them, and the folders that are empty then.
    pub(super) fn remove_all(&self) -> Result<(), StorageError> {
        self.check_writable()?;
        self.lock()?;
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = self.placing.write().unwrap_or_else(PoisonError::into_inner);
        handles::lock(&self.open).clear();
        let mut folders: BTreeSet<Vec<String>> = BTreeSet::new();
        for number in 0..self.part() {
            if self.entry(number)?.is_padding() {
                continue;
            }
            let path = self.at(number, owned)?;
            gone(self.fs.remove(&as_str(&path))).map_err(self.fault_at(number))?;
            let mut folder = path;
            while folder.pop().is_some() && !folder.is_empty() && folders.insert(folder.clone()) {}
        }
        let part = self.part();
        gone(self.at(part, |path| self.fs.remove(path))?).map_err(self.fault_at(part))?;
        for folder in folders.iter().rev() {
            // What somebody else has put there stays.
            let _ = self.fs.remove(&as_str(folder));
        }
        // Files that come back after a crash must come back with what tells whose they are.
        for folder in folders.iter().chain([&Vec::new()]) {
            gone(self.fs.sync_folder(&as_str(folder))).map_err(self.fault(&folder.iter().collect::<PathBuf>()))?;
        }
        self.state().files.remove().map_err(self.fault(Path::new(state::FOLDER)))
    }

    pub(super) fn check_writable(&self) -> Result<(), StorageError> {
        if self.access == Access::ReadOnly {
            return Err(StorageError::io(&self.root, io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        Ok(())
    }
}

/// What was not there is gone, too.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
