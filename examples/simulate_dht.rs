//! A DHT of thousands of nodes in virtual time: how fast lookups are, what they cost, and how much they find.
//!
//! Half of the nodes are behind NATs. Without arguments 1,000 nodes that come and go are asked for 200 torrents. The same seed gives the same run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use unchoke_core::{Rng, Seed};
use unchoke_dht::{Announcement, Config, DhtEvent, Id, Node, OpId};
use unchoke_examples::{Failure, Percent, positive, run, say, text, unexpected};
use unchoke_sim::report::{JsonLine, Plot, Scale};
use unchoke_sim::{
    Churn, DatagramHost, Histogram, HostConfig, HostId, Loss, NatConfig, NatKind, Notice, World, WorldConfig,
};

const USAGE: &str =
    "simulate_dht [--nodes N] [--lookups N] [--scenario churn|still] [--seed N] [--compact] [--out DIR] [--json]";
/// Nodes that do not come and go, and that others begin with.
const ROOTS: u32 = 8;
/// In this time all nodes join.
const JOINING: Duration = Duration::from_secs(600);
/// From then on nothing is asked for.
const SETTLING: Duration = Duration::from_secs(1800);
/// Between a torrent's announce and its lookup.
const BETWEEN: Duration = Duration::from_secs(60);
/// Between lookups.
const STEP: Duration = Duration::from_secs(1);

type Dht = World<DatagramHost<Node>>;

fn main() -> ExitCode {
    run(USAGE, start())
}

struct Options {
    nodes: u32,
    lookups: u32,
    churn: bool,
    seed: u8,
    compact: bool,
    out: Option<PathBuf>,
    json: bool,
}

fn number<T: TryFrom<u64>>(argument: &std::ffi::OsStr) -> Result<T, Failure> {
    let number = positive(argument)?;
    T::try_from(number).map_err(|_| Failure::Usage(format!("{number} is too large")))
}

fn options() -> Result<Options, Failure> {
    use lexopt::Arg::Long;
    let mut options =
        Options { nodes: 1000, lookups: 200, churn: true, seed: 1, compact: false, out: None, json: false };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("nodes") => options.nodes = number(&parser.value()?)?,
            Long("lookups") => options.lookups = number(&parser.value()?)?,
            Long("seed") => options.seed = number(&parser.value()?)?,
            Long("compact") => options.compact = true,
            Long("json") => options.json = true,
            Long("out") => options.out = Some(parser.value()?.into()),
            Long("scenario") => match text(parser.value()?)?.as_str() {
                "churn" => options.churn = true,
                "still" => options.churn = false,
                other => return Err(Failure::Usage(format!("there is no scenario {other}"))),
            },
            other => return Err(unexpected(other)),
        }
    }
    Ok(options)
}

/// The public address of a host: no two are neighbours.
fn public(number: u32) -> Ipv4Addr {
    let [_, a, b, c] = number.to_be_bytes();
    Ipv4Addr::new(20 + a, b, c, 1)
}

