//! What payers and payees try who keep to the form of the messages and not to the rules.

use crate::pair::{LANE, Pair, SESSION};
use crate::world::{World, units};
use unchoke_core::Seed;
use unchoke_token::channel::ChannelStore as _;
use unchoke_token::channel::{Disposition, Event, Fault, Message, Output, Payer, PayerConfig, PayerPhase, Session};
use unchoke_token::contract::ChannelClaim;
use unchoke_token::ledger::Ledger as _;
use unchoke_token::tick::{MAX_TICKS, Tick, TickError};
use unchoke_token::voucher::{CloseStatement, SignedVoucher};
use unchoke_token::{ChannelId, Height, Lane, Schemes, Seq, Signable, Signer as _, Units, Voucher};

fn close(pair: &mut Pair, id: ChannelId, total: u64, not_after: u64) -> Result<(), Fault> {
    let (total, not_after) = (units(total), Height::new(not_after));
    let statement = CloseStatement::new(id, total, not_after);
    let signature = pair.world.accounts[1].sign(&Signable::Close(&statement)).unwrap();
    let message = Message::Close { channel: id, total, not_after, signature };
    pair.payer.handle_message(SESSION, message, &Schemes::default())
}

#[test]
fn a_payer_agrees_to_no_total_that_stops_its_payments_for_longer_than_it_allows() {
    let (mut pair, id) = Pair::paying(1000, 100, 1, 0);
    let height = pair.world.ledger.head().number.get();
    for not_after in [u64::MAX, height + 28_801] {
        assert_eq!(close(&mut pair, id, 0, not_after), Err(Fault::EndsTooLate(Height::new(not_after))));
    }
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    assert_eq!(close(&mut pair, id, 0, height + 28_800), Ok(()));
}

#[test]
fn a_payer_writes_and_signs_one_total_at_a_time() {
    let (mut pair, id) = Pair::paying(1000, 100, 1, 0);
    pair.deaf_ledger = true;
    let height = pair.world.ledger.head().number.get();
    let before = pair.logs[0].last().get();
    assert_eq!(close(&mut pair, id, 1, height + 2), Ok(()));
    for round in 0..100 {
        let outcome = close(&mut pair, id, 1, height + 2 + round % 10);
        // The same one changes nothing.
        let expected = if round % 10 == 0 { Ok(()) } else { Err(Fault::Phase("agreed on already")) };
        assert_eq!(outcome, expected);
        pair.run();
    }
    // The total, and the transaction that hands it in.
    assert_eq!(pair.logs[0].last().get(), before + 2);
    pair.seal(3);
    assert_eq!(pair.payer.phase(&id), Some(PayerPhase::Open));
    assert_eq!(close(&mut pair, id, 1, height + 5), Ok(()));
}

#[test]
fn a_payee_takes_so_many_vouchers_in_a_row_that_are_worth_no_more() {
    let mut pair = Pair::new();
    let id = pair.open(1000);
    let tell = |pair: &mut Pair, seq, base| {
        let voucher = Voucher::new(id, LANE, Seq::new(seq), units(base));
        let signature = pair.world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
        pair.to_payee.push_back(Message::Voucher { alias: 0, voucher: SignedVoucher::new(voucher, signature) });
        while let Some(message) = pair.to_payee.pop_front() {
            pair.payee.handle_message(pair.now, SESSION, message).unwrap();
        }
        while let Some(output) = pair.payee.poll_output() {
            pair.carry_out(1, output);
        }
        pair.payee.poll_fault().map(|(_, fault)| fault)
    };
    for seq in 1..=65 {
        assert_eq!(tell(&mut pair, seq, 100), None);
    }
    let records = pair.logs[1].last();
    for seq in 66..1000 {
        assert_eq!(tell(&mut pair, seq, 100), Some(Fault::Idle));
    }
    assert_eq!((Fault::Idle.disposition(), pair.logs[1].last()), (Disposition::Strike, records));
    assert_eq!(tell(&mut pair, 1000, 101), None);
    assert_eq!(tell(&mut pair, 1001, 101), None);
}

#[test]
fn a_payer_asks_for_no_voucher_that_its_payee_would_strike() {
    let mut pair = Pair::new();
    let id = pair.open(1000);
    for _ in 0..65 {
        pair.payer.arm(id, LANE, units(0), units(1)).unwrap();
        pair.run();
    }
    assert_eq!(pair.payer.arm(id, LANE, units(0), units(1)), Err(Fault::Idle));
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    pair.payer.arm(id, LANE, units(0), units(1)).unwrap();
    pair.run();
    assert_eq!((pair.payee.paid(&id, LANE), &pair.faults[..]), (units(1), &[][..]));
}

