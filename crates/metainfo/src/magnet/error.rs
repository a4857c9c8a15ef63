//! What can be wrong with a magnet link.

/// Why a text is no magnet link, and at which byte.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct MagnetError {
    pub(super) kind: MagnetErrorKind,
    pub(super) offset: usize,
}

impl MagnetError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &MagnetErrorKind {
        &self.kind
    }

    /// Bytes from the start of the text to the fault, or to the value that it is in.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// What is wrong with a magnet link.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetErrorKind {
    /// The text has more bytes than [`MAX_MAGNET_LEN`](super::MAX_MAGNET_LEN).
    #[error("magnet link of {0} bytes is too long")]
    TooLong(usize),
    /// The text does not begin with `magnet:?`.
    #[error("no `magnet:?`")]
    Scheme,
    /// The link names no torrent but the key of who publishes one (BEP 46); it reads as a [`MutableLink`](super::MutableLink).
    #[error("a mutable torrent is no torrent yet")]
    Mutable,
    /// There is no `xs` with the public key of a mutable torrent (BEP 46).
    #[error("no public key")]
    NoPublicKey,
    /// A public key is not 64 hexadecimal digits.
    #[error("malformed public key {0:?}")]
    PublicKey(String),
    /// A salt is no hexadecimal digits, or has more than 64 bytes.
    #[error("malformed salt {0:?}")]
    Salt(String),
    /// There is no `xt` that names a torrent.
    #[error("no info-hash")]
    NoInfoHash,
    /// An info-hash is neither 40 hexadecimal nor 32 base32 digits, or a v2 one no SHA-256 multihash.
    #[error("malformed info-hash {0:?}")]
    InfoHash(String),
    /// Two info-hashes of one version differ.
    #[error("a second, different info-hash")]
    SecondInfoHash,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("malformed escape")]
    Escape,
    /// A value is no UTF-8 once its escapes are resolved.
    #[error("value is not UTF-8")]
    NotUtf8,
    /// A peer address is no `host:port`.
    #[error("malformed peer address {0:?}")]
    Peer(String),
    /// Numbers of files are no ranges, or not in 32 bits.
    #[error("malformed file ranges {0:?}")]
    Ranges(String),
}
