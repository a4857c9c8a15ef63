//! What can be wrong with encoded bytes, and where.

/// Why the input is not one acceptable bencoded value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ends within a value.
    #[error("input ends within a value")]
    UnexpectedEnd,
    /// A byte that cannot stand here.
    #[error("unexpected byte {0:#04x}")]
    UnexpectedByte(u8),
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    TrailingBytes,
    /// An integer or a string length starts with a superfluous zero.
    #[error("number has a leading zero")]
    LeadingZero,
    /// The integer `-0`.
    #[error("negative zero")]
    NegativeZero,
    /// An integer does not fit 64 bits with sign.
    #[error("integer does not fit 64 bits")]
    IntegerOverflow,
    /// A string claims more bytes than are left.
    #[error("string is longer than the input that is left")]
    StringBeyondInput,
    /// A dictionary key is not a string.
    #[error("dictionary key is not a string")]
    KeyNotString,
    /// A dictionary has the same key twice.
    #[error("duplicate dictionary key")]
    DuplicateKey,
    /// Dictionary keys are out of order and the limits do not allow it.
    #[error("dictionary keys are not sorted")]
    UnsortedKeys,
    /// A dictionary ends after a key.
    #[error("dictionary key has no value")]
    MissingValue,
    /// Lists and dictionaries are nested more deeply than the limits allow.
    #[error("nested too deeply")]
    TooDeep,
    /// There are more values than the limits allow.
    #[error("too many values")]
    TooManyTokens,
    /// The input is longer than the limits allow.
    #[error("input is too long")]
    TooLong,
}

/// A decoding error: what is wrong, and at which byte. It is always the fault of whoever made the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct Error {
    kind: ErrorKind,
    offset: usize,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Bytes from the start of the input to the fault.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}
