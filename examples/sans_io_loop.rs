//! The engine without a runtime: plain threads, blocking sockets, and a loop of some hundred lines that is all the driver there is.
//!
//! Without arguments two such loops move 32 MiB over loopback, and the copy is hashed anew from its files. With arguments it downloads a
//! torrent from one peer.

use bytes::{BufMut as _, BytesMut};
use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use unchoke_core::{Block, DiskOutcome, DiskWork, Geometry, JobId, Outgoing, Seed};
use unchoke_examples::{Failure, Source, addresses, generate, load, run, say, tell, unexpected};
use unchoke_metainfo::Metainfo;
use unchoke_storage::{FileStorage, Storage as _, TorrentStorage};
use unchoke_swarm::{
    Action, Content, Direction, Event, Flow, PeerKey, PeerOrigin, Session, SessionConfig, TorrentKey, TorrentParams,
};

const USAGE: &str = "sans_io_loop [<FILE.torrent> --peer HOST:PORT --output DIR]";
/// Bytes read from a socket at a time.
const READ: usize = 256 * 1024;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a download may stand still before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    run(USAGE, start())
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}

fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut file, mut peers, mut output) = (None::<OsString>, Vec::new(), None::<PathBuf>);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("peer") => peers = addresses(&parser.value()?)?,
            Long("output") => output = Some(parser.value()?.into()),
            Value(value) if file.is_none() => file = Some(value),
            other => return Err(unexpected(other)),
        }
    }
    match (file, peers.as_slice(), output) {
        (None, [], None) => offline(),
        (Some(file), [_, ..], Some(output)) => match load(&file)? {
            Source::Torrent(metainfo) => download(&metainfo, &peers, &output),
            Source::Magnet(_) | Source::Mutable(_) => Err(Failure::Usage("a torrent file is needed".into())),
        },
        _ => Err(Failure::Usage("a torrent, --peer and --output are needed".into())),
    }
}

fn offline() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let lengths = [20 << 20, (12 << 20) - 4321, 4321];
    let content = generate(folder.path(), "sample", &lengths, |builder| builder).map_err(failed)?;
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let listens = listener.local_addr().map_err(failed)?;
    let (mut seed, inputs) = Driver::new(&content.metainfo, FileStorage::read_only(folder.path()))?;
    let stop = seed.sender.clone();
    let accepted = seed.sender.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if accepted.send(Input::Accepted(stream)).is_err() {
                return;
            }
        }
    });
    let seeding = thread::spawn(move || while seed.step(&inputs, PATIENCE) != Step::Stopped {});
    let result = download(&content.metainfo, &[listens], &folder.path().join("copy"));
    // A seed that has ended by itself needs no telling.
    let _ = stop.send(Input::Stop);
    seeding.join().map_err(|_| Failure::Failed("the seed's thread panicked".into()))?;
    result
}

fn download(metainfo: &Metainfo, peers: &[SocketAddr], output: &Path) -> Result<(), Failure> {
    let (mut driver, inputs) = Driver::new(metainfo, FileStorage::new(output))?;
    driver.session.add_peers(Instant::now(), driver.torrent, peers, PeerOrigin::Manual);
    let (begin, mut progress, mut moved) = (Instant::now(), 0, Instant::now());
    while !driver.done {
        driver.step(&inputs, Duration::from_secs(1));
        let verified = driver.session.stats(driver.torrent).map_or(0, |stats| stats.verified_bytes);
        if verified > progress {
            (progress, moved) = (verified, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            return Err(Failure::Failed(format!("nothing came for {} s", PATIENCE.as_secs())));
        }
    }
    let (seconds, total) = (begin.elapsed().as_secs_f64(), metainfo.info().geometry().total_len());
    say(format_args!("{total} bytes in {seconds:.2} s, {:.0} MB/s", total as f64 / seconds / 1e6))?;
    verify(metainfo, output)
}

/// Hashes a copy anew, from its files alone.
fn verify(metainfo: &Metainfo, folder: &Path) -> Result<(), Failure> {
    let info = metainfo.info();
    let store = FileStorage::read_only(folder).open(info).map_err(failed)?;
    let right = info.geometry().pieces().all(|piece| {
        info.piece_hash(piece).is_some_and(|expected| {
            let work = DiskWork::Check { piece, expected, digests: false };
            matches!(unchoke_storage::run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. })
        })
    });
    if !right {
        return Err(Failure::Failed("the copy does not hash right".into()));
    }
    say("every piece hashes right")?;
    Ok(())
}

