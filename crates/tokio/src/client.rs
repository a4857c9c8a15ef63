//! A client: one session, its sockets, its disk pool, its clock.

mod moving;
#[cfg(feature = "dht")]
mod mutable;
mod restoring;

use crate::announce::Network;
use crate::connection;
#[cfg(feature = "dht")]
use crate::dht::{self, Dht};
use crate::disk;
use crate::engine::{Core, Engine, Request, TorrentTasks};
use crate::entropy::entropy;
use crate::error::TlsError;
use crate::error::TorrentError;
#[cfg(feature = "dht")]
use crate::finder::Finder;
#[cfg(feature = "https")]
use crate::tls::Tls;
use crate::torrent::{AddTorrent, Torrent};
use crate::tracker::Announcer;
use crate::tracker_report::TrackerReport;
use crate::udp::{Endpoint, Sockets};
pub use restoring::{RestoreError, Restored};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::task::JoinSet;
use unchoke_core::{InfoHashes, PeerId, Seed};
use unchoke_metainfo::Info;
use unchoke_storage::{ListError, Storage, StorageError, TorrentList, TorrentStorage};
#[cfg(feature = "dht")]
use unchoke_swarm::DhtPorts;
use unchoke_swarm::{Content, Direction, PeerOrigin, Session, SessionConfig, TorrentKey, TorrentParams};
use unchoke_tracker::tiers::Tiers;
use unchoke_tracker::{AnnounceRequest, TrackerUrl};

/// The wait after the system refused to accept a connection, say for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long trackers are given to hear that we leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// A BitTorrent client on tokio. Dropping it ends its connections; [`shutdown`](Self::shutdown) also makes all state durable.
pub struct Client {
    engine: Arc<Engine>,
    local: Option<SocketAddr>,
    network: Network,
    tasks: JoinSet<()>,
    announcers: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    #[cfg(feature = "dht")]
    dht: Option<Dht>,
}

/// Settings of a [`Client`].
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    config: SessionConfig,
    listen: Option<SocketAddr>,
    disk_threads: Option<usize>,
    list: Option<PathBuf>,
    #[cfg(feature = "dht")]
    dht: Option<(unchoke_dht::Config, Vec<String>)>,
    #[cfg(feature = "https")]
    tracker_roots: Vec<Vec<u8>>,
}

