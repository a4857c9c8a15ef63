//! One UDP endpoint: a socket for each address family, and the protocols that share them.

#[cfg(feature = "dht")]
pub(crate) mod node;
mod sockets;
mod trackers;

#[cfg(feature = "dht")]
use node::NodePart;
pub(crate) use sockets::Sockets;
use std::io;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use trackers::Trackers;
use unchoke_core::{DatagramPart, Demux, Path, Transmit};
use unchoke_tracker::udp::UdpTracker;
use unchoke_tracker::{AnnounceResponse, TrackerError};

/// Datagrams read in one go, after which the other things have their turn.
const BATCH: usize = 64;
/// The longest datagram: a tracker's full list of peers.
const DATAGRAM: usize = 64 * 1024;

/// What others have the endpoint do.
pub(crate) enum Command {
    /// Runs a tracker's client, to which one announce was given, until it has an answer. It is given up when nobody waits any more.
    Announce { tracker: Box<UdpTracker>, answer: oneshot::Sender<Result<AnnounceResponse, TrackerError>> },
    /// Does something with the node of the DHT.
    #[cfg(feature = "dht")]
    Node(node::Work),
}

/// The way to an endpoint. The endpoint ends when there is none left.
pub(crate) type Commands = mpsc::UnboundedSender<Command>;

/// Owns the sockets and drives the protocols.
pub(crate) struct Endpoint {
    sockets: Sockets,
    demux: Demux,
    #[cfg(feature = "dht")]
    node: Option<NodePart>,
    trackers: Trackers,
    inbox: mpsc::UnboundedReceiver<Command>,
    /// A datagram that the system had no room for.
    unsent: Option<Transmit>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Endpoint {
    pub(crate) fn new(sockets: Sockets, #[cfg(feature = "dht")] node: Option<NodePart>) -> (Self, Commands) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let endpoint = Self {
            sockets,
            demux: Demux::new(),
            #[cfg(feature = "dht")]
            node,
            trackers: Trackers::default(),
            inbox,
            unsent: None,
            outgoing: Vec::new(),
            incoming: vec![0; DATAGRAM],
        };
        (endpoint, commands)
    }

    /// Runs until nobody can give it commands any more.
    pub(crate) async fn run(mut self) {
        loop {
            self.send();
            self.dispatch();
            let deadline = self.with_parts(|demux, parts| demux.poll_timeout(parts));
            let blocked = self.unsent.map(|transmit| transmit.destination);
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(command) => self.handle_command(command),
                    None => return,
                },
                () = self.sockets.readable() => self.receive(),
                () = self.sockets.writable(blocked) => {}
                () = sleep_until(deadline) => {
                    let now = Instant::now();
                    self.with_parts(|demux, parts| demux.handle_timeout(parts, now));
                }
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Announce { tracker, answer } => self.trackers.add(*tracker, answer),
            #[cfg(feature = "dht")]
            Command::Node(work) => {
                if let Some(node) = &mut self.node {
                    work(node, Instant::now());
                }
            }
        }
    }

    /// Lends all protocols to the demultiplexer.
    fn with_parts<T>(&mut self, work: impl FnOnce(&mut Demux, &mut [&mut dyn DatagramPart]) -> T) -> T {
        let mut parts: Vec<&mut dyn DatagramPart> = Vec::new();
        #[cfg(feature = "dht")]
        if let Some(node) = &mut self.node {
            parts.push(node.protocol());
        }
        parts.extend(self.trackers.protocols());
        work(&mut self.demux, &mut parts)
    }

    /// Sends until there is nothing more to send, or the system has no room.
    fn send(&mut self) {
        loop {
            let now = Instant::now();
            let transmit = match self.unsent.take() {
                Some(transmit) => transmit,
                None => {
                    let mut outgoing = std::mem::take(&mut self.outgoing);
                    outgoing.clear();
                    let next = self.with_parts(|demux, parts| demux.poll_transmit(parts, now, &mut outgoing));
                    self.outgoing = outgoing;
                    let Some(transmit) = next else { return };
                    transmit
                }
            };
            let datagram = self.outgoing.get(..transmit.size).unwrap_or_default();
            match self.sockets.send(datagram, transmit.destination) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent = Some(transmit);
                    return;
                }
                Err(error) if is_unreachable(&error) => {
                    self.with_parts(|demux, parts| demux.handle_unreachable(parts, now, transmit.destination));
                }
                // Anything else is a lost datagram, which each protocol can bear.
                _ => {}
            }
        }
    }

    fn receive(&mut self) {
        let mut incoming = std::mem::take(&mut self.incoming);
        for _ in 0..BATCH {
            let Some((length, from)) = self.sockets.receive(&mut incoming) else { break };
            let datagram = incoming.get(..length).unwrap_or_default();
            let (now, path) = (Instant::now(), Path::from_remote(from));
            // What is nobody's, or refused, has been counted where that is of interest.
            let _ = self.with_parts(|demux, parts| demux.handle_input(parts, now, path, datagram));
        }
        self.incoming = incoming;
    }

    /// Hands out what the protocols have to tell.
    fn dispatch(&mut self) {
        self.trackers.dispatch();
        #[cfg(feature = "dht")]
        if let Some(node) = &mut self.node {
            node.dispatch();
        }
    }
}

/// Whether an error of sending says something about the destination.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
    )
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Announces at a tracker through an endpoint.
pub(crate) async fn announce(endpoint: &Commands, tracker: UdpTracker) -> Result<AnnounceResponse, TrackerError> {
    let (answer, answered) = oneshot::channel();
    let gone = TrackerError::Unreachable;
    endpoint.send(Command::Announce { tracker: Box::new(tracker), answer }).map_err(|_| gone.clone())?;
    answered.await.unwrap_or(Err(gone))
}
