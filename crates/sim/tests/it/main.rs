//! Worlds of small hosts whose behaviour is known.

#![allow(clippy::disallowed_methods, reason = "a world needs one instant to begin with")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot be set up has failed")]

mod churn;
mod datagrams;
mod flow;
mod nats;
mod pinger;
mod streams;