/// What threads tell the loop.
enum Input {
    Accepted(TcpStream),
    Connected(SocketAddr, TcpStream),
    ConnectFailed(SocketAddr),
    Read(PeerKey, BytesMut),
    Sent(PeerKey, usize),
    Unreadable(PeerKey, Block),
    Closed(PeerKey),
    Disk(JobId, DiskOutcome),
    Stop,
}

#[derive(PartialEq, Eq)]
enum Step {
    Goes,
    Stopped,
}

/// A connection, as the loop knows it.
struct Peer {
    stream: TcpStream,
    /// To the thread that writes.
    outgoing: Sender<Outgoing>,
    /// Lets the thread that reads go on.
    read_on: Sender<()>,
    /// What was read and is not a whole message yet.
    input: BytesMut,
}

/// A session, its threads, and nothing else.
struct Driver {
    session: Session,
    torrent: TorrentKey,
    store: Arc<dyn TorrentStorage>,
    peers: HashMap<PeerKey, Peer>,
    jobs: Sender<(JobId, DiskWork)>,
    sender: Sender<Input>,
    /// Everything is here and durable.
    done: bool,
}

impl Driver {
    fn new(metainfo: &Metainfo, storage: FileStorage) -> Result<(Self, Receiver<Input>), Failure> {
        let info = metainfo.info();
        let store = storage.open(info).map_err(failed)?;
        let recovered = store.recover().map_err(failed)?;
        let mut content = Content::new(Arc::clone(info));
        (content.verified, content.suspects) = (recovered.verified, recovered.suspects);
        let now = Instant::now();
        let mut session = Session::new(now, SessionConfig::default(), &entropy());
        let torrent = session.add_torrent(now, TorrentParams::from_content(metainfo.info_hashes(), content));
        let (sender, inputs) = channel();
        let (jobs, queue) = channel();
        let (disk, results, geometry) = (Arc::clone(&store), sender.clone(), info.geometry().clone());
        thread::spawn(move || work(disk.as_ref(), &geometry, &queue, &results));
        let mut driver = Self { session, torrent, store, peers: HashMap::new(), jobs, sender, done: false };
        driver.carry_out();
        Ok((driver, inputs))
    }

    /// One turn of the loop: waits for an input or the session's deadline, but no longer than `longest`.
    fn step(&mut self, inputs: &Receiver<Input>, longest: Duration) -> Step {
        self.carry_out();
        let until = self.session.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
        match inputs.recv_timeout(until.map_or(longest, |until| until.min(longest))) {
            Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return Step::Stopped,
            Ok(input) => self.handle(input),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        self.carry_out();
        Step::Goes
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Accepted(stream) => {
                if let Ok(address) = stream.peer_addr() {
                    self.adopt(now, stream, address, Direction::Incoming);
                }
            }
            Input::Connected(address, stream) => {
                self.adopt(now, stream, address, Direction::Outgoing(self.torrent));
            }
            Input::ConnectFailed(address) => self.session.handle_connect_failed(now, self.torrent, address),
            Input::Read(key, bytes) => {
                let Some(peer) = self.peers.get_mut(&key) else { return };
                if peer.input.is_empty() {
                    peer.input = bytes
                } else {
                    peer.input.put(bytes)
                }
                if self.session.handle_input(now, key, &mut peer.input) == Flow::Continue {
                    // The thread that reads may have ended; its last word is on its way then.
                    let _ = peer.read_on.send(());
                }
            }
            Input::Sent(key, bytes) => self.session.handle_sent(now, key, bytes),
            Input::Unreadable(key, block) => self.session.handle_unreadable(now, key, block),
            Input::Closed(key) => {
                if self.peers.remove(&key).is_some() {
                    self.session.handle_closed(now, key);
                }
            }
            Input::Disk(job, outcome) => self.session.handle_disk(now, job, outcome),
            Input::Stop => {}
        }
    }

