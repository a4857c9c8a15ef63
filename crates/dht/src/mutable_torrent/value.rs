//! The value of the item that names a torrent: a dictionary with the info-hash under `ih`.

use unchoke_bencode::{DecodeLimits, Kind, decode};
use unchoke_core::InfoHash;

/// Why the value of an item names no torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorrentValueError {
    /// It is no bencode.
    #[error("value is not bencoded: {0}")]
    NotBencoded(unchoke_bencode::Error),
    /// It is followed by something.
    #[error("value ends at offset {0} and is followed by something")]
    NotOneValue(usize),
    /// It is no dictionary.
    #[error("value is no dictionary")]
    NotADictionary,
    /// The dictionary has no `ih`.
    #[error("dictionary has no key `ih`")]
    Missing,
    /// The `ih` is no string.
    #[error("`ih` at offset {0} is no string")]
    NotAString(usize),
    /// The `ih` is no info-hash.
    #[error("`ih` has {0} bytes instead of 20")]
    WrongLength(usize),
}

/// The value that names a torrent.
///
/// ```
/// use unchoke_core::InfoHash;
/// use unchoke_dht::mutable_torrent::{read_torrent_value, torrent_value};
/// let value = torrent_value(InfoHash::new(*b"aaaaaaaaaaaaaaaaaaaa"));
/// assert_eq!(value, b"d2:ih20:aaaaaaaaaaaaaaaaaaaae");
/// assert_eq!(read_torrent_value(&value), Ok(InfoHash::new([b'a'; 20])));
/// ```
#[must_use]
pub fn torrent_value(info_hash: InfoHash) -> Vec<u8> {
    [b"d2:ih20:", &info_hash.as_bytes()[..], b"e"].concat()
}

/// The torrent that a value names. Other keys of the dictionary are passed over.
///
/// # Errors
/// If it names none.
pub fn read_torrent_value(value: &[u8]) -> Result<InfoHash, TorrentValueError> {
    let document = decode(value, &DecodeLimits::default()).map_err(TorrentValueError::NotBencoded)?;
    let end = document.root().raw().len();
    if end != value.len() {
        return Err(TorrentValueError::NotOneValue(end));
    }
    if document.root().kind() != Kind::Dict {
        return Err(TorrentValueError::NotADictionary);
    }
    let hash = document.root().get(b"ih").ok_or(TorrentValueError::Missing)?;
    let bytes = hash.as_bytes().ok_or_else(|| TorrentValueError::NotAString(hash.offset()))?;
    bytes.try_into().map(InfoHash::new).map_err(|_| TorrentValueError::WrongLength(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(hash in any::<[u8; 20]>()) {
            let hash = InfoHash::new(hash);
            prop_assert_eq!(read_torrent_value(&torrent_value(hash)), Ok(hash));
        }

        #[test]
        fn any_bytes_name_a_torrent_or_are_refused(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                ("d(1:ai1e)?2:ih", 0_usize..40).prop_map(|(start, length)| {
                    [start.as_bytes(), format!("{length}:").as_bytes(), &vec![7; length], b"2:zz0:e"].concat()
                }),
            ],
        ) {
            if let Ok(hash) = read_torrent_value(&bytes) {
                let entry = [b"2:ih20:", &hash.as_bytes()[..]].concat();
                prop_assert!(bytes.windows(entry.len()).any(|part| part == entry));
            }
        }
    }

    #[test]
    fn what_names_no_torrent_is_refused_with_its_reason() {
        let hash = "aaaaaaaaaaaaaaaaaaaa";
        for (value, expected) in [
            (format!("d1:a1:b2:ih20:{hash}2:zzi1ee"), Ok(InfoHash::new([b'a'; 20]))),
            (format!("20:{hash}"), Err(TorrentValueError::NotADictionary)),
            ("de".into(), Err(TorrentValueError::Missing)),
            ("d2:ihi1ee".into(), Err(TorrentValueError::NotAString(5))),
            ("d2:ih3:abce".into(), Err(TorrentValueError::WrongLength(3))),
            (format!("d2:ih20:{hash}ei1e"), Err(TorrentValueError::NotOneValue(29))),
        ] {
            assert_eq!(read_torrent_value(value.as_bytes()), expected, "{value}");
        }
        assert!(matches!(read_torrent_value(b"d2:ih"), Err(TorrentValueError::NotBencoded(_))));
    }
}
