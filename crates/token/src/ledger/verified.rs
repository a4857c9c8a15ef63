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
    /// If it is not that of the owner.
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
