#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod builder;
pub mod error;
mod fields;
mod file_list;
mod file_tree;
pub mod info;
pub mod layout;
pub mod magnet;
pub mod merkle;
pub mod metainfo;
pub mod parts;
mod path;
pub mod signature;

pub use builder::{BuildError, Builder, Hashes, PieceHasher, recommended_piece_length};
pub use error::{ErrorKind, MetainfoError, Mismatch, Warning};
pub use info::{Info, LayerError, Version};
pub use layout::{FileEntry, Files, Layout, Span};
pub use magnet::{MagnetError, MagnetErrorKind, MagnetLink, MutableLink};
pub use merkle::{FileHasher, FileHashes};
pub use metainfo::Metainfo;
pub use parts::{Node, Parts};
pub use signature::{Signature, SignatureVerdict, SignatureVerifier};
