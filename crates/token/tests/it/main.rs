//! The crate from outside.

mod channels_on_ledger;
mod pair;
mod world;
