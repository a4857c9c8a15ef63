//! Streams: ordered bytes between two hosts, as TCP carries them.

use bytes::Bytes;
use std::net::SocketAddr;

/// One end of a stream; unique in a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId {
    pub(crate) serial: u32,
    pub(crate) index: u32,
}

/// What happens to an end of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StreamEvent {
    /// Another host has connected to one of ours addresses.
    Accepted {
        /// The address that it connected to.
        local: SocketAddr,
        /// The address that it is seen under.
        remote: SocketAddr,
    },
    /// The stream that we opened is there.
    Connected,
    /// The stream that we opened is not there; its id means nothing any more.
    Failed(ConnectError),
    /// Bytes have come.
    Data(Bytes),
    /// So many bytes have left.
    Sent(usize),
    /// The other side has finished sending.
    End,
    /// The stream is gone: the other side closed it or went down, or the way was cut for too long. Its id means nothing any more.
    Closed,
}

/// Why a stream could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there.
    Refused,
    /// No answer came.
    TimedOut,
}
