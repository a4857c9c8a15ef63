//! A wallet on disk: encrypted under a password.
//!
//! `"btpcKEY1"`, memory in KiB, passes and lanes (u32 each, the lowest byte first), 16 bytes of salt, 24 of nonce, and the ciphertext. All
//! before the ciphertext is authenticated with it.

use crate::proto::{Reader, Writer};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use unchoke_core::Rng;
use zeroize::Zeroizing;

/// What guessing a password costs, and opening the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cost {
    /// Memory, in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

/// A file that cannot be written or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The bytes are none of a key file.
    #[error("no key file")]
    Format,
    /// The cost is out of range: 8 KiB to 4 GiB of memory, 1 to 64 passes.
    #[error("the cost of the key file is out of range")]
    Cost,
    /// The password is wrong, or the file was changed.
    #[error("wrong password, or the file was changed")]
    Password,
    /// What is inside is no wallet.
    #[error("the key file holds no wallet of this version")]
    Contents,
}

/// What is inside.
pub(super) struct Contents {
    pub(super) entropy: Zeroizing<Vec<u8>>,
    pub(super) passphrase: Zeroizing<String>,
    pub(super) accounts: u32,
}

impl Cost {
    /// What it costs at least, for tests: next to nothing.
    #[must_use]
    pub const fn lowest() -> Self {
        Self { memory: 8, passes: 1 }
    }

    fn hasher(self) -> Result<Argon2<'static>, KeyFileError> {
        let is_sane = (8..=MAX_MEMORY).contains(&self.memory) && (1..=MAX_PASSES).contains(&self.passes);
        let params = Params::new(self.memory, self.passes, 1, Some(32)).ok().filter(|_| is_sane);
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params.ok_or(KeyFileError::Cost)?))
    }

    fn key(self, password: &[u8], salt: &[u8]) -> Result<XChaCha20Poly1305, KeyFileError> {
        let mut key = Zeroizing::new([0; 32]);
        self.hasher()?.hash_password_into(password, salt, &mut *key).map_err(|_| KeyFileError::Cost)?;
        XChaCha20Poly1305::new_from_slice(&*key).map_err(|_| KeyFileError::Cost)
    }
}

impl Default for Cost {
    /// The first choice of RFC 9106 for where memory is scarce: 64 MiB, three passes.
    fn default() -> Self {
        Self { memory: 65_536, passes: 3 }
    }
}

pub(super) fn seal(contents: &Contents, password: &[u8], cost: Cost, rng: &mut Rng) -> Result<Vec<u8>, KeyFileError> {
    let mut plain = Writer::default();
    plain.bytes(1, &contents.entropy);
    plain.bytes(2, contents.passphrase.as_bytes());
    plain.int(3, contents.accounts.into());
    let plain = Zeroizing::new(plain.0);
    let mut file = TAG.to_vec();
    file.extend_from_slice(&cost.memory.to_le_bytes());
    file.extend_from_slice(&cost.passes.to_le_bytes());
    file.extend_from_slice(&1_u32.to_le_bytes());
    let (mut salt, mut nonce) = ([0; 16], [0; 24]);
    rng.fill(&mut salt);
    rng.fill(&mut nonce);
    file.extend_from_slice(&salt);
    file.extend_from_slice(&nonce);
    let cipher = cost.key(password, &salt)?;
    let payload = Payload { msg: &plain, aad: &file };
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyFileError::Contents)?;
    file.extend_from_slice(&sealed);
    Ok(file)
}

pub(super) fn open(file: &[u8], password: &[u8]) -> Result<Contents, KeyFileError> {
    let (head, sealed) = file.split_at_checked(HEAD).ok_or(KeyFileError::Format)?;
    let rest = head.strip_prefix(TAG).ok_or(KeyFileError::Format)?;
    let (numbers, rest) = rest.split_at_checked(12).ok_or(KeyFileError::Format)?;
    let mut numbers = numbers.as_chunks::<4>().0.iter().map(|it| u32::from_le_bytes(*it));
    let (Some(memory), Some(passes), Some(1)) = (numbers.next(), numbers.next(), numbers.next()) else {
        return Err(KeyFileError::Cost);
    };
    let (salt, nonce) = rest.split_at_checked(16).ok_or(KeyFileError::Format)?;
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| KeyFileError::Format)?;
    if sealed.len() > MAX_SEALED {
        return Err(KeyFileError::Format);
    }
    let cipher = Cost { memory, passes }.key(password, salt)?;
    let payload = Payload { msg: sealed, aad: head };
    let plain = cipher.decrypt(&XNonce::from(nonce), payload).map(Zeroizing::new);
    read(&plain.map_err(|_| KeyFileError::Password)?).ok_or(KeyFileError::Contents)
}

fn read(plain: &[u8]) -> Option<Contents> {
    let mut reader = Reader::new(plain);
    let (mut entropy, mut passphrase, mut accounts) = (None, Zeroizing::new(String::new()), 0);
    while let Some(field) = reader.next().ok()? {
        match field.number {
            1 => entropy = Some(Zeroizing::new(field.bytes().ok()?.to_vec())),
            2 => passphrase = Zeroizing::new(String::from_utf8(field.bytes().ok()?.to_vec()).ok()?),
            3 => accounts = u32::try_from(field.int().ok()?).ok()?,
            _ => return None,
        }
    }
    Some(Contents { entropy: entropy?, passphrase, accounts })
}

const TAG: &[u8; 8] = b"btpcKEY1";
/// Bytes before the ciphertext.
const HEAD: usize = 8 + 12 + 16 + 24;
/// Bytes of the ciphertext, at most.
const MAX_SEALED: usize = 1 << 16;
/// A file that asks for more memory than this, in KiB, is not opened.
const MAX_MEMORY: u32 = 4 << 20;
const MAX_PASSES: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    fn contents() -> Contents {
        Contents { entropy: vec![7; 32].into(), passphrase: "hush".to_owned().into(), accounts: 3 }
    }

    #[test]
    fn any_change_of_any_byte_and_any_cut_is_noticed() {
        let file = seal(&contents(), b"password", Cost::lowest(), &mut Seed::new([1; 32]).rng()).unwrap();
        let opened = open(&file, b"password").unwrap();
        assert_eq!((opened.entropy.as_slice(), opened.passphrase.as_str(), opened.accounts), (&[7; 32][..], "hush", 3));
        assert_eq!(open(&file, b"Password").map(drop), Err(KeyFileError::Password));
        for at in 0..file.len() {
            // A flipped high bit of the cost would make this test take gigabytes, were it not refused.
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert!(open(&bad, b"password").is_err(), "byte {at}");
            assert!(open(&file[..at], b"password").is_err());
        }
    }

    #[test]
    fn a_file_that_asks_for_too_much_is_refused_before_memory_is_taken() {
        let mut file = seal(&contents(), b"password", Cost::lowest(), &mut Seed::new([1; 32]).rng()).unwrap();
        file[11] = 0xff;
        assert_eq!(open(&file, b"password").map(drop), Err(KeyFileError::Cost));
        file[11] = 0;
        file[12..16].copy_from_slice(&65_u32.to_le_bytes());
        assert_eq!(open(&file, b"password").map(drop), Err(KeyFileError::Cost));
    }

    #[test]
    fn two_files_of_one_wallet_have_nothing_in_common() {
        let mut rng = Seed::new([1; 32]).rng();
        let files = [(); 2].map(|()| seal(&contents(), b"password", Cost::lowest(), &mut rng).unwrap());
        assert_ne!(files[0][20..], files[1][20..]);
    }
}