/// Why a client could not be built or a torrent not be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gave no thread or no entropy.
    #[error("the system refused {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A certificate cannot be trusted as a root, or TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The store cannot be opened or read.
    #[error("storage")]
    Storage(#[from] StorageError),
    /// The list of torrents cannot be read or written.
    #[error("list of torrents")]
    List(#[from] ListError),
    /// The torrent is here already. Two engines over the same files would overwrite one another.
    #[error("torrent {0} is here already")]
    Duplicate(InfoHashes),
    /// Peers would have to be asked for the hashes of a v2 torrent (BEP 52), which is not done yet.
    #[error("torrent {0} is a v2 torrent of which only the name is known")]
    V2Name(InfoHashes),
    /// The client has no node of the DHT, in which mutable torrents are looked up.
    #[cfg(feature = "dht")]
    #[error("the client has no node of the DHT")]
    NoDht,
    /// The link's salt is longer than that of an item.
    #[cfg(feature = "dht")]
    #[error("no item can have that salt")]
    Salt(#[from] unchoke_dht::item::ItemError),
    /// What the key of a mutable torrent publishes is no torrent.
    #[cfg(feature = "dht")]
    #[error("what the key publishes with sequence number {seq} is no torrent")]
    NoTorrent {
        /// Its sequence number.
        seq: i64,
        /// Why it is none.
        source: unchoke_dht::mutable_torrent::TorrentValueError,
    },
    /// The torrent was removed.
    #[error("the torrent was removed")]
    Removed,
    /// The client is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}

impl ClientBuilder {
    /// Settings of the engine.
    #[must_use]
    pub fn config(mut self, config: SessionConfig) -> Self {
        self.config = config;
        self
    }

    /// Accepts connections on this address, and opens them from it.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Threads that hash and write. Default: one per core, at most four.
    #[must_use]
    pub fn disk_threads(mut self, threads: usize) -> Self {
        self.disk_threads = Some(threads.max(1));
        self
    }

    /// Keeps in this folder which torrents there are, with their settings and where their data is, so that [`Client::restore`] has them again
    /// after the process was ended, in whatever way. Whatever adds, changes, moves or removes a torrent has that written down when it returns.
    /// One client at a time may use the folder.
    #[must_use]
    pub fn list(mut self, folder: impl Into<PathBuf>) -> Self {
        self.list = Some(folder.into());
        self
    }

    /// Trusts a certificate (DER) that trackers over HTTPS lead back to, beside the authorities that Mozilla trusts. For
    /// trackers with an authority of their own; one that signs for itself can be trusted by its own certificate. Each call
    /// adds one.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn tracker_root(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.tracker_roots.push(der.into());
        self
    }

    /// Finds peers in the DHT as well, and announces torrents there that are not private. Its node is on the UDP port beside the one that
    /// is listened on, if that is free, and joins the network through `roots`, each as `HOST:PORT`.
    #[cfg(feature = "dht")]
    #[must_use]
    pub fn dht(mut self, config: unchoke_dht::Config, roots: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.dht = Some((config, roots.into_iter().map(Into::into).collect()));
        self
    }

    /// Starts the client. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on, the system is out of threads, or a certificate makes no sense.
    pub async fn build(mut self) -> Result<Client, ClientError> {
        #[cfg(feature = "https")]
        let tls = Tls::new(&self.tracker_roots)?;
        let listener = match self.listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| ClientError::Listen { address, source })?)
            }
            None => None,
        };
        let local = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        self.config.listen_port = local.map(|local| local.port());
        let system = |what| move |source| ClientError::System { what, source };
        let sockets = Sockets::beside(local).map_err(system("a UDP socket"))?;
        #[cfg(feature = "dht")]
        let locals = sockets.locals();
        #[cfg(feature = "dht")]
        if let Some((config, _)) = &self.dht {
            // Others are not to ask a node that only reads (BEP 43).
            let told: &[SocketAddr] = if config.read_only { &[] } else { &locals };
            self.config.dht_ports = DhtPorts::of(told);
        }
        let session = Session::new(Instant::now(), self.config, &entropy().map_err(system("entropy"))?);
        let (requests, inbox) = mpsc::unbounded_channel();
        let (disk, jobs) = std::sync::mpsc::channel();
        let engine = Arc::new(Engine::new(session, requests, disk, self.list.map(TorrentList::new)));
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(4);
        disk::start(&engine, jobs, self.disk_threads.unwrap_or_else(cores)).map_err(system("a thread"))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_time(Arc::clone(&engine)));
        if let Some(listener) = listener {
            tasks.spawn(accept(Arc::clone(&engine), listener));
        }
        #[cfg(feature = "dht")]
        let roots = self.dht.as_mut().map(|(_, roots)| std::mem::take(roots));
        #[cfg(feature = "dht")]
        let (node, bootstrapped) = match self.dht {
            Some((config, _)) => {
                let (node, bootstrapped) = dht::node(config, &sockets).map_err(system("entropy"))?;
                (Some(node), Some(bootstrapped))
            }
            None => (None, None),
        };
        let (endpoint, udp) = Endpoint::new(
            sockets,
            #[cfg(feature = "dht")]
            node,
        );
        tasks.spawn(endpoint.run());
        #[cfg(feature = "dht")]
        let dht = bootstrapped.map(|bootstrapped| Dht::new(udp.clone(), locals, bootstrapped));
        #[cfg(feature = "dht")]
        if let (Some(dht), Some(roots)) = (&dht, roots) {
            dht.bootstrap(roots);
        }
        tasks.spawn(serve_requests(
            Arc::clone(&engine),
            inbox,
            local,
            #[cfg(feature = "dht")]
            dht.clone(),
        ));
        let announcers = Mutex::new(JoinSet::new());
        let network = Network {
            source: local,
            udp,
            #[cfg(feature = "https")]
            tls,
        };
        Ok(Client {
            engine,
            local,
            network,
            tasks,
            announcers,
            stop: watch::channel(false).0,
            #[cfg(feature = "dht")]
            dht,
        })
    }
}

