#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation))]

mod check;
pub mod contract;
mod create;
mod error;
mod file;
mod hashing;
mod job;
mod memory;
mod store;

pub use check::{CheckCancelled, check};
pub use create::{CreateError, create};
pub use error::{StorageError, StorageErrorKind};
pub use file::FileStorage;
pub use job::run;
pub use memory::MemoryStorage;
pub use store::{Recovered, Storage, TorrentStorage};
