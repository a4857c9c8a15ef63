#![doc = include_str!("../README.md")]

mod codecs;
mod peer;
pub mod seeds;
pub mod torrents;
mod tracker;

pub use codecs::{bencode, compact, magnet, metainfo, wire_codec};
pub use peer::connection;
pub use tracker::tracker_http;

/// A target's name, which is also that of its folders, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("bencode", bencode),
    ("compact", compact),
    ("connection", connection),
    ("magnet", magnet),
    ("metainfo", metainfo),
    ("tracker_http", tracker_http),
    ("wire_codec", wire_codec),
];
