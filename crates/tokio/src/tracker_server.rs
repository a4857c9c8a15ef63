//! A tracker of one's own, over HTTP and UDP.

use crate::stream::{self, StreamError};
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use unchoke_core::Seed;
use unchoke_tracker::TrackerError;
use unchoke_tracker::http::{HttpServerConnection, ServerRequest};
use unchoke_tracker::server::TrackerServer;
use unchoke_tracker::udp::UdpServer;

/// Connections served at a time; more wait.
const MAX_CONNECTIONS: usize = 512;
/// The wait after the system refused to accept a connection or to read a datagram.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest request that is read: a scrape of as many torrents as BEP 15 allows is shorter.
const DATAGRAM: usize = 2048;

/// An HTTP tracker that runs until it is dropped.
#[derive(Debug)]
pub struct HttpTrackerServer {
    local: SocketAddr,
    table: Arc<Mutex<TrackerServer>>,
    _tasks: JoinSet<()>,
}

impl HttpTrackerServer {
    /// Listens and serves every torrent that is announced.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn bind(address: SocketAddr, seed: Seed) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let table = Arc::new(Mutex::new(TrackerServer::new(seed)));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&table)));
        Ok(Self { local, table, _tasks: tasks })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address to announce to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/announce", self.local)
    }
}

/// The UDP side of an [`HttpTrackerServer`], with its table: who announces over one protocol is told to those who ask over the other
/// ([BEP 15]). It runs until it is dropped.
///
/// [BEP 15]: https://www.bittorrent.org/beps/bep_0015.html
#[derive(Debug)]
pub struct UdpTrackerServer {
    local: SocketAddr,
    _tasks: JoinSet<()>,
}

impl UdpTrackerServer {
    /// Answers datagrams at `address` out of the table of `tracker`. The number of the port may be that of `tracker`.
    ///
    /// `seed` is what connection ids are made from: a client that knew it could announce addresses that are not its own.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn beside(tracker: &HttpTrackerServer, address: SocketAddr, seed: &Seed) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let local = socket.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_datagrams(socket, UdpServer::new(Instant::now(), seed), Arc::clone(&tracker.table)));
        Ok(Self { local, _tasks: tasks })
    }

    /// The address to announce to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("udp://{}/announce", self.local)
    }
}

async fn serve_datagrams(socket: UdpSocket, server: UdpServer, table: Arc<Mutex<TrackerServer>>) {
    let mut request = vec![0; DATAGRAM];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut request).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let now = Instant::now();
        let answer = {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.handle_timeout(now);
            server.answer(now, from, request.get(..length).unwrap_or_default(), &mut table)
        };
        if let Some(answer) = answer {
            // A client that hears nothing asks again.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve(listener: TcpListener, server: Arc<Mutex<TrackerServer>>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if running.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, from)) => {
                    let server = Arc::clone(&server);
                    running.spawn(async move {
                        // A client that breaks off or talks nonsense concerns nobody else.
                        let _ = answer(stream, from, &server).await;
                    });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = running.join_next() => {}
        }
    }
}

async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    server: &Mutex<TrackerServer>,
) -> Result<(), StreamError<TrackerError>> {
    let mut connection = HttpServerConnection::new(Instant::now());
    let mut input = BytesMut::new();
    let done = HttpServerConnection::is_done;
    while let Some(request) = stream::next_event(&mut connection, &mut stream, &mut input, done).await? {
        respond(&mut connection, request, from, server);
    }
    Ok(())
}

fn respond(
    connection: &mut HttpServerConnection,
    request: ServerRequest,
    from: SocketAddr,
    server: &Mutex<TrackerServer>,
) {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    server.handle_timeout(now);
    match request {
        ServerRequest::Announce(request) => match server.announce(now, &request, from) {
            Ok(response) => connection.respond_announce(&response),
            Err(error) => connection.respond_failure(&error.to_string()),
        },
        ServerRequest::Scrape(hashes) => connection.respond_scrape(&server.scrape(&hashes)),
        _ => connection.respond_failure("not supported"),
    }
}
