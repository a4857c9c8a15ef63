#![doc = include_str!("../README.md")]

mod client;
mod connection;
mod disk;
mod engine;
mod torrent;

pub use client::{Client, ClientBuilder, ClientError};
pub use torrent::{AddTorrent, Torrent};
