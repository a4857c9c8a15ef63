//! Typed access to the entries of dictionaries.

use crate::error::{ErrorKind, MetainfoError};
use unchoke_bencode::{DecodeLimits, Dict, Value};

/// The longest torrent file that is accepted, in bytes.
pub const MAX_TORRENT_LEN: usize = 128 << 20;

/// The longest info dictionary that is accepted, in bytes.
pub const MAX_INFO_LEN: usize = 64 << 20;

/// The most files a torrent may have. With long paths and many attributes the limit on values is met before.
pub const MAX_FILES: usize = 1_000_000;

/// The most components a path may have.
pub const MAX_PATH_DEPTH: usize = 100;

/// What a decoder of torrents accepts: a file takes six values (its dictionary, two keys, a length, a path and a component)
/// and one for every further component, so the default is too low for [`MAX_FILES`].
pub(crate) fn decode_limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_tokens = MAX_FILES.saturating_mul(8);
    limits.max_len = MAX_TORRENT_LEN;
    limits
}

/// A length that is not negative.
pub(crate) fn length_of(value: Value<'_, '_>, key: &'static str) -> Result<u64, MetainfoError> {
    let number = value.as_int().ok_or_else(|| MetainfoError::at(ErrorKind::WrongType(key), value.offset()))?;
    u64::try_from(number).map_err(|_| MetainfoError::at(ErrorKind::NegativeLength(number), value.offset()))
}

pub(crate) fn optional_int(dict: Dict<'_, '_>, key: &'static str) -> Result<Option<i64>, MetainfoError> {
    let Some(value) = dict.get(key.as_bytes()) else { return Ok(None) };
    value.as_int().map(Some).ok_or_else(|| MetainfoError::at(ErrorKind::WrongType(key), value.offset()))
}

/// The value of a key that has to be a string, in a dictionary that begins at byte `at`.
pub(crate) fn required_bytes<'a, 't>(
    dict: Dict<'a, 't>,
    key: &'static str,
    at: usize,
) -> Result<Value<'a, 't>, MetainfoError> {
    let value = dict.get(key.as_bytes()).ok_or_else(|| MetainfoError::at(ErrorKind::Missing(key), at))?;
    value.as_bytes().map(|_| value).ok_or_else(|| MetainfoError::at(ErrorKind::WrongType(key), value.offset()))
}

/// Where the contents of a string are, in bytes from `base`.
pub(crate) fn contents(value: Value<'_, '_>, base: usize) -> std::ops::Range<usize> {
    let end = value.offset().saturating_add(value.raw().len()).saturating_sub(base);
    let length = value.as_bytes().map_or(0, <[u8]>::len);
    end.saturating_sub(length)..end
}
