//! Question: how many megabytes of a torrent file per second are decoded without copying, copied into owned values, and encoded again?

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use unchoke_bencode::{DecodeLimits, OwnedValue, decode};

fn bencode(c: &mut Criterion) {
    let torrent = unchoke_benches::torrent().expect("the torrent is a fixed one");
    let limits = DecodeLimits::default();
    let document = decode(&torrent, &limits).expect("what our builder made is bencode");
    let value = OwnedValue::from(document.root());
    let mut group = c.benchmark_group("bencode");
    group.throughput(Throughput::Bytes(torrent.len() as u64));
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&torrent), &limits)));
    group.bench_function("decode to owned", |b| {
        b.iter(|| decode(black_box(&torrent), &limits).map(|document| OwnedValue::from(document.root())));
    });
    group.bench_function("encode", |b| {
        b.iter_batched(|| &value, |value| black_box(value).encode(), BatchSize::LargeInput)
    });
    group.finish();

    // The string of hashes costs next to nothing per byte; here every value is a few bytes.
    let small: Vec<u8> = [&b"l"[..], &b"i1234e4:spamd1:ai1eel0:e".repeat(40_000), b"e"].concat();
    let mut group = c.benchmark_group("bencode small values");
    group.throughput(Throughput::Bytes(small.len() as u64));
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&small), &limits).expect("a list of small values")));
    group.finish();
}

criterion_group!(benches, bencode);
criterion_main!(benches);
