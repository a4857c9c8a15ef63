//! What the torrents of one session share: the outputs, the memory budget, the bans, the disk jobs.

use crate::action::Action;
use crate::bans::Bans;
use crate::config::SessionConfig;
use crate::connections::Connections;
use crate::event::Event;
use crate::ids::{PeerKey, TorrentKey};
use crate::rate::TokenBucket;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use unchoke_core::{DiskWork, JobId, PeerId, Seed};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SessionConfig,
    pub(crate) peer_id: PeerId,
    pub(crate) seed: Seed,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) events: VecDeque<Event>,
    /// Connections that have something to send, or whose rights changed.
    pub(crate) dirty: Vec<PeerKey>,
    pub(crate) bans: Bans,
    pub(crate) down: TokenBucket,
    pub(crate) up: TokenBucket,
    /// Bytes of unverified payload held in memory.
    pub(crate) memory: usize,
    /// The part of it that waits for the rest of its piece.
    pub(crate) waiting: usize,
    pub(crate) connections: Connections,
    /// A peer has become interested, or has left: choose anew whom to upload to.
    pub(crate) rechoke: bool,
    /// Which torrent a connection belongs to, once that is known.
    pub(crate) owners: BTreeMap<PeerKey, TorrentKey>,
    /// Those that nobody has asked for any more have no torrent.
    jobs: BTreeMap<JobId, (Option<TorrentKey>, DiskWork)>,
    next_job: u64,
}

impl Shared {
    pub(crate) fn new(now: Instant, config: SessionConfig, seed: &Seed) -> Self {
        Self {
            peer_id: PeerId::generate(&config.peer_id_prefix, &mut seed.derive("peer id").rng()),
            seed: seed.clone(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            dirty: Vec::new(),
            bans: Bans::default(),
            down: TokenBucket::new(now, config.download_limit),
            up: TokenBucket::new(now, config.upload_limit),
            memory: 0,
            waiting: 0,
            connections: Connections::default(),
            rechoke: false,
            owners: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            config,
        }
    }

    /// Asks the driver for a disk job.
    pub(crate) fn disk(&mut self, torrent: TorrentKey, work: DiskWork) {
        let job = JobId(self.next_job);
        self.next_job = self.next_job.saturating_add(1);
        self.jobs.insert(job, (Some(torrent), work.clone()));
        self.actions.push_back(Action::Disk { torrent, job, work });
    }

    /// A disk job has ended: whose it was and what it was.
    pub(crate) fn finish(&mut self, job: JobId) -> Option<(Option<TorrentKey>, DiskWork)> {
        self.jobs.remove(&job)
    }

    /// What becomes of the disk jobs of a torrent that are under way is of no interest to it any more.
    pub(crate) fn disown(&mut self, torrent: TorrentKey) {
        self.jobs.values_mut().filter(|(owner, _)| *owner == Some(torrent)).for_each(|(owner, _)| *owner = None);
    }

    /// Payload that waits for nothing any more.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.memory = self.memory.saturating_sub(bytes);
    }

    /// Whether so much is held that nothing more may be read.
    pub(crate) fn is_memory_full(&self) -> bool {
        self.memory >= self.config.memory_budget
    }

    /// Whether so much waits for the rest of its piece that pieces must be written before they are whole.
    pub(crate) fn must_spill(&self) -> bool {
        self.waiting >= self.config.memory_budget / 2
    }
}
