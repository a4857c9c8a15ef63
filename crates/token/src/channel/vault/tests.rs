//! Vaults alone, and beside a plain model with channels that draw on them.

use super::*;
use crate::channel::adjudicator::{Channel, ChannelParams};
use crate::contract::{ChannelOpen, LaneClaim};
use crate::ids::{ChannelId, LedgerId};
use crate::scheme::Schemes;
use crate::tick::{Tick, TickChain};
use proptest::prelude::*;
use unchoke_core::{Rng, Seed};

fn units(units: u64) -> Units {
    Units::new(units).unwrap()
}

fn payee(number: u8) -> Address {
    Address::from_digest(&[number; 32])
}

#[test]
fn a_reservation_is_paid_first_and_the_rest_out_of_what_is_liquid() {
    let mut vault = Vault::default();
    vault.deposit(units(100)).unwrap();
    vault.allocate(payee(1), units(30)).unwrap();
    assert_eq!((vault.liquid(), vault.total()), (units(70), units(100)));
    assert_eq!(vault.pay(&payee(1), units(20)), units(20));
    assert_eq!(vault.pay(&payee(2), units(60)), units(60));
    assert_eq!(vault.pay(&payee(1), units(50)), units(20));
    assert_eq!(vault.pay(&payee(1), units(1)), Units::ZERO);
    assert_eq!(vault, Vault::default());
}

#[test]
fn a_reservation_shrinks_only_when_its_time_has_come_and_by_what_is_left() {
    let mut vault = Vault::default();
    vault.deposit(units(100)).unwrap();
    vault.allocate(payee(1), units(30)).unwrap();
    let missing = VaultError::Insufficient { needed: units(31), has: units(30) };
    assert_eq!(vault.request_release(&payee(1), units(31), Height::new(10)), Err(missing));
    assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Err(VaultError::NotAnnounced));
    vault.request_release(&payee(1), units(25), Height::new(10)).unwrap();
    assert_eq!(vault.sure_for(&payee(1), Height::new(9)), units(30));
    assert_eq!(vault.sure_for(&payee(1), Height::new(10)), units(5));
    assert_eq!(vault.finish_release(&payee(1), Height::new(9)), Err(VaultError::TooEarly(Height::new(10))));
    assert_eq!(vault.pay(&payee(1), units(20)), units(20));
    assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Ok(units(10)));
    assert_eq!((vault.liquid(), vault.total()), (units(80), units(80)));
    assert_eq!(vault.reservations().count(), 0);
    assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Err(VaultError::NotAnnounced));
}

#[test]
fn an_announcement_of_nothing_takes_one_back() {
    let mut vault = Vault::default();
    vault.deposit(units(100)).unwrap();
    vault.allocate(payee(1), units(30)).unwrap();
    vault.request_release(&payee(1), units(25), Height::new(10)).unwrap();
    vault.request_release(&payee(1), Units::ZERO, Height::new(10)).unwrap();
    assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Err(VaultError::NotAnnounced));
    vault.request_withdrawal(units(70), Height::new(10)).unwrap();
    vault.request_withdrawal(Units::ZERO, Height::new(10)).unwrap();
    assert_eq!(vault.finish_withdrawal(Height::new(10)), Err(VaultError::NotAnnounced));
    assert_eq!(vault.withdrawal(), None);
}

#[test]
fn money_leaves_only_when_its_time_has_come_and_only_what_is_liquid_then() {
    let mut vault = Vault::default();
    assert_eq!(vault.deposit(Units::ZERO), Err(VaultError::Amount));
    vault.deposit(units(100)).unwrap();
    assert_eq!(vault.deposit(Units::MAX), Err(VaultError::Amount));
    let missing = VaultError::Insufficient { needed: units(101), has: units(100) };
    assert_eq!(vault.request_withdrawal(units(101), Height::new(5)), Err(missing));
    vault.request_withdrawal(units(100), Height::new(5)).unwrap();
    assert_eq!(vault.finish_withdrawal(Height::new(4)), Err(VaultError::TooEarly(Height::new(5))));
    vault.allocate(payee(1), units(60)).unwrap();
    assert_eq!(vault.finish_withdrawal(Height::new(5)), Ok(units(40)));
    assert_eq!(vault.total(), units(60));
    assert_eq!(vault.allocate(payee(1), Units::ZERO), Err(VaultError::Amount));
    let missing = VaultError::Insufficient { needed: units(1), has: Units::ZERO };
    assert_eq!(vault.allocate(payee(1), units(1)), Err(missing));
}

