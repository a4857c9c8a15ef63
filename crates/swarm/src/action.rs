//! What the engine asks its driver to do.

use crate::ids::{PeerKey, TorrentKey};
use std::net::SocketAddr;
use unchoke_core::{DiskWork, JobId, Outgoing};

/// A request to the driver. The driver decides nothing; it does these in the order in which they are polled.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Open a connection, then call [`handle_connected`](crate::Session::handle_connected), or
    /// [`handle_connect_failed`](crate::Session::handle_connect_failed).
    Connect {
        /// The torrent that wants the peer.
        torrent: TorrentKey,
        /// Where to.
        address: SocketAddr,
    },
    /// Close the connection. What was to be sent on it may be dropped. The key is not used again.
    Close {
        /// The connection.
        peer: PeerKey,
    },
    /// Read from the connection again, after [`Flow::Pause`](crate::Flow::Pause).
    Resume {
        /// The connection.
        peer: PeerKey,
    },
    /// Send on the connection, then call [`handle_sent`](crate::Session::handle_sent).
    Send {
        /// The connection.
        peer: PeerKey,
        /// What to send.
        outgoing: Outgoing,
    },
    /// Do a disk job, then call [`handle_disk`](crate::Session::handle_disk).
    ///
    /// Jobs of one torrent may run side by side, except that `Sync` waits for the jobs before it.
    Disk {
        /// The torrent.
        torrent: TorrentKey,
        /// The job's number.
        job: JobId,
        /// What to do.
        work: DiskWork,
    },
}
