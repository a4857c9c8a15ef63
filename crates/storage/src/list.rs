//! The torrents that a client has, so that it finds them again after it was killed.

mod entry;

use crate::fs::os::OsFs;
use crate::fs::{self, Fs, OpenMode};
pub use entry::{EntryError, FilesPriority, ListedTorrent};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unchoke_core::InfoHashes;

/// What the names of files end in that list a torrent each.
const ENDING: &str = ".entry";

/// The torrents that a client has, one file each, in a folder of their own. A file is replaced as a whole and durable when a call returns:
/// after a crash a torrent is listed as it was before or after a call, and what is wrong with one file concerns no other torrent.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use unchoke_core::{InfoHashes, Sha1Hash};
/// use unchoke_storage::{ListedTorrent, TorrentList};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let list = TorrentList::new(folder.join("torrents"));
/// let mut magnet = ListedTorrent::new(InfoHashes::v1(Sha1Hash::new([7; 20])));
/// magnet.trackers = vec![vec!["udp://tracker.example:6969".to_owned()]];
/// list.put(&magnet)?;
/// let found = list.load()?;
/// assert_eq!(found.torrents[0].trackers, magnet.trackers);
/// assert!(found.faults.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TorrentList {
    /// What stands before paths in errors.
    root: PathBuf,
    fs: Arc<dyn Fs>,
}

/// What a [`TorrentList`] holds.
#[derive(Default, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The torrents, in the order of their info-hashes.
    pub torrents: Vec<ListedTorrent>,
    /// What could not be read. It stays where it is.
    pub faults: Vec<ListError>,
}

/// Why the list cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The system refused.
    #[error("cannot read or write {path}")]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file lists no torrent.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EntryError,
    },
}

impl TorrentList {
    /// The list in this folder, which is made when it is first written to. One client at a time may use it.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let root = folder.into();
        Self { fs: Arc::new(OsFs::new(&root)), root }
    }

    /// The list in a file system of another kind.
    #[must_use]
    pub fn on(fs: impl Fs + 'static) -> Self {
        Self { root: PathBuf::new(), fs: Arc::new(fs) }
    }

    /// Lists a torrent, in place of what was listed of it before.
    ///
    /// # Errors
    /// If that cannot be made durable. It may be listed all the same.
    pub fn put(&self, torrent: &ListedTorrent) -> Result<(), ListError> {
        let name = file_name(&torrent.info_hashes);
        let bytes = torrent.to_bytes();
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= entry::MAX_LEN) {
            return fs::replace(self.fs.as_ref(), &[], &name, &bytes).map_err(self.fault(&name));
        }
        Err(ListError::Damaged { path: self.root.join(&name), source: EntryError::TooLong })
    }

    /// Lists a torrent no longer.
    ///
    /// # Errors
    /// If that cannot be made durable. It may be listed no longer all the same.
    pub fn remove(&self, torrent: &InfoHashes) -> Result<(), ListError> {
        let name = file_name(torrent);
        let removed = match self.fs.remove(&[&name]) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed,
        };
        removed.and_then(|()| self.fs.sync_folder(&[])).map_err(self.fault(&name))
    }

    /// What is listed. Nothing if there is no folder.
    ///
    /// # Errors
    /// If the folder cannot be read; single files that cannot are told in the result.
    pub fn load(&self) -> Result<Listed, ListError> {
        let mut names = match self.fs.list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(self.fault(""))?,
        };
        names.retain(|name| name.ends_with(ENDING));
        names.sort_unstable();
        let mut listed = Listed::default();
        for name in names {
            match self.read(&name) {
                Ok(torrent) => listed.torrents.push(torrent),
                Err(fault) => listed.faults.push(fault),
            }
        }
        Ok(listed)
    }

    fn read(&self, name: &str) -> Result<ListedTorrent, ListError> {
        let damaged = |source| ListError::Damaged { path: self.root.join(name), source };
        let file = self.fs.open(&[name], OpenMode::Read).map_err(self.fault(name))?;
        let length = file.metadata().map_err(self.fault(name))?.length;
        let length = usize::try_from(length).ok().filter(|_| length <= entry::MAX_LEN);
        let mut bytes = vec![0; length.ok_or_else(|| damaged(EntryError::TooLong))?];
        file.read_at(0, &mut bytes).map_err(self.fault(name))?;
        let torrent = ListedTorrent::from_bytes(&bytes).map_err(damaged)?;
        // A copy under another name would be a second torrent of one name.
        if file_name(&torrent.info_hashes) == name { Ok(torrent) } else { Err(damaged(EntryError::Field("info-hash"))) }
    }

    fn fault(&self, name: &str) -> impl FnOnce(io::Error) -> ListError + use<> {
        let path = self.root.join(Path::new(name));
        move |source| ListError::Io { path, source }
    }
}

impl fmt::Debug for TorrentList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorrentList").field("root", &self.root).finish_non_exhaustive()
    }
}

fn file_name(torrent: &InfoHashes) -> String {
    format!("{torrent}{ENDING}")
}

#[cfg(test)]
mod tests;
