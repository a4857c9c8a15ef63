//! How what a payee holds comes to the ledger when things go wrong on the way.

use crate::pair::{Pair, SESSION};
use crate::world::units;
use unchoke_token::channel::{Event, Fault, Message, PayeePhase, Session};
use unchoke_token::contract::{ChannelClose, ChannelRelease, VaultDeposit};
use unchoke_token::ledger::Ledger as _;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{SignedVoucher, Voucher};
use unchoke_token::{ChannelId, Height, Lane, Seq, Signable, Signer as _};

/// A voucher that ends at a height, and ten ticks of it, come to the payee.
fn pay_until(pair: &mut Pair, id: ChannelId, lane: u32, end: Height) -> Vec<Fault> {
    let chain = TickChain::new(id, &unchoke_core::Seed::new([9; 32]), 20);
    let voucher = Voucher::new(id, Lane::new(lane), Seq::new(1), units(5));
    let voucher = voucher.with_ticks(*chain.anchor(), units(3), 20).with_end(end);
    let signature = pair.world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
    let alias = u16::try_from(lane).unwrap();
    pair.to_payee.push_back(Message::Voucher { alias, voucher: SignedVoucher::new(voucher, signature) });
    pair.to_payee.push_back(Message::Tick { alias, tick: chain.tick(10).unwrap() });
    pair.run();
    // The payer's machine knows nothing of this voucher.
    pair.faults.retain(|fault| !matches!(fault, Fault::Alias(_)));
    std::mem::take(&mut pair.faults)
}

#[test]
fn a_voucher_is_claimed_before_it_ends_and_pays_no_more_ticks_then() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    assert_eq!(pay_until(&mut pair, id, 1, Height::new(5)).first(), Some(&Fault::EndsTooSoon));
    assert_eq!(pay_until(&mut pair, id, 2, Height::new(6)), []);
    pair.seal(3);
    assert_eq!(pair.world.ledger.channel(&id).unwrap().claimed(), units(0));
    pair.seal(1);
    pair.seal(1);
    assert_eq!(pair.world.ledger.channel(&id).unwrap().claimed(), units(35));
    let chain = TickChain::new(id, &unchoke_core::Seed::new([9; 32]), 20);
    pair.to_payee.push_back(Message::Tick { alias: 2, tick: chain.tick(11).unwrap() });
    pair.run();
    assert_eq!(pair.faults, [Fault::EndsTooSoon]);
}

#[test]
fn a_voucher_that_has_ended_does_not_spoil_the_claims_beside_it() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    assert_eq!(pay_until(&mut pair, id, 1, Height::new(0)), []);
    assert_eq!(pay_until(&mut pair, id, 2, Height::new(6)), []);
    pair.deaf_ledger = true;
    pair.seal(6);
    pair.deaf_ledger = false;
    pair.payee.claim(id);
    pair.run();
    pair.seal(1);
    assert_eq!(pair.world.ledger.channel(&id).unwrap().claimed(), units(35));
}

#[test]
fn a_claim_that_was_lost_is_made_again() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    assert_eq!(pay_until(&mut pair, id, 1, Height::new(0)), []);
    let close = ChannelClose { owner_address: pair.world.bytes(0), channel: id.as_bytes().to_vec() };
    let close = pair.world.sign(0, close);
    pair.payer.close(close).unwrap();
    pair.run();
    pair.deaf_ledger = true;
    pair.seal(1);
    pair.seal(1);
    pair.deaf_ledger = false;
    pair.seal(1);
    pair.seal(1);
    assert_eq!(pair.world.ledger.channel(&id).unwrap().claimed(), units(35));
}

#[test]
fn what_a_vault_could_not_pay_is_asked_for_when_it_has_more_even_after_the_end() {
    let mut pair = Pair::new();
    let deposit =
        |pair: &Pair, amount| VaultDeposit { owner_address: pair.world.bytes(0), asset_name: b"_".to_vec(), amount };
    let first = deposit(&pair, 20);
    pair.world.apply(0, first).unwrap();
    let open = pair.world.channel(0);
    let id = pair.world.apply(0, open).unwrap().channel.unwrap();
    let see = |pair: &mut Pair, limit| {
        pair.world.seal(1);
        let height = pair.world.ledger.head().number;
        let view = pair.world.ledger.channel(&id).cloned();
        pair.payee.handle_channel(height, id, view.as_ref(), units(limit)).unwrap();
        pair.run();
    };
    see(&mut pair, 100);
    assert_eq!(pay_until(&mut pair, id, 1, Height::new(0)), []);
    // Less is to be had now than is held; the claim is a debt.
    see(&mut pair, 0);
    assert_eq!(pair.world.ledger.channel(&id).unwrap().unpaid(), units(15));
    let release =
        ChannelRelease { owner_address: pair.world.bytes(1), channel: id.as_bytes().to_vec(), claims: Vec::new() };
    pair.world.apply(1, release).unwrap();
    see(&mut pair, 20);
    assert_eq!(pair.payee.phase(&id), Some(PayeePhase::Unpaid { rest: units(15) }));
    let more = deposit(&pair, 15);
    pair.world.apply(0, more).unwrap();
    see(&mut pair, 35);
    see(&mut pair, 35);
    assert_eq!(pair.held(1), 1_000_035);
    assert_eq!(pair.payee.phase(&id), None);
    assert!(pair.events.contains(&Event::Settled { channel: id, claimed: units(35) }));
}

#[test]
fn what_comes_late_of_an_earlier_session_does_not_count() {
    let mut pair = Pair::new();
    let id = pair.open(100_000);
    assert_eq!(pay_until(&mut pair, id, 1, Height::new(0)), []);
    let chain = TickChain::new(id, &unchoke_core::Seed::new([9; 32]), 20);
    let late = Message::Tick { alias: 1, tick: chain.tick(11).unwrap() };
    let again = Message::Reestablish { channel: id, lanes: Vec::new() };
    assert_eq!(pair.payee.handle_message(pair.now, Session::new(2), again.clone()), Err(Fault::Busy));
    pair.payee.disconnect(SESSION);
    pair.payee.handle_message(pair.now, Session::new(2), again).unwrap();
    assert_eq!(pair.payee.handle_message(pair.now, SESSION, late), Err(Fault::Alias(1)));
    assert_eq!(pair.payee.held(&id), units(35));
}
