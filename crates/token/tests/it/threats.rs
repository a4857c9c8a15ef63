//! Rows of the table of payments in `docs/reliability.md`, each with what may happen at every place where it may.

use crate::pair::{LANE, Pair, SESSION};
use crate::world::units;
use std::collections::BTreeMap;
use unchoke_core::Seed;
use unchoke_token::channel::{
    Channel, ChannelStore as _, Disposition, Fault, Log, MemoryChannelStore, Message, Output, Payer, PayerConfig,
    Session, ToSign,
};
use unchoke_token::contract::ChannelOpen;
use unchoke_token::ledger::Ledger as _;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{SignedVoucher, Voucher};
use unchoke_token::{ChannelId, Lane, Schemes, Seq, Signable, Signer as _, Units};

/// Lets the payer do all that it asks for, and notes what it signs. One number of one lane stands for one voucher only.
fn note(pair: &mut Pair, signed: &mut BTreeMap<(Lane, Seq), Voucher>) {
    while let Some(output) = pair.payer.poll_output() {
        if let Output::Sign { what, .. } = &output
            && let Ok(ToSign::Voucher(voucher)) = what.clone().open(pair.logs[0].sync().unwrap())
        {
            let known = *signed.entry((voucher.lane, voucher.seq)).or_insert(voucher);
            assert_eq!(known, voucher);
        }
        pair.carry_out(0, output);
    }
}

fn run(pair: &mut Pair, signed: &mut BTreeMap<(Lane, Seq), Voucher>) {
    loop {
        note(pair, signed);
        pair.run();
        if pair.to_payee.is_empty() && pair.to_payer.is_empty() {
            return;
        }
    }
}

#[test]
fn m2_while_a_log_cannot_be_written_nothing_is_signed_paid_or_taken() {
    let (mut pair, id) = Pair::paying(1000, 10, 1, 3);
    pair.payer.handle_store_failure();
    assert_eq!(pair.payer.arm(id, Lane::new(1), units(1), units(1)), Err(Fault::Frozen));
    assert_eq!(pair.payer.pay(id, LANE, 1), Err(Fault::Frozen));
    assert_eq!(pair.payer.poll_output(), None);
    pair.payer.handle_store_recovery();
    pair.payer.pay(id, LANE, 1).unwrap();
    while let Some(output) = pair.payer.poll_output() {
        pair.carry_out(0, output);
    }
    let tick = pair.to_payee.pop_front().unwrap();
    pair.payee.handle_store_failure();
    assert_eq!(pair.payee.handle_message(pair.now, SESSION, tick.clone()), Err(Fault::Frozen));
    assert_eq!(Fault::Frozen.disposition(), Disposition::Retry);
    let height = pair.world.ledger.head().number;
    assert_eq!(pair.payee.propose_close(id, height.saturating_add(9)), Err(Fault::Frozen));
    assert_eq!((pair.payee.poll_output(), pair.payee.held(&id)), (None, units(13)));
    pair.payee.handle_store_recovery();
    pair.payee.handle_message(pair.now, SESSION, tick).unwrap();
    assert_eq!(pair.payee.held(&id), units(14));
}

#[test]
fn m3_a_payer_that_starts_from_any_earlier_state_of_its_log_contradicts_nothing_that_it_has_signed() {
    let lives = |signed: &mut BTreeMap<(Lane, Seq), Voucher>| {
        let mut pair = Pair::new();
        let id = pair.open(100_000);
        for (lane, base, ticks) in [(0, 0, 70), (1, 5, 0), (0, 1, 3), (0, 0, 1), (1, 2, 64)] {
            pair.payer.arm(id, Lane::new(lane), units(base), units(3)).unwrap();
            run(&mut pair, signed);
            for _ in 0..ticks {
                pair.payer.pay(id, Lane::new(lane), 1).unwrap();
            }
            run(&mut pair, signed);
        }
        (pair, id)
    };
    let count = lives(&mut BTreeMap::new()).0.logs[0].load().unwrap().records.len();
    assert!(count > 8);
    // Without its first record it knows no channel, and another test takes that over.
    for kept in 1..=count {
        let mut signed = BTreeMap::new();
        let (mut pair, id) = lives(&mut signed);
        let before = pair.payee.held(&id);
        let mut log: Log = pair.logs[0].load().unwrap();
        log.records.truncate(kept);
        pair.logs[0] = MemoryChannelStore::default();
        for (number, record) in &log.records {
            pair.logs[0].append(*number, record).unwrap();
        }
        let mut config = PayerConfig::default();
        config.ticks = 1000;
        pair.payer = Payer::restore(config, Seed::new([5; 32]), &log).unwrap();
        pair.payee.disconnect(SESSION);
        pair.payer.handle_channel(pair.world.ledger.head().number, id, pair.world.ledger.channel(&id));
        // Nothing is signed before the payee has told what it holds.
        assert_eq!(pair.payer.arm(id, LANE, units(1), units(3)), Err(Fault::Disconnected), "{kept}");
        pair.payer.connect(id, SESSION).unwrap();
        run(&mut pair, &mut signed);
        assert_eq!(pair.payee.held(&id), before, "{kept}");
        for lane in [0, 1] {
            pair.payer.arm(id, Lane::new(lane), units(1), units(3)).unwrap();
            run(&mut pair, &mut signed);
            pair.payer.pay(id, Lane::new(lane), 2).unwrap();
            run(&mut pair, &mut signed);
        }
        assert_eq!(pair.payee.held(&id), before.checked_add(units(14)).unwrap(), "{kept}");
        assert!(pair.payer.owed(&id) >= pair.payee.held(&id), "{kept}");
        assert_eq!(pair.faults, [], "{kept}");
    }
}

