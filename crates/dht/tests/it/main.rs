//! One node among thousands that are played.

#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot be set up has failed")]

mod eclipse;
mod memory;
mod others;
