//! The adjudicator beside a plain model, and what went wrong elsewhere.

#![allow(clippy::type_complexity, reason = "lists of what is wrong")]

use super::*;
use crate::contract::LaneClaim;
use crate::ids::Seq;
use crate::signer::{KeySigner, Signable, Signer as _};
use crate::tick::TickChain;
use unchoke_core::keys::SecretKey;
use unchoke_core::{Rng, Seed};

const DISPUTE: u64 = 5;
const LEDGER: LedgerId = LedgerId::new([3; 32]);

fn signer(number: u8) -> KeySigner {
    KeySigner::new(SecretKey::from_seed(&Seed::new([number; 32])))
}

fn units(units: u64) -> Units {
    Units::new(units).unwrap()
}

fn params() -> ChannelParams {
    ChannelParams {
        min_dispute: 1,
        max_dispute: 100,
        extension: 2,
        open_window: 10,
        max_lanes: 3,
        min_deposit: units(1),
    }
}

fn contract(deposit: i64) -> ChannelOpen {
    ChannelOpen {
        owner_address: signer(1).address().as_bytes().to_vec(),
        payee_address: signer(2).address().as_bytes().to_vec(),
        asset_name: b"_".to_vec(),
        deposit,
        voucher_scheme: 1,
        voucher_key: signer(1).public_key(),
        salt: vec![0; 16],
        ledger: LEDGER.as_bytes().to_vec(),
        opened_at: 10,
        dispute: DISPUTE.cast_signed(),
        ..ChannelOpen::default()
    }
}

fn open(deposit: i64) -> (ChannelId, Channel) {
    let contract = contract(deposit);
    let channel = Channel::open(&contract, &LEDGER, Height::new(10), &params(), &Schemes::default()).unwrap();
    (Channel::id(&contract), channel)
}

/// A claim of a voucher with 20 ticks of 3.
fn claim(id: ChannelId, lane: u32, base: u64, tick: u32, not_after: u64) -> LaneClaim {
    let chain = TickChain::new(id, &Seed::new([9; 32]), 20);
    let voucher = Voucher::new(id, Lane::new(lane), Seq::new(1), units(base))
        .with_ticks(*chain.anchor(), units(3), 20)
        .with_end(Height::new(not_after));
    let signature = signer(1).sign(&Signable::Voucher(&voucher)).unwrap();
    Claim::new(SignedVoucher::new(voucher, signature), chain.tick(tick)).to_contract()
}

fn at(channel: &mut Channel, id: &ChannelId, height: u64, claims: &[LaneClaim]) -> Result<Payout, ChannelError> {
    channel.claim(id, claims, Height::new(height), &params(), &Schemes::default())
}

/// Everything in integers, by the rules of the text.
struct Model {
    deposit: u64,
    lanes: [u64; 4],
    /// What was claimed of lanes that have given way to others.
    gone: u64,
    payee: u64,
    payer: u64,
    deadline: Option<u64>,
    extended: bool,
    done: bool,
}

impl Model {
    fn claimed(&self) -> u64 {
        self.lanes.iter().sum::<u64>() + self.gone
    }

    fn claim(&mut self, height: u64, lane: usize, value: u64, good: bool) -> bool {
        let in_time = !self.done && self.deadline.is_none_or(|deadline| height < deadline);
        let others = self.lanes.iter().enumerate().filter(|(at, held)| *at != lane && **held > 0).count();
        let counted = value.saturating_sub(self.lanes[lane]).min(self.deposit - self.claimed());
        let least = (0..4).filter(|at| self.lanes[*at] > 0).min_by_key(|at| self.lanes[*at]);
        let gives_way = least.filter(|_| others >= 3);
        let has_room = gives_way.is_none_or(|least| value > self.lanes[least]);
        if !in_time || !good || !has_room || value <= self.lanes[lane] || counted == 0 {
            return false;
        }
        if let Some(least) = gives_way {
            self.gone += std::mem::take(&mut self.lanes[least]);
        }
        if let Some(deadline) = self.deadline.filter(|deadline| !self.extended && height + 2 >= *deadline) {
            (self.deadline, self.extended) = (Some(deadline + 2), true);
        }
        self.lanes[lane] += counted;
        self.payee += counted;
        true
    }