/// The world with all hosts, which join one after another.
fn build(options: &Options, seed: &Seed) -> (Dht, Vec<HostId>) {
    let mut config = WorldConfig::default();
    config.link.loss = Loss::Random(0.01);
    let mut world: Dht = World::new(Instant::now(), &seed.derive("world"), config);
    let roots: Vec<SocketAddr> = (0..ROOTS).map(|number| SocketAddr::new(public(number).into(), 6881)).collect();
    let config = std::sync::Arc::new(if options.compact { Config::compact() } else { Config::default() });
    world.set_factory(move |birth| {
        let config = std::sync::Arc::clone(&config);
        let mut node = Node::new(config, &birth.seed, birth.now);
        node.bootstrap(birth.now, &roots);
        DatagramHost::new(node)
    });
    let churn = world.add_churn(Churn::dht());
    let mut rng = seed.derive("hosts").rng();
    let mut hosts = Vec::new();
    for number in 0..options.nodes.max(ROOTS) {
        let mut host = HostConfig::new(SocketAddr::new(public(number).into(), 6881));
        if number >= ROOTS && rng.below(2) == 0 {
            let outside = IpAddr::from(public(number));
            host.addresses = vec![SocketAddr::new(Ipv4Addr::new(192, 168, 0, 2).into(), 6881)];
            // One in five lets everybody in who knows the way, the rest only those that were asked.
            host.nat = Some(match rng.below(10) {
                0 | 1 => world.add_nat(&NatConfig::new(NatKind::FullCone, outside)),
                2..=7 => world.add_nat(&NatConfig::new(NatKind::PortRestricted, outside)),
                _ => world.add_nat(&NatConfig::new(NatKind::Symmetric, outside)),
            });
        }
        if options.churn && number >= ROOTS {
            host.churn = Some(churn);
        }
        let at = JOINING.mul_f64(f64::from(number) / f64::from(options.nodes));
        let id = world.add_offline(host);
        hosts.push(id);
        world.at(at, move |world| world.join(id));
    }
    (world, hosts)
}

/// What was measured.
#[derive(Default)]
struct Results {
    first: Histogram,
    complete: Histogram,
    queries: Histogram,
    /// Of the eight nodes nearest to the target that anybody can reach, as far as they are nearer than what was found, those that were found, in
    /// thousandths.
    recall: Histogram,
    asked: u32,
    found: u32,
    widened: u32,
}

fn start() -> Result<(), Failure> {
    let options = options()?;
    let seed = Seed::new([options.seed; 32]);
    let (mut world, hosts) = build(&options, &seed);
    let mut percent = Percent::new();
    let asked: Rc<RefCell<BTreeMap<(HostId, OpId), Id>>> = Rc::default();
    let rng = Rc::new(RefCell::new(seed.derive("lookups").rng()));
    let begin = JOINING + SETTLING;
    for lookup in 0..options.lookups {
        let at = begin + STEP * lookup;
        let target = Id::random(&mut rng.borrow_mut());
        let (everybody, dice) = (hosts.clone(), Rc::clone(&rng));
        world.at(at, move |world| {
            if let Some(host) = anybody(world, &everybody, &mut dice.borrow_mut()) {
                let now = world.now();
                world.with(host, |host, _| host.protocol.get_peers(now, target, Some(Announcement::new(6881))));
            }
        });
        let (everybody, dice, asked) = (hosts.clone(), Rc::clone(&rng), Rc::clone(&asked));
        world.at(at + BETWEEN, move |world| {
            if let Some(host) = anybody(world, &everybody, &mut dice.borrow_mut()) {
                let now = world.now();
                if let Some(op) = world.with(host, |host, _| host.protocol.get_peers(now, target, None)) {
                    asked.borrow_mut().insert((host, op), target);
                }
            }
        });
    }
    let mut results = Results::default();
    let end = begin + BETWEEN + STEP * options.lookups + Duration::from_secs(60);
    let real = Instant::now();
    world.run_until(end, |world, notice| {
        percent.show(world.elapsed().as_secs(), end.as_secs());
        if let Notice::Event { host, event: DhtEvent::Done { op, stats, .. } } = notice
            && let Some(target) = asked.borrow_mut().remove(&(host, op))
        {
            results.asked += 1;
            if let Some(first) = stats.first {
                results.found += 1;
                results.first.record_duration(first);
            }
            results.complete.record_duration(stats.took);
            results.queries.record(stats.sent.into());
            results.widened += u32::from(stats.widened);
            // Nodes behind NATs may answer, too, and then there is no room for as many others.
            let farthest = stats.closest.get(7).map(|(id, _)| id.distance(target));
            let mut best = nearest(world, &hosts, host, target);
            best.retain(|id| farthest.is_none_or(|farthest| id.distance(target) <= farthest));
            let met = best.iter().filter(|id| stats.closest.iter().any(|(found, _)| found == *id)).count();
            results.recall.record((met * 1000 / best.len().max(1)) as u64);
        }
    });
    let seconds = real.elapsed().as_secs_f64();
    tell_all(&options, &world, &hosts, &mut results, end, seconds)
}

