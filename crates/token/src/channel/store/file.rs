//! A log in a file.

use super::{ChannelStore, StoreError};
use crate::channel::gate::Durable;
use crate::channel::log::{self, Damage, Log};
use crate::ids::UpdateId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Keeps a log in the file `channels.log` of a folder, and the one before the last snapshot in `channels.old`.
///
/// What is appended waits in memory; a sync writes all of it and makes it durable at once. What a failed sync has written is written again by the
/// next one, because nobody knows what became of it.
///
/// The folder is not locked. Its owner has to see to it that no two stores have it open at a time, in one process or in several: each would
/// write over what the other has made durable, and vouchers or claims would be lost. A program that may be started twice takes a lock of its
/// own first, such as `std::fs::File::try_lock` (Rust 1.89) on another file.
#[derive(Debug)]
pub struct FileChannelStore {
    folder: PathBuf,
    file: File,
    /// Bytes of the file that are durable.
    len: u64,
    unsynced: Vec<u8>,
    last: UpdateId,
    durable: UpdateId,
    damage: Option<Damage>,
}

impl FileChannelStore {
    /// Opens the log of a folder, or begins one there. At least `room` bytes have to be free: to run out of space is better known before a channel
    /// is opened than when a payment comes.
    ///
    /// # Errors
    /// If the folder cannot be made, read or written, or has less room. A log that is damaged is opened, to be read only.
    pub fn open(folder: &Path, room: usize) -> Result<Self, StoreError> {
        fs::create_dir_all(folder)?;
        probe(&folder.join("channels.room"), room)?;
        let path = folder.join(LOG);
        let is_new = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if is_new {
            sync_folder(folder)?;
        }
        let (last, durable) = (UpdateId::new(0), UpdateId::new(0));
        let mut store =
            Self { folder: folder.to_owned(), file, len: 0, unsynced: Vec::new(), last, durable, damage: None };
        store.load()?;
        Ok(store)
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(&self.unsynced)?;
        let end = self.len.saturating_add(self.unsynced.len() as u64);
        self.file.set_len(end)?;
        self.file.sync_data()?;
        self.len = end;
        self.unsynced.clear();
        Ok(())
    }
}

impl ChannelStore for FileChannelStore {
    fn append(&mut self, id: UpdateId, record: &[u8]) -> Result<(), StoreError> {
        self.damage.map_or(Ok(()), Err)?;
        if self.last.next() != Some(id) {
            return Err(StoreError::Order { last: self.last, found: id });
        }
        let mut bytes = Vec::new();
        if self.len == 0 && self.unsynced.is_empty() {
            bytes = Log::begin(UpdateId::new(0), &[])?;
        }
        log::append(&mut bytes, id, self.durable, record)?;
        self.unsynced.append(&mut bytes);
        self.last = id;
        Ok(())
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        if !self.unsynced.is_empty() {
            self.write_out()?;
        }
        self.durable = self.last;
        Ok(Durable::up_to(self.durable))
    }

    fn load(&mut self) -> Result<Log, StoreError> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut bytes)?;
        let log = Log::read(&bytes);
        if log.damage.is_none() {
            self.file.set_len(log.len)?;
            // What is read may not have been synced before.
            self.file.sync_all()?;
        }
        self.unsynced.clear();
        (self.len, self.last, self.durable, self.damage) = (log.len, log.last(), log.last(), log.damage);
        Ok(log)
    }

    fn replace(&mut self, snapshot: &[Vec<u8>]) -> Result<Durable, StoreError> {
        self.damage.map_or(Ok(()), Err)?;
        let bytes = Log::begin(self.last, snapshot)?;
        let (path, new, old) =
            (self.folder.join(LOG), self.folder.join("channels.new"), self.folder.join("channels.old"));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        remove(&old)?;
        // At every moment there is a log of the right name.
        fs::hard_link(&path, &old).or_else(|_| fs::copy(&path, &old).map(drop))?;
        fs::rename(&new, &path)?;
        // From here on the file of the new log is the log, whether the folder is durable or not.
        (self.file, self.len) = (file, bytes.len() as u64);
        self.unsynced.clear();
        sync_folder(&self.folder)?;
        self.durable = self.last;
        Ok(Durable::up_to(self.durable))
    }
}

/// Writes so many bytes to a file and removes it.
fn probe(path: &Path, room: usize) -> io::Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        io::copy(&mut io::repeat(0).take(room as u64), &mut file)?;
        file.sync_all()
    };
    let written = write();
    remove(path)?;
    written
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable, where the system can.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The file of the log.
const LOG: &str = "channels.log";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::store::contract;

    #[test]
    fn files_keep_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let mut count = 0;
        contract::check(|| {
            count += 1;
            FileChannelStore::open(&folder.path().join(count.to_string()), 1000).unwrap()
        });
    }

    #[test]
    fn a_log_is_there_when_it_is_opened_again_and_a_torn_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = FileChannelStore::open(folder.path(), 0).unwrap();
        store.append(UpdateId::new(1), b"one").unwrap();
        store.sync().unwrap();
        store.append(UpdateId::new(2), b"two").unwrap();
        drop(store);
        let path = folder.path().join(LOG);
        let good = fs::read(&path).unwrap();
        fs::write(&path, [&good[..], &good[24..40]].concat()).unwrap();
        let mut store = FileChannelStore::open(folder.path(), 0).unwrap();
        assert_eq!(store.load().unwrap().last(), UpdateId::new(1));
        assert_eq!(fs::read(&path).unwrap(), good);
        store.append(UpdateId::new(2), b"two").unwrap();
        store.sync().unwrap();
        store.replace(&[b"all".to_vec()]).unwrap();
        assert_eq!(Log::read(&fs::read(folder.path().join("channels.old")).unwrap()).last(), UpdateId::new(2));
        drop(store);
        let mut bent = fs::read(&path).unwrap();
        *bent.last_mut().unwrap() ^= 1;
        fs::write(&path, &bent).unwrap();
        let mut store = FileChannelStore::open(folder.path(), 0).unwrap();
        assert!(matches!(store.append(UpdateId::new(3), b"three"), Err(StoreError::Damaged(_))));
        assert!(matches!(store.replace(&[]), Err(StoreError::Damaged(_))));
        assert_eq!(fs::read(&path).unwrap(), bent);
    }
}
