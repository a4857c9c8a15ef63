//! The file system of the operating system.

pub(crate) mod beneath;
pub(crate) mod positioned;

use super::{FileStamp, Fs, FsFile, OpenMode};
use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

/// The files below a folder, which is made when it is first written to.
///
/// On Unix, with the feature `openat`, each component of a path is opened relative to its parent and symbolic links are refused by the
/// kernel. Elsewhere each component is looked at before it is entered, which a process that changes the folder at that very moment can defeat.
#[derive(Clone, Debug)]
pub struct OsFs {
    root: PathBuf,
}

impl OsFs {
    /// The files below this folder.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Fs for OsFs {
    fn open(&self, path: &[&str], mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        Ok(Arc::new(OsFile(Arc::new(beneath::open(&self.root, path, mode)?))))
    }

    fn metadata(&self, path: &[&str]) -> io::Result<FileStamp> {
        beneath::open(&self.root, path, OpenMode::Read)?.metadata().map(|metadata| stamp(&metadata))
    }

    fn make_folder(&self, path: &[&str]) -> io::Result<()> {
        beneath::make_folder(&self.root, path)
    }

    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        beneath::rename(&self.root, from, to)
    }

    fn link(&self, other: &dyn Fs, from: &[&str], to: &[&str]) -> io::Result<()> {
        let Some(other) = (other as &dyn Any).downcast_ref::<Self>() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        beneath::link(&other.root, from, &self.root, to)
    }

    fn remove(&self, path: &[&str]) -> io::Result<()> {
        beneath::remove(&self.root, path)
    }

    fn sync_folder(&self, path: &[&str]) -> io::Result<()> {
        beneath::sync_folder(&self.root, path)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.root)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn lock(&self, path: &[&str]) -> io::Result<Option<Arc<dyn Any + Send + Sync>>> {
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        let file = beneath::open(&self.root, path, OpenMode::Write)?;
        let key = std::fs::canonicalize(&self.root)?.join(path.iter().collect::<PathBuf>());
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return Ok(Some(lock));
        }
        if !beneath::lock(&file)? {
            return Ok(None);
        }
        let lock = Arc::new(file);
        locks.insert(key, Arc::downgrade(&lock));
        Ok(Some(lock))
    }

    fn free_space(&self) -> io::Result<u64> {
        beneath::free_space(&self.root)
    }
}

/// The locks of this process: a folder is locked once, however many stores it has.
static LOCKS: Mutex<BTreeMap<PathBuf, Weak<File>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct OsFile(Arc<File>);

impl FsFile for OsFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        positioned::read(&self.0, offset, buf)
    }

    fn write_at(&self, offset: u64, data: &mut [IoSlice<'_>]) -> io::Result<()> {
        positioned::write(&self.0, offset, data)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if beneath::allocate(&self.0, length)? { Ok(()) } else { self.set_len(length) }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn metadata(&self) -> io::Result<FileStamp> {
        self.0.metadata().map(|metadata| stamp(&metadata))
    }

    fn os_file(&self) -> Option<Arc<File>> {
        Some(Arc::clone(&self.0))
    }
}

fn stamp(metadata: &Metadata) -> FileStamp {
    let since = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, i64::saturating_neg),
    };
    FileStamp { length: metadata.len(), modified: metadata.modified().map_or(0, since) }
}
