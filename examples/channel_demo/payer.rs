//! The process that pays.

use crate::ledger::Client;
use crate::reported;
use crate::side::{Machine, SESSION, Side, note_settled, seed, settled};
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unchoke_examples::{Failure, say};
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::channel::{Disposition, Event, Fault, Message, Output, Payer, PayerConfig, PayerPhase, Request};
use unchoke_token::contract::{ChannelOpen, Contract};
use unchoke_token::{Address, ChannelId, Lane, SchemeId, Schemes, SignedTransaction, Signer as _, Units};

const LANE: Lane = Lane::new(0);
/// Ticks that may be out and not acknowledged.
const WINDOW: u64 = 2048;
/// Ticks that are paid between two looks at what has come.
const STEP: u32 = 64;

impl Machine for Payer {
    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn handle_signed(&mut self, request: Request, signature: Vec<u8>) -> Result<(), Failure> {
        Self::handle_signed(self, request, signature).map_err(|error| Failure::failed(&error))
    }

    fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Failure> {
        Self::handle_built(self, request, transaction).map_err(|error| Failure::failed(&error))
    }
}

pub(crate) fn run(ledger: SocketAddr, folder: &Path, ticks: u64) -> Result<(), Failure> {
    reported(work(ledger, folder, ticks))
}

fn work(ledger: SocketAddr, folder: &Path, ticks: u64) -> Result<(), Failure> {
    if let Some(claimed) = settled(folder) {
        return say(json!({ "settled": claimed }));
    }
    let mut side = Side::new(Client::connect(ledger)?, folder)?;
    let log = side.log()?;
    let mut config = PayerConfig::default();
    (config.reserve, config.ticks) = (1024, 16_384);
    let payer = Payer::restore(config, seed(folder)?, &log).map_err(|error| Failure::failed(&error))?;
    let schemes = Schemes::default();
    let mut work = Work { side, payer, ticks, looked: None, acked: 0, schemes, folder: folder.to_owned() };
    let known = work.payer.channels().next();
    let id = match known {
        Some(id) => id,
        None => work.open(folder)?,
    };
    work.pay(id)
}

struct Work {
    side: Side,
    payer: Payer,
    ticks: u64,
    looked: Option<Instant>,
    acked: u64,
    schemes: Schemes,
    folder: PathBuf,
}

impl Work {
    /// Opens a channel for the payee, whose address lies beside our folder.
    fn open(&mut self, folder: &Path) -> Result<ChannelId, Failure> {
        let payee: Address = crate::side::signer(&folder.with_file_name("payee"))?.address();
        let height = self.side.ledger.reference()?.height;
        let open = ChannelOpen {
            owner_address: self.side.signer.address().as_bytes().to_vec(),
            payee_address: payee.as_bytes().to_vec(),
            asset_name: b"_".to_vec(),
            deposit: self.ticks.saturating_add(10).cast_signed(),
            voucher_scheme: SchemeId::ED25519.get().into(),
            voucher_key: self.side.signer.public_key(),
            salt: rand::random::<[u8; 16]>().to_vec(),
            ledger: self.side.ledger.id().as_bytes().to_vec(),
            opened_at: height.get().cast_signed(),
            dispute: 1200,
            ..ChannelOpen::default()
        };
        let transaction = self.side.ledger.build(&self.side.signer, Contract::ChannelOpen(open))?;
        let id = self.payer.open(transaction).map_err(|error| Failure::failed(&error))?;
        self.side.carry_out(&mut self.payer)?;
        Ok(id)
    }

    fn pay(&mut self, id: ChannelId) -> Result<(), Failure> {
        let mut is_arming = false;
        loop {
            self.look(id)?;
            if let Some(claimed) = settled(&self.folder) {
                return say(json!({ "settled": claimed }));
            }
            if !self.side.is_connected() {
                self.payer.disconnect(SESSION);
                is_arming = false;
                self.meet(id)?;
            }
            let paid = self.payer.paid(&id, LANE).get();
            let is_open = self.payer.phase(&id) == Some(PayerPhase::Open);
            let may_pay = is_open && paid < self.ticks && paid.saturating_sub(self.acked) < WINDOW;
            if may_pay {
                let left = self.payer.ticks_left(&id, LANE);
                let wanted = u32::try_from(self.ticks.saturating_sub(paid)).unwrap_or(u32::MAX).min(STEP).min(left);
                let outcome = if wanted > 0 {
                    // One by one, as blocks come.
                    (0..wanted).try_for_each(|_| self.payer.pay(id, LANE, 1))
                } else if is_arming {
                    Ok(())
                } else {
                    let one = Units::new(1).unwrap_or(Units::ZERO);
                    self.payer.arm(id, LANE, Units::ZERO, one).map(|()| is_arming = true)
                };
                match outcome {
                    Ok(()) | Err(Fault::Disconnected) => {}
                    Err(fault) => return Err(Failure::failed(&fault)),
                }
            }
            self.side.carry_out(&mut self.payer)?;
            let wait = if may_pay && !is_arming { Duration::ZERO } else { Duration::from_millis(5) };
            for message in self.side.receive(wait).unwrap_or_default() {
                let tells_what_it_holds = matches!(message, Message::Held { .. });
                let outcome = self.payer.handle_message(SESSION, message, &self.schemes);
                if let Err(fault) = outcome
                    && fault.disposition() == Disposition::Strike
                {
                    return Err(Failure::failed(&fault));
                }
                if tells_what_it_holds {
                    self.acked = self.payer.paid(&id, LANE).get();
                }
            }
            self.side.carry_out(&mut self.payer)?;
            for event in std::mem::take(&mut self.side.events) {
                match event {
                    Event::Armed { .. } => is_arming = false,
                    Event::Receipt { total, .. } => self.acked = self.acked.max(total.get()),
                    _ => {}
                }
            }
        }
    }

    /// Looks at the ledger's view of the channel, now and then.
    fn look(&mut self, id: ChannelId) -> Result<(), Failure> {
        if self.looked.is_some_and(|at| at.elapsed() < Duration::from_millis(50)) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let height = self.side.ledger.reference()?.height;
        if let Some(view) = self.side.ledger.channel(id)? {
            if let Some(view) = view.as_ref().filter(|view| view.phase() == Phase::Done) {
                note_settled(&self.folder, view.claimed())?;
            }
            self.payer.handle_channel(height, id, view.as_ref());
        }
        self.side.carry_out(&mut self.payer)
    }

    /// Finds the payee and asks what it holds.
    fn meet(&mut self, id: ChannelId) -> Result<(), Failure> {
        let stream = self.side.ledger.meeting()?.and_then(|at| TcpStream::connect(at).ok());
        let Some(stream) = stream else {
            std::thread::sleep(Duration::from_millis(10));
            return Ok(());
        };
        self.side.connect(stream)?;
        // What was not acknowledged before may be lost.
        self.acked = 0;
        self.payer.connect(id, SESSION).map_err(|error| Failure::failed(&error))?;
        self.side.carry_out(&mut self.payer)
    }
}
