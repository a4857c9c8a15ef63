//! What a session and a torrent can be told.

use crate::picker::PiecePicker;
use crate::priorities::FilePriorities;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use unchoke_core::{Geometry, InfoHashes, Seed};
use unchoke_metainfo::Info;
use unchoke_wire::{ConnectionConfig, Extension};

/// The longest block that is served, in bytes. Clients ask for 16 KiB; the longest that any is known to ask for is this.
pub(crate) const MAX_REQUEST: u32 = 64 * 1024;

/// Settings of a [`Session`](crate::Session).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The first eight bytes of the peer id (BEP 20). Default `-UC0100-`.
    pub peer_id_prefix: [u8; 8],
    /// Name and version that the extension handshake tells.
    pub client: String,
    /// The port that other peers can connect to, told to peers. `None` while there is none.
    pub listen_port: Option<u16>,
    /// The ports of our node of the DHT. Peers are told of it in the handshake and by a `port` message (BEP 5), but not those of private
    /// torrents. Default none: nothing is told, and what peers tell of their nodes is not heard.
    pub dht_ports: DhtPorts,
    /// Connections in all, those being opened included; peers may open three quarters of them. More find more pieces sooner and cost memory.
    /// Default 200.
    pub max_connections: usize,
    /// Connections of one torrent; peers may open three quarters of them. Default 80.
    pub max_connections_per_torrent: usize,
    /// Connections that peers of one IPv4 address, or one /64 of IPv6, may open. Many people share some addresses; one who means ill has few.
    /// Default 16.
    pub max_connections_per_address: usize,
    /// Connections being opened at a time. Default 16.
    pub max_connecting: usize,
    /// Peers uploaded to at a time, over all torrents. More spread the uplink thinner. Default 8.
    pub upload_slots: usize,
    /// Download limit in bytes per second over all torrents; `None` is unlimited.
    pub download_limit: Option<u64>,
    /// Upload limit in bytes per second over all torrents; `None` is unlimited.
    pub upload_limit: Option<u64>,
    /// Bytes of unverified payload held in memory, over all torrents. At half of it blocks are written before they are verified; at all of it
    /// reading stops. Default 16 MiB.
    pub memory_budget: usize,
    /// Requests outstanding to one peer, at most. Each is 16 KiB in flight; fewer starve long fat links. Default 500.
    pub max_outstanding: usize,
    /// Payload handed to the driver for one peer and not yet sent, at most, in bytes. A peer that takes little gets no more than a second's
    /// worth, and 128 KiB. Default 1 MiB.
    pub send_buffer: usize,
    /// A peer that was asked and has sent no block for this long is snubbed: its requests go to others. Default 30 s.
    pub snub_after: Duration,
    /// Committed pieces are made durable, and may be named by resume data, at least this often. Default 10 s.
    pub sync_interval: Duration,
    /// Committed bytes of one torrent that are not durable, at most, before they are made so. More make fewer pauses for the disk; a power cut
    /// loses that much at most. Default 256 MiB.
    pub sync_bytes: u64,
    /// The wait before a disk that failed is tried again. Default 5 s.
    pub disk_retry: Duration,
    /// Pieces that a choked newcomer may have (BEP 6). Default 5; 0 switches it off.
    pub allowed_fast: usize,
    /// Pieces being checked on disk at a time, per torrent. Default 4.
    pub check_depth: usize,
    /// Limits and times of each connection.
    pub connection: ConnectionConfig,
}

/// The UDP ports at which a node of the DHT answers, one for each address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub struct DhtPorts {
    /// For peers of IPv4.
    pub v4: Option<u16>,
    /// For peers of IPv6.
    pub v6: Option<u16>,
}

impl DhtPorts {
    /// The ports of a node at these addresses.
    #[must_use]
    pub fn of(addresses: &[SocketAddr]) -> Self {
        let port = |is_v4| addresses.iter().find(|it| it.is_ipv4() == is_v4).map(SocketAddr::port);
        Self { v4: port(true), v6: port(false) }
    }

