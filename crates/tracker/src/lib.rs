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

pub mod announce;
pub mod error;
pub mod http;
pub mod server;
pub mod tiers;
pub mod udp;
pub mod url;

pub use announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry, ScrapeResponse};
pub use error::TrackerError;
pub use url::{TrackerUrl, UrlError};
