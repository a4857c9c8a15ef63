#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod decode;
pub mod document;
pub mod encode;
pub mod error;
pub mod owned;

pub use decode::{DecodeLimits, decode, decode_prefix};
pub use document::{Dict, Document, Kind, List, Value};
pub use encode::{DictEncoder, Encoder, ListEncoder, ValueEncoder, Written, encode};
pub use error::{Error, ErrorKind};
pub use owned::OwnedValue;
