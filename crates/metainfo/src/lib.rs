#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod builder;
pub mod error;
pub mod info;
pub mod layout;
pub mod magnet;
pub mod metainfo;
mod path;

pub use builder::{BuildError, Builder, PieceHasher, recommended_piece_length};
pub use error::{ErrorKind, MetainfoError, Warning};
pub use info::Info;
pub use layout::{FileEntry, Layout, Span};
pub use magnet::{MagnetError, MagnetErrorKind, MagnetLink};
pub use metainfo::{Metainfo, Node, Parts};
