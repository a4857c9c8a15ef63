//! Question: how long does it take to open a torrent file of 2 MB with 6,000 files, and to write it?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use unchoke_metainfo::Metainfo;

fn metainfo(c: &mut Criterion) {
    let bytes = unchoke_benches::torrent().expect("the torrent is a fixed one");
    let torrent = Metainfo::from_bytes(&bytes).expect("what our builder made is a torrent");
    let mut group = c.benchmark_group("metainfo");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("from_bytes", |b| b.iter(|| Metainfo::from_bytes(black_box(&bytes))));
    group.bench_function("to_bytes", |b| b.iter(|| black_box(&torrent).to_bytes()));
    group.finish();
}

criterion_group!(benches, metainfo);
criterion_main!(benches);
