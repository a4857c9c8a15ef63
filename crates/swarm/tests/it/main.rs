//! Whole sessions against one another, over pipes in memory and in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod dht;
mod downloads;
mod faults;
mod limits;
mod priorities;
mod rig;
mod store;
