//! The ledger in a file. Whoever runs the program runs it: the operator's key lies beside it.

use crate::commands::Context;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_examples::{Failure, beside, tell, write_private};
use unchoke_token::ledger::{
    ChainParams, Cursor, EmbeddedLedger, Genesis, Ledger as _, LedgerEvent, Receipt, RedbLedgerStore, StoreError,
    VerifiedTransaction,
};
use unchoke_token::{
    Address, ChannelId, Contract, KeySigner, Schemes, Signable, Signer, Timestamp, Transaction, TxId, Units,
};

/// Coins that the first account of a new ledger has, in smallest units.
const COINS: u64 = 1_000_000_000_000;
/// What a ledger is called as long as it is new.
const LEDGER: &str = "ledger";
/// How the file with the operator's key ends.
pub(crate) const OPERATOR: &str = "operator";

/// A ledger that is made and has not come to its place yet: nobody has its coins so far.
pub(crate) struct NewLedger {
    folder: TempDir,
    path: PathBuf,
}

/// Opens the ledger. While another program has it open, this waits for a while.
pub(crate) fn open(context: &Context) -> Result<EmbeddedLedger, Failure> {
    let path = context.ledger.display();
    if !context.ledger.exists() {
        let hint = "`wallet create` begins one, or `wallet begin` if there is a wallet already";
        return Err(Failure::Failed(format!("there is no ledger at {path}: {hint}")));
    }
    let key = beside(&context.ledger, OPERATOR);
    let read =
        fs::read(&key).map_err(|error| Failure::Failed(format!("the operator's key {}: {error}", key.display())));
    let operator = read?.try_into().map_err(|_| Failure::Failed(format!("{} is no key", key.display())))?;
    open_at(&context.ledger, &Genesis::default(), &operator, context.wait)
}

fn open_at(path: &Path, genesis: &Genesis, operator: &[u8; 32], wait: Duration) -> Result<EmbeddedLedger, Failure> {
    let mut begun = None;
    let store = loop {
        match RedbLedgerStore::open(path) {
            Err(StoreError::InUse) if begun.is_none_or(|at: Instant| at.elapsed() < wait) => {
                begun.get_or_insert_with(|| {
                    tell(format_args!("another program has {} open; waiting", path.display()));
                    Instant::now()
                });
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(StoreError::InUse) => {
                let (path, wait) = (path.display(), wait.as_secs());
                return Err(Failure::Failed(format!("another program has had {path} open for {wait} s (--wait)")));
            }
            other => break other.map_err(|error| Failure::failed(&error))?,
        }
    };
    let mut params = ChainParams::embedded();
    // One block for each command: an hour would be long.
    params.channels.min_dispute = 10;
    let operator = KeySigner::new(SecretKey::from_bytes(operator));
    EmbeddedLedger::open(genesis, params, Schemes::default(), Box::new(operator), Box::new(store))
        .map_err(|error| Failure::failed(&error))
}

/// Makes a ledger, if there is none, of which one account will have all coins. One that is half made would be opened later by whoever looks first,
/// so it is made elsewhere.
pub(crate) fn prepare(context: &Context, first: Address) -> Result<Option<NewLedger>, Failure> {
    let path = &context.ledger;
    if path.exists() {
        return Ok(None);
    }
    let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", path.display()));
    let folder = tempfile::Builder::new().prefix(".new-ledger-").tempdir_in(parent(path)).map_err(failed)?;
    let mut operator = [0; 32];
    Seed::new(rand::random()).rng().fill(&mut operator);
    let (made, key) = (folder.path().join("key"), beside(path, OPERATOR));
    write_private(&made, &operator).map_err(failed)?;
    if !place(&made, &key).map_err(failed)? {
        // A program that was killed has left it, or one that does the same right now, which needs it as much.
        let known = fs::read(&key).map_err(failed)?;
        operator = known.try_into().map_err(|_| Failure::Failed(format!("{} is no key", key.display())))?;
    }
    let mut genesis = Genesis::default();
    genesis.time = now();
    genesis.balances = vec![(first, Units::new(COINS).unwrap_or(Units::MAX))];
    drop(open_at(&folder.path().join(LEDGER), &genesis, &operator, Duration::ZERO)?);
    Ok(Some(NewLedger { folder, path: path.clone() }))
}

impl NewLedger {
    /// Puts it to its place. Now there is a ledger, and the account has the coins.
    pub(crate) fn begin(self) -> Result<(), Failure> {
        let path = self.path.display();
        match place(&self.folder.path().join(LEDGER), &self.path) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Failure::Failed(format!("another program has begun {path} meanwhile; its coins are not here")))
            }
            Err(error) => Err(Failure::Failed(format!("{path}: {error}"))),
        }
    }
}

/// Moves a file, durably, to where there is none. Tells whether there was none.
fn place(made: &Path, path: &Path) -> io::Result<bool> {
    // A link takes no place of what somebody else has put there meanwhile. Not all file systems have links.
    let moved = fs::hard_link(made, path).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        _ if path.exists() => Err(io::ErrorKind::AlreadyExists.into()),
        _ => fs::rename(made, path),
    });
    match moved {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
        Ok(()) => fs::File::open(parent(path))?.sync_all().map(|()| true),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Signs, hands in and seals a block.
pub(crate) fn apply(
    ledger: &mut EmbeddedLedger,
    signer: &dyn Signer,
    contract: impl Into<Contract>,
) -> Result<(TxId, Receipt), Failure> {
    let head = ledger.head();
    let made = now().max(head.time);
    let expiration = Timestamp::new(made.get().saturating_add(60_000));
    let transaction = Transaction::new(contract, head.number.get(), head.id().as_bytes(), made, expiration);
    let signature = signer.sign(&Signable::Transaction(&transaction)).map_err(|error| Failure::failed(&error))?;
    let signed = transaction.with_signatures(vec![signature]);
    let id = signed.id();
    let verified = VerifiedTransaction::new(signed, ledger.schemes());
    let receipt = verified.and_then(|it| ledger.apply(it)).map_err(|error| Failure::failed(&error))?;
    seal(ledger)?;
    Ok((id, receipt))
}

pub(crate) fn seal(ledger: &mut EmbeddedLedger) -> Result<(), Failure> {
    ledger.seal(now()).map(drop).map_err(|error| Failure::failed(&error))
}

/// Calls for everything that the ledger tells, from the first block on.
pub(crate) fn each_event(ledger: &mut EmbeddedLedger, mut take: impl FnMut(&LedgerEvent)) -> Result<(), Failure> {
    let (mut cursor, mut events) = (Cursor::default(), Vec::new());
    while cursor.height() <= ledger.head().number {
        cursor = ledger.events(cursor, &mut events).map_err(|error| Failure::failed(&error))?;
        events.drain(..).for_each(|event| take(&event));
    }
    Ok(())
}

/// The channels that were opened, the last one last.
pub(crate) fn channels(context: &Context) -> Result<Vec<ChannelId>, Failure> {
    let (mut ledger, mut all) = (open(context)?, Vec::new());
    each_event(&mut ledger, |event| {
        if let LedgerEvent::Applied { transaction, receipt, .. } = event
            && matches!(transaction.transaction().contract, Contract::ChannelOpen(_))
        {
            all.extend(receipt.channel);
        }
    })?;
    Ok(all)
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
