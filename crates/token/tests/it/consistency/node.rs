//! An account that pays and is paid: two machines, their logs, and what waits for these.

use super::keys::{TestSigner, schemes};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_token::channel::{
    ChannelStore as _, Durable, MemoryChannelStore, Output, Payee, PayeeConfig, Payer, PayerConfig, Session,
};
use unchoke_token::{ChannelId, Height, Lane, SignedTransaction, Signer as _, Units, UpdateId};

/// Which machine of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    Payer,
    Payee,
}

pub(crate) struct Node {
    pub(crate) number: u8,
    pub(crate) signer: TestSigner,
    pub(crate) payer: Payer,
    pub(crate) payee: Payee,
    pub(crate) logs: [Disk; 2],
    /// The height of the last view that each machine has seen.
    pub(crate) seen: [Height; 2],
    pub(crate) is_away: bool,
    pub(crate) refuses: bool,
    /// How often it has started again.
    pub(crate) restarts: usize,
    /// The last height at which it took over channels without a log.
    pub(crate) adopted: Option<Height>,
    /// What the payee held when it was looked at last.
    pub(crate) held: BTreeMap<(ChannelId, Lane), Units>,
    /// What the payee has told its owner last.
    pub(crate) credited: BTreeMap<(ChannelId, Lane), Units>,
}

/// A log, and what cannot be done before it is durable.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) store: MemoryChannelStore,
    pub(crate) durable: Durable,
    unwritten: VecDeque<(UpdateId, Vec<u8>)>,
    pub(crate) waiting: VecDeque<Output>,
}

/// Something that may be done now.
pub(crate) enum Deed {
    Send(Session, Vec<u8>),
    Submit(SignedTransaction),
    Event(unchoke_token::channel::Event),
}

impl Node {
    pub(crate) fn new(number: u8) -> Self {
        let signer = TestSigner::new(number + 1);
        let payer = Payer::new(payer_config(), seed(number));
        let payee = Payee::new(payee_config(), signer.address(), Arc::new(schemes()), seed(number).rng());
        let (logs, seen, held) = (Default::default(), [Height::new(0); 2], BTreeMap::new());
        Self {
            number,
            signer,
            payer,
            payee,
            logs,
            seen,
            is_away: false,
            refuses: false,
            restarts: 0,
            adopted: None,
            held,
            credited: BTreeMap::new(),
        }
    }

