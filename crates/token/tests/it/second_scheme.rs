//! Accounts of a second signature scheme beside those of Ed25519.

use crate::world::{START, SharedStore, channel, signer, units};
use unchoke_core::Seed;
use unchoke_core::hash::sha256;
use unchoke_token::channel::Channel;
use unchoke_token::contract::{ChannelClaim, ChannelCloseMutual, Transfer, VaultDeposit};
use unchoke_token::ledger::{
    ChainParams, EmbeddedLedger, FollowError, Follower, Genesis, Key, Ledger as _, Receipt, TxError,
    VerifiedTransaction,
};
use unchoke_token::scheme::Check;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{Claim, CloseStatement, SignedVoucher, Voucher};
use unchoke_token::{
    Address, AssetId, Contract, Height, Lane, Refused, SchemeId, Schemes, Seq, Signable, SignedTransaction, Signer,
    Timestamp, Transaction, Verifier,
};

const TOY: SchemeId = SchemeId::new(77);

/// A scheme for tests, which anybody can forge: a key has 5 bytes, a signature is a digest and 6 bytes more, and an account's is the key and that.
/// Addresses are digests of digests, of no tag.
struct Toy;

struct ToySigner([u8; 5]);

fn digest(key: &[u8], message: &[u8]) -> Vec<u8> {
    [&sha256(&[key, message].concat()).as_bytes()[..], b"thetoy"].concat()
}

fn toy_address(key: &[u8]) -> Address {
    Address::from_digest(sha256(sha256(key).as_bytes()).as_bytes())
}

impl Verifier for Toy {
    fn scheme(&self) -> SchemeId {
        TOY
    }

    fn signature_len(&self) -> usize {
        5 + 38
    }

    fn signer(&self, message: &[u8], signature: &[u8]) -> Option<Address> {
        let (key, signature) = signature.split_at_checked(5)?;
        self.verify(&Check::new(key, message, signature)).then(|| toy_address(key))
    }

    fn is_key(&self, key: &[u8]) -> bool {
        key.len() == 5
    }

    fn verify(&self, check: &Check<'_>) -> bool {
        self.is_key(check.key) && digest(check.key, check.message) == check.signature
    }
}

impl Signer for ToySigner {
    fn scheme(&self) -> SchemeId {
        TOY
    }

    fn address(&self) -> Address {
        toy_address(&self.0)
    }

