//! How many transfers does a ledger take in a second? Goals: 300,000 in memory with signatures that were checked before, 35,000 with signatures on two
//! cores, 15,000 durable on disk with signatures. All of them with blocks of 10,000 sealed, state root included.

#![allow(clippy::expect_used, reason = "a bench that cannot be set up has no result")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_token::contract::Transfer;
use unchoke_token::ledger::{
    ChainParams, EmbeddedLedger, Genesis, Ledger as _, LedgerStore, MemoryLedgerStore, RedbLedgerStore,
    VerifiedTransaction,
};
use unchoke_token::{KeySigner, Schemes, Signable, SignedTransaction, Signer, Timestamp, Transaction, Units};

const BLOCK: usize = 10_000;
const START: u64 = 1_700_000_000_000;

fn signer(number: u32) -> KeySigner {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    KeySigner::new(SecretKey::from_seed(&Seed::new(seed)))
}

/// A ledger with a thousand accounts.
fn ledger(store: Box<dyn LedgerStore>) -> EmbeddedLedger {
    let mut genesis = Genesis::default();
    genesis.time = Timestamp::new(START);
    let balance = Units::new(1_000_000).unwrap_or(Units::ZERO);
    genesis.balances = (0..1000).map(|number| (signer(number).address(), balance)).collect();
    let mut params = ChainParams::embedded();
    (params.free_net_limit, params.public_net_limit) = (u64::MAX >> 2, u64::MAX >> 2);
    EmbeddedLedger::open(&genesis, params, Schemes::default(), Box::new(signer(u32::MAX)), store)
        .expect("a new ledger in a store that works")
}

/// A block of transfers between accounts that follow one another.
fn transfers(ledger: &EmbeddedLedger) -> Vec<SignedTransaction> {
    let signers: Vec<KeySigner> = (0..1000).map(signer).collect();
    let (head, id) = (ledger.head(), ledger.head_id());
    let transfer = |number: usize| {
        let (from, to) = (&signers[number % 1000], &signers[(number * 7 + 1) % 1000]);
        let contract = Transfer {
            owner_address: from.address().as_bytes().to_vec(),
            to_address: to.address().as_bytes().to_vec(),
            amount: 1,
        };
        let made = Timestamp::new(START + number as u64);
        let expiration = Timestamp::new(START + 60_000);
        let transaction = Transaction::new(contract, head.number.get(), id.as_bytes(), made, expiration);
        let signature = from.sign(&Signable::Transaction(&transaction)).expect("a key in memory signs");
        transaction.with_signatures(vec![signature])
    };
    (0..BLOCK).map(transfer).collect()
}

fn verify(transactions: &[SignedTransaction], schemes: &Schemes, seed: u8) -> Vec<VerifiedTransaction> {
    let mut rng = Seed::new([seed; 32]).rng();
    VerifiedTransaction::all(transactions.to_vec(), schemes, &mut rng).into_iter().flatten().collect()
}

fn apply(ledger: &mut EmbeddedLedger, verified: Vec<VerifiedTransaction>) -> usize {
    let taken = verified.into_iter().filter_map(|it| ledger.apply(it).ok()).count();
    let now = Timestamp::new(ledger.head().time.get() + 1);
    ledger.seal(now).expect("the block is written");
    assert_eq!(taken, BLOCK);
    taken
}

/// Half of the signatures on each of two threads, then all into a block.
fn verify_and_apply(ledger: &mut EmbeddedLedger, transactions: &[SignedTransaction]) -> usize {
    let (first, second) = transactions.split_at(transactions.len() / 2);
    let schemes = ledger.schemes();
    let mut verified = std::thread::scope(|scope| {
        let other = scope.spawn(|| verify(second, schemes, 1));
        let mut all = verify(first, schemes, 2);
        all.extend(other.join().expect("the thread ends"));
        all
    });
    verified.shrink_to_fit();
    apply(ledger, verified)
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transfers, blocks of 10,000");
    group.sample_size(10).throughput(Throughput::Elements(BLOCK as u64));
    group.bench_function("in memory, signatures checked before", |bencher| {
        let base = ledger(Box::<MemoryLedgerStore>::default());
        let verified = verify(&transfers(&base), base.schemes(), 1);
        bencher.iter_batched(
            || (ledger(Box::<MemoryLedgerStore>::default()), verified.clone()),
            |(mut ledger, verified)| {
                apply(&mut ledger, verified);
                ledger
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("in memory, signatures on two threads", |bencher| {
        let transactions = transfers(&ledger(Box::<MemoryLedgerStore>::default()));
        bencher.iter_batched(
            || ledger(Box::<MemoryLedgerStore>::default()),
            |mut ledger| {
                verify_and_apply(&mut ledger, &transactions);
                ledger
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("durable on disk, signatures on two threads", |bencher| {
        let transactions = transfers(&ledger(Box::<MemoryLedgerStore>::default()));
        bencher.iter_batched(
            || {
                let folder = tempfile::tempdir().expect("a folder");
                let store = RedbLedgerStore::open(folder.path().join("ledger")).expect("a new file");
                (ledger(Box::new(store)), folder)
            },
            |(mut ledger, folder)| {
                verify_and_apply(&mut ledger, &transactions);
                (ledger, folder)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
