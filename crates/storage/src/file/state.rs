//! What outlives the process: resume data, which names durable pieces, and the commit journal, which names pieces that may be there.
//!
//! Resume data is replaced as a whole: written beside, made durable, renamed. The journal is appended to without waiting for the disk; each entry
//! carries its own check, and a torn or damaged end is left out.

use super::handles::{self, Files, Handle};
use super::names::{self, Names};
use super::stamps::Stamps;
use crate::fs::{FileStamp, Fs, OpenMode, replace};
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::sync::Arc;
use unchoke_bencode::{DecodeLimits, decode, encode};
use unchoke_core::hash::Sha1;
use unchoke_core::{Bitfield, InfoHashes, PieceIndex, Sha1Hash};

/// The folder of state files inside a store's folder. No torrent may be called so.
pub(super) const FOLDER: &str = ".unchoke";

/// The file in it by which other processes are kept out.
pub(super) const LOCK: &str = "lock";

/// What the names of state files end in.
const RESUME: &str = "resume";
const JOURNAL: &str = "journal";

/// The same of the note that data is being moved to here.
const MOVE: &str = "move";

/// The longest state file that is read: a bitfield of 2^32 pieces and something.
const MAX_STATE: u64 = (1 << 29) + 4096;

/// Sets the check apart from the number, so that a run of zeros is no entry.
const MARK: u32 = 0x5543_4a31;
/// The same for a file that is being written to.
const FILE_MARK: u32 = 0x5543_4a46;
/// The same for a file whose bytes go to the part file.
const PART_MARK: u32 = 0x5543_4a50;

/// The name of a torrent's part file in the folder of state files.
pub(super) fn part_name(hashes: &InfoHashes) -> String {
    format!("{hashes}.part")
}

#[derive(Debug)]
pub(super) struct StateFiles {
    fs: Arc<dyn Fs>,
    hashes: InfoHashes,
    pieces: u32,
    files: usize,
    /// The journal, once it was opened.
    open: Option<Arc<Files>>,
    /// Where its next entry goes, while it is open.
    end: u64,
    /// The name of the folder is durable.
    is_named: bool,
    /// There is a journal.
    is_there: bool,
    /// There is a note of a move to here.
    is_noted: bool,
    /// That move is going on.
    is_moving: bool,
}

/// What the state files say.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) durable: Bitfield,
    pub(super) journal: Bitfield,
    /// The stamp of each file, as far as there is one.
    pub(super) stamps: Vec<Option<FileStamp>>,
    /// Files that were being written to.
    pub(super) marked: BTreeSet<usize>,
    /// Files whose bytes are in the part file.
    pub(super) parted: BTreeSet<usize>,
    /// Files that were renamed.
    pub(super) names: Names,
}

/// What the journal says.
#[derive(PartialEq, Debug)]
struct Entries {
    pieces: Bitfield,
    marked: BTreeSet<usize>,
    parted: BTreeSet<usize>,
}

/// What resume data says.
#[derive(PartialEq, Debug)]
struct Resume {
    pieces: Bitfield,
    stamps: Vec<Option<FileStamp>>,
    parted: BTreeSet<usize>,
    names: Names,
}

/// What is to be written down.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// Pieces of which all data is durable.
    pub(super) pieces: &'a Bitfield,
    /// Pieces committed meanwhile, which the journal keeps, as it keeps the files that are marked.
    pub(super) since: &'a Bitfield,
    pub(super) stamps: &'a Stamps,
    /// Files whose bytes are in the part file.
    pub(super) parted: &'a BTreeSet<usize>,
    pub(super) names: &'a Names,
}

impl StateFiles {
    pub(super) fn new(fs: Arc<dyn Fs>, hashes: &InfoHashes, pieces: u32, files: usize) -> Self {
        Self {
            fs,
            hashes: *hashes,
            pieces,
            files,
            open: None,
            end: 0,
            is_named: false,
            is_there: false,
            is_noted: false,
            is_moving: false,
        }
    }

    /// The name of a file of the torrent in the folder of state files.
    fn name(&self, kind: &str) -> String {
        format!("{}.{kind}", self.hashes)
    }

