//! One run: the network lives, does its daily work, and some of its lookups are measured.

use crate::model::Finished;
use crate::network::{Dht, Network, build, unit};
use crate::rules::Policy;
use crate::scenario::{Lookups, Scenario, Workload};
use std::time::{Duration, Instant};
use unchoke_bencode::encode;
use unchoke_core::hash::sha1;
use unchoke_core::{Rng, Seed};
use unchoke_dht::Id;
use unchoke_sim::{Histogram, HostId, Notice};

/// What a run measured.
#[derive(Clone, Default, Debug)]
pub(crate) struct Results {
    pub(crate) seed: u64,
    /// Microseconds to the first peer.
    pub(crate) first: Histogram,
    /// Microseconds to the end.
    pub(crate) complete: Histogram,
    pub(crate) queries: Histogram,
    pub(crate) hops: Histogram,
    /// Of the eight nodes nearest to the target that anybody can reach, as far as they are nearer than what was found, those that were found, in
    /// thousandths.
    pub(crate) recall: Histogram,
    pub(crate) asked: u32,
    pub(crate) found: u32,
    pub(crate) widened: u32,
    /// Hosts that were up at the end.
    pub(crate) up: u32,
    /// Datagrams that a host that was up sent in a second, once all had joined.
    pub(crate) datagrams_per_second: f64,
    pub(crate) events: u64,
    pub(crate) trace: String,
    /// Virtual time, and real time.
    pub(crate) lasted: Duration,
    pub(crate) took: Duration,
}

/// What a mark of the world stands for.
#[derive(Clone, Copy)]
enum Mark {
    /// A step of the daily work.
    Work(u32),
    /// The torrent of a lookup is announced.
    Announce(u32),
    /// It is looked up.
    Look(u32),
}

/// The time after the last lookup has begun.
const END: Duration = Duration::from_secs(120);
/// Between two steps of the daily work.
const STEP: Duration = Duration::from_secs(1);
/// Nodes that a host has to know to take part.
const ENOUGH: usize = 8;

impl Mark {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Work(number) => (0_u64, number),
            Self::Announce(number) => (1, number),
            Self::Look(number) => (2, number),
        };
        kind << 32 | u64::from(number)
    }

    fn unpack(word: u64) -> Self {
        let number = u32::try_from(word & 0xffff_ffff).unwrap_or(0);
        match word >> 32 {
            0 => Self::Work(number),
            1 => Self::Announce(number),
            _ => Self::Look(number),
        }
    }
}

/// A lookup that is measured.
struct Asked {
    target: Id,
    /// Who announces its peer, so that another one looks it up.
    announcer: Option<HostId>,
    asker: Option<HostId>,
    is_over: bool,
}

/// Runs a scenario once. `progress` is told the virtual seconds that are over, and those that there are.
pub(crate) fn measure(
    scenario: &Scenario,
    policy: Policy,
    is_compact: bool,
    number: u64,
    mut progress: impl FnMut(u64, u64),
) -> Results {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let seed = Seed::new(bytes);
    let mut network = build(scenario, policy, is_compact, &seed);
    let joined = Duration::from_secs(scenario.joining_seconds.into());
    let begin = joined + Duration::from_secs(scenario.settling_seconds.into());
    let Lookups { count, every_ms, after_announce_seconds } = scenario.lookups;
    let between = Duration::from_secs(after_announce_seconds.into());
    let end = begin + between + Duration::from_millis(every_ms.into()) * count + END;
    for lookup in 0..count {
        let at = begin + Duration::from_millis(every_ms.into()) * lookup;
        network.world.mark(at, Mark::Announce(lookup).pack());
        network.world.mark(at + between, Mark::Look(lookup).pack());
    }
    let work = scenario.workload.as_ref().map(|it| Work::new(it, &network.hosts, &seed));
    if work.is_some() {
        for step in 0..u32::try_from((end - joined).as_secs()).unwrap_or(u32::MAX) {
            network.world.mark(joined + STEP * step, Mark::Work(step).pack());
        }
    }
    let mut rng = seed.derive("lookups").rng();
    let targets: Vec<Id> = (0..count as usize)
        .map(|lookup| {
            let key = lookup.checked_rem(network.keys.len()).and_then(|place| network.keys.get(place));
            key.copied().unwrap_or_else(|| Id::random(&mut rng))
        })
        .collect();
    let asked =
        targets.into_iter().map(|target| Asked { target, announcer: None, asker: None, is_over: false }).collect();
    let mut run =
        Run { network: &network.hosts, is_open: &network.is_open, work, asked, rng, results: Results::default() };
    let real = Instant::now();
    let (mut sent, mut counted) = (0, false);
    network.world.run_until(end, |world, notice| {
        progress(world.elapsed().as_secs(), end.as_secs());
        if !counted && world.elapsed() >= begin {
            (sent, counted) = (world.counters().datagrams_sent, true);
        }
        run.handle(world, notice);
    });
    let Run { mut results, .. } = run;
    let Network { world, hosts, .. } = network;
    let up = hosts.iter().filter(|host| world.is_up(**host)).count();
    results.seed = number;
    results.up = u32::try_from(up).unwrap_or(u32::MAX);
    let host_seconds = (end - begin).as_secs_f64() * up.max(1) as f64;
    results.datagrams_per_second = (world.counters().datagrams_sent - sent) as f64 / host_seconds;
    results.events = world.counters().events;
    results.trace = world.trace_hash().to_string();
    (results.lasted, results.took) = (end, real.elapsed());
    results
}

