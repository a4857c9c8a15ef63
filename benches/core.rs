//! Question: how fast is a piece of 256 KiB hashed, at once and in blocks of 16 KiB as they come off the wire?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use unchoke_core::BLOCK_LEN;
use unchoke_core::hash::{Sha1, sha1, sha256};

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
}

criterion_group!(benches, hashing);
criterion_main!(benches);
