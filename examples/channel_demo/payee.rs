//! The process that is paid.

use crate::ledger::Client;
use crate::reported;
use crate::side::{Machine, SESSION, Side, note_settled, settled};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_examples::{Failure, say};
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::channel::{Channel, Fault, Message, Output, Payee, PayeeConfig, PayeePhase, Request};
use unchoke_token::{ChannelId, Lane, Schemes, SignedTransaction, Signer as _, Units};

impl Machine for Payee {
    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn handle_signed(&mut self, request: Request, signature: Vec<u8>) -> Result<(), Failure> {
        Self::handle_signed(self, request, SESSION, signature).map_err(|error| Failure::failed(&error))
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
    let mut config = PayeeConfig::default();
    config.flush_ticks = 256;
    let rng = Seed::new(rand::random()).rng();
    let address = side.signer.address();
    let payee = Payee::restore(config, address, Arc::new(Schemes::default()), rng, &log);
    let mut payee = payee.map_err(|error| Failure::failed(&error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| Failure::failed(&error))?;
    listener.set_nonblocking(true).map_err(|error| Failure::failed(&error))?;
    let meeting = listener.local_addr().map_err(|error| Failure::failed(&error))?;
    side.ledger.tell_meeting(meeting)?;
    let (mut told, mut looked, mut asked) = (u64::MAX, None::<Instant>, None);
    let mut known: Vec<ChannelId> = payee.channels().collect();
    // Nothing counts before the ledger has told of the channel.
    look(&mut side, &mut payee, &known, folder)?;
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).map_err(|error| Failure::failed(&error))?;
            payee.disconnect(SESSION);
            side.connect(stream)?;
        }
        match side.receive(Duration::from_millis(5)) {
            Some(messages) => {
                for message in messages {
                    learn(&mut known, &message);
                    if !known.is_empty() && payee.channels().count() < known.len() {
                        look(&mut side, &mut payee, &known, folder)?;
                    }
                    let outcome = payee.handle_message(Instant::now(), SESSION, message);
                    if let Err(fault) = outcome {
                        refuse(&mut side, &fault);
                    }
                }
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        payee.handle_timeout(Instant::now());
        while let Some((_, fault)) = payee.poll_fault() {
            refuse(&mut side, &fault);
        }
        if looked.is_none_or(|at| at.elapsed() > Duration::from_millis(50)) {
            look(&mut side, &mut payee, &known, folder)?;
            looked = Some(Instant::now());
        }
        side.carry_out(&mut payee)?;
        // Once all is paid, both may close; should the payer be away, it is asked again.
        let is_all = |id: &&ChannelId| {
            payee.held(id).get() >= ticks || matches!(payee.phase(id), Some(PayeePhase::CoopClosing { .. }))
        };
        if let Some(id) = known.first().filter(|id| side.is_connected() && is_all(id))
            && asked.is_none_or(|at: Instant| at.elapsed() > Duration::from_millis(500))
        {
            let height = side.ledger.reference()?.height;
            // It is closing already if this is refused.
            let _ = payee.propose_close(*id, height.saturating_add(1000));
            asked = Some(Instant::now());
            side.carry_out(&mut payee)?;
        }
        let paid = known.first().map_or(0, |id| payee.paid(id, Lane::new(0)).get());
        if paid != told {
            say(json!({ "paid": paid }))?;
            told = paid;
        }
        side.events.clear();
        if let Some(claimed) = settled(folder) {
            return say(json!({ "settled": claimed }));
        }
    }
}

/// What was not taken has to come again, in a new session, unless it is old, or it is too late for it.
fn refuse(side: &mut Side, fault: &Fault) {
    if !matches!(fault, Fault::Stale | Fault::Phase(_)) {
        side.hang_up();
    }
}

/// Messages name channels; the ledger says which of them are ours.
fn learn(known: &mut Vec<ChannelId>, message: &Message) {
    if let Message::Reestablish { channel, .. } = message
        && !known.contains(channel)
    {
        known.push(*channel);
    }
}

fn look(side: &mut Side, payee: &mut Payee, known: &[ChannelId], folder: &Path) -> Result<(), Failure> {
    let height = side.ledger.reference()?.height;
    for id in known {
        let Some(view) = side.ledger.channel(*id)? else { continue };
        if let Some(view) = view.as_ref().filter(|view| view.phase() == Phase::Done) {
            note_settled(folder, view.claimed())?;
        }
        let limit = view.as_ref().and_then(Channel::deposit).unwrap_or(Units::ZERO);
        payee.handle_channel(height, *id, view.as_ref(), limit).map_err(|error| Failure::failed(&error))?;
    }
    Ok(())
}
