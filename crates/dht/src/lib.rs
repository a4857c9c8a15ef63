#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::disallowed_methods
    )
)]

pub mod config;
pub mod crawl;
mod endpoint;
pub mod event;
mod external;
mod families;
pub mod filter;
pub mod id;
pub mod item;
pub mod krpc;
mod limiter;
mod lookup;
pub mod multihomed;
pub mod mutable_torrent;
pub mod node;
mod operation;
mod outbox;
mod queries;
mod roots;
mod rtt;
mod searches;
pub mod secure;
mod server;
mod size;
pub mod state;
pub mod store;
mod table;
mod token;
mod transactions;
mod upkeep;

pub use config::Config;
pub use crawl::{Crawl, Question};
pub use event::{DhtEvent, Health, OpId, OpStats, Outcome};
pub use id::{Distance, Id};
pub use item::Item;
pub use multihomed::MultiHomed;
pub use mutable_torrent::{MutableTorrent, MutableTorrentConfig, MutableTorrentEvent};
pub use node::Node;
pub use operation::Announcement;
pub use state::StateError;
