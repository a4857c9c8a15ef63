//! The words that stand for a wallet ([BIP-39]).
//!
//! [BIP-39]: https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki

use bip39::{Language, Mnemonic};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// 12 to 24 English words.
#[derive(Clone)]
pub struct Words(Mnemonic);

/// A text that is no such words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// There are not 12, 15, 18, 21 or 24 of them.
    #[error("{0} words, where 12, 15, 18, 21 or 24 are needed")]
    Count(usize),
    /// One is none of the list. Words are counted from 1.
    #[error("word {0} is not on the list")]
    Unknown(usize),
    /// One is mistyped, or they stand in another order.
    #[error("the words do not fit together")]
    Checksum,
}

impl Words {
    /// 24 words.
    pub(super) fn from_entropy(entropy: &[u8; 32]) -> Self {
        // 32 bytes are one of the lengths that there are words for.
        #[allow(clippy::expect_used, reason = "of 32 bytes there are always words")]
        Self::from_bytes(entropy).expect("of 32 bytes there are always words")
    }

    /// The words for 16 to 32 bytes; `None` if the length is none of the five.
    #[must_use]
    pub fn from_bytes(entropy: &[u8]) -> Option<Self> {
        Mnemonic::from_entropy_in(Language::English, entropy).ok().map(Self)
    }

    /// The words, with one space between them.
    #[must_use]
    pub fn phrase(&self) -> Zeroizing<String> {
        let mut phrase = Zeroizing::new(String::with_capacity(256));
        for word in self.0.words() {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        phrase
    }

    pub(super) fn entropy(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_entropy())
    }

    /// The 64 bytes that keys are derived from.
    pub(super) fn seed(&self, passphrase: &str) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_seed(passphrase))
    }
}

impl FromStr for Words {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let count = text.split_whitespace().take(MAX_WORDS.saturating_add(1)).count();
        if count > MAX_WORDS {
            return Err(WordsError::Count(count));
        }
        let text = Zeroizing::new(text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
        Mnemonic::parse_in(Language::English, text.as_str()).map(Self).map_err(|error| match error {
            bip39::Error::BadWordCount(_) => WordsError::Count(count),
            bip39::Error::UnknownWord(place) => WordsError::Unknown(place.saturating_add(1)),
            _ => WordsError::Checksum,
        })
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Words(..)")
    }
}

const MAX_WORDS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told() {
        let parse = |text: &str| text.parse::<Words>().map(drop);
        assert_eq!(parse("abandon about"), Err(WordsError::Count(2)));
        assert_eq!(parse(&"abandon ".repeat(1000)), Err(WordsError::Count(25)));
        let eleven = "abandon ".repeat(11);
        assert_eq!(parse(&format!("{eleven} aboot")), Err(WordsError::Unknown(12)));
        assert_eq!(parse(&format!("{eleven} abandon")), Err(WordsError::Checksum));
        assert_eq!(parse(&format!(" {eleven}\n About ")), Ok(()));
    }

    #[test]
    fn words_and_bytes_lead_to_one_another() {
        for len in [16, 20, 24, 28, 32] {
            let words = Words::from_bytes(&vec![0x5a; len]).unwrap();
            assert_eq!(words.phrase().parse::<Words>().unwrap().entropy().as_slice(), vec![0x5a; len]);
        }
        assert!(Words::from_bytes(&[0; 17]).is_none());
    }
}