impl Client {
    /// Settings to start from.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Its peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.engine.read(|core| core.session.peer_id())
    }

    /// Its node of the DHT, if it has one. The handle does not keep the node: that ends with the client.
    #[cfg(feature = "dht")]
    #[must_use]
    pub fn dht(&self) -> Option<&Dht> {
        self.dht.as_ref()
    }

    /// Adds a torrent. What its store holds is found first; what may be there is hashed in the background.
    ///
    /// # Errors
    /// If the store cannot be opened, the torrent is here already, or it cannot be written to the [list](ClientBuilder::list).
    pub async fn add(&self, torrent: AddTorrent) -> Result<Torrent, ClientError> {
        let added = self.take_in(torrent).await?;
        if let Err(error) = self.engine.write_down(added.info_hashes).await {
            // It would be lost with the process, and nobody know.
            if let Some(tasks) = self.take_out(&added).await {
                finish(tasks).await?;
            }
            return Err(error.into());
        }
        Ok(added)
    }

    /// Adds a torrent, of which the list says so, or will.
    async fn take_in(&self, torrent: AddTorrent) -> Result<Torrent, ClientError> {
        let AddTorrent { info_hashes, info, storage, peers, .. } = torrent;
        if info.is_none() && info_hashes.get_v1().is_none() {
            return Err(ClientError::V2Name(info_hashes));
        }
        let mut params = TorrentParams::from_hashes(info_hashes);
        let (report, trackers) = TrackerReport::new(Instant::now(), &torrent.trackers);
        let mut tasks = TorrentTasks::new(info_hashes, Arc::clone(&storage), report);
        let report = tasks.trackers.clone();
        if self.engine.list.is_some() {
            tasks.tiers = torrent.trackers;
        }
        tasks.limits = (torrent.download_limit, torrent.upload_limit);
        if let Some(info) = info {
            let (store, content) = open_store(storage, info).await?;
            tasks.store = Some((store, Arc::clone(&content.info)));
            tasks.info = Some(Arc::clone(&content.info));
            params.content = Some(content);
        }
        (params.picker, params.file_priorities) = (torrent.picker, torrent.file_priorities);
        (params.download_limit, params.upload_limit) = (torrent.download_limit, torrent.upload_limit);
        let key = self.engine.with(|core, now| {
            // The first disk jobs of a torrent leave when it is added, so its tasks must be there under its key.
            if core.session.find(info_hashes.wire()).is_some() {
                return Err(ClientError::Duplicate(info_hashes));
            }
            let key = core.session.next_torrent_key();
            core.torrents.insert(key, tasks);
            let added = core.session.add_torrent(now, params);
            core.session.add_peers(now, added, &peers, PeerOrigin::Manual);
            Ok(added)
        })?;
        if trackers.iter().any(|tier| !tier.is_empty()) {
            self.announce(key, info_hashes, &trackers, report);
        }
        #[cfg(feature = "dht")]
        self.find_peers(key, info_hashes);
        Ok(Torrent { engine: Arc::clone(&self.engine), key, info_hashes })
    }

    fn announce(
        &self,
        torrent: TorrentKey,
        info_hashes: InfoHashes,
        tiers: &[Vec<TrackerUrl>],
        report: watch::Sender<TrackerReport>,
    ) {
        let port = self.local.map_or(0, |local| local.port());
        let mut request = AnnounceRequest::new(info_hashes.wire(), self.peer_id(), port);
        request.key = rand::random();
        let engine = Arc::clone(&self.engine);
        let seed = Seed::new(rand::random());
        let tiers = Tiers::new(tiers, &seed.derive("tiers"));
        let announcer = Announcer { engine, torrent, request, tiers, seed, network: self.network.clone(), report };
        let mut announcers = self.announcers.lock().unwrap_or_else(PoisonError::into_inner);
        announcers.spawn(announcer.run(self.stop.subscribe()));
    }

    #[cfg(feature = "dht")]
    fn find_peers(&self, torrent: TorrentKey, info_hashes: InfoHashes) {
        let Some(dht) = self.dht.clone() else { return };
        let (engine, port) = (Arc::clone(&self.engine), self.local.map(|local| local.port()));
        let finder = Finder { engine, torrent, info_hash: info_hashes.wire().into(), port, dht };
        let mut announcers = self.announcers.lock().unwrap_or_else(PoisonError::into_inner);
        announcers.spawn(finder.run(self.stop.subscribe()));
    }

    /// Removes a torrent after making its state durable. Its files stay.
    ///
    /// # Errors
    /// If the state cannot be made durable; the torrent is removed all the same. If it cannot be taken off the [list](ClientBuilder::list);
    /// then it stays.
    pub async fn remove(&self, torrent: &Torrent) -> Result<(), ClientError> {
        self.engine.strike_out(torrent.info_hashes).await?;
        let Some(tasks) = self.take_out(torrent).await else { return Ok(()) };
        // Somebody may have changed a setting in between.
        let written = self.engine.write_down(torrent.info_hashes).await;
        finish(tasks).await?;
        Ok(written?)
    }

    /// Removes a torrent and all that its store holds of it.
    ///
    /// # Errors
    /// If not everything can be removed; the torrent is gone all the same. If it cannot be taken off the [list](ClientBuilder::list); then
    /// it stays.
    pub async fn delete(&self, torrent: &Torrent) -> Result<(), ClientError> {
        // While it is listed, a kill would have everything fetched again.
        self.engine.strike_out(torrent.info_hashes).await?;
        let Some(tasks) = self.take_out(torrent).await else { return Ok(()) };
        self.engine.write_down(torrent.info_hashes).await?;
        match tasks.settle().await {
            Some(store) => Ok(blocking(move || store.delete()).await??),
            None => Ok(()),
        }
    }

    /// Takes a torrent out of the session, if it is still in it.
    async fn take_out(&self, torrent: &Torrent) -> Option<TorrentTasks> {
        let jobs = self.engine.jobs_of(torrent.key)?;
        let _stays = jobs.place.lock().await;
        self.engine.with(|core, now| {
            core.session.remove_torrent(now, torrent.key);
            core.torrents.remove(&torrent.key)
        })
    }

    /// Sets the limits over all torrents, in bytes per second; `None` is unlimited.
    pub fn set_limits(&self, download: Option<u64>, upload: Option<u64>) {
        self.engine.with(|core, now| core.session.set_limits(now, download, upload));
    }

    /// Ends all connections and makes all state durable.
    ///
    /// # Errors
    /// The first store that could not be made durable; the others are tried all the same.
    pub async fn shutdown(mut self) -> Result<(), ClientError> {
        // An announcer that is asleep wakes up to say goodbye; one that is gone needs no telling.
        let _ = self.stop.send(true);
        let mut announcers = std::mem::take(self.announcers.get_mut().unwrap_or_else(PoisonError::into_inner));
        let farewell = async { while announcers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        // Moves end, too, and leave everything where it was.
        let jobs = |core: &Core| core.torrents.values().map(|tasks| Arc::clone(&tasks.jobs)).collect::<Vec<_>>();
        for jobs in self.engine.read(jobs) {
            drop(jobs.place.lock().await);
        }
        self.tasks.shutdown().await;
        let torrents: Vec<TorrentTasks> = self.engine.with(|core, now| {
            let keys: Vec<TorrentKey> = core.torrents.keys().copied().collect();
            keys.iter().for_each(|key| {
                core.session.remove_torrent(now, *key);
            });
            core.torrents.drain().map(|(_, tasks)| tasks).collect()
        });
        let mut result = Ok(());
        for tasks in torrents {
            result = result.and(finish(tasks).await);
        }
        result
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("local", &self.local).finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ClientError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ClientError::ShuttingDown)
}

