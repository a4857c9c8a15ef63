//! Worlds of small hosts whose behaviour is known.

#![allow(clippy::disallowed_methods, reason = "a world needs one instant to begin with")]

mod churn;
mod datagrams;
mod nats;
mod pinger;
mod streams;
