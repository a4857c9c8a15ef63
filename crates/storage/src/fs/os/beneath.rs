//! Files below a folder, without ever leaving it.

#[cfg(all(unix, feature = "openat"))]
use kernel as system;
#[cfg(not(all(unix, feature = "openat")))]
use portable as system;

use crate::fs::OpenMode;
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens the regular file at `path` below `root`.
pub(crate) fn open(root: &Path, path: &[&str], mode: OpenMode) -> io::Result<File> {
    if mode != OpenMode::Read {
        make_root(root)?;
    }
    system::open(root, path, mode)
}

/// Makes a folder and those on the way to it.
pub(super) fn make_folder(root: &Path, path: &[&str]) -> io::Result<()> {
    make_root(root)?;
    system::make_folder(root, path)
}

/// Makes the folder that all paths begin at, if it is not there, and its name durable: who syncs what is in it goes no further up.
fn make_root(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let missing = root.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let missing: Vec<&Path> = missing.collect();
    std::fs::create_dir_all(root)?;
    for folder in missing {
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match system::sync_folder(parent, &[]) {
            // Who may make a folder may not be allowed to look at what holds it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Gives a file another name, and makes the folders on the way to it.
pub(super) fn rename(root: &Path, from: &[&str], to: &[&str]) -> io::Result<()> {
    system::rename(root, from, to)
}

/// Gives a file below one folder a second name below another, and makes the folders on the way to it.
pub(super) fn link(old_root: &Path, from: &[&str], root: &Path, to: &[&str]) -> io::Result<()> {
    make_root(root)?;
    system::link(old_root, from, root, to)
}

/// Removes a file or an empty folder.
pub(super) fn remove(root: &Path, path: &[&str]) -> io::Result<()> {
    system::remove(root, path)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(root: &Path, path: &[&str]) -> io::Result<()> {
    system::sync_folder(root, path)
}

/// Takes room for a file of this length, and makes it so long. False if the system cannot.
pub(super) fn allocate(file: &File, length: u64) -> io::Result<bool> {
    system::allocate(file, length)
}

/// Locks a file against other processes until it is closed. False if the system cannot.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    system::lock(file)
}

/// Bytes that can still be written below `root`, or where it will be.
pub(super) fn free_space(root: &Path) -> io::Result<u64> {
    let there = root.ancestors().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("."));
    system::free_space(there)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::NotADirectory)) }
}

