//! Whole swarms in a simulated network: sessions of the engine, and what a driver does for them.

#![cfg(feature = "client")]
#![allow(clippy::disallowed_methods, reason = "a world needs one instant to begin with")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke::core::{DiskWork, JobId, Outgoing, Path, Seed};
use unchoke::metainfo::{Builder, Info};
use unchoke::storage::{MemoryStorage, TorrentStorage};
use unchoke::swarm::{
    Action, Content, Direction, Event, Flow, PeerKey, PeerOrigin, Session, SessionConfig, TorrentKey, TorrentParams,
};
use unchoke_sim::{Host, HostConfig, HostId, Loss, Net, Notice, Rate, StreamEvent, StreamId, World, WorldConfig};

const MS: Duration = Duration::from_millis(1);

/// A session with one torrent in memory, and a disk that takes a millisecond for everything.
struct Peer {
    session: Session,
    torrent: TorrentKey,
    info: Arc<Info>,
    store: Arc<dyn TorrentStorage>,
    connecting: BTreeMap<StreamId, SocketAddr>,
    keys: BTreeMap<StreamId, PeerKey>,
    ends: BTreeMap<PeerKey, End>,
    disk: VecDeque<(Instant, JobId, DiskWork)>,
}

struct End {
    stream: StreamId,
    input: BytesMut,
}

impl Peer {
    fn new(now: Instant, seed: &Seed, info: &Arc<Info>, content: Option<&[u8]>) -> Self {
        let store = MemoryStorage::torrent(info.geometry().clone());
        let mut known = Content::new(Arc::clone(info));
        if let Some(content) = content {
            let pieces = content.chunks(info.geometry().piece_length() as usize);
            for (piece, bytes) in info.geometry().pieces().zip(pieces) {
                store.write(piece, 0, &[IoSlice::new(bytes)]).unwrap();
                store.commit(piece).unwrap();
                known.verified.push(piece);
            }
        }
        let mut config = SessionConfig::default();
        config.listen_port = Some(6881);
        let mut session = Session::new(now, config, seed);
        let torrent = session.add_torrent(now, TorrentParams::from_content(info.info_hashes(), known));
        Self {
            session,
            torrent,
            info: Arc::clone(info),
            store,
            connecting: BTreeMap::new(),
            keys: BTreeMap::new(),
            ends: BTreeMap::new(),
            disk: VecDeque::new(),
        }
    }

    fn joined(&mut self, now: Instant, stream: StreamId, remote: SocketAddr, direction: Direction) {
        let key = self.session.handle_connected(now, remote, direction);
        self.keys.insert(stream, key);
        self.ends.insert(key, End { stream, input: BytesMut::new() });
    }

    fn read(&mut self, net: &mut Net<'_>, key: PeerKey, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(&key) else { return };
        end.input.extend_from_slice(bytes);
        if self.session.handle_input(net.now(), key, &mut end.input) == Flow::Pause {
            net.pause(end.stream);
        }
    }
}

impl Host for Peer {
    type Event = Event;

