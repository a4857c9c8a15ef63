//! Question: how fast is a piece of 256 KiB hashed, at once and in blocks of 16 KiB as they come off the wire, and how fast are eight
//! together, by each backend that this CPU has? `cargo xtask bench-create` compares with OpenSSL.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use unchoke_core::BLOCK_LEN;
use unchoke_core::hash::{Backend, Sha1, Sha1Lanes, Sha256Lanes, sha1, sha256};

fn hashing(c: &mut Criterion) {
    let piece = unchoke_benches::noise(1 << 18);
    let mut group = c.benchmark_group("hash a piece");
    group.throughput(Throughput::Bytes(piece.len() as u64));
    group.bench_function("SHA-1", |b| b.iter(|| sha1(black_box(&piece))));
    group.bench_function("SHA-1 by blocks", |b| {
        b.iter(|| {
            let mut hasher = Sha1::new();
            black_box(&piece).chunks(BLOCK_LEN as usize).for_each(|block| hasher.update(block));
            hasher.finish()
        });
    });
    group.bench_function("SHA-256", |b| b.iter(|| sha256(black_box(&piece))));
    group.finish();

    let pieces = unchoke_benches::noise(8 << 16);
    let parts: Vec<&[u8]> = pieces.chunks(1 << 16).collect();
    let mut group = c.benchmark_group("hash eight parts of 64 KiB");
    group.throughput(Throughput::Bytes(pieces.len() as u64));
    for backend in Backend::ALL.into_iter().filter(|it| it.is_available()) {
        group.bench_function(format!("SHA-1, {backend:?}"), |b| {
            let mut lanes = Sha1Lanes::with(backend, parts.len());
            b.iter(|| lanes.update(black_box(&parts)));
        });
        group.bench_function(format!("SHA-256, {backend:?}"), |b| {
            let mut lanes = Sha256Lanes::with(backend, parts.len());
            b.iter(|| lanes.update(black_box(&parts)));
        });
    }
    group.finish();
}

criterion_group!(benches, hashing);
criterion_main!(benches);
