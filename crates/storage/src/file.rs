//! Pieces in files.

mod handles;
mod manage;
pub(crate) mod moving;
mod names;
mod parting;
mod places;
mod stamps;
mod state;

use crate::error::{StorageError, StorageErrorKind};
use crate::folder::{Access, StorageFolder};
use crate::fs::os::OsFs;
use crate::fs::{FileStamp, Fs, FsFile, OpenMode};
use crate::store::{FilePlace, Recovered, Storage, TorrentStorage, check_write};
use handles::{Files, Handle};
use names::Names;
use places::{Places, Target};
use stamps::Stamps;
use state::{Known, StateFiles};
use std::any::Any;
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use unchoke_core::{Bitfield, Block, PieceIndex};
use unchoke_metainfo::{FileEntry, Info};

/// Reads after which it is seen to that a file is still the one that was opened.
const READS: u32 = 64;

/// Keeps torrents as files below one folder, under their own names, with their state in `.unchoke/`.
#[derive(Clone, Debug)]
pub struct FileStorage {
    /// What stands before paths in errors.
    root: PathBuf,
    fs: Arc<dyn Fs>,
    access: Access,
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

    /// The same store, which takes the room for each file when the file is made: it does not come apart on the disk, and a disk that is too
    /// small is full at once. Without it files grow as pieces come.
    #[must_use]
    pub fn preallocate(self) -> Self {
        let access = if self.access == Access::ReadOnly { Access::ReadOnly } else { Access::Preallocate };
        Self { access, ..self }
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
        // The part file comes behind the files of the torrent.
        let files = info.layout().files().len().saturating_add(1);
        Ok(Arc::new(FileTorrent {
            root: self.root.clone(),
            fs: Arc::clone(&self.fs),
            access: self.access,
            lock: OnceLock::new(),
            open: Arc::default(),
            state: Mutex::new(State {
                files: StateFiles::new(Arc::clone(&self.fs), &info.info_hashes(), pieces, files),
                stamps: Stamps::new(files),
                places: Places::default(),
                committed: Bitfield::new(pieces),
                dirty: BTreeSet::new(),
                suspects: Bitfield::new(pieces),
                durable: Bitfield::new(pieces),
                doubtful: false,
                unnamed: BTreeSet::new(),
                named: BTreeSet::new(),
            }),
            syncing: Mutex::new(()),
            placing: RwLock::new(()),
            names: Mutex::new(Names::new()),
            info: Arc::clone(info),
        }))
    }

    fn folder(&self) -> Option<StorageFolder> {
        let is_named = !self.root.as_os_str().is_empty();
        is_named.then(|| StorageFolder::new(&self.root, self.access))
    }
}

/// The store in a folder, as it was there.
impl From<StorageFolder> for FileStorage {
    fn from(folder: StorageFolder) -> Self {
        Self { access: folder.access(), ..Self::new(folder.path()) }
    }
}

#[derive(Debug)]
pub(crate) struct FileTorrent {
    root: PathBuf,
    fs: Arc<dyn Fs>,
    info: Arc<Info>,
    access: Access,
    lock: OnceLock<Option<Arc<dyn Any + Send + Sync>>>,
    open: Arc<Files>,
    state: Mutex<State>,
    /// Held during a sync, so that an older one never replaces the resume data of a newer one.
    syncing: Mutex<()>,
    /// Held by reads and writes; alone by whoever changes where files are.
    placing: RwLock<()>,
    /// Held for a moment only, and nothing is locked meanwhile.
    names: Mutex<Names>,
}

#[derive(Debug)]
struct State {
    files: StateFiles,
    stamps: Stamps,
    places: Places,
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

    /// Where a block begins in the torrent.
    fn start_of(&self, block: Block) -> Result<u64, StorageError> {
        let offset = self.info.geometry().block_offset(block);
        offset.ok_or_else(|| StorageError::new(StorageErrorKind::OutOfRange(block)))
    }

