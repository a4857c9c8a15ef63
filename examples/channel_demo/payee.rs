//! The half of a process that is paid.

use crate::link::Half;
use crate::machine::{Desk, Machine, Outside};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_examples::Failure;
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::channel::{Channel, Fault, Message, Output, Payee, PayeeConfig, PayeePhase, Request, Session};
use unchoke_token::{ChannelId, Schemes, SignedTransaction, Signer as _, Units};

impl Machine for Payee {
    const HALF: Half = Half::Payee;

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn handle_signed(&mut self, request: Request, session: Session, signature: Vec<u8>) -> Result<(), Failure> {
        Self::handle_signed(self, request, session, signature).map_err(|error| Failure::failed(&error))
    }

    fn handle_built(&mut self, request: Request, transaction: SignedTransaction) -> Result<(), Failure> {
        Self::handle_built(self, request, transaction).map_err(|error| Failure::failed(&error))
    }
}

/// Takes what comes through one channel until it is all, and has it closed then.
pub(crate) struct Earning {
    payee: Payee,
    desk: Desk,
    /// What is to be paid in all.
    all: Units,
    channel: Option<ChannelId>,
    session: Option<Session>,
    looked: Option<Instant>,
    proposed: Option<Instant>,
    settled: Option<u64>,
}

impl Earning {
    pub(crate) fn begin(outside: &mut Outside, folder: &Path, all: Units) -> Result<Self, Failure> {
        let mut desk = Desk::open(folder.join("payee"))?;
        let mut config = PayeeConfig::default();
        config.flush_ticks = 256;
        let rng = Seed::new(rand::random()).rng();
        let (address, schemes) = (outside.signer.address(), Arc::new(Schemes::default()));
        let payee = Payee::restore(config, address, schemes, rng, &desk.log()?);
        let payee = payee.map_err(|error| Failure::failed(&error))?;
        let (channel, settled) = (payee.channels().next(), desk.settled());
        let (session, looked, proposed) = (None, None, None);
        let mut earning = Self { payee, desk, all, channel, session, looked, proposed, settled };
        // Nothing counts before the ledger has told of the channel.
        earning.look(outside)?;
        Ok(earning)
    }

    /// What was paid so far.
    pub(crate) fn held(&self) -> u64 {
        self.settled.unwrap_or_else(|| self.channel.map_or(0, |id| self.payee.held(&id).get()))
    }

    /// What was paid in all, once the channel is over.
    pub(crate) const fn settled(&self) -> Option<u64> {
        self.settled
    }

    pub(crate) fn handle_message(&mut self, outside: &mut Outside, message: Message) -> Result<(), Failure> {
        let Some(session) = self.greet(outside).filter(|_| self.settled.is_none()) else { return Ok(()) };
        // Messages name channels; the ledger says whether it is ours.
        if let Message::Reestablish { channel, .. } = &message
            && self.payee.phase(channel).is_none()
        {
            self.channel.get_or_insert(*channel);
            self.look(outside)?;
        }
        if let Err(fault) = self.payee.handle_message(Instant::now(), session, message) {
            refuse(outside, &fault);
        }
        Ok(())
    }

    pub(crate) fn go_on(&mut self, outside: &mut Outside) -> Result<(), Failure> {
        if self.settled.is_some() {
            return Ok(());
        }
        let session = self.greet(outside);
        self.payee.handle_timeout(Instant::now());
        if self.looked.is_none_or(|at| at.elapsed() > Duration::from_millis(50)) {
            self.look(outside)?;
        }
        self.desk.carry_out(&mut self.payee, outside)?;
        while let Some((of, fault)) = self.payee.poll_fault() {
            if Some(of) == session {
                refuse(outside, &fault);
            }
        }
        // Once all is paid, both may close; should the payer be away, it is asked again.
        if let Some(id) = self.channel
            && session.is_some()
            && (self.payee.held(&id) >= self.all
                || matches!(self.payee.phase(&id), Some(PayeePhase::CoopClosing { .. })))
            && self.proposed.is_none_or(|at| at.elapsed() > Duration::from_millis(500))
        {
            let height = outside.ledger.reference()?.height;
            // It is closing already if this is refused.
            let _ = self.payee.propose_close(id, height.saturating_add(1000));
            self.proposed = Some(Instant::now());
            self.desk.carry_out(&mut self.payee, outside)?;
        }
        self.desk.events.clear();
        Ok(())
    }

    /// The session that there is. The last one has ended, if that was another.
    fn greet(&mut self, outside: &Outside) -> Option<Session> {
        let session = outside.link.session();
        if let Some(before) = self.session.filter(|_| self.session != session) {
            self.payee.disconnect(before);
        }
        self.session = session;
        session
    }

    fn look(&mut self, outside: &mut Outside) -> Result<(), Failure> {
        self.looked = Some(Instant::now());
        let Some(id) = self.channel else { return Ok(()) };
        let height = outside.ledger.reference()?.height;
        let Some(view) = outside.ledger.channel(id)? else { return Ok(()) };
        if let Some(view) = view.as_ref().filter(|view| view.phase() == Phase::Done) {
            self.desk.note_settled(view.claimed())?;
            self.settled = Some(view.claimed().get());
        }
        let limit = view.as_ref().and_then(Channel::deposit).unwrap_or(Units::ZERO);
        self.payee.handle_channel(height, id, view.as_ref(), limit).map_err(|error| Failure::failed(&error))
    }
}

/// What was not taken has to come again, in a new session, unless it is old, or it is too late for it.
fn refuse(outside: &mut Outside, fault: &Fault) {
    if !matches!(fault, Fault::Stale | Fault::Phase(_)) {
        outside.link.hang_up();
    }
}
