//! The engine of one uplink: torrents, connections, and what they share.

use crate::action::Action;
use crate::choker::{Choker, PeerStats, RECHOKE_INTERVAL, SeedChoker, TitForTat, UploadShare};
use crate::config::{Content, SessionConfig, TorrentParams};
use crate::event::{CloseReason, Event};
use crate::ids::{Direction, Flow, PeerKey, PeerOrigin, TorrentKey};
use crate::priorities::FilePriorities;
use crate::shared::Shared;
use crate::stats::{PeerInfo, TorrentStats};
use crate::torrent::Torrent;
use crate::uploads::Uploads;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{Bitfield, Block, DiskOutcome, DiskWork, InfoHash, JobId, PeerId, Seed, StreamProtocol as _};
use unchoke_wire::{Connection, Event as WireEvent};

/// How often rates are measured, candidates tried and deadlines looked at while there are peers.
const TICK: Duration = Duration::from_secs(1);

/// A connection that has not said which torrent it wants.
#[derive(Debug)]
struct Pending {
    address: SocketAddr,
    connection: Connection,
}

/// The engine: torrents, connections, limits, bans, and the division of one uplink. It does no I/O.
///
/// A driver calls `handle_*` when something has happened, then does what [`poll_action`](Self::poll_action) asks for until it is `None`,
/// reads [`poll_event`](Self::poll_event) until it is `None`, and comes back at [`poll_timeout`](Self::poll_timeout).
pub struct Session {
    shared: Shared,
    torrents: BTreeMap<TorrentKey, Box<Torrent>>,
    /// What the torrents are called; a hybrid one has two names.
    names: BTreeSet<(InfoHash, TorrentKey)>,
    /// Torrents that may have peers, candidates or deadlines. All others are left alone, however many there are.
    active: BTreeSet<TorrentKey>,
    pending: BTreeMap<PeerKey, Pending>,
    paused: BTreeSet<PeerKey>,
    uploads: Uploads,
    choker: Box<dyn Choker>,
    seed_choker: Box<dyn Choker>,
    next_peer: u64,
    next_torrent: u32,
    next_tick: Option<Instant>,
    next_rechoke: Option<Instant>,
}

impl Session {
    /// A session without torrents. All its random choices follow from `seed`.
    #[must_use]
    pub fn new(now: Instant, config: SessionConfig, seed: &Seed) -> Self {
        Self {
            choker: Box::new(TitForTat::new(&seed.derive("choker"))),
            seed_choker: Box::new(SeedChoker::new()),
            shared: Shared::new(now, config, seed),
            torrents: BTreeMap::new(),
            names: BTreeSet::new(),
            active: BTreeSet::new(),
            pending: BTreeMap::new(),
            paused: BTreeSet::new(),
            uploads: Uploads::default(),
            next_peer: 0,
            next_torrent: 0,
            next_tick: None,
            next_rechoke: None,
        }
    }

    /// Replaces the chokers: one for torrents that are downloading, one for complete ones.
    pub fn set_chokers(&mut self, downloading: Box<dyn Choker>, seeding: Box<dyn Choker>) {
        self.choker = downloading;
        self.seed_choker = seeding;
    }

    /// Tells peers from now on that they can connect to this port.
    pub fn set_listen_port(&mut self, port: Option<u16>) {
        self.shared.config.listen_port = port;
    }

    /// Adds a torrent.
    pub fn add_torrent(&mut self, now: Instant, params: TorrentParams) -> TorrentKey {
        let key = TorrentKey(self.next_torrent);
        self.next_torrent = self.next_torrent.saturating_add(1);
        let torrent = Torrent::new(now, &mut self.shared, key, params);
        self.names.extend(torrent.hashes.names().map(|name| (name, key)));
        self.torrents.insert(key, Box::new(torrent));
        self.active.insert(key);
        self.after(now);
        key
    }

    /// The key that the next torrent to be added will have.
    #[must_use]
    pub fn next_torrent_key(&self) -> TorrentKey {
        TorrentKey(self.next_torrent)
    }

    /// The torrent that a connection belongs to, once its handshake has come.
    #[must_use]
    pub fn torrent_of(&self, peer: PeerKey) -> Option<TorrentKey> {
        self.shared.owners.get(&peer).copied()
    }

