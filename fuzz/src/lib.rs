#![doc = include_str!("../README.md")]

mod bencode;
mod codecs;
#[path = "../../crates/token/tests/it/consistency.rs"]
mod consistency;
mod dht;
mod layouts;
mod paths;
mod peer;
mod reference;
pub mod seeds;
mod token;
pub mod torrents;
mod tracker;

pub use bencode::{bencode, bencode_strict};
pub use codecs::{compact, magnet, metainfo, wire_codec};
pub use dht::{dht_node, item, krpc};
pub use layouts::layout;
pub use paths::path;
pub use peer::connection;
pub use reference::bencode_reference;
pub use token::{channel_consistency, channel_log, channel_message, transaction, voucher};
pub use tracker::tracker_http;

/// A target's name, which is also that of its folders, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("bencode", bencode),
    ("bencode_reference", bencode_reference),
    ("bencode_strict", bencode_strict),
    ("channel_consistency", channel_consistency),
    ("channel_log", channel_log),
    ("channel_message", channel_message),
    ("compact", compact),
    ("connection", connection),
    ("dht_node", dht_node),
    ("item", item),
    ("krpc", krpc),
    ("layout", layout),
    ("magnet", magnet),
    ("metainfo", metainfo),
    ("path", path),
    ("tracker_http", tracker_http),
    ("transaction", transaction),
    ("voucher", voucher),
    ("wire_codec", wire_codec),
];