    fn fault(&self, path: &Path) -> impl FnOnce(io::Error) -> StorageError + use<> {
        let path = self.root.join(path);
        move |error| StorageError::io(&path, error)
    }

    /// The number of the part file.
    fn part(&self) -> usize {
        self.info.layout().files().len()
    }

    /// Does something with the names that lead to a file, or to the part file.
    fn at<T>(&self, number: usize, work: impl FnOnce(&[&str]) -> T) -> Result<T, StorageError> {
        if number == self.part() {
            let name = state::part_name(&self.info.info_hashes());
            return Ok(work(&[state::FOLDER, &name]));
        }
        let entry = self.entry(number)?;
        let name = self.names().get(&number).cloned();
        if let Some(name) = name {
            return Ok(work(&names::as_str(&name.path)));
        }
        Ok(work(&entry.components().collect::<Vec<&str>>()))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault_at(&self, number: usize) -> impl FnOnce(io::Error) -> StorageError + use<> {
        let path: PathBuf = self.at(number, |path| path.iter().collect()).unwrap_or_default();
        self.fault(&path)
    }

    /// The open file, opened if it is not yet.
    fn file(&self, number: usize, mode: OpenMode) -> Result<Arc<dyn FsFile>, StorageError> {
        let mut open = handles::lock(&self.open);
        let wanted = |handle: &&mut Handle| mode == OpenMode::Read || handle.mode != OpenMode::Read;
        if let Some(handle) = open.get_mut(number).filter(wanted) {
            handle.used = true;
            handle.reads = handle.reads.saturating_add(u32::from(mode == OpenMode::Read));
            if handle.reads < READS {
                return Ok(Arc::clone(&handle.file));
            }
            handle.reads = 0;
            let file = Arc::clone(&handle.file);
            return match self.check_unchanged(number) {
                Ok(()) => Ok(file),
                Err(error) => {
                    open.remove(number);
                    Err(error)
                }
            };
        }
        if mode == OpenMode::Read {
            self.check_unchanged(number)?;
        } else {
            self.state().files.check_there().map_err(self.fault_at(number))?;
        }
        let file = self.at(number, |path| self.fs.open(path, mode))?.map_err(self.fault_at(number))?;
        if mode != OpenMode::Read {
            let mut state = self.state();
            if !state.named.contains(&number) {
                state.unnamed.insert(number);
            }
        }
        let length = self.entry(number).ok().map(|entry| entry.length());
        if let Some(length) = length.filter(|_| mode != OpenMode::Read)
            && file.metadata().is_ok_and(|metadata| metadata.length < length)
        {
            let grown = if self.access == Access::Preallocate { file.allocate(length) } else { file.set_len(length) };
            grown.map_err(self.fault_at(number))?;
        }
        open.insert(number, Handle { file: Arc::clone(&file), mode, reads: 0, used: true });
        drop(open);
        handles::opened(&self.open, number);
        Ok(file)
    }

    /// Fails if a file that we have not written to is not as it was left: what is in it is somebody else's.
    fn check_unchanged(&self, number: usize) -> Result<(), StorageError> {
        let known = self.state().stamps.settled(number);
        let Some(known) = known else { return Ok(()) };
        let found = self.at(number, |path| self.fs.metadata(path))?.map_err(self.fault_at(number))?;
        // What we began to write meanwhile is another matter.
        if found == known || self.state().stamps.settled(number) != Some(known) {
            return Ok(());
        }
        let kind = if found.length < known.length { StorageErrorKind::Missing } else { StorageErrorKind::Changed };
        Err(StorageError::new(kind).at(self.at(number, |path| path.iter().collect::<PathBuf>())?))
    }

    /// Keeps other processes out of the folder.
    fn lock(&self) -> Result<(), StorageError> {
        if self.lock.get().is_some() {
            return Ok(());
        }
        match self.fs.lock(&[state::FOLDER, state::LOCK]) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(self.fault(Path::new(state::FOLDER))(error));
            }
            // Where nothing can be locked, nothing is; the second of two calls at a time has the same lock.
            lock => drop(self.lock.set(lock.unwrap_or(None))),
        }
        Ok(())
    }

    /// Whether all of a piece is in places that pass, given their numbers and the ends of what is in them.
    fn is_within(&self, parted: &BTreeSet<usize>, piece: PieceIndex, passes: impl Fn(usize, u64) -> bool) -> bool {
        let geometry = self.info.geometry();
        let (Some(offset), Some(length)) = (geometry.piece_offset(piece), geometry.piece_len(piece)) else {
            return false;
        };
        places::targets(self.info.layout(), parted, offset, length.into())
            .all(|target| target.place.is_none_or(|place| passes(place, target.offset.saturating_add(target.len))))
    }

    /// Whether every piece is there that a wanted file needs.
    fn is_finished(&self, skipped: &BTreeSet<usize>, committed: &Bitfield) -> bool {
        let piece_length = u64::from(self.info.geometry().piece_length()).max(1);
        let wanted = self.info.layout().files().iter().filter(|entry| !skipped.contains(&entry.number()));
        committed.is_full()
            || wanted.filter(|entry| entry.length() > 0 && !entry.is_padding()).all(|entry| {
                let end = entry.offset().saturating_add(entry.length()).saturating_sub(1) / piece_length;
                (entry.offset() / piece_length..=end)
                    .all(|piece| u32::try_from(piece).is_ok_and(|piece| committed.contains(PieceIndex(piece))))
            })
    }

    /// Makes the files that have no bytes, which no piece ever touches, and cuts off what lies behind the end of others.
    fn finish_files(&self) -> Result<(), StorageError> {
        let others = {
            let state = self.state();
            &state.places.skipped | &state.places.parted
        };
        for (number, entry) in self.info.layout().files().iter().enumerate() {
            if entry.is_padding() || others.contains(&number) {
                continue;
            }
            let is_too_long = self.stamp(number).is_some_and(|stamp| stamp.length > entry.length());
            if entry.length() == 0 || is_too_long {
                let file = self.file(number, OpenMode::Write)?;
                if is_too_long {
                    file.set_len(entry.length()).map_err(self.fault_at(number))?;
                }
            }
        }
        Ok(())
    }

    fn stamp(&self, number: usize) -> Option<FileStamp> {
        self.at(number, |path| self.fs.metadata(path)).ok()?.ok()
    }

    /// Makes the names of files durable that were made, with the folders on the way to them.
    fn name_files(&self) -> Result<(), StorageError> {
        let unnamed = self.state().unnamed.clone();
        let mut folders: BTreeSet<Vec<String>> = BTreeSet::new();
        for number in &unnamed {
            let mut path = self.at(*number, names::owned)?;
            while path.pop().is_some() && folders.insert(path.clone()) {}
        }
        for folder in folders {
            self.fs.sync_folder(&names::as_str(&folder)).map_err(self.fault(&folder.iter().collect::<PathBuf>()))?;
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
        self.lock()?;
        let _placed = self.placing.read().unwrap_or_else(PoisonError::into_inner);
        let total: usize = data.iter().map(|slice| slice.len()).sum();
        let start = self.info.geometry().piece_offset(piece).unwrap_or(0).saturating_add(offset.into());
        let length = u64::try_from(total).unwrap_or(u64::MAX);
        let targets = self.place(piece, start, length)?;
        let places: BTreeSet<usize> = targets.iter().filter_map(|target| target.place).collect();
        {
            let mut state = self.state();
            let State { files: journal, stamps, .. } = &mut *state;
            for place in &places {
                if stamps.begin(*place) {
                    // Without the mark the file would be hashed again after a kill, which costs time and nothing else.
                    let _ = journal.mark(*place);
                }
            }
        }
        let written = self.write_targets(&targets, data);
        let mut state = self.state();
        places.iter().for_each(|place| state.stamps.end(*place));
        state.dirty.extend(places);
        written
    }

    fn write_targets(&self, targets: &[Target], data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let mut slices: &[IoSlice<'_>] = data;
        let mut skip = 0;
        for target in targets {
            let mut part = Vec::new();
            let mut wanted = usize::try_from(target.len).unwrap_or(usize::MAX);
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
            if let Some(place) = target.place {
                let file = self.file(place, OpenMode::Write)?;
                file.write_at(target.offset, &mut part).map_err(self.fault_at(place))?;
            }
        }
        Ok(())
    }
}

impl TorrentStorage for FileTorrent {
    fn recover(&self) -> Result<Recovered, StorageError> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = self.placing.write().unwrap_or_else(PoisonError::into_inner);
        handles::lock(&self.open).clear();
        if self.access != Access::ReadOnly && self.fs.metadata(&[state::FOLDER, state::LOCK]).is_ok() {
            self.lock()?;
        }
        let saved = match self.access {
            Access::Preallocate | Access::ReadWrite => {
                self.state().files.load().map_err(self.fault(Path::new(state::FOLDER)))?
            }
            Access::ReadOnly => None,
        };
        if let Some(saved) = &saved {
            self.names().clone_from(&saved.names);
            let moving: Vec<usize> = saved.names.keys().copied().collect();
            moving.into_iter().try_for_each(|file| self.finish_rename(file))?;
        }
        let stamps: Vec<Option<FileStamp>> = (0..=self.part()).map(|file| self.stamp(file)).collect();
        let mut state = self.state();
        let parted: BTreeSet<usize> = match &saved {
            Some(saved) => saved.parted.clone(),
            // Nothing is known but what is there.
            None if stamps.last().is_some_and(Option::is_some) => {
                (0..self.part()).filter(|file| stamps.get(*file).is_some_and(Option::is_none)).collect()
            }
            None => BTreeSet::new(),
        };
        let reaches = |place: usize, end| stamps.get(place).copied().flatten().is_some_and(|stamp| end <= stamp.length);
        let covered = |piece: &PieceIndex| self.is_within(&parted, *piece, reaches);
        let mut recovered = Recovered::default();
        match saved {
            Some(saved) => {
                let as_left = |file: usize| stamps.get(file).is_some_and(|stamp| saved.stamps.get(file) == Some(stamp));
                let trusted: Vec<bool> =
                    (0..stamps.len()).map(|file| saved.marked.contains(&file) || as_left(file)).collect();
                let is_trusted = |place: usize, _| trusted.get(place).copied().unwrap_or(false);
                let vouched =
                    |piece: PieceIndex| saved.durable.contains(piece) && self.is_within(&parted, piece, is_trusted);
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
                    let names = self.names().clone();
                    let State { files, stamps, .. } = &mut *state;
                    let known = Known { pieces: &durable, since: &journal, stamps, parted: &parted, names: &names };
                    files.save(&known).map_err(self.fault(Path::new(state::FOLDER)))?;
                }
            }
            None => recovered.suspects = self.info.geometry().pieces().filter(covered).collect(),
        }
        let none = Bitfield::new(self.info.geometry().piece_count());
        (state.committed, state.durable, state.suspects) = (none.clone(), none.clone(), none);
        for piece in &recovered.verified {
            state.committed.insert(*piece);
            state.durable.insert(*piece);
        }
        for piece in &recovered.suspects {
            state.suspects.insert(*piece);
        }
        state.places.is_left = parted.is_empty() && stamps.last().is_some_and(Option::is_some);
        if *state.places.parted != parted {
            state.places.parted = Arc::new(parted);
        }
        Ok(recovered)
    }

    fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), StorageError> {
        self.rename(usize::try_from(file).unwrap_or(usize::MAX), path)
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.remove_all()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn skip_files(&self, files: &[u32]) -> Result<(), StorageError> {
        let _alone = self.placing.write().unwrap_or_else(PoisonError::into_inner);
        let skipped: BTreeSet<usize> = files.iter().map(|file| *file as usize).collect();
        let wanted: BTreeSet<usize> = self.state().places.parted.difference(&skipped).copied().collect();
        if !wanted.is_empty() && self.access != Access::ReadOnly {
            self.place_files(&wanted)?;
        }
        let mut state = self.state();
        state.places.kept.retain(|file| skipped.contains(file));
        state.places.skipped = skipped;
        Ok(())
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        let offset = self.start_of(block)?;
        if buf.len() != block.length as usize {
            return Err(StorageError::new(StorageErrorKind::OutOfRange(block)));
        }
        let _placed = self.placing.read().unwrap_or_else(PoisonError::into_inner);
        let parted = Arc::clone(&self.state().places.parted);
        let mut rest = buf;
        for target in places::targets(self.info.layout(), &parted, offset, block.length.into()) {
            let length = usize::try_from(target.len).unwrap_or(usize::MAX).min(rest.len());
            let (part, next) = std::mem::take(&mut rest).split_at_mut(length);
            rest = next;
            match target.place {
                Some(place) => {
                    let file = self.file(place, OpenMode::Read)?;
                    file.read_at(target.offset, part).map_err(self.fault_at(place))?;
                }
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn locate(&self, block: Block) -> Result<Option<FilePlace>, StorageError> {
        let start = self.start_of(block)?;
        let _placed = self.placing.read().unwrap_or_else(PoisonError::into_inner);
        let parted = Arc::clone(&self.state().places.parted);
        let first = places::targets(self.info.layout(), &parted, start, block.length.into()).next();
        let Some((target, place)) = first.and_then(|target| Some((target, target.place?))) else { return Ok(None) };
        if target.len != u64::from(block.length) {
            return Ok(None);
        }
        let file = self.file(place, OpenMode::Read)?.os_file();
        Ok(file.map(|file| FilePlace { file, offset: target.offset }))
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
        if self.access != Access::ReadOnly {
            self.lock()?;
            state.files.append(piece).map_err(self.fault(Path::new(state::FOLDER)))?;
        }
        state.committed.insert(piece);
        state.suspects.remove(piece);
        state.places.begun.remove(&piece);
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
        let _placed = self.placing.read().unwrap_or_else(PoisonError::into_inner);
        let (before, dirty, is_finished) = {
            let mut state = self.state();
            // What is to be hashed again may be nowhere but in memory, too. It is written anew once it is committed.
            state.doubtful &= state.suspects.count() > 0;
            let is_finished = self.is_finished(&state.places.skipped, &state.committed);
            (state.committed.clone(), std::mem::take(&mut state.dirty), is_finished)
        };
        let made = if is_finished { self.finish_files() } else { Ok(()) };
        let synced = made.and_then(|()| {
            dirty
                .iter()
                .try_for_each(|number| self.file(*number, OpenMode::Write)?.sync().map_err(self.fault_at(*number)))
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
        let State { files, stamps, places, dirty, durable: saved, .. } = &mut *state;
        stamps.settle(taken, dirty);
        let names = self.names().clone();
        let known = Known { pieces: &durable, since: &since, stamps, parted: &places.parted, names: &names };
        files.save(&known).map_err(self.fault(Path::new(state::FOLDER)))?;
        *saved = durable;
        self.drop_part_file(&mut state);
        let is_idle = is_finished && state.dirty.is_empty();
        drop(state);
        if is_idle {
            // Nothing is left to be written, and who reads opens what is read.
            handles::lock(&self.open).clear();
        }
        Ok(())
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut state = self.state();
        state.committed.remove(piece);
        state.suspects.remove(piece);
        state.durable.remove(piece);
        state.places.begun.remove(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod moves;
#[cfg(test)]
pub(crate) mod tests;
