//! Question: how many gigabytes per second of piece messages go through the codec, which must not copy payload, and how many small
//! messages?

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use unchoke_core::{BLOCK_LEN, Block, PieceIndex};
use unchoke_wire::{Codec, Message};

/// Blocks that one read of 1 MiB holds.
const BLOCKS: u32 = 64;
const HAVES: u32 = 10_000;

fn drain(codec: &Codec, mut input: BytesMut) -> usize {
    let mut count = 0;
    while let Some(message) = codec.decode(&mut input).expect("what was encoded decodes") {
        std::hint::black_box(&message);
        count += 1;
    }
    count
}

fn encode(messages: impl Iterator<Item = Message>) -> BytesMut {
    let mut out = BytesMut::new();
    messages.for_each(|message| message.encode(&mut out));
    out
}

fn wire(c: &mut Criterion) {
    let data = Bytes::from(unchoke_benches::noise(BLOCK_LEN as usize));
    let piece = |number: u32| {
        let block = Block { piece: PieceIndex(number / 16), offset: number % 16 * BLOCK_LEN, length: BLOCK_LEN };
        Message::Piece { block, data: data.clone() }
    };
    let codec = Codec::new();

    let stream = encode((0..BLOCKS).map(piece));
    assert_eq!(drain(&codec, stream.clone()), BLOCKS as usize);
    let mut group = c.benchmark_group("wire piece messages");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("decode", |b| {
        b.iter_batched(|| stream.clone(), |input| drain(&codec, input), BatchSize::LargeInput);
    });
    group.bench_function("encode", |b| b.iter(|| encode((0..BLOCKS).map(piece))));
    group.finish();

    let stream = encode((0..HAVES).map(|number| Message::Have(PieceIndex(number))));
    let mut group = c.benchmark_group("wire have messages");
    group.throughput(Throughput::Elements(u64::from(HAVES)));
    group.bench_function("decode", |b| {
        b.iter_batched(|| stream.clone(), |input| drain(&codec, input), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