    /// Removes a torrent and closes its connections. False if there is none of this key.
    pub fn remove_torrent(&mut self, now: Instant, torrent: TorrentKey) -> bool {
        let Some(mut removed) = self.torrents.remove(&torrent) else { return false };
        for name in removed.hashes.names() {
            self.names.remove(&(name, torrent));
        }
        self.active.remove(&torrent);
        removed.dismiss(now, &mut self.shared);
        self.after(now);
        true
    }

    /// Tells of peers of a torrent.
    pub fn add_peers(&mut self, now: Instant, torrent: TorrentKey, addresses: &[SocketAddr], origin: PeerOrigin) {
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent).filter(|_| !addresses.is_empty()) {
            torrent.add_peers(addresses, origin);
            self.connect_more(now);
        }
        self.after(now);
    }

    /// Sets the limits of the whole session, in bytes per second; `None` is unlimited.
    pub fn set_limits(&mut self, now: Instant, download: Option<u64>, upload: Option<u64>) {
        self.shared.down.set_rate(now, download);
        self.shared.up.set_rate(now, upload);
        self.after(now);
    }

    /// Sets the limits of one torrent, in bytes per second; `None` is unlimited.
    pub fn set_torrent_limits(
        &mut self,
        now: Instant,
        torrent: TorrentKey,
        download: Option<u64>,
        upload: Option<u64>,
    ) {
        if let Some(torrent) = self.torrents.get_mut(&torrent) {
            torrent.down.set_rate(now, download);
            torrent.up.set_rate(now, upload);
        }
        self.after(now);
    }

    /// Sets how much each file of a torrent is wanted. Pieces that are begun are finished all the same, and what is here stays. [`Event::Completed`] tells, once more if need be, when all is here that is
    /// wanted.
    pub fn set_file_priorities(&mut self, now: Instant, torrent: TorrentKey, files: FilePriorities) {
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) {
            torrent.set_priorities(now, &mut self.shared, files);
        }
        self.connect_more(now);
        self.after(now);
    }

    /// Has everything that the store of a torrent holds hashed anew; what is wrong is fetched again. Peers are let go until then. This also
    /// ends a pause after somebody else has changed the data ([`DiskError::Changed`](unchoke_core::DiskError::Changed)).
    pub fn recheck(&mut self, now: Instant, torrent: TorrentKey) {
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) {
            torrent.recheck(now, &mut self.shared);
        }
        self.after(now);
    }

    /// Puts a torrent to rest, so that its data can be taken elsewhere: peers are let go, nobody is connected to, and no disk job is asked
    /// for. Those that are under way have to end before the data is touched; the session does not care for what comes of them. Priorities
    /// and limits can be set meanwhile. Nothing happens if it rests already.
    pub fn suspend(&mut self, now: Instant, torrent: TorrentKey) {
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) {
            torrent.suspend(now, &mut self.shared);
        }
        self.after(now);
    }

    /// A torrent that was [suspended](Self::suspend) goes on, as it was but for its data. `content` tells what the store holds by now; it is
    /// `None` if the metadata is not known. [`Event::Checked`] tells when it knows what is here. Nothing happens if it does not rest.
    pub fn resume(&mut self, now: Instant, torrent: TorrentKey, content: Option<Content>) {
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) {
            torrent.resume(now, &mut self.shared, content);
        }
        self.connect_more(now);
        self.after(now);
    }

    /// How much each file of a torrent is wanted; `None` if there is no such torrent.
    #[must_use]
    pub fn file_priorities(&self, torrent: TorrentKey) -> Option<&FilePriorities> {
        self.torrents.get(&torrent).map(|torrent| torrent.priorities())
    }

    /// The metadata that [`Event::Metadata`] reported has been taken in, and the store is open.
    pub fn handle_metadata(&mut self, now: Instant, torrent: TorrentKey, content: Content) {
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) {
            torrent.handle_content(now, &mut self.shared, content);
        }
        self.after(now);
    }

    /// A connection stands. The key names it from now on, until [`Action::Close`] or [`handle_closed`](Self::handle_closed).
    pub fn handle_connected(&mut self, now: Instant, address: SocketAddr, direction: Direction) -> PeerKey {
        // A socket for both families names IPv4 peers in IPv6; lists and bans know them by one name only.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let key = PeerKey(self.next_peer);
        self.next_peer = self.next_peer.saturating_add(1);
        match direction {
            Direction::Incoming => self.accept(now, key, address),
            Direction::Outgoing(torrent) => self.open(now, key, address, torrent),
        }
        self.after(now);
        key
    }

    fn accept(&mut self, now: Instant, key: PeerKey, address: SocketAddr) {
        let room = self.shared.connections.may_accept(&self.shared.config, address);
        if !room || self.shared.bans.refuses_address(address) {
            self.shared.actions.push_back(Action::Close { peer: key });
            return;
        }
        self.shared.connections.opened(address, false);
        let connection = Connection::incoming(now, self.shared.config.connection.clone());
        self.pending.insert(key, Pending { address, connection });
    }

    fn open(&mut self, now: Instant, key: PeerKey, address: SocketAddr, torrent: TorrentKey) {
        self.shared.connections.connected();
        let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) else {
            self.shared.actions.push_back(Action::Close { peer: key });
            return;
        };
        if torrent.is_suspended() {
            torrent.list.released(now, address, true);
            self.shared.actions.push_back(Action::Close { peer: key });
            return;
        }
        self.shared.connections.opened(address, true);
        let (ours, local) = (torrent.handshake(&self.shared, address), torrent.local_info(&self.shared, address));
        let extensions = torrent.make_extensions(address);
        let mut connection = Connection::outgoing(now, self.shared.config.connection.clone(), ours, extensions);
        connection.set_local(local);
        torrent.insert(now, &mut self.shared, key, address, true, connection);
    }

    /// A connection that [`Action::Connect`] asked for did not come about.
    pub fn handle_connect_failed(&mut self, now: Instant, torrent: TorrentKey, address: SocketAddr) {
        self.shared.connections.connected();
        if let Some(torrent) = wake(&mut self.active, &mut self.torrents, torrent) {
            torrent.list.released(now, address, false);
        }
        self.connect_more(now);
        self.after(now);
    }

    /// Bytes have come on a connection. What is complete is taken from the front of `input`.
    pub fn handle_input(&mut self, now: Instant, peer: PeerKey, input: &mut BytesMut) -> Flow {
        if self.pending.contains_key(&peer) {
            self.handle_pending(now, peer, input);
        }
        let owner = self.shared.owners.get(&peer).copied();
        if let Some(torrent) = owner.and_then(|owner| self.torrents.get_mut(&owner))
            && let Some(entry) = torrent.peers.get_mut(&peer)
        {
            let result = entry.handle_input(now, input);
            self.shared.dirty.push(peer);
            Self::handle_events(now, &mut self.shared, torrent, peer);
            if let Err(error) = result {
                torrent.close(now, &mut self.shared, peer, CloseReason::Protocol(error));
            }
        }
        let flow = self.flow(now, peer);
        self.after(now);
        flow
    }

    fn flow(&mut self, now: Instant, peer: PeerKey) -> Flow {
        let Some(owner) = self.shared.owners.get(&peer) else { return Flow::Continue };
        let Some(torrent) = self.torrents.get_mut(owner) else { return Flow::Continue };
        let held =
            self.shared.is_memory_full() || self.shared.down.available(now) == 0 || torrent.down.available(now) == 0;
        if held && let Some(entry) = torrent.peers.get_mut(&peer) {
            entry.paused = true;
            self.paused.insert(peer);
            return Flow::Pause;
        }
        Flow::Continue
    }

    /// Input of a connection that has not said which torrent it wants.
    fn handle_pending(&mut self, now: Instant, key: PeerKey, input: &mut BytesMut) {
        let Some(pending) = self.pending.get_mut(&key) else { return };
        if pending.connection.handle_input(now, input).is_err() {
            self.drop_pending(key);
            return;
        }
        let Some(WireEvent::Handshake(theirs)) = pending.connection.poll_event() else { return };
        let (address, wanted) = (pending.address, theirs.info_hash);
        let found = self.find(wanted);
        let Some(torrent) = found.and_then(|found| wake(&mut self.active, &mut self.torrents, found)) else {
            self.drop_pending(key);
            return;
        };
        // Here, too, a quarter is kept for those that we open.
        let max = self.shared.config.max_connections_per_torrent;
        let incoming = torrent.peers.values().filter(|peer| !peer.outgoing).count();
        if torrent.is_suspended() || torrent.peers.len() >= max || incoming >= max.saturating_sub(max / 4) {
            self.drop_pending(key);
            return;
        }
        let Some(Pending { mut connection, .. }) = self.pending.remove(&key) else { return };
        let mut ours = torrent.handshake(&self.shared, address);
        ours.info_hash = wanted;
        connection.set_local(torrent.local_info(&self.shared, address));
        connection.accept(now, ours, torrent.make_extensions(address));
        torrent.insert(now, &mut self.shared, key, address, false, connection);
        torrent.handle_handshake(now, &mut self.shared, key, &theirs);
    }

    /// The torrent of this name, if it is here.
    #[must_use]
    pub fn find(&self, info_hash: InfoHash) -> Option<TorrentKey> {
        let first = self.names.range((info_hash, TorrentKey(0))..).next();
        first.filter(|(name, _)| *name == info_hash).map(|(_, torrent)| *torrent)
    }

    fn drop_pending(&mut self, key: PeerKey) {
        if let Some(pending) = self.pending.remove(&key) {
            self.shared.connections.closed(pending.address, false);
            self.shared.actions.push_back(Action::Close { peer: key });
        }
    }

    fn handle_events(now: Instant, shared: &mut Shared, torrent: &mut Torrent, key: PeerKey) {
        while let Some(event) = torrent.peers.get_mut(&key).and_then(|peer| peer.connection.poll_event()) {
            match event {
                WireEvent::Handshake(theirs) => torrent.handle_handshake(now, shared, key, &theirs),
                WireEvent::Message(message) => torrent.handle_message(now, shared, key, message),
                WireEvent::ExtendedHandshake(_) => torrent.handle_extended(now, shared, key),
                WireEvent::Extension { name, event } => torrent.handle_extension(now, shared, key, name, event),
                _ => {}
            }
        }
    }

    /// The other side has finished sending, or the connection is lost.
    pub fn handle_closed(&mut self, now: Instant, peer: PeerKey) {
        self.drop_pending(peer);
        let owner = self.shared.owners.get(&peer).copied();
        if let Some(torrent) = owner.and_then(|owner| self.torrents.get_mut(&owner)) {
            torrent.close(now, &mut self.shared, peer, CloseReason::Remote);
        }
        self.after(now);
    }

    /// So many bytes of what was to be sent on a connection have left.
    pub fn handle_sent(&mut self, now: Instant, peer: PeerKey, bytes: usize) {
        let owner = self.shared.owners.get(&peer).copied();
        if let Some(torrent) = owner.and_then(|owner| self.torrents.get_mut(&owner)) {
            torrent.handle_sent(now, &mut self.shared, peer, bytes);
            self.after(now);
        }
    }

    /// The driver cannot read a block that it was to send. Neither it nor its header has left. The piece is looked at; if the store cannot
    /// read it or holds something else, the torrent pauses with [`Event::StorageFailed`].
    pub fn handle_unreadable(&mut self, now: Instant, peer: PeerKey, block: Block) {
        let owner = self.shared.owners.get(&peer).copied();
        if let Some(torrent) = owner.and_then(|owner| self.torrents.get_mut(&owner)) {
            torrent.handle_unreadable(now, &mut self.shared, peer, block);
        }
        self.after(now);
    }

    /// A disk job has ended.
    pub fn handle_disk(&mut self, now: Instant, job: JobId, outcome: DiskOutcome) {
        let Some((key, work)) = self.shared.finish(job) else { return };
        match key.and_then(|key| wake(&mut self.active, &mut self.torrents, key)) {
            Some(torrent) => torrent.handle_disk(now, &mut self.shared, work, outcome),
            None => {
                if let DiskWork::Store { data, .. } | DiskWork::Write { data, .. } = work {
                    self.shared.release(data.iter().map(Bytes::len).sum());
                }
            }
        }
        self.after(now);
    }

    /// Time has passed. A spurious call is a no-op.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_tick.is_some_and(|at| at <= now) {
            self.next_tick = None;
            self.tick(now);
        }
        self.after(now);
    }

    fn tick(&mut self, now: Instant) {
        let mut silent = Vec::new();
        for (key, pending) in &mut self.pending {
            if pending.connection.poll_timeout().is_some_and(|at| at <= now)
                && pending.connection.handle_timeout(now).is_err()
            {
                silent.push(*key);
            }
        }
        silent.into_iter().for_each(|key| self.drop_pending(key));
        self.active.retain(|key| {
            let Some(torrent) = self.torrents.get_mut(key) else { return false };
            torrent.tick(now, &mut self.shared);
            !torrent.is_idle()
        });
        let keys: Vec<PeerKey> = self.shared.owners.keys().copied().collect();
        for key in keys {
            let owner = self.shared.owners.get(&key).copied();
            if let Some(torrent) = owner.and_then(|owner| self.torrents.get_mut(&owner)) {
                Self::handle_events(now, &mut self.shared, torrent, key);
            }
        }
        if self.next_rechoke.is_none_or(|at| at <= now) {
            self.shared.rechoke = true;
        }
        self.connect_more(now);
    }

    /// Opens connections as far as there are candidates and the limits allow.
    fn connect_more(&mut self, now: Instant) {
        let per_torrent = self.shared.config.max_connections_per_torrent;
        for key in &self.active {
            let Some(torrent) = self.torrents.get_mut(key) else { continue };
            let mut room = per_torrent.saturating_sub(torrent.peers.len());
            while room > 0 && self.shared.connections.may_connect(&self.shared.config) {
                let Some(address) = torrent.next_candidate(now, &self.shared.bans) else { break };
                self.shared.connections.connect();
                self.shared.actions.push_back(Action::Connect { torrent: torrent.key, address });
                room = room.saturating_sub(1);
            }
        }
    }

    /// What follows from whatever was handled: choking, sending, reading on, and the next deadline.
    fn after(&mut self, now: Instant) {
        if std::mem::take(&mut self.shared.rechoke) {
            self.rechoke(now);
        }
        let mut dirty = std::mem::take(&mut self.shared.dirty);
        for key in dirty.drain(..) {
            let owner = self.shared.owners.get(&key);
            let torrent = owner.and_then(|owner| self.torrents.get_mut(owner));
            let Some(peer) = torrent.and_then(|torrent| torrent.peers.get_mut(&key)) else { continue };
            while let Some(outgoing) = peer.connection.poll_transmit(now, 0) {
                self.shared.actions.push_back(Action::Send { peer: key, outgoing });
            }
            self.uploads.enter(&self.shared, peer);
        }
        if self.shared.dirty.is_empty() {
            self.shared.dirty = dirty;
        }
        self.uploads.pump(now, &mut self.shared, &mut self.torrents);
        self.read_on(now);
        if self.next_tick.is_none() && !(self.active.is_empty() && self.pending.is_empty()) {
            self.next_tick = now.checked_add(TICK);
        }
    }

    /// Lets connections read on that were told to pause, when the reason is gone.
    fn read_on(&mut self, now: Instant) {
        if self.paused.is_empty() {
            return;
        }
        // Every limit is brought up to date, so that the time at which one lets through again is never in the past.
        let passes = self.shared.down.available(now) > 0;
        for key in &self.paused {
            if let Some(torrent) = self.shared.owners.get(key).and_then(|owner| self.torrents.get_mut(owner)) {
                torrent.down.available(now);
            }
        }
        if !passes || self.is_memory_short() {
            return;
        }
        let (shared, torrents) = (&mut self.shared, &mut self.torrents);
        self.paused.retain(|key| {
            let Some(torrent) = shared.owners.get(key).and_then(|owner| torrents.get_mut(owner)) else { return false };
            if torrent.down.available(now) == 0 {
                return true;
            }
            if let Some(peer) = torrent.peers.get_mut(key) {
                peer.paused = false;
                shared.actions.push_back(Action::Resume { peer: *key });
            }
            false
        });
    }

    /// Chooses anew whom to upload to.
    fn rechoke(&mut self, now: Instant) {
        self.next_rechoke = now.checked_add(RECHOKE_INTERVAL);
        let (mut leeching, mut seeding): (Vec<PeerStats>, Vec<PeerStats>) = (Vec::new(), Vec::new());
        for torrent in self.active.iter().filter_map(|key| self.torrents.get(key)) {
            let group = if torrent.is_finished() { &mut seeding } else { &mut leeching };
            group.extend(torrent.peers.values().filter(|peer| peer.interested).map(|peer| peer.stats()));
        }
        let slots = self.shared.config.upload_slots;
        let everybody = leeching.len().saturating_add(seeding.len());
        let fair = slots.saturating_mul(seeding.len()).checked_div(everybody).unwrap_or(0);
        let for_seeding = match (leeching.is_empty(), seeding.is_empty()) {
            (_, true) => 0,
            (true, false) => slots,
            (false, false) => fair.clamp(1, slots.saturating_sub(1).max(1)),
        };
        let mut shares: Vec<UploadShare> = Vec::new();
        self.choker.rechoke(now, slots.saturating_sub(for_seeding), &leeching, &mut shares);
        self.seed_choker.rechoke(now, for_seeding, &seeding, &mut shares);
        let weights: BTreeMap<PeerKey, u32> = shares.into_iter().map(|share| (share.peer, share.weight)).collect();
        let peers: Vec<PeerKey> = self.shared.owners.keys().copied().collect();
        for key in peers {
            let owner = self.shared.owners.get(&key).and_then(|owner| self.torrents.get_mut(owner));
            let Some(peer) = owner.and_then(|torrent| torrent.peers.get_mut(&key)) else { continue };
            match weights.get(&peer.key) {
                Some(weight) => {
                    peer.weight = *weight;
                    if std::mem::replace(&mut peer.choked, false) {
                        peer.unchoked = Some(now);
                        peer.sent_since_unchoke = 0;
                        peer.connection.unchoke(now);
                        self.shared.dirty.push(peer.key);
                    }
                }
                None if !std::mem::replace(&mut peer.choked, true) => {
                    peer.connection.choke(now);
                    self.shared.dirty.push(peer.key);
                }
                None => {}
            }
        }
    }

    /// What the driver is asked to do next. Poll again until `None` after every `handle_*` call.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.shared.actions.pop_front()
    }

    /// What has happened. Poll again until `None` after every `handle_*` call.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None` while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let resume = if self.paused.is_empty() { None } else { self.resume_at() };
        [self.next_tick, self.uploads.poll_timeout(), resume].into_iter().flatten().min()
    }

    fn is_memory_short(&self) -> bool {
        self.shared.memory.saturating_mul(4) >= self.shared.config.memory_budget.saturating_mul(3)
    }

    /// When a download limit lets connections read on.
    fn resume_at(&self) -> Option<Instant> {
        if self.is_memory_short() {
            // The end of a disk job lets them read on.
            return None;
        }
        let owners = self.paused.iter().filter_map(|peer| self.torrents.get(self.shared.owners.get(peer)?));
        let limits = owners.map(|torrent| &torrent.down).chain([&self.shared.down]);
        limits.filter_map(crate::rate::TokenBucket::positive_at).min()
    }

    /// Our peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// Figures of a torrent.
    #[must_use]
    pub fn stats(&self, torrent: TorrentKey) -> Option<TorrentStats> {
        self.torrents.get(&torrent).map(|torrent| torrent.stats())
    }

    /// Whether only trackers may tell of a torrent's peers (BEP 27). False until the metadata says so.
    #[must_use]
    pub fn is_private(&self, torrent: TorrentKey) -> Option<bool> {
        self.torrents.get(&torrent).map(|torrent| torrent.is_private())
    }

    /// Figures of the peers of a torrent that have shaken hands.
    #[must_use]
    pub fn peers(&self, torrent: TorrentKey) -> Vec<PeerInfo> {
        self.torrents.get(&torrent).map(|torrent| torrent.peer_infos()).unwrap_or_default()
    }

    /// The pieces of a torrent that are verified and written; `None` until its metadata is known.
    #[must_use]
    pub fn verified(&self, torrent: TorrentKey) -> Option<&Bitfield> {
        self.torrents.get(&torrent).and_then(|torrent| torrent.verified())
    }
}

/// A torrent to which something happens that may need attention later.
fn wake<'a>(
    active: &mut BTreeSet<TorrentKey>,
    torrents: &'a mut BTreeMap<TorrentKey, Box<Torrent>>,
    key: TorrentKey,
) -> Option<&'a mut Torrent> {
    let torrent = torrents.get_mut(&key)?;
    active.insert(key);
    Some(torrent)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("torrents", &self.torrents.len())
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
