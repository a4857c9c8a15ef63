#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::disallowed_methods))]

pub mod bitfield;
pub mod compact;
pub mod demux;
pub mod disk;
pub mod hash;
pub mod info_hash;
#[cfg(feature = "keys")]
pub mod keys;
pub mod merkle;
pub mod peer_id;
pub mod piece;
pub mod protocol;
pub mod seed;
pub mod verify;

pub use bitfield::{Bitfield, BitfieldError};
pub use demux::{DatagramPart, Demux};
pub use disk::{DiskError, DiskOutcome, DiskWork, JobId};
pub use hash::{PieceHash, PieceRoot, Sha1, Sha1Hash, Sha256, Sha256Hash};
pub use info_hash::{InfoHash, InfoHashes};
pub use peer_id::PeerId;
pub use piece::{BLOCK_LEN, Block, Geometry, GeometryError, PieceIndex};
pub use protocol::{DatagramProtocol, Handled, Outgoing, Path, StreamProtocol, Transmit};
pub use seed::{Rng, Seed};
pub use verify::PieceVerifier;
