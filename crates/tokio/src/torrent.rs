//! A torrent of a client: how it is added, and the handle to it.

use crate::engine::Engine;
use crate::error::TorrentError;
use crate::listing;
use crate::tracker_report::TrackerReport;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use unchoke_core::{Bitfield, InfoHashes};
use unchoke_metainfo::{Info, Metainfo};
use unchoke_storage::{ListError, ListedTorrent, Storage};
use unchoke_swarm::{
    Event, FilePriorities, PeerInfo, PeerOrigin, PickerFactory, TorrentKey, TorrentState, TorrentStats,
};

/// A torrent to add to a [`Client`](crate::Client).
pub struct AddTorrent {
    pub(crate) info_hashes: InfoHashes,
    pub(crate) info: Option<Arc<Info>>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) trackers: Vec<Vec<String>>,
    pub(crate) picker: Option<PickerFactory>,
    pub(crate) file_priorities: FilePriorities,
    pub(crate) download_limit: Option<u64>,
    pub(crate) upload_limit: Option<u64>,
}

impl AddTorrent {
    /// A torrent of which all is known.
    #[must_use]
    pub fn from_metainfo(metainfo: &Metainfo, storage: impl Storage + 'static) -> Self {
        Self {
            info: Some(Arc::clone(metainfo.info())),
            trackers: metainfo.announce_tiers().to_vec(),
            ..Self::from_hashes(metainfo.info_hashes(), storage)
        }
    }

    /// A torrent of which only the name is known, as from a magnet link; peers are asked for the rest.
    #[must_use]
    pub fn from_hashes(info_hashes: InfoHashes, storage: impl Storage + 'static) -> Self {
        Self {
            info_hashes,
            info: None,
            storage: Arc::new(storage),
            peers: Vec::new(),
            trackers: Vec::new(),
            picker: None,
            file_priorities: FilePriorities::default(),
            download_limit: None,
            upload_limit: None,
        }
    }

    /// A torrent of a list, with another store, or the one that it had.
    #[must_use]
    pub fn from_listed(listed: &ListedTorrent, storage: impl Storage + 'static) -> Self {
        Self {
            info: listed.info.clone(),
            trackers: listed.trackers.clone(),
            file_priorities: listing::read_priorities(&listed.file_priorities),
            download_limit: listed.download_limit,
            upload_limit: listed.upload_limit,
            ..Self::from_hashes(listed.info_hashes, storage)
        }
    }

    /// Peers to try.
    #[must_use]
    pub fn peers(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.peers.extend(peers);
        self
    }

    /// Trackers beside those that the torrent names, each a tier of its own.
    #[must_use]
    pub fn trackers(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.trackers.extend(urls.into_iter().map(|url| vec![url.into()]));
        self
    }

    /// Chooses pieces in another way than rarest first.
    #[must_use]
    pub fn picker(mut self, picker: PickerFactory) -> Self {
        self.picker = Some(picker);
        self
    }

    /// How much each file is wanted. Files that are skipped from the start are not made.
    #[must_use]
    pub fn file_priorities(mut self, files: FilePriorities) -> Self {
        self.file_priorities = files;
        self
    }

    /// Limits in bytes per second; `None` is unlimited.
    #[must_use]
    pub fn limits(mut self, download: Option<u64>, upload: Option<u64>) -> Self {
        (self.download_limit, self.upload_limit) = (download, upload);
        self
    }
}

impl fmt::Debug for AddTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddTorrent").field("info_hashes", &self.info_hashes).finish_non_exhaustive()
    }
}

/// A torrent of a client. Dropping the handle does not remove it.
#[derive(Clone)]
pub struct Torrent {
    pub(crate) engine: Arc<Engine>,
    pub(crate) key: TorrentKey,
    pub(crate) info_hashes: InfoHashes,
}

