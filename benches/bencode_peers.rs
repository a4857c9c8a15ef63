//! Question: how does each Rust library for bencode do on a reply to `find_node` and on a large torrent, typed and untyped, both ways? And what
//! does a whole `Metainfo` cost beside that?
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use unchoke_benches::corpora;
use unchoke_bencode::{DecodeLimits, Encoder, OwnedValue, Tape, decode};

#[derive(Serialize, Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    r: Found<'a>,
    #[serde(with = "serde_bytes")]
    t: &'a [u8],
    #[serde(with = "serde_bytes")]
    v: &'a [u8],
    #[serde(with = "serde_bytes")]
    y: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Found<'a> {
    #[serde(with = "serde_bytes")]
    id: &'a [u8],
    #[serde(with = "serde_bytes")]
    nodes: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct OwnedReply {
    r: OwnedFound,
    #[serde(with = "serde_bytes")]
    t: Vec<u8>,
    #[serde(with = "serde_bytes")]
    v: Vec<u8>,
    #[serde(with = "serde_bytes")]
    y: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct OwnedFound {
    #[serde(with = "serde_bytes")]
    id: Vec<u8>,
    #[serde(with = "serde_bytes")]
    nodes: Vec<u8>,
}

fn untyped(c: &mut Criterion) {
    for (name, input) in [("torrent100k", corpora::torrent(100_000, 100_000)), ("find_node", corpora::find_node(1))] {
        let mut limits = DecodeLimits::default();
        limits.max_len = input.len();
        let mut group = c.benchmark_group("decode untyped");
        group.throughput(Throughput::Bytes(input.len() as u64)).sample_size(20);
        let mut tape = Tape::new();
        group.bench_function(BenchmarkId::new("unchoke, reused tape", name), |b| {
            b.iter(|| {
                black_box(tape.decode(black_box(&input), &limits).unwrap());
            });
        });
        group.bench_function(BenchmarkId::new("unchoke", name), |b| {
            b.iter(|| decode(black_box(&input), &limits).unwrap())
        });
        group.bench_function(BenchmarkId::new("librqbit-bencode", name), |b| {
            b.iter(|| librqbit_bencode::dyn_from_bytes::<librqbit_bencode::ByteBuf<'_>>(black_box(&input)).unwrap());
        });
        group.bench_function(BenchmarkId::new("bt_bencode", name), |b| {
            b.iter(|| bt_bencode::from_slice::<bt_bencode::Value>(black_box(&input)).unwrap());
        });
        group.bench_function(BenchmarkId::new("serde_bencode", name), |b| {
            b.iter(|| serde_bencode::from_bytes::<serde_bencode::value::Value>(black_box(&input)).unwrap());
        });
        group.bench_function(BenchmarkId::new("bendy", name), |b| {
            b.iter(|| {
                use bendy::decoding::FromBencode as _;
                let mut decoder = bendy::decoding::Decoder::new(black_box(&input)).with_max_depth(64);
                let object = decoder.next_object().unwrap().unwrap();
                bendy::value::Value::decode_bencode_object(object).unwrap()
            });
        });
        group.finish();
        let mut group = c.benchmark_group("encode untyped");
        group.throughput(Throughput::Bytes(input.len() as u64)).sample_size(20);
        let value = OwnedValue::from(decode(&input, &limits).unwrap().root());
        let mut encoder = Encoder::new();
        group.bench_function(BenchmarkId::new("unchoke, reused buffer", name), |b| {
            b.iter(|| {
                encoder.clear();
                value.write(encoder.value());
                black_box(encoder.as_bytes());
            });
        });
        let value: bt_bencode::Value = bt_bencode::from_slice(&input).unwrap();
        group.bench_function(BenchmarkId::new("bt_bencode", name), |b| b.iter(|| bt_bencode::to_vec(&value).unwrap()));
        let value: serde_bencode::value::Value = serde_bencode::from_bytes(&input).unwrap();
        group.bench_function(BenchmarkId::new("serde_bencode", name), |b| {
            b.iter(|| serde_bencode::to_bytes(&value).unwrap())
        });
        let value = librqbit_bencode::dyn_from_bytes::<librqbit_bencode::ByteBuf<'_>>(&input).unwrap();
        group.bench_function(BenchmarkId::new("librqbit-bencode", name), |b| {
            b.iter(|| {
                let mut out = Vec::new();
                librqbit_bencode::bencode_serialize_to_writer(&value, &mut out).unwrap();
                out
            });
        });
        group.finish();
    }
}

fn typed(c: &mut Criterion) {
    let input = corpora::find_node(1);
    let mut group = c.benchmark_group("find_node typed");
    group.bench_function("decode unchoke, borrowed", |b| {
        b.iter(|| unchoke_bencode::serde::from_bytes::<Reply<'_>>(black_box(&input)).unwrap());
    });
    group.bench_function("decode librqbit-bencode, borrowed", |b| {
        b.iter(|| librqbit_bencode::from_bytes::<Reply<'_>>(black_box(&input)).unwrap());
    });
    group.bench_function("decode unchoke, owned", |b| {
        b.iter(|| unchoke_bencode::serde::from_bytes::<OwnedReply>(black_box(&input)).unwrap());
    });
    group.bench_function("decode librqbit-bencode, owned", |b| {
        b.iter(|| librqbit_bencode::from_bytes::<OwnedReply>(black_box(&input)).unwrap());
    });
    group.bench_function("decode bt_bencode, owned", |b| {
        b.iter(|| bt_bencode::from_slice::<OwnedReply>(black_box(&input)).unwrap());
    });
    group.bench_function("decode serde_bencode, owned", |b| {
        b.iter(|| serde_bencode::from_bytes::<OwnedReply>(black_box(&input)).unwrap());
    });
    let reply: Reply<'_> = unchoke_bencode::serde::from_bytes(&input).unwrap();
    let mut encoder = Encoder::new();
    group.bench_function("encode unchoke serde, reused buffer", |b| {
        b.iter(|| {
            encoder.clear();
            unchoke_bencode::serde::write_to(&mut encoder, black_box(&reply)).unwrap();
            black_box(encoder.as_bytes());
        });
    });
    group.bench_function("encode unchoke by hand, reused buffer", |b| {
        b.iter(|| {
            let reply = black_box(&reply);
            encoder.clear();
            encoder.dict(|d| {
                d.entry("r", |v| {
                    v.dict(|r| {
                        r.bytes("id", reply.r.id);
                        r.bytes("nodes", reply.r.nodes);
                    })
                });
                d.bytes("t", reply.t);
                d.bytes("v", reply.v);
                d.bytes("y", reply.y);
            });
            black_box(encoder.as_bytes());
        });
    });
    let owned: OwnedReply = bt_bencode::from_slice(&input).unwrap();
    group.bench_function("encode bt_bencode", |b| b.iter(|| bt_bencode::to_vec(black_box(&owned)).unwrap()));
    group.bench_function("encode serde_bencode", |b| b.iter(|| serde_bencode::to_bytes(black_box(&owned)).unwrap()));
    group.bench_function("encode librqbit-bencode", |b| {
        b.iter(|| {
            let mut out = Vec::new();
            librqbit_bencode::bencode_serialize_to_writer(black_box(&owned), &mut out).unwrap();
            out
        });
    });
    group.finish();
}

#[derive(Deserialize)]
struct Torrent {
    #[allow(dead_code)]
    announce: String,
    #[serde(rename = "creation date")]
    #[allow(dead_code)]
    creation_date: i64,
    #[allow(dead_code)]
    info: TorrentInfo,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct TorrentInfo {
    files: Vec<TorrentFile>,
    name: String,
    #[serde(rename = "piece length")]
    piece_length: i64,
    #[serde(with = "serde_bytes")]
    pieces: Vec<u8>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct TorrentFile {
    length: i64,
    path: Vec<String>,
}

/// `Metainfo` has checked everything, made every name safe and hashed the info dictionary; the peers fill a structure.
fn torrent(c: &mut Criterion) {
    let input = corpora::torrent(100_000, 100_000);
    let mut group = c.benchmark_group("torrent100k");
    group.throughput(Throughput::Bytes(input.len() as u64)).sample_size(20);
    group.bench_function("unchoke Metainfo", |b| {
        b.iter(|| unchoke_metainfo::Metainfo::from_bytes(black_box(&input)).unwrap());
    });
    group.bench_function("SHA-1 alone", |b| b.iter(|| unchoke_core::hash::sha1(black_box(&input))));
    group.bench_function("unchoke serde, typed", |b| {
        b.iter(|| unchoke_bencode::serde::from_bytes::<Torrent>(black_box(&input)).unwrap());
    });
    group.bench_function("librqbit-bencode, typed", |b| {
        b.iter(|| librqbit_bencode::from_bytes::<Torrent>(black_box(&input)).unwrap());
    });
    group.bench_function("bt_bencode, typed", |b| {
        b.iter(|| bt_bencode::from_slice::<Torrent>(black_box(&input)).unwrap());
    });
    group.bench_function("serde_bencode, typed", |b| {
        b.iter(|| serde_bencode::from_bytes::<Torrent>(black_box(&input)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, untyped, typed, torrent);
criterion_main!(benches);