    fn top_up(&mut self, amount: u64) -> bool {
        let may = !self.done && self.deadline.is_none() && amount > 0;
        self.deposit += if may { amount } else { 0 };
        may
    }

    fn close(&mut self, height: u64) -> bool {
        let may = !self.done && self.deadline.is_none();
        self.deadline = if may { Some(height + DISPUTE) } else { self.deadline };
        may
    }

    fn end(&mut self, may: bool) -> bool {
        if may && !self.done {
            (self.payer, self.done) = (self.deposit - self.claimed(), true);
            return true;
        }
        false
    }
}

/// One random run: after each step both agree about the verdict, what was paid and where the channel stands.
fn run(rng: &mut Rng) {
    let deposit = u64::from(rng.below(300)) + 1;
    let (id, mut channel) = open(deposit.cast_signed());
    let lanes = [0; 4];
    let mut model = Model { deposit, lanes, gone: 0, payee: 0, payer: 0, deadline: None, extended: false, done: false };
    let (mut payee, mut payer, mut height) = (0, 0, 10);
    for _ in 0..40 {
        height += u64::from(rng.below(3));
        let now = Height::new(height);
        let (outcome, expected) = match rng.below(12) {
            0..=5 => {
                let (lane, base, tick) = (rng.below(4), u64::from(rng.below(150)), rng.below(21));
                // Of those that end, one ends now, one has just ended.
                let end = [0, height, height.saturating_sub(1)][rng.below(3) as usize];
                let mut one = claim(id, lane, base, tick, end);
                let forged = rng.below(8) == 0;
                one.signature[7] ^= u8::from(forged);
                let good = !forged && (end == 0 || end >= height);
                let value = base + 3 * u64::from(tick);
                (at(&mut channel, &id, height, &[one]), model.claim(height, lane as usize, value, good))
            }
            6 => {
                let amount = u64::from(rng.below(50));
                (channel.top_up(units(amount)).map(|()| Payout::default()), model.top_up(amount))
            }
            7 => {
                let by = signer(1 + (rng.below(2) as u8)).address();
                let is_payer = by == channel.payer();
                (channel.close(&by, now).map(|()| Payout::default()), is_payer && model.close(height))
            }
            8 | 9 => {
                let may = model.deadline.is_some_and(|deadline| height >= deadline);
                (channel.finish(now), model.end(may))
            }
            10 if rng.below(4) == 0 => {
                let outcome = channel.release(&id, &signer(2).address(), &[], now, &params(), &Schemes::default());
                (outcome, model.end(true))
            }
            _ => {
                // A third party cannot release.
                let outcome = channel.release(&id, &signer(3).address(), &[], now, &params(), &Schemes::default());
                (outcome, false)
            }
        };
        assert_eq!(outcome.is_ok(), expected, "{outcome:?} {channel:?} at {height}");
        let payout = outcome.unwrap_or_default();
        (payee, payer) = (payee + payout.payee.get(), payer + payout.payer.get());
        assert_eq!((payee, payer), (model.payee, model.payer));
        assert_eq!(channel.claimed().get(), model.claimed());
        let phase = match (model.done, model.deadline) {
            (true, _) => Phase::Done,
            (false, Some(deadline)) => Phase::Closing { deadline: Height::new(deadline), is_extended: model.extended },
            (false, None) => Phase::Open,
        };
        assert_eq!(channel.phase(), phase);
        let held = if model.done { 0 } else { model.deposit - model.claimed() };
        assert_eq!(channel.held().get(), held);
        if model.done {
            assert_eq!(payee + payer, model.deposit);
        }
    }
}

#[test]
fn the_adjudicator_and_a_plain_model_agree_about_every_step() {
    let mut rng = Seed::new([1; 32]).rng();
    for _ in 0..300 {
        run(&mut rng);
    }
}

#[test]
fn a_lane_claimed_twice_is_paid_once_and_lanes_add_up() {
    let (id, mut channel) = open(1000);
    let two = [claim(id, 1, 5, 0, 0), claim(id, 2, 20, 0, 0)];
    assert_eq!(at(&mut channel, &id, 11, &two).unwrap().payee, units(25));
    assert!(matches!(at(&mut channel, &id, 11, &two), Err(ChannelError::Stale { .. })));
    assert_eq!(at(&mut channel, &id, 11, &[claim(id, 2, 30, 0, 0)]).unwrap().payee, units(10));
    let sum: u64 = channel.lanes().iter().map(|(_, claimed)| claimed.get()).sum();
    assert_eq!((sum, channel.claimed(), channel.paid()), (35, units(35), units(35)));
}

