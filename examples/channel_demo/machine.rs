//! What payer and payee have in common: a log, and that nothing leaves before it is durable.

use crate::ledger::Client;
use crate::link::{Half, Link};
use std::path::{Path, PathBuf};
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_examples::{Failure, write_private};
use unchoke_token::channel::{ChannelStore, Event, FileChannelStore, Log, Output, Request, Session, ToSign};
use unchoke_token::contract::Contract;
use unchoke_token::{KeySigner, SignedTransaction, Signer as _, Units};

/// What both machines of a process use.
pub(crate) struct Outside {
    pub(crate) ledger: Client,
    pub(crate) signer: KeySigner,
    pub(crate) link: Link,
}

/// A payer or payee, as far as both are alike.
pub(crate) trait Machine {
    const HALF: Half;
    fn poll_output(&mut self) -> Option<Output>;
    fn handle_signed(&mut self, request: Request, session: Session, signature: Vec<u8>) -> Result<(), Failure>;
    fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Failure>;
}

/// A machine's folder, and what it has asked for.
pub(crate) struct Desk {
    folder: PathBuf,
    store: FileChannelStore,
    /// What waits for the log.
    waiting: Vec<Output>,
    pub(crate) events: Vec<Event>,
}

/// Writes the key of a new account.
pub(crate) fn write_key(folder: &Path, seed: &Seed) -> Result<(), Failure> {
    let mut bytes = [0; 32];
    seed.rng().fill(&mut bytes);
    std::fs::create_dir_all(folder).map_err(|error| Failure::failed(&error))?;
    write_private(&folder.join("key"), &bytes).map_err(|error| Failure::failed(&error))
}

fn key_bytes(folder: &Path) -> Result<[u8; 32], Failure> {
    let bytes = std::fs::read(folder.join("key")).map_err(|error| Failure::failed(&error))?;
    bytes.try_into().map_err(|_| Failure::Failed("a key has 32 bytes".into()))
}

/// Signs with the key of a folder.
pub(crate) fn signer(folder: &Path) -> Result<KeySigner, Failure> {
    Ok(KeySigner::new(SecretKey::from_bytes(&key_bytes(folder)?)))
}

/// The seed of a payer's chains.
pub(crate) fn seed(folder: &Path) -> Result<Seed, Failure> {
    Ok(Seed::new(key_bytes(folder)?).derive("channels"))
}

impl Desk {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, Failure> {
        let store = FileChannelStore::open(&folder, 1 << 20).map_err(|error| Failure::failed(&error))?;
        Ok(Self { folder, store, waiting: Vec::new(), events: Vec::new() })
    }

    pub(crate) fn log(&mut self) -> Result<Log, Failure> {
        self.store.load().map_err(|error| Failure::failed(&error))
    }

    /// Notes that the channel is over, so that a process that is started again after that knows.
    pub(crate) fn note_settled(&self, claimed: Units) -> Result<(), Failure> {
        let text = claimed.get().to_string();
        write_private(&self.folder.join("settled"), text.as_bytes()).map_err(|error| Failure::failed(&error))
    }

    /// What was claimed in all, if the channel is over.
    pub(crate) fn settled(&self) -> Option<u64> {
        std::fs::read_to_string(self.folder.join("settled")).ok()?.parse().ok()
    }

    /// Does what a machine asks for: first all that goes into the log, with one sync, then what has waited for it.
    pub(crate) fn carry_out<M: Machine>(&mut self, machine: &mut M, outside: &mut Outside) -> Result<(), Failure> {
        loop {
            let mut durable = None;
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Persist { id, record } => {
                        self.store.append(id, &record).map_err(|error| Failure::failed(&error))?;
                    }
                    Output::Event(event) => self.events.push(event),
                    other => self.waiting.push(other),
                }
            }
            if self.waiting.is_empty() {
                outside.link.flush();
                // Whatever was written and not asked about is made durable, too.
                return self.store.sync().map(drop).map_err(|error| Failure::failed(&error));
            }
            for output in std::mem::take(&mut self.waiting) {
                let durable = match durable {
                    Some(durable) => durable,
                    None => *durable.insert(self.store.sync().map_err(|error| Failure::failed(&error))?),
                };
                match output {
                    Output::Send { session, message } => {
                        let message = message.open(durable).map_err(|_| early())?;
                        outside.link.send(session, M::HALF, &message);
                    }
                    Output::Sign { request, what } => {
                        let what: ToSign = what.open(durable).map_err(|_| early())?;
                        let signature = outside.signer.sign(&what.as_signable());
                        let signature = signature.map_err(|error| Failure::failed(&error))?;
                        // Without a connection nobody gets what it is for, and it will be asked for again.
                        let session = outside.link.session().unwrap_or(Session::new(0));
                        machine.handle_signed(request, session, signature)?;
                    }
                    Output::Build { request, contract } => {
                        let transaction = outside.ledger.build(&outside.signer, Contract::clone(&contract))?;
                        machine.handle_built(request, transaction)?;
                    }
                    Output::Submit(transaction) => {
                        let transaction = transaction.open(durable).map_err(|_| early())?;
                        // What the ledger does not take shows in what it says of the channel.
                        outside.ledger.submit(&transaction)?;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A store that says something is durable which is not.
fn early() -> Failure {
    Failure::Failed("the log does not have what it was given".into())
}