    /// What an earlier run left; `None` if there was none. Damaged resume data counts as none: everything is hashed then.
    pub(super) fn load(&mut self) -> io::Result<Option<Saved>> {
        let resume = self.read(RESUME)?.and_then(|bytes| self.parse(&bytes));
        let entries = self.read(JOURNAL)?.map(|bytes| self.entries(&bytes));
        self.is_there = entries.is_some();
        self.is_noted = self.fs.metadata(&[FOLDER, &self.name(MOVE)]).is_ok();
        if resume.is_none() && entries.is_none() {
            return Ok(None);
        }
        let resume = resume.unwrap_or_else(|| Resume {
            pieces: Bitfield::new(self.pieces),
            stamps: vec![None; self.files],
            parted: BTreeSet::new(),
            names: Names::new(),
        });
        let entries = entries.unwrap_or_else(|| self.entries(&[]));
        Ok(Some(Saved {
            durable: resume.pieces,
            journal: entries.pieces,
            stamps: resume.stamps,
            marked: entries.marked,
            parted: &resume.parted | &entries.parted,
            names: resume.names,
        }))
    }

    fn read(&self, kind: &str) -> io::Result<Option<Vec<u8>>> {
        match self.fs.open(&[FOLDER, &self.name(kind)], OpenMode::Read) {
            Ok(file) => {
                let length = file.metadata()?.length.min(MAX_STATE);
                let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
                file.read_at(0, &mut bytes)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Option<Resume> {
        let document = decode(bytes, &DecodeLimits::default()).ok()?;
        let fields = document.root().as_dict()?;
        let field = |key| fields.get(key)?.as_bytes();
        let (info_hash, pieces) = (field(b"info-hash")?, field(b"pieces")?);
        let (stamps, names, parted) = (field(b"files")?, field(b"names")?, field(b"parted")?);
        if info_hash != self.hashes.wire().as_bytes()
            || field(b"sha1")? != checksum(&[stamps, info_hash, names, parted, pieces]).as_bytes()
        {
            return None;
        }
        let pieces = Bitfield::from_bytes(pieces, self.pieces).ok()?;
        let mut stamps: Vec<Option<FileStamp>> = stamps.as_chunks::<16>().0.iter().map(read_stamp).collect();
        stamps.resize(self.files, None);
        let parted = parted.as_chunks::<4>().0.iter().map(|number| u32::from_be_bytes(*number) as usize).collect();
        Some(Resume { pieces, stamps, parted, names: names::read(names, FOLDER) })
    }

    fn entries(&self, bytes: &[u8]) -> Entries {
        let (mut pieces, mut marked, mut parted) = (Bitfield::new(self.pieces), BTreeSet::new(), BTreeSet::new());
        for entry in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, check @ ..] = *entry;
            let number = u32::from_be_bytes([a, b, c, d]);
            match u32::from_be_bytes(check) ^ number {
                MARK => drop(pieces.insert(PieceIndex(number))),
                FILE_MARK => drop(marked.insert(number as usize)),
                PART_MARK => drop(parted.insert(number as usize)),
                _ => {}
            }
        }
        Entries { pieces, marked, parted }
    }

    /// Fails if the journal was there and is not any more: then the disk that held the folder is not there, and what is written now would
    /// come to lie where it was mounted.
    pub(super) fn check_there(&self) -> io::Result<()> {
        if self.is_there { self.fs.metadata(&[FOLDER, &self.name(JOURNAL)]).map(drop) } else { Ok(()) }
    }

    /// Notes that a piece was written and hashed right. Does not wait for the disk.
    pub(super) fn append(&mut self, piece: PieceIndex) -> io::Result<()> {
        if self.is_noted && !self.is_moving {
            // The torrent has settled here, whatever became of the move.
            self.end_move()?;
        }
        self.append_entry(piece.0, MARK)
    }

    /// Notes that a file is about to be written to. Does not wait for the disk.
    pub(super) fn mark(&mut self, file: usize) -> io::Result<()> {
        self.append_entry(u32::try_from(file).map_err(io::Error::other)?, FILE_MARK)
    }

    /// Notes that bytes of a file are written to the part file from now on. Does not wait for the disk.
    pub(super) fn part(&mut self, file: usize) -> io::Result<()> {
        self.append_entry(u32::try_from(file).map_err(io::Error::other)?, PART_MARK)
    }

    fn append_entry(&mut self, number: u32, mark: u32) -> io::Result<()> {
        let file = match self.open.as_ref().and_then(|open| handles::find(open, 0)) {
            Some(file) => file,
            None => {
                self.check_there()?;
                let file = self.fs.open(&[FOLDER, &self.name(JOURNAL)], OpenMode::Write)?;
                self.is_there = true;
                // A torn last entry is overwritten, or all that follow it would be read askew.
                let length = file.metadata()?.length;
                self.end = length - length % 8;
                let handle = Handle { file: Arc::clone(&file), mode: OpenMode::Write, reads: 0, used: true };
                let open = self.open.get_or_insert_default();
                handles::lock(open).insert(0, handle);
                handles::opened(open, 0);
                file
            }
        };
        let written = file.write_at(self.end, &mut [IoSlice::new(&entry(number, mark))]);
        if written.is_err() {
            self.open = None;
        }
        self.end = self.end.saturating_add(8);
        written
    }

    /// Replaces the resume data and the journal.
    pub(super) fn save(&mut self, known: &Known<'_>) -> io::Result<()> {
        let Known { since, stamps, .. } = *known;
        self.check_there()?;
        self.replace(RESUME, &self.resume_data(known))?;
        self.open = None;
        let mut entries = Vec::new();
        for file in stamps.marked.iter().filter_map(|file| u32::try_from(*file).ok()) {
            entries.extend(entry(file, FILE_MARK));
        }
        for piece in since.iter() {
            entries.extend(entry(piece.0, MARK));
        }
        self.replace(JOURNAL, &entries)?;
        self.is_there = true;
        Ok(())
    }

    fn resume_data(&self, known: &Known<'_>) -> Vec<u8> {
        let files: Vec<u8> = known.stamps.known.iter().flat_map(write_stamp).collect();
        let numbers = known.parted.iter().filter_map(|file| u32::try_from(*file).ok());
        let (names, parted): (Vec<u8>, Vec<u8>) =
            (names::write(known.names), numbers.flat_map(u32::to_be_bytes).collect());
        let pieces = known.pieces.to_bytes();
        let info_hash = self.hashes.wire();
        let info_hash = info_hash.as_bytes();
        encode(|value| {
            value.dict(|fields| {
                fields.bytes("files", &files);
                fields.bytes("info-hash", info_hash);
                fields.bytes("names", &names);
                fields.bytes("parted", &parted);
                fields.bytes("pieces", &pieces);
                fields.bytes("sha1", checksum(&[&files, info_hash, &names, &parted, &pieces]).as_bytes());
            })
        })
    }

    /// Removes the resume data and the journal, and what an interrupted writer has left of them.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.open = None;
        self.is_there = false;
        for kind in [RESUME, JOURNAL] {
            self.remove_file(kind)?;
            self.remove_file(&beside(kind))?;
        }
        match self.fs.sync_folder(&[FOLDER]) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a file of the torrent, if it is there.
    fn remove_file(&self, kind: &str) -> io::Result<()> {
        match self.fs.remove(&[FOLDER, &self.name(kind)]) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether there is resume data or a journal, whatever is in it.
    pub(super) fn exists(&self) -> bool {
        [RESUME, JOURNAL].into_iter().any(|kind| self.fs.metadata(&[FOLDER, &self.name(kind)]).is_ok())
    }

    /// What is noted of a move to here that has not ended.
    pub(super) fn read_move(&self) -> io::Result<Option<Vec<u8>>> {
        self.read(MOVE)
    }

    /// Notes that a move to here has begun. Durable when it returns.
    pub(super) fn note_move(&mut self, note: &[u8]) -> io::Result<()> {
        self.replace(MOVE, note)?;
        (self.is_noted, self.is_moving) = (true, true);
        Ok(())
    }

    /// The move has ended. Durable when it returns.
    pub(super) fn end_move(&mut self) -> io::Result<()> {
        self.is_moving = false;
        self.remove_file(&beside(MOVE))?;
        self.remove_file(MOVE)?;
        match self.fs.sync_folder(&[FOLDER]) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.is_noted = false;
                Ok(())
            }
        }
    }

