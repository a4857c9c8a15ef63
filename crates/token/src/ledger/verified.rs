//! Transactions whose signatures were checked, apart from the ledger, so that it may be done on many threads.

use super::error::{TxError, words};
use crate::address::Address;
use crate::ids::TxId;
use crate::scheme::Schemes;
use crate::transaction::SignedTransaction;
use std::collections::BTreeMap;
use unchoke_core::Rng;

/// A transaction whose signature was found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedTransaction {
    pub(super) signed: SignedTransaction,
    pub(super) id: TxId,
    pub(super) owner: Address,
    pub(super) scheme: u8,
}

impl VerifiedTransaction {
    /// Checks the signature. Of one account there is one.
    ///
    /// # Errors
    /// If it is not that of the owner, or if the transaction's bytes do not give it again: a block with it could not be read.
    pub fn new(signed: SignedTransaction, schemes: &Schemes) -> Result<Self, TxError> {
        let (owner, signature) = Self::parts(&signed)?;
        let signer = schemes.signer(signed.raw(), signature);
        Self::finish(signed, owner, signer.map(|(signer, scheme)| (signer, scheme.get())))
    }

    /// Checks many together, which takes less for each.
    #[must_use]
    pub fn all(all: Vec<SignedTransaction>, schemes: &Schemes, rng: &mut Rng) -> Vec<Result<Self, TxError>> {
        // Those of one scheme go to its verifier together.
        let mut found: Vec<Option<(Address, u8)>> = vec![None; all.len()];
        let mut by_len: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, signed) in all.iter().enumerate() {
            if let Ok((_, signature)) = Self::parts(signed) {
                by_len.entry(signature.len()).or_default().push(at);
            }
        }
        for (len, places) in by_len {
            let Some(verifier) = schemes.of_signature(len) else { continue };
            let pairs: Vec<(&[u8], &[u8])> = places
                .iter()
                .filter_map(|at| all.get(*at))
                .filter_map(|signed| Some((signed.raw(), signed.signatures().first()?.as_slice())))
                .collect();
            for (at, signer) in places.iter().zip(verifier.signers(&pairs, rng)) {
                let signer = signer.map(|it| (it, verifier.scheme().get()));
                found.get_mut(*at).into_iter().for_each(|it| *it = signer);
            }
        }
        let finish = |(signed, signer)| {
            let (owner, _) = Self::parts(&signed)?;
            Self::finish(signed, owner, signer)
        };
        all.into_iter().zip(found).map(finish).collect()
    }

    fn parts(signed: &SignedTransaction) -> Result<(Address, &[u8]), TxError> {
        if signed.raw().len() > MAX_SIZE {
            return Err(TxError::TooBig(signed.raw().len()));
        }
        let transaction = signed.transaction();
        if transaction.permission_id != 0 || signed.signatures().len() > 1 {
            return Err(TxError::Unsupported("permissions other than the owner's"));
        }
        let owner = Address::from_slice(transaction.contract.owner_address());
        let owner = owner.map_err(|_| TxError::Invalid(words("Invalid ownerAddress")))?;
        let signature = signed.signatures().first().ok_or(TxError::Signature(owner))?;
        Ok((owner, signature))
    }

    fn finish(signed: SignedTransaction, owner: Address, signer: Option<(Address, u8)>) -> Result<Self, TxError> {
        let (_, scheme) = signer.filter(|(signer, _)| *signer == owner).ok_or(TxError::Signature(owner))?;
        // One that was made here may hold what no bytes say, as a time from 2^63 milliseconds on.
        if SignedTransaction::decode(&signed.encode()).as_ref() != Ok(&signed) {
            return Err(TxError::Unsupported("times or values that cannot be written"));
        }
        Ok(Self { id: signed.id(), signed, owner, scheme })
    }

    /// The transaction.
    #[must_use]
    pub const fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> TxId {
        self.id
    }
}

/// Bytes of a transaction's raw data, at most.
const MAX_SIZE: usize = 500 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Transfer;
    use crate::ids::Timestamp;
    use crate::signer::{KeySigner, Signable, Signer as _};
    use crate::transaction::Transaction;
    use unchoke_core::Seed;
    use unchoke_core::keys::SecretKey;

    /// Signed by its owner, though under another permission, or not by it alone.
    #[test]
    fn permissions_of_several_keys_are_told_to_be_unsupported() {
        let keys = [1, 2].map(|seed| KeySigner::new(SecretKey::from_seed(&Seed::new([seed; 32]))));
        let sign = |permission_id, signers: &[usize]| {
            let [owner_address, to_address] = [0, 1].map(|at: usize| keys[at].address().as_bytes().to_vec());
            let transfer = Transfer { owner_address, to_address, amount: 1 };
            let mut transaction = Transaction::new(transfer, 0, &[0; 32], Timestamp::new(1), Timestamp::new(2));
            transaction.permission_id = permission_id;
            let signature = |at: &usize| keys[*at].sign(&Signable::Transaction(&transaction)).unwrap();
            let signatures = signers.iter().map(signature).collect();
            let signed = SignedTransaction::decode(&transaction.with_signatures(signatures).encode()).unwrap();
            let schemes = Schemes::default();
            let all = VerifiedTransaction::all(vec![signed.clone()], &schemes, &mut Seed::new([1; 32]).rng()).remove(0);
            assert_eq!(all, VerifiedTransaction::new(signed, &schemes));
            all.map(drop)
        };
        let unsupported = Err(TxError::Unsupported("permissions other than the owner's"));
        assert_eq!(sign(0, &[0]), Ok(()));
        for (permission_id, signers) in [(1, &[0][..]), (2, &[0]), (i32::MAX, &[0]), (-1, &[0]), (2, &[0, 1])] {
            assert_eq!(sign(permission_id, signers), unsupported);
        }
        for signers in [&[0, 1][..], &[1, 0], &[0, 0], &[0, 1, 0, 1, 0]] {
            assert_eq!(sign(0, signers), unsupported);
        }
        for signers in [&[][..], &[1]] {
            assert_eq!(sign(0, signers), Err(TxError::Signature(keys[0].address())));
        }
    }
}
