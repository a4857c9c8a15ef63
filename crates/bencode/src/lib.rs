#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod decode;
pub mod document;
pub mod encode;
pub mod error;
pub mod fault;
mod number;
pub mod owned;
mod pretty;
#[cfg(feature = "serde")]
pub mod serde;
pub mod tape;

pub use decode::{DecodeLimits, decode, decode_prefix};
pub use document::{Dict, Document, DocumentRef, List, Value};
pub use encode::{DictEncoder, Encoder, ListEncoder, ValueEncoder, Written, encode};
pub use error::{Error, ErrorKind};
pub use fault::Faults;
pub use owned::OwnedValue;
pub use tape::{Kind, Tape};