    /// Takes a connection in and gives it its two threads.
    fn adopt(&mut self, now: Instant, stream: TcpStream, address: SocketAddr, direction: Direction) {
        let key = self.session.handle_connected(now, address, direction);
        let _ = stream.set_nodelay(true);
        let (Ok(reader), Ok(writer)) = (stream.try_clone(), stream.try_clone()) else {
            self.session.handle_closed(now, key);
            return;
        };
        let (outgoing, queue) = channel();
        let (read_on, may_read) = channel();
        let (sender, store) = (self.sender.clone(), Arc::clone(&self.store));
        thread::spawn(move || {
            read(key, reader, &may_read, &sender);
            // The loop may have ended first.
            let _ = sender.send(Input::Closed(key));
        });
        let sender = self.sender.clone();
        thread::spawn(move || {
            if write(key, &writer, &queue, store.as_ref(), &sender).is_err() {
                let _ = writer.shutdown(Shutdown::Both);
            }
        });
        self.peers.insert(key, Peer { stream, outgoing, read_on, input: BytesMut::new() });
    }

    /// Does what the session asks for. A thread that has ended has told so, so that sending to it may fail.
    fn carry_out(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Connect { address, .. } => {
                    let sender = self.sender.clone();
                    thread::spawn(move || {
                        let _ = sender.send(match TcpStream::connect_timeout(&address, CONNECT) {
                            Ok(stream) => Input::Connected(address, stream),
                            Err(_) => Input::ConnectFailed(address),
                        });
                    });
                }
                Action::Close { peer } => {
                    if let Some(peer) = self.peers.remove(&peer) {
                        let _ = peer.stream.shutdown(Shutdown::Both);
                    }
                }
                Action::Resume { peer } => {
                    if let Some(peer) = self.peers.get(&peer) {
                        let _ = peer.read_on.send(());
                    }
                }
                Action::Send { peer, outgoing } => {
                    if let Some(peer) = self.peers.get(&peer) {
                        let _ = peer.outgoing.send(outgoing);
                    }
                }
                Action::Disk { job, work, .. } => {
                    let _ = self.jobs.send((job, work));
                }
                _ => {}
            }
        }
        while let Some(event) = self.session.poll_event() {
            let complete = self.session.stats(self.torrent).is_some_and(|stats| stats.left() == Some(0));
            match event {
                Event::Synced { .. } | Event::Checked { .. } => self.done |= complete,
                Event::StorageFailed { error, .. } => tell(format_args!("the store failed: {error}")),
                _ => {}
            }
        }
    }
}

/// Does disk jobs, one after the other.
fn work(store: &dyn TorrentStorage, geometry: &Geometry, jobs: &Receiver<(JobId, DiskWork)>, results: &Sender<Input>) {
    for (job, work) in jobs {
        if results.send(Input::Disk(job, unchoke_storage::run(store, geometry, &work))).is_err() {
            return;
        }
    }
}

/// Reads from a connection, one portion at a time, and waits after each until the loop wants more.
fn read(key: PeerKey, mut stream: TcpStream, may_read: &Receiver<()>, sender: &Sender<Input>) {
    let mut portion = vec![0; READ];
    loop {
        let Ok(length @ 1..) = stream.read(&mut portion) else { return };
        let bytes = BytesMut::from(portion.get(..length).unwrap_or_default());
        if sender.send(Input::Read(key, bytes)).is_err() || may_read.recv().is_err() {
            return;
        }
    }
}

/// Writes to a connection, and fills in blocks from the store.
fn write(
    key: PeerKey,
    mut stream: &TcpStream,
    queue: &Receiver<Outgoing>,
    store: &dyn TorrentStorage,
    sender: &Sender<Input>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for outgoing in queue {
        bytes.clear();
        match outgoing {
            Outgoing::Bytes(message) => bytes.extend_from_slice(&message),
            Outgoing::Piece { header, block } => {
                bytes.extend_from_slice(&header);
                bytes.resize(header.len().saturating_add(block.length as usize), 0);
                if store.read(block, bytes.get_mut(header.len()..).unwrap_or_default()).is_err() {
                    let _ = sender.send(Input::Unreadable(key, block));
                    continue;
                }
            }
            _ => continue,
        }
        stream.write_all(&bytes)?;
        if sender.send(Input::Sent(key, bytes.len())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// A seed for the session from the operating system, by way of the keys that hash maps get.
fn entropy() -> Seed {
    let mut bytes = [0; 32];
    for part in bytes.chunks_mut(8) {
        let number = std::hash::RandomState::new().build_hasher().finish();
        part.copy_from_slice(&number.to_ne_bytes());
    }
    Seed::new(bytes)
}