#[test]
fn a_lane_that_somebody_has_claimed_before_does_not_keep_the_others_out() {
    let (id, mut channel) = open(1000);
    let best = [claim(id, 1, 5, 2, 0), claim(id, 2, 20, 0, 0)];
    assert_eq!(at(&mut channel, &id, 11, &best[..1]).unwrap().payee, units(11));
    assert_eq!(at(&mut channel, &id, 11, &best).unwrap().payee, units(20));
    let stale = ChannelError::Stale { lane: Lane::new(1), claimed: units(11), value: units(11) };
    assert_eq!(at(&mut channel, &id, 11, &best), Err(stale));
    assert_eq!(channel.lanes(), [(Lane::new(1), units(11)), (Lane::new(2), units(20))]);
    // A lane that is worth nothing is not begun.
    let nothing = [claim(id, 0, 0, 0, 0), claim(id, 1, 5, 3, 0)];
    assert_eq!(at(&mut channel, &id, 11, &nothing).unwrap().payee, units(3));
    assert_eq!(channel.lanes().len(), 2);
}

#[test]
fn all_claims_count_or_none_and_their_lanes_rise() {
    let (id, mut channel) = open(1000);
    let before = channel.clone();
    let mut bad = claim(id, 2, 20, 3, 0);
    bad.preimage[0] ^= 1;
    assert_eq!(at(&mut channel, &id, 11, &[claim(id, 1, 5, 0, 0), bad]), Err(ChannelError::Tick(3)));
    for claims in
        [vec![], vec![claim(id, 2, 5, 0, 0), claim(id, 1, 5, 0, 0)], vec![claim(id, 1, 5, 0, 0), claim(id, 1, 6, 0, 0)]]
    {
        assert_eq!(at(&mut channel, &id, 11, &claims), Err(ChannelError::Lanes(3)));
    }
    let four: Vec<_> = (0..4).map(|lane| claim(id, lane, 5, 0, 0)).collect();
    assert_eq!(at(&mut channel, &id, 11, &four), Err(ChannelError::Lanes(3)));
    assert_eq!(channel, before);
    assert_eq!(at(&mut channel, &id, 11, &four[1..]).unwrap().payee, units(15));
    assert_eq!(channel.dispute(), DISPUTE);
}

#[test]
fn an_amount_does_not_fall_and_what_there_is_is_paid_though_more_is_due() {
    let (id, mut channel) = open(100);
    assert_eq!(at(&mut channel, &id, 11, &[claim(id, 0, 80, 0, 0)]).unwrap().payee, units(80));
    let stale = ChannelError::Stale { lane: Lane::new(0), claimed: units(80), value: units(79) };
    assert_eq!(at(&mut channel, &id, 11, &[claim(id, 0, 79, 0, 0)]), Err(stale));
    assert_eq!(at(&mut channel, &id, 11, &[claim(id, 0, 150, 0, 0)]).unwrap().payee, units(20));
    assert!(at(&mut channel, &id, 11, &[claim(id, 0, 150, 0, 0)]).is_err());
    channel.top_up(units(30)).unwrap();
    assert_eq!(at(&mut channel, &id, 11, &[claim(id, 0, 150, 0, 0)]).unwrap().payee, units(30));
}

