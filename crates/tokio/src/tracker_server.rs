//! A tracker of one's own, over HTTP.

use crate::stream::{self, StreamError};
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use unchoke_core::Seed;
use unchoke_tracker::TrackerError;
use unchoke_tracker::http::{HttpServerConnection, ServerRequest};
use unchoke_tracker::server::TrackerServer;

/// Connections served at a time; more wait.
const MAX_CONNECTIONS: usize = 512;
/// The wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// An HTTP tracker that runs until it is dropped.
#[derive(Debug)]
pub struct HttpTrackerServer {
    local: SocketAddr,
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
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::new(Mutex::new(TrackerServer::new(seed)))));
        Ok(Self { local, _tasks: tasks })
    }

    /// The address to announce to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/announce", self.local)
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
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
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
    while let Some(request) = stream::next_event(&mut connection, &mut stream, &mut input).await? {
        respond(&mut connection, request, from, server);
        stream::flush(&mut connection, &mut stream).await?;
        if connection.is_done() {
            break;
        }
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
