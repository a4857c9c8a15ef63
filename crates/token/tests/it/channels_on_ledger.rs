//! Channels and vaults, from the money in to the money out.

use crate::world::{World, units};
use unchoke_core::Seed;
use unchoke_token::channel::Channel;
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::contract::{
    ChannelClaim, ChannelClose, ChannelCloseMutual, ChannelFinish, ChannelRelease, VaultAllocate, VaultDeposit,
};
use unchoke_token::ledger::{Key, Ledger as _, Proven};
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{Claim, CloseStatement, SignedVoucher, Voucher};
use unchoke_token::{AssetId, ChannelId, Height, Lane, Seq, Signable, Signer as _};

const SUPPLY: u128 = 3_000_000;

fn world() -> World {
    World::new(3, |params| {
        params.channels.min_dispute = 5;
        params.channels.extension = 2;
        params.channels.open_window = 10;
        params.vault_delay = 5;
    })
}

fn claim(world: &World, channel: ChannelId, base: u64, ticks: Option<u32>) -> Claim {
    let chain = TickChain::new(channel, &Seed::new([9; 32]), 100);
    let voucher =
        Voucher::new(channel, Lane::new(0), Seq::new(1), units(base)).with_ticks(*chain.anchor(), units(3), 100);
    let signature = world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
    Claim::new(SignedVoucher::new(voucher, signature), ticks.and_then(|index| chain.tick(index)))
}

#[test]
fn a_payee_claims_and_the_payer_gets_the_rest_after_the_dispute() {
    let mut world = world();
    let contract = world.channel(1000);
    let id = world.apply(0, contract).unwrap().channel.unwrap();
    let held = |world: &World, number| world.ledger.balance(&world.address(number), AssetId::NATIVE).get();
    assert_eq!(held(&world, 0), 999_000);
    // A third party hands in the payee's claim: the payee is paid.
    let claims = vec![claim(&world, id, 100, Some(10)).to_contract()];
    let contract = ChannelClaim { owner_address: world.bytes(2), channel: id.as_bytes().to_vec(), claims };
    assert_eq!(world.apply(2, contract.clone()).unwrap().received, units(130));
    assert_eq!(held(&world, 1), 1_000_130);
    assert!(world.apply(2, contract).is_err());
    let close = ChannelClose { owner_address: world.bytes(0), channel: id.as_bytes().to_vec() };
    world.apply(0, close).unwrap();
    world.seal(4);
    // The deadline is block 6; a claim in the last two blocks before it puts it off by two, once.
    assert_eq!(
        world.ledger.channel(&id).unwrap().phase(),
        Phase::Closing { deadline: Height::new(6), is_extended: false }
    );
    for (ticks, deadline) in [(20, 8), (30, 8)] {
        let claims = vec![claim(&world, id, 100, Some(ticks)).to_contract()];
        world
            .apply(1, ChannelClaim { owner_address: world.bytes(1), channel: id.as_bytes().to_vec(), claims })
            .unwrap();
        let expected = Phase::Closing { deadline: Height::new(deadline), is_extended: true };
        assert_eq!(world.ledger.channel(&id).unwrap().phase(), expected);
    }
    let finish = ChannelFinish { owner_address: world.bytes(2), channel: id.as_bytes().to_vec() };
    assert!(world.apply(2, finish.clone()).is_err());
    world.seal(3);
    world.apply(2, finish).unwrap();
    assert_eq!((held(&world, 0), held(&world, 1)), (999_810, 1_000_190));
    assert_eq!(world.ledger.supply(AssetId::NATIVE), SUPPLY);
    // It is remembered until nobody can open it again.
    world.seal(3);
    assert!(world.ledger.channel(&id).is_some());
    world.seal(1);
    assert!(world.ledger.channel(&id).is_none());
}

