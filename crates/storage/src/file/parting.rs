//! How bytes come into the part file, and out of it again.

use super::handles;
use super::places::{self, Target};
use super::state::Known;
use super::{FileTorrent, State, state};
use crate::error::StorageError;
use crate::fs::{FileStamp, OpenMode};
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use unchoke_core::PieceIndex;

impl FileTorrent {
    /// Where bytes of a piece are to be written. What belongs to a file that nobody wants, and that is not there, goes to the part file.
    pub(super) fn place(&self, piece: PieceIndex, start: u64, length: u64) -> Result<Vec<Target>, StorageError> {
        let mut state = self.state();
        let State { files: journal, places, .. } = &mut *state;
        if !places.skipped.is_empty() {
            for span in self.info.layout().spans(start, length) {
                let is_padding = self.entry(span.file)?.is_padding();
                let is_settled = places.parted.contains(&span.file) || places.kept.contains(&span.file);
                if is_padding || is_settled || !places.skipped.contains(&span.file) {
                    continue;
                }
                if self.stamp(span.file).is_some() {
                    places.kept.insert(span.file);
                } else {
                    // After a kill the bytes would be looked for in the wrong place.
                    journal.part(span.file).map_err(self.fault(Path::new(state::FOLDER)))?;
                    Arc::make_mut(&mut places.parted).insert(span.file);
                    places.is_left = false;
                }
            }
        }
        let targets: Vec<Target> = places::targets(self.info.layout(), &places.parted, start, length).collect();
        if targets.iter().any(|target| target.place == Some(self.part())) {
            places.begun.insert(piece);
        }
        Ok(targets)
    }

    /// Takes files out of the part file and puts them where they belong. Nothing is read or written meanwhile.
    pub(super) fn place_files(&self, files: &BTreeSet<usize>) -> Result<(), StorageError> {
        let (parted, pieces) = {
            let state = self.state();
            let held = |piece: &PieceIndex| {
                state.committed.contains(*piece)
                    || state.suspects.contains(*piece)
                    || state.places.begun.contains(piece)
            };
            let pieces: Vec<PieceIndex> = self.info.geometry().pieces().filter(held).collect();
            (Arc::clone(&state.places.parted), pieces)
        };
        let mut buf = vec![0; self.info.geometry().piece_length() as usize];
        let part = self.part();
        for piece in pieces {
            let geometry = self.info.geometry();
            let (Some(start), Some(length)) = (geometry.piece_offset(piece), geometry.piece_len(piece)) else {
                continue;
            };
            for target in places::targets(self.info.layout(), &parted, start, length.into()) {
                let entry = self.entry(target.file)?;
                let bytes = buf.get_mut(..usize::try_from(target.len).unwrap_or(usize::MAX)).unwrap_or_default();
                if target.place != Some(part) || !files.contains(&target.file) {
                    continue;
                }
                match self.file(part, OpenMode::Read)?.read_at(target.offset, bytes) {
                    Ok(()) => {}
                    // Of a piece that is not committed there may be less.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                    Err(error) => return Err(self.fault_at(part)(error)),
                }
                let file = self.file(target.file, OpenMode::Write)?;
                let offset = target.offset.saturating_sub(entry.offset());
                file.write_at(offset, &mut [IoSlice::new(bytes)]).map_err(self.fault_at(target.file))?;
            }
        }
        let is_open = |file: &usize| handles::lock(&self.open).get_mut(*file).is_some();
        for file in files.iter().filter(|file| is_open(file)) {
            self.file(*file, OpenMode::Write)?.sync().map_err(self.fault_at(*file))?;
        }
        self.name_files()?;
        let taken: Vec<(usize, Option<FileStamp>)> = files.iter().map(|file| (*file, self.stamp(*file))).collect();
        let left: BTreeSet<usize> = parted.difference(files).copied().collect();
        let is_empty = left.is_empty();
        {
            let mut state = self.state();
            let State { stamps, dirty, .. } = &mut *state;
            stamps.settle(taken, dirty);
            self.save(&mut state, &left)?;
            state.places.parted = Arc::new(left);
        }
        if is_empty {
            handles::lock(&self.open).remove(part);
            let mut state = self.state();
            let State { dirty, named, unnamed, stamps, .. } = &mut *state;
            for set in [dirty, named, unnamed, &mut stamps.marked] {
                set.remove(&part);
            }
            state.places.is_left = true;
            self.drop_part_file(&mut state);
        }
        Ok(())
    }

    /// Removes the part file if nothing is in it. One that stays behind takes space and is taken for nothing else; it is tried again.
    pub(super) fn drop_part_file(&self, state: &mut State) {
        if state.places.is_left && state.places.parted.is_empty() {
            let removed = self.fs.remove(&[state::FOLDER, &state::part_name(&self.info.info_hashes())]);
            state.places.is_left = removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
        }
    }

    /// Writes down what is durable, and keeps in the journal what else may be there.
    pub(super) fn save(&self, state: &mut State, parted: &BTreeSet<usize>) -> Result<(), StorageError> {
        let mut since = state.suspects.clone();
        state.committed.iter().filter(|piece| !state.durable.contains(*piece)).for_each(|piece| {
            since.insert(piece);
        });
        let names = self.names().clone();
        let State { files, stamps, durable, .. } = state;
        let known = Known { pieces: durable, since: &since, stamps, parted, names: &names };
        files.save(&known).map_err(self.fault(Path::new(state::FOLDER)))
    }
}
