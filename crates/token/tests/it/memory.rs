//! What a payee takes, counted by the allocator.

#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use crate::world::{World, units};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;
use unchoke_core::Seed;
use unchoke_token::channel::{Channel, Durable, Fault, Message, Output, Payee, PayeeConfig, Session};
use unchoke_token::contract::ChannelOpen;
use unchoke_token::ledger::Ledger as _;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{SignedVoucher, Voucher};
use unchoke_token::{ChannelId, Lane, Schemes, Seq, Signable, Signer as _, UpdateId};

/// Counts for each thread by itself, because tests run side by side.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CHANNELS: u16 = 10_000;

/// The payer opens a channel, signs a voucher in a session of its own and pays three ticks of it, under each of these names.
fn pay(world: &World, payee: &mut Payee, number: u16, now: Instant, aliases: impl Iterator<Item = u16>) -> ChannelId {
    let salt = [&number.to_le_bytes()[..], &[7; 14]].concat();
    let open = ChannelOpen { salt, ..world.channel(1000) };
    let (id, now_at) = (Channel::id(&open), world.ledger.head().number);
    let (ledger, params) = (world.ledger.id(), &world.ledger.params().channels);
    let view = Channel::open(&open, &ledger, now_at, params, &Schemes::default()).unwrap();
    payee.handle_channel(now_at, id, Some(&view), units(1000)).unwrap();
    let chain = TickChain::new(id, &Seed::new([1; 32]), 20);
    let voucher = Voucher::new(id, Lane::new(0), Seq::new(1), units(5)).with_ticks(*chain.anchor(), units(3), 20);
    let signature = world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
    let session = Session::new(number.into());
    for alias in aliases {
        let voucher = SignedVoucher::new(voucher, signature.clone());
        payee.handle_message(now, session, Message::Voucher { alias, voucher }).unwrap();
        while payee.poll_output().is_some() {}
        let _ = payee.handle_message(now, session, Message::Tick { alias, tick: chain.tick(3).unwrap() });
        while payee.poll_output().is_some() {}
    }
    assert_eq!((payee.poll_fault(), payee.paid(&id, Lane::new(0))), (None, units(14)));
    id
}

/// A channel through which something was paid in a session that has ended, and its voucher.
fn shown(world: &World, payee: &mut Payee, number: u16, now: Instant) -> (ChannelId, SignedVoucher) {
    let id = pay(world, payee, number, now, std::iter::once(0));
    payee.disconnect(Session::new(number.into()));
    let ask = Message::Reestablish { channel: id, lanes: Vec::new() };
    payee.handle_message(now, Session::new(7), ask).unwrap();
    let held = std::iter::from_fn(|| payee.poll_output()).find_map(|output| match output {
        Output::Send { message, .. } => message.open(Durable::up_to(UpdateId::new(u64::MAX))).ok(),
        _ => None,
    });
    while payee.poll_output().is_some() {}
    let Some(Message::Held { voucher, .. }) = held else { panic!("{held:?}") };
    (id, voucher)
}

fn new_world() -> World {
    World::new(2, |params| params.channels.min_dispute = 5)
}

fn new_payee(world: &World) -> Payee {
    let (address, rng) = (world.address(1), Seed::new([2; 32]).rng());
    Payee::new(PayeeConfig::default(), address, Arc::new(Schemes::default()), rng)
}

#[test]
fn an_open_channel_takes_its_payee_512_bytes() {
    let (now, world) = (Instant::now(), new_world());
    let before = LIVE.get();
    let mut payee = new_payee(&world);
    for number in 0..CHANNELS {
        pay(&world, &mut payee, number, now, std::iter::once(0));
    }
    let each = (LIVE.get() - before) as usize / usize::from(CHANNELS);
    // Each has ticks that are not in the log yet.
    assert!(payee.poll_timeout().is_some());
    payee.handle_timeout(payee.poll_timeout().unwrap());
    assert_eq!(
        std::iter::from_fn(|| payee.poll_output()).count(),
        2 * usize::from(CHANNELS),
        "a record and a receipt for each"
    );
    drop(payee);
    assert_eq!(LIVE.get(), before);
    assert!(each <= 512, "{each} bytes");
}

#[test]
fn a_payer_that_names_a_lane_again_and_again_takes_no_more_memory() {
    let (now, world) = (Instant::now(), new_world());
    let mut payee = new_payee(&world);
    let id = pay(&world, &mut payee, 1, now, 0..10);
    let before = LIVE.get();
    assert_eq!(pay(&world, &mut payee, 1, now, 10..10_000), id);
    assert!(LIVE.get() - before < 1000, "{} bytes", LIVE.get() - before);
}

