//! Question: how many events a second does the simulator carry out on one core, when the protocol costs next to nothing? An event is a
//! datagram that arrives or a timeout. `cargo run --release -p unchoke-benches --bin sim_rounds` answers it for 100,000 hosts, with memory.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};

/// Enough that the hosts do not fit into the caches, few enough to begin anew for each sample.
const HOSTS: u32 = 10_000;

fn pings(c: &mut Criterion) {
    let now = Instant::now();
    let begin = Duration::from_secs(2);
    let end = begin + Duration::from_secs(10);
    let world = || {
        let mut world = unchoke_benches::pings::world(HOSTS, now);
        world.skip_to(begin);
        world
    };
    let mut trial = world();
    let before = trial.counters().events;
    trial.skip_to(end);
    let mut group = c.benchmark_group("simulator, 10,000 hosts that ping");
    group.sample_size(10);
    group.throughput(Throughput::Elements(trial.counters().events - before));
    group.bench_function("ten seconds", |b| {
        b.iter_batched(
            world,
            |mut world| {
                world.skip_to(end);
                world
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, pings);
criterion_main!(benches);
