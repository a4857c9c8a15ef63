//! Where a store keeps files.

use std::path::{Path, PathBuf};

/// A folder in which a store keeps files, and what it does there: enough to open it again after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageFolder {
    path: PathBuf,
    access: Access,
}

/// What a store does in its folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Access {
    /// It takes the room for a file when it makes the file.
    Preallocate,
    /// It writes.
    ReadWrite,
    /// It reads.
    ReadOnly,
}

impl StorageFolder {
    /// A folder.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { path: path.into(), access }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is done there.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }
}
