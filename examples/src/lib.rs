//! What the examples share: arguments, progress, and content to move around.

mod arguments;
mod content;
#[cfg(feature = "client")]
mod progress;

pub use arguments::{Failure, Source, address, load, number, run};
pub use content::{Content, generate};
#[cfg(feature = "client")]
pub use progress::Progress;

/// The README's program, compiled.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
