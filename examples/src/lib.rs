//! What the examples share: arguments, output, progress, and content to move around.

mod arguments;
mod content;
mod failure;
#[cfg(feature = "client")]
mod key_file;
mod output;
mod percent;
mod private_file;
#[cfg(feature = "client")]
mod progress;
#[cfg(feature = "client")]
mod trackers;

pub use arguments::{
    Source, address, addresses, bytes, hex, host_port, load, no_arguments, port, positive, text, tracker_url,
    unexpected,
};
pub use content::{Content, generate};
pub use failure::Failure;
#[cfg(feature = "client")]
pub use key_file::{secret, secret_or_new};
pub use output::{run, say, tell};
pub use percent::Percent;
pub use private_file::{beside, write_private};
#[cfg(feature = "client")]
pub use progress::Progress;
#[cfg(feature = "client")]
pub use trackers::tell_tracker_failures;

/// The README's program, compiled.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
