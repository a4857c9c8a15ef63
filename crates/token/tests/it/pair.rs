//! A payer and a payee, their logs, and the ledger between them.

use crate::world::{World, units};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_token::channel::{
    ChannelStore as _, Event, Fault, MemoryChannelStore, Message, Output, Payee, PayeeConfig, PayeePhase, Payer,
    PayerConfig, Session,
};
use unchoke_token::contract::{ChannelClose, Contract};
use unchoke_token::ledger::Ledger as _;
use unchoke_token::voucher::CloseStatement;
use unchoke_token::{AssetId, ChannelId, Height, Lane, Schemes, Signable, Signer as _};

pub(crate) const SESSION: Session = Session::new(1);
pub(crate) const LANE: Lane = Lane::new(0);

/// Account 0 pays account 1; account 2 watches, where there is a watcher.
pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) payer: Payer,
    pub(crate) payee: Payee,
    pub(crate) logs: [MemoryChannelStore; 2],
    pub(crate) to_payee: VecDeque<Message>,
    pub(crate) to_payer: VecDeque<Message>,
    pub(crate) events: Vec<Event>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) now: Instant,
    /// Transactions are lost on their way.
    pub(crate) deaf_ledger: bool,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let world = World::new(3, |params| {
            params.channels.min_dispute = 5;
            params.channels.extension = 2;
        });
        let mut config = PayerConfig::default();
        config.ticks = 1000;
        let payer = Payer::new(config, Seed::new([5; 32]));
        let payee = new_payee(&world);
        let (logs, events, faults) = (Default::default(), Vec::new(), Vec::new());
        let (to_payee, to_payer) = Default::default();
        Self { world, payer, payee, logs, to_payee, to_payer, events, faults, now: Instant::now(), deaf_ledger: false }
    }

    /// Opens a channel and puts it into a block.
    pub(crate) fn open(&mut self, deposit: i64) -> ChannelId {
        let open = self.world.channel(deposit);
        let transaction = self.world.sign(0, open);
        let id = self.payer.open(transaction).unwrap();
        self.run();
        self.seal(1);
        self.payer.connect(id, SESSION).unwrap();
        self.run();
        id
    }

    /// The two, after the payer has signed for `base` and paid so many ticks of `tick_value`.
    pub(crate) fn paying(deposit: i64, base: u64, tick_value: u64, ticks: u32) -> (Self, ChannelId) {
        let mut pair = Self::new();
        let id = pair.open(deposit);
        pair.payer.arm(id, LANE, units(base), units(tick_value)).unwrap();
        pair.run();
        if ticks > 0 {
            pair.payer.pay(id, LANE, ticks).unwrap();
            pair.run();
        }
        (pair, id)
    }

    /// Does what both ask for, until neither asks for anything.
    pub(crate) fn run(&mut self) {
        loop {
            if let Some(output) = self.payer.poll_output() {
                self.carry_out(0, output);
            } else if let Some(output) = self.payee.poll_output() {
                self.carry_out(1, output);
            } else if let Some(message) = self.to_payee.pop_front() {
                let message = Message::decode(&message.encode()).unwrap();
                let outcome = self.payee.handle_message(self.now, SESSION, message);
                self.faults.extend(outcome.err());
            } else if let Some(message) = self.to_payer.pop_front() {
                let outcome = self.payer.handle_message(SESSION, message, &Schemes::default());
                self.faults.extend(outcome.err());
            } else {
                break;
            }
            self.faults.extend(std::iter::from_fn(|| self.payee.poll_fault()).map(|(_, fault)| fault));
        }
    }

    pub(crate) fn carry_out(&mut self, side: usize, output: Output) {
        match output {
            Output::Persist { id, record } => self.logs[side].append(id, &record).unwrap(),
            Output::Sign { request, what } => {
                let what = what.open(self.logs[side].sync().unwrap()).unwrap();
                let signature = self.world.accounts[side].sign(&what.as_signable()).unwrap();
                if side == 0 {
                    self.payer.handle_signed(request, signature).unwrap();
                } else {
                    self.payee.handle_signed(request, SESSION, signature).unwrap();
                }
            }
            Output::Send { message, .. } => {
                let message = message.open(self.logs[side].sync().unwrap()).unwrap();
                if side == 0 { self.to_payee.push_back(message) } else { self.to_payer.push_back(message) }
            }
            Output::Build { request, contract } => {
                let signed = self.world.sign(side, Contract::clone(&contract));
                if side == 0 {
                    self.payer.handle_built(request, signed).unwrap();
                } else {
                    self.payee.handle_built(request, signed).unwrap();
                }
            }
            Output::Submit(transaction) => {
                let transaction = transaction.open(self.logs[side].sync().unwrap()).unwrap();
                if !self.deaf_ledger {
                    self.world.ledger.submit(&transaction).unwrap();
                }
            }
            Output::Event(event) => self.events.push(event),
            _ => unreachable!(),
        }
    }

    pub(crate) fn seal(&mut self, blocks: u64) {
        self.world.seal(blocks);
        let known: Vec<_> = self.payer.channels().chain(self.payee.channels()).collect();
        let height = self.world.ledger.head().number;
        for id in known {
            let view = self.world.ledger.channel(&id).cloned();
            let limit = view.as_ref().and_then(unchoke_token::channel::Channel::deposit).unwrap_or_default();
            self.payer.handle_channel(height, id, view.as_ref());
            self.payee.handle_channel(height, id, view.as_ref(), limit).unwrap();
        }
        self.run();
    }

    pub(crate) fn restart_payer(&mut self, id: ChannelId) {
        let mut config = PayerConfig::default();
        config.ticks = 1000;
        self.payer = Payer::restore(config, Seed::new([5; 32]), &self.logs[0].load().unwrap()).unwrap();
        self.payee.disconnect(SESSION);
        self.seal(0);
        self.payer.connect(id, SESSION).unwrap();
        self.run();
    }

    pub(crate) fn held(&self, number: usize) -> u64 {
        self.world.ledger.balance(&self.world.address(number), AssetId::NATIVE).get()
    }
}

