//! The crate from outside.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot be set up has failed")]

mod channels_on_ledger;
mod claims;
mod consistency;
mod following;
mod histories;
mod hostile_claims;
mod hostile_ledger;
mod hostile_peers;
mod ledger_properties;
mod memory;
mod pair;
mod second_scheme;
mod threats;
mod transactions;
mod watcher;
mod world;
