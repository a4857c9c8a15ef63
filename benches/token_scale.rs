//! What do a million accounts and a hundred thousand open channels cost a ledger in memory, on disk and in time to open it again, and does that grow
//! in proportion? Goals: 1 KiB an account, 10 s to open.
//!
//! `cargo bench -p unchoke-benches --bench token_scale -- [--accounts N] [--json]` measures a quarter, a half and all of N accounts with a tenth as
//! many channels. Each step is a process of its own, whose allocator counts.

#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up has no result, and the figures are what it is for"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use unchoke_core::Seed;
use unchoke_core::hash::sha256;
use unchoke_core::keys::SecretKey;
use unchoke_token::contract::{ChannelOpen, Contract, Transfer};
use unchoke_token::ledger::{ChainParams, EmbeddedLedger, Genesis, Ledger as _, RedbLedgerStore, VerifiedTransaction};
use unchoke_token::{
    Address, KeySigner, SchemeId, Schemes, Signable, SignedTransaction, Signer as _, Timestamp, Transaction, Units,
};

const START: u64 = 1_700_000_000_000;
/// Accounts that open the channels.
const PAYERS: u32 = 100;
/// Transactions of a block.
const BLOCK: usize = 10_000;

/// Counts the bytes that are in use.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Until the old memory is let go both are there.
        grown(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Figures of a step, by name.
type Figures = BTreeMap<String, f64>;

fn signer(number: u32) -> KeySigner {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    KeySigner::new(SecretKey::from_seed(&Seed::new(seed)))
}

fn genesis(accounts: u32) -> Genesis {
    let mut genesis = Genesis::default();
    genesis.time = Timestamp::new(START);
    let balance = Units::new(1_000_000_000).unwrap_or(Units::ZERO);
    let payers = (0..PAYERS).map(|number| signer(number).address());
    let others = (PAYERS..accounts).map(|number| Address::from_digest(sha256(&number.to_le_bytes()).as_bytes()));
    genesis.balances = payers.chain(others).map(|address| (address, balance)).collect();
    genesis
}

fn open(path: &Path, genesis: &Genesis) -> EmbeddedLedger {
    let mut params = ChainParams::embedded();
    (params.free_net_limit, params.public_net_limit) = (u64::MAX >> 2, u64::MAX >> 2);
    let store = RedbLedgerStore::open(path).expect("a file that can be opened");
    EmbeddedLedger::open(genesis, params, Schemes::default(), Box::new(signer(u32::MAX)), Box::new(store))
        .expect("a ledger of this operator")
}

fn apply(ledger: &mut EmbeddedLedger, number: u32, contract: impl Into<Contract>) {
    let head = ledger.head();
    let expiration = Timestamp::new(head.time.get() + 60_000);
    let made = Timestamp::new(START + u64::from(number));
    let transaction = Transaction::new(contract, head.number.get(), head.id().as_bytes(), made, expiration);
    let signature = signer(number % PAYERS).sign(&Signable::Transaction(&transaction)).expect("a key in memory signs");
    let signed: SignedTransaction = transaction.with_signatures(vec![signature]);
    let verified = VerifiedTransaction::new(signed, ledger.schemes()).expect("just signed");
    ledger.apply(verified).expect("the ledger takes it");
}

fn seal(ledger: &mut EmbeddedLedger, later: u64) {
    let now = Timestamp::new(ledger.head().time.get() + later);
    ledger.seal(now).expect("the block is written");
}

/// Accounts, and then channels. When it is over no transaction is remembered any more.
fn build(path: &Path, accounts: u32, channels: u32) -> Figures {
    let genesis = genesis(accounts);
    let before = LIVE.load(Ordering::Relaxed);
    let start = Instant::now();
    let mut ledger = open(path, &genesis);
    let begun = start.elapsed().as_secs_f64();
    let with_accounts = LIVE.load(Ordering::Relaxed);
    let disk_accounts = size(path);
    for number in 0..channels {
        let payer = signer(number % PAYERS);
        let mut salt = [0; 16];
        salt[..4].copy_from_slice(&number.to_le_bytes());
        let open = ChannelOpen {
            owner_address: payer.address().as_bytes().to_vec(),
            payee_address: genesis.balances.last().expect("accounts").0.as_bytes().to_vec(),
            asset_name: b"_".to_vec(),
            deposit: 1000,
            voucher_scheme: SchemeId::ED25519.get().into(),
            voucher_key: payer.public_key(),
            salt: salt.to_vec(),
            ledger: ledger.id().as_bytes().to_vec(),
            opened_at: ledger.head().number.get().cast_signed(),
            dispute: 1200,
            ..ChannelOpen::default()
        };
        apply(&mut ledger, number, open);
        if ledger.pending().len() == BLOCK {
            seal(&mut ledger, 3000);
        }
    }
    seal(&mut ledger, 3000);
    for _ in 0..2 {
        seal(&mut ledger, 90_000_000);
    }
    let with_channels = LIVE.load(Ordering::Relaxed);
    let each = |from: usize, to: usize, count: u32| to.saturating_sub(from) as f64 / f64::from(count);
    figures(&[
        ("begin_s", begun),
        ("bytes_per_account", each(before, with_accounts, accounts)),
        ("bytes_per_channel", each(with_accounts, with_channels, channels)),
        ("build_live_bytes", with_channels as f64),
        ("build_peak_bytes", PEAK.load(Ordering::Relaxed) as f64),
        ("disk_bytes_begun", disk_accounts),
    ])
}

/// Opens what is there. A ledger that is to crash does so with transactions that are not sealed, just after a block that is.
fn reopen(path: &Path, crash: bool) -> Figures {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut ledger = open(path, &Genesis::default());
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let figures = figures(&[
        ("open_s", wall),
        ("open_cpu_s", cpu),
        ("live_bytes", LIVE.load(Ordering::Relaxed) as f64),
        ("peak_bytes", PEAK.load(Ordering::Relaxed) as f64),
    ]);
    if crash {
        for number in 0..2000 {
            let to_address = signer(number % PAYERS + 1).address().as_bytes().to_vec();
            let owner_address = signer(number % PAYERS).address().as_bytes().to_vec();
            apply(&mut ledger, number, Transfer { owner_address, to_address, amount: 1 });
            if number == 1000 {
                seal(&mut ledger, 3000);
            }
        }
        print(&figures);
        std::process::abort();
    }
    figures
}

fn figures(all: &[(&str, f64)]) -> Figures {
    all.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
}

fn print(figures: &Figures) {
    for (name, figure) in figures {
        println!("{name} {figure}");
    }
}

fn size(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0, |it| it.len()) as f64
}

