//! The half of a process that pays.

use crate::link::Half;
use crate::machine::{Desk, Machine, Outside, seed};
use std::path::Path;
use std::time::{Duration, Instant};
use unchoke_examples::Failure;
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::channel::{
    Disposition, Event, Fault, Message, Output, Payer, PayerConfig, PayerPhase, Request, Session,
};
use unchoke_token::contract::{ChannelOpen, Contract};
use unchoke_token::{Address, ChannelId, Lane, SchemeId, Schemes, SignedTransaction, Signer as _, Units};

const LANE: Lane = Lane::new(0);
/// Ticks that may be out and not acknowledged.
const WINDOW: u64 = 2048;
/// Ticks that are paid between two looks at what has come.
const STEP: u32 = 64;

impl Machine for Payer {
    const HALF: Half = Half::Payer;

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn handle_signed(&mut self, request: Request, _: Session, signature: Vec<u8>) -> Result<(), Failure> {
        Self::handle_signed(self, request, signature).map_err(|error| Failure::failed(&error))
    }

    fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Failure> {
        Self::handle_built(self, request, transaction).map_err(|error| Failure::failed(&error))
    }
}

/// What is to be paid.
pub(crate) struct Bill {
    pub(crate) payee: Address,
    pub(crate) ticks: u64,
    /// What each is worth.
    pub(crate) value: u64,
}

/// Pays a bill, tick by tick, through one channel.
pub(crate) struct Paying {
    payer: Payer,
    desk: Desk,
    bill: Bill,
    channel: Option<ChannelId>,
    session: Option<Session>,
    is_arming: bool,
    looked: Option<Instant>,
    /// Ticks that the payee has.
    acked: u64,
    schemes: Schemes,
    settled: Option<u64>,
}

impl Paying {
    pub(crate) fn begin(outside: &mut Outside, folder: &Path, bill: Bill) -> Result<Self, Failure> {
        let mut desk = Desk::open(folder.join("payer"))?;
        let mut config = PayerConfig::default();
        (config.reserve, config.ticks) = (1024, 16_384);
        let payer = Payer::restore(config, seed(folder)?, &desk.log()?).map_err(|error| Failure::failed(&error))?;
        let (channel, settled) = (payer.channels().next(), desk.settled());
        let (session, is_arming, looked, acked, schemes) = (None, false, None, 0, Schemes::default());
        let mut paying = Self { payer, desk, bill, channel, session, is_arming, looked, acked, schemes, settled };
        if paying.channel.is_none() && paying.settled.is_none() {
            paying.open(outside)?;
        }
        Ok(paying)
    }

    fn open(&mut self, outside: &mut Outside) -> Result<(), Failure> {
        let height = outside.ledger.reference()?.height;
        let open = ChannelOpen {
            owner_address: outside.signer.address().as_bytes().to_vec(),
            payee_address: self.bill.payee.as_bytes().to_vec(),
            asset_name: b"_".to_vec(),
            deposit: self.bill.ticks.saturating_mul(self.bill.value).saturating_add(10).cast_signed(),
            voucher_scheme: SchemeId::ED25519.get().into(),
            voucher_key: outside.signer.public_key(),
            salt: rand::random::<[u8; 16]>().to_vec(),
            ledger: outside.ledger.id().as_bytes().to_vec(),
            opened_at: height.get().cast_signed(),
            dispute: 1200,
            ..ChannelOpen::default()
        };
        let transaction = outside.ledger.build(&outside.signer, Contract::ChannelOpen(open))?;
        self.channel = Some(self.payer.open(transaction).map_err(|error| Failure::failed(&error))?);
        self.desk.carry_out(&mut self.payer, outside)
    }

    /// What was claimed in all, once the channel is over.
    pub(crate) const fn settled(&self) -> Option<u64> {
        self.settled
    }