struct Run<'a> {
    network: &'a [HostId],
    is_open: &'a [bool],
    work: Option<Work>,
    asked: Vec<Asked>,
    rng: Rng,
    results: Results,
}

impl Run<'_> {
    fn handle(&mut self, world: &mut Dht, notice: Notice<Finished>) {
        match notice {
            Notice::Mark(mark) => match Mark::unpack(mark) {
                Mark::Work(step) => {
                    if let Some(work) = &mut self.work {
                        work.step(world, self.network, step);
                    }
                }
                Mark::Announce(lookup) => {
                    let announcer = self.anybody(world, None);
                    let asked = &mut self.asked[lookup as usize];
                    asked.announcer = announcer;
                    let (target, now) = (asked.target, world.now());
                    if let Some(host) = announcer {
                        world.with(host, |it, _| it.get_peers(now, target, Some(PORT), None));
                    }
                }
                Mark::Look(lookup) => {
                    // Who has left at once may not have announced anything.
                    let but = self.asked[lookup as usize].announcer.filter(|host| world.is_up(*host));
                    if let Some(host) = but.and_then(|but| self.anybody(world, Some(but))) {
                        let asked = &mut self.asked[lookup as usize];
                        asked.asker = Some(host);
                        let (target, now) = (asked.target, world.now());
                        world.with(host, |it, _| it.get_peers(now, target, None, Some(lookup)));
                        self.results.asked += 1;
                    }
                }
            },
            Notice::Event { event, .. } => self.finished(world, &event),
            // A lookup whose asker is gone has no outcome.
            Notice::Left(host) => {
                for asked in self.asked.iter_mut().filter(|it| it.asker == Some(host) && !it.is_over) {
                    asked.is_over = true;
                    self.results.asked -= 1;
                }
            }
            _ => {}
        }
    }

    fn finished(&mut self, world: &Dht, finished: &Finished) {
        let Some(Asked { target, asker: Some(asker), is_over, .. }) = self.asked.get_mut(finished.ticket as usize)
        else {
            return;
        };
        *is_over = true;
        let (lookup, results) = (&finished.lookup, &mut self.results);
        if let Some(first) = lookup.first {
            results.found += 1;
            results.first.record_duration(first);
        }
        results.complete.record_duration(lookup.took);
        results.queries.record(lookup.queries.into());
        results.hops.record(lookup.hops.into());
        results.widened += u32::from(lookup.widened);
        // Nodes behind NATs may answer, too, and then there is no room for as many others.
        let farthest = lookup.closest.get(7).map(|id| id.distance(*target));
        let mut best = nearest(world, self.network, self.is_open, *asker, *target);
        best.retain(|id| farthest.is_none_or(|farthest| id.distance(*target) <= farthest));
        let met = best.iter().filter(|id| lookup.closest.contains(id)).count();
        results.recall.record((met * 1000 / best.len().max(1)) as u64);
    }

    /// An honest host that is up and has been for long enough to know others.
    fn anybody(&mut self, world: &Dht, but: Option<HostId>) -> Option<HostId> {
        (0..1000).find_map(|_| {
            let host = *self.rng.choose(self.network)?;
            let is_fit = Some(host) != but && world.is_up(host);
            world.host(host).filter(|it| is_fit && !it.is_hostile() && it.known() >= ENOUGH).map(|_| host)
        })
    }
}

