//! The session behind a lock, and the way from its actions to the tasks that carry them out.

use crate::buffers::Buffers;
use crate::error::TorrentError;
use crate::outbox::Windows;
use crate::tracker_report::TrackerReport;
use bytes::BytesMut;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use unchoke_core::{Block, DiskOutcome, DiskWork, InfoHashes, JobId, Outgoing};
use unchoke_metainfo::Info;
use unchoke_storage::{Storage, TorrentList, TorrentStorage};
use unchoke_swarm::{Action, Direction, Event, Flow, PeerKey, Session, TorrentKey};

/// Events kept for a subscriber that is slow; it is told how many it missed.
const EVENTS: usize = 4096;

/// The one engine of a client, shared by its tasks.
pub(crate) struct Engine {
    core: Mutex<Core>,
    requests: mpsc::UnboundedSender<Request>,
    disk: std::sync::mpsc::Sender<DiskJob>,
    /// The deadline has changed.
    pub(crate) deadline: Notify,
    pub(crate) buffers: Buffers,
    pub(crate) windows: Windows,
    /// Where it is kept which torrents there are.
    pub(crate) list: Option<TorrentList>,
    /// Held by whoever writes to it.
    pub(crate) listing: Mutex<()>,
}

pub(crate) struct Core {
    pub(crate) session: Session,
    peers: HashMap<PeerKey, PeerTasks>,
    pub(crate) torrents: HashMap<TorrentKey, TorrentTasks>,
    armed: Option<Instant>,
}

/// What a connection's tasks listen to.
#[derive(Clone)]
pub(crate) struct PeerTasks {
    pub(crate) outgoing: mpsc::UnboundedSender<Outgoing>,
    pub(crate) resume: Arc<Notify>,
    pub(crate) closed: Arc<Notify>,
}

pub(crate) struct TorrentTasks {
    /// What it was added as.
    pub(crate) info_hashes: InfoHashes,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) store: Option<(Arc<dyn TorrentStorage>, Arc<Info>)>,
    /// The info dictionary, once it is known.
    pub(crate) info: Option<Arc<Info>>,
    /// What a list says of it, if there is one: addresses of trackers, and the limits of download and upload.
    pub(crate) tiers: Vec<Vec<String>>,
    pub(crate) limits: (Option<u64>, Option<u64>),
    /// There while somebody listens, since it takes more memory than all the rest.
    events: Mutex<Option<broadcast::Sender<Arc<Event>>>>,
    /// Why the torrent can never be complete, once that is known.
    pub(crate) failure: watch::Sender<Option<TorrentError>>,
    pub(crate) trackers: watch::Sender<TrackerReport>,
    pub(crate) jobs: Arc<Jobs>,
}

/// What goes on at the store of a torrent.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Disk jobs under way.
    count: AtomicUsize,
    ended: Notify,
    /// Held by whoever puts another store in the place of this one, or needs that nobody does.
    pub(crate) place: tokio::sync::Mutex<()>,
}

impl Jobs {
    /// Waits until no disk job is under way. The session is to ask for no more of them.
    pub(crate) async fn settle(&self) {
        while self.count.load(Ordering::SeqCst) > 0 {
            self.ended.notified().await;
        }
    }
}

/// A disk job that is under way, for as long as this lives.
pub(crate) struct UnderWay(Arc<Jobs>);

impl UnderWay {
    fn new(jobs: &Arc<Jobs>) -> Self {
        jobs.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(jobs))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_one();
        }
    }
}

impl TorrentTasks {
    pub(crate) fn new(info_hashes: InfoHashes, storage: Arc<dyn Storage>, trackers: TrackerReport) -> Self {
        Self {
            info_hashes,
            failure: watch::channel(None).0,
            storage,
            store: None,
            info: None,
            tiers: Vec::new(),
            limits: (None, None),
            events: Mutex::new(None),
            trackers: watch::channel(trackers).0,
            jobs: Arc::default(),
        }
    }

    /// What happens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events().get_or_insert_with(|| broadcast::channel(EVENTS).0).subscribe()
    }

    /// Somebody has ended listening.
    pub(crate) fn unsubscribe(&self, events: broadcast::Receiver<Arc<Event>>) {
        drop(events);
        self.events().take_if(|events| events.receiver_count() == 0);
    }

    fn events(&self) -> MutexGuard<'_, Option<broadcast::Sender<Arc<Event>>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no disk job of this torrent is under way, and hands out its store.
    pub(crate) async fn settle(self) -> Option<Arc<dyn TorrentStorage>> {
        let Self { store, jobs, .. } = self;
        // The session has let go of the torrent, so there will be no more of them.
        jobs.settle().await;
        store.map(|(store, _)| store)
    }
}

/// Something that wants a task of its own.
pub(crate) enum Request {
    Connect {
        torrent: TorrentKey,
        address: SocketAddr,
    },
    Metadata {
        torrent: TorrentKey,
        info: bytes::Bytes,
    },
    /// There may be a node of the DHT.
    #[cfg(feature = "dht")]
    DhtNode {
        address: SocketAddr,
    },
}

pub(crate) struct DiskJob {
    pub(crate) job: JobId,
    pub(crate) work: DiskWork,
    pub(crate) store: Option<(Arc<dyn TorrentStorage>, Arc<Info>)>,
    /// Dropped when the job has ended.
    pub(crate) under_way: Option<UnderWay>,
}

