//! Claims that a watcher holds for a payee that is away.

use crate::pair::{LANE, Pair};
use crate::world::units;
use std::sync::Arc;
use unchoke_core::Seed;
use unchoke_token::channel::adjudicator::ChannelError;
use unchoke_token::channel::{
    ChannelStore as _, Client, Event, Fault, MemoryChannelStore, Output, Watcher, WatcherConfig,
};
use unchoke_token::contract::{
    ChannelClaim, ChannelClose, ChannelFinish, ChannelOpen, LaneClaim, VaultAllocate, VaultDeposit, VaultRelease,
};
use unchoke_token::ledger::Ledger as _;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{Claim, SignedVoucher, Voucher};
use unchoke_token::{ChannelId, Height, Lane, Schemes, Seq, Signable, Signer as _, Units};

const CLIENT: Client = Client::new(7);

/// A pair whose payee is away, and a watcher with an account of its own.
struct Watch {
    pair: Pair,
    watcher: Watcher,
    log: MemoryChannelStore,
    events: Vec<Event>,
    /// What was handed in.
    submitted: usize,
}

fn config() -> WatcherConfig {
    let mut config = WatcherConfig::default();
    (config.max_channels, config.max_channels_of_client, config.max_lanes) = (3, 2, 3);
    (config.min_life, config.open_window) = (4, 10);
    config
}

impl Watch {
    fn new() -> Self {
        let pair = Pair::new();
        let watcher = Watcher::new(config(), pair.world.address(2), Arc::new(Schemes::default()));
        Self { pair, watcher, log: MemoryChannelStore::default(), events: Vec::new(), submitted: 0 }
    }

    fn height(&self) -> Height {
        self.pair.world.ledger.head().number
    }

    fn bring(&mut self, client: Client, id: ChannelId, claims: &[LaneClaim]) -> Result<Units, Fault> {
        let view = self.pair.world.ledger.channel(&id).cloned();
        let held = self.watcher.handle_claims(self.height(), client, id, view.as_ref(), claims)?;
        self.work();
        // The client is told when it is durable.
        let held = held.open(unchoke_token::channel::Durable::default()).unwrap_err();
        Ok(held.open(self.log.sync().unwrap()).unwrap())
    }

