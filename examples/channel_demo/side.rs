//! What payer and payee have in common: a key, a log, a connection, and that nothing leaves before it is durable.

use crate::ledger::{Client, read, write};
use std::io::{BufReader, BufWriter, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_examples::Failure;
use unchoke_token::channel::{ChannelStore, Event, FileChannelStore, Message, Output, Request, Session, ToSign};
use unchoke_token::contract::Contract;
use unchoke_token::{KeySigner, SignedTransaction, Signer as _, Units};

/// There is one connection at a time.
pub(crate) const SESSION: Session = Session::new(1);

/// A machine's surroundings.
pub(crate) struct Side {
    pub(crate) ledger: Client,
    pub(crate) signer: KeySigner,
    store: FileChannelStore,
    /// What waits for the log.
    waiting: Vec<Output>,
    peer: Option<Peer>,
    pub(crate) events: Vec<Event>,
}

/// The other side's process.
struct Peer {
    out: BufWriter<TcpStream>,
    incoming: Receiver<Message>,
}

/// A payer or payee, as far as both are alike.
pub(crate) trait Machine {
    fn poll_output(&mut self) -> Option<Output>;
    fn handle_signed(&mut self, request: Request, signature: Vec<u8>) -> Result<(), Failure>;
    fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Failure>;
}

/// Writes the seed of a key.
pub(crate) fn write_key(folder: &Path, seed: &Seed) -> Result<(), Failure> {
    let mut bytes = [0; 32];
    seed.rng().fill(&mut bytes);
    std::fs::create_dir_all(folder).map_err(|error| Failure::failed(&error))?;
    std::fs::write(folder.join("key"), bytes).map_err(|error| Failure::failed(&error))
}

/// Notes that the channel is over, so that a process that is started again after that knows.
pub(crate) fn note_settled(folder: &Path, claimed: Units) -> Result<(), Failure> {
    let beside = folder.join("settled.new");
    std::fs::write(&beside, claimed.get().to_string()).map_err(|error| Failure::failed(&error))?;
    std::fs::rename(&beside, folder.join("settled")).map_err(|error| Failure::failed(&error))
}

/// What was claimed in all, if the channel is over.
pub(crate) fn settled(folder: &Path) -> Option<u64> {
    std::fs::read_to_string(folder.join("settled")).ok()?.parse().ok()
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

impl Side {
    pub(crate) fn new(ledger: Client, folder: &Path) -> Result<Self, Failure> {
        let store = FileChannelStore::open(folder, 1 << 20).map_err(|error| Failure::failed(&error))?;
        let (waiting, events) = (Vec::new(), Vec::new());
        Ok(Self { ledger, signer: signer(folder)?, store, waiting, peer: None, events })
    }

    pub(crate) fn log(&mut self) -> Result<unchoke_token::channel::Log, Failure> {
        self.store.load().map_err(|error| Failure::failed(&error))
    }

    /// Takes a connection in place of the last one.
    pub(crate) fn connect(&mut self, stream: TcpStream) -> Result<(), Failure> {
        stream.set_nodelay(true).map_err(|error| Failure::failed(&error))?;
        let mut input = BufReader::new(stream.try_clone().map_err(|error| Failure::failed(&error))?);
        // What is not taken fills the socket, and the other side waits.
        let (sender, incoming) = sync_channel(4096);
        std::thread::spawn(move || {
            while let Ok(bytes) = read(&mut input)
                && let Ok(message) = Message::decode(&bytes)
                && sender.send(message).is_ok()
            {}
        });
        self.peer = Some(Peer { out: BufWriter::new(stream), incoming });
        Ok(())
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.peer.is_some()
    }

    /// Ends the connection; the payer makes another.
    pub(crate) fn hang_up(&mut self) {
        if let Some(peer) = self.peer.take() {
            // One that is gone is ended, too.
            let _ = peer.out.get_ref().shutdown(std::net::Shutdown::Both);
        }
    }

    /// The messages that have come, after a while at most. `None` when the connection is gone.
    pub(crate) fn receive(&mut self, wait: Duration) -> Option<Vec<Message>> {
        let peer = self.peer.as_mut()?;
        let mut all = Vec::new();
        if !wait.is_zero() {
            all.extend(peer.incoming.recv_timeout(wait));
        }
        loop {
            match peer.incoming.try_recv() {
                Ok(message) => all.push(message),
                Err(TryRecvError::Empty) => return Some(all),
                Err(TryRecvError::Disconnected) if !all.is_empty() => return Some(all),
                Err(TryRecvError::Disconnected) => {
                    self.peer = None;
                    return None;
                }
            }
        }
    }

    /// Does what a machine asks for: first all that goes into the log, with one sync, then what has waited for it.
    pub(crate) fn carry_out(&mut self, machine: &mut impl Machine) -> Result<(), Failure> {
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
                return self.flush();
            }
            for output in std::mem::take(&mut self.waiting) {
                let durable = match durable {
                    Some(durable) => durable,
                    None => *durable.insert(self.store.sync().map_err(|error| Failure::failed(&error))?),
                };
                match output {
                    Output::Send { message, .. } => {
                        let message = message.open(durable).map_err(|_| early())?;
                        self.send(&message);
                    }
                    Output::Sign { request, what } => {
                        let what: ToSign = what.open(durable).map_err(|_| early())?;
                        let signature =
                            self.signer.sign(&what.as_signable()).map_err(|error| Failure::failed(&error))?;
                        machine.handle_signed(request, signature)?;
                    }
                    Output::Build { request, contract } => {
                        let transaction = self.ledger.build(&self.signer, Contract::clone(&contract))?;
                        machine.handle_built(request, transaction)?;
                    }
                    Output::Submit(transaction) => {
                        let transaction = transaction.open(durable).map_err(|_| early())?;
                        // What the ledger does not take shows in what it says of the channel.
                        self.ledger.submit(&transaction)?;
                    }
                    _ => {}
                }
            }
        }
    }

    fn send(&mut self, message: &Message) {
        if let Some(peer) = &mut self.peer
            && write(&mut peer.out, &message.encode()).is_err()
        {
            self.peer = None;
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.peer.as_mut().is_some_and(|peer| peer.out.flush().is_err()) {
            self.peer = None;
        }
        // Whatever was written and not asked about is made durable, too.
        self.store.sync().map(drop).map_err(|error| Failure::failed(&error))
    }
}

/// A store that says something is durable which is not.
fn early() -> Failure {
    Failure::Failed("the log does not have what it was given".into())
}
