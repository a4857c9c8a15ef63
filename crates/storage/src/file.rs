//! Pieces in files.

mod stamps;
mod state;

use crate::error::{StorageError, StorageErrorKind};
use crate::fs::os::OsFs;
use crate::fs::{FileStamp, Fs, FsFile, OpenMode};
use crate::store::{Recovered, Storage, TorrentStorage, check_write};
use stamps::Stamps;
use state::StateFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::{Bitfield, Block, PieceIndex};
use unchoke_metainfo::{FileEntry, Info};

/// Files kept open per torrent.
const MAX_OPEN: usize = 128;

/// Keeps torrents as files below one folder, under their own names, with their state in `.unchoke/`.
#[derive(Clone, Debug)]
pub struct FileStorage {
    /// What stands before paths in errors.
    root: PathBuf,
    fs: Arc<dyn Fs>,
    access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    ReadWrite,
    ReadOnly,
}

impl FileStorage {
    /// A store in this folder, which is made when it is first written to.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { fs: Arc::new(OsFs::new(&root)), root, access: Access::ReadWrite }
    }

    /// A store in a file system of another kind.
    #[must_use]
    pub fn on(fs: impl Fs + 'static) -> Self {
        Self { root: PathBuf::new(), fs: Arc::new(fs), access: Access::ReadWrite }
    }

    /// A store in this folder that writes nothing, not even its state: everything is hashed at each start.
    #[must_use]
    pub fn read_only(root: impl Into<PathBuf>) -> Self {
        Self { access: Access::ReadOnly, ..Self::new(root) }
    }
}

impl Storage for FileStorage {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        // A torrent of that name could forge the state of others.
        if info.layout().root_name().eq_ignore_ascii_case(state::FOLDER) {
            return Err(StorageError::new(StorageErrorKind::Escapes));
        }
        let pieces = info.geometry().piece_count();
        Ok(Arc::new(FileTorrent {
            root: self.root.clone(),
            fs: Arc::clone(&self.fs),
            access: self.access,
            open: Mutex::new(BTreeMap::new()),
            state: Mutex::new(State {
                files: StateFiles::new(Arc::clone(&self.fs), &info.info_hashes(), pieces, info.layout().files().len()),
                stamps: Stamps::new(info.layout().files().len()),
                committed: Bitfield::new(pieces),
                dirty: BTreeSet::new(),
                suspects: Bitfield::new(pieces),
                durable: Bitfield::new(pieces),
                doubtful: false,
                unnamed: BTreeSet::new(),
                named: BTreeSet::new(),
            }),
            syncing: Mutex::new(()),
            info: Arc::clone(info),
        }))
    }
}