    fn work(&mut self) {
        while let Some(output) = self.watcher.poll_output() {
            match output {
                Output::Persist { id, record } => self.log.append(id, &record).unwrap(),
                Output::Build { request, contract } => {
                    let signed = self.pair.world.sign(2, *contract);
                    self.watcher.handle_built(request, signed).unwrap();
                }
                Output::Submit(transaction) => {
                    let transaction = transaction.open(self.log.sync().unwrap()).unwrap();
                    self.submitted += 1;
                    if !self.pair.deaf_ledger {
                        self.pair.world.ledger.submit(&transaction).unwrap();
                    }
                }
                Output::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
    }

    fn seal(&mut self) {
        let limit = |it: &unchoke_token::channel::Channel| it.deposit().unwrap_or_default();
        self.pair.world.seal(1);
        for id in self.watcher.channels().collect::<Vec<_>>() {
            let view = self.pair.world.ledger.channel(&id).cloned();
            let limit = view.as_ref().map(limit).unwrap_or_default();
            self.watcher.handle_channel(self.height(), id, view.as_ref(), limit).unwrap();
        }
        self.work();
    }

    fn restart(&mut self) {
        let schemes = Arc::new(Schemes::default());
        self.log.sync().unwrap();
        self.watcher =
            Watcher::restore(config(), self.pair.world.address(2), schemes, &self.log.load().unwrap()).unwrap();
    }

    fn close(&mut self, id: ChannelId) {
        let close = ChannelClose { owner_address: self.pair.world.bytes(0), channel: id.as_bytes().to_vec() };
        self.pair.world.apply(0, close).unwrap();
    }

    /// A voucher of the payer's for 20 ticks of 3, and one of them.
    fn claim(&self, id: ChannelId, lane: u32, base: u64, tick: u32, end: u64) -> LaneClaim {
        let chain = TickChain::new(id, &Seed::new([9; 32]), 20);
        let voucher = Voucher::new(id, Lane::new(lane), Seq::new(1), units(base));
        let voucher = voucher.with_ticks(*chain.anchor(), units(3), 20).with_end(Height::new(end));
        let signature = self.pair.world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
        Claim::new(SignedVoucher::new(voucher, signature), chain.tick(tick)).to_contract()
    }
}

#[test]
fn a_payee_that_is_away_gets_what_it_held_though_the_payer_closes_with_an_old_claim() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    watch.pair.payer.arm(id, LANE, units(5), units(3)).unwrap();
    watch.pair.run();
    watch.pair.payer.pay(id, LANE, 2).unwrap();
    watch.pair.run();
    let old = watch.pair.payee.claims(&id);
    assert_eq!(watch.bring(CLIENT, id, &old), Ok(units(11)));
    watch.pair.payer.pay(id, LANE, 20).unwrap();
    watch.pair.run();
    assert_eq!(watch.bring(CLIENT, id, &watch.pair.payee.claims(&id)), Ok(units(71)));
    // From here on the payee is away; its watcher starts anew once.
    watch.restart();
    let contract =
        ChannelClaim { owner_address: watch.pair.world.bytes(0), channel: id.as_bytes().to_vec(), claims: old };
    watch.pair.world.apply(0, contract).unwrap();
    watch.seal();
    assert_eq!(watch.submitted, 0, "while nobody closes there is time");
    watch.close(id);
    // What it hands in is lost twice.
    watch.pair.deaf_ledger = true;
    watch.seal();
    watch.seal();
    watch.pair.deaf_ledger = false;
    assert_eq!((watch.submitted, watch.pair.world.ledger.channel(&id).unwrap().claimed()), (2, units(11)));
    watch.seal();
    watch.seal();
    assert_eq!((watch.submitted, watch.pair.world.ledger.channel(&id).unwrap().claimed()), (3, units(71)));
    (0..4).for_each(|_| watch.seal());
    let finish = ChannelFinish { owner_address: watch.pair.world.bytes(2), channel: id.as_bytes().to_vec() };
    watch.pair.world.apply(2, finish).unwrap();
    watch.seal();
    assert_eq!((watch.pair.held(0), watch.pair.held(1), watch.pair.held(2)), (999_929, 1_000_071, 1_000_000));
    assert_eq!(watch.events.last(), Some(&Event::Settled { channel: id, claimed: units(71) }));
    assert_eq!((watch.submitted, watch.watcher.channels().count()), (3, 0));
    watch.restart();
    assert_eq!(watch.watcher.channels().count(), 0);
}

#[test]
fn a_forged_claim_and_one_of_an_unknown_channel_are_refused_and_change_nothing() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    let unknown = ChannelId::new([1; 32]);
    let good = watch.claim(id, 0, 5, 10, 0);
    assert_eq!(watch.bring(CLIENT, unknown, std::slice::from_ref(&good)), Err(Fault::UnknownChannel(unknown)));
    assert_eq!(watch.bring(CLIENT, id, std::slice::from_ref(&good)), Ok(units(35)));
    let before = watch.watcher.snapshot();
    let bend = |change: &dyn Fn(&mut LaneClaim)| {
        let mut claim = watch.claim(id, 0, 50, 11, 0);
        change(&mut claim);
        claim
    };
    let forged = [
        (bend(&|it| it.signature[3] ^= 1), Fault::Ledger(ChannelError::Signature)),
        (bend(&|it| it.voucher[52] ^= 1), Fault::Ledger(ChannelError::Signature)),
        (bend(&|it| it.preimage[31] ^= 1), Fault::Ledger(ChannelError::Tick(11))),
        (bend(&|it| it.tick = 12), Fault::Ledger(ChannelError::Tick(12))),
        (watch.claim(unknown, 0, 50, 0, 0), Fault::Ledger(ChannelError::OtherChannel(unknown))),
        (watch.claim(id, 0, 5, 10, 0), Fault::Stale),
        (watch.claim(id, 0, 5, 9, 0), Fault::Stale),
        (watch.claim(id, 0, 50, 0, watch.height().get() + 3), Fault::EndsTooSoon),
    ];
    for (claim, fault) in forged {
        // A good one beside it does not help, unless the other is merely no better.
        let beside = watch.claim(id, 1, 7, 0, 0);
        assert_eq!(watch.bring(CLIENT, id, std::slice::from_ref(&claim)), Err(fault.clone()));
        if fault != Fault::Stale {
            assert_eq!(watch.bring(CLIENT, id, &[beside, claim]), Err(fault));
        }
    }
    assert_eq!(watch.watcher.snapshot(), before);
    let twice = [watch.claim(id, 1, 7, 0, 0), watch.claim(id, 1, 8, 0, 0)];
    assert_eq!(watch.bring(CLIENT, id, &twice), Err(Fault::Lanes));
    assert_eq!(watch.bring(CLIENT, id, &[]), Err(Fault::Lanes));
    let both = [good, watch.claim(id, 1, 7, 0, 0)];
    assert_eq!(watch.bring(CLIENT, id, &both), Ok(units(42)));
    watch.close(id);
    (0..5).for_each(|_| watch.seal());
    let finish = ChannelFinish { owner_address: watch.pair.world.bytes(2), channel: id.as_bytes().to_vec() };
    watch.pair.world.apply(2, finish).unwrap();
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 90, 0, 0)]), Err(Fault::Phase("done")));
}