#[test]
fn both_close_at_a_total_and_the_payee_releases_at_once() {
    let mut world = world();
    let contract = world.channel(1000);
    let id = world.apply(0, contract.clone()).unwrap().channel.unwrap();
    assert_eq!(id, Channel::id(&contract));
    assert!(world.apply(0, contract).is_err());
    let statement = CloseStatement::new(id, units(400), Height::new(9));
    let mut mutual = ChannelCloseMutual {
        owner_address: world.bytes(0),
        channel: id.as_bytes().to_vec(),
        total: 400,
        not_after: 9,
        payer_signature: world.accounts[0].sign(&Signable::Close(&statement)).unwrap(),
        payee_signature: world.accounts[0].sign(&Signable::Close(&statement)).unwrap(),
    };
    assert!(world.apply(0, mutual.clone()).is_err());
    mutual.payee_signature = world.accounts[1].sign(&Signable::Close(&statement)).unwrap();
    assert!(world.apply(0, ChannelCloseMutual { total: 401, ..mutual.clone() }).is_err());
    assert_eq!(world.apply(0, mutual.clone()).unwrap().received, units(400));
    assert!(world.apply(0, mutual).is_err());
    let mut second = world.channel(500);
    second.salt = vec![8; 16];
    let id = world.apply(0, second).unwrap().channel.unwrap();
    let claims = vec![claim(&world, id, 100, None).to_contract()];
    let release = ChannelRelease { owner_address: world.bytes(1), channel: id.as_bytes().to_vec(), claims };
    assert!(world.apply(0, ChannelRelease { owner_address: world.bytes(0), ..release.clone() }).is_err());
    world.apply(1, release).unwrap();
    let held = |number| world.ledger.balance(&world.address(number), AssetId::NATIVE).get();
    assert_eq!((held(0), held(1)), (999_500, 1_000_500));
    assert_eq!(world.ledger.supply(AssetId::NATIVE), SUPPLY);
}

#[test]
fn a_vault_pays_what_it_has_and_the_rest_when_it_has_more() {
    let mut world = world();
    let deposit = |amount| VaultDeposit { owner_address: world.bytes(0), asset_name: b"_".to_vec(), amount };
    let (first, later) = (deposit(150), deposit(1000));
    world.apply(0, first).unwrap();
    let allocate = |world: &World, payee, amount| VaultAllocate {
        owner_address: world.bytes(0),
        payee_address: world.bytes(payee),
        asset_name: b"_".to_vec(),
        amount,
    };
    let for_other = allocate(&world, 2, 50);
    world.apply(0, for_other).unwrap();
    let contract = world.channel(0);
    let id = world.apply(0, contract).unwrap().channel.unwrap();
    let claims = vec![claim(&world, id, 130, None).to_contract()];
    let contract = ChannelClaim { owner_address: world.bytes(1), channel: id.as_bytes().to_vec(), claims };
    assert_eq!(world.apply(1, contract.clone()).unwrap().received, units(100));
    assert_eq!(world.ledger.channel(&id).unwrap().unpaid(), units(30));
    let close = ChannelRelease { owner_address: world.bytes(1), channel: id.as_bytes().to_vec(), claims: Vec::new() };
    world.apply(1, close).unwrap();
    // Done, but not forgotten before all is paid.
    world.seal(20);
    world.apply(0, later).unwrap();
    let rest = ChannelClaim { claims: Vec::new(), ..contract };
    assert_eq!(world.apply(1, rest.clone()).unwrap().received, units(30));
    assert!(world.apply(1, rest).is_err());
    assert_eq!(world.ledger.supply(AssetId::NATIVE), SUPPLY);
    world.seal(1);
    assert!(world.ledger.channel(&id).is_none());
}

#[test]
fn a_client_checks_a_balance_and_its_absence_against_the_signed_root() {
    let mut world = world();
    let contract = world.channel(1000);
    world.apply(0, contract).unwrap();
    let key = Key::Account(world.address(0));
    assert!(world.ledger.prove(&key).is_none());
    world.seal(1);
    let operator = world.ledger.head().operator;
    let proven = world.ledger.prove(&key).unwrap();
    assert!(proven.verify(&key, &operator, world.ledger.schemes()));
    assert!(!proven.verify(&Key::Account(world.address(1)), &operator, world.ledger.schemes()));
    assert!(!proven.verify(&key, &world.address(1), world.ledger.schemes()));
    let far = Proven::decode(&proven.encode()).unwrap();
    assert_eq!((far.account().map(|it| it.balance), &far), (Some(units(999_000)), &proven));
    let mut bent = proven;
    bent.value = world.ledger.prove(&Key::Account(world.address(1))).unwrap().value;
    assert!(!bent.verify(&key, &operator, world.ledger.schemes()));
    let nobody = Key::Account(crate::world::signer(77).address());
    let absent = world.ledger.prove(&nobody).unwrap();
    assert!(absent.value.is_none() && absent.verify(&nobody, &operator, world.ledger.schemes()));
    assert!(!absent.verify(&key, &operator, world.ledger.schemes()));
}