/// Waits for the disk jobs of a torrent that is no longer in the session, and makes its state durable.
async fn finish(tasks: TorrentTasks) -> Result<(), ClientError> {
    match tasks.settle().await {
        Some(store) => Ok(blocking(move || store.sync()).await??),
        None => Ok(()),
    }
}

async fn open_store(
    storage: Arc<dyn Storage>,
    info: Arc<Info>,
) -> Result<(Arc<dyn TorrentStorage>, Content), ClientError> {
    blocking(move || {
        let store = storage.open(&info)?;
        let recovered = store.recover()?;
        let mut content = Content::new(info);
        (content.verified, content.suspects) = (recovered.verified, recovered.suspects);
        Ok((store, content))
    })
    .await?
}

/// Calls the engine at its deadlines.
async fn keep_time(engine: Arc<Engine>) {
    loop {
        match engine.next_deadline() {
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {
                        engine.with(|core, now| core.session.handle_timeout(now));
                    }
                    () = engine.deadline.notified() => {}
                }
            }
            None => engine.deadline.notified().await,
        }
    }
}

/// Starts what needs a task of its own.
async fn serve_requests(
    engine: Arc<Engine>,
    mut inbox: UnboundedReceiver<Request>,
    source: Option<SocketAddr>,
    #[cfg(feature = "dht")] dht: Option<Dht>,
) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            request = inbox.recv() => match request {
                Some(Request::Connect { torrent, address }) => {
                    running.spawn(connection::open(Arc::clone(&engine), torrent, address, source));
                }
                Some(Request::Metadata { torrent, info }) => {
                    running.spawn(take_metadata(Arc::clone(&engine), torrent, info));
                }
                #[cfg(feature = "dht")]
                Some(Request::DhtNode { address }) => dht.iter().for_each(|dht| dht.add_node(address)),
                None => return,
            },
            Some(_) = running.join_next() => {}
        }
    }
}

