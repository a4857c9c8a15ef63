#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, clippy::disallowed_methods)
)]

mod check;
pub mod contract;
mod create;
mod error;
mod file;
mod folder;
mod fs;
mod hashing;
mod job;
mod layers;
mod list;
mod memory;
mod move_storage;
mod store;

pub use check::{CheckCancelled, check};
pub use create::{CreateError, create};
pub use error::{StorageError, StorageErrorKind};
pub use file::FileStorage;
pub use folder::{Access, StorageFolder};
pub use fs::os::OsFs;
#[cfg(any(test, feature = "sim-fs"))]
pub use fs::sim::{Failure, SimFs, Survival};
pub use fs::{FileStamp, Fs, FsFile, OpenMode};
pub use job::{Job, run, run_each};
pub use layers::{
    CachedStorage, FaultyStorage, GatheringStorage, Operation, OperationKind, TimedStorage, Timing, Timings,
};
pub use list::{EntryError, FilesPriority, ListError, Listed, ListedTorrent, TorrentList};
pub use memory::MemoryStorage;
pub use move_storage::{Moved, move_storage};
pub use store::{FilePlace, Recovered, Storage, TorrentStorage};
