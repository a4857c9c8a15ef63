//! Connections in memory and virtual time, and the codec against a grammar.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod connection;
mod grammar;
mod metadata;
mod pair;