/// A host that has been up for long enough to know others.
fn anybody(world: &Dht, hosts: &[HostId], rng: &mut Rng) -> Option<HostId> {
    (0..100).find_map(|_| {
        let host = *rng.choose(hosts)?;
        world.host(host).is_some_and(|it| world.is_up(host) && it.protocol.health().nodes_v4 >= 8).then_some(host)
    })
}

/// The ids of the eight nodes nearest to a target that are up and not behind a NAT.
fn nearest(world: &Dht, hosts: &[HostId], but: HostId, target: Id) -> Vec<Id> {
    let open = hosts.iter().filter(|host| **host != but && world.is_up(**host));
    let open = open.filter_map(|host| {
        let [address] = world.addresses(*host) else { return None };
        let is_open = !matches!(address.ip(), IpAddr::V4(ip) if ip.is_private());
        world.host(*host).filter(|_| is_open).map(|it| it.protocol.id(*address))
    });
    let mut ids: Vec<Id> = open.collect();
    ids.sort_unstable_by_key(|id| id.distance(target));
    ids.truncate(8);
    ids
}

fn tell_all(
    options: &Options,
    world: &Dht,
    hosts: &[HostId],
    results: &mut Results,
    end: Duration,
    seconds: f64,
) -> Result<(), Failure> {
    let up = hosts.iter().filter(|host| world.is_up(**host)).count();
    let events = world.counters().events;
    let three = |name: &str, histogram: &mut Histogram, unit: f64| {
        let at = |histogram: &mut Histogram, percent| histogram.percentile(percent).unwrap_or(0) as f64 * unit;
        (name.to_owned(), [at(histogram, 50.0), at(histogram, 95.0), at(histogram, 99.0)])
    };
    let rows = [
        three("first peer, ms", &mut results.first, 1e-3),
        three("complete, ms", &mut results.complete, 1e-3),
        three("queries", &mut results.queries, 1.0),
    ];
    let recall = results.recall.mean().unwrap_or(0.0) / 1000.0;
    let mut line = JsonLine::new()
        .number("nodes", options.nodes.into())
        .number("up", up as u64)
        .number("lookups", results.asked.into())
        .number("found", results.found.into())
        .number("widened", results.widened.into())
        .decimal("recall", recall)
        .decimal("virtual_seconds", end.as_secs_f64())
        .decimal("seconds", seconds)
        .number("events", events)
        .text("trace", &world.trace_hash().to_string());
    for (name, values) in &rows {
        line = line.decimals(name, values);
    }
    let line = line.finish();
    if let Some(folder) = &options.out {
        let failed = |error: std::io::Error| Failure::failed(&error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(folder.join("dht.json"), format!("{line}\n")).map_err(failed)?;
        let mut plot = Plot::new("Lookups of peers", "milliseconds", "share of lookups");
        plot.horizontal = Scale::Logarithmic;
        plot.distribution("first peer", &mut results.first, 1e-3);
        plot.distribution("complete", &mut results.complete, 1e-3);
        std::fs::write(folder.join("dht.svg"), plot.to_svg()).map_err(failed)?;
    }
    if options.json {
        return say(line);
    }
    say(format!("{} nodes, {up} of them up; {} of {} torrents found", options.nodes, results.found, results.asked))?;
    say(format!("{:<16} {:>8} {:>8} {:>8}", "", "p50", "p95", "p99"))?;
    for (name, [p50, p95, p99]) in rows {
        say(format!("{name:<16} {p50:>8.0} {p95:>8.0} {p99:>8.0}"))?;
    }
    say(format!("nearest eight met: {:.1} %; searches widened: {}", recall * 100.0, results.widened))?;
    let rate = events as f64 / seconds.max(f64::EPSILON);
    say(format!("{:.0} virtual minutes in {seconds:.1} s, {rate:.0} events a second", end.as_secs_f64() / 60.0))
}
