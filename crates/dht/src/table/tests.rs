use super::*;
use crate::endpoint::V4;
use proptest::prelude::*;
use std::time::Duration;
use unchoke_core::{Rng, Seed};

const WIDE: Limits = Limits { wide: true, bucket: 8, spares: 8 };
const OWN: Id = Id::new([0; 20]);

fn at(text: &str) -> V4 {
    V4::new(text.parse().unwrap()).unwrap()
}

/// An address that is nobody's neighbour.
fn anywhere(rng: &mut Rng) -> V4 {
    let [a, b, c, d] = rng.next_u32().to_be_bytes();
    at(&format!("{}.{b}.{c}.{d}:6881", a % 100 + 20))
}

fn answer(table: &mut Table<V4>, now: Instant, id: Id, endpoint: V4) {
    table.handle_reply(now, id, endpoint, true);
}

#[test]
fn first_buckets_are_larger_and_all_are_bounded() {
    let (now, mut rng) = (Instant::now(), Seed::new([1; 32]).rng());
    let mut table = Table::new(OWN, WIDE, now);
    for _ in 0..20_000 {
        let endpoint = anywhere(&mut rng);
        answer(&mut table, now, Id::random(&mut rng), endpoint);
    }
    let sizes: Vec<u8> = table.buckets.iter().map(|bucket| bucket.live).collect();
    assert_eq!(sizes[..6], [32, 16, 8, 8, 8, 8]);
    assert!(table.buckets.iter().all(|bucket| bucket.spares <= 8));
}

proptest! {
    #[test]
    fn the_closest_are_those_that_sorting_all_would_give(seed in any::<[u8; 32]>(), count in 1_usize..20, common in 0_u32..12) {
        let (now, mut rng) = (Instant::now(), Seed::new(seed).rng());
        let own = Id::random(&mut rng);
        let mut table = Table::new(own, Limits { wide: false, bucket: 8, spares: 0 }, now);
        for number in 0..300 {
            let id = own.random_beside(number % 12, &mut rng);
            let endpoint = anywhere(&mut rng);
            answer(&mut table, now, id, endpoint);
        }
        let target = own.random_beside(common, &mut rng);
        let mut all: Vec<Id> = table.good().map(|node| node.id).collect();
        all.sort_by_key(|id| id.distance(target));
        all.truncate(count);
        let found: Vec<Id> = table.closest(target, count).map(|node| node.id).collect();
        prop_assert_eq!(found, all);
    }
}

#[test]
fn who_only_asks_becomes_no_live_node() {
    let (now, mut rng) = (Instant::now(), Seed::new([2; 32]).rng());
    let mut table = Table::new(OWN, WIDE, now);
    for _ in 0..10_000 {
        let endpoint = anywhere(&mut rng);
        table.handle_query(now, Id::random(&mut rng), endpoint);
    }
    assert_eq!(table.len(), 0);
    assert!(table.nodes.len() <= 8 * BUCKETS);
    // As long as there are few, they are asked at once; later, when their way through a NAT may have closed.
    while let Some(spare) = table.poll_stale(now) {
        answer(&mut table, now, spare.id, spare.endpoint);
    }
    assert_eq!(table.len(), 32);
    assert_eq!(table.poll_stale(now + Duration::from_secs(89)), None);
    assert!(table.poll_stale(now + Duration::from_secs(91)).is_some());
}

#[test]
fn a_live_node_is_not_displaced_by_one_that_claims_its_id() {
    let now = Instant::now();
    let mut table = Table::new(OWN, WIDE, now);
    let (id, home, thief) = (Id::new([0xf0; 20]), at("20.1.1.1:1"), at("20.2.2.2:2"));
    answer(&mut table, now, id, home);
    answer(&mut table, now, id, thief);
    assert_eq!(table.closest(id, 8).map(|node| node.endpoint).collect::<Vec<_>>(), [home]);
    // One failure is no proof that it has gone.
    table.handle_failure(id, home);
    answer(&mut table, now, id, thief);
    assert_eq!(table.closest(id, 8).count(), 0);
    (0..2).for_each(|_| table.handle_failure(id, home));
    answer(&mut table, now, id, thief);
    assert_eq!(table.closest(id, 8).map(|node| node.endpoint).collect::<Vec<_>>(), [thief]);
}