    pub(crate) fn handle_message(&mut self, outside: &Outside, message: Message) -> Result<(), Failure> {
        let (Some(session), Some(id)) = (self.greet(outside), self.channel) else { return Ok(()) };
        let tells_what_it_holds = matches!(message, Message::Held { .. });
        if let Err(fault) = self.payer.handle_message(session, message, &self.schemes)
            && fault.disposition() == Disposition::Strike
        {
            return Err(Failure::failed(&fault));
        }
        if tells_what_it_holds {
            self.acked = self.paid(id);
        }
        Ok(())
    }

    /// Pays a few ticks, if that can be done now. Tells whether there is more to do at once.
    pub(crate) fn go_on(&mut self, outside: &mut Outside) -> Result<bool, Failure> {
        let Some(id) = self.channel.filter(|_| self.settled.is_none()) else { return Ok(false) };
        self.look(id, outside)?;
        self.greet(outside);
        // The payee is asked what it holds once the ledger can tell it of the channel.
        if let Some(session) = outside.link.session().filter(|_| self.session.is_none())
            && self.payer.phase(&id).is_some_and(|phase| phase != PayerPhase::Funding)
        {
            self.payer.connect(id, session).map_err(|error| Failure::failed(&error))?;
            // What was not acknowledged before may be lost.
            (self.session, self.is_arming, self.acked) = (Some(session), false, 0);
        }
        let paid = self.paid(id);
        let may_pay = self.session.is_some()
            && self.payer.phase(&id) == Some(PayerPhase::Open)
            && paid < self.bill.ticks
            && paid.saturating_sub(self.acked) < WINDOW;
        if may_pay {
            match self.pay(id, self.bill.ticks.saturating_sub(paid)) {
                Ok(()) | Err(Fault::Disconnected) => {}
                Err(fault) => return Err(Failure::failed(&fault)),
            }
        }
        self.desk.carry_out(&mut self.payer, outside)?;
        for event in std::mem::take(&mut self.desk.events) {
            match event {
                Event::Armed { .. } => self.is_arming = false,
                Event::Receipt { total, .. } => self.acked = self.acked.max(self.ticks(total)),
                _ => {}
            }
        }
        Ok(may_pay && !self.is_arming)
    }

    fn pay(&mut self, id: ChannelId, rest: u64) -> Result<(), Fault> {
        let left = self.payer.ticks_left(&id, LANE);
        let wanted = u32::try_from(rest).unwrap_or(u32::MAX).min(STEP).min(left);
        if wanted > 0 {
            // One by one, as blocks come.
            return (0..wanted).try_for_each(|_| self.payer.pay(id, LANE, 1));
        }
        if !self.is_arming {
            let value = Units::new(self.bill.value).unwrap_or(Units::MAX);
            self.payer.arm(id, LANE, Units::ZERO, value)?;
            self.is_arming = true;
        }
        Ok(())
    }

    /// The session in which the payee was asked, if that has not ended.
    fn greet(&mut self, outside: &Outside) -> Option<Session> {
        if let Some(before) = self.session.filter(|it| outside.link.session() != Some(*it)) {
            self.payer.disconnect(before);
            self.session = None;
        }
        self.session
    }

    fn paid(&self, id: ChannelId) -> u64 {
        self.ticks(self.payer.paid(&id, LANE))
    }

    fn ticks(&self, units: Units) -> u64 {
        units.get().checked_div(self.bill.value).unwrap_or(0)
    }

    /// Looks at the ledger's view of the channel, now and then.
    fn look(&mut self, id: ChannelId, outside: &mut Outside) -> Result<(), Failure> {
        if self.looked.is_some_and(|at| at.elapsed() < Duration::from_millis(50)) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let height = outside.ledger.reference()?.height;
        let Some(view) = outside.ledger.channel(id)? else { return Ok(()) };
        if let Some(view) = view.as_ref().filter(|view| view.phase() == Phase::Done) {
            self.desk.note_settled(view.claimed())?;
            self.settled = Some(view.claimed().get());
        }
        self.payer.handle_channel(height, id, view.as_ref());
        Ok(())
    }
}
