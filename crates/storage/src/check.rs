//! Whether files hold what a torrent describes.

use crate::fs::OpenMode;
use crate::fs::os::beneath;
use crate::hashing::{Plan, hash_all};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use unchoke_core::{Bitfield, PieceHash};
use unchoke_metainfo::Info;

/// The check was ended by its progress function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cancelled")]
#[non_exhaustive]
pub struct CheckCancelled;

/// Hashes the files of a torrent below `folder`, the folder that holds the torrent's name, on all cores, and tells which pieces are right.
///
/// A piece is wrong if a file of it is missing, too short, unreadable, or reached by a symbolic link. Nothing is written. `progress` is told
/// the bytes hashed and the bytes in all, some twenty times a second, on the calling thread; it ends the check by breaking.
///
/// # Errors
/// If `progress` breaks.
pub fn check(
    info: &Info,
    folder: &Path,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Bitfield, CheckCancelled> {
    let open = |number: usize| {
        let entry = info.layout().files().get(number).ok_or(io::ErrorKind::NotFound)?;
        let path: Vec<&str> = entry.components().collect();
        beneath::open(folder, &path, OpenMode::Read)
    };
    let plan = Plan { layout: info.layout(), geometry: info.geometry(), version: info.version(), open: &open };
    let mut right = Bitfield::new(info.geometry().piece_count());
    let total = info.geometry().total_len();
    let verdict = |piece, result: Result<crate::hashing::Digest, _>| {
        let is_right = result.is_ok_and(|found| match info.piece_hash(piece) {
            Some(PieceHash::V1(wanted)) => found.sha1 == Some(wanted),
            Some(PieceHash::V2(wanted)) => found.root == Some(wanted.root),
            Some(PieceHash::Hybrid(sha1, wanted)) => found.sha1 == Some(sha1) && found.root == Some(wanted.root),
            _ => false,
        });
        if is_right {
            right.insert(piece);
        }
        ControlFlow::Continue(())
    };
    hash_all(&plan, verdict, |done| progress(done.min(total), total)).map_err(|_| CheckCancelled)?;
    Ok(right)
}