    fn replace(&mut self, kind: &str, bytes: &[u8]) -> io::Result<()> {
        replace(self.fs.as_ref(), &[FOLDER], &self.name(kind), bytes)?;
        // What is in the folder is durable once its own name is.
        if !self.is_named {
            self.fs.sync_folder(&[])?;
            self.is_named = true;
        }
        Ok(())
    }
}

/// What the name of a file ends in that is to take the place of another.
fn beside(kind: &str) -> String {
    format!("{kind}.new")
}

/// Tells resume data that a disk has changed: pieces that it names are not hashed again.
fn checksum(fields: &[&[u8]]) -> Sha1Hash {
    let mut hasher = Sha1::new();
    fields.iter().for_each(|field| hasher.update(field));
    hasher.finish()
}

/// An entry of the journal: a number, and the same in disguise.
fn entry(number: u32, mark: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_be_bytes();
    let [e, f, g, h] = (number ^ mark).to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Length and time, eight bytes each; a length of 2^64 - 1 stands for none.
fn write_stamp(stamp: &Option<FileStamp>) -> [u8; 16] {
    let stamp = stamp.unwrap_or(FileStamp { length: u64::MAX, modified: 0 });
    (u128::from(stamp.length) << 64 | u128::from(stamp.modified.cast_unsigned())).to_be_bytes()
}

fn read_stamp(bytes: &[u8; 16]) -> Option<FileStamp> {
    let both = u128::from_be_bytes(*bytes);
    let (length, modified) = (u64::try_from(both >> 64).ok()?, u64::try_from(both & u128::from(u64::MAX)).ok()?);
    (length != u64::MAX).then_some(FileStamp { length, modified: modified.cast_signed() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::os::OsFs;
    use std::path::Path;
    use unchoke_core::hash::sha1;

    fn files(root: &Path) -> StateFiles {
        StateFiles::new(Arc::new(OsFs::new(root)), &InfoHashes::v1(sha1(b"t")), 100, 3)
    }

    #[test]
    fn few_journals_are_open_however_many_torrents_write_them() {
        let root = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(OsFs::new(root.path()));
        let of = |number: u32| InfoHashes::v1(sha1(&number.to_be_bytes()));
        let mut torrents: Vec<StateFiles> =
            (0..700).map(|number| StateFiles::new(Arc::clone(&fs), &of(number), 100, 3)).collect();
        for piece in [5, 6] {
            torrents.iter_mut().for_each(|state| state.append(PieceIndex(piece)).unwrap());
            let open = torrents.iter().filter(|state| handles::find(state.open.as_ref().unwrap(), 0).is_some()).count();
            assert!((1..=handles::MAX_OPEN).contains(&open), "{open}");
        }
        for state in &mut torrents {
            let saved = state.load().unwrap().unwrap();
            assert_eq!(saved.journal.iter().collect::<Vec<_>>(), [PieceIndex(5), PieceIndex(6)]);
        }
    }

    #[test]
    fn the_journal_is_read_up_to_any_torn_end() {
        let root = tempfile::tempdir().unwrap();
        let mut state = files(root.path());
        assert!(state.load().unwrap().is_none());
        for piece in [3, 99, 7] {
            state.append(PieceIndex(piece)).unwrap();
        }
        let path = root.path().join(FOLDER).join(state.name(JOURNAL));
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let saved = files(root.path()).load().unwrap().unwrap();
            assert_eq!(saved.journal.count() as usize, cut / 8);
            files(root.path()).append(PieceIndex(50)).unwrap();
            let saved = files(root.path()).load().unwrap().unwrap();
            assert!(saved.journal.contains(PieceIndex(50)), "an entry after a torn one is read, cut {cut}");
        }
    }

    #[test]
    fn resume_data_is_replaced_and_the_journal_keeps_what_came_since() {
        let root = tempfile::tempdir().unwrap();
        let mut state = files(root.path());
        state.append(PieceIndex(1)).unwrap();
        let (mut durable, mut since) = (Bitfield::new(100), Bitfield::new(100));
        durable.insert(PieceIndex(1));
        since.insert(PieceIndex(2));
        let mut stamps = Stamps::new(3);
        stamps.known[1] = Some(FileStamp { length: 7, modified: -5 });
        assert!(stamps.begin(2));
        let name = names::Name { path: vec!["x".to_owned()], was: Vec::new() };
        let (parted, names) = (BTreeSet::from([1]), Names::from([(2, name)]));
        let known = Known { pieces: &durable, since: &since, stamps: &stamps, parted: &parted, names: &names };
        state.save(&known).unwrap();
        state.append(PieceIndex(4)).unwrap();
        state.mark(0).unwrap();
        state.part(2).unwrap();
        let saved = files(root.path()).load().unwrap().unwrap();
        assert_eq!(saved.durable.iter().collect::<Vec<_>>(), [PieceIndex(1)]);
        assert_eq!(saved.journal.iter().collect::<Vec<_>>(), [PieceIndex(2), PieceIndex(4)]);
        assert_eq!((saved.stamps, saved.marked), (stamps.known, BTreeSet::from([0, 2])));
        assert_eq!((saved.parted, saved.names), (BTreeSet::from([1, 2]), names));
        let mut other = StateFiles::new(Arc::new(OsFs::new(root.path())), &InfoHashes::v1(sha1(b"t")), 200, 3);
        assert_eq!(other.load().unwrap().unwrap().durable.count(), 0);
    }

    #[test]
    fn b18_resume_data_that_is_damaged_or_of_another_torrent_counts_as_none() {
        let state = files(Path::new(""));
        let mut durable = Bitfield::new(100);
        for piece in [3, 64, 99] {
            durable.insert(PieceIndex(piece));
        }
        let mut stamps = Stamps::new(3);
        stamps.known[0] = Some(FileStamp { length: 7, modified: -5 });
        let (since, parted, names) = (Bitfield::new(100), BTreeSet::from([2]), Names::new());
        let known = Known { pieces: &durable, since: &since, stamps: &stamps, parted: &parted, names: &names };
        let whole = state.resume_data(&known);
        let sound = state.parse(&whole).unwrap();
        assert_eq!((&sound.pieces, sound.stamps.len(), &sound.parted), (&durable, 3, &BTreeSet::from([2])));
        for at in 0..whole.len() {
            assert_eq!(state.parse(&whole[..at]), None);
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(state.parse(&changed), None, "bit {bit} of byte {at}");
            }
        }
        let other = |pieces, files, of: &[u8]| {
            StateFiles::new(Arc::new(OsFs::new("")), &InfoHashes::v1(sha1(of)), pieces, files)
        };
        for other in [other(200, 3, b"t"), other(10, 3, b"t"), other(0, 3, b"t"), other(100, 3, b"u")] {
            assert_eq!(other.parse(&whole), None);
        }
        // What is known of files that are not there is nothing, and of files that are not named, too.
        assert_eq!(other(100, 1, b"t").parse(&whole).map(|found| found.stamps.len()), Some(1));
        assert_eq!(other(100, 9, b"t").parse(&whole).map(|found| found.stamps.len()), Some(9));
    }

    #[test]
    fn b18_a_damaged_journal_names_nothing_more() {
        let state = files(Path::new(""));
        let whole: Vec<u8> = [entry(3, MARK), entry(2, FILE_MARK), entry(1, PART_MARK), entry(99, MARK)].concat();
        let sound = state.entries(&whole);
        assert_eq!((sound.pieces.count(), sound.marked.len(), sound.parted.len()), (2, 1, 1));
        for at in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[at / 8] ^= 1 << (at % 8);
            let fewer = state.entries(&changed);
            assert!(fewer.pieces.iter().all(|piece| sound.pieces.contains(piece)), "bit {at}");
            assert!(fewer.marked.is_subset(&sound.marked) && fewer.parted.is_subset(&sound.parted), "bit {at}");
            assert_eq!(fewer.pieces.count() as usize + fewer.marked.len() + fewer.parted.len(), 3);
        }
        // A number beyond the torrent names no piece.
        assert_eq!(state.entries(&entry(100, MARK)).pieces.count(), 0);
        assert_eq!(state.entries(&entry(u32::MAX, MARK)).pieces.count(), 0);
        assert_eq!(state.entries(&[0; 4096]), state.entries(&[]));
    }
}