#[test]
fn vouchers_of_other_channels_keys_kinds_and_times_are_refused() {
    let (id, mut channel) = open(100);
    let other = ChannelId::new([1; 32]);
    let schemes = Schemes::default();
    assert_eq!(at(&mut channel, &id, 11, &[claim(other, 0, 5, 0, 0)]), Err(ChannelError::OtherChannel(other)));
    assert_eq!(at(&mut channel, &id, 12, &[claim(id, 0, 5, 0, 11)]), Err(ChannelError::Expired(Height::new(11))));
    assert!(at(&mut channel.clone(), &id, 11, &[claim(id, 0, 5, 0, 11)]).is_ok());
    let mut forged = claim(id, 0, 5, 0, 0);
    forged.signature.truncate(63);
    assert_eq!(at(&mut channel, &id, 11, &[forged]), Err(ChannelError::Signature));
    let mut beyond = claim(id, 0, 5, 20, 0);
    beyond.tick = 21;
    assert_eq!(at(&mut channel, &id, 11, &[beyond]), Err(ChannelError::Tick(21)));
    let (mut numberless, mut bare) = (claim(id, 0, 5, 3, 0), claim(id, 0, 5, 3, 0));
    numberless.tick = 0;
    bare.preimage.clear();
    assert_eq!(at(&mut channel, &id, 11, &[numberless]), Err(ChannelError::Tick(0)));
    assert_eq!(at(&mut channel, &id, 11, &[bare]), Err(ChannelError::Tick(3)));
    // A close statement is no voucher.
    let statement = CloseStatement::new(id, units(5), Height::new(99));
    let bytes = [&statement.to_bytes()[..], &[0; 56]].concat();
    let posing = LaneClaim { voucher: bytes, ..claim(id, 0, 5, 0, 0) };
    assert_eq!(at(&mut channel, &id, 11, &[posing]), Err(ChannelError::Voucher(VoucherError::Kind)));
    // Keys that sign for everybody: zeros, and a point of small order.
    for key in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let weak = ChannelOpen { voucher_key: key.to_vec(), ..contract(5) };
        let outcome = Channel::open(&weak, &LEDGER, Height::new(10), &params(), &schemes);
        assert_eq!(outcome, Err(ChannelError::Key));
    }
}

#[test]
fn a_deposit_is_none_or_no_less_than_the_least() {
    let params = ChannelParams { min_deposit: units(5), ..params() };
    let attempt = |deposit| {
        Channel::open(&contract(deposit), &LEDGER, Height::new(10), &params, &Schemes::default()).map(|it| it.deposit())
    };
    for deposit in [1, 4] {
        assert_eq!(attempt(deposit), Err(ChannelError::Field("deposit")));
    }
    // Without one, claims are paid out of a vault.
    assert_eq!((attempt(0), attempt(5), attempt(6)), (Ok(None), Ok(Some(units(5))), Ok(Some(units(6)))));
}

#[test]
fn a_channel_is_opened_in_its_time_on_its_ledger_and_within_the_limits() {
    let schemes = Schemes::default();
    let attempt = |change: &dyn Fn(&mut ChannelOpen), height| {
        let mut contract = contract(5);
        change(&mut contract);
        Channel::open(&contract, &LEDGER, Height::new(height), &params(), &schemes).map(drop)
    };
    assert_eq!((attempt(&|_| {}, 10), attempt(&|_| {}, 20)), (Ok(()), Ok(())));
    for height in [9, 21] {
        assert!(matches!(attempt(&|_| {}, height), Err(ChannelError::Height { .. })));
    }
    let other = LedgerId::new([4; 32]);
    assert_eq!(attempt(&|it| it.ledger = vec![4; 32], 10), Err(ChannelError::OtherLedger(other)));
    let fields: [(&str, &dyn Fn(&mut ChannelOpen)); 7] = [
        ("dispute", &|it| it.dispute = 0),
        ("dispute", &|it| it.dispute = 101),
        ("deposit", &|it| it.deposit = -1),
        ("salt", &|it| it.salt.clear()),
        ("asset_name", &|it| it.asset_name = b"x".to_vec()),
        ("payee_address", &|it| it.payee_address.clone_from(&it.owner_address)),
        ("opened_at", &|it| it.opened_at = -1),
    ];
    for (field, change) in fields {
        assert_eq!(attempt(change, 10), Err(ChannelError::Field(field)));
    }
    let hash_only = |it: &mut ChannelOpen| {
        (it.voucher_scheme, it.tick_value, it.max_ticks, it.anchor) = (0, 3, 20, vec![7; 32]);
        it.voucher_key.clear();
    };
    assert_eq!(attempt(&hash_only, 10), Ok(()));
    assert_eq!((attempt(&|it| it.dispute = 100, 10), attempt(&|it| it.dispute = 1, 10)), (Ok(()), Ok(())));
    // Vouchers and a chain of the channel's own do not go together, nor do parts of one.
    let parts: [&dyn Fn(&mut ChannelOpen); 3] =
        [&|it| it.anchor = vec![7; 32], &|it| it.tick_value = 3, &|it| it.max_ticks = 20];
    for part in parts {
        assert_eq!(attempt(part, 10), Err(ChannelError::Key));
    }
    assert_eq!(
        attempt(
            &|it| {
                hash_only(it);
                it.voucher_scheme = 1;
            },
            10
        ),
        Err(ChannelError::Key)
    );
    assert_eq!(
        attempt(
            &|it| {
                hash_only(it);
                it.tick_value = i64::MAX;
            },
            10
        ),
        Err(ChannelError::Amount)
    );
    assert_eq!(
        attempt(
            &|it| {
                hash_only(it);
                it.max_ticks = 65_537;
            },
            10
        ),
        Err(ChannelError::Field("max_ticks"))
    );
}

