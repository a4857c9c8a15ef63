//! Sessions joined by pipes in memory. Time is virtual: it jumps from one thing that happens to the next.

use crate::store::{Store, payload};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::{Block, DiskError, DiskOutcome, DiskWork, JobId, Outgoing, PieceIndex, Seed, Sha1, Sha1Hash};
use unchoke_metainfo::{Builder, Info, Version};
use unchoke_swarm::{
    Action, Content, Direction, Event, Flow, PeerKey, PeerOrigin, Session, SessionConfig, TorrentKey, TorrentParams,
    TorrentStats,
};

/// The way of a byte from one session to another.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);
/// Things that may happen at one instant before it counts as a loop.
const MAX_AT_ONCE: usize = 200_000;

/// Made-up bytes and their torrent.
pub(crate) struct Made {
    pub(crate) info: Arc<Info>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn make(length: usize, piece_length: u32) -> Made {
    let mut bytes = vec![0; length];
    Seed::new([42; 32]).rng().fill(&mut bytes);
    let mut hasher = Builder::new("made", piece_length).single_file(length as u64).hasher().unwrap();
    hasher.update(&bytes);
    Made { info: Arc::clone(hasher.finish().unwrap().info()), bytes }
}

/// The same in several files of these lengths.
pub(crate) fn make_files(lengths: &[usize], piece_length: u32) -> Made {
    let mut bytes = vec![0; lengths.iter().sum()];
    Seed::new([43; 32]).rng().fill(&mut bytes);
    let mut builder = Builder::new("made", piece_length).version(Version::V1);
    for (number, length) in lengths.iter().enumerate() {
        builder = builder.add_file([format!("{number}")], *length as u64);
    }
    let mut hasher = builder.hasher().unwrap();
    hasher.update(&bytes);
    Made { info: Arc::clone(hasher.finish().unwrap().info()), bytes }
}

/// Decides which blocks a node sends wrong.
type Corrupt = Box<dyn FnMut(Block) -> bool>;

pub(crate) struct Node {
    pub(crate) session: Session,
    pub(crate) address: SocketAddr,
    pub(crate) torrent: TorrentKey,
    pub(crate) store: Option<Store>,
    pub(crate) events: Vec<Event>,
    /// Bytes per second that leave the node.
    pub(crate) uplink: Option<u64>,
    pub(crate) corrupt: Option<Corrupt>,
    /// Blocks that were sent wrong.
    pub(crate) lies: usize,
    /// The node answers no request.
    pub(crate) mute: bool,
    pub(crate) disk_time: Duration,
    /// What every job that would write ends in.
    pub(crate) disk_error: Option<DiskError>,
    /// Messages sent, by their id.
    pub(crate) sent: BTreeMap<u8, usize>,
    /// Blocks asked for, and of which node.
    pub(crate) asked: Vec<(usize, Block)>,
    /// Payload handed to the session for which no disk job has ended.
    pub(crate) held: usize,
    pub(crate) most_held: usize,
    /// Pieces that are being discarded.
    discarding: BTreeSet<PieceIndex>,
    pub(crate) discarded: usize,
    ends: BTreeMap<PeerKey, End>,
    busy_until: Instant,
}

/// One end of a pipe.
struct End {
    node: usize,
    key: PeerKey,
    input: BytesMut,
    /// What has come while the session did not read.
    inbox: VecDeque<(Bytes, usize)>,
    paused: bool,
}

enum Wake {
    Arrive { node: usize, key: PeerKey, bytes: Bytes, payload: usize },
    Connect { node: usize, torrent: TorrentKey, address: SocketAddr },
    Closed { node: usize, key: PeerKey },
    Disk { node: usize, job: JobId, work: DiskWork },
}

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) origin: Instant,
    pub(crate) nodes: Vec<Node>,
    /// A digest over all that the sessions said, if it is wanted.
    pub(crate) trace: Option<Sha1>,
    seed: Seed,
    queue: BTreeMap<(Instant, u64), Wake>,
    sequence: u64,
}

impl Rig {
    pub(crate) fn new(seed: u8) -> Self {
        let now = Instant::now();
        let seed = Seed::new([seed; 32]);
        Self { now, origin: now, nodes: Vec::new(), trace: None, seed, queue: BTreeMap::new(), sequence: 0 }
    }

