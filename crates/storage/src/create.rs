//! Torrents from files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use unchoke_metainfo::{BuildError, Builder, Metainfo, recommended_piece_length};

/// Bytes read at a time.
const READ: usize = 1 << 20;

/// Why no torrent could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A file or folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file grew or shrank while it was read.
    #[error("{0} changed while it was read")]
    Changed(PathBuf),
    /// A name is not UTF-8.
    #[error("the name of {0} is not UTF-8")]
    Name(PathBuf),
    /// It makes no torrent.
    #[error("cannot build the torrent")]
    Build(#[from] BuildError),
}

/// Makes a torrent of a file, or of all files below a folder in the order of their names. Symbolic links and special files are left out.
///
/// `options` gets a builder with name and piece length and may add trackers and the like. `progress` is told the bytes hashed and the bytes in
/// all. `piece_length` 0 chooses a length that fits.
///
/// # Errors
/// If something cannot be read, changes meanwhile, or makes no torrent.
pub fn create(
    path: &Path,
    piece_length: u32,
    options: impl FnOnce(Builder) -> Builder,
    mut progress: impl FnMut(u64, u64),
) -> Result<Metainfo, CreateError> {
    let whole = std::path::absolute(path).map_err(|source| CreateError::Read { path: path.to_owned(), source })?;
    let name = whole.file_name().and_then(|name| name.to_str()).ok_or_else(|| CreateError::Name(path.to_owned()))?;
    let mut files: Vec<(Vec<String>, PathBuf, u64)> = Vec::new();
    gather(&whole, &mut Vec::new(), &mut files)?;
    let total = files.iter().fold(0_u64, |sum, (_, _, length)| sum.saturating_add(*length));
    let piece_length = if piece_length == 0 { recommended_piece_length(total) } else { piece_length };
    let mut builder = Builder::new(name, piece_length);
    for (steps, _, length) in &files {
        builder = if steps.is_empty() { builder.single_file(*length) } else { builder.add_file(steps.iter(), *length) };
    }
    let mut hasher = options(builder).hasher()?;
    let mut buf = vec![0; READ];
    for (_, path, length) in &files {
        let fault = |source| CreateError::Read { path: path.clone(), source };
        let mut file = File::open(path).map_err(fault)?.take(length.saturating_add(1));
        let mut seen = 0_u64;
        loop {
            let read = file.read(&mut buf).map_err(fault)?;
            if read == 0 {
                break;
            }
            seen = seen.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            if seen > *length {
                return Err(CreateError::Changed(path.clone()));
            }
            hasher.update(buf.get(..read).unwrap_or_default());
            progress(hasher.taken(), total);
        }
        if seen != *length {
            return Err(CreateError::Changed(path.clone()));
        }
    }
    Ok(hasher.finish()?)
}

/// Collects the regular files below `path`, in order, with their components relative to where the search began.
fn gather(
    path: &Path,
    steps: &mut Vec<String>,
    files: &mut Vec<(Vec<String>, PathBuf, u64)>,
) -> Result<(), CreateError> {
    let fault = |source| CreateError::Read { path: path.to_owned(), source };
    // Only the path that was named by the caller may be a link.
    let metadata = if steps.is_empty() { path.metadata() } else { path.symlink_metadata() }.map_err(fault)?;
    if metadata.is_file() {
        files.push((steps.clone(), path.to_owned(), metadata.len()));
    } else if metadata.is_dir() {
        let mut entries = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>())
            .map_err(fault)?;
        entries.sort();
        for entry in entries {
            let name = entry.file_name().and_then(|name| name.to_str());
            steps.push(name.ok_or_else(|| CreateError::Name(entry.clone()))?.to_owned());
            gather(&entry, steps, files)?;
            steps.pop();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileStorage, Storage as _, run};
    use unchoke_core::{DiskOutcome, DiskWork};
    use unchoke_metainfo::Version;

    #[test]
    fn a_created_torrent_checks_against_its_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("t/sub")).unwrap();
        std::fs::write(root.path().join("t/b"), vec![7; 100_000]).unwrap();
        std::fs::write(root.path().join("t/sub/a"), vec![9; 50_001]).unwrap();
        std::fs::write(root.path().join("t/empty"), b"").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("t/link")).unwrap();
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            let mut last = (0, 0);
            let options = |builder: Builder| builder.version(version).tracker("http://t/");
            let metainfo = create(&root.path().join("t"), 0, options, |done, all| last = (done, all));
            let info = std::sync::Arc::clone(metainfo.unwrap().info());
            assert_eq!((last, info.version()), ((150_001, 150_001), version));
            let files = info.layout().files();
            let names: Vec<_> = files.iter().filter(|file| !file.is_padding()).map(|file| file.to_path_buf()).collect();
            assert_eq!(names, ["t/b", "t/empty", "t/sub/a"].map(PathBuf::from));
            let store = FileStorage::read_only(root.path()).open(&info).unwrap();
            let suspects = store.recover().unwrap().suspects;
            assert_eq!(suspects.len(), info.geometry().piece_count() as usize);
            for piece in suspects {
                let work = DiskWork::Check { piece, expected: info.piece_hash(piece).unwrap(), digests: false };
                assert_eq!(run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { blocks: Vec::new() });
            }
        }
    }
}
