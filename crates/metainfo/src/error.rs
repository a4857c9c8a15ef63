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
    /// The paths of all files together are many times longer than the tree that they are made of.
    #[error("paths of more than {0} bytes")]
    PathsTooLong(usize),
    /// The torrent is of a version that is not supported.
    #[error("unsupported version {0}")]
    UnsupportedVersion(i64),
    /// There is a file tree, but no `meta version` 2 that would give it a meaning.
    #[error("`file tree` without `meta version` 2")]
    TreeWithoutVersion,
    /// The piece length of a v2 torrent is no power of two, or below 16 KiB.
    #[error("piece length {0} is no power of two from 16 KiB")]
    PieceLengthV2(u32),
    /// The keys of a file tree are not in order, or one is there twice, so that the order of the files is not certain.
    #[error("file tree is not sorted")]
    UnsortedTree,
    /// Something in the file tree is a file and a directory at once, or the tree itself is a file.
    #[error("a file of the tree has siblings or is the root")]
    FileAndDirectory,
    /// A file of the tree is said to be padding, which v2 torrents do not need.
    #[error("padding in the file tree")]
    PaddingInTree,
    /// The pieces root of a file is missing, or not 32 bytes, or all zeros, or that of a file without bytes.
    #[error("no pieces root where there has to be one, or one where there must be none")]
    PiecesRoot,
    /// The two descriptions of a hybrid torrent do not agree.
    #[error("file {file} differs in the two halves of a hybrid: {what}")]
    Hybrid {
        /// The number of the file in the file tree.
        file: usize,
        /// What differs.
        what: Mismatch,
    },
    /// There is no piece layer of a file that is longer than a piece.
    #[error("file {0} has no piece layer")]
    MissingLayer(usize),
    /// A piece layer is that of no file, or of one that needs none.
    #[error("piece layer of no file that needs one")]
    UnknownLayer,
    /// A piece layer has not one hash for each piece of its file.
    #[error("piece layer of {found} bytes, expected {expected}")]
    LayerLength {
        /// The number of bytes that the length of the file asks for.
        expected: u64,
        /// The number of bytes found.
        found: usize,
    },
    /// The hashes of a piece layer do not lead to the pieces root of the file.
    #[error("piece layer does not lead to its root")]
    LayerHash,
}

/// In what the two halves of a hybrid torrent differ (BEP 52, "Upgrade Path").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The number of files.
    #[error("number of files")]
    Count,
    /// The path, and so the order.
    #[error("path")]
    Path,
    /// The length.
    #[error("length")]
    Length,
    /// The piece at which the file begins: padding is missing, too short or too long.
    #[error("alignment")]
    Alignment,
    /// The padding after the last file.
    #[error("padding at the end")]
    Padding,
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
    /// The name of the torrent is no safe file name everywhere and was replaced.
    #[error("name is replaced by {to:?}")]
    NameReplaced {
        /// The name to use on disk.
        to: String,
    },
    /// Paths that are unsafe somewhere, or collide with others, were replaced; see [`FileEntry::is_renamed`](crate::FileEntry::is_renamed).
    #[error("{count} paths are replaced, the first is that of file {first}")]
    PathsReplaced {
        /// The number of the first such file.
        first: usize,
        /// How many there are.
        count: usize,
    },
    /// Symbolic links (BEP 47) that lead out of the torrent, in a circle, or to nothing have no target.
    #[error("{count} symbolic links lead nowhere, the first is file {first}")]
    LinksWithoutTarget {
        /// The number of the first such file.
        first: usize,
        /// How many there are.
        count: usize,
    },
    /// The torrent has one hash for all (BEP 30), so there are no hashes of pieces: none can be verified.
    #[error("pieces cannot be verified: there is a root hash only")]
    RootHash,
    /// A field that is not needed is malformed and was ignored, wholly or in part.
    #[error("malformed `{0}` is ignored")]
    Ignored(&'static str),
    /// A field has more values than [`MAX_LISTED`](crate::parts::MAX_LISTED); the rest was ignored.
    #[error("`{0}` is too long and was cut")]
    Cut(&'static str),
}
