//! Issues a token on a ledger in memory: a sale, a transfer, frozen supply that comes free, and a balance that anybody can check against the
//! operator's signature.

use std::process::ExitCode;
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_examples::{Failure, no_arguments, run, say};
use unchoke_token::contract::{AssetIssue, FrozenSupply, ParticipateAssetIssue, TransferAsset, UnfreezeAsset};
use unchoke_token::ledger::{
    ChainParams, EmbeddedLedger, Genesis, Key, Ledger as _, MemoryLedgerStore, Receipt, VerifiedTransaction,
};
use unchoke_token::{AssetId, Contract, KeySigner, Schemes, Signable, Signer, Timestamp, Transaction, Units};

const USAGE: &str = "issue_asset";
/// 2026-01-01 00:00 UTC: a ledger's time is whatever its operator says.
const START: u64 = 1_767_225_600_000;
const DAY: u64 = 86_400_000;
/// Digits behind the point.
const PRECISION: u8 = 6;

fn main() -> ExitCode {
    run(USAGE, no_arguments().and_then(|()| issue()))
}

/// The ledger and its time.
struct Chain {
    ledger: EmbeddedLedger,
    now: u64,
}

impl Chain {
    /// Signs, hands in and seals.
    fn apply(&mut self, signer: &dyn Signer, contract: impl Into<Contract>) -> Result<Receipt, Failure> {
        let head = self.ledger.head();
        self.now = self.now.max(head.time.get()).saturating_add(3000);
        let (made, expiration) = (Timestamp::new(self.now), Timestamp::new(self.now.saturating_add(60_000)));
        let transaction = Transaction::new(contract, head.number.get(), head.id().as_bytes(), made, expiration);
        let signature = signer.sign(&Signable::Transaction(&transaction)).map_err(|error| Failure::failed(&error))?;
        let signed = transaction.with_signatures(vec![signature]);
        let verified = VerifiedTransaction::new(signed, self.ledger.schemes());
        let receipt =
            verified.and_then(|verified| self.ledger.apply(verified)).map_err(|error| Failure::failed(&error))?;
        self.seal()?;
        Ok(receipt)
    }

    fn seal(&mut self) -> Result<(), Failure> {
        self.ledger.seal(Timestamp::new(self.now)).map(drop).map_err(|error| Failure::failed(&error))
    }

    fn held(&self, who: &dyn Signer, asset: AssetId) -> String {
        self.ledger.balance(&who.address(), asset).to_decimal(PRECISION)
    }
}

fn issue() -> Result<(), Failure> {
    let signer = || KeySigner::new(SecretKey::from_seed(&Seed::new(rand::random())));
    let (operator, issuer, buyer) = (signer(), signer(), signer());
    let coins = Units::parse("1000", PRECISION).map_err(|error| Failure::failed(&error))?;
    let mut genesis = Genesis::default();
    genesis.time = Timestamp::new(START);
    genesis.balances = vec![(issuer.address(), coins), (buyer.address(), coins)];
    let (params, schemes, store) =
        (ChainParams::embedded(), Schemes::default(), Box::new(MemoryLedgerStore::default()));
    let ledger = EmbeddedLedger::open(&genesis, params, schemes, Box::new(operator), store);
    let mut chain = Chain { ledger: ledger.map_err(|error| Failure::failed(&error))?, now: START };
    let bytes = |signer: &KeySigner| signer.address().as_bytes().to_vec();

    let supply = Units::parse("990000", PRECISION).map_err(|error| Failure::failed(&error))?;
    let frozen = Units::parse("90000", PRECISION).map_err(|error| Failure::failed(&error))?;
    let receipt = chain.apply(
        &issuer,
        AssetIssue {
            owner_address: bytes(&issuer),
            name: b"Example".to_vec(),
            abbr: b"EX".to_vec(),
            total_supply: supply.to_i64(),
            frozen_supply: vec![FrozenSupply { frozen_amount: frozen.to_i64(), frozen_days: 1 }],
            // Two tokens for one coin.
            trx_num: 1,
            num: 2,
            precision: PRECISION.into(),
            start_time: i64::try_from(START.saturating_add(60_000)).unwrap_or(i64::MAX),
            end_time: i64::try_from(START.saturating_add(DAY / 2)).unwrap_or(i64::MAX),
            url: b"https://example.org".to_vec(),
            ..AssetIssue::default()
        },
    )?;
    let token = receipt.issued.ok_or(Failure::Failed("no token was issued".into()))?;
    say(format_args!(
        "token {token}: {} of {} are the issuer's",
        chain.held(&issuer, token),
        supply.to_decimal(PRECISION)
    ))?;

    chain.now = START.saturating_add(60_000);
    chain.seal()?;
    let coins = Units::parse("10", PRECISION).map_err(|error| Failure::failed(&error))?;
    let receipt = chain.apply(
        &buyer,
        ParticipateAssetIssue {
            owner_address: bytes(&buyer),
            to_address: bytes(&issuer),
            asset_name: token.name().into_bytes(),
            amount: coins.to_i64(),
        },
    )?;
    say(format_args!("10 coins buy {}", receipt.received.to_decimal(PRECISION)))?;

    let amount = Units::parse("0.5", PRECISION).map_err(|error| Failure::failed(&error))?;
    let transfer = TransferAsset {
        owner_address: bytes(&buyer),
        to_address: bytes(&issuer),
        asset_name: token.name().into_bytes(),
        amount: amount.to_i64(),
    };
    chain.apply(&buyer, transfer)?;
    say(format_args!("after half a token back the buyer has {}", chain.held(&buyer, token)))?;

    if let Err(failure) = chain.apply(&issuer, UnfreezeAsset { owner_address: bytes(&issuer) }) {
        say(format_args!("too early for the frozen supply: {failure}"))?;
    }
    chain.now = START.saturating_add(2 * DAY);
    chain.seal()?;
    let receipt = chain.apply(&issuer, UnfreezeAsset { owner_address: bytes(&issuer) })?;
    say(format_args!("two days later {} more are the issuer's", receipt.received.to_decimal(PRECISION)))?;

    // Somebody who knows nothing but the operator's address.
    let key = Key::Account(buyer.address());
    let operator = chain.ledger.head().operator;
    let proven = chain.ledger.prove(&key).filter(|proven| proven.verify(&key, &operator, &Schemes::default()));
    let account = proven.as_ref().and_then(|proven| proven.account()).ok_or(Failure::Failed("no proof".into()))?;
    let (held, bytes) = (account.holds(token).to_decimal(PRECISION), proven.map_or(0, |proven| proven.encode().len()));
    say(format_args!("{bytes} bytes prove that {} has {held}", buyer.address()))?;
    let all = chain.ledger.supply(token);
    if all == u128::from(supply.get()) {
        Ok(())
    } else {
        Err(Failure::Failed(format!("{all} tokens instead of {supply}")))
    }
}