#[test]
fn payees_are_limited() {
    let mut vault = Vault::default();
    vault.deposit(units(5000)).unwrap();
    let payee = |number: usize| {
        let mut digest = [0; 32];
        digest[24..].copy_from_slice(&number.to_be_bytes());
        Address::from_digest(&digest)
    };
    for number in 0..MAX_PAYEES {
        vault.allocate(payee(number), units(1)).unwrap();
    }
    assert_eq!(vault.allocate(payee(MAX_PAYEES), units(1)), Err(VaultError::TooManyPayees));
    assert_eq!(vault.allocate(payee(0), units(1)), Ok(()));
}

proptest! {
    /// Whatever is done, and in whichever order: what went in is there or went out, and reservations are covered.
    #[test]
    fn money_is_conserved(steps in proptest::collection::vec((0..7_u8, 0..3_u8, 0..50_u64), 0..60)) {
        let (mut vault, mut put_in, mut out) = (Vault::default(), 0, 0);
        for (height, (what, who, amount)) in steps.into_iter().enumerate() {
            let (who, amount, now) = (payee(who), units(amount), Height::new(height as u64));
            let later = now.saturating_add(3);
            match what {
                0 => put_in += vault.deposit(amount).map_or(0, |()| amount.get()),
                1 => drop(vault.allocate(who, amount)),
                2 => drop(vault.request_release(&who, amount, later)),
                3 => drop(vault.finish_release(&who, now)),
                4 => drop(vault.request_withdrawal(amount, later)),
                5 => out += vault.finish_withdrawal(now).map_or(0, Units::get),
                _ => {
                    let sure = vault.sure_for(&who, now).min(amount);
                    let paid = vault.pay(&who, amount);
                    prop_assert!(paid >= sure && paid <= amount);
                    out += paid.get();
                }
            }
            let hard: u64 = vault.reservations().map(|(_, it)| it.amount.get()).sum();
            prop_assert_eq!(vault.liquid().get() + hard, put_in - out);
            prop_assert_eq!(vault.total().get(), put_in - out);
        }
    }
}

#[test]
fn a_vault_that_is_written_down_comes_back_unless_it_breaks_the_rules() {
    let mut vault = Vault::default();
    vault.deposit(units(100)).unwrap();
    vault.allocate(payee(1), units(30)).unwrap();
    vault.allocate(payee(2), units(20)).unwrap();
    vault.request_release(&payee(2), units(5), Height::new(9)).unwrap();
    vault.request_withdrawal(units(40), Height::new(8)).unwrap();
    let parts: Vec<_> = vault.reservations().map(|(payee, it)| (*payee, it.amount, it.release)).collect();
    assert_eq!(Vault::from_parts(vault.liquid(), vault.withdrawal(), parts.clone()), Some(vault));
    let twice = [parts[0], parts[0]];
    assert_eq!(Vault::from_parts(units(1), None, twice), None);
    let all = [(payee(1), Units::MAX, None), (payee(2), units(1), None)];
    assert_eq!(Vault::from_parts(Units::ZERO, None, all), None);
    assert_eq!(Vault::from_parts(units(1), None, all[..1].iter().copied()), None);
    assert!(Vault::from_parts(Units::ZERO, None, all[..1].iter().copied()).is_some());
    let many = |count: usize| {
        let parts = (0..count).map(|number| {
            let mut digest = [0; 32];
            digest[24..].copy_from_slice(&number.to_be_bytes());
            (Address::from_digest(&digest), units(1), None)
        });
        Vault::from_parts(Units::ZERO, None, parts)
    };
    assert_eq!((many(MAX_PAYEES).is_some(), many(MAX_PAYEES + 1)), (true, None));
}