#[test]
fn without_vouchers_the_ticks_of_one_chain_pay() {
    let mut open =
        ChannelOpen { voucher_scheme: 0, voucher_key: Vec::new(), tick_value: 3, max_ticks: 20, ..contract(100) };
    let id = Channel::id(&open);
    let chain = TickChain::new(id, &Seed::new([8; 32]), 20);
    open.anchor = chain.anchor().to_vec();
    assert_eq!(Channel::id(&open), id);
    let mut channel = Channel::open(&open, &LEDGER, Height::new(10), &params(), &Schemes::default()).unwrap();
    let tick = |index: u32| LaneClaim {
        tick: index.into(),
        preimage: chain.tick(index).unwrap().preimage.to_vec(),
        ..LaneClaim::default()
    };
    assert_eq!(at(&mut channel, &id, 11, &[tick(7)]).unwrap().payee, units(21));
    assert!(matches!(at(&mut channel, &id, 11, &[tick(7)]), Err(ChannelError::Stale { .. })));
    assert_eq!(at(&mut channel, &id, 11, &[LaneClaim { tick: 9, ..tick(8) }]), Err(ChannelError::Tick(9)));
    assert_eq!(
        at(&mut channel, &id, 11, &[LaneClaim { voucher: vec![0; 112], ..tick(8) }]),
        Err(ChannelError::Tick(8))
    );
    assert_eq!(at(&mut channel, &id, 11, &[LaneClaim { tick: 21, ..tick(20) }]), Err(ChannelError::Tick(21)));
    assert_eq!(at(&mut channel, &id, 11, &[tick(20)]).unwrap().payee, units(39));
}

#[test]
fn a_total_needs_both_signatures_and_lies_between_what_was_claimed_and_what_there_is() {
    let (id, mut channel) = open(100);
    at(&mut channel, &id, 11, &[claim(id, 0, 40, 0, 0)]).unwrap();
    let close = |total: u64, end: u64, first: u8, second: u8| {
        let statement = CloseStatement::new(id, units(total), Height::new(end));
        let sign = |number| signer(number).sign(&Signable::Close(&statement)).unwrap();
        ChannelCloseMutual {
            total: total.cast_signed(),
            not_after: end.cast_signed(),
            payer_signature: sign(first),
            payee_signature: sign(second),
            ..ChannelCloseMutual::default()
        }
    };
    let attempt = |channel: &Channel, contract: &ChannelCloseMutual| {
        channel.clone().close_mutual(&id, contract, Height::new(12), &Schemes::default())
    };
    for (first, second) in [(1, 1), (2, 2), (2, 1), (1, 3)] {
        assert_eq!(attempt(&channel, &close(50, 12, first, second)), Err(ChannelError::Signature));
    }
    assert_eq!(attempt(&channel, &close(50, 11, 1, 2)), Err(ChannelError::Expired(Height::new(11))));
    for total in [39, 101] {
        assert!(matches!(attempt(&channel, &close(total, 12, 1, 2)), Err(ChannelError::Total { .. })));
    }
    let payout = attempt(&channel, &close(50, 12, 1, 2)).unwrap();
    assert_eq!((payout.payee, payout.payer), (units(10), units(50)));
    let payout = attempt(&channel, &close(40, 12, 1, 2)).unwrap();
    assert_eq!((payout.payee, payout.payer), (Units::ZERO, units(60)));
}