#[cfg(all(unix, feature = "openat"))]
mod kernel {
    use super::regular;
    use crate::fs::OpenMode;
    use rustix::fs::{self, AtFlags, FlockOperation, Mode as Permissions, OFlags};
    use rustix::io::Errno;
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    pub(super) fn open(root: &Path, path: &[&str], mode: OpenMode) -> io::Result<File> {
        let (folder, name) = parent(root, path, mode != OpenMode::Read)?;
        // A named pipe in place of a file must not make us wait for its other end.
        let base = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let flags = match mode {
            OpenMode::Read => base | OFlags::RDONLY,
            OpenMode::Write => base | OFlags::RDWR | OFlags::CREATE,
            OpenMode::Replace => base | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        let file = fs::openat(&folder, name, flags, Permissions::from_raw_mode(0o666)).map_err(refused)?;
        regular(file.into())
    }

    pub(super) fn make_folder(root: &Path, path: &[&str]) -> io::Result<()> {
        enter(root, path, true).map(drop)
    }

    pub(super) fn rename(root: &Path, from: &[&str], to: &[&str]) -> io::Result<()> {
        let (old, old_name) = parent(root, from, false)?;
        let (new, new_name) = parent(root, to, true)?;
        fs::renameat(&old, old_name, &new, new_name).map_err(refused)
    }

    pub(super) fn link(old_root: &Path, from: &[&str], root: &Path, to: &[&str]) -> io::Result<()> {
        let (old, old_name) = parent(old_root, from, false)?;
        let (new, new_name) = parent(root, to, true)?;
        fs::linkat(&old, old_name, &new, new_name, AtFlags::empty()).map_err(refused)
    }

    pub(super) fn remove(root: &Path, path: &[&str]) -> io::Result<()> {
        let (folder, name) = parent(root, path, false)?;
        match fs::unlinkat(&folder, name, AtFlags::empty()) {
            // Linux says the one, others the other.
            Err(Errno::ISDIR | Errno::PERM) => fs::unlinkat(&folder, name, AtFlags::REMOVEDIR).map_err(refused),
            done => done.map_err(refused),
        }
    }

    pub(super) fn sync_folder(root: &Path, path: &[&str]) -> io::Result<()> {
        Ok(fs::fsync(enter(root, path, false)?)?)
    }

    pub(super) fn allocate(file: &File, length: u64) -> io::Result<bool> {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        return match fs::fallocate(file, fs::FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(true),
            // Not every file system knows how.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(error) => Err(error.into()),
        };
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        return file.metadata().map(|_| length).map(|_| false);
    }

    pub(super) fn lock(file: &File) -> io::Result<bool> {
        match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::ResourceBusy.into()),
            // Some file systems know no locks.
            Err(_) => Ok(false),
        }
    }

    pub(super) fn free_space(folder: &Path) -> io::Result<u64> {
        let told = fs::statvfs(folder)?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }

    /// The folder of the last name of a path, and that name.
    fn parent<'p>(root: &Path, path: &[&'p str], make: bool) -> io::Result<(OwnedFd, &'p str)> {
        let Some((name, folders)) = path.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
        Ok((enter(root, folders, make)?, *name))
    }

    /// Opens a folder; `make` makes those on the way that are not there.
    fn enter(root: &Path, path: &[&str], make: bool) -> io::Result<OwnedFd> {
        let mut folder: OwnedFd = File::open(root)?.into();
        for step in path {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = match fs::openat(&folder, *step, flags, Permissions::empty()) {
                Err(Errno::NOENT) if make => {
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
        Ok(folder)
    }

    fn refused(error: Errno) -> io::Error {
        if error == Errno::LOOP { io::ErrorKind::NotADirectory.into() } else { error.into() }
    }
}

#[cfg(any(not(all(unix, feature = "openat")), test))]
mod portable {
    use super::regular;
    use crate::fs::OpenMode;
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::{Path, PathBuf};

    pub(super) fn open(root: &Path, path: &[&str], mode: OpenMode) -> io::Result<File> {
        let place = walk(root, path, mode != OpenMode::Read)?;
        match std::fs::symlink_metadata(&place) {
            Ok(found) if !found.is_file() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode != OpenMode::Read => {}
            Err(error) => return Err(error),
        }
        let writes = mode != OpenMode::Read;
        let mut options = OpenOptions::new();
        options.read(true).write(writes).create(writes).truncate(mode == OpenMode::Replace);
        regular(options.open(place)?)
    }

    pub(super) fn make_folder(root: &Path, path: &[&str]) -> io::Result<()> {
        // As if there were a file in it.
        walk(root, &[path, &["file"]].concat(), true).map(drop)
    }

    pub(super) fn rename(root: &Path, from: &[&str], to: &[&str]) -> io::Result<()> {
        std::fs::rename(walk(root, from, false)?, walk(root, to, true)?)
    }

    pub(super) fn link(old_root: &Path, from: &[&str], root: &Path, to: &[&str]) -> io::Result<()> {
        std::fs::hard_link(walk(old_root, from, false)?, walk(root, to, true)?)
    }

    pub(super) fn remove(root: &Path, path: &[&str]) -> io::Result<()> {
        let place = walk(root, path, false)?;
        if std::fs::symlink_metadata(&place)?.is_dir() {
            std::fs::remove_dir(place)
        } else {
            std::fs::remove_file(place)
        }
    }

    /// Windows cannot open folders and needs no such thing.
    pub(super) fn sync_folder(root: &Path, path: &[&str]) -> io::Result<()> {
        if cfg!(unix) { File::open(walk(root, path, false)?)?.sync_all() } else { Ok(()) }
    }

    #[cfg_attr(test, expect(dead_code, reason = "there is nothing to compare it with"))]
    pub(super) fn allocate(_file: &File, _length: u64) -> io::Result<bool> {
        Ok(false)
    }

    #[cfg_attr(test, expect(dead_code, reason = "there is nothing to compare it with"))]
    pub(super) fn lock(_file: &File) -> io::Result<bool> {
        Ok(false)
    }

    #[cfg_attr(test, expect(dead_code, reason = "there is nothing to compare it with"))]
    pub(super) fn free_space(_folder: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where a path leads, after a look at each folder on the way.
    fn walk(root: &Path, path: &[&str], make: bool) -> io::Result<PathBuf> {
        let mut place = root.to_owned();
        let Some((name, folders)) = path.split_last() else { return Ok(place) };
        for step in folders {
            place.push(step);
            match std::fs::symlink_metadata(&place) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && make => std::fs::create_dir(&place)?,
                Err(error) => return Err(error),
            }
        }
        place.push(name);
        Ok(place)
    }
}

#[cfg(all(test, unix, feature = "openat"))]
mod tests {
    use super::*;

    type Open = fn(&Path, &[&str], OpenMode) -> io::Result<File>;
    const BOTH: [Open; 2] = [kernel::open, portable::open];

    #[test]
    fn makes_folders_and_finds_the_file_again() {
        for open in BOTH {
            let root = tempfile::tempdir().unwrap();
            assert_eq!(
                open(root.path(), &["a", "b", "c"], OpenMode::Read).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
            open(root.path(), &["a", "b", "c"], OpenMode::Write).unwrap().set_len(5).unwrap();
            assert_eq!(open(root.path(), &["a", "b", "c"], OpenMode::Read).unwrap().metadata().unwrap().len(), 5);
            assert_eq!(open(root.path(), &["a", "b", "c"], OpenMode::Replace).unwrap().metadata().unwrap().len(), 0);
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
            for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Replace] {
                for path in [&["dir", "secret"][..], &["file"], &["dangling"], &["dir", "new"], &["folder"]] {
                    assert!(open(root.path(), path, mode).is_err(), "{path:?} {mode:?}");
                }
            }
            assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"x");
            assert!(!outside.path().join("new").exists());
        }
    }

    #[test]
    fn names_change_and_go_below_the_folder_only() {
        type Rename = fn(&Path, &[&str], &[&str]) -> io::Result<()>;
        type Remove = fn(&Path, &[&str]) -> io::Result<()>;
        for make_folder in [kernel::make_folder, portable::make_folder] as [Remove; 2] {
            let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            std::os::unix::fs::symlink(outside.path(), root.path().join("dir")).unwrap();
            make_folder(root.path(), &["a", "b"]).unwrap();
            make_folder(root.path(), &["a", "b"]).unwrap();
            assert!(root.path().join("a/b").is_dir());
            assert!(make_folder(root.path(), &["dir", "b"]).is_err() && !outside.path().join("b").exists());
        }
        let both: [(Rename, Remove, Remove); 2] = [
            (kernel::rename, kernel::remove, kernel::sync_folder),
            (portable::rename, portable::remove, portable::sync_folder),
        ];
        for (rename, remove, sync_folder) in both {
            let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            std::fs::write(root.path().join("old"), b"1").unwrap();
            std::os::unix::fs::symlink(outside.path(), root.path().join("dir")).unwrap();
            assert!(rename(root.path(), &["old"], &["dir", "new"]).is_err());
            assert!(remove(root.path(), &["dir", "x"]).is_err() && sync_folder(root.path(), &["dir", "x"]).is_err());
            rename(root.path(), &["old"], &["a", "b"]).unwrap();
            assert_eq!(std::fs::read(root.path().join("a/b")).unwrap(), b"1");
            sync_folder(root.path(), &["a"]).unwrap();
            sync_folder(root.path(), &[]).unwrap();
            assert!(remove(root.path(), &["a"]).is_err(), "it is not empty");
            remove(root.path(), &["a", "b"]).unwrap();
            remove(root.path(), &["a"]).unwrap();
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        }
        assert!(free_space(Path::new("/nowhere/at/all")).unwrap() > 0);
    }

    #[test]
    fn one_file_has_a_name_below_two_folders_and_takes_nobodys_place() {
        type Link = fn(&Path, &[&str], &Path, &[&str]) -> io::Result<()>;
        for link in [kernel::link, portable::link] as [Link; 2] {
            let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            std::fs::write(one.path().join("old"), b"1").unwrap();
            std::os::unix::fs::symlink(one.path(), two.path().join("dir")).unwrap();
            assert!(link(one.path(), &["old"], two.path(), &["dir", "new"]).is_err());
            assert!(!one.path().join("new").exists());
            link(one.path(), &["old"], two.path(), &["a", "b"]).unwrap();
            let again = link(one.path(), &["old"], two.path(), &["a", "b"]);
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            std::fs::remove_file(one.path().join("old")).unwrap();
            assert_eq!(std::fs::read(two.path().join("a/b")).unwrap(), b"1");
        }
    }

    #[test]
    fn the_folder_itself_is_made_with_those_on_the_way_to_it() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        open(&deep, &["file"], OpenMode::Write).unwrap();
        make_root(&deep).unwrap();
        assert!(deep.join("file").is_file());
        std::fs::write(root.path().join("file"), b"1").unwrap();
        assert!(make_root(&root.path().join("file")).is_err() && make_root(&root.path().join("file/x")).is_err());
    }
}