    fn add(&mut self, mut config: SessionConfig, params: TorrentParams, store: Option<Store>) -> usize {
        let number = self.nodes.len();
        config.listen_port = Some(6881);
        let address = SocketAddr::from(([10, 0, 0, number as u8 + 1], 6881));
        let mut session = Session::new(self.now, config, &self.seed.derive(&format!("node {number}")));
        let torrent = session.add_torrent(self.now, params);
        self.nodes.push(Node {
            session,
            address,
            torrent,
            store,
            events: Vec::new(),
            uplink: Some(10_000_000),
            corrupt: None,
            lies: 0,
            mute: false,
            disk_time: Duration::from_millis(1),
            disk_error: None,
            sent: BTreeMap::new(),
            asked: Vec::new(),
            held: 0,
            most_held: 0,
            discarding: BTreeSet::new(),
            discarded: 0,
            ends: BTreeMap::new(),
            busy_until: self.now,
        });
        self.carry_out(number);
        number
    }

    /// A node that has everything.
    pub(crate) fn seed(&mut self, made: &Made, config: SessionConfig) -> usize {
        let mut store = filled(made, |_| true);
        store.committed = made.info.geometry().pieces().collect();
        let mut content = Content::new(Arc::clone(&made.info));
        content.verified = made.info.geometry().pieces().collect();
        self.add(config, TorrentParams::from_content(made.info.info_hashes(), content), Some(store))
    }

    /// A node that has nothing.
    pub(crate) fn leech(&mut self, made: &Made, config: SessionConfig) -> usize {
        self.leech_with(made, config, |_| {})
    }

    pub(crate) fn leech_with(
        &mut self,
        made: &Made,
        config: SessionConfig,
        change: impl FnOnce(&mut TorrentParams),
    ) -> usize {
        let content = Content::new(Arc::clone(&made.info));
        let mut params = TorrentParams::from_content(made.info.info_hashes(), content);
        change(&mut params);
        self.add(config, params, Some(Store::new(made.info.geometry().clone())))
    }

    /// A node whose store may hold some pieces, `store` says which bytes.
    pub(crate) fn checker(&mut self, made: &Made, config: SessionConfig, store: Store) -> usize {
        let mut content = Content::new(Arc::clone(&made.info));
        content.suspects = made.info.geometry().pieces().collect();
        self.add(config, TorrentParams::from_content(made.info.info_hashes(), content), Some(store))
    }

    /// A node that knows the torrent's name only.
    pub(crate) fn magnet(&mut self, made: &Made, config: SessionConfig) -> usize {
        self.add(config, TorrentParams::from_hashes(made.info.info_hashes()), None)
    }

    /// Tells a node of others.
    pub(crate) fn introduce(&mut self, node: usize, others: &[usize]) {
        let addresses: Vec<SocketAddr> = others.iter().map(|other| self.nodes[*other].address).collect();
        let (now, torrent) = (self.now, self.nodes[node].torrent);
        self.nodes[node].session.add_peers(now, torrent, &addresses, PeerOrigin::Manual);
        self.carry_out(node);
    }

    /// Does something with a node's session, and what follows from it.
    pub(crate) fn with<T>(&mut self, node: usize, work: impl FnOnce(&mut Session, TorrentKey, Instant) -> T) -> T {
        let (now, torrent) = (self.now, self.nodes[node].torrent);
        let result = work(&mut self.nodes[node].session, torrent, now);
        self.carry_out(node);
        result
    }

    pub(crate) fn stats(&self, node: usize) -> TorrentStats {
        self.nodes[node].session.stats(self.nodes[node].torrent).unwrap()
    }

    pub(crate) fn is_complete(&self, node: usize) -> bool {
        let completed = |event: &Event| matches!(event, Event::Completed { .. });
        self.nodes[node].events.iter().any(completed)
    }

    pub(crate) fn count(&self, node: usize, which: impl Fn(&Event) -> bool) -> usize {
        self.nodes[node].events.iter().filter(|event| which(event)).count()
    }

    /// The nodes that a node has banned.
    pub(crate) fn banned_by(&self, node: usize) -> Vec<usize> {
        let banned = self.nodes[node].events.iter().filter_map(|event| match event {
            Event::PeerBanned { address, .. } => Some(*address),
            _ => None,
        });
        let number = |address: SocketAddr| self.nodes.iter().position(|other| other.address.ip() == address.ip());
        banned.filter_map(number).collect()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.origin
    }

    pub(crate) fn trace(&self) -> Sha1Hash {
        self.trace.clone().unwrap().finish()
    }