#[derive(Debug)]
struct FileTorrent {
    root: PathBuf,
    fs: Arc<dyn Fs>,
    info: Arc<Info>,
    access: Access,
    open: Mutex<BTreeMap<usize, Handle>>,
    state: Mutex<State>,
    /// Held during a sync, so that an older one never replaces the resume data of a newer one.
    syncing: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Handle {
    file: Arc<dyn FsFile>,
    mode: OpenMode,
}

#[derive(Debug)]
struct State {
    files: StateFiles,
    stamps: Stamps,
    committed: Bitfield,
    /// Files written to since the last sync.
    dirty: BTreeSet<usize>,
    /// Pieces that an earlier run may have left and that have not been hashed since.
    suspects: Bitfield,
    /// Committed pieces that resume data names.
    durable: Bitfield,
    /// A sync has failed: what is committed and not durable must be written anew before the next.
    doubtful: bool,
    /// Files that were opened for writing and whose names may not be durable.
    unnamed: BTreeSet<usize>,
    /// Those whose names are.
    named: BTreeSet<usize>,
}

impl FileTorrent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, number: usize) -> Result<FileEntry<'_>, StorageError> {
        self.info.layout().files().get(number).ok_or_else(|| StorageError::new(StorageErrorKind::Missing))
    }

    fn fault(&self, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        let path = self.root.join(path);
        move |error| StorageError::io(&path, error)
    }

    /// The open file, opened if it is not yet.
    fn file(&self, number: usize, mode: OpenMode) -> Result<Arc<dyn FsFile>, StorageError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = open.get(&number).filter(|handle| mode == OpenMode::Read || handle.mode != OpenMode::Read)
        {
            return Ok(Arc::clone(&handle.file));
        }
        let entry = self.entry(number)?;
        let path: Vec<&str> = entry.components().collect();
        let file = self.fs.open(&path, mode).map_err(self.fault(&entry.to_path_buf()))?;
        if mode != OpenMode::Read {
            let mut state = self.state();
            if !state.named.contains(&number) {
                state.unnamed.insert(number);
            }
        }
        if mode != OpenMode::Read && file.metadata().is_ok_and(|metadata| metadata.length != entry.length()) {
            file.set_len(entry.length()).map_err(self.fault(&entry.to_path_buf()))?;
        }
        if open.len() >= MAX_OPEN {
            open.pop_first();
        }
        open.insert(number, Handle { file: Arc::clone(&file), mode });
        Ok(file)
    }

    /// Whether every byte of the piece lies within a file that is there.
    fn is_covered(&self, lengths: &[Option<u64>], piece: PieceIndex) -> bool {
        let geometry = self.info.geometry();
        let (Some(offset), Some(length)) = (geometry.piece_offset(piece), geometry.piece_len(piece)) else {
            return false;
        };
        self.info.layout().spans(offset, length.into()).all(|span| {
            let padding = self.entry(span.file).is_ok_and(|entry| entry.is_padding());
            let there = lengths.get(span.file).copied().flatten();
            padding || there.is_some_and(|there| span.offset.saturating_add(span.len) <= there)
        })
    }

    /// Makes the files that have no bytes, which no piece ever touches, and cuts off what lies behind the end of others.
    fn finish_files(&self) -> Result<(), StorageError> {
        for (number, entry) in self.info.layout().files().iter().enumerate() {
            let is_too_long = || self.stamp(number).is_some_and(|stamp| stamp.length > entry.length());
            if !entry.is_padding() && (entry.length() == 0 || is_too_long()) {
                self.file(number, OpenMode::Write)?;
            }
        }
        Ok(())
    }

    fn stamp(&self, number: usize) -> Option<FileStamp> {
        let entry = self.entry(number).ok()?;
        let path: Vec<&str> = entry.components().collect();
        self.fs.metadata(&path).ok()
    }

    /// Whether every byte of the piece lies within a file that is as we left it.
    fn is_trusted(&self, trusted: &[bool], piece: PieceIndex) -> bool {
        let geometry = self.info.geometry();
        let (Some(offset), Some(length)) = (geometry.piece_offset(piece), geometry.piece_len(piece)) else {
            return false;
        };
        let mut spans = self.info.layout().spans(offset, length.into());
        spans.all(|span| trusted.get(span.file).copied().unwrap_or(false))
    }

    /// Makes the names of files durable that were made, with the folders on the way to them.
    fn name_files(&self) -> Result<(), StorageError> {
        let unnamed = self.state().unnamed.clone();
        let mut folders: BTreeSet<Vec<&str>> = BTreeSet::new();
        for number in &unnamed {
            let mut path: Vec<&str> = self.entry(*number)?.components().collect();
            while path.pop().is_some() && folders.insert(path.clone()) {}
        }
        for folder in folders {
            self.fs.sync_folder(&folder).map_err(self.fault(&folder.iter().collect::<PathBuf>()))?;
        }
        let mut state = self.state();
        state.unnamed.retain(|number| !unnamed.contains(number));
        state.named.extend(unnamed);
        Ok(())
    }

    /// Writes pieces anew from what is read back of them. After a failed sync the system may hold pages for clean that never reached the disk,
    /// and the next sync would pass over them. A piece that no longer reads back right is not committed any more.
    fn rewrite(&self, pieces: impl Iterator<Item = PieceIndex>) -> Result<(), StorageError> {
        for piece in pieces {
            let Some(length) = self.info.geometry().piece_len(piece) else { continue };
            let mut bytes = vec![0; length as usize];
            self.read(Block { piece, offset: 0, length }, &mut bytes)?;
            if self.info.piece_hash(piece).is_some_and(|expected| expected.matches(&bytes)) {
                self.put(piece, 0, &[IoSlice::new(&bytes)])?;
            } else {
                self.state().committed.remove(piece);
            }
        }
        Ok(())
    }

    /// Writes into a piece, whatever is known of it.
    fn put(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let total: usize = data.iter().map(|slice| slice.len()).sum();
        let start = self.info.geometry().piece_offset(piece).unwrap_or(0).saturating_add(offset.into());
        let length = u64::try_from(total).unwrap_or(u64::MAX);
        let is_real = |file: &usize| self.entry(*file).is_ok_and(|entry| !entry.is_padding());
        let spans = self.info.layout().spans(start, length);
        let files: Vec<usize> = spans.map(|span| span.file).filter(is_real).collect();
        {
            let mut state = self.state();
            let State { files: journal, stamps, .. } = &mut *state;
            for file in &files {
                if stamps.begin(*file) {
                    // Without the mark the file would be hashed again after a kill, which costs time and nothing else.
                    let _ = journal.mark(*file);
                }
            }
        }
        let written = self.write_spans(start, length, data);
        let mut state = self.state();
        files.iter().for_each(|file| state.stamps.end(*file));
        state.dirty.extend(files);
        written
    }

    fn write_spans(&self, start: u64, length: u64, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let mut slices: &[IoSlice<'_>] = data;
        let mut skip = 0;
        for span in self.info.layout().spans(start, length) {
            let mut part = Vec::new();
            let mut wanted = usize::try_from(span.len).unwrap_or(usize::MAX);
            while let Some((first, others)) = slices.split_first().filter(|_| wanted > 0) {
                let left = first.get(skip..).unwrap_or_default();
                let taken = left.len().min(wanted);
                part.push(IoSlice::new(left.get(..taken).unwrap_or_default()));
                wanted = wanted.saturating_sub(taken);
                if taken == left.len() {
                    (slices, skip) = (others, 0);
                } else {
                    skip = skip.saturating_add(taken);
                }
            }
            let entry = self.entry(span.file)?;
            if !entry.is_padding() {
                let file = self.file(span.file, OpenMode::Write)?;
                file.write_at(span.offset, &mut part).map_err(self.fault(&entry.to_path_buf()))?;
            }
        }
        Ok(())
    }
}

