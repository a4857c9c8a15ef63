//! Links to mutable torrents ([BEP 46]): the key of who publishes a torrent in the DHT, and again when there is a newer one.
//!
//! [BEP 46]: https://www.bittorrent.org/beps/bep_0046.html

use super::error::{MagnetError, MagnetErrorKind};
use super::grammar::{Escaped, Field, digits_to_bytes, parameters};
use std::fmt;
use std::str::FromStr;

/// A link to a mutable torrent. What it leads to is looked up in the DHT (BEP 44).
///
/// ```
/// use unchoke_metainfo::MutableLink;
///
/// let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
/// let link: MutableLink = format!("magnet:?xs=urn:btpk:{key}&s=6e").parse()?;
/// assert_eq!(link.salt(), b"n");
/// # Ok::<(), unchoke_metainfo::MagnetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MutableLink {
    public_key: [u8; 32],
    salt: Vec<u8>,
    name: Option<String>,
}

impl MutableLink {
    /// A link to what this Ed25519 key publishes.
    #[must_use]
    pub fn new(public_key: [u8; 32]) -> Self {
        Self { public_key, salt: Vec::new(), name: None }
    }

    /// Tells apart what one key publishes. A salt has [`MAX_SALT_LEN`] bytes at most; what is beyond is cut.
    #[must_use]
    pub fn with_salt(mut self, salt: &[u8]) -> Self {
        self.salt = salt.iter().take(MAX_SALT_LEN).copied().collect();
        self
    }

    /// Sets the name to display.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// The Ed25519 key of who publishes the torrent.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The salt, which may be empty.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The name to display. It is free text, not fit to be a file name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl FromStr for MutableLink {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let (mut key, mut salt, mut name) = (None, None, None);
        for (parameter, value) in parameters(text)? {
            match parameter {
                "xs" if is_public_key(value) => {
                    let text = value.string()?;
                    let bytes = text.get(PREFIX.len()..).and_then(hex).and_then(|bytes| bytes.try_into().ok());
                    let bytes: [u8; 32] = bytes.ok_or_else(|| value.fail(MagnetErrorKind::PublicKey(text)))?;
                    key.get_or_insert(bytes);
                }
                "s" if salt.is_none() => {
                    let text = value.string()?;
                    let bytes = hex(&text).filter(|bytes| bytes.len() <= MAX_SALT_LEN);
                    salt = Some(bytes.ok_or_else(|| value.fail(MagnetErrorKind::Salt(text)))?);
                }
                "dn" if name.is_none() => {
                    let bytes = value.decode(|byte| if byte == b'+' { b' ' } else { byte })?;
                    name = Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|name| !name.is_empty());
                }
                _ => {}
            }
        }
        let public_key = key.ok_or(MagnetError { kind: MagnetErrorKind::NoPublicKey, offset: text.len() })?;
        Ok(Self { public_key, salt: salt.unwrap_or_default(), name })
    }
}

impl fmt::Display for MutableLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xs={PREFIX}")?;
        self.public_key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if !self.salt.is_empty() {
            f.write_str("&s=")?;
            self.salt.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        self.name.iter().try_for_each(|name| write!(f, "&dn={}", Escaped(name)))
    }
}

/// Whether an `xs` is meant to be the key of a mutable torrent.
pub(super) fn is_public_key(value: Field<'_>) -> bool {
    let text = value.string().unwrap_or_default();
    text.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    digits_to_bytes(digits, 4)
}

/// The longest salt, in bytes (BEP 44).
pub const MAX_SALT_LEN: usize = 64;

const PREFIX: &str = "urn:btpk:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::magnet::MagnetLink;

    /// BEP 46, "Test Vectors".
    const KEY: &str = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";

    #[test]
    fn a_key_and_a_salt_come_back() {
        let text = format!("magnet:?xs=urn:btpk:{KEY}&s=6e&dn=a%20b");
        let link: MutableLink = text.parse().unwrap();
        assert_eq!((link.public_key()[0], link.salt(), link.name()), (0x85, &b"n"[..], Some("a b")));
        assert_eq!(link.to_string(), text);
        assert_eq!(MutableLink::new(*link.public_key()).with_salt(b"n").with_name("a b"), link);
        let error = text.parse::<MagnetLink>().unwrap_err();
        assert_eq!((error.kind(), error.offset()), (&MagnetErrorKind::Mutable, text.len()));
        let both = format!("{text}&xt=urn:btih:{}", "ab".repeat(20));
        assert!(both.parse::<MagnetLink>().is_ok() && both.parse::<MutableLink>().is_ok());
    }

    #[test]
    fn malformed_keys_and_salts_are_told() {
        let short = format!("urn:btpk:{}", &KEY[2..]);
        let salt = "6e".repeat(65);
        for (text, kind, offset) in [
            ("xs=urn:other:1".to_owned(), MagnetErrorKind::NoPublicKey, 22),
            (format!("xs={short}"), MagnetErrorKind::PublicKey(short), 11),
            (format!("xs=urn:btpk:{KEY}&s=6"), MagnetErrorKind::Salt("6".into()), 87),
            (format!("xs=urn:btpk:{KEY}&s={salt}"), MagnetErrorKind::Salt(salt), 87),
        ] {
            let error = format!("magnet:?{text}").parse::<MutableLink>().unwrap_err();
            assert_eq!((error.kind(), error.offset()), (&kind, offset), "{text}");
        }
    }
}