#[test]
fn sessions_that_show_one_voucher_in_turns_take_no_more_memory() {
    let (now, world) = (Instant::now(), new_world());
    let mut payee = new_payee(&world);
    let (id, voucher) = shown(&world, &mut payee, 1, now);
    let mut show = |alias| {
        for session in [8, 9].map(Session::new) {
            let message = Message::Voucher { alias, voucher: voucher.clone() };
            payee.handle_message(now, session, message).unwrap();
            assert_eq!(std::iter::from_fn(|| payee.poll_output()).count(), 1, "a receipt");
        }
        payee.poll_fault()
    };
    assert!((0..10).all(|alias| show(alias).is_none()));
    let before = LIVE.get();
    assert!((10..10_000).all(|alias| show(alias).is_none()));
    assert!(LIVE.get() - before < 1000, "{} bytes", LIVE.get() - before);
    assert_eq!(payee.held(&id), units(14));
}

#[test]
fn a_session_names_64_lanes_at_a_time_and_no_more() {
    let (now, world) = (Instant::now(), new_world());
    let mut payee = new_payee(&world);
    let session = Session::new(100_000);
    let mut show = |number| {
        let (_, voucher) = shown(&world, &mut payee, number, now);
        payee.handle_message(now, session, Message::Voucher { alias: number, voucher }).unwrap();
        let told = std::iter::from_fn(|| payee.poll_output()).count();
        (told, payee.poll_fault().map(|(_, fault)| fault))
    };
    for number in 0..64 {
        assert_eq!(show(number), (1, None));
    }
    for number in 64..100 {
        assert_eq!(show(number), (0, Some(Fault::Lanes)));
    }
    // One that has a name may get another one.
    assert_eq!(show(5), (1, None));
    payee.disconnect(session);
    let (_, voucher) = shown(&world, &mut payee, 99, now);
    payee.handle_message(now, session, Message::Voucher { alias: 0, voucher }).unwrap();
    assert_eq!((payee.poll_output().is_some(), payee.poll_fault()), (true, None));
}

#[test]
fn faults_that_nobody_takes_are_limited_and_the_rest_is_counted() {
    let (now, world) = (Instant::now(), new_world());
    let mut payee = new_payee(&world);
    let stranger = Voucher::new(ChannelId::new([9; 32]), Lane::new(0), Seq::new(1), units(1));
    let tell = |payee: &mut Payee, times: u64| {
        for _ in 0..times {
            let voucher = SignedVoucher::new(stranger, vec![0; 64]);
            payee.handle_message(now, Session::new(3), Message::Voucher { alias: 0, voucher }).unwrap();
            assert_eq!(payee.poll_output(), None);
        }
    };
    tell(&mut payee, 1024);
    assert_eq!(payee.dropped_faults(), 0);
    let before = LIVE.get();
    tell(&mut payee, 100_000);
    assert!(LIVE.get() - before < 1000, "{} bytes", LIVE.get() - before);
    assert_eq!(payee.dropped_faults(), 100_000);
    let taken: Vec<_> = std::iter::from_fn(|| payee.poll_fault()).collect();
    assert_eq!(taken, vec![(Session::new(3), Fault::UnknownChannel(ChannelId::new([9; 32]))); 1024]);
    tell(&mut payee, 1);
    assert!(payee.poll_fault().is_some());
    assert_eq!(payee.dropped_faults(), 100_000);
}

#[test]
fn a_batch_of_bad_vouchers_drops_no_fault_however_large_it_is() {
    let (now, world) = (Instant::now(), new_world());
    let mut config = PayeeConfig::default();
    config.batch = 3000;
    let rng = Seed::new([2; 32]).rng();
    let mut payee = Payee::new(config, world.address(1), Arc::new(Schemes::default()), rng);
    let stranger = Voucher::new(ChannelId::new([9; 32]), Lane::new(0), Seq::new(1), units(1));
    for _ in 0..3000 {
        let voucher = SignedVoucher::new(stranger, vec![0; 64]);
        payee.handle_message(now, Session::new(3), Message::Voucher { alias: 0, voucher }).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| payee.poll_fault()).count(), 3000);
    assert_eq!(payee.dropped_faults(), 0);
}
