//! Addresses of accounts, as TRON has them: 21 bytes, in text 34 characters of Base58Check.

use crate::ids::SchemeId;
use std::fmt;
use std::str::FromStr;
use unchoke_core::hash::sha256;

/// The address of an account: the byte 0x41 and 20 bytes of a digest of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 21]);

/// A text or run of bytes that is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It has another length.
    #[error("an address has 21 bytes, not {0}")]
    Length(usize),
    /// It does not begin with the byte that all begin with.
    #[error("an address begins with 0x41, not with {0:#04x}")]
    Prefix(u8),
    /// A character that Base58 does not have, at this byte.
    #[error("character at byte {0} is none of Base58")]
    Character(usize),
    /// The text was mistyped.
    #[error("the checksum of the address is wrong")]
    Checksum,
}

impl Address {
    /// The first byte of each.
    pub const PREFIX: u8 = 0x41;

    /// Reads the 21 bytes.
    ///
    /// # Errors
    /// If there are not as many, or the first one is another.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, AddressError> {
        let bytes: [u8; 21] = bytes.try_into().map_err(|_| AddressError::Length(bytes.len()))?;
        if bytes[0] == Self::PREFIX { Ok(Self(bytes)) } else { Err(AddressError::Prefix(bytes[0])) }
    }

    /// The address of a digest's last 20 bytes, as every scheme makes one of its keys.
    #[must_use]
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let mut bytes = [Self::PREFIX; 21];
        bytes[1..].copy_from_slice(&digest[12..]);
        Self(bytes)
    }

    /// The address of a key of a scheme that has no rule of its own: SHA-256 over a tag, the scheme and the key.
    #[must_use]
    pub fn of_key(scheme: SchemeId, key: &[u8]) -> Self {
        let mut input = b"btpcADR1".to_vec();
        input.push(scheme.get());
        input.extend_from_slice(key);
        Self::from_digest(sha256(&input).as_bytes())
    }

    /// The 21 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 21] {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_TEXT {
            return Err(AddressError::Length(text.len()));
        }
        // The number in base 256, the lowest byte first.
        let mut number: Vec<u8> = Vec::with_capacity(25);
        for (at, character) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|it| *it == character).ok_or(AddressError::Character(at))?;
            let mut carry = u32::try_from(digit).unwrap_or(0);
            for byte in &mut number {
                carry = u32::from(*byte).saturating_mul(58).saturating_add(carry);
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
            if carry > 0 {
                number.push(carry.to_le_bytes()[0]);
            }
        }
        number.extend(text.bytes().take_while(|it| *it == ALPHABET[0]).map(|_| 0));
        number.reverse();
        let Some((bytes, checksum)) = number.split_last_chunk::<4>() else {
            return Err(AddressError::Length(number.len()));
        };
        let address = Self::from_slice(bytes)?;
        if *checksum == address.checksum() { Ok(address) } else { Err(AddressError::Checksum) }
    }
}

impl Address {
    fn checksum(&self) -> [u8; 4] {
        let digest = sha256(sha256(&self.0).as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The digits in base 58, the lowest one first. An address begins with 0x41, so that there are no zeros to keep.
        let mut digits: Vec<u8> = Vec::with_capacity(34);
        for byte in self.0.iter().chain(&self.checksum()) {
            let mut carry = u32::from(*byte);
            for digit in &mut digits {
                carry = (u32::from(*digit) << 8).saturating_add(carry);
                *digit = (carry % 58).to_le_bytes()[0];
                carry /= 58;
            }
            while carry > 0 {
                digits.push((carry % 58).to_le_bytes()[0]);
                carry /= 58;
            }
        }
        let text: String = digits
            .iter()
            .rev()
            .filter_map(|digit| ALPHABET.get(usize::from(*digit)).copied().map(char::from))
            .collect();
        f.pad(&text)
    }
}

impl fmt::LowerHex for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// No address is longer.
const MAX_TEXT: usize = 35;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// Of java-tron and tronweb.
    #[test]
    fn addresses_read_and_print_as_tron_has_them() {
        for (bytes, text) in [
            ("417e5f4552091a69125d5dfcb7b8c2659029395bdf", "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"),
            ("412b5ad5c4795c026514f8317c7a215e218dccd6cf", "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K"),
            ("4134970e58155b49379b5a1fdd9f06949ef6bbdf58", "TEmH6bFE8FahLDTJwZqfAVuB7CaxjvPmZV"),
            ("4196a3bace5adacf637eb7cc79d5787f4247da4bbe", "TPhiVyQZ5xyvVK2KS2LTke8YvXJU5wxnbN"),
        ] {
            let address = Address::from_slice(&hex(bytes)).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(text.parse(), Ok(address));
            assert_eq!(format!("{address:x}"), bytes);
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        let text = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
        assert_eq!("TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HD".parse::<Address>(), Err(AddressError::Checksum));
        assert_eq!("TMVQGm0qAQYVdetCeGRRkTWYYrLXuHK2HC".parse::<Address>(), Err(AddressError::Character(6)));
        assert!(matches!(text[1..].parse::<Address>(), Err(AddressError::Length(_) | AddressError::Prefix(_))));
        assert!("".parse::<Address>().is_err() && "1".repeat(35).parse::<Address>().is_err());
        assert_eq!("z".repeat(1_000_000).parse::<Address>(), Err(AddressError::Length(1_000_000)));
        assert_eq!(Address::from_slice(&[0xa0; 21]), Err(AddressError::Prefix(0xa0)));
        assert_eq!(Address::from_slice(&[0x41; 20]), Err(AddressError::Length(20)));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(digest: [u8; 32]) {
            let address = Address::from_digest(&digest);
            let text = address.to_string();
            prop_assert!(text.len() == 34 && text.starts_with('T'));
            prop_assert_eq!(text.parse(), Ok(address));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Address>();
        }
    }
}