fn new_payee(world: &World) -> Payee {
    let mut config = PayeeConfig::default();
    config.min_life = 5;
    Payee::new(config, world.address(1), Arc::new(Schemes::default()), Seed::new([6; 32]).rng())
}

#[test]
fn a_thousand_ticks_are_paid_with_one_signature_and_both_close_at_once() {
    let (mut pair, id) = Pair::paying(100_000, 7, 3, 0);
    for _ in 0..1000 {
        pair.payer.pay(id, LANE, 1).unwrap();
        pair.run();
    }
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Exhausted { left: 0 }));
    assert_eq!(pair.payee.paid(&id, LANE), units(3007));
    // One record for the channel, one for the voucher, and one for each 64 ticks; at the payee for each 16.
    assert_eq!((pair.logs[0].last().get(), pair.logs[1].last().get()), (2 + 1000_u64.div_ceil(64), 2 + 1000 / 16));
    // The next voucher takes over what was paid.
    pair.payer.arm(id, LANE, units(0), units(3)).unwrap();
    pair.run();
    pair.payer.pay(id, LANE, 10).unwrap();
    pair.run();
    assert_eq!(pair.payee.paid(&id, LANE), units(3037));
    let height = pair.world.ledger.head().number;
    pair.payee.propose_close(id, height.saturating_add(10)).unwrap();
    pair.run();
    pair.seal(1);
    assert_eq!((pair.held(0), pair.held(1)), (1_000_000 - 3037, 1_003_037));
    assert!(pair.events.contains(&Event::Settled { channel: id, claimed: units(3037) }));
    assert_eq!(pair.faults, []);
    assert_eq!(pair.payer.channels().count() + pair.payee.channels().count(), 0);
}

