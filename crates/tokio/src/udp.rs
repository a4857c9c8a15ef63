//! One UDP endpoint: its sockets, as a rule one of each address family, and the protocols that share them.

#[cfg(feature = "dht")]
mod network;
#[cfg(feature = "dht")]
pub(crate) mod node;
mod sockets;
mod trackers;

#[cfg(feature = "dht")]
use network::{LOOK_EVERY, Observation};
#[cfg(feature = "dht")]
use node::NodePart;
pub(crate) use sockets::Sockets;
use std::io;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use trackers::Trackers;
use unchoke_core::{DatagramPart, Demux, Transmit};
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
    /// What the system said when the network was last looked at. Without a node nobody needs to know.
    #[cfg(feature = "dht")]
    seen: Option<Observation>,
    /// When to look again.
    next_look: Option<Instant>,
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
        #[cfg(feature = "dht")]
        let seen = node.as_ref().map(|_| Observation::now());
        let endpoint = Self {
            #[cfg(feature = "dht")]
            next_look: seen.map(|_| Instant::now() + LOOK_EVERY),
            #[cfg(not(feature = "dht"))]
            next_look: None,
            #[cfg(feature = "dht")]
            seen,
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
            let (blocked, next_look) = (self.unsent, self.next_look);
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
                () = sleep_until(next_look) => self.look(),
            }
        }
    }

    /// Looks at the network, and tells the protocols if it is another one.
    #[cfg(feature = "dht")]
    fn look(&mut self) {
        self.next_look = Some(Instant::now() + LOOK_EVERY);
        self.sockets.revive();
        self.handle_observation(Observation::now());
    }

    #[cfg(not(feature = "dht"))]
    fn look(&mut self) {
        self.next_look = None;
    }

    #[cfg(feature = "dht")]
    fn handle_observation(&mut self, seen: Observation) {
        let is_change = self.seen.replace(seen).is_some_and(|before| seen.is_change_from(before));
        if is_change {
            let now = Instant::now();
            self.with_parts(|demux, parts| demux.handle_network_change(parts, now));
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
            match self.sockets.send(datagram, transmit) {
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
            let Some((length, path)) = self.sockets.receive(&mut incoming) else { break };
            let datagram = incoming.get(..length).unwrap_or_default();
            let now = Instant::now();
            // What is nobody's, or refused, has been counted where that is of interest.
            let _ = self.with_parts(|demux, parts| demux.handle_input(parts, now, path, datagram));
            // Who waits is told at once: before the other datagrams are read, and before anything is sent.
            self.dispatch();
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

#[cfg(all(test, feature = "dht"))]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use unchoke_dht::Config;

    #[tokio::test]
    async fn a_node_looks_for_its_neighbours_again_when_the_network_has_changed() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let silent = tokio::net::UdpSocket::bind(local).await.unwrap();
        let sockets = Sockets::bind(&[local]).unwrap();
        let (mut node, _) = crate::dht::node(Config::default(), &sockets).unwrap();
        node.node.bootstrap(Instant::now(), &[silent.local_addr().unwrap()]);
        let (mut endpoint, _commands) = Endpoint::new(sockets, Some(node));
        let start = Observation::now();
        let operations = |endpoint: &Endpoint| endpoint.node.as_ref().unwrap().node.health().operations;
        let mut look = async |at, address| {
            endpoint.handle_observation(network::tests::seen(start, at, at, Some(address)));
            endpoint.send();
            // A new socket has to be asked first whether it has room.
            if endpoint.unsent.is_some() {
                endpoint.sockets.writable(endpoint.unsent).await;
                endpoint.send();
            }
            operations(&endpoint)
        };
        // The first one may be another address than the machine has.
        let first = look(0, 1).await;
        assert_eq!(look(5, 1).await, first);
        silent.recv_from(&mut [0; 2000]).await.unwrap();
        assert_eq!(look(10, 2).await, first + 1);
        silent.recv_from(&mut [0; 2000]).await.unwrap();
    }
}