/// Opens the store of a torrent whose info dictionary has come from peers.
async fn take_metadata(engine: Arc<Engine>, torrent: TorrentKey, info: bytes::Bytes) {
    let Some(jobs) = engine.jobs_of(torrent) else { return };
    let _stays = jobs.place.lock().await;
    let Some(storage) = engine.read(|core| core.torrents.get(&torrent).map(|tasks| Arc::clone(&tasks.storage))) else {
        return;
    };
    let opened = match Info::from_bytes(info) {
        Ok(info) => open_store(storage, Arc::new(info)).await.map_err(|error| match error {
            ClientError::Storage(source) => TorrentError::Store(Arc::new(source)),
            _ => TorrentError::Removed,
        }),
        Err(source) => Err(TorrentError::Metadata(Arc::new(source))),
    };
    let found = engine.with(|core, now| {
        let tasks = core.torrents.get_mut(&torrent)?;
        let info_hashes = tasks.info_hashes;
        match opened {
            Ok((store, content)) => {
                tasks.store = Some((store, Arc::clone(&content.info)));
                tasks.info = Some(Arc::clone(&content.info));
                core.session.handle_metadata(now, torrent, content);
            }
            Err(error) => drop(tasks.failure.send_replace(Some(error))),
        }
        Some(info_hashes)
    });
    if let Some(info_hashes) = found {
        // Without it the metadata would be asked for once more after a restart, and nothing else.
        let _ = engine.write_down(info_hashes).await;
    }
}

async fn accept(engine: Arc<Engine>, listener: TcpListener) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let engine = Arc::clone(&engine);
                    running.spawn(async move {
                        connection::run(&engine, stream, address, Direction::Incoming).await;
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = running.join_next() => {}
        }
    }
}
