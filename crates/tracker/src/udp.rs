//! Trackers over UDP ([BEP 15]), over IPv6 too, with URL data ([BEP 41]).
//!
//! [BEP 15]: https://www.bittorrent.org/beps/bep_0015.html
//! [BEP 41]: https://www.bittorrent.org/beps/bep_0041.html

mod client;
mod packet;
mod server;

pub use client::{RequestId, UdpConfig, UdpEvent, UdpTracker};
pub use server::UdpServer;