#[test]
fn a_payer_arms_no_more_lanes_in_a_session_than_its_payee_gives_names_to() {
    let mut pair = Pair::new();
    let ids = [pair.open(1000), pair.open(2000)];
    for (lane, id) in (0..64).zip(ids.into_iter().cycle()) {
        pair.payer.arm(id, Lane::new(lane), units(1), units(0)).unwrap();
        pair.run();
    }
    for id in ids {
        assert_eq!(pair.payer.arm(id, Lane::new(99), units(1), units(0)), Err(Fault::Lanes));
        assert_eq!(pair.payee.held(&id), units(32));
    }
    assert_eq!(pair.faults, []);
}

#[test]
fn more_ticks_at_once_than_a_payee_walks_go_out_in_steps() {
    let mut pair = Pair::new();
    let mut config = PayerConfig::default();
    config.ticks = 10_000;
    pair.payer = Payer::new(config, Seed::new([5; 32]));
    let id = pair.open(100_000);
    pair.payer.arm(id, LANE, units(0), units(1)).unwrap();
    pair.run();
    pair.payer.pay(id, LANE, 10_000).unwrap();
    pair.run();
    assert_eq!((pair.payee.paid(&id, LANE), &pair.faults[..]), (units(10_000), &[][..]));
}

#[test]
fn a_payer_arms_no_more_lanes_of_a_channel_than_the_ledger_keeps() {
    let mut pair = Pair::new();
    pair.world = World::new(3, |params| (params.channels.min_dispute, params.channels.max_lanes) = (5, 2));
    let mut config = PayerConfig::default();
    config.max_lanes = 2;
    pair.payer = Payer::new(config, Seed::new([5; 32]));
    let id = pair.open(1000);
    let pay = |pair: &mut Pair, lane, amount| {
        let outcome = pair.payer.arm(id, Lane::new(lane), units(amount), units(0));
        pair.run();
        // The ledger forgets the lane of which least was claimed, when there are too many.
        let claims = pair.payee.claims(&id);
        if outcome.is_ok() {
            let owner_address = pair.world.bytes(1);
            let claim = ChannelClaim { owner_address, channel: id.as_bytes().to_vec(), claims };
            pair.world.apply(1, claim).unwrap();
            pair.seal(1);
        }
        outcome
    };
    for round in 0..4 {
        for lane in 0..3 {
            let expected = if lane == 2 { Err(Fault::Lanes) } else { Ok(()) };
            assert_eq!(pay(&mut pair, lane, 10 + u64::from(lane)), expected, "{round}");
        }
    }
    let claimed = pair.world.ledger.channel(&id).unwrap().claimed();
    assert_eq!((claimed, pair.payer.owed(&id)), (units(84), units(84)));
}

/// What the payee tells a session, and what it tells its owner.
fn told(pair: &mut Pair, other: Session) -> (usize, Vec<Event>) {
    let (mut sent, mut events) = (0, Vec::new());
    while let Some(output) = pair.payee.poll_output() {
        match output {
            Output::Send { session, .. } => sent += usize::from(session == other),
            Output::Event(event) => events.push(event),
            other => pair.carry_out(1, other),
        }
    }
    (sent, events)
}

#[test]
fn a_channel_stays_with_the_session_that_pays_until_that_ends() {
    let (mut pair, id) = Pair::paying(1000, 100, 1, 1);
    let other = Session::new(2);
    let ask = Message::Reestablish { channel: id, lanes: Vec::new() };
    assert_eq!(pair.payee.handle_message(pair.now, other, ask.clone()), Err(Fault::Busy));
    assert_eq!(Fault::Busy.disposition(), Disposition::Reply);
    assert_eq!(told(&mut pair, other), (0, vec![Event::Contested { channel: id, holder: SESSION, by: other }]));
    pair.payer.pay(id, LANE, 1).unwrap();
    pair.run();
    assert_eq!((pair.payee.held(&id), &pair.faults[..]), (units(102), &[][..]));
    // The payer comes back, and its old connection has been ended.
    pair.payee.disconnect(SESSION);
    pair.payee.handle_message(pair.now, other, ask).unwrap();
    assert_eq!(told(&mut pair, other), (2, Vec::new()));
}

