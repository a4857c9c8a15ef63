#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod codec;
pub mod config;
pub mod connection;
pub mod dont_have;
pub mod extended;
pub mod extension;
pub mod handshake;
pub mod message;
pub mod upload_only;
pub mod ut_metadata;
pub mod ut_pex;

pub use codec::{Codec, CodecError};
pub use config::{ConnectionConfig, LocalInfo};
pub use connection::{Connection, ConnectionError, Event};
pub use dont_have::DontHave;
pub use extended::{ExtendedHandshake, ExtendedHandshakeError, ExtendedHandshakeExtra};
pub use extension::{Extension, ExtensionError, ExtensionEvent, PexFlags, SwarmChange};
pub use handshake::{Handshake, HandshakeError, Reserved};
pub use message::Message;
pub use upload_only::UploadOnly;
pub use ut_metadata::{SharedMetadata, UtMetadata};
pub use ut_pex::UtPex;
