//! Why a torrent cannot be made.

use crate::error::MetainfoError;
use unchoke_core::GeometryError;

/// Why a torrent cannot be made. It is the caller's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No file was given.
    #[error("no files")]
    NoFiles,
    /// Both a single file and files below a directory were given.
    #[error("a torrent is either a single file or a directory")]
    SingleAndMany,
    /// There are more files than [`MAX_FILES`](crate::info::MAX_FILES).
    #[error("{0} files are too many")]
    TooManyFiles(usize),
    /// A path has no components, or more than [`MAX_PATH_DEPTH`](crate::info::MAX_PATH_DEPTH).
    #[error("path of {0} components")]
    PathDepth(usize),
    /// A name is empty, `.` or `..`, or holds a `/` or a NUL, and so is the name of no file anywhere.
    #[error("{0:?} is no file name")]
    Name(String),
    /// The files of a v2 torrent are not in the order of their paths; [`sort_files`](super::Builder::sort_files) helps.
    #[error("{0:?} is not in the order of a file tree")]
    Order(String),
    /// Two files of a v2 torrent have one path, or a file has that of a directory.
    #[error("{0:?} is there twice")]
    Taken(String),
    /// The file lengths add up to more than 2^63 - 1 bytes.
    #[error("file lengths add up to too much")]
    TotalTooLong,
    /// The piece length does not suit the total length.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The piece length of a v2 torrent is no power of two, or below 16 KiB.
    #[error("piece length {0} is no power of two from 16 KiB")]
    PieceLengthV2(u32),
    /// The hashes of that many pieces do not fit into an info dictionary.
    #[error("{0} pieces are too many, a greater piece length is needed")]
    TooManyPieces(u32),
    /// There is not one hash for every piece.
    #[error("{found} piece hashes, expected {expected}")]
    HashCount {
        /// The number of pieces.
        expected: u32,
        /// The number of hashes.
        found: usize,
    },
    /// There are not the hashes of every file.
    #[error("hashes of {found} files, expected {expected}")]
    FileCount {
        /// The number of files.
        expected: usize,
        /// The number of files that were hashed.
        found: usize,
    },
    /// The hashes of a file are those of another length, or for another piece length.
    #[error("hashes do not suit file {0}")]
    FileHashes(usize),
    /// There are not as many bytes as the files were said to have.
    #[error("{found} bytes, expected {expected}")]
    ByteCount {
        /// The length of all files.
        expected: u64,
        /// The number of bytes taken.
        found: u64,
    },
    /// The info dictionary would be one that cannot be loaded again, such as a too long one.
    #[error(transparent)]
    Info(#[from] MetainfoError),
}