#[test]
fn a_payer_that_has_crashed_learns_from_its_payee_how_far_it_was_and_goes_on() {
    let (mut pair, id) = Pair::paying(100_000, 0, 3, 70);
    // Ten ticks are lost on their way.
    pair.payer.pay(id, LANE, 10).unwrap();
    while let Some(output) = pair.payer.poll_output() {
        pair.carry_out(0, output);
    }
    pair.to_payee.clear();
    assert_eq!(pair.payer.paid(&id, LANE), units(240));
    pair.restart_payer(id);
    assert_eq!(pair.payer.paid(&id, LANE), units(210));
    assert!(pair.payer.owed(&id) >= units(240));
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    assert_eq!(pair.payee.paid(&id, LANE), units(213));
    assert_eq!(pair.faults, []);
}

#[test]
fn a_payer_that_has_lost_its_log_takes_over_what_its_payee_shows() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    let block = pair.world.ledger.block(Height::new(1)).unwrap().unwrap();
    let Contract::ChannelOpen(open) = block.transactions[0].transaction().contract.clone() else { unreachable!() };
    pair.payer.arm(id, LANE, units(0), units(3)).unwrap();
    pair.run();
    pair.payer.pay(id, LANE, 70).unwrap();
    pair.run();
    pair.logs[0] = MemoryChannelStore::default();
    let mut config = PayerConfig::default();
    config.ticks = 1000;
    pair.payer = Payer::new(config, Seed::new([5; 32]));
    assert_eq!(pair.payer.adopt(pair.world.ledger.head().number, open), Ok(id));
    pair.payee.disconnect(SESSION);
    pair.seal(0);
    pair.payer.connect(id, SESSION).unwrap();
    pair.run();
    assert_eq!((pair.payer.paid(&id, LANE), pair.payer.owed(&id)), (units(210), units(3000)));
    pair.payer.pay(id, LANE, 5).unwrap();
    pair.run();
    assert_eq!(pair.payee.paid(&id, LANE), units(225));
    assert_eq!(pair.faults, []);
}

#[test]
fn a_payee_that_has_crashed_loses_no_more_than_it_has_allowed_and_claims_when_the_payer_closes() {
    let (mut pair, id) = Pair::paying(100_000, 0, 3, 0);
    for _ in 0..40 {
        pair.payer.pay(id, LANE, 1).unwrap();
        pair.run();
    }
    let config = PayeeConfig::default();
    let (address, schemes) = (pair.world.address(1), Arc::new(Schemes::default()));
    let rng = Seed::new([6; 32]).rng();
    pair.payee = Payee::restore(config, address, schemes, rng, &pair.logs[1].load().unwrap()).unwrap();
    assert_eq!(pair.payee.paid(&id, LANE), units(32 * 3));
    pair.seal(0);
    pair.payer.connect(id, SESSION).unwrap();
    pair.run();
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    pair.now += Duration::from_secs(1);
    pair.payee.handle_timeout(pair.now);
    pair.run();
    let close = ChannelClose { owner_address: pair.world.bytes(0), channel: id.as_bytes().to_vec() };
    let close = pair.world.sign(0, close);
    pair.payer.close(close).unwrap();
    pair.run();
    pair.seal(1);
    pair.seal(1);
    let view = pair.world.ledger.channel(&id).unwrap();
    assert_eq!(view.claimed(), units(33 * 3));
    assert_eq!(pair.faults, []);
}