/// The port that peers listen on.
const PORT: u16 = 6881;

/// The honest ids of the eight nodes nearest to a target that are up and in the open.
fn nearest(world: &Dht, hosts: &[HostId], is_open: &[bool], but: HostId, target: Id) -> Vec<Id> {
    let open = hosts.iter().zip(is_open).filter(|(host, is_open)| **is_open && **host != but && world.is_up(**host));
    let mut ids: Vec<Id> = open
        .filter_map(|(host, _)| {
            let [address] = world.addresses(*host) else { return None };
            world.host(*host).filter(|it| !it.is_hostile()).map(|it| it.id(*address))
        })
        .collect();
    let eighth = 8.min(ids.len());
    if eighth < ids.len() {
        ids.select_nth_unstable_by_key(eighth, |id| id.distance(target));
    }
    ids.truncate(eighth);
    ids
}

/// What nodes do all day: they announce a torrent now and then, and some store an item.
struct Work {
    /// The torrent of each host.
    torrents: Vec<u32>,
    is_storing: Vec<bool>,
    announce_steps: u32,
    republish_steps: u32,
}

impl Work {
    fn new(config: &Workload, hosts: &[HostId], seed: &Seed) -> Self {
        let mut rng = seed.derive("work").rng();
        let count = (hosts.len() as f64 * config.torrents_per_node).ceil().max(1.0);
        // Zipf's law: the chance of the nth is as 1 / n^s. The sums are kept, to draw by bisection.
        let mut sum = 0.0;
        let mut sums = Vec::new();
        while (sums.len() as f64) < count {
            sum += (sums.len() as f64 + 1.0).powf(-config.zipf_exponent);
            sums.push(sum);
        }
        let mut draw = || {
            let at = unit(&mut rng) * sum;
            u32::try_from(sums.partition_point(|it| *it < at)).unwrap_or(u32::MAX)
        };
        let torrents = hosts.iter().map(|_| draw()).collect();
        let mut rng = seed.derive("items").rng();
        let is_storing = hosts.iter().map(|_| unit(&mut rng) < config.items).collect();
        let steps = |minutes: f64| {
            let steps = Duration::from_secs_f64(minutes * 60.0).as_secs() / STEP.as_secs();
            u32::try_from(steps).unwrap_or(u32::MAX).max(1)
        };
        let (announce_steps, republish_steps) = (steps(config.announce_minutes), steps(config.republish_minutes));
        Self { torrents, is_storing, announce_steps, republish_steps }
    }

    /// Lets those hosts work whose turn it is.
    fn step(&self, world: &mut Dht, hosts: &[HostId], step: u32) {
        for place in turn(step, self.announce_steps, hosts.len()) {
            let torrent = Id::from(sha1(format!("torrent {}", self.torrents[place]).as_bytes()));
            let now = world.now();
            world.with(hosts[place], |it, _| it.get_peers(now, torrent, Some(PORT), None));
        }
        for place in turn(step, self.republish_steps, hosts.len()) {
            if self.is_storing[place] {
                let value = encode(|v| v.bytes(format!("item {place}")));
                let now = world.now();
                world.with(hosts[place], |it, _| it.put(now, &value));
            }
        }
    }
}

/// The hosts whose turn it is, if in so many steps it is everybody's once.
fn turn(step: u32, steps: u32, hosts: usize) -> std::ops::Range<usize> {
    let at = |step: u32| usize::try_from(u64::from(step) * hosts as u64 / u64::from(steps)).unwrap_or(usize::MAX);
    let step = step % steps;
    at(step)..at(step + 1)
}
