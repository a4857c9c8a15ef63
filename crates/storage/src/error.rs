//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};
use unchoke_core::{Block, DiskError, PieceIndex};

/// A store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{kind}{}", .path.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default())]
pub struct StorageError {
    kind: StorageErrorKind,
    path: Option<PathBuf>,
    #[source]
    source: Option<io::Error>,
}

/// The kinds of [`StorageError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// There is no room left.
    #[error("no space left")]
    Full,
    /// The data is not there.
    #[error("data missing")]
    Missing,
    /// There is no permission, or the file system is read-only.
    #[error("access denied")]
    Denied,
    /// Somebody else has changed a file since it was last looked at. What is in it has to be hashed anew before it counts.
    #[error("changed by somebody else")]
    Changed,
    /// The store is bounded, and the piece had to give way to others.
    #[error("data evicted")]
    Evicted,
    /// Another process has the store open.
    #[error("in use by another process")]
    Locked,
    /// Another file has the name already.
    #[error("name in use")]
    Occupied,
    /// The store has no such operation.
    #[error("not supported by the store")]
    Unsupported,
    /// The caller has ended it.
    #[error("cancelled")]
    Cancelled,
    /// The operating system reports something else.
    #[error("i/o failure")]
    Io,
    /// The caller named a block that the torrent does not have.
    #[error("block {0} is outside the torrent")]
    OutOfRange(Block),
    /// The caller wanted to write to a piece that is committed.
    #[error("piece {0} is committed and must not be overwritten")]
    Committed(PieceIndex),
    /// The path leads through a symbolic link, or to something that is not a file.
    #[error("path leaves the folder")]
    Escapes,
}

impl StorageError {
    /// An error of this kind, for stores of your own.
    #[must_use]
    pub fn new(kind: StorageErrorKind) -> Self {
        Self { kind, path: None, source: None }
    }

    /// What the operating system said about a file. The kind follows from it.
    #[must_use]
    pub fn io(path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::Full,
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => StorageErrorKind::Missing,
            io::ErrorKind::ResourceBusy => StorageErrorKind::Locked,
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => StorageErrorKind::Escapes,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::FileTooLarge => {
                StorageErrorKind::Denied
            }
            _ => StorageErrorKind::Io,
        };
        Self { kind, path: Some(path.to_owned()), source: Some(source) }
    }

    /// The same error, of a file.
    #[must_use]
    pub fn at(self, path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }

    /// The file that it went wrong with, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl From<&StorageError> for DiskError {
    fn from(error: &StorageError) -> Self {
        match error.kind {
            StorageErrorKind::Full => Self::Full,
            StorageErrorKind::Missing => Self::Missing,
            StorageErrorKind::Changed => Self::Changed,
            StorageErrorKind::Evicted => Self::Evicted,
            StorageErrorKind::Locked => Self::Locked,
            StorageErrorKind::Denied | StorageErrorKind::Escapes => Self::Denied,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_cannot_cure_is_told_from_a_full_disk() {
        use io::ErrorKind::*;
        let told = |kind: io::ErrorKind| DiskError::from(&StorageError::io(Path::new("file"), kind.into()));
        for kind in [PermissionDenied, ReadOnlyFilesystem, IsADirectory, NotADirectory, FileTooLarge] {
            assert_eq!(told(kind), DiskError::Denied, "{kind}");
        }
        for kind in [StorageFull, QuotaExceeded] {
            assert_eq!(told(kind), DiskError::Full, "{kind}");
        }
        assert_eq!(told(NotFound), DiskError::Missing);
        assert_eq!(told(TimedOut), DiskError::Io);
    }
}
