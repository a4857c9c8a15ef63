//! Typed values through [serde], without a tape in between.
//!
//! | Rust | bencode |
//! |---|---|
//! | integers, `bool` (0 or 1) | integer |
//! | `&[u8]`, `&str`, `String`, `char` | string |
//! | `Vec<u8>`, `[u8; N]` | read from a string or a list of integers, written as a list: wrap them in a type that writes a string |
//! | sequences, tuples | list |
//! | structs, maps with keys that are strings | dictionary, sorted when written |
//! | `Option` | the value, or no entry at all |
//! | enums | a string for a variant without content, else a dictionary of one entry |
//! | [`RawValue`], [`RawBuf`] | the bytes of any value, as they are |
//!
//! Floating-point numbers and `()` have no counterpart.
//!
//! Nesting is limited to 100 levels; nothing else is, because memory goes with the type that is asked for. Of a key that occurs more than once a map
//! keeps the last value and a struct refuses it, while the tape gives the first: who hashes what was read takes one of them, and sees to duplicates.

mod de;
mod error;
mod raw;
mod ser;
mod value;

pub use de::{from_bytes, from_bytes_prefix};
pub use error::SerdeError;
pub use raw::{RawBuf, RawValue};
pub use ser::{to_bytes, write_to};

#[cfg(test)]
mod tests;