#[test]
fn m5_what_the_ledger_does_not_have_or_has_otherwise_earns_no_credit() {
    let mut pair = Pair::new();
    let height = pair.world.ledger.head().number;
    let pay = |pair: &mut Pair, open: &ChannelOpen, session: u64, base: u64| {
        let id = Channel::id(open);
        let chain = TickChain::new(id, &Seed::new([1; 32]), 20);
        let voucher = Voucher::new(id, LANE, Seq::new(1), units(base)).with_ticks(*chain.anchor(), units(3), 20);
        let signature = pair.world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
        let session = Session::new(session);
        let voucher = Message::Voucher { alias: 0, voucher: SignedVoucher::new(voucher, signature) };
        let tick = Message::Tick { alias: 0, tick: chain.tick(1).unwrap() };
        let outcome = [voucher, tick].map(|it| pair.payee.handle_message(pair.now, session, it).err());
        while pair.payee.poll_output().is_some() {}
        let faults: Vec<Fault> = std::iter::from_fn(|| pair.payee.poll_fault()).map(|(_, fault)| fault).collect();
        (faults, outcome, pair.payee.held(&id))
    };
    let refused = |fault: Fault| (vec![fault], [None, Some(Fault::Alias(0))], Units::ZERO);
    // There is none, and none yet.
    let missing = pair.world.channel(500);
    let id = Channel::id(&missing);
    assert_eq!(pay(&mut pair, &missing, 2, 10), refused(Fault::UnknownChannel(id)));
    pair.payee.handle_channel(height, id, None, units(500)).unwrap();
    assert_eq!(pay(&mut pair, &missing, 3, 10), refused(Fault::UnknownChannel(id)));
    // It pays somebody else.
    let params = pair.world.ledger.params().channels;
    let view = |pair: &Pair, open: &ChannelOpen| {
        Channel::open(open, &pair.world.ledger.id(), height, &params, &Schemes::default()).unwrap()
    };
    let others = ChannelOpen { payee_address: pair.world.bytes(2), ..pair.world.channel(500) };
    let (id, shown) = (Channel::id(&others), view(&pair, &others));
    let outcome = pair.payee.handle_channel(height, id, Some(&shown), units(500));
    assert_eq!(outcome, Err(Fault::UnknownChannel(id)));
    assert_eq!(pay(&mut pair, &others, 4, 10), refused(Fault::UnknownChannel(id)));
    // There is less in it.
    let smaller = ChannelOpen { salt: vec![9; 16], ..pair.world.channel(9) };
    let (id, shown) = (Channel::id(&smaller), view(&pair, &smaller));
    pair.payee.handle_channel(height, id, Some(&shown), units(9)).unwrap();
    assert_eq!(pay(&mut pair, &smaller, 5, 10), refused(Fault::Funds { need: units(10), have: units(9) }));
    // What it says is another channel: the id commits to all of it.
    let claimed = ChannelOpen { deposit: 500, ..smaller };
    assert_ne!(Channel::id(&claimed), id);
    assert_eq!(pair.payee.held(&ChannelId::new([0; 32])), Units::ZERO);
}

#[test]
fn m11_any_message_twice_and_any_two_swapped_lead_to_the_same_end() {
    const TICKS: u32 = 6;
    let end = |deliver: &dyn Fn(&mut Vec<Message>)| {
        let (mut pair, id) = Pair::paying(1000, 10, 3, 0);
        for _ in 0..TICKS {
            pair.payer.pay(id, LANE, 1).unwrap();
        }
        pair.payer.arm(id, Lane::new(1), units(5), units(1)).unwrap();
        while let Some(output) = pair.payer.poll_output() {
            pair.carry_out(0, output);
        }
        let mut messages = Vec::from(std::mem::take(&mut pair.to_payee));
        assert_eq!(messages.len(), TICKS as usize + 1);
        deliver(&mut messages);
        for message in messages {
            // What is wrong in this order alone comes again in the next session.
            let _ = pair.payee.handle_message(pair.now, SESSION, message);
            assert!(pair.payee.held(&id) <= units(10 + 5 + 3 * u64::from(TICKS)));
        }
        pair.run();
        let session = SESSION;
        pair.payer.disconnect(session);
        pair.payee.disconnect(session);
        pair.faults.clear();
        pair.payer.connect(id, session).unwrap();
        pair.run();
        let paid = pair.payer.paid(&id, LANE).get();
        let missing = (10 + 3 * u64::from(TICKS) - paid) / 3;
        if missing > 0 {
            pair.payer.pay(id, LANE, missing.try_into().unwrap()).unwrap();
            pair.run();
        }
        assert_eq!(pair.faults, []);
        (pair.payer.paid(&id, LANE), pair.payer.paid(&id, Lane::new(1)), pair.payee.held(&id))
    };
    let expected = (units(28), units(5), units(33));
    assert_eq!(end(&|_| {}), expected);
    for one in 0..=TICKS as usize {
        assert_eq!(end(&|messages| messages.insert(one, messages[one].clone())), expected, "{one} twice");
        assert_eq!(end(&|messages| messages.push(messages[one].clone())), expected, "{one} again in the end");
        assert_eq!(end(&|messages| drop(messages.remove(one))), expected, "{one} is lost");
        for other in one + 1..=TICKS as usize {
            assert_eq!(end(&|messages| messages.swap(one, other)), expected, "{one} and {other}");
        }
    }
}