    fn public_key(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn sign(&self, what: &Signable<'_>) -> Result<Vec<u8>, Refused> {
        let signature = digest(&self.0, &what.to_bytes());
        Ok(match what {
            Signable::Voucher(_) => signature,
            _ => [&self.0[..], &signature].concat(),
        })
    }
}

fn both() -> Schemes {
    Schemes::default().with(Box::new(Toy))
}

fn genesis(accounts: &[&dyn Signer]) -> Genesis {
    let mut genesis = Genesis::default();
    genesis.time = Timestamp::new(START);
    genesis.balances = accounts.iter().map(|it| (it.address(), units(1000))).collect();
    genesis
}

fn params() -> ChainParams {
    let mut params = ChainParams::embedded();
    params.channels.min_dispute = 5;
    params
}

fn open(genesis: &Genesis, schemes: Schemes, operator: Box<dyn Signer>, store: &SharedStore) -> EmbeddedLedger {
    EmbeddedLedger::open(genesis, params(), schemes, operator, Box::new(store.clone())).unwrap()
}

fn sign(ledger: &EmbeddedLedger, by: &dyn Signer, contract: impl Into<Contract>) -> SignedTransaction {
    let head = ledger.head();
    let expiration = Timestamp::new(head.time.get() + 60_000);
    let transaction = Transaction::new(contract, head.number.get(), head.id().as_bytes(), head.time, expiration);
    let signature = by.sign(&Signable::Transaction(&transaction)).unwrap();
    transaction.with_signatures(vec![signature])
}

fn apply(ledger: &mut EmbeddedLedger, by: &dyn Signer, contract: impl Into<Contract>) -> Result<Receipt, TxError> {
    let signed = SignedTransaction::decode(&sign(ledger, by, contract).encode()).unwrap();
    // Alone and among others the verdict is the same.
    let alone = VerifiedTransaction::new(signed.clone(), ledger.schemes());
    let mut rng = Seed::new([1; 32]).rng();
    let others = (0..3).map(|number| sign(ledger, &signer(number), transfer(&signer(number), by, 1)));
    let all: Vec<_> = others.chain([signed]).collect();
    assert_eq!(VerifiedTransaction::all(all, ledger.schemes(), &mut rng).pop().unwrap(), alone);
    ledger.apply(alone?)
}

fn transfer(from: &dyn Signer, to: &dyn Signer, amount: i64) -> Transfer {
    let bytes = |of: &dyn Signer| of.address().as_bytes().to_vec();
    Transfer { owner_address: bytes(from), to_address: bytes(to), amount }
}

#[test]
fn accounts_of_two_schemes_pay_each_other_and_are_followed() {
    let (toy, ed25519, other) = (ToySigner(*b"toy-1"), signer(1), ToySigner(*b"toy-2"));
    let (genesis, store) = (genesis(&[&toy, &ed25519]), SharedStore::default());
    // The operator signs by the second scheme, too.
    let mut ledger = open(&genesis, both(), Box::new(ToySigner(*b"oprtr")), &store);
    apply(&mut ledger, &toy, transfer(&toy, &ed25519, 100)).unwrap();
    apply(&mut ledger, &ed25519, transfer(&ed25519, &other, 30)).unwrap();
    apply(&mut ledger, &other, transfer(&other, &toy, 10)).unwrap();
    ledger.seal(Timestamp::default()).unwrap();
    // Nobody signs for another, of whichever scheme.
    for (by, owner) in [(&toy as &dyn Signer, &ed25519 as &dyn Signer), (&ed25519, &toy), (&other, &toy)] {
        let outcome = apply(&mut ledger, by, transfer(owner, by, 1));
        assert_eq!(outcome, Err(TxError::Signature(owner.address())));
    }
    let held = |ledger: &EmbeddedLedger, of: &dyn Signer| ledger.balance(&of.address(), AssetId::NATIVE).get();
    assert_eq!([held(&ledger, &toy), held(&ledger, &ed25519), held(&ledger, &other)], [910, 1070, 20]);
    let blocks = [0, 1].map(|number| ledger.block(Height::new(number)).unwrap().unwrap());
    let follow = |schemes| {
        Follower::open(ledger.id(), &genesis, &blocks[0], params(), schemes, Box::new(SharedStore::default()))
    };
    let mut follower = follow(both()).unwrap();
    follower.follow(&blocks[1]).unwrap();
    assert_eq!(follower.head(), ledger.head());
    let key = Key::Account(other.address());
    assert!(follower.prove(&key).unwrap().verify(&key, &ledger.head().operator, &both()));
    // Without the scheme there is nothing to follow.
    assert!(follow(Schemes::default()).is_err());
    let reopened = open(&genesis, both(), Box::new(ToySigner(*b"oprtr")), &store);
    assert_eq!((reopened.head(), held(&reopened, &other)), (ledger.head(), 20));
}

#[test]
fn a_block_with_a_scheme_that_a_follower_does_not_know_is_refused() {
    let (toy, ed25519) = (ToySigner(*b"toy-1"), signer(1));
    let genesis = genesis(&[&toy, &ed25519]);
    let mut ledger = open(&genesis, both(), Box::new(signer(255)), &SharedStore::default());
    apply(&mut ledger, &ed25519, transfer(&ed25519, &toy, 1)).unwrap();
    apply(&mut ledger, &toy, transfer(&toy, &ed25519, 2)).unwrap();
    let block = ledger.seal(Timestamp::default()).unwrap();
    let first = ledger.block(Height::new(0)).unwrap().unwrap();
    let store = Box::new(SharedStore::default());
    let mut follower = Follower::open(ledger.id(), &genesis, &first, params(), Schemes::default(), store).unwrap();
    let expected = TxError::Signature(toy.address());
    assert!(matches!(follower.follow(&block), Err(FollowError::Transaction { at: 1, error }) if error == expected));
}

#[test]
fn a_second_scheme_changes_nothing_for_a_ledger_without_accounts_of_it() {
    let accounts: Vec<_> = (1..4).map(signer).collect();
    let genesis = genesis(&accounts.iter().map(|it| it as &dyn Signer).collect::<Vec<_>>());
    let ledgers = [Schemes::default(), both()].map(|schemes| {
        let mut ledger = open(&genesis, schemes, Box::new(signer(255)), &SharedStore::default());
        for (at, from) in accounts.iter().enumerate() {
            let to = &accounts[(at + 1) % 3];
            apply(&mut ledger, from, transfer(from, to, 10)).unwrap();
            let owner_address = from.address().as_bytes().to_vec();
            apply(&mut ledger, from, VaultDeposit { owner_address, asset_name: b"_".to_vec(), amount: 5 }).unwrap();
            ledger.seal(Timestamp::default()).unwrap();
        }
        ledger
    });
    assert_eq!(ledgers[0].head(), ledgers[1].head());
}

/// Whoever brings a scheme by which somebody can make the address of another's key does not get at an account that has signed.
#[test]
fn an_account_keeps_the_scheme_that_it_has_signed_by() {
    struct Thief;
    impl Verifier for Thief {
        fn scheme(&self) -> SchemeId {
            SchemeId::new(78)
        }
        fn signature_len(&self) -> usize {
            21
        }
        fn signer(&self, _: &[u8], signature: &[u8]) -> Option<Address> {
            Address::from_slice(signature).ok()
        }
        fn is_key(&self, _: &[u8]) -> bool {
            false
        }
        fn verify(&self, _: &Check<'_>) -> bool {
            false
        }
    }
    let (victim, fresh, thief) = (signer(1), signer(2), ToySigner(*b"thief"));
    let genesis = genesis(&[&victim, &fresh]);
    let schemes = both().with(Box::new(Thief));
    let mut ledger = open(&genesis, schemes, Box::new(signer(255)), &SharedStore::default());
    apply(&mut ledger, &victim, transfer(&victim, &fresh, 1)).unwrap();
    let steal = |ledger: &EmbeddedLedger, from: &dyn Signer| {
        let transaction = sign(ledger, from, transfer(from, &thief, 5)).transaction().clone();
        let signed = transaction.with_signatures(vec![from.address().as_bytes().to_vec()]);
        VerifiedTransaction::new(signed, ledger.schemes()).unwrap()
    };
    let stolen = steal(&ledger, &victim);
    assert_eq!(ledger.apply(stolen), Err(TxError::Signature(victim.address())));
    // One that has not signed yet belongs to whoever signs first.
    let stolen = steal(&ledger, &fresh);
    ledger.apply(stolen).unwrap();
    assert_eq!(apply(&mut ledger, &fresh, transfer(&fresh, &victim, 1)), Err(TxError::Signature(fresh.address())));
}

#[test]
fn channels_take_vouchers_and_totals_signed_by_a_second_scheme() {
    let (payer, payee) = (ToySigner(*b"payer"), signer(1));
    let genesis = genesis(&[&payer, &payee]);
    let mut ledger = open(&genesis, both(), Box::new(signer(255)), &SharedStore::default());
    let mut contract = channel(&ledger, &payer, payee.address(), 500);
    let id = apply(&mut ledger, &payer, contract.clone()).unwrap().channel.unwrap();
    assert_eq!(id, Channel::id(&contract));
    let chain = TickChain::new(id, &Seed::new([9; 32]), 10);
    let voucher = Voucher::new(id, Lane::new(0), Seq::new(1), units(50)).with_ticks(*chain.anchor(), units(5), 10);
    let signature = payer.sign(&Signable::Voucher(&voucher)).unwrap();
    let mut claims = vec![Claim::new(SignedVoucher::new(voucher, signature), chain.tick(4)).to_contract()];
    let owner_address = payee.address().as_bytes().to_vec();
    let claim = ChannelClaim { owner_address, channel: id.as_bytes().to_vec(), claims: claims.clone() };
    claims[0].signature[37] ^= 1;
    assert!(apply(&mut ledger, &payee, ChannelClaim { claims, ..claim.clone() }).is_err());
    assert_eq!(apply(&mut ledger, &payee, claim).unwrap().received, units(70));
    let statement = CloseStatement::new(id, units(100), Height::new(9));
    let close = ChannelCloseMutual {
        owner_address: payee.address().as_bytes().to_vec(),
        channel: id.as_bytes().to_vec(),
        total: 100,
        not_after: 9,
        payer_signature: payer.sign(&Signable::Close(&statement)).unwrap(),
        payee_signature: payee.sign(&Signable::Close(&statement)).unwrap(),
    };
    assert_eq!(apply(&mut ledger, &payee, close).unwrap().received, units(30));
    assert_eq!(ledger.balance(&payer.address(), AssetId::NATIVE), units(900));
    contract.voucher_key.push(0);
    assert!(apply(&mut ledger, &payer, contract).is_err());
}
