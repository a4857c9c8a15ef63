//! What can go wrong between bytes and types.

use crate::error::{Error, ErrorKind};
use alloc::string::{String, ToString as _};
use core::fmt;

/// Why bytes could not be read into a type, or a value not be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SerdeError {
    /// The bytes are no bencode.
    #[error(transparent)]
    Syntax(#[from] Error),
    /// The bytes are bencode, but not of the type that was asked for.
    #[error("{message} at byte {offset}")]
    Type {
        /// What does not fit.
        message: String,
        /// The byte up to which the input had been read.
        offset: usize,
    },
    /// Something of the Rust side cannot be written.
    #[error("{0}")]
    Value(String),
}

impl SerdeError {
    pub(super) fn syntax(kind: ErrorKind, offset: usize) -> Self {
        Self::Syntax(Error::new(kind, offset))
    }

    /// What a visitor said gets the place where it said so.
    pub(super) fn at(self, offset: usize) -> Self {
        match self {
            Self::Value(message) => Self::Type { message, offset },
            other => other,
        }
    }
}

impl serde::de::Error for SerdeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

impl serde::ser::Error for SerdeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}
