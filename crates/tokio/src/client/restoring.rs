//! The torrents of an earlier run.

use super::{Client, ClientError};
use crate::torrent::{AddTorrent, Torrent};
use unchoke_core::InfoHashes;
use unchoke_storage::{FileStorage, ListError, ListedTorrent};

/// What came of adding the torrents of a list.
#[derive(Default, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// The torrents that are here again.
    pub torrents: Vec<Torrent>,
    /// Those that are not. They stay on the list.
    pub faults: Vec<RestoreError>,
}

/// Why a torrent of the list is not here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// What the list says of it cannot be read.
    #[error("list")]
    List(#[from] ListError),
    /// Its data is in no folder. It can be added with [`AddTorrent::from_listed`], which takes a store.
    #[error("the data of torrent {} is in no folder", .0.info_hashes)]
    NoFolder(Box<ListedTorrent>),
    /// It cannot be added.
    #[error("cannot add torrent {torrent}")]
    Add {
        /// Which.
        torrent: InfoHashes,
        /// Why.
        source: ClientError,
    },
}

impl Client {
    /// Adds all torrents of the [list](super::ClientBuilder::list) that are not here, as they were, each with its files in the folder in which
    /// it had them. Call it when the client is built.
    ///
    /// # Errors
    /// If the list cannot be read at all. What is wrong with single torrents is told in the result and hinders no other.
    pub async fn restore(&self) -> Result<Restored, ClientError> {
        let Some(list) = self.engine.list.clone() else { return Ok(Restored::default()) };
        let listed = super::blocking(move || list.load()).await??;
        let faults = listed.faults.into_iter().map(RestoreError::List).collect();
        let mut restored = Restored { torrents: Vec::new(), faults };
        for listed in listed.torrents {
            let torrent = listed.info_hashes;
            let Some(folder) = listed.folder.clone() else {
                restored.faults.push(RestoreError::NoFolder(Box::new(listed)));
                continue;
            };
            match self.take_in(AddTorrent::from_listed(&listed, FileStorage::from(folder))).await {
                Ok(torrent) => restored.torrents.push(torrent),
                Err(ClientError::Duplicate(_)) => {}
                Err(source) => restored.faults.push(RestoreError::Add { torrent, source }),
            }
        }
        Ok(restored)
    }
}
