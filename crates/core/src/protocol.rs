//! The two sans-IO contracts: bytes and time go in, bytes, events and a deadline come out.
//!
//! A driver owns the socket and the clock. After every `handle_*` call it polls, in this order, what there is to send, what has
//! happened, and when to come back; a poll that returns `None` need not be repeated before the next `handle_*` call.
//! Time never runs backwards between calls, and a timeout that comes too early, too late or twice does no harm.

use crate::piece::Block;
use bytes::{Bytes, BytesMut};
use std::net::SocketAddr;
use std::time::Instant;

/// The two ends of a datagram's way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Path {
    /// The local address that it came to, where the driver knows it.
    pub local: Option<SocketAddr>,
    /// The address that it came from.
    pub remote: SocketAddr,
}

impl Path {
    /// A path from `remote` to a local address that the driver does not tell.
    #[must_use]
    pub const fn from_remote(remote: SocketAddr) -> Self {
        Self { local: None, remote }
    }
}

/// What a [`DatagramProtocol`] made of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Handled {
    /// It belonged to this protocol and was taken.
    Taken,
    /// It belongs to something else on this socket.
    NotMine,
    /// It claimed to belong to this protocol and was malformed, unexpected or over a limit.
    Refused,
}

/// Where the datagram that was put into the buffer has to go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Transmit {
    /// The address to send to.
    pub destination: SocketAddr,
    /// Bytes of the datagram, which were appended to the buffer.
    pub size: usize,
    /// The local address that it has to leave from, where the protocol has several. `None` leaves that to the driver.
    pub source: Option<SocketAddr>,
}

impl Transmit {
    /// A datagram of `size` bytes to `destination`.
    #[must_use]
    pub const fn new(destination: SocketAddr, size: usize) -> Self {
        Self { destination, size, source: None }
    }

    /// The same datagram from a particular local address.
    #[must_use]
    pub const fn with_source(self, source: SocketAddr) -> Self {
        Self { source: Some(source), ..self }
    }
}

/// A protocol over datagrams. Several may share one socket: each says of a datagram whether it is its own.
pub trait DatagramProtocol: Send {
    /// What the protocol tells its owner.
    type Event;

    /// A datagram has come. Bad input is refused and counted, never an error.
    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled;

    /// The network said that `to` cannot be reached.
    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr);

    /// The machine has other addresses than before.
    fn handle_network_change(&mut self, now: Instant);

    /// Time has passed. A spurious call is a no-op.
    fn handle_timeout(&mut self, now: Instant);

    /// The next datagram to send, appended to `buf`. Poll again until `None` after every `handle_*` call.
    #[must_use]
    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit>;

    /// The next event. Poll again until `None` after every `handle_*` call.
    #[must_use]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When to call [`handle_timeout`](Self::handle_timeout). Ask again after every `handle_*` call and every transmit.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What a [`StreamProtocol`] has to send next.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outgoing {
    /// Bytes, ready to go.
    Bytes(Bytes),
    /// A `piece` message (BEP 3): the driver sends the header and fills in the block by the cheapest way it has.
    Piece {
        /// Length prefix, message id, piece index and offset.
        header: [u8; 13],
        /// The bytes to send after the header.
        block: Block,
    },
}

impl Outgoing {
    /// All bytes that this puts on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Piece { header, block } => header.len().saturating_add(block.length as usize),
        }
    }
}

/// A protocol over one ordered stream of bytes.
pub trait StreamProtocol: Send {
    /// What the protocol tells its owner.
    type Event;
    /// Fatal for this stream; the type says whose fault it is.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Bytes have come. Takes what is complete from the front of `input` and leaves the rest for the next call.
    ///
    /// # Errors
    /// If the stream cannot go on.
    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Self::Error>;

    /// The other side has finished sending.
    ///
    /// # Errors
    /// If it finished in the middle of something.
    fn handle_end(&mut self, now: Instant) -> Result<(), Self::Error>;

    /// So many bytes have really left, in the order in which they were polled.
    fn handle_sent(&mut self, now: Instant, bytes: usize);

    /// The driver cannot fill a block that it was given to send, and none of it, nor its header, has left.
    fn handle_unreadable(&mut self, now: Instant, block: Block);

    /// Time has passed. A spurious call is a no-op.
    ///
    /// # Errors
    /// If the other side has been silent for too long.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error>;

    /// The next thing to send. Only pieces count against `piece_budget` (bytes of payload); everything else is never held back by it.
    /// Poll again until `None` after every `handle_*` call and whenever there is new budget.
    #[must_use]
    fn poll_transmit(&mut self, now: Instant, piece_budget: usize) -> Option<Outgoing>;

    /// Whether every chunk must pass through [`seal`](Self::seal) before it leaves.
    #[must_use]
    fn needs_seal(&self) -> bool {
        false
    }

    /// Encrypts a chunk in place; called in wire order, once for every byte.
    fn seal(&mut self, _chunk: &mut [u8]) {}

    /// The next event. Poll again until `None` after every `handle_*` call.
    #[must_use]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When to call [`handle_timeout`](Self::handle_timeout). Ask again after every `handle_*` call and every transmit.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}