impl TorrentStorage for FileTorrent {
    fn recover(&self) -> Result<Recovered, StorageError> {
        let stamps: Vec<Option<FileStamp>> =
            (0..self.info.layout().files().len()).map(|file| self.stamp(file)).collect();
        let lengths: Vec<Option<u64>> = stamps.iter().map(|stamp| stamp.map(|stamp| stamp.length)).collect();
        let mut state = self.state();
        let saved = match self.access {
            Access::ReadWrite => state.files.load().map_err(self.fault(Path::new(state::FOLDER)))?,
            Access::ReadOnly => None,
        };
        let covered = |piece: &PieceIndex| self.is_covered(&lengths, *piece);
        let mut recovered = Recovered::default();
        match saved {
            Some(saved) => {
                let is_padding = |file: usize| self.entry(file).is_ok_and(|entry| entry.is_padding());
                let as_left = |file: usize| stamps.get(file).is_some_and(|stamp| saved.stamps.get(file) == Some(stamp));
                let trusted: Vec<bool> = (0..stamps.len())
                    .map(|file| saved.marked.contains(&file) || is_padding(file) || as_left(file))
                    .collect();
                let vouched = |piece: PieceIndex| saved.durable.contains(piece) && self.is_trusted(&trusted, piece);
                recovered.verified = saved.durable.iter().filter(|piece| vouched(*piece)).filter(covered).collect();
                let suspected = |piece: &PieceIndex| {
                    (saved.journal.contains(*piece) || saved.durable.contains(*piece)) && !vouched(*piece)
                };
                recovered.suspects = self.info.geometry().pieces().filter(suspected).filter(covered).collect();
                // What was being written to has another stamp by now, and what is not trusted gets one when it has been hashed.
                state.stamps.known = saved.stamps;
                for (file, known) in state.stamps.known.iter_mut().enumerate() {
                    if saved.marked.contains(&file) || !trusted.get(file).copied().unwrap_or(false) {
                        *known = None;
                    }
                }
                state.stamps.marked = saved.marked;
                // A file that is gone will be made anew, full of holes. Nothing may vouch for them after another kill.
                if recovered.verified.len() != saved.durable.count() as usize {
                    let only = |pieces: &[PieceIndex]| {
                        let mut field = Bitfield::new(saved.durable.len());
                        pieces.iter().for_each(|piece| {
                            field.insert(*piece);
                        });
                        field
                    };
                    let (durable, journal) = (only(&recovered.verified), only(&recovered.suspects));
                    let State { files, stamps, .. } = &mut *state;
                    files.save(&durable, &journal, stamps).map_err(self.fault(Path::new(state::FOLDER)))?;
                }
            }
            None => recovered.suspects = self.info.geometry().pieces().filter(covered).collect(),
        }
        for piece in &recovered.verified {
            state.committed.insert(*piece);
            state.durable.insert(*piece);
        }
        for piece in &recovered.suspects {
            state.suspects.insert(*piece);
        }
        Ok(recovered)
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        let offset = self.info.geometry().block_offset(block).filter(|_| buf.len() == block.length as usize);
        let offset = offset.ok_or_else(|| StorageError::new(StorageErrorKind::OutOfRange(block)))?;
        let mut rest = buf;
        for span in self.info.layout().spans(offset, block.length.into()) {
            let length = usize::try_from(span.len).unwrap_or(usize::MAX).min(rest.len());
            let (part, next) = std::mem::take(&mut rest).split_at_mut(length);
            rest = next;
            let entry = self.entry(span.file)?;
            if entry.is_padding() {
                part.fill(0);
                continue;
            }
            let file = self.file(span.file, OpenMode::Read)?;
            file.read_at(span.offset, part).map_err(self.fault(&entry.to_path_buf()))?;
        }
        Ok(())
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        check_write(self.info.geometry(), piece, offset, data)?;
        if self.access == Access::ReadOnly {
            let refused = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
            return Err(StorageError::io(&self.root, refused));
        }
        if self.state().committed.contains(piece) {
            return Err(StorageError::new(StorageErrorKind::Committed(piece)));
        }
        self.put(piece, offset, data)
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.committed.contains(piece) {
            return Ok(());
        }
        if self.access == Access::ReadWrite {
            state.files.append(piece).map_err(self.fault(Path::new(state::FOLDER)))?;
        }
        state.committed.insert(piece);
        state.suspects.remove(piece);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        if self.access == Access::ReadOnly {
            return Ok(());
        }
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let doubtful: Vec<PieceIndex> = {
            let state = self.state();
            let pending = state.committed.iter().filter(|piece| !state.durable.contains(*piece));
            pending.filter(|_| state.doubtful).collect()
        };
        self.rewrite(doubtful.into_iter())?;
        let (before, dirty) = {
            let mut state = self.state();
            state.doubtful = false;
            (state.committed.clone(), std::mem::take(&mut state.dirty))
        };
        let made = if before.is_full() { self.finish_files() } else { Ok(()) };
        let synced = made.and_then(|()| {
            dirty.iter().try_for_each(|number| {
                let file = self.file(*number, OpenMode::Write)?;
                file.sync().map_err(self.fault(&self.entry(*number)?.to_path_buf()))
            })
        });
        let synced = synced.and_then(|()| self.name_files());
        let wanted = self.state().stamps.wanted(&dirty);
        let taken: Vec<(usize, Option<FileStamp>)> = wanted.into_iter().map(|file| (file, self.stamp(file))).collect();
        let mut state = self.state();
        if let Err(error) = synced {
            state.dirty.extend(dirty);
            state.doubtful = true;
            return Err(error);
        }
        // What was discarded meanwhile is not named. What was committed meanwhile stays in the journal, and so does what is still to be hashed.
        let (mut durable, mut since) = (before.clone(), state.suspects.clone());
        before.iter().filter(|piece| !state.committed.contains(*piece)).for_each(|piece| {
            durable.remove(piece);
        });
        state.committed.iter().filter(|piece| !before.contains(*piece)).for_each(|piece| {
            since.insert(piece);
        });
        let State { files, stamps, dirty, durable: saved, .. } = &mut *state;
        stamps.settle(taken, dirty);
        files.save(&durable, &since, stamps).map_err(self.fault(Path::new(state::FOLDER)))?;
        *saved = durable;
        Ok(())
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut state = self.state();
        state.committed.remove(piece);
        state.suspects.remove(piece);
        state.durable.remove(piece);
        Ok(())
    }
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
pub(crate) mod tests;
