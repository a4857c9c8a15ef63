//! Stores that stand in front of other stores.

mod cached;
mod faulty;
mod gathering;
mod timed;

pub use cached::CachedStorage;
pub use faulty::{FaultyStorage, Operation};
pub use gathering::GatheringStorage;
pub use timed::{OperationKind, TimedStorage, Timing, Timings};

use crate::error::{StorageError, StorageErrorKind};
use unchoke_core::{Block, Geometry};

/// Refuses reads of what the torrent does not have.
fn check_read(geometry: &Geometry, block: Block, buf: &[u8]) -> Result<(), StorageError> {
    let fits = geometry.contains(block) && buf.len() == block.length as usize;
    if fits { Ok(()) } else { Err(StorageError::new(StorageErrorKind::OutOfRange(block))) }
}

#[cfg(test)]
mod tests;
