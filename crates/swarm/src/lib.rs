#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod action;
mod allowed_fast;
mod assembly;
mod bans;
mod blame;
pub mod choker;
mod config;
mod connections;
mod event;
mod ids;
mod overhead;
mod peer;
mod peer_list;
pub mod picker;
mod priorities;
mod rate;
mod session;
mod shared;
mod stats;
mod torrent;
mod transfer;
mod uploads;
mod window;

pub use action::Action;
pub use choker::Choker;
pub use config::{Content, DhtPorts, ExtensionFactory, PickerFactory, SessionConfig, TorrentParams};
pub use event::{CloseReason, Event};
pub use ids::{Direction, Flow, PeerKey, PeerOrigin, TorrentKey};
pub use picker::{PiecePicker, Priority};
pub use priorities::FilePriorities;
pub use session::Session;
pub use stats::{PeerInfo, TorrentState, TorrentStats};
