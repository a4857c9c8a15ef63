#![doc = include_str!("../README.md")]

mod announce;
mod buffers;
mod client;
mod connection;
#[cfg(feature = "dht")]
mod dht;
mod disk;
mod engine;
mod entropy;
mod error;
#[cfg(feature = "dht")]
mod finder;
mod listing;
#[cfg(all(feature = "mmap", target_os = "linux"))]
mod mapped;
#[cfg(feature = "object-store")]
mod object_storage;
mod outbox;
mod stream;
#[cfg(feature = "https")]
mod tls;
mod torrent;
#[cfg(feature = "dht")]
mod torrent_feed;
mod tracker;
mod tracker_report;
mod tracker_server;
#[cfg(any(feature = "https", feature = "object-store"))]
mod trust;
mod udp;

pub use client::{Client, ClientBuilder, ClientError, RestoreError, Restored};
#[cfg(feature = "dht")]
pub use dht::{Dht, DhtAnswer, DhtError, DhtOperation};
pub use error::{AnnounceError, TlsError, TorrentError};
#[cfg(feature = "object-store")]
pub use object_storage::{ObjectStorage, ObjectStorageBuilder, ObjectStorageError};
pub use torrent::{AddTorrent, Torrent};
#[cfg(feature = "dht")]
pub use torrent_feed::TorrentFeed;
pub use tracker_report::{AnnounceOutcome, TrackerAnswer, TrackerReport, TrackerStatus};
pub use tracker_server::{HttpTrackerServer, UdpTrackerServer};