/// Seconds that this process has had a core; nothing where there is no `/proc`.
fn cpu_seconds() -> f64 {
    let scheduled = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanos = scheduled.and_then(|it| it.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or(0.0, |it| it / 1e9)
}

/// A step in a process of its own.
fn step(name: &str, path: &Path, accounts: u32) -> Figures {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--step", name])
        .arg(path)
        .arg(accounts.to_string())
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let figures: Figures = lines.filter_map(|(name, it)| Some((name.to_owned(), it.parse().ok()?))).collect();
    assert!(!figures.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    figures
}

/// All of one size.
fn measure(accounts: u32) -> Figures {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let mut all = figures(&[("accounts", accounts.into()), ("channels", (accounts / 10).into())]);
    all.extend(step("build", &path, accounts));
    all.extend(figures(&[("disk_bytes", size(&path))]));
    all.extend(step("reopen", &path, accounts));
    step("crash", &path, accounts);
    let after = step("reopen", &path, accounts);
    all.extend(after.into_iter().map(|(name, figure)| (format!("crash_{name}"), figure)));
    all
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| arguments.iter().position(|it| it == name).and_then(|at| arguments.get(at + 1..));
    if let Some([step, path, accounts, ..]) = after("--step") {
        let (path, accounts) = (Path::new(path), accounts.parse().expect("a number"));
        print(&match step.as_str() {
            "build" => build(path, accounts, accounts / 10),
            step => reopen(path, step == "crash"),
        });
        return;
    }
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let usual = if has("--bench") && !has("--test") { 1_000_000 } else { 1000 };
    let accounts: u32 = after("--accounts").and_then(|it| it.first()?.parse().ok()).unwrap_or(usual);
    let all: Vec<Figures> = [4, 2, 1].iter().map(|part| measure(accounts / part)).collect();
    if has("--json") {
        let object = |figures: &Figures| {
            let members: Vec<String> = figures.iter().map(|(name, figure)| format!("\"{name}\":{figure}")).collect();
            format!("{{{}}}", members.join(","))
        };
        println!("[{}]", all.iter().map(object).collect::<Vec<_>>().join(","));
    } else {
        for name in all.first().into_iter().flat_map(Figures::keys) {
            let row = all.iter().map(|it| it.get(name).map_or_else(String::new, |it| format!("{it:>16.3}")));
            println!("{name:<24}{}", row.collect::<String>());
        }
    }
}