#[test]
fn with_a_damaged_log_a_payer_only_closes_and_a_payee_only_claims() {
    let (mut pair, id) = Pair::paying(100_000, 5, 3, 0);
    for _ in 0..4 {
        pair.payer.pay(id, LANE, 16).unwrap();
        pair.run();
    }
    pair.payer.pay(id, LANE, 20).unwrap();
    pair.run();
    for log in &mut pair.logs {
        log.sync().unwrap();
        // The first tick of the payee and the first reservation of the payer are lost.
        let at = log.load().unwrap().records[..2].iter().map(|(_, it)| it.len() + 24).sum::<usize>() + 24 + 30;
        log.disk_mut()[at] ^= 1;
    }
    let logs = [pair.logs[0].load().unwrap(), pair.logs[1].load().unwrap()];
    assert!(logs.iter().all(|log| log.damage.is_some() && !log.records.is_empty()));
    let mut config = PayerConfig::default();
    config.ticks = 1000;
    pair.payer = Payer::restore(config, Seed::new([5; 32]), &logs[0]).unwrap();
    let rng = Seed::new([6; 32]).rng();
    let (address, schemes) = (pair.world.address(1), Arc::new(Schemes::default()));
    pair.payee = Payee::restore(PayeeConfig::default(), address, schemes, rng, &logs[1]).unwrap();
    pair.seal(0);
    pair.payer.connect(id, SESSION).unwrap();
    pair.run();
    assert_eq!(pair.faults, [Fault::Corrupt]);
    assert_eq!(pair.payer.arm(id, LANE, units(0), units(3)), Err(Fault::Corrupt));
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Corrupt));
    assert_eq!(pair.payee.propose_close(id, Height::new(99)), Err(Fault::Corrupt));
    let close = ChannelClose { owner_address: pair.world.bytes(0), channel: id.as_bytes().to_vec() };
    let close = pair.world.sign(0, close);
    pair.payer.close(close).unwrap();
    pair.run();
    pair.seal(1);
    pair.seal(1);
    assert_eq!(pair.world.ledger.channel(&id).unwrap().claimed(), units(5 + 84 * 3));
    assert_eq!([pair.logs[0].last(), pair.logs[1].last()], [logs[0].last(), logs[1].last()]);
}

#[test]
fn ticks_wait_for_the_voucher_that_they_belong_to() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    pair.payer.arm(id, LANE, units(0), units(3)).unwrap();
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Disconnected));
    pair.run();
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    pair.payer.arm(id, LANE, units(0), units(3)).unwrap();
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Disconnected));
    pair.run();
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    assert_eq!((pair.payee.paid(&id, LANE), &pair.faults[..]), (units(6), &[][..]));
}

#[test]
fn a_payer_that_has_lost_its_log_signs_nothing_before_its_payee_has_told() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    let block = pair.world.ledger.block(Height::new(1)).unwrap().unwrap();
    let Contract::ChannelOpen(open) = block.transactions[0].transaction().contract.clone() else { unreachable!() };
    pair.payer = Payer::new(PayerConfig::default(), Seed::new([5; 32]));
    pair.payer.adopt(Height::new(1), open).unwrap();
    pair.logs[0] = MemoryChannelStore::default();
    pair.payee.disconnect(SESSION);
    pair.seal(0);
    pair.payer.connect(id, SESSION).unwrap();
    assert_eq!(pair.payer.arm(id, LANE, units(1), units(0)), Err(Fault::Disconnected));
    pair.run();
    pair.payer.arm(id, LANE, units(1), units(0)).unwrap();
    let output = std::iter::from_fn(|| pair.payer.poll_output()).find_map(|output| match output {
        Output::Sign { what, .. } => {
            what.open(unchoke_token::channel::Durable::up_to(unchoke_token::UpdateId::new(9))).ok()
        }
        _ => None,
    });
    let Some(unchoke_token::channel::ToSign::Voucher(voucher)) = output else { panic!("{output:?}") };
    // Nothing that was signed before the log was lost has such a number.
    assert_eq!(voucher.seq.get(), (1 << 32) + 1);
}