impl Torrent {
    /// What names it.
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.info_hashes
    }

    /// Figures; `None` once it is removed.
    #[must_use]
    pub fn stats(&self) -> Option<TorrentStats> {
        self.engine.read(|core| core.session.stats(self.key))
    }

    /// Figures of its peers.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.engine.read(|core| core.session.peers(self.key))
    }

    /// The pieces that are verified and written; `None` until the metadata is known.
    #[must_use]
    pub fn verified(&self) -> Option<Bitfield> {
        self.engine.read(|core| core.session.verified(self.key).cloned())
    }

    /// What happens from now on. `None` once it is removed. A subscriber that does not keep up is told how much it missed.
    #[must_use]
    pub fn events(&self) -> Option<broadcast::Receiver<Arc<Event>>> {
        self.engine.read(|core| core.torrents.get(&self.key).map(|tasks| tasks.subscribe()))
    }

    /// What comes of announcing to its trackers, now and from now on: `borrow` shows it, `changed` waits. `None` once the
    /// torrent is removed. Who watches already sees the trackers take leave, after which the channel closes.
    #[must_use]
    pub fn trackers(&self) -> Option<watch::Receiver<TrackerReport>> {
        self.engine.read(|core| core.torrents.get(&self.key).map(|tasks| tasks.trackers.subscribe()))
    }

    /// Tells of peers.
    pub fn add_peers(&self, peers: &[SocketAddr]) {
        self.engine.with(|core, now| core.session.add_peers(now, self.key, peers, PeerOrigin::Manual));
    }

    /// Gives a file, by its number, another name: the names that lead to it from the folder of the store. It keeps that name.
    ///
    /// # Errors
    /// If the name is none, is taken, or the store has no files or cannot do it; all is as before then.
    pub async fn rename_file(&self, file: u32, path: &[&str]) -> Result<(), TorrentError> {
        let jobs = self.engine.jobs_of(self.key).ok_or(TorrentError::Removed)?;
        let _stays = jobs.place.lock().await;
        let store = self.engine.store_of(self.key).ok_or(TorrentError::Removed)?;
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        let renamed = tokio::task::spawn_blocking(move || {
            store.rename_file(file, &path.iter().map(String::as_str).collect::<Vec<_>>())
        });
        renamed.await.map_err(|_| TorrentError::Removed)?.map_err(|error| TorrentError::Store(Arc::new(error)))
    }

    /// Has everything that the store holds hashed anew; what is wrong is fetched again. [`Event::Checked`] tells the end.
    pub fn recheck(&self) {
        self.engine.with(|core, now| core.session.recheck(now, self.key));
    }

    /// Sets how much each file is wanted. Pieces that are begun are finished all the same, and what is here stays. What pieces bring of
    /// unwanted files waits beside the torrent until it is wanted. The list of the client, if it has one, says so when this returns.
    ///
    /// # Errors
    /// If that cannot be written to the list. It holds all the same until the client ends.
    pub async fn set_file_priorities(&self, files: FilePriorities) -> Result<(), ListError> {
        self.engine.with(|core, now| core.session.set_file_priorities(now, self.key, files));
        self.engine.write_down(self.info_hashes).await
    }

    /// Sets limits in bytes per second; `None` is unlimited. The list of the client, if it has one, says so when this returns.
    ///
    /// # Errors
    /// If that cannot be written to the list. It holds all the same until the client ends.
    pub async fn set_limits(&self, download: Option<u64>, upload: Option<u64>) -> Result<(), ListError> {
        self.engine.with(|core, now| {
            core.torrents.get_mut(&self.key).into_iter().for_each(|tasks| tasks.limits = (download, upload));
            core.session.set_torrent_limits(now, self.key, download, upload);
        });
        self.engine.write_down(self.info_hashes).await
    }

    /// Waits until every piece that is wanted is verified and written.
    ///
    /// # Errors
    /// If that will never be: the torrent was removed, or what a magnet link names turned out to be unusable.
    pub async fn completed(&self) -> Result<(), TorrentError> {
        let subscribed = self.engine.read(|core| {
            let tasks = core.torrents.get(&self.key)?;
            Some((tasks.subscribe(), tasks.failure.subscribe()))
        });
        let (mut events, mut failure) = subscribed.ok_or(TorrentError::Removed)?;
        let outcome = self.wait(&mut events, &mut failure).await;
        self.engine.read(|core| core.torrents.get(&self.key).map(|tasks| tasks.unsubscribe(events)));
        outcome
    }

    async fn wait(
        &self,
        events: &mut broadcast::Receiver<Arc<Event>>,
        failure: &mut watch::Receiver<Option<TorrentError>>,
    ) -> Result<(), TorrentError> {
        loop {
            if let Some(error) = failure.borrow_and_update().clone() {
                return Err(error);
            }
            match self.stats() {
                Some(stats) if stats.state == TorrentState::Seeding => return Ok(()),
                Some(_) => {}
                None => return Err(TorrentError::Removed),
            }
            tokio::select! {
                // That nobody can say any more is seen by the torrent being gone.
                _ = failure.changed() => {}
                event = events.recv() => if matches!(event, Err(broadcast::error::RecvError::Closed)) {
                    return Err(TorrentError::Removed);
                },
            }
        }
    }
}

impl fmt::Debug for Torrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Torrent").field("info_hashes", &self.info_hashes).finish_non_exhaustive()
    }
}
