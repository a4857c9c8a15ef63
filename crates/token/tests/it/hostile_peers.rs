//! What payers and payees try who keep to the form of the messages and not to the rules.

use crate::pair::{LANE, Pair, SESSION};
use crate::world::units;
use unchoke_token::channel::{Disposition, Fault, Message};
use unchoke_token::tick::{MAX_TICKS, Tick, TickError};
use unchoke_token::voucher::SignedVoucher;
use unchoke_token::{Schemes, Seq, Voucher};

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
    let mut pair = Pair::new();
    let id = pair.open(10_000);
    pair.payer.arm(id, LANE, units(0), units(1)).unwrap();
    pair.run();
    pair.payer.pay(id, LANE, 5).unwrap();
    pair.run();
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
