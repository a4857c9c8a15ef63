//! One TCP connection: a task that reads and a task that writes.

use crate::buffers;
use crate::engine::{Engine, PeerTasks};
use crate::outbox::Outbox;
use crate::stream;
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, mpsc};
use unchoke_core::Outgoing;
use unchoke_storage::TorrentStorage;
use unchoke_swarm::{Direction, Flow, PeerKey, TorrentKey};

/// The most bytes asked of the socket at a time.
const MAX_READ: usize = buffers::SIZE;
/// The least bytes asked of it: a block and its header fit.
const MIN_READ: usize = 32 * 1024;
/// Bytes gathered for the socket at a time.
const WRITE: usize = 512 * 1024;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Opens a connection, from `source` if that is set.
pub(crate) async fn open(engine: Arc<Engine>, torrent: TorrentKey, address: SocketAddr, source: Option<SocketAddr>) {
    match tokio::time::timeout(CONNECT, stream::connect(address, source)).await {
        Ok(Ok(stream)) => run(&engine, stream, address, Direction::Outgoing(torrent)).await,
        _ => engine.with(|core, now| core.session.handle_connect_failed(now, torrent, address)),
    }
}

/// Carries a connection until either side ends it.
pub(crate) async fn run(engine: &Arc<Engine>, stream: TcpStream, address: SocketAddr, direction: Direction) {
    // Without this small messages wait for acknowledgements; a socket that refuses still works.
    let _ = stream.set_nodelay(true);
    let (outgoing, queue) = mpsc::unbounded_channel();
    let tasks = PeerTasks { outgoing, resume: Arc::new(Notify::new()), closed: Arc::new(Notify::new()) };
    let (read, write) = stream.into_split();
    let peer = engine.handle_connected(address, direction, tasks.clone());
    tokio::select! {
        () = read_all(engine, peer, read, &tasks.resume) => {}
        _ = write_all(engine, peer, write, queue) => {}
        () = tasks.closed.notified() => {}
    }
    engine.handle_closed(peer);
}

async fn read_all(engine: &Arc<Engine>, peer: PeerKey, stream: OwnedReadHalf, resume: &Notify) {
    let mut input = BytesMut::new();
    let mut room = MIN_READ;
    // Whether `input` is one of the buffers that are used again: a connection that brings much has them, others have small ones.
    let mut is_lent = false;
    loop {
        // Blocks keep the buffer alive that they came in. So it is made as large as what usually comes, and filled before there is another.
        if input.capacity().saturating_sub(input.len()) < room.min(MAX_READ / 4) {
            let lends = room >= MAX_READ && input.len() < MAX_READ / 4;
            if lends {
                // What stands in it is the beginning of a message.
                let mut fresh = engine.buffers.take();
                fresh.extend_from_slice(&input);
                let full = std::mem::replace(&mut input, fresh);
                if is_lent {
                    engine.buffers.give(full);
                }
            } else {
                input.reserve(room);
            }
            is_lent = lends;
        }
        // A socket that always has something must not keep the others waiting.
        tokio::task::consume_budget().await;
        let asked = input.capacity().saturating_sub(input.len());
        let read = match stream.try_read_buf(&mut input) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if input.is_empty() {
                    // An idle connection holds no buffer.
                    let buffer = std::mem::take(&mut input);
                    if std::mem::take(&mut is_lent) {
                        engine.buffers.give(buffer);
                    }
                }
                if stream.readable().await.is_err() {
                    return;
                }
                continue;
            }
            Err(_) => return,
        };
        if read == asked {
            room = room.saturating_mul(2).min(MAX_READ);
        } else if read < room / 4 {
            room = (room / 2).max(MIN_READ);
        }
        let flow = engine.handle_input(peer, &mut input);
        if flow == Flow::Pause {
            resume.notified().await;
        }
    }
}

async fn write_all(
    engine: &Arc<Engine>,
    peer: PeerKey,
    mut stream: OwnedWriteHalf,
    mut queue: UnboundedReceiver<Outgoing>,
) -> io::Result<()> {
    let mut store: Option<Arc<dyn TorrentStorage>> = None;
    while let Some(first) = queue.recv().await {
        let mut size = first.wire_len();
        let mut batch = vec![first];
        while size < WRITE
            && let Ok(next) = queue.try_recv()
        {
            size = size.saturating_add(next.wire_len());
            batch.push(next);
        }
        if store.is_none() && batch.iter().any(|outgoing| matches!(outgoing, Outgoing::Piece { .. })) {
            store = engine.torrent_of(peer).and_then(|torrent| engine.store_of(torrent));
        }
        let mut outbox = gather(engine, batch, store.clone()).await?;
        outbox.unreadable.drain(..).for_each(|block| engine.handle_unreadable(peer, block));
        loop {
            let slices = outbox.slices();
            if slices.is_empty() {
                break;
            }
            let written = stream.write_vectored(&slices).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            outbox.advance(written);
            engine.handle_sent(peer, written);
        }
    }
    Ok(())
}

/// Puts a batch together, with the blocks from the store on a thread that may block.
async fn gather(
    engine: &Arc<Engine>,
    batch: Vec<Outgoing>,
    store: Option<Arc<dyn TorrentStorage>>,
) -> io::Result<Outbox> {
    if batch.iter().all(|outgoing| matches!(outgoing, Outgoing::Bytes(_))) {
        return Ok(Outbox::of_bytes(batch));
    }
    let engine = Arc::clone(engine);
    let gathered = move || Outbox::gather(batch, store.as_deref(), &engine.windows);
    tokio::task::spawn_blocking(gathered).await.map_err(io::Error::other)
}
