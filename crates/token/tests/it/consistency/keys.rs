//! Signatures that cost one hash, and a signer that asserts what no payer may ever sign.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use unchoke_core::hash::sha256;
use unchoke_token::scheme::Check;
use unchoke_token::voucher::Voucher;
use unchoke_token::{Address, ChannelId, Lane, Refused, SchemeId, Schemes, Seq, Signable, Signer, Verifier};

/// Takes the place of Ed25519. Whoever knows a key can sign, which nobody here does who should not.
struct Cheap;

pub(crate) fn schemes() -> Schemes {
    Schemes::default().with(Box::new(Cheap))
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    *sha256(&[key, message].concat()).as_bytes()
}

fn address(key: &[u8]) -> Address {
    Address::from_digest(sha256(key).as_bytes())
}

impl Verifier for Cheap {
    fn scheme(&self) -> SchemeId {
        SchemeId::ED25519
    }

    fn signature_len(&self) -> usize {
        64
    }

    fn signer(&self, message: &[u8], signature: &[u8]) -> Option<Address> {
        let (key, tag) = signature.split_at_checked(32)?;
        (tag == mac(key, message)).then(|| address(key))
    }

    fn is_key(&self, key: &[u8]) -> bool {
        key.len() == 32
    }

    fn verify(&self, check: &Check<'_>) -> bool {
        check.signature == mac(check.key, check.message)
    }
}

/// Signs for one account, and panics rather than sign two vouchers with one number.
#[derive(Clone)]
pub(crate) struct TestSigner {
    key: [u8; 32],
    signed: Arc<Mutex<BTreeMap<(ChannelId, Lane, Seq), Voucher>>>,
}

impl TestSigner {
    pub(crate) fn new(number: u8) -> Self {
        Self { key: [number; 32], signed: Arc::default() }
    }

    /// A signature that no payer of ours gives, for somebody who lies.
    pub(crate) fn lie(&self, voucher: &Voucher) -> Vec<u8> {
        mac(&self.key, &voucher.to_bytes()).to_vec()
    }

    pub(crate) fn voucher(&self, channel: ChannelId, lane: Lane, seq: Seq) -> Option<Voucher> {
        self.signed.lock().unwrap().get(&(channel, lane, seq)).copied()
    }
}

impl Signer for TestSigner {
    fn scheme(&self) -> SchemeId {
        SchemeId::ED25519
    }

    fn address(&self) -> Address {
        address(&self.key)
    }

    fn public_key(&self) -> Vec<u8> {
        self.key.to_vec()
    }

    fn sign(&self, what: &Signable<'_>) -> Result<Vec<u8>, Refused> {
        let tag = mac(&self.key, &what.to_bytes());
        let Signable::Voucher(voucher) = what else { return Ok([self.key, tag].concat()) };
        let number = (voucher.channel, voucher.lane, voucher.seq);
        let before = self.signed.lock().unwrap().insert(number, **voucher);
        assert!(
            before.is_none_or(|before| before == **voucher),
            "two vouchers with one number: {before:?}, {voucher:?}"
        );
        Ok(tag.to_vec())
    }
}
