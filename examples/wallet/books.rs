//! The ledger in a file. Whoever runs the program runs it: the operator's key lies beside it.

use crate::commands::Context;
use crate::purse;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_examples::Failure;
use unchoke_token::ledger::{
    ChainParams, Cursor, EmbeddedLedger, Genesis, Ledger as _, LedgerEvent, Receipt, RedbLedgerStore,
    VerifiedTransaction,
};
use unchoke_token::{
    Address, ChannelId, Contract, KeySigner, Schemes, Signable, Signer, Timestamp, Transaction, TxId, Units,
};

/// Coins that the first account of a new ledger has, in smallest units.
const COINS: u64 = 1_000_000_000_000;

/// Opens the ledger; if there is none, `first` gets all coins of a new one.
pub(crate) fn open(context: &Context, first: Option<Address>) -> Result<EmbeddedLedger, Failure> {
    if !context.ledger.exists() && first.is_none() {
        let path = context.ledger.display();
        return Err(Failure::Failed(format!("there is no ledger at {path}: `wallet create` begins one")));
    }
    let is_new = !context.ledger.exists();
    let operator = operator(&context.ledger.with_extension("operator"), is_new)?;
    let mut genesis = Genesis::default();
    genesis.time = now();
    genesis.balances = first.map(|address| (address, Units::new(COINS).unwrap_or(Units::MAX))).into_iter().collect();
    if is_new {
        begin(&context.ledger, &genesis, &operator)?;
    }
    open_at(&context.ledger, &genesis, &operator)
}

fn open_at(path: &Path, genesis: &Genesis, operator: &[u8; 32]) -> Result<EmbeddedLedger, Failure> {
    let store = RedbLedgerStore::open(path).map_err(|error| Failure::failed(&error))?;
    let mut params = ChainParams::embedded();
    // One block for each command: an hour would be long.
    params.channels.min_dispute = 10;
    let operator = KeySigner::new(SecretKey::from_bytes(operator));
    EmbeddedLedger::open(genesis, params, Schemes::default(), Box::new(operator), Box::new(store))
        .map_err(|error| Failure::failed(&error))
}

/// Makes a ledger, whole or not at all. One that is half made would be opened later by whoever looks first, and nobody would have its coins.
fn begin(path: &Path, genesis: &Genesis, operator: &[u8; 32]) -> Result<(), Failure> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new().prefix(".new-ledger-").tempdir_in(parent);
    let folder = folder.map_err(|error| Failure::Failed(format!("{}: {error}", parent.display())))?;
    let made = folder.path().join("ledger");
    drop(open_at(&made, genesis, operator)?);
    // A link takes no place of a ledger that somebody else has begun meanwhile. Not all file systems have links.
    let moved = fs::hard_link(&made, path).or_else(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Ok(()),
        _ => fs::rename(&made, path),
    });
    let moved = moved.and_then(|()| fs::File::open(parent)?.sync_all());
    moved.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

/// The operator's key, made if the ledger is to be.
fn operator(path: &Path, is_new: bool) -> Result<[u8; 32], Failure> {
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| Failure::Failed(format!("{} is no key", path.display()))),
        Err(error) if is_new && error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            Seed::new(rand::random()).rng().fill(&mut bytes);
            purse::write_durably(path, &bytes).map(|()| bytes)
        }
        Err(error) => Err(Failure::Failed(format!("the operator's key {}: {error}", path.display()))),
    }
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
    let (mut ledger, mut all) = (open(context, None)?, Vec::new());
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
