//! Question: how many queries does a node with a full table answer in a second of one core, and what does reading and writing a message take?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::{DatagramProtocol as _, Path, Seed};
use unchoke_dht::krpc::{Body, Message, Method, Query};
use unchoke_dht::{Config, Id, Node};

/// A node whose table is filled by answers to its pings.
fn full(now: Instant) -> Node {
    let mut config = Config::default();
    (config.inbound_per_second, config.queries_per_second, config.query_burst) = (0, 1_000_000, 1_000_000);
    let mut node = Node::new(config, &Seed::new([1; 32]), now);
    let mut rng = Seed::new([2; 32]).rng();
    let (mut out, mut answer) = (Vec::new(), Vec::new());
    for number in 0..3000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let address = SocketAddr::from(([20 + b % 200, c, a, 1], 6881));
        node.add_node(now, address);
        out.clear();
        while node.poll_transmit(now, &mut out).is_some() {
            let Ok(message) = Message::read(&out, &mut Tape::new()).map(|it| it.transaction.to_vec()) else { break };
            answer.clear();
            let body = Body::Reply(unchoke_dht::krpc::Reply::new(Id::random(&mut rng)));
            Message::new(&message, body).write(&mut answer);
            node.handle_input(now + Duration::from_millis(50), Path::from_remote(address), &answer);
            out.clear();
        }
    }
    node
}

fn dht(c: &mut Criterion) {
    let now = Instant::now();
    let mut node = full(now);
    let nodes = node.health().nodes_v4;
    let mut rng = Seed::new([3; 32]).rng();
    let asker = SocketAddr::from(([200, 1, 1, 1], 6881));
    let mut group = c.benchmark_group(format!("answer, {nodes} nodes in the table"));
    group.throughput(Throughput::Elements(1));
    let (mut query, mut reply) = (Vec::new(), Vec::new());
    for name in ["ping", "find_node", "get_peers"] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let target = Id::random(&mut rng);
                let method = match name {
                    "ping" => Method::Ping,
                    "find_node" => Method::FindNode { target },
                    _ => Method::GetPeers { info_hash: target, scrape: false, no_seed: false },
                };
                query.clear();
                reply.clear();
                Message::new(b"aa", Body::Query(Query::new(target, method))).write(&mut query);
                node.handle_input(now, Path::from_remote(asker), black_box(&query));
                node.poll_transmit(now, &mut reply)
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("message");
    let mut tape = Tape::new();
    group.bench_function("read a reply with eight nodes", |b| {
        b.iter(|| Message::read(black_box(&reply), &mut tape).is_ok())
    });
    let Ok(message) = Message::read(&reply, &mut Tape::new()) else { return };
    let mut out = Vec::new();
    group.bench_function("write a reply with eight nodes", |b| {
        b.iter(|| {
            out.clear();
            black_box(&message).write(&mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, dht);
criterion_main!(benches);
