//! What the examples share: arguments, progress, and content to move around.

mod arguments;
mod content;
mod percent;
#[cfg(feature = "client")]
mod progress;
#[cfg(feature = "client")]
mod trackers;

pub use arguments::{Failure, Source, address, bytes, load, number, run};
pub use content::{Content, generate};
pub use percent::Percent;
#[cfg(feature = "client")]
pub use progress::Progress;
#[cfg(feature = "client")]
pub use trackers::tell_tracker_failures;

/// The README's program, compiled.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
