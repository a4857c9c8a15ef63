//! What can be wrong with a torrent file, and where; and what is odd but can be lived with.

use std::fmt;
use unchoke_bencode as bencode;
use unchoke_core::GeometryError;

/// Why the bytes are no torrent that can be loaded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not bencoded.
    #[error(transparent)]
    Bencode(bencode::ErrorKind),
    /// A key that has to be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The value of a key is not of the type it has to be.
    #[error("`{0}` has the wrong type")]
    WrongType(&'static str),
    /// The info dictionary has more bytes than [`MAX_INFO_LEN`](crate::info::MAX_INFO_LEN).
    #[error("info dictionary of {0} bytes is too long")]
    InfoTooLong(usize),
    /// A length is negative.
    #[error("length {0} is negative")]
    NegativeLength(i64),
    /// The file lengths add up to more than 2^63 - 1 bytes.
    #[error("file lengths add up to too much")]
    TotalTooLong,
    /// The piece length does not suit the total length.
    #[error(transparent)]
    Geometry(GeometryError),
    /// There are not 20 bytes of hash for every piece.
    #[error("{found} bytes of piece hashes, expected {expected}")]
    PiecesLength {
        /// The number of bytes that the lengths ask for.
        expected: u64,
        /// The number of bytes found.
        found: usize,
    },
    /// A torrent has both a length and a list of files, or neither.
    #[error("not exactly one of `length` and `files` is given")]
    LengthOrFiles,
    /// The list of files is empty.
    #[error("no files")]
    NoFiles,
    /// There are more files than [`MAX_FILES`](crate::info::MAX_FILES).
    #[error("{0} files are too many")]
    TooManyFiles(usize),
    /// A path has no components, or more than [`MAX_PATH_DEPTH`](crate::info::MAX_PATH_DEPTH).
    #[error("path of {0} components")]
    PathDepth(usize),
    /// The torrent is of a version that is not supported.
    #[error("unsupported version {0}")]
    UnsupportedVersion(i64),
}

/// Why a torrent cannot be loaded, and at which byte. It is always the fault of whoever made the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetainfoError {
    kind: ErrorKind,
    offset: Option<usize>,
}

impl MetainfoError {
    pub(crate) fn at(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset: Some(offset) }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Bytes from the start of the input to the fault, or to the value or dictionary that it is in, when known.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }
}

impl From<bencode::Error> for MetainfoError {
    fn from(error: bencode::Error) -> Self {
        Self::at(ErrorKind::Bencode(error.kind()), error.offset())
    }
}

impl fmt::Display for MetainfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        self.offset.map_or(Ok(()), |offset| write!(f, " at byte {offset}"))
    }
}

impl std::error::Error for MetainfoError {}

/// Something odd about a torrent that loads nevertheless.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Dictionary keys are not in order. The exact bytes are kept, so the info-hash is what it is.
    #[error("dictionary keys are not sorted")]
    NotCanonical,
    /// The torrent is a hybrid (BEP 52) and is loaded by its v1 part alone.
    #[error("hybrid torrent is loaded as version 1")]
    HybridAsV1,
    /// The name of the torrent is no safe file name everywhere and was replaced.
    #[error("name is replaced by {to:?}")]
    NameReplaced {
        /// The name to use on disk.
        to: String,
    },
    /// The path of a file is unsafe somewhere, or collides with another, and was replaced.
    #[error("path of file {file} is replaced by {to:?}")]
    PathReplaced {
        /// The number of the file.
        file: usize,
        /// The path to use on disk, joined by `/`.
        to: String,
    },
    /// A symbolic link (BEP 47) is treated as a plain file; it is never followed.
    #[error("file {0} is a symbolic link and treated as a plain file")]
    Symlink(usize),
    /// A field that is not needed is malformed and was ignored, wholly or in part.
    #[error("malformed `{0}` is ignored")]
    Ignored(&'static str),
}
