#![doc = include_str!("../README.md")]

pub use unchoke_bencode as bencode;
pub use unchoke_core as core;
#[cfg(feature = "dht")]
pub use unchoke_dht as dht;
#[cfg(feature = "metainfo")]
pub use unchoke_metainfo as metainfo;
#[cfg(feature = "sim")]
pub use unchoke_sim as sim;
#[cfg(feature = "storage")]
pub use unchoke_storage as storage;
#[cfg(feature = "swarm")]
pub use unchoke_swarm as swarm;
#[cfg(feature = "token")]
pub use unchoke_token as token;
#[cfg(feature = "client")]
pub use unchoke_tokio as client;
#[cfg(feature = "tracker")]
pub use unchoke_tracker as tracker;
#[cfg(feature = "wire")]
pub use unchoke_wire as wire;