const LEDGER: LedgerId = LedgerId::new([3; 32]);
const WHO: usize = 3;

/// Everything in integers, by the rules of the text. What is announced is an amount and a height.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Model {
    liquid: u64,
    hard: [u64; WHO],
    release: [Option<(u64, u64)>; WHO],
    withdrawal: Option<(u64, u64)>,
    claimed: [u64; WHO],
    paid: [u64; WHO],
}

impl Model {
    fn deposit(&mut self, amount: u64) -> bool {
        self.liquid += amount;
        amount > 0
    }

    fn allocate(&mut self, who: usize, amount: u64) -> bool {
        let may = amount > 0 && amount <= self.liquid;
        (self.liquid, self.hard[who]) =
            if may { (self.liquid - amount, self.hard[who] + amount) } else { (self.liquid, self.hard[who]) };
        may
    }

    fn request_release(&mut self, who: usize, amount: u64, at: u64) -> bool {
        let may = amount <= self.hard[who] && (self.hard[who] > 0 || self.release[who].is_some());
        self.release[who] = if may { Some((amount, at)).filter(|_| amount > 0) } else { self.release[who] };
        may
    }

    fn finish_release(&mut self, who: usize, height: u64) -> bool {
        let Some((amount, _)) = self.release[who].filter(|(_, at)| height >= *at) else { return false };
        let amount = amount.min(self.hard[who]);
        (self.hard[who], self.liquid, self.release[who]) = (self.hard[who] - amount, self.liquid + amount, None);
        true
    }

    fn request_withdrawal(&mut self, amount: u64, at: u64) -> bool {
        let may = amount <= self.liquid;
        self.withdrawal = if may { Some((amount, at)).filter(|_| amount > 0) } else { self.withdrawal };
        may
    }

    fn finish_withdrawal(&mut self, height: u64) -> Option<u64> {
        let (amount, _) = self.withdrawal.take_if(|(_, at)| height >= *at)?;
        let amount = amount.min(self.liquid);
        self.liquid -= amount;
        Some(amount)
    }

    /// A claim up to a total, or of what was not paid yet.
    fn draw(&mut self, who: usize, total: Option<u64>) -> bool {
        let may = total.map_or(self.paid[who] < self.claimed[who], |total| total > self.claimed[who]);
        self.claimed[who] = total.map_or(self.claimed[who], |total| total.max(self.claimed[who]));
        let due = if may { self.claimed[who] - self.paid[who] } else { 0 };
        let hard = due.min(self.hard[who]);
        let soft = (due - hard).min(self.liquid);
        (self.hard[who], self.liquid) = (self.hard[who] - hard, self.liquid - soft);
        self.paid[who] += hard + soft;
        may
    }

    fn sure(&self, who: usize, until: u64) -> u64 {
        let leaving = self.release[who].filter(|(_, at)| *at <= until).map_or(0, |(amount, _)| amount);
        self.hard[who].saturating_sub(leaving)
    }
}

/// A channel that draws on the vault, each tick a unit.
fn channel(number: u8) -> (ChannelId, Channel, TickChain) {
    let mut open = ChannelOpen {
        owner_address: payee(99).as_bytes().to_vec(),
        payee_address: payee(number).as_bytes().to_vec(),
        asset_name: b"_".to_vec(),
        tick_value: 1,
        max_ticks: 400,
        salt: vec![0; 16],
        ledger: LEDGER.as_bytes().to_vec(),
        dispute: 5000,
        ..ChannelOpen::default()
    };
    let id = Channel::id(&open);
    let chain = TickChain::new(id, &Seed::new([number; 32]), 400);
    open.anchor = chain.anchor().to_vec();
    let opened = Channel::open(&open, &LEDGER, Height::new(0), &ChannelParams::default(), &Schemes::default());
    (id, opened.unwrap(), chain)
}

