//! What the file store needs of a file system: few calls, all below one folder, so that a simulated one can stand in.

pub(crate) mod os;
#[cfg(any(test, feature = "sim-fs"))]
pub(crate) mod sim;

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A file system below one folder. Paths are names from that folder on; none of them is `..`, empty, or has a separator in it.
///
/// What is written is durable after a [`sync`](FsFile::sync) of the file, and its name after a [`sync_folder`](Self::sync_folder) of the
/// folder that holds the name. Nothing else may be relied upon: what is not synced may survive a crash in part and in any order. The one
/// folder itself is made when something is first made in it, and its own name is durable before that.
pub trait Fs: Any + Send + Sync + fmt::Debug {
    /// Opens a regular file. Symbolic links are not followed.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory` if something on the path is not what it must be, and whatever else the system says.
    fn open(&self, path: &[&str], mode: OpenMode) -> io::Result<Arc<dyn FsFile>>;

    /// What is known of the regular file at a path.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn metadata(&self, path: &[&str]) -> io::Result<FileStamp>;

    /// Makes a folder, and those on the way to it, where there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn make_folder(&self, path: &[&str]) -> io::Result<()>;

    /// Gives a file another name, in place of whatever had it, as one step. Folders on the way to the new name are made.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()>;

    /// Gives a file that lies below another folder a second name here, without copying it. Folders on the way to the new name are made.
    ///
    /// # Errors
    /// `Unsupported` or `CrossesDevices` if one file cannot have both names, `AlreadyExists` if something has the name, and as
    /// [`open`](Self::open).
    fn link(&self, other: &dyn Fs, from: &[&str], to: &[&str]) -> io::Result<()> {
        let _ = (other, from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file, or an empty folder.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn remove(&self, path: &[&str]) -> io::Result<()>;

    /// Makes durable which names a folder holds; the empty path is the folder that all paths begin at.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn sync_folder(&self, path: &[&str]) -> io::Result<()>;

    /// The names in the folder that all paths begin at, in no order. Those that are no text are left out.
    ///
    /// # Errors
    /// `NotFound` if there is no folder, `Unsupported` if the names cannot be had, and whatever else the system says.
    fn list(&self) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Keeps other processes out for as long as the result lives. Nothing if the system cannot do that.
    ///
    /// # Errors
    /// `ResourceBusy` if another process is in.
    fn lock(&self, path: &[&str]) -> io::Result<Option<Arc<dyn Any + Send + Sync>>> {
        let _ = path;
        Ok(None)
    }

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// If the system does not tell.
    fn free_space(&self) -> io::Result<u64>;
}

/// An open file. Calls may come from several threads at a time.
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before that.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all slices from `offset` on, with one call where that is possible. The slices are used up.
    ///
    /// # Errors
    /// Whatever the system says; part of it may be written.
    fn write_at(&self, offset: u64, data: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Cuts the file off, or makes it longer by a hole.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes it so long, and takes the room for all of it at once. Where that cannot be told apart, it becomes as long by a hole.
    ///
    /// # Errors
    /// `StorageFull` if there is not enough room, and whatever else the system says.
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    /// Makes durable what was written before the call.
    ///
    /// # Errors
    /// Whatever the system says. What was written before may never reach the disk then, even if a later call succeeds.
    fn sync(&self) -> io::Result<()>;

    /// Its length and time.
    ///
    /// # Errors
    /// Whatever the system says.
    fn metadata(&self) -> io::Result<FileStamp>;

    /// The system's own file, if there is one: a driver may send from it without reading it.
    fn os_file(&self) -> Option<Arc<File>> {
        None
    }
}

/// Replaces a file as a whole: it is written beside, made durable, and renamed. Durable when it returns.
pub(crate) fn replace(fs: &dyn Fs, folder: &[&str], name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = format!("{name}.new");
    let (new, old) = ([folder, &[beside.as_str()]].concat(), [folder, &[name]].concat());
    let file = fs.open(&new, OpenMode::Replace)?;
    file.write_at(0, &mut [IoSlice::new(bytes)])?;
    file.sync()?;
    fs.rename(&new, &old)?;
    // The rename is durable once the folder is.
    fs.sync_folder(folder)
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a file system has to do all of them")]
pub enum OpenMode {
    /// Reading; it must be there.
    Read,
    /// Reading and writing; it and its folders are made if they are not there.
    Write,
    /// As `Write`, and emptied.
    Replace,
}

/// What tells whether a file is as it was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "resume data holds both numbers and no more")]
pub struct FileStamp {
    /// Length in bytes.
    pub length: u64,
    /// Time of the last modification, in nanoseconds since 1970.
    pub modified: i64,
}
