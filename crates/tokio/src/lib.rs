#![doc = include_str!("../README.md")]

mod client;
mod connection;
mod disk;
mod engine;
mod stream;
mod torrent;
mod tracker;
mod tracker_server;

pub use client::{Client, ClientBuilder, ClientError};
pub use torrent::{AddTorrent, Torrent};
pub use tracker_server::{HttpTrackerServer, UdpTrackerServer};
