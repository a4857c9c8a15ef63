//! Question: what does it cost to decide, for 100 peers that each have a random half of 10,000 pieces, which block to ask for next, in
//! the order that rarest first wants?

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Instant;
use unchoke_core::{BLOCK_LEN, Bitfield, Block, Geometry, PieceIndex, Rng, Seed};
use unchoke_swarm::PeerKey;
use unchoke_swarm::picker::{Availability, BlockState, PickFor, PiecePicker, PieceState, RarestFirst};

const PIECES: u32 = 10_000;
const PEERS: u64 = 100;
const BLOCKS_PER_PIECE: u64 = 16;
/// Blocks that one peer is asked for at a time.
const DEPTH: usize = 16;

fn peers(rng: &mut Rng) -> Vec<(PeerKey, Bitfield)> {
    let mut half = || {
        let mut pieces = Bitfield::new(PIECES);
        for piece in 0..PIECES {
            if rng.below(2) == 0 {
                pieces.insert(PieceIndex(piece));
            }
        }
        pieces
    };
    (0..PEERS).map(|number| (PeerKey::from_number(number), half())).collect()
}

fn picker(peers: &[(PeerKey, Bitfield)]) -> RarestFirst {
    let total = u64::from(PIECES) * BLOCKS_PER_PIECE * u64::from(BLOCK_LEN);
    let geometry = Geometry::new(total, BLOCKS_PER_PIECE * u64::from(BLOCK_LEN)).expect("the geometry is a fixed one");
    let mut picker = RarestFirst::new(geometry, &Seed::new([1; 32]));
    for (peer, pieces) in peers {
        picker.handle_availability(*peer, Availability::Joined(pieces));
    }
    picker
}

/// Each peer in turn is asked for some blocks and delivers them, until nothing is missing.
fn download(mut picker: RarestFirst, peers: &[(PeerKey, Bitfield)], now: Instant) -> u64 {
    let mut missing = vec![BLOCKS_PER_PIECE; PIECES as usize];
    let (mut out, mut received) = (Vec::new(), 0);
    loop {
        let before = received;
        for (peer, pieces) in peers {
            out.clear();
            picker.pick(now, PickFor::new(*peer, pieces), DEPTH, &mut out);
            for block in &out {
                picker.handle_block(*peer, *block, BlockState::Received);
                received += 1;
                let left = &mut missing[block.piece.0 as usize];
                *left -= 1;
                if *left == 0 {
                    picker.handle_piece(block.piece, PieceState::Settled);
                }
            }
        }
        if received == before {
            return received;
        }
    }
}

fn rarest_first(c: &mut Criterion) {
    let peers = peers(&mut Seed::new([2; 32]).rng());
    let now = Instant::now();
    let blocks = u64::from(PIECES) * BLOCKS_PER_PIECE;
    assert_eq!(download(picker(&peers), &peers, now), blocks, "every block comes once");
    let mut group = c.benchmark_group("rarest first, 10,000 pieces, 100 peers");
    group.sample_size(10);
    group.throughput(Throughput::Elements(blocks));
    group.bench_function("whole download", |b| {
        b.iter_batched(|| picker(&peers), |picker| download(picker, &peers, now), BatchSize::LargeInput);
    });
    group.throughput(Throughput::Elements(DEPTH as u64));
    group.bench_function("first blocks of one peer", |b| {
        let (peer, pieces) = &peers[0];
        b.iter_batched(
            || (picker(&peers), Vec::<Block>::with_capacity(DEPTH)),
            |(mut picker, mut out)| {
                picker.pick(now, PickFor::new(*peer, pieces), DEPTH, &mut out);
                (picker, out)
            },
            BatchSize::LargeInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("a peer joins", |b| {
        let newcomer = PeerKey::from_number(PEERS);
        b.iter_batched(
            || picker(&peers),
            |mut picker| {
                picker.handle_availability(newcomer, Availability::Joined(&peers[1].1));
                picker
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, rarest_first);
criterion_main!(benches);
