//! What a connection can be told.

use crate::codec::{MAX_BITFIELD, MAX_EXTENDED, MAX_MESSAGE};
use std::net::IpAddr;
use std::time::Duration;

/// Limits and times of a [`Connection`](crate::Connection).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The longest message of any kind but `bitfield` and `extended`, in bytes after the length prefix. It bounds what a peer can make the
    /// driver buffer. Default 1 MiB + 9.
    pub max_message: u32,
    /// The longest bitfield taken before the number of pieces is known, in bytes. Default 256 KiB, which is two million pieces.
    pub max_early_bitfield: u32,
    /// The longest payload of an extension message, in bytes. Default 256 KiB.
    pub max_extension_payload: u32,
    /// Requests of the peer held at a time. More hide more latency and cost memory. Default 500.
    pub max_queued_requests: usize,
    /// Bytes of answers that the peer has asked for and does not read, at most; of everything but blocks four times as many, and one `have`
    /// for each piece. Default 1 MiB.
    pub max_unread: usize,
    /// The time for the peer's handshake to come. Default 10 s.
    pub handshake_timeout: Duration,
    /// Silence of the peer that ends the connection. Default 120 s.
    pub idle_timeout: Duration,
    /// Our own silence after which a keep-alive is sent. Default 100 s.
    pub keep_alive: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            max_message: MAX_MESSAGE,
            max_early_bitfield: MAX_BITFIELD,
            max_extension_payload: MAX_EXTENDED,
            max_queued_requests: 500,
            max_unread: 1 << 20,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            keep_alive: Duration::from_secs(100),
        }
    }
}

/// What the extended handshake (BEP 10) tells the peer of us.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LocalInfo {
    /// The port that others can connect to. Default none.
    pub listen_port: Option<u16>,
    /// Name and version of the client; left out if empty. Default empty.
    pub client: String,
    /// Requests that the peer may have waiting here. Default 500.
    pub request_queue: u32,
    /// Nothing more is wanted (BEP 21). Default `false`.
    pub upload_only: bool,
    /// The peer's address as seen from here. Default none.
    pub your_ip: Option<IpAddr>,
}

impl Default for LocalInfo {
    fn default() -> Self {
        Self { listen_port: None, client: String::new(), request_queue: 500, upload_only: false, your_ip: None }
    }
}
