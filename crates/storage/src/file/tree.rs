//! Opening files below a folder without ever leaving it.
//!
//! On Unix, with the feature `openat`, each component is opened relative to its parent and symbolic links are refused by the kernel. Elsewhere each component is looked at
//! before it is entered, which a process that changes the folder at that very moment can defeat.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Reading; it must be there.
    Read,
    /// Reading and writing; it and its folders are made if they are not there.
    Write,
    /// As `Write`, and emptied.
    Replace,
}

/// Opens the regular file at `path` below `root`.
pub(crate) fn open(root: &Path, path: &[&str], mode: Mode) -> io::Result<File> {
    #[cfg(all(unix, feature = "openat"))]
    return kernel::open(root, path, mode);
    #[cfg(not(all(unix, feature = "openat")))]
    return portable::open(root, path, mode);
}

/// What is known of the regular file at `path` below `root`; `None` if there is none.
pub(super) fn metadata(root: &Path, path: &[&str]) -> Option<Metadata> {
    open(root, path, Mode::Read).and_then(|file| file.metadata()).ok()
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::NotADirectory)) }
}

#[cfg(all(unix, feature = "openat"))]
mod kernel {
    use super::{Mode, regular};
    use rustix::fs::{self, Mode as Permissions, OFlags};
    use rustix::io::Errno;
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    pub(super) fn open(root: &Path, path: &[&str], mode: Mode) -> io::Result<File> {
        let Some((name, folders)) = path.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
        if mode != Mode::Read {
            std::fs::create_dir_all(root)?;
        }
        let mut folder: OwnedFd = File::open(root)?.into();
        for step in folders {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = match fs::openat(&folder, *step, flags, Permissions::empty()) {
                Err(Errno::NOENT) if mode != Mode::Read => {
                    match fs::mkdirat(&folder, *step, Permissions::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    fs::openat(&folder, *step, flags, Permissions::empty())
                }
                opened => opened,
            }
            .map_err(refused)?;
        }
        // A named pipe in place of a file must not make us wait for its other end.
        let base = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let flags = match mode {
            Mode::Read => base | OFlags::RDONLY,
            Mode::Write => base | OFlags::RDWR | OFlags::CREATE,
            Mode::Replace => base | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        let file = fs::openat(&folder, *name, flags, Permissions::from_raw_mode(0o666)).map_err(refused)?;
        regular(file.into())
    }

    fn refused(error: Errno) -> io::Error {
        if error == Errno::LOOP { io::ErrorKind::NotADirectory.into() } else { error.into() }
    }
}

#[cfg(any(not(all(unix, feature = "openat")), test))]
mod portable {
    use super::{Mode, regular};
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn open(root: &Path, path: &[&str], mode: Mode) -> io::Result<File> {
        let Some((name, folders)) = path.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
        if mode != Mode::Read {
            std::fs::create_dir_all(root)?;
        }
        let mut place = root.to_owned();
        for step in folders {
            place.push(step);
            match std::fs::symlink_metadata(&place) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && mode != Mode::Read => {
                    std::fs::create_dir(&place)?;
                }
                Err(error) => return Err(error),
            }
        }
        place.push(name);
        match std::fs::symlink_metadata(&place) {
            Ok(found) if !found.is_file() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode != Mode::Read => {}
            Err(error) => return Err(error),
        }
        let writes = mode != Mode::Read;
        let mut options = OpenOptions::new();
        options.read(true).write(writes).create(writes).truncate(mode == Mode::Replace);
        regular(options.open(place)?)
    }
}

#[cfg(all(test, unix, feature = "openat"))]
mod tests {
    use super::*;

    type Open = fn(&Path, &[&str], Mode) -> io::Result<File>;
    const BOTH: [Open; 2] = [kernel::open, portable::open];

    #[test]
    fn makes_folders_and_finds_the_file_again() {
        for open in BOTH {
            let root = tempfile::tempdir().unwrap();
            assert_eq!(open(root.path(), &["a", "b", "c"], Mode::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
            open(root.path(), &["a", "b", "c"], Mode::Write).unwrap().set_len(5).unwrap();
            assert_eq!(open(root.path(), &["a", "b", "c"], Mode::Read).unwrap().metadata().unwrap().len(), 5);
            assert_eq!(open(root.path(), &["a", "b", "c"], Mode::Replace).unwrap().metadata().unwrap().len(), 0);
        }
    }

    #[test]
    fn follows_no_symbolic_link_and_opens_nothing_but_files() {
        for open in BOTH {
            let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            std::fs::write(outside.path().join("secret"), b"x").unwrap();
            std::os::unix::fs::symlink(outside.path(), root.path().join("dir")).unwrap();
            std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
            std::os::unix::fs::symlink(outside.path().join("new"), root.path().join("dangling")).unwrap();
            std::fs::create_dir(root.path().join("folder")).unwrap();
            for mode in [Mode::Read, Mode::Write, Mode::Replace] {
                for path in [&["dir", "secret"][..], &["file"], &["dangling"], &["dir", "new"], &["folder"]] {
                    assert!(open(root.path(), path, mode).is_err(), "{path:?} {mode:?}");
                }
            }
            assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"x");
            assert!(!outside.path().join("new").exists());
        }
    }
}
