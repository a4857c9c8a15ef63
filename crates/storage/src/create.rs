//! Torrents from files.

use crate::hashing::{Digest, Fault, Plan, hash_all};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use unchoke_core::{Geometry, PieceIndex, Sha1Hash, Sha256Hash};
use unchoke_metainfo::merkle::FileHashes;
use unchoke_metainfo::{BuildError, Builder, Hashes, Metainfo, Version, recommended_piece_length};

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
    /// The progress function wanted no more.
    #[error("cancelled")]
    Cancelled,
    /// It makes no torrent.
    #[error("cannot build the torrent")]
    Build(#[from] BuildError),
}

/// Makes a torrent of a file, or of all files below a folder in the order of their names. Symbolic links and special files are left out.
///
/// `options` gets a builder with name and piece length and may add trackers and the like. The pieces are hashed on all cores, in memory of
/// 256 KiB a thread. `progress` is told the bytes hashed and the bytes in all, some twenty times a second, on the calling thread; it ends the
/// work by breaking. `piece_length` 0 chooses a length that fits.
///
/// # Errors
/// If something cannot be read, changes meanwhile, or makes no torrent.
pub fn create(
    path: &Path,
    piece_length: u32,
    options: impl FnOnce(Builder) -> Builder,
    progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Metainfo, CreateError> {
    let whole = std::path::absolute(path).map_err(|source| CreateError::Read { path: path.to_owned(), source })?;
    let name = whole.file_name().and_then(|name| name.to_str()).ok_or_else(|| CreateError::Name(path.to_owned()))?;
    let mut files: Vec<Source> = Vec::new();
    gather(&whole, &mut Vec::new(), &mut files)?;
    let total = files.iter().fold(0_u64, |sum, source| sum.saturating_add(source.length));
    let piece_length = if piece_length == 0 { recommended_piece_length(total) } else { piece_length };
    let mut builder = Builder::new(name, piece_length);
    for Source { steps, length, .. } in &files {
        builder = if steps.is_empty() { builder.single_file(*length) } else { builder.add_file(steps.iter(), *length) };
    }
    let builder = options(builder);
    let hashes = hash(&builder, &files, total, progress)?;
    if let Some(source) = files.into_iter().find(Source::has_changed) {
        return Err(CreateError::Changed(source.path));
    }
    Ok(builder.finish_with_hashes(hashes)?)
}

/// Hashes the files in whichever way the builder's version asks for.
fn hash(
    builder: &Builder,
    sources: &[Source],
    total: u64,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Hashes, CreateError> {
    let (layout, geometry) = (builder.layout()?, builder.geometry()?);
    // Files that are no padding come in the order in which they were added.
    let real = layout.files().iter().enumerate().filter(|(_, file)| !file.is_padding()).map(|(number, _)| number);
    let by_number: BTreeMap<usize, &Source> = real.zip(sources).collect();
    let open = |number: usize| {
        let source = by_number.get(&number).ok_or(io::ErrorKind::NotFound)?;
        let file = File::open(&source.path)?;
        if file.metadata()?.len() == source.length { Ok(file) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    let version = builder.torrent_version();
    let plan = Plan { layout: &layout, geometry: &geometry, version, open: &open };
    let count = geometry.piece_count() as usize;
    let mut pieces: Vec<Option<Sha1Hash>> = vec![None; count];
    let mut roots: Vec<Option<Sha256Hash>> = vec![None; count];
    let mut fault: Option<Fault> = None;
    let take = |piece: PieceIndex, result: Result<Digest, Fault>| match result {
        Ok(digest) => {
            if let (Some(sha1), Some(root)) = (pieces.get_mut(piece.0 as usize), roots.get_mut(piece.0 as usize)) {
                (*sha1, *root) = (digest.sha1, digest.root);
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            fault = Some(error);
            ControlFlow::Break(())
        }
    };
    let result = hash_all(&plan, take, |done| progress(done.min(total), total));
    if let Some((number, source)) = fault {
        let path = by_number.get(&number).map(|source| source.path.clone()).unwrap_or_default();
        let changed = source.kind() == io::ErrorKind::UnexpectedEof;
        return Err(if changed { CreateError::Changed(path) } else { CreateError::Read { path, source } });
    }
    result.map_err(|_| CreateError::Cancelled)?;
    let mut hashes = Hashes::default();
    if version != Version::V2 {
        hashes.pieces = pieces.into_iter().flatten().collect();
    }
    if version != Version::V1 {
        for (number, source) in &by_number {
            let start = layout.files().get(*number).map_or(0, |file| file.offset());
            hashes.files.extend(file_hashes(&geometry, &roots, start, source.length));
        }
    }
    Ok(hashes)
}

/// The hashes of the file that begins at `start`, out of the roots of all pieces.
fn file_hashes(geometry: &Geometry, roots: &[Option<Sha256Hash>], start: u64, length: u64) -> Option<FileHashes> {
    let count = usize::try_from(length.div_ceil(geometry.piece_length().into())).ok()?;
    let first = if length == 0 { 0 } else { piece_at(geometry, start)? };
    let own = roots.get(first..first.checked_add(count)?)?;
    FileHashes::from_piece_roots(length, geometry.piece_length(), own.iter().copied().collect::<Option<_>>()?)
}

/// The piece that begins at `offset`.
fn piece_at(geometry: &Geometry, offset: u64) -> Option<usize> {
    let begins = |piece: u32| geometry.piece_offset(PieceIndex(piece)).unwrap_or(u64::MAX);
    let (mut low, mut high) = (0, geometry.piece_count());
    while low < high {
        let middle = low.midpoint(high);
        if begins(middle) < offset { low = middle.checked_add(1)? } else { high = middle }
    }
    (begins(low) == offset).then_some(low as usize)
}

/// A file to be hashed.
struct Source {
    /// Its path below the torrent's name.
    steps: Vec<String>,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl Source {
    fn has_changed(&self) -> bool {
        let now = self.path.metadata();
        now.map_or(true, |now| now.len() != self.length || now.modified().ok() != self.modified)
    }
}

/// Collects the regular files below `path`, in order, with their components relative to where the search began.
fn gather(path: &Path, steps: &mut Vec<String>, files: &mut Vec<Source>) -> Result<(), CreateError> {
    let fault = |source| CreateError::Read { path: path.to_owned(), source };
    // Only the path that was named by the caller may be a link.
    let metadata = if steps.is_empty() { path.metadata() } else { path.symlink_metadata() }.map_err(fault)?;
    if metadata.is_file() {
        let (length, modified) = (metadata.len(), metadata.modified().ok());
        files.push(Source { steps: steps.clone(), path: path.to_owned(), length, modified });
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
            let metainfo = create(&root.path().join("t"), 0, options, |done, all| {
                last = (done, all);
                ControlFlow::Continue(())
            });
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

    /// Files of many lengths, in folders, with what lies in them.
    fn files(root: &Path) -> Vec<(&'static str, Vec<u8>)> {
        let lengths =
            [("a", 0), ("b/c", 100_000), ("b/d", 16_384), ("e", 1), ("f", 65_536), ("g/h/i", 300_001), ("z", 0)];
        let noise = |length: usize, salt: usize| {
            (0..length).map(move |at| (at.wrapping_mul(0x9e37_79b9) >> 9) as u8 ^ salt as u8)
        };
        let made: Vec<_> =
            lengths.iter().map(|(name, length)| (*name, noise(*length, name.len()).collect::<Vec<u8>>())).collect();
        for (name, bytes) in &made {
            let path = root.join("t").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        made
    }

    #[test]
    fn side_by_side_gives_the_hashes_of_one_after_the_other() {
        let root = tempfile::tempdir().unwrap();
        let made = files(root.path());
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            for piece_length in [16_384, 32_768, 262_144, 1 << 20] {
                let options = |builder: Builder| builder.version(version);
                let fast =
                    create(&root.path().join("t"), piece_length, options, |_, _| ControlFlow::Continue(())).unwrap();
                let mut builder = Builder::new("t", piece_length).version(version);
                for (name, bytes) in &made {
                    builder = builder.add_file(name.split('/'), bytes.len() as u64);
                }
                let mut hasher = builder.hasher().unwrap();
                made.iter().for_each(|(_, bytes)| hasher.update(bytes));
                assert_eq!(fast.to_bytes(), hasher.finish().unwrap().to_bytes(), "{version:?} {piece_length}");
            }
        }
    }

    #[test]
    fn a_check_finds_what_is_wrong_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        files(root.path());
        let go_on = |_, _| ControlFlow::Continue(());
        for version in [Version::V1, Version::V2, Version::Hybrid] {
            files(root.path());
            let metainfo = create(&root.path().join("t"), 32_768, |builder| builder.version(version), go_on).unwrap();
            let info = metainfo.info();
            assert!(crate::check(info, root.path(), go_on).unwrap().is_full(), "{version:?}");
            let mut bytes = std::fs::read(root.path().join("t/g/h/i")).unwrap();
            bytes[200_000] ^= 1;
            std::fs::write(root.path().join("t/g/h/i"), bytes).unwrap();
            let found = crate::check(info, root.path(), go_on).unwrap();
            assert_eq!(found.len() - found.count(), 1, "{version:?}");
            std::fs::remove_file(root.path().join("t/b/c")).unwrap();
            let found = crate::check(info, root.path(), go_on).unwrap();
            assert!((2..=6).contains(&(found.len() - found.count())), "{version:?}: {}", found.count());
            let stopped = crate::check(info, root.path(), |_, _| ControlFlow::Break(()));
            assert_eq!(stopped, Err(crate::CheckCancelled));
        }
        let broken = create(&root.path().join("t"), 0, |builder| builder, |_, _| ControlFlow::Break(()));
        assert!(matches!(broken, Err(CreateError::Cancelled)));
    }
}