    /// Takes what a machine asks for, and does of it what can be done inside. The next thing that goes outside, if there is one.
    pub(crate) fn poll(
        &mut self,
        role: Role,
        sessions: &dyn Fn(ChannelId) -> Option<Session>,
        sign: &mut dyn FnMut(usize, unchoke_token::Contract) -> SignedTransaction,
    ) -> Option<Deed> {
        loop {
            let next = || match role {
                Role::Payer => self.payer.poll_output(),
                Role::Payee => self.payee.poll_output(),
            };
            let disk = &mut self.logs[role as usize];
            std::iter::from_fn(next).for_each(|output| disk.keep(output));
            let is_frozen = disk.write().is_err();
            self.freeze(role, is_frozen);
            let disk = &mut self.logs[role as usize];
            let durable = disk.durable;
            match disk.waiting.pop_front()? {
                Output::Sign { request, what } => {
                    let what = match what.open(durable) {
                        Ok(what) => what,
                        Err(what) => {
                            disk.waiting.push_front(Output::Sign { request, what });
                            return None;
                        }
                    };
                    let signature = (!self.refuses).then(|| self.signer.sign(&what.as_signable()).unwrap());
                    match (role, signature) {
                        (Role::Payer, Some(signature)) => drop(self.payer.handle_signed(request, signature)),
                        (Role::Payer, None) => self.payer.handle_refused(request),
                        (Role::Payee, Some(signature)) => {
                            let unchoke_token::channel::ToSign::Close(statement) = what else { panic!("{what:?}") };
                            match sessions(statement.channel) {
                                Some(session) => self.payee.handle_signed(request, session, signature).unwrap(),
                                None => self.payee.handle_refused(request),
                            }
                        }
                        (Role::Payee, None) => self.payee.handle_refused(request),
                    }
                }
                Output::Build { request, contract } => match role {
                    Role::Payer => {
                        let transaction = sign(self.number.into(), *contract);
                        drop(self.payer.handle_built(request, transaction));
                    }
                    Role::Payee if self.refuses => self.payee.handle_refused(request),
                    Role::Payee => {
                        let transaction = sign(self.number.into(), *contract);
                        self.payee.handle_built(request, transaction).unwrap();
                    }
                },
                Output::Send { session, message } => match message.open(durable) {
                    Ok(message) => return Some(Deed::Send(session, message.encode())),
                    Err(message) => {
                        disk.waiting.push_front(Output::Send { session, message });
                        return None;
                    }
                },
                Output::Submit(transaction) => match transaction.open(durable) {
                    Ok(transaction) => return Some(Deed::Submit(*transaction)),
                    Err(transaction) => {
                        disk.waiting.push_front(Output::Submit(transaction));
                        return None;
                    }
                },
                Output::Event(event) => return Some(Deed::Event(event)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn freeze(&mut self, role: Role, is_frozen: bool) {
        match (role, is_frozen) {
            (Role::Payer, true) => self.payer.handle_store_failure(),
            (Role::Payer, false) => self.payer.handle_store_recovery(),
            (Role::Payee, true) => self.payee.handle_store_failure(),
            (Role::Payee, false) => self.payee.handle_store_recovery(),
        }
    }

    /// Starts again with what is on disk: what was synced, and so many bytes of the rest.
    pub(crate) fn restart(&mut self, role: Role, keep: usize) {
        self.restarts += 1;
        let disk = &mut self.logs[role as usize];
        disk.store.crash();
        disk.store.restart(keep);
        let log = disk.store.load().unwrap();
        assert_eq!(log.damage, None);
        (disk.durable, disk.unwritten, disk.waiting) = (disk.store.sync().unwrap(), VecDeque::new(), VecDeque::new());
        match role {
            Role::Payer => {
                self.payer = Payer::restore(payer_config(), seed(self.number), &log).unwrap();
            }
            Role::Payee => {
                let (address, schemes) = (self.signer.address(), Arc::new(schemes()));
                let restored = Payee::restore(payee_config(), address, schemes, seed(self.number).rng(), &log);
                self.payee = restored.unwrap();
                (self.held, self.credited) = (BTreeMap::new(), BTreeMap::new());
            }
        }
        // 26, 27: its snapshot stands for the log that it came from.
        let mut snapshot = MemoryChannelStore::default();
        let records = self.snapshot(role);
        // 30: what is kept of a channel and its two lanes is bounded.
        let channels = if role == Role::Payer { self.payer.channels().count() } else { self.payee.channels().count() };
        assert!(records.len() <= 9 * channels, "{} records for {channels} channels", records.len());
        snapshot.replace(&records).unwrap();
        let log = snapshot.load().unwrap();
        let mut again = match role {
            Role::Payer => Payer::restore(payer_config(), seed(self.number), &log).unwrap().snapshot(),
            Role::Payee => {
                let (address, schemes) = (self.signer.address(), Arc::new(schemes()));
                Payee::restore(payee_config(), address, schemes, seed(0).rng(), &log).unwrap().snapshot()
            }
        };
        let mut records = records;
        records.sort();
        again.sort();
        assert_eq!(records, again);
        // Views come anew.
        self.seen[role as usize] = Height::new(0);
    }

    /// The payer's log is gone.
    pub(crate) fn lose(&mut self) {
        self.logs[0] = Disk::default();
        self.payer = Payer::new(payer_config(), seed(self.number));
        self.seen[0] = Height::new(0);
    }

    pub(crate) fn snapshot(&self, role: Role) -> Vec<Vec<u8>> {
        match role {
            Role::Payer => self.payer.snapshot(),
            Role::Payee => self.payee.snapshot(),
        }
    }
}

impl Disk {
    fn write(&mut self) -> Result<(), ()> {
        while let Some((id, record)) = self.unwritten.front() {
            self.store.append(*id, record).map_err(|_| ())?;
            self.unwritten.pop_front();
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self) {
        let _ = self.write();
        if let Ok(durable) = self.store.sync() {
            self.durable = durable;
        }
    }

    /// Takes what a machine asks for, to be done later.
    pub(crate) fn keep(&mut self, output: Output) {
        match output {
            Output::Persist { id, record } => self.unwritten.push_back((id, record)),
            other => self.waiting.push_back(other),
        }
    }

    /// All is written, and nothing waits.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unwritten.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn replace(&mut self, snapshot: &[Vec<u8>]) {
        if self.unwritten.is_empty()
            && let Ok(durable) = self.store.replace(snapshot)
        {
            self.durable = durable;
        }
    }
}

fn seed(number: u8) -> Seed {
    Seed::new([number; 32])
}

fn payer_config() -> PayerConfig {
    let mut config = PayerConfig::default();
    (config.reserve, config.ticks, config.open_window) = (5, 20, 12);
    config
}

fn payee_config() -> PayeeConfig {
    let mut config = PayeeConfig::default();
    (config.flush_ticks, config.min_life, config.flush_after) = (4, 5, Duration::from_millis(500));
    config.open_window = 12;
    config
}

/// A time to begin with.
pub(crate) fn start() -> Instant {
    Instant::now()
}