#[test]
fn a_session_that_only_shows_what_was_paid_before_keeps_nobody_from_paying() {
    let (mut pair, id) = Pair::paying(1000, 100, 1, 0);
    pair.payee.disconnect(SESSION);
    pair.payer.connect(id, SESSION).unwrap();
    pair.run();
    // Whoever asks is told the voucher, and can send it again.
    let other = Session::new(2);
    let ask = Message::Reestablish { channel: id, lanes: Vec::new() };
    pair.payee.handle_message(pair.now, other, ask).unwrap();
    let held = std::iter::from_fn(|| pair.payee.poll_output()).find_map(|output| match output {
        Output::Send { message, .. } => message.open(pair.logs[1].sync().unwrap()).ok(),
        _ => None,
    });
    let Some(Message::Held { voucher, .. }) = held else { panic!("{held:?}") };
    pair.payee.handle_message(pair.now, other, Message::Voucher { alias: 7, voucher }).unwrap();
    // What else is held, and a receipt.
    assert_eq!(told(&mut pair, other).0, 2);
    pair.payer.pay(id, LANE, 16).unwrap();
    pair.run();
    assert_eq!((pair.payee.held(&id), &pair.faults[..]), (units(116), &[][..]));
}

#[test]
fn the_last_lane_of_all_is_owed_like_any_other() {
    let mut pair = Pair::new();
    let id = pair.open(1000);
    assert_eq!(pair.payer.owed(&id), Units::ZERO);
    pair.payer.arm(id, Lane::new(u32::MAX), units(100), Units::ZERO).unwrap();
    pair.run();
    assert_eq!(pair.payer.owed(&id), units(100));
}

#[test]
fn a_payer_hashes_nothing_for_a_voucher_that_it_has_not_signed_or_that_is_too_long() {
    let mut pair = Pair::new();
    let id = pair.open(1000);
    let mut tell = |voucher, index| {
        let tick = Some(Tick::new(index, [2; 32]));
        pair.payer.handle_message(SESSION, Message::Held { voucher, tick }, &Schemes::default()).unwrap_err()
    };
    let voucher = |ticks| Voucher::new(id, LANE, Seq::new(1), units(0)).with_ticks([1; 32], units(1), ticks);
    let forged = |ticks| SignedVoucher::new(voucher(ticks), vec![0; 64]);
    // 2^32 hashes would take minutes.
    let too_long = Fault::Tick(TickError::Beyond { index: u32::MAX, max: MAX_TICKS });
    assert_eq!(tell(forged(u32::MAX), u32::MAX), too_long);
    assert_eq!(too_long.disposition(), Disposition::Strike);
    assert_eq!(tell(forged(100), 101), Fault::Tick(TickError::Beyond { index: 101, max: 100 }));
    assert_eq!(tell(forged(MAX_TICKS), MAX_TICKS), Fault::Signature);
}

#[test]
fn a_payer_takes_a_tick_of_its_own_chain_only_and_a_good_signature_only() {
    let (mut pair, id) = Pair::paying(10_000, 0, 1, 5);
    // In a session that begins anew the payee tells what it holds.
    pair.payee.disconnect(SESSION);
    pair.payer.connect(id, SESSION).unwrap();
    while let Some(output) = pair.payer.poll_output() {
        pair.carry_out(0, output);
    }
    let ask = pair.to_payee.pop_front().unwrap();
    pair.payee.handle_message(pair.now, SESSION, ask).unwrap();
    while let Some(output) = pair.payee.poll_output() {
        pair.carry_out(1, output);
    }
    let Some(Message::Held { voucher, tick: Some(tick) }) = pair.to_payer.pop_front() else { panic!() };
    let held = |voucher: &SignedVoucher, tick| Message::Held { voucher: voucher.clone(), tick: Some(tick) };
    let (schemes, forged) = (Schemes::default(), SignedVoucher::new(voucher.voucher, vec![0; 64]));
    for wrong in [held(&forged, tick), held(&voucher, Tick::new(4, tick.preimage))] {
        assert_eq!(pair.payer.handle_message(SESSION, wrong, &schemes), Err(Fault::Signature));
    }
    pair.payer.handle_message(SESSION, held(&voucher, tick), &schemes).unwrap();
    pair.run();
    assert_eq!((pair.payer.paid(&id, LANE), &pair.faults[..]), (units(5), &[][..]));
}
