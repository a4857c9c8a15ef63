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

mod endpoint;
pub mod filter;
pub mod id;
pub mod item;
pub mod krpc;
mod limiter;
mod lookup;
mod rtt;
pub mod secure;
pub mod store;
mod table;
mod token;

pub use id::{Distance, Id};
pub use item::Item;