    fn handle_datagram(&mut self, _net: &mut Net<'_>, _path: Path, _datagram: &[u8]) {}

    fn handle_stream(&mut self, net: &mut Net<'_>, stream: StreamId, event: StreamEvent) {
        let (now, key) = (net.now(), self.keys.get(&stream).copied());
        match (event, key) {
            (StreamEvent::Accepted { remote, .. }, _) => self.joined(now, stream, remote, Direction::Incoming),
            (StreamEvent::Connected, _) => {
                let Some(remote) = self.connecting.remove(&stream) else { return };
                self.joined(now, stream, remote, Direction::Outgoing(self.torrent));
            }
            (StreamEvent::Failed(_), _) => {
                let Some(remote) = self.connecting.remove(&stream) else { return };
                self.session.handle_connect_failed(now, self.torrent, remote);
            }
            (StreamEvent::Data(bytes), Some(key)) => self.read(net, key, &bytes),
            (StreamEvent::Sent(bytes), Some(key)) => self.session.handle_sent(now, key, bytes),
            (StreamEvent::End | StreamEvent::Closed, Some(key)) => {
                net.close(stream);
                self.keys.remove(&stream);
                self.ends.remove(&key);
                self.session.handle_closed(now, key);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        let now = net.now();
        while self.disk.front().is_some_and(|(at, ..)| *at <= now)
            && let Some((_, job, work)) = self.disk.pop_front()
        {
            let outcome = unchoke::storage::run(&*self.store, self.info.geometry(), &work);
            self.session.handle_disk(now, job, outcome);
        }
        self.session.handle_timeout(now);
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        let now = net.now();
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Connect { address, .. } => {
                    self.connecting.insert(net.connect(address), address);
                }
                Action::Close { peer } => {
                    let Some(end) = self.ends.remove(&peer) else { continue };
                    self.keys.remove(&end.stream);
                    net.close(end.stream);
                }
                Action::Resume { peer } => {
                    let Some(end) = self.ends.get(&peer) else { continue };
                    net.resume(end.stream);
                    self.read(net, peer, &[]);
                }
                Action::Send { peer, outgoing } => {
                    let Some(end) = self.ends.get(&peer) else { continue };
                    match outgoing {
                        Outgoing::Bytes(bytes) => net.write(end.stream, bytes),
                        Outgoing::Piece { header, block } => {
                            let mut chunk = BytesMut::from(&header[..]);
                            chunk.resize(header.len() + block.length as usize, 0);
                            self.store.read(block, &mut chunk[header.len()..]).unwrap();
                            net.write(end.stream, chunk.freeze());
                        }
                        _ => {}
                    }
                }
                Action::Disk { job, work, .. } => self.disk.push_back((now + MS, job, work)),
                _ => {}
            }
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.session.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let disk = self.disk.front().map(|(at, ..)| *at);
        [disk, self.session.poll_timeout()].into_iter().flatten().min()
    }
}

/// A seed and twelve leeches behind home lines with a little loss: when each was complete, and the trace.
fn swarm(seed: u8) -> (Vec<Duration>, u64) {
    let seed = Seed::new([seed; 32]);
    let mut content = vec![0; 3 << 20];
    seed.rng().fill(&mut content);
    let mut hasher = Builder::new("content", 1 << 16).single_file(content.len() as u64).hasher().unwrap();
    hasher.update(&content);
    let info = Arc::clone(hasher.finish().unwrap().info());

    let mut config = WorldConfig::default();
    config.link.up = Some(Rate::new(200_000));
    config.link.down = Some(Rate::new(1_000_000));
    config.link.loss = Loss::Random(0.001);
    let mut world = World::new(Instant::now(), &seed, config);
    let address = |last| SocketAddr::from(([192, 0, last, 1], 6881));
    let all: Vec<SocketAddr> = (0..13).map(address).collect();
    for n in 0..13 {
        let content = Some(&content[..]).filter(|_| n == 0);
        let peer = Peer::new(world.now(), &seed.derive(&format!("peer {n}")), &info, content);
        let id = world.add(HostConfig::new(address(n)), peer);
        let others: Vec<SocketAddr> = all.iter().filter(|it| **it != address(n)).copied().collect();
        world.with(id, |peer, net| {
            peer.session.add_peers(net.now(), peer.torrent, &others, PeerOrigin::Manual);
        });
    }
    let mut complete: BTreeMap<HostId, Duration> = BTreeMap::new();
    world.run_until(Duration::from_secs(300), |world, notice| {
        if let Notice::Event { host, event: Event::Completed { .. } } = notice {
            complete.insert(host, world.elapsed());
        }
    });
    (
        complete.into_iter().filter(|(host, _)| host.number() > 0).map(|(_, at)| at).collect(),
        world.trace_hash().number(),
    )
}

#[test]
fn a_swarm_is_faster_than_its_seed_alone_and_the_same_in_every_run() {
    let run = swarm(1);
    assert_eq!(run, swarm(1));
    let (complete, _) = run;
    assert_eq!(complete.len(), 12);
    // The seed alone would need 189 s for twelve copies of 3 MiB at 200 kB/s.
    assert!(complete.iter().all(|it| *it < Duration::from_secs(90)), "{complete:?}");
}
