//! Payers that sign what they like, and what their payees get all the same.

use crate::pair::{LANE, Pair};
use crate::world::{World, signer, units};
use unchoke_core::hash::sha256;
use unchoke_token::channel::{Channel, Message};
use unchoke_token::contract::{ChannelClaim, ChannelClose, ChannelFinish, LaneClaim};
use unchoke_token::voucher::{SignedVoucher, Voucher};
use unchoke_token::{ChannelId, Lane, Seq, Signable, Signer as _};

fn claim(world: &World, by: usize, voucher: &Voucher) -> LaneClaim {
    let signature = world.accounts[by].sign(&Signable::Voucher(voucher)).unwrap();
    LaneClaim { voucher: voucher.to_bytes().to_vec(), signature, tick: 0, preimage: Vec::new() }
}

#[test]
fn a_payer_that_fills_the_lanes_of_a_ledger_does_not_shut_out_its_payee() {
    let (mut pair, id) = Pair::paying(900_000, 800_000, 1, 0);
    assert_eq!(pair.payee.held(&id), units(800_000));
    let of = |lane| Voucher::new(id, Lane::new(lane), Seq::new(1), units(1));
    let claims = (100..164).map(|lane| claim(&pair.world, 0, &of(lane))).collect();
    let (payer, payee, channel) = (pair.world.bytes(0), pair.world.bytes(1), id.as_bytes().to_vec());
    pair.world.apply(0, ChannelClaim { owner_address: payer.clone(), channel: channel.clone(), claims }).unwrap();
    // A lane that is worth no more than the others has to stay outside; its payee has been paid as much.
    let small = vec![claim(&pair.world, 0, &of(200))];
    pair.world
        .apply(1, ChannelClaim { owner_address: payee.clone(), channel: channel.clone(), claims: small })
        .unwrap_err();
    pair.world.apply(0, ChannelClose { owner_address: payer.clone(), channel: channel.clone() }).unwrap();
    let claims = pair.payee.claims(&id);
    pair.world.apply(1, ChannelClaim { owner_address: payee, channel: channel.clone(), claims }).unwrap();
    pair.seal(200);
    pair.world.apply(0, ChannelFinish { owner_address: payer, channel }).unwrap();
    assert_eq!((pair.held(0), pair.held(1)), (1_000_000 - 800_064, 1_000_000 + 800_064));
}

/// The chain that ends at the anchor, which comes first.
fn chain(id: &ChannelId, len: usize) -> Vec<[u8; 32]> {
    let mut links = vec![[9; 32]];
    for _ in 0..len {
        let input = [&b"btpcTK1\0"[..], &id.as_bytes()[..12], links.last().unwrap()].concat();
        links.push(*sha256(&input).as_bytes());
    }
    links.reverse();
    links
}

#[test]
fn a_voucher_of_more_ticks_than_a_ledger_walks_is_none() {
    let pair = Pair::new();
    let id = ChannelId::new([3; 32]);
    let anchor = chain(&id, 1)[0];
    for (ticks, is_sound) in [(65_536, true), (65_537, false), (u32::MAX, false)] {
        let voucher = Voucher::new(id, LANE, Seq::new(1), units(0)).with_ticks(anchor, units(1), ticks);
        assert_eq!(Voucher::from_bytes(&voucher.to_bytes()).is_ok(), is_sound, "{ticks}");
        let signature = pair.world.accounts[0].sign(&Signable::Voucher(&voucher)).unwrap();
        let message = Message::Voucher { alias: 0, voucher: SignedVoucher::new(voucher, signature) };
        assert_eq!(Message::decode(&message.encode()).is_ok(), is_sound, "{ticks}");
    }
}

#[test]
fn chains_are_walked_after_all_signatures_were_good() {
    let mut pair = Pair::new();
    let id = pair.open(100);
    let links = chain(&id, 8);
    let mut claims: Vec<_> = [0, 1]
        .map(|lane| {
            let voucher = Voucher::new(id, Lane::new(lane), Seq::new(1), units(0)).with_ticks(links[0], units(1), 8);
            LaneClaim { tick: 8, preimage: links[8].to_vec(), ..claim(&pair.world, 0, &voucher) }
        })
        .to_vec();
    // The first chain is wrong, and so is the last signature: it is the signature that is told of.
    claims[0].preimage[0] ^= 1;
    claims[1].signature[40] ^= 1;
    let (owner_address, channel) = (pair.world.bytes(1), id.as_bytes().to_vec());
    let wrong = ChannelClaim { owner_address, channel, claims };
    let refused = pair.world.apply(1, wrong).unwrap_err().to_string();
    assert!(refused.contains("signature"), "{refused}");
}

#[test]
fn a_payee_that_the_ledger_did_not_know_can_claim() {
    let mut world = World::new(1, |params| params.channels.min_dispute = 5);
    world.accounts.push(signer(50));
    let open = world.channel(1000);
    let id = Channel::id(&open);
    world.apply(0, open).unwrap();
    world.seal(1);
    let claims = vec![claim(&world, 0, &Voucher::new(id, LANE, Seq::new(1), units(900)))];
    let claim = ChannelClaim { owner_address: world.bytes(1), channel: id.as_bytes().to_vec(), claims };
    assert_eq!(world.apply(1, claim).unwrap().received, units(900));
}
