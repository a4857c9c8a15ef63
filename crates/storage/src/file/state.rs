//! What outlives the process: resume data, which names durable pieces, and the commit journal, which names pieces that may be there.
//!
//! Resume data is replaced as a whole: written beside, made durable, renamed. The journal is appended to without waiting for the disk; each entry
//! carries its own check, and a torn or damaged end is left out.

use super::tree::{self, Mode};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use unchoke_bencode::{DecodeLimits, decode, encode};
use unchoke_core::{Bitfield, InfoHashes, PieceIndex};

/// The folder of state files inside a store's folder. No torrent may be called so.
pub(super) const FOLDER: &str = ".unchoke";

/// The longest state file that is read: a bitfield of 2^32 pieces and something.
const MAX_STATE: u64 = (1 << 29) + 4096;

/// Sets the check apart from the number, so that a run of zeros is no entry.
const MARK: u32 = 0x5543_4a31;

#[derive(Debug)]
pub(super) struct StateFiles {
    root: PathBuf,
    resume: String,
    journal: String,
    info_hash: Vec<u8>,
    pieces: u32,
    appending: Option<File>,
}

/// What the state files say.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) durable: Bitfield,
    pub(super) journal: Bitfield,
}

impl StateFiles {
    pub(super) fn new(root: &Path, hashes: &InfoHashes, pieces: u32) -> Self {
        Self {
            root: root.to_owned(),
            resume: format!("{hashes}.resume"),
            journal: format!("{hashes}.journal"),
            info_hash: hashes.wire().as_bytes().to_vec(),
            pieces,
            appending: None,
        }
    }

    /// What an earlier run left; `None` if there was none. Damaged resume data counts as none: everything is hashed then.
    pub(super) fn load(&self) -> io::Result<Option<Saved>> {
        let durable = self.read(&self.resume)?.and_then(|bytes| self.parse(&bytes));
        let journal = self.read(&self.journal)?.map(|bytes| self.entries(&bytes));
        Ok(match (durable, journal) {
            (None, None) => None,
            (durable, journal) => Some(Saved {
                durable: durable.unwrap_or_else(|| Bitfield::new(self.pieces)),
                journal: journal.unwrap_or_else(|| Bitfield::new(self.pieces)),
            }),
        })
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match tree::open(&self.root, &[FOLDER, name], Mode::Read) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MAX_STATE).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Option<Bitfield> {
        let document = decode(bytes, &DecodeLimits::default()).ok()?;
        let fields = document.root().as_dict()?;
        let ours = fields.get(b"info-hash")?.as_bytes()? == self.info_hash;
        let pieces = fields.get(b"pieces")?.as_bytes()?;
        Bitfield::from_bytes(pieces, self.pieces).ok().filter(|_| ours)
    }

    fn entries(&self, bytes: &[u8]) -> Bitfield {
        let mut pieces = Bitfield::new(self.pieces);
        for entry in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, check @ ..] = *entry;
            let number = u32::from_be_bytes([a, b, c, d]);
            if u32::from_be_bytes(check) == number ^ MARK {
                pieces.insert(PieceIndex(number));
            }
        }
        pieces
    }

    /// Notes that a piece was written and hashed right. Does not wait for the disk.
    pub(super) fn append(&mut self, piece: PieceIndex) -> io::Result<()> {
        if self.appending.is_none() {
            use std::io::Seek as _;
            let mut file = tree::open(&self.root, &[FOLDER, &self.journal], Mode::Write)?;
            // A torn last entry is cut off, or all that follow it would be read askew.
            let end = file.seek(io::SeekFrom::End(0))?;
            file.seek(io::SeekFrom::Start(end - end % 8))?;
            self.appending = Some(file);
        }
        let mut entry = [0; 8];
        let (number, check) = entry.split_at_mut(4);
        number.copy_from_slice(&piece.0.to_be_bytes());
        check.copy_from_slice(&(piece.0 ^ MARK).to_be_bytes());
        let written = self.appending.as_mut().map_or(Ok(()), |file| file.write_all(&entry));
        if written.is_err() {
            self.appending = None;
        }
        written
    }

    /// Replaces the resume data; the data of all `pieces` is durable. `since` are pieces committed meanwhile, which the journal keeps.
    pub(super) fn save(&mut self, pieces: &Bitfield, since: &Bitfield) -> io::Result<()> {
        let bytes = encode(|value| {
            value.dict(|fields| {
                fields.bytes("info-hash", &self.info_hash);
                fields.bytes("pieces", pieces.to_bytes());
            })
        });
        self.replace(&self.resume, &bytes)?;
        self.appending = None;
        let mut entries = Vec::new();
        for piece in since.iter() {
            entries.extend(piece.0.to_be_bytes());
            entries.extend((piece.0 ^ MARK).to_be_bytes());
        }
        self.replace(&self.journal, &entries)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = format!("{name}.new");
        let mut file = tree::open(&self.root, &[FOLDER, &beside], Mode::Replace)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let folder = self.root.join(FOLDER);
        std::fs::rename(folder.join(&beside), folder.join(name))?;
        // The rename is durable once the folder is. Windows cannot open folders and needs no such thing.
        if cfg!(unix) { File::open(&folder)?.sync_all() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::hash::sha1;

    fn files(root: &Path) -> StateFiles {
        StateFiles::new(root, &InfoHashes::v1(sha1(b"t")), 100)
    }

    #[test]
    fn the_journal_is_read_up_to_any_torn_end() {
        let root = tempfile::tempdir().unwrap();
        let mut state = files(root.path());
        assert!(state.load().unwrap().is_none());
        for piece in [3, 99, 7] {
            state.append(PieceIndex(piece)).unwrap();
        }
        let path = root.path().join(FOLDER).join(&state.journal);
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
        state.save(&durable, &since).unwrap();
        state.append(PieceIndex(4)).unwrap();
        let saved = files(root.path()).load().unwrap().unwrap();
        assert_eq!(saved.durable.iter().collect::<Vec<_>>(), [PieceIndex(1)]);
        assert_eq!(saved.journal.iter().collect::<Vec<_>>(), [PieceIndex(2), PieceIndex(4)]);
        assert!(
            StateFiles::new(root.path(), &InfoHashes::v1(sha1(b"t")), 200).load().unwrap().unwrap().durable.count()
                == 0
        );
    }
}