    /// The port for a peer at this address.
    #[must_use]
    pub fn towards(&self, peer: SocketAddr) -> Option<u16> {
        if peer.ip().to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            peer_id_prefix: *b"-UC0100-",
            client: format!("unchoke {}", env!("CARGO_PKG_VERSION")),
            listen_port: None,
            dht_ports: DhtPorts::default(),
            max_connections: 200,
            max_connections_per_torrent: 80,
            max_connections_per_address: 16,
            max_connecting: 16,
            upload_slots: 8,
            download_limit: None,
            upload_limit: None,
            memory_budget: 16 * 1024 * 1024,
            max_outstanding: 500,
            send_buffer: 1024 * 1024,
            snub_after: Duration::from_secs(30),
            sync_interval: Duration::from_secs(10),
            sync_bytes: 256 * 1024 * 1024,
            disk_retry: Duration::from_secs(5),
            allowed_fast: 5,
            check_depth: 4,
            connection: ConnectionConfig::default(),
        }
    }
}

/// Makes the picker of a torrent once its geometry is known.
pub type PickerFactory = Box<dyn FnOnce(Geometry, &Seed) -> Box<dyn PiecePicker> + Send>;

/// Makes one instance of an extension for each connection.
pub type ExtensionFactory = Box<dyn FnMut(IpAddr) -> Box<dyn Extension> + Send>;

/// A torrent to add to a session.
#[non_exhaustive]
pub struct TorrentParams {
    /// The names of the torrent.
    pub info_hashes: InfoHashes,
    /// What is known of its content. Without it the engine asks peers for the metadata (BEP 9) and reports
    /// [`Event::Metadata`](crate::Event::Metadata).
    pub content: Option<Content>,
    /// Makes the picker; `None` is [`RarestFirst`](crate::picker::RarestFirst).
    pub picker: Option<PickerFactory>,
    /// How much each file is wanted.
    pub file_priorities: FilePriorities,
    /// Extensions of the caller's, beside the built-in ones.
    pub extensions: Vec<ExtensionFactory>,
    /// Download limit in bytes per second; `None` is unlimited.
    pub download_limit: Option<u64>,
    /// Upload limit in bytes per second; `None` is unlimited.
    pub upload_limit: Option<u64>,
}

impl TorrentParams {
    /// A torrent of which only the name is known.
    #[must_use]
    pub fn from_hashes(info_hashes: InfoHashes) -> Self {
        Self {
            info_hashes,
            content: None,
            picker: None,
            file_priorities: FilePriorities::default(),
            extensions: Vec::new(),
            download_limit: None,
            upload_limit: None,
        }
    }

    /// A torrent whose content is known.
    #[must_use]
    pub fn from_content(info_hashes: InfoHashes, content: Content) -> Self {
        Self { content: Some(content), ..Self::from_hashes(info_hashes) }
    }
}

impl fmt::Debug for TorrentParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorrentParams")
            .field("info_hashes", &self.info_hashes)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// What a torrent consists of, and what the store already holds of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Content {
    /// The info dictionary.
    pub info: Arc<Info>,
    /// Pieces that the store vouches for: verified before, and made durable.
    pub verified: Vec<unchoke_core::PieceIndex>,
    /// Pieces that the store may hold: they are hashed before anything is downloaded, and what is right is not fetched again.
    pub suspects: Vec<unchoke_core::PieceIndex>,
}

impl Content {
    /// Content of which the store holds nothing.
    #[must_use]
    pub fn new(info: Arc<Info>) -> Self {
        Self { info, verified: Vec::new(), suspects: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_peer_id_is_in_azureus_style() {
        let prefix = SessionConfig::default().peer_id_prefix;
        assert!(prefix.starts_with(b"-UC") && prefix.ends_with(b"-"));
    }
}