#[test]
fn a_payer_that_fills_the_lanes_of_a_watcher_does_not_shut_out_its_payee() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    let dust: Vec<_> = (10..13).map(|lane| watch.claim(id, lane, 2, 0, 0)).collect();
    assert_eq!(watch.bring(Client::new(9), id, &dust), Ok(units(6)));
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 2, 0, 0)]), Err(Fault::Lanes));
    let claims = [watch.claim(id, 0, 5, 10, 0), watch.claim(id, 1, 3, 0, 0)];
    assert_eq!(watch.bring(CLIENT, id, &claims), Ok(units(40)));
    assert_eq!(watch.bring(Client::new(9), id, &dust[..2]), Err(Fault::Lanes));
    watch.restart();
    assert_eq!(watch.watcher.held(&id), units(40));
    watch.close(id);
    watch.seal();
    watch.seal();
    assert_eq!(watch.pair.world.ledger.channel(&id).unwrap().claimed(), units(40));
    // What the ledger has counted is worth nothing here any more.
    assert_eq!(watch.bring(Client::new(9), id, &dust[..1]), Ok(units(40)));
}

#[test]
fn a_watcher_walks_no_chain_of_a_claim_that_is_no_better_or_stands_beside_a_bad_one() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 5, 10, 0)]), Ok(units(35)));
    let bend = |lane, tick| {
        let mut claim = watch.claim(id, lane, 5, tick, 0);
        claim.preimage[0] ^= 1;
        claim
    };
    let (worse, better) = (bend(0, 9), bend(0, 11));
    let mut forged = watch.claim(id, 1, 5, 20, 0);
    forged.signature[3] ^= 1;
    assert_eq!(watch.bring(CLIENT, id, &[worse]), Err(Fault::Stale));
    let both = [better.clone(), forged];
    assert_eq!(watch.bring(CLIENT, id, &both), Err(Fault::Ledger(ChannelError::Signature)));
    assert_eq!(watch.bring(CLIENT, id, &[better]), Err(Fault::Ledger(ChannelError::Tick(11))));
}

#[test]
fn channels_and_lanes_are_limited_in_all_and_for_each_client() {
    let mut watch = Watch::new();
    let open = |watch: &mut Watch, salt| {
        let open = ChannelOpen { salt: vec![salt; 16], ..watch.pair.world.channel(100) };
        watch.pair.world.apply(0, open).unwrap().channel.unwrap()
    };
    let ids: Vec<_> = (1..=4).map(|salt| open(&mut watch, salt)).collect();
    let bring = |watch: &mut Watch, client, id, lane, base| {
        let claim = watch.claim(id, lane, base, 0, 0);
        watch.bring(Client::new(client), id, &[claim])
    };
    assert_eq!(bring(&mut watch, 1, ids[0], 0, 5), Ok(units(5)));
    assert_eq!(bring(&mut watch, 1, ids[1], 0, 5), Ok(units(5)));
    assert_eq!(bring(&mut watch, 1, ids[2], 0, 5), Err(Fault::Channels));
    // Whoever has a better claim of a channel that is held may bring it.
    assert_eq!(bring(&mut watch, 2, ids[1], 0, 6), Ok(units(6)));
    assert_eq!(bring(&mut watch, 2, ids[2], 0, 5), Ok(units(5)));
    assert_eq!(bring(&mut watch, 2, ids[3], 0, 5), Err(Fault::Channels));
    for lane in 1..3 {
        assert_eq!(bring(&mut watch, 1, ids[0], lane, 1), Ok(units(5 + u64::from(lane))));
    }
    assert_eq!(bring(&mut watch, 1, ids[0], 3, 1), Err(Fault::Lanes));
    // A channel that is over makes room; so it is after a restart.
    watch.close(ids[0]);
    (0..5).for_each(|_| watch.seal());
    let finish = ChannelFinish { owner_address: watch.pair.world.bytes(2), channel: ids[0].as_bytes().to_vec() };
    watch.pair.world.apply(2, finish).unwrap();
    watch.seal();
    watch.restart();
    assert_eq!(bring(&mut watch, 1, ids[3], 0, 5), Ok(units(5)));
    assert_eq!(bring(&mut watch, 3, ids[0], 0, 5), Err(Fault::Channels));
}