#[test]
fn a_total_that_nobody_has_handed_in_lapses_and_payments_go_on() {
    let (mut pair, id) = Pair::paying(100_000, 0, 3, 5);
    let last = pair.world.ledger.head().number.saturating_add(2);
    pair.payee.propose_close(id, last).unwrap();
    // A second one ends sooner; the first counts as long as before.
    pair.payee.propose_close(id, Height::new(1)).unwrap();
    pair.deaf_ledger = true;
    pair.run();
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Phase("closing")));
    pair.seal(2);
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Phase("closing")));
    assert!(matches!(pair.payee.phase(&id), Some(PayeePhase::CoopClosing { not_after, .. }) if not_after == last));
    pair.seal(1);
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    assert_eq!((pair.payee.paid(&id, LANE), &pair.faults[..]), (units(18), &[][..]));
}

#[test]
fn a_payee_that_asks_again_for_a_later_end_means_the_total_that_counts() {
    let (mut pair, id) = Pair::paying(1000, 5, 3, 0);
    let height = pair.world.ledger.head().number;
    pair.payee.propose_close(id, height.saturating_add(9)).unwrap();
    while let Some(output) = pair.payee.poll_output() {
        pair.carry_out(1, output);
    }
    let close = pair.to_payer.pop_back().unwrap();
    pair.payer.handle_message(SESSION, close, &Schemes::default()).unwrap();
    // The payer's log has the total when it dies, and nobody has its signature.
    while let Some(output) = pair.payer.poll_output() {
        if matches!(output, Output::Persist { .. }) {
            pair.carry_out(0, output);
        }
    }
    pair.logs[0].sync().unwrap();
    pair.restart_payer(id);
    pair.payee.propose_close(id, height.saturating_add(20)).unwrap();
    pair.run();
    pair.seal(1);
    assert_eq!((pair.held(1), &pair.faults[..]), (1_000_005, &[][..]));
}

#[test]
fn a_payer_that_does_not_know_what_it_has_revealed_agrees_to_no_total() {
    let (mut pair, id) = Pair::paying(100_000, 0, 3, 5);
    let total = CloseStatement::new(id, units(5 * 3 + 1), Height::new(99));
    let signature = pair.world.accounts[1].sign(&Signable::Close(&total)).unwrap();
    let close = Message::Close { channel: id, total: total.total, not_after: total.not_after, signature };
    let mut config = PayerConfig::default();
    config.ticks = 1000;
    pair.payer = Payer::restore(config, Seed::new([5; 32]), &pair.logs[0].load().unwrap()).unwrap();
    pair.payer.handle_channel(Height::new(1), id, pair.world.ledger.channel(&id));
    pair.payer.connect(id, SESSION).unwrap();
    let schemes = Schemes::default();
    assert_eq!(pair.payer.handle_message(SESSION, close.clone(), &schemes), Err(Fault::Disconnected));
    pair.run();
    let need = Fault::Funds { need: units(16), have: units(15) };
    assert_eq!(pair.payer.handle_message(SESSION, close, &schemes), Err(need));
}

#[test]
fn a_snapshot_of_a_payer_knows_what_can_be_claimed_by_older_vouchers() {
    let (mut pair, id) = Pair::paying(1000, 0, 3, 0);
    pair.payer.pay(id, LANE, 300).unwrap();
    while let Some(output) = pair.payer.poll_output() {
        pair.carry_out(0, output);
    }
    pair.to_payee.clear();
    pair.restart_payer(id);
    pair.payer.arm(id, LANE, units(10), units(0)).unwrap();
    pair.run();
    assert!(pair.payer.owed(&id) >= units(900));
    let snapshot = pair.payer.snapshot();
    pair.logs[0].replace(&snapshot).unwrap();
    pair.restart_payer(id);
    assert!(pair.payer.owed(&id) >= units(900));
    assert_eq!(pair.payer.paid(&id, LANE), units(10));
    let need = Fault::Funds { need: units(1010), have: units(1000) };
    assert_eq!(pair.payer.arm(id, LANE, units(1000), units(0)), Err(need));
}
