//! Signatures of torrents ([BEP 35]): read, kept, and handed to somebody who can check them.
//!
//! [BEP 35]: https://www.bittorrent.org/beps/bep_0035.html

use crate::parts::MAX_LISTED;
use bytes::Bytes;
use unchoke_bencode::Dict;

/// A signature of an info dictionary, as it stands in a torrent. Nothing about it is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Signature {
    /// Who is said to have signed, such as `com.bittorrent`.
    pub signer: Bytes,
    /// The certificate to check with (X.509 in DER), unless the user has to have it.
    pub certificate: Option<Bytes>,
    /// A bencoded dictionary that is signed along with the info dictionary.
    pub info: Option<Bytes>,
    /// The signature itself.
    pub signature: Bytes,
}

/// Checks signatures. Which certificates are trusted, and which algorithm they are for, is up to those who implement it.
pub trait SignatureVerifier {
    /// Whether `signature` is that of a signer who is trusted, over `signed`: parts of one run of bytes.
    fn verify(&self, signature: &Signature, signed: [&[u8]; 2]) -> SignatureVerdict;
}

/// What came of checking a signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SignatureVerdict {
    /// The signer is trusted and has signed this.
    Valid,
    /// The signer has not signed this.
    Invalid,
    /// The signer is not trusted, or the algorithm is not known.
    Untrusted,
}

impl Signature {
    /// The bytes that are signed, in two parts: the info dictionary and, if there is one, the dictionary beside the signature.
    #[must_use]
    pub fn signed_bytes<'a>(&'a self, info: &'a [u8]) -> [&'a [u8]; 2] {
        [info, self.info.as_deref().unwrap_or_default()]
    }
}

/// Reads `signatures`; what lacks a signature is left out.
pub(crate) fn read(dict: Dict<'_, '_>) -> Vec<Signature> {
    let signatures = dict.get(b"signatures").and_then(|value| value.as_dict()).into_iter().flatten();
    let read = signatures.filter_map(|(signer, value)| {
        let bytes = |key: &[u8]| value.get(key).and_then(|value| value.as_bytes()).map(Bytes::copy_from_slice);
        let info = value.get(b"info").filter(|info| info.as_dict().is_some());
        Some(Signature {
            signer: Bytes::copy_from_slice(signer),
            certificate: bytes(b"certificate"),
            info: info.map(|info| Bytes::copy_from_slice(info.raw())),
            signature: bytes(b"signature")?,
        })
    });
    read.take(MAX_LISTED).collect()
}
