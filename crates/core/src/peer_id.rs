//! Peer ids ([BEP 20]): 20 bytes, of which the first eight say which client it is.
//!
//! [BEP 20]: https://www.bittorrent.org/beps/bep_0020.html

use crate::seed::Rng;
use std::fmt;

/// The 20 bytes by which a peer calls itself within one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 20]);

impl PeerId {
    /// Wraps the 20 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Reads a peer id; `None` unless the slice has exactly 20 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// A fresh id in Azureus style: the 8-byte prefix, then 12 random letters and digits.
    #[must_use]
    pub fn generate(prefix: &[u8; 8], rng: &mut Rng) -> Self {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut bytes = [b'0'; 20];
        for (number, byte) in bytes.iter_mut().enumerate() {
            *byte = match prefix.get(number) {
                Some(fixed) => *fixed,
                None => rng.choose(ALPHABET).copied().unwrap_or(b'0'),
            };
        }
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The two letters of the client and its four-character version, if the id is in Azureus style (`-XX1234-`).
    #[must_use]
    pub fn client(&self) -> Option<(&str, &str)> {
        match self.0.first_chunk::<8>() {
            Some([b'-', _, _, _, _, _, _, b'-']) => {
                let name = std::str::from_utf8(self.0.get(1..3)?).ok()?;
                let version = std::str::from_utf8(self.0.get(3..7)?).ok()?;
                let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
                (plain(name) && plain(version)).then_some((name, version))
            }
            _ => None,
        }
    }
}

impl fmt::Display for PeerId {
    /// Printable ASCII as it is, everything else escaped: an id comes from a stranger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_generated_id_names_its_client() {
        let id = PeerId::generate(b"-UC0100-", &mut Seed::new([1; 32]).rng());
        assert_eq!(id.client(), Some(("UC", "0100")));
        assert!(id.as_bytes().iter().all(u8::is_ascii_graphic));
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(PeerId::new(*b"-AB\x1b[0m-\n0123456789a").client(), None);
        assert!(!PeerId::new([0x1b; 20]).to_string().contains('\x1b'));
    }
}