impl Engine {
    pub(crate) fn new(
        session: Session,
        requests: mpsc::UnboundedSender<Request>,
        disk: std::sync::mpsc::Sender<DiskJob>,
        list: Option<TorrentList>,
    ) -> Self {
        let core = Core { session, peers: HashMap::new(), torrents: HashMap::new(), armed: None };
        Self {
            core: Mutex::new(core),
            requests,
            disk,
            deadline: Notify::new(),
            buffers: Buffers::default(),
            windows: Windows::default(),
            list,
            listing: Mutex::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the session and carries out what follows from it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let mut core = self.lock();
        let result = work(&mut core, Instant::now());
        self.carry_out(&mut core);
        result
    }

    /// Looks at the session.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.lock())
    }

    pub(crate) fn handle_connected(&self, address: SocketAddr, direction: Direction, tasks: PeerTasks) -> PeerKey {
        self.with(|core, now| {
            let peer = core.session.handle_connected(now, address, direction);
            core.peers.insert(peer, tasks);
            peer
        })
    }

    pub(crate) fn handle_input(&self, peer: PeerKey, input: &mut BytesMut) -> Flow {
        self.with(|core, now| core.session.handle_input(now, peer, input))
    }

    pub(crate) fn handle_sent(&self, peer: PeerKey, bytes: usize) {
        self.with(|core, now| core.session.handle_sent(now, peer, bytes));
    }

    pub(crate) fn handle_unreadable(&self, peer: PeerKey, block: Block) {
        self.with(|core, now| core.session.handle_unreadable(now, peer, block));
    }

    pub(crate) fn handle_closed(&self, peer: PeerKey) {
        self.with(|core, now| {
            core.peers.remove(&peer);
            if core.peers.is_empty() {
                self.buffers.clear();
                self.windows.clear();
            }
            core.session.handle_closed(now, peer);
        });
    }

    pub(crate) fn handle_disk(&self, done: Vec<(JobId, DiskOutcome)>) {
        self.with(|core, now| {
            done.into_iter().for_each(|(job, outcome)| core.session.handle_disk(now, job, outcome));
        });
    }

    /// The store behind a connection, for its writer.
    pub(crate) fn store_of(&self, torrent: TorrentKey) -> Option<Arc<dyn TorrentStorage>> {
        self.read(|core| core.torrents.get(&torrent)?.store.as_ref().map(|(store, _)| Arc::clone(store)))
    }

    /// What goes on at the store of a torrent; `None` if it is not here.
    pub(crate) fn jobs_of(&self, torrent: TorrentKey) -> Option<Arc<Jobs>> {
        self.read(|core| core.torrents.get(&torrent).map(|tasks| Arc::clone(&tasks.jobs)))
    }

    pub(crate) fn torrent_of(&self, peer: PeerKey) -> Option<TorrentKey> {
        self.read(|core| core.session.torrent_of(peer))
    }

    /// The time of the next deadline; the caller is told of earlier ones through `deadline`.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let mut core = self.lock();
        core.armed = core.session.poll_timeout();
        core.armed
    }

    fn carry_out(&self, core: &mut Core) {
        while let Some(action) = core.session.poll_action() {
            // A receiver that is gone means that the client is being dropped; there is nothing left to carry out then.
            match action {
                Action::Connect { torrent, address } => {
                    let _ = self.requests.send(Request::Connect { torrent, address });
                }
                Action::Close { peer } => {
                    if let Some(tasks) = core.peers.remove(&peer) {
                        tasks.closed.notify_one();
                    }
                }
                Action::Resume { peer } => {
                    if let Some(tasks) = core.peers.get(&peer) {
                        tasks.resume.notify_one();
                    }
                }
                Action::Send { peer, outgoing } => {
                    if let Some(tasks) = core.peers.get(&peer) {
                        let _ = tasks.outgoing.send(outgoing);
                    }
                }
                Action::Disk { torrent, job, work } => {
                    let tasks = core.torrents.get(&torrent);
                    let store = tasks.and_then(|tasks| tasks.store.clone());
                    let under_way = tasks.map(|tasks| UnderWay::new(&tasks.jobs));
                    let _ = self.disk.send(DiskJob { job, work, store, under_way });
                }
                _ => {}
            }
        }
        while let Some(event) = core.session.poll_event() {
            let Some(tasks) = event.torrent().and_then(|torrent| core.torrents.get(&torrent)) else { continue };
            if let Event::Metadata { torrent, info } = &event {
                let _ = self.requests.send(Request::Metadata { torrent: *torrent, info: info.clone() });
            }
            #[cfg(feature = "dht")]
            if let Event::DhtNode { address, .. } = &event {
                let _ = self.requests.send(Request::DhtNode { address: *address });
            }
            // It fails if nobody listens any more.
            tasks.events().take_if(|events| events.send(Arc::new(event)).is_err());
        }
        let deadline = core.session.poll_timeout();
        let earlier = match (deadline, core.armed) {
            (Some(deadline), Some(armed)) => deadline < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if earlier {
            core.armed = deadline;
            self.deadline.notify_one();
        }
    }
}