    /// Runs until `done`, looked at after each thing that happens. False if that takes longer than `limit`.
    #[must_use]
    pub(crate) fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        let mut at_once = 0;
        while !done(self) {
            let timer = (0..self.nodes.len()).filter_map(|node| Some((self.nodes[node].session.poll_timeout()?, node)));
            let timer = timer.min();
            let wake = self.queue.first_key_value().map(|((at, _), _)| *at);
            let next = [timer.map(|(at, _)| at), wake].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
                self.now = end;
                return false;
            };
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < MAX_AT_ONCE, "time stands still");
            self.now = self.now.max(next);
            match timer.filter(|(at, _)| wake.is_none_or(|wake| *at < wake)) {
                Some((_, node)) => {
                    self.with(node, |session, _, now| session.handle_timeout(now));
                }
                None => {
                    if let Some((_, wake)) = self.queue.pop_first() {
                        self.wake(wake);
                    }
                }
            }
        }
        true
    }

    fn schedule(&mut self, at: Instant, wake: Wake) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), wake);
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Arrive { node, key, bytes, payload } => {
                let Some(end) = self.nodes[node].ends.get_mut(&key) else { return };
                end.inbox.push_back((bytes, payload));
                self.read(node, key);
            }
            Wake::Connect { node, torrent, address } => self.connect(node, torrent, address),
            Wake::Closed { node, key } => {
                if self.nodes[node].ends.remove(&key).is_some() {
                    self.with(node, |session, _, now| session.handle_closed(now, key));
                }
            }
            Wake::Disk { node, job, work } => self.disk(node, job, &work),
        }
    }

    /// Lets the session read what has come, as long as it wants to.
    fn read(&mut self, node: usize, key: PeerKey) {
        while let Some(end) = self.nodes[node].ends.get_mut(&key)
            && !end.paused
            && let Some((bytes, payload)) = end.inbox.pop_front()
        {
            let (other, other_key, length) = (end.node, end.key, bytes.len());
            end.input.put(bytes);
            let mut input = std::mem::take(&mut end.input);
            let now = self.now;
            self.nodes[node].held += payload;
            self.nodes[node].most_held = self.nodes[node].most_held.max(self.nodes[node].held);
            let flow = self.nodes[node].session.handle_input(now, key, &mut input);
            if let Some(end) = self.nodes[node].ends.get_mut(&key) {
                end.input = input;
                end.paused = flow == Flow::Pause;
            }
            self.carry_out(node);
            // What has been read makes room at the sender.
            if self.nodes[other].ends.contains_key(&other_key) {
                self.with(other, |session, _, now| session.handle_sent(now, other_key, length));
            }
        }
    }

    fn connect(&mut self, node: usize, torrent: TorrentKey, address: SocketAddr) {
        let Some(other) = self.nodes.iter().position(|other| other.address == address) else {
            self.with(node, |session, _, now| session.handle_connect_failed(now, torrent, address));
            return;
        };
        self.sequence += 1;
        let from = SocketAddr::new(self.nodes[node].address.ip(), 40_000 + (self.sequence % 20_000) as u16);
        let now = self.now;
        let ours = self.nodes[node].session.handle_connected(now, address, Direction::Outgoing(torrent));
        let theirs = self.nodes[other].session.handle_connected(now, from, Direction::Incoming);
        let end = |node, key| End { node, key, input: BytesMut::new(), inbox: VecDeque::new(), paused: false };
        self.nodes[node].ends.insert(ours, end(other, theirs));
        self.nodes[other].ends.insert(theirs, end(node, ours));
        self.carry_out(node);
        self.carry_out(other);
    }

    fn disk(&mut self, node: usize, job: JobId, work: &DiskWork) {
        let entry = &mut self.nodes[node];
        if let DiskWork::Discard { piece } = work {
            entry.discarding.remove(piece);
            entry.discarded += 1;
        }
        let failure = entry.disk_error.filter(|_| matches!(work, DiskWork::Store { .. } | DiskWork::Write { .. }));
        let outcome = match (failure, &mut entry.store) {
            (Some(error), _) => DiskOutcome::Failed(error),
            (None, Some(store)) => {
                entry.held = entry.held.saturating_sub(payload(work));
                store.run(work)
            }
            (None, None) => DiskOutcome::Failed(DiskError::Io),
        };
        self.with(node, |session, _, now| session.handle_disk(now, job, outcome));
    }

    fn note(&mut self, node: usize, what: &dyn std::fmt::Debug) {
        let at = self.elapsed();
        if let Some(trace) = &mut self.trace {
            trace.update(format!("{at:?} {node} {what:?}\n").as_bytes());
        }
    }

    fn carry_out(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].session.poll_action() {
            self.note(node, &action);
            let soon = self.now + LATENCY;
            match action {
                Action::Connect { torrent, address } => self.schedule(soon, Wake::Connect { node, torrent, address }),
                Action::Close { peer } => {
                    if let Some(end) = self.nodes[node].ends.remove(&peer) {
                        self.schedule(soon, Wake::Closed { node: end.node, key: end.key });
                    }
                }
                Action::Resume { peer } => {
                    if let Some(end) = self.nodes[node].ends.get_mut(&peer) {
                        end.paused = false;
                        // What lies here is read after the other actions of the session.
                        let now = self.now;
                        self.schedule(now, Wake::Arrive { node, key: peer, bytes: Bytes::new(), payload: 0 });
                    }
                }
                Action::Send { peer, outgoing } => self.send(node, peer, outgoing),
                Action::Disk { job, work, .. } => {
                    let at = self.now + self.nodes[node].disk_time;
                    let discarding = &mut self.nodes[node].discarding;
                    match &work {
                        DiskWork::Discard { piece } => assert!(discarding.insert(*piece)),
                        DiskWork::Store { piece, .. } | DiskWork::Write { piece, .. } => {
                            assert!(!discarding.contains(piece), "a job that may be overtaken");
                        }
                        _ => {}
                    }
                    self.schedule(at, Wake::Disk { node, job, work });
                }
                other => panic!("an unknown action {other:?}"),
            }
        }
        while let Some(event) = self.nodes[node].session.poll_event() {
            self.note(node, &event);
            if let Event::Metadata { torrent, info } = &event {
                let info = Arc::new(Info::from_bytes(info.clone()).unwrap());
                self.nodes[node].store = Some(Store::new(info.geometry().clone()));
                let (now, torrent) = (self.now, *torrent);
                self.nodes[node].session.handle_metadata(now, torrent, Content::new(info));
                self.nodes[node].events.push(event);
                self.carry_out(node);
                continue;
            }
            self.nodes[node].events.push(event);
        }
    }

    fn send(&mut self, node: usize, peer: PeerKey, outgoing: Outgoing) {
        let now = self.now;
        let entry = &mut self.nodes[node];
        let Some(end) = entry.ends.get(&peer) else { return };
        let (other, key) = (end.node, end.key);
        let (bytes, payload) = match outgoing {
            Outgoing::Bytes(bytes) => {
                for (id, body) in messages(&bytes) {
                    *entry.sent.entry(id).or_default() += 1;
                    if id == 6 {
                        entry.asked.push((other, request(body)));
                    }
                }
                (bytes, 0)
            }
            Outgoing::Piece { header, block } => {
                if entry.mute {
                    return;
                }
                let Some(data) = entry.store.as_ref().unwrap().read(block) else {
                    self.with(node, |session, _, now| session.handle_unreadable(now, peer, block));
                    return;
                };
                let mut bytes = BytesMut::from(&header[..]);
                bytes.put_slice(data);
                if entry.corrupt.as_mut().is_some_and(|corrupt| corrupt(block)) {
                    entry.lies += 1;
                    *bytes.last_mut().unwrap() ^= 1;
                }
                (bytes.freeze(), block.length as usize)
            }
            other => panic!("unknown output {other:?}"),
        };
        let micros = entry.uplink.map_or(0, |rate| bytes.len() as u64 * 1_000_000 / rate);
        entry.busy_until = entry.busy_until.max(now) + Duration::from_micros(micros);
        let at = entry.busy_until + LATENCY;
        self.schedule(at, Wake::Arrive { node: other, key, bytes, payload });
    }
}

/// A store that holds these pieces, unverified.
pub(crate) fn filled(made: &Made, which: impl Fn(u32) -> bool) -> Store {
    let geometry = made.info.geometry();
    let mut store = Store::new(geometry.clone());
    for (piece, bytes) in geometry.pieces().zip(made.bytes.chunks(geometry.piece_length() as usize)) {
        if which(piece.0) {
            store.put(piece, 0, bytes);
        }
    }
    store
}

/// The messages in what a session sends, by id.
fn messages(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut rest = if bytes.starts_with(b"\x13BitTorrent") { &bytes[68..] } else { bytes };
    let mut found = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (message, next) = after.split_at(u32::from_be_bytes(*length) as usize);
        found.extend(message.split_first().map(|(id, body)| (*id, body)));
        rest = next;
    }
    found
}

fn request(body: &[u8]) -> Block {
    let field = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    Block { piece: PieceIndex(field(0)), offset: field(4), length: field(8) }
}
