//! A file system in memory that loses what was not synced, as a crash of the machine does.

mod disk;

use super::{FileStamp, Fs, FsFile, OpenMode};
use disk::{Disk, NodeId};
use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file system in memory that can crash, fill up and fail at any of its operations.
///
/// It promises no more than [`Fs`] says. What was written and not synced is pending; a [crash](Self::crash) keeps the parts of it that a
/// [`Survival`] names. A new name is pending until its folder is synced, even if the file itself was. After a failed sync, what was pending
/// is read back as before and never becomes durable, as on Linux.
///
/// Operations that change something are counted: making a file or folder, each write, each change of a length, each sync, rename and removal.
///
/// Clones share the disk, and so do the places that [`below`](Self::below) gives out.
#[derive(Clone, Debug, Default)]
pub struct SimFs {
    machine: Arc<Mutex<Machine>>,
    /// The names that lead to the folder at which all paths begin.
    folder: Vec<String>,
}

#[derive(Debug, Default)]
struct Machine {
    disk: Disk,
    operations: u64,
    failure: Option<(u64, Failure)>,
    /// Nothing works any more.
    is_down: bool,
    /// Bytes of all files that there is room for.
    capacity: Option<u64>,
    /// A file has one name only, as on a file system without hard links.
    is_without_links: bool,
}

/// How operations fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The machine stops: this operation and all later ones fail. A write or removal may still be among what survives.
    Crash,
    /// This operation fails, and does nothing.
    Once(io::ErrorKind),
    /// This operation and all later ones that change something fail, until it [heals](SimFs::heal).
    Forever(io::ErrorKind),
}

/// What is left after a crash of what was pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Survival {
    /// All of it: only the process has ended.
    All,
    /// Nothing.
    Nothing,
    /// Each write or not, at random; new names up to some point in each folder.
    Random(u64),
    /// The same for each sector of 512 bytes of each write.
    Torn(u64),
}

impl SimFs {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A folder of the same machine, for a store of its own. It is there, whatever happens.
    ///
    /// # Panics
    /// If a file has the name.
    #[must_use]
    pub fn below(&self, folder: &str) -> Self {
        let mut names = self.folder.clone();
        let parent: Vec<&str> = self.folder.iter().map(String::as_str).collect();
        {
            let mut machine = self.machine();
            let path = self.path(&[folder, "file"]);
            if let Ok(Some(missing)) = machine.disk.missing_folder(&path) {
                let made = machine.disk.make_folder(missing).and_then(|_| machine.disk.sync_folder(&parent));
                assert!(made.is_ok(), "the folder {folder} cannot be made: {made:?}");
            }
        }
        names.push(folder.to_owned());
        Self { machine: Arc::clone(&self.machine), folder: names }
    }

    /// From now on a file has one name only, as on a file system without hard links, or on two disks.
    pub fn refuse_links(&self) {
        self.machine().is_without_links = true;
    }

