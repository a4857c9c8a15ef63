//! What does a payment cost its payee? A tick should take no more than 150 ns, and 20,000 vouchers a second should be checked on one core, 256
//! at a time with keys that are known: 50 µs each.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use unchoke_core::Seed;
use unchoke_core::keys::{PreparedKey, SecretKey, Signature, Signed, verify_batch};
use unchoke_token::tick::{TickChain, TickCursor};
use unchoke_token::voucher::Voucher;
use unchoke_token::{ChannelId, Height, Lane, Seq, Units};

const CHANNEL: ChannelId = ChannelId::new([7; 32]);

fn ticks(criterion: &mut Criterion) {
    let chain = TickChain::new(CHANNEL, &Seed::new([1; 32]), 4096);
    let all: Vec<_> = (1..=4096).filter_map(|index| chain.tick(index)).collect();
    let mut group = criterion.benchmark_group("tick");
    group.throughput(Throughput::Elements(all.len() as u64));
    group.bench_function("payee takes 4096", |bencher| {
        bencher.iter_batched_ref(
            || TickCursor::new(*chain.anchor(), 4096),
            |cursor| all.iter().filter(|tick| cursor.accept(&CHANNEL, **tick).is_ok()).count(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("payer reveals 4096", |bencher| {
        bencher.iter_batched_ref(
            || chain.clone(),
            |chain| (1..=4096).filter_map(|index| chain.reveal(black_box(index))).count(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("payer looks up 4096, each from a kept link", |bencher| {
        bencher.iter(|| (1..=4096).filter_map(|index| chain.tick(black_box(index))).count());
    });
    group.bench_function("payer makes a chain of 4096", |bencher| {
        bencher.iter(|| TickChain::new(CHANNEL, &Seed::new([1; 32]), black_box(4096)));
    });
    group.finish();
}

fn vouchers(criterion: &mut Criterion) {
    let mut rng = Seed::new([2; 32]).rng();
    let voucher = |seq| {
        let base = Units::new(1000).unwrap_or(Units::ZERO);
        Voucher::new(CHANNEL, Lane::new(0), Seq::new(seq), base).with_end(Height::new(9)).to_bytes()
    };
    let keys: Vec<SecretKey> = (0..256).map(|_| SecretKey::from_seed(&rng.seed())).collect();
    let all: Vec<(PreparedKey, [u8; Voucher::LEN], Signature)> = keys
        .iter()
        .zip(0..)
        .filter_map(|(key, seq)| Some((key.public_key().prepare().ok()?, voucher(seq), key.sign(&voucher(seq)))))
        .collect();
    let signed: Vec<_> = all.iter().map(|(key, voucher, signature)| Signed::new(key, voucher, signature)).collect();
    let mut group = criterion.benchmark_group("voucher");
    group.throughput(Throughput::Elements(signed.len() as u64));
    group.bench_function("256 checked together, keys known", |bencher| {
        bencher.iter(|| verify_batch(black_box(&signed), &mut rng).is_ok());
    });
    group.bench_function("256 checked one by one, keys known", |bencher| {
        bencher.iter(|| all.iter().all(|(key, voucher, signature)| key.verify(black_box(voucher), signature).is_ok()));
    });
    group.bench_function("256 checked one by one, keys unknown", |bencher| {
        let strict = |(key, voucher, signature): &(PreparedKey, [u8; Voucher::LEN], Signature)| {
            key.public_key().verify_strict(black_box(voucher), signature).is_ok()
        };
        bencher.iter(|| all.iter().all(strict));
    });
    group.bench_function("256 signed", |bencher| {
        bencher.iter(|| {
            keys.iter().zip(&all).for_each(|(key, (_, voucher, _))| {
                black_box(key.sign(black_box(voucher)));
            })
        });
    });
    group.finish();
}

criterion_group!(benches, ticks, vouchers);
criterion_main!(benches);