/// One random run: after each step both agree about the verdict and all amounts, and no money is made or lost.
fn run(rng: &mut Rng) {
    let (mut vault, mut model) = (Vault::default(), Model::default());
    let mut channels = [0, 1, 2].map(channel);
    let (mut put_in, mut out) = (0, 0);
    for step in 0..120_u32 {
        let (who, amount, now) = (rng.below(3) as usize, u64::from(rng.below(60)), u64::from(step / 3));
        let (address, some, at) = (payee(who as u8), units(amount), now + 4);
        // Now, or a block before, at or after the height at which something may be done.
        let near = |pending: Option<(u64, u64)>, by: u64| pending.map_or(now, |(_, at)| (at + by).saturating_sub(1));
        let (outcome, expected) = match rng.below(9) {
            0 => {
                put_in += amount;
                (vault.deposit(some).is_ok(), model.deposit(amount))
            }
            1 | 2 => (vault.allocate(address, some).is_ok(), model.allocate(who, amount)),
            3 => {
                (vault.request_release(&address, some, Height::new(at)).is_ok(), model.request_release(who, amount, at))
            }
            4 => {
                let height = near(model.release[who], rng.below(3).into());
                (vault.finish_release(&address, Height::new(height)).is_ok(), model.finish_release(who, height))
            }
            5 => (vault.request_withdrawal(some, Height::new(at)).is_ok(), model.request_withdrawal(amount, at)),
            6 => {
                let height = near(model.withdrawal, rng.below(3).into());
                let taken = vault.finish_withdrawal(Height::new(height)).ok().map(Units::get);
                out += taken.unwrap_or(0);
                assert_eq!(taken, model.finish_withdrawal(height));
                (true, true)
            }
            kind => {
                let (id, channel, chain) = &mut channels[who];
                let total = (kind == 7).then_some((model.claimed[who] + amount / 6).clamp(1, 400));
                let tick = total.map(|total| chain.tick(total as u32).unwrap());
                let claim = |tick: Tick| LaneClaim {
                    tick: tick.index.into(),
                    preimage: tick.preimage.to_vec(),
                    ..LaneClaim::default()
                };
                let claims: Vec<_> = tick.map(claim).into_iter().collect();
                let payout =
                    channel.claim(id, &claims, Height::new(now), &ChannelParams::default(), &Schemes::default());
                let paid = payout.as_ref().map_or(Units::ZERO, |it| vault.pay(&address, it.payee));
                channel.settle(paid);
                (payout.is_ok(), model.draw(who, total))
            }
        };
        assert_eq!(outcome, expected, "step {step}: {vault:?} {model:?}");
        let pending = |it: Pending| (it.amount.get(), it.at.get());
        let mut found =
            Model { liquid: vault.liquid().get(), withdrawal: vault.withdrawal().map(pending), ..Model::default() };
        for (address, it) in vault.reservations() {
            let who = (0..WHO).find(|who| payee(*who as u8) == *address).unwrap();
            assert!(!it.amount.is_zero() || it.release.is_some(), "a reservation of nothing");
            (found.hard[who], found.release[who]) = (it.amount.get(), it.release.map(pending));
        }
        for (who, (_, channel, _)) in channels.iter().enumerate() {
            (found.claimed[who], found.paid[who]) = (channel.claimed().get(), channel.paid().get());
            for until in [at - 1, at, at + 1].into_iter().chain((0..3).map(|by| near(model.release[who], by))) {
                assert_eq!(vault.sure_for(&payee(who as u8), Height::new(until)).get(), model.sure(who, until));
            }
        }
        assert_eq!(found, model);
        assert_eq!(vault.total().get(), model.liquid + model.hard.iter().sum::<u64>());
        assert_eq!(put_in, vault.total().get() + out + model.paid.iter().sum::<u64>(), "money is made or lost");
    }
}

#[test]
fn the_vault_and_a_plain_model_agree_about_every_step() {
    let mut rng = Seed::new([1; 32]).rng();
    for _ in 0..400 {
        run(&mut rng);
    }
}