#[test]
fn an_address_has_one_id_and_a_neighbourhood_few() {
    let now = Instant::now();
    let mut table = Table::new(OWN, WIDE, now);
    for last in 0..=255_u8 {
        let id = Id::new([last; 20]);
        answer(&mut table, now, id, at("20.1.1.1:1"));
        assert_eq!(
            table.closest(id, 300).map(|node| node.id).collect::<Vec<_>>(),
            if last == 0 { vec![] } else { vec![id] }
        );
    }
    let mut rng = Seed::new([3; 32]).rng();
    for number in 0..10_000 {
        let id = OWN.random_beside(number % 20, &mut rng);
        answer(&mut table, now, id, at(&format!("30.1.1.{}:{}", number % 256, number + 1)));
    }
    assert!(table.len() <= MAX_NEIGHBOURS + 1, "{}", table.len());
    assert!(table.buckets.iter().all(|bucket| bucket.live <= 2));
}

#[test]
fn a_node_that_stops_answering_gives_way() {
    let (now, mut rng) = (Instant::now(), Seed::new([4; 32]).rng());
    let mut table = Table::new(OWN, Limits { wide: false, bucket: 8, spares: 2 }, now);
    let far = |rng: &mut Rng| OWN.random_beside(0, rng);
    let nodes: Vec<_> = (0..9).map(|_| (far(&mut rng), anywhere(&mut rng))).collect();
    nodes.iter().for_each(|(id, endpoint)| answer(&mut table, now, *id, *endpoint));
    assert_eq!((table.len(), table.buckets[0].spares), (8, 1));
    let (id, endpoint) = nodes[0];
    table.handle_failure(id, endpoint);
    assert!(table.closest(id, 20).all(|node| node.id != id), "it is told to nobody");
    assert_eq!(table.len(), 8);
    table.handle_failure(id, endpoint);
    assert!(table.good().any(|node| node.id == nodes[8].0), "the spare took its place");
    // Without a spare it stays until the third failure.
    let (id, endpoint) = nodes[1];
    (0..2).for_each(|_| table.handle_failure(id, endpoint));
    assert_eq!(table.len(), 8);
    table.handle_failure(id, endpoint);
    assert_eq!(table.len(), 7);
}

#[test]
fn an_answer_makes_good_what_failed() {
    let now = Instant::now();
    let mut table = Table::new(OWN, WIDE, now);
    let (id, endpoint) = (Id::new([0xf0; 20]), at("20.1.1.1:1"));
    answer(&mut table, now, id, endpoint);
    table.handle_failure(id, endpoint);
    assert_eq!(table.good().count(), 0);
    answer(&mut table, now, id, endpoint);
    assert_eq!(table.good().count(), 1);
    assert_eq!(table.poll_stale(now + Duration::from_secs(299)), None);
    assert_eq!(table.poll_stale(now + Duration::from_secs(301)).map(|node| node.id), Some(id));
    table.handle_asked(now + Duration::from_secs(301), id, endpoint);
    assert_eq!(table.poll_stale(now + Duration::from_secs(302)), None);
}

#[test]
fn our_own_id_is_never_a_node() {
    let now = Instant::now();
    let mut table = Table::new(OWN, WIDE, now);
    answer(&mut table, now, OWN, at("20.1.1.1:1"));
    table.handle_query(now, OWN, at("20.1.1.1:1"));
    assert!(table.len() == 0 && table.nodes.is_empty());
}

/// D2: who has a network of 256 addresses and as many ids as it likes does not take over a table, though honest nodes go and it stays.
#[test]
fn d2_a_network_with_a_hundred_thousand_ids_gets_a_tenth_of_the_table_at_most() {
    let (start, mut rng) = (Instant::now(), Seed::new([5; 32]).rng());
    let mut table = Table::new(OWN, WIDE, start);
    for hour in 0..24 {
        let now = start + Duration::from_secs(hour * 3600);
        for number in 0..4200_u32 {
            let hostile = at(&format!("66.6.6.{}:{}", number % 256, 1024 + number));
            let id = OWN.random_beside(number % 20, &mut rng);
            table.handle_query(now, id, hostile);
            answer(&mut table, now, id, hostile);
            if number % 100 == 0 {
                let endpoint = anywhere(&mut rng);
                answer(&mut table, now, Id::random(&mut rng), endpoint);
            }
        }
        let gone: Vec<_> =
            table.good().filter(|node| node.endpoint.network() != at("66.6.6.6:1").network()).copied().collect();
        for node in gone.iter().filter(|_| rng.below(5) == 0) {
            (0..3).for_each(|_| table.handle_failure(node.id, node.endpoint));
        }
    }
    let hostile = table.good().filter(|node| node.endpoint.network() == at("66.6.6.6:1").network()).count();
    assert!(table.len() >= 60 && hostile * 10 <= table.len(), "{hostile} of {}", table.len());
}