#[test]
fn a_claim_that_is_about_to_end_does_not_take_the_place_of_one_that_lasts() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 5, 10, 0)]), Ok(units(35)));
    watch.close(id);
    watch.pair.deaf_ledger = true;
    watch.seal();
    // The payer brings more, which counts in the next block alone.
    let next = watch.height().get() + 1;
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 100, 0, next)]), Err(Fault::EndsTooSoon));
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 1, 100, 0, next - 1)]), Err(Fault::EndsTooSoon));
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 1, 100, 0, next)]), Ok(units(135)));
    watch.seal();
    watch.pair.deaf_ledger = false;
    watch.seal();
    watch.seal();
    // What has ended does not spoil the rest.
    assert_eq!(watch.pair.world.ledger.channel(&id).unwrap().claimed(), units(35));
}

#[test]
fn a_watcher_claims_before_a_voucher_ends_and_before_a_reservation_is_gone() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    let end = watch.height().get() + 4;
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 5, 10, end)]), Ok(units(35)));
    watch.seal();
    watch.seal();
    assert_eq!(watch.submitted, 0);
    watch.seal();
    assert_eq!(watch.submitted, 1);
    watch.seal();
    assert_eq!(watch.pair.world.ledger.channel(&id).unwrap().claimed(), units(35));

    let (owner_address, payee_address) = (watch.pair.world.bytes(0), watch.pair.world.bytes(1));
    let (asset_name, amount) = (b"_".to_vec(), 50);
    let deposit = VaultDeposit { owner_address: owner_address.clone(), asset_name: asset_name.clone(), amount };
    watch.pair.world.apply(0, deposit).unwrap();
    let (owner, payee, asset) = (owner_address.clone(), payee_address.clone(), asset_name.clone());
    let allocate = VaultAllocate { owner_address: owner, payee_address: payee, asset_name: asset, amount };
    watch.pair.world.apply(0, allocate).unwrap();
    let open = watch.pair.world.channel(0);
    let id = watch.pair.world.apply(0, open).unwrap().channel.unwrap();
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 40, 0, 0)]), Ok(units(40)));
    let see = |watch: &mut Watch| {
        watch.pair.world.seal(1);
        let (height, view) = (watch.height(), watch.pair.world.ledger.channel(&id).cloned());
        let (payer, payee) = (watch.pair.world.address(0), watch.pair.world.address(1));
        let vault = watch.pair.world.ledger.vault(&payer, unchoke_token::AssetId::NATIVE).cloned();
        let sure = vault.map_or(Units::ZERO, |it| it.sure_for(&payee, height.saturating_add(100_000)));
        let limit = view.as_ref().map_or(Units::ZERO, |it| it.paid().checked_add(sure).unwrap());
        watch.watcher.handle_channel(height, id, view.as_ref(), limit).unwrap();
        watch.work();
    };
    see(&mut watch);
    assert_eq!(watch.submitted, 1, "what is held is sure");
    let release = VaultRelease { owner_address, payee_address, asset_name, amount: 30 };
    watch.pair.world.apply(0, release).unwrap();
    see(&mut watch);
    see(&mut watch);
    assert_eq!((watch.submitted, watch.pair.world.ledger.channel(&id).unwrap().paid()), (2, units(40)));
}

#[test]
fn with_a_failing_or_damaged_log_a_watcher_claims_what_it_has_and_takes_nothing() {
    let mut watch = Watch::new();
    let id = watch.pair.open(1000);
    for base in [5, 20, 30] {
        assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, base, 0, 0)]), Ok(units(base)));
    }
    watch.watcher.handle_store_failure();
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 90, 0, 0)]), Err(Fault::Frozen));
    watch.watcher.handle_store_recovery();
    watch.log.sync().unwrap();
    let at = watch.log.load().unwrap().records[..2].iter().map(|(_, it)| it.len() + 24).sum::<usize>() + 24 + 30;
    watch.log.disk_mut()[at] ^= 1;
    let log = watch.log.load().unwrap();
    assert!(log.damage.is_some());
    let (address, schemes) = (watch.pair.world.address(2), Arc::new(Schemes::default()));
    watch.watcher = Watcher::restore(config(), address, schemes, &log).unwrap();
    assert_eq!(watch.watcher.held(&id), units(30));
    assert_eq!(watch.bring(CLIENT, id, &[watch.claim(id, 0, 90, 0, 0)]), Err(Fault::Corrupt));
    watch.close(id);
    watch.seal();
    watch.seal();
    assert_eq!(watch.pair.world.ledger.channel(&id).unwrap().claimed(), units(30));
}
