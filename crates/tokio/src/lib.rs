#![doc = include_str!("../README.md")]

mod announce;
mod client;
mod connection;
mod disk;
mod engine;
mod error;
mod stream;
#[cfg(feature = "https")]
mod tls;
mod torrent;
mod tracker;
mod tracker_report;
mod tracker_server;

pub use client::{Client, ClientBuilder, ClientError};
pub use error::{AnnounceError, TlsError, TorrentError};
pub use torrent::{AddTorrent, Torrent};
pub use tracker_report::{AnnounceOutcome, TrackerAnswer, TrackerReport, TrackerStatus};
pub use tracker_server::{HttpTrackerServer, UdpTrackerServer};