    /// How many operations that change something have begun.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.machine().operations
    }

    /// Lets the operation with this number, counted from 0 as [`operations`](Self::operations) does, fail.
    pub fn fail_at(&self, operation: u64, failure: Failure) {
        self.machine().failure = Some((operation, failure));
    }

    /// Nothing fails any more, unless the machine has crashed.
    pub fn heal(&self) {
        self.machine().failure = None;
    }

    /// Limits the bytes of all files; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine().capacity = bytes;
    }

    /// Stops the machine. What is left on its disk is in the file system that is returned; this one and its files do nothing but fail.
    #[must_use]
    pub fn crash(&self, survival: Survival) -> Self {
        let mut machine = self.machine();
        machine.is_down = true;
        let left = Machine {
            disk: machine.disk.after_crash(survival),
            capacity: machine.capacity,
            is_without_links: machine.is_without_links,
            ..Machine::default()
        };
        Self { machine: Arc::new(Mutex::new(left)), folder: self.folder.clone() }
    }

    /// What a file holds, pending or not; `None` if there is none.
    #[must_use]
    pub fn read(&self, path: &[&str]) -> Option<Vec<u8>> {
        let machine = self.machine();
        machine.disk.file(&self.path(path)).ok().and_then(|node| machine.disk.content(node).map(<[u8]>::to_vec))
    }

    /// The paths of all files, with `/` between the names.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let folder: String = self.folder.iter().map(|name| format!("{name}/")).collect();
        let files = self.machine().disk.files();
        files.iter().filter_map(|path| path.strip_prefix(&folder)).map(str::to_owned).collect()
    }

    /// The whole path on the disk.
    fn path<'p>(&'p self, path: &[&'p str]) -> Vec<&'p str> {
        self.folder.iter().map(String::as_str).chain(path.iter().copied()).collect()
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    /// Begins an operation that changes something. `Ok(true)`: the machine stops in the middle of it.
    fn begin(&mut self) -> io::Result<bool> {
        self.check()?;
        let number = self.operations;
        self.operations = self.operations.saturating_add(1);
        match self.failure {
            Some((at, Failure::Crash)) if number == at => {
                self.is_down = true;
                Ok(true)
            }
            Some((at, Failure::Once(kind))) if number == at => Err(kind.into()),
            Some((at, Failure::Forever(kind))) if number >= at => Err(kind.into()),
            _ => Ok(false),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_down { Err(down()) } else { Ok(()) }
    }

    fn room(&self) -> u64 {
        self.capacity.unwrap_or(u64::MAX / 2).saturating_sub(self.disk.used())
    }
}

impl Fs for SimFs {
    fn open(&self, path: &[&str], mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let path = &self.path(path);
        let mut machine = self.machine();
        machine.check()?;
        let node = match machine.disk.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode != OpenMode::Read => {
                while let Some(missing) = machine.disk.missing_folder(path)? {
                    end(machine.begin()?, machine.disk.make_folder(missing))?;
                }
                end(machine.begin()?, machine.disk.make_file(path))?
            }
            found => found?,
        };
        if mode == OpenMode::Replace && machine.disk.content(node).is_some_and(|content| !content.is_empty()) {
            end(machine.begin()?, machine.disk.set_len(node, 0))?;
        }
        Ok(Arc::new(SimFile { machine: Arc::clone(&self.machine), node }))
    }

    fn metadata(&self, path: &[&str]) -> io::Result<FileStamp> {
        let path = &self.path(path);
        let machine = self.machine();
        machine.check()?;
        machine.disk.stamp(machine.disk.file(path)?)
    }

    fn make_folder(&self, path: &[&str]) -> io::Result<()> {
        let mut machine = self.machine();
        machine.check()?;
        let inside = [self.path(path), vec!["file"]].concat();
        while let Some(missing) = machine.disk.missing_folder(&inside)? {
            end(machine.begin()?, machine.disk.make_folder(missing))?;
        }
        Ok(())
    }

    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        let (from, to) = (&self.path(from), &self.path(to));
        let mut machine = self.machine();
        machine.disk.file(from)?;
        while let Some(missing) = machine.disk.missing_folder(to)? {
            end(machine.begin()?, machine.disk.make_folder(missing))?;
        }
        end(machine.begin()?, machine.disk.rename(from, to))
    }

    fn link(&self, other: &dyn Fs, from: &[&str], to: &[&str]) -> io::Result<()> {
        let other = (other as &dyn Any).downcast_ref::<Self>();
        let other = other.filter(|other| Arc::ptr_eq(&self.machine, &other.machine));
        let other = other.ok_or(io::ErrorKind::CrossesDevices)?;
        let (from, to) = (&other.path(from), &self.path(to));
        let mut machine = self.machine();
        machine.check()?;
        if machine.is_without_links {
            return Err(io::ErrorKind::Unsupported.into());
        }
        while let Some(missing) = machine.disk.missing_folder(to)? {
            end(machine.begin()?, machine.disk.make_folder(missing))?;
        }
        end(machine.begin()?, machine.disk.link(from, to))
    }

    fn remove(&self, path: &[&str]) -> io::Result<()> {
        let path = &self.path(path);
        let mut machine = self.machine();
        end(machine.begin()?, machine.disk.remove(path))
    }

    fn sync_folder(&self, path: &[&str]) -> io::Result<()> {
        let path = &self.path(path);
        let mut machine = self.machine();
        if machine.begin()? {
            return Err(down());
        }
        machine.disk.sync_folder(path)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let machine = self.machine();
        machine.check()?;
        machine.disk.list(&self.path(&[]))
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(self.machine().room())
    }
}

#[derive(Debug)]
struct SimFile {
    machine: Arc<Mutex<Machine>>,
    node: NodeId,
}

impl SimFile {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FsFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let machine = self.machine();
        machine.check()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let content = machine.disk.content(self.node).unwrap_or_default();
        let part = content.get(start..start.saturating_add(buf.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(part);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut bytes: Vec<u8> = data.iter().flat_map(|slice| slice.iter().copied()).collect();
        let mut machine = self.machine();
        let stops = machine.begin()?;
        let length = machine.disk.content(self.node).map_or(0, <[u8]>::len) as u64;
        let grows = offset.saturating_add(bytes.len() as u64).saturating_sub(length);
        let missing = grows.saturating_sub(machine.room());
        if missing > 0 {
            // What fits is written, as systems do.
            bytes.truncate(bytes.len().saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX)));
        }
        let written = machine.disk.write(self.node, offset, &bytes);
        if missing > 0 { Err(io::ErrorKind::StorageFull.into()) } else { end(stops, written) }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut machine = self.machine();
        end(machine.begin()?, machine.disk.set_len(self.node, length))
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.machine();
        match machine.begin() {
            Ok(false) => machine.disk.sync(self.node),
            Ok(true) => Err(down()),
            Err(error) => {
                machine.disk.forget_pending(self.node);
                Err(error)
            }
        }
    }

    fn metadata(&self) -> io::Result<FileStamp> {
        let machine = self.machine();
        machine.check()?;
        machine.disk.stamp(self.node)
    }
}

/// The outcome of an operation, whose caller is told of none if the machine stops in it.
fn end<T>(stops: bool, outcome: io::Result<T>) -> io::Result<T> {
    if stops { Err(down()) } else { outcome }
}

fn down() -> io::Error {
    io::Error::other("the machine has stopped")
}
