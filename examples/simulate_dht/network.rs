//! The world of a scenario: its hosts, where they stand, and how they come and go.

use crate::attackers::{Colluder, Ring, id_beside};
use crate::machine::{Machine, Ours};
use crate::model::ModelNode;
use crate::rules::Policy;
use crate::scenario::{self, Scenario};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_bencode::encode;
use unchoke_core::{Rng, Seed};
use unchoke_dht::secure::secure_id;
use unchoke_dht::{Config, Id, Node};
use unchoke_sim::{
    Birth, Churn, ChurnId, Distribution, HostConfig, HostId, Link, Loss, NatConfig, NatId, NatKind, World, WorldConfig,
};

/// The world of a run.
pub(crate) type Dht = World<Machine>;

/// A world and what it is made of.
pub(crate) struct Network {
    pub(crate) world: Dht,
    /// All but the hosts of a vertical attack.
    pub(crate) hosts: Vec<HostId>,
    /// Of each of them: anybody can reach it.
    pub(crate) is_open: Vec<bool>,
    /// The keys of a vertical attack.
    pub(crate) keys: Vec<Id>,
}

/// What one host is in all its sessions.
#[derive(Clone)]
struct Part {
    /// Its address as others see it.
    public: Ipv4Addr,
    is_open: bool,
    is_hostile: bool,
    /// The id of a vertical attacker.
    chosen: Option<Id>,
    /// How often the id has changed.
    generation: u32,
}

const PORT: u16 = 6881;
/// What a host behind a NAT has for an address.
const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

/// The public address of a host: no two are neighbours. Ids depend on some bits of every byte (BEP 42), so the last one has to vary, too; with
/// the same one everywhere all ids would share a few thousand beginnings.
fn public(number: u32) -> Ipv4Addr {
    let [_, a, b, c] = number.to_be_bytes();
    let [d, ..] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
    Ipv4Addr::new(20 + a, b, c, d.clamp(1, 254))
}

/// A number from 0 to 1.
pub(crate) fn unit(rng: &mut Rng) -> f64 {
    f64::from(rng.next_u32()) / f64::from(u32::MAX)
}

/// The line of every host. A round trip is twice the delays of both lines, whose sum is about lognormal again: these are the parameters of one
/// by those of the sum (Fenton and Wilkinson).
fn line(link: &scenario::Link) -> Link {
    /// The 90th percentile of the standard normal distribution.
    const Z90: f64 = 1.281_551_6;
    let sigma = (link.rtt_p90_ms / link.rtt_p50_ms).ln() / Z90;
    let variance = sigma * sigma;
    let own = (2.0 * (variance.exp() - 1.0)).ln_1p();
    let median = link.rtt_p50_ms / 4.0 * ((variance - own) / 2.0).exp();
    let mut line = Link::constant(Duration::ZERO);
    line.latency = Distribution::LogNormal { median: milliseconds(median), sigma: own.sqrt() };
    if link.jitter_ms > 0.0 {
        line.jitter = Distribution::Exponential { mean: milliseconds(link.jitter_ms) };
    }
    line.loss = if link.loss > 0.0 { Loss::Random(link.loss) } else { Loss::None };
    line
}

fn milliseconds(number: f64) -> Duration {
    Duration::from_secs_f64(number / 1000.0)
}

fn minutes(number: f64) -> Duration {
    Duration::from_secs_f64(number * 60.0)
}

fn churn(churn: &scenario::Churn) -> Churn {
    Churn::new(
        Distribution::Weibull { shape: churn.session_shape, scale: minutes(churn.session_scale_minutes) },
        Distribution::Exponential { mean: minutes(churn.offline_mean_minutes) },
    )
}

/// The NAT of a host that has one.
fn nat(world: &mut Dht, nat: &scenario::Nat, outside: Ipv4Addr, rng: &mut Rng) -> (NatId, NatKind) {
    let kinds = [
        (NatKind::FullCone, nat.full_cone),
        (NatKind::Restricted, nat.restricted),
        (NatKind::PortRestricted, nat.port_restricted),
        (NatKind::Symmetric, nat.symmetric),
        (NatKind::Firewall, nat.firewall),
    ];
    let mut left = unit(rng) * kinds.iter().map(|(_, weight)| weight).sum::<f64>();
    let drawn = kinds.iter().find(|(_, weight)| {
        left -= weight;
        left <= 0.0
    });
    let kind = drawn.map_or(NatKind::Firewall, |(kind, _)| *kind);
    let mut config = match kind {
        NatKind::Firewall => NatConfig::firewall(),
        kind => NatConfig::new(kind, IpAddr::V4(outside)),
    };
    let [low, high] = nat.timeout_seconds;
    config.timeout = Duration::from_secs((low + rng.below(high.saturating_sub(low).saturating_add(1))).into());
    (world.add_nat(&config), kind)
}

/// What makes the nodes of a run.
struct Maker {
    policy: Policy,
    config: Arc<Config>,
    new_id: f64,
    ids: Seed,
    roots: Arc<[SocketAddr]>,
    parts: Vec<Part>,
    ring: Ring,
}

impl Maker {
    fn make(&mut self, birth: &Birth<Machine>) -> Machine {
        let number = birth.host.number();
        let mut rng = self.ids.derive(&format!("change {number} {}", birth.session)).rng();
        let changes = birth.session > 0 && unit(&mut rng) < self.new_id;
        let Some(part) = self.parts.get_mut(number as usize) else {
            return self.honest(birth, Id::random(&mut rng));
        };
        part.generation += u32::from(changes);
        let part = part.clone();
        // A program keeps its id, and knows what its address allows (BEP 42), as long as nobody makes it forget.
        let mut rng = self.ids.derive(&format!("id {number} {}", part.generation)).rng();
        let id = part.chosen.unwrap_or_else(|| secure_id(part.public.into(), &mut rng));
        if !part.is_hostile {
            return self.honest(birth, id);
        }
        let roots = Arc::clone(&self.roots);
        let inner = ModelNode::new(Policy::HOSTILE, id, &birth.seed, roots, &birth.addresses, birth.now);
        let address = part.is_open.then(|| SocketAddr::new(part.public.into(), PORT));
        Machine::Hostile(Box::new(Colluder::new(inner, address, self.ring.clone())))
    }

    fn honest(&self, birth: &Birth<Machine>, id: Id) -> Machine {
        if let Policy::Model(rules) = self.policy {
            let roots = Arc::clone(&self.roots);
            let node = ModelNode::new(rules, id, &birth.seed, roots, &birth.addresses, birth.now);
            return Machine::Model(Box::new(unchoke_sim::DatagramHost::new(node)));
        }
        let config = || Arc::clone(&self.config);
        let state = encode(|v| {
            v.dict(|state| {
                state.bytes("id", id.as_bytes());
                state.bytes("id6", id.as_bytes());
                state.bytes("nodes", b"");
                state.bytes("nodes6", b"");
            })
        });
        let node = Node::restore(config(), &state, &birth.seed, birth.now);
        let mut node = node.unwrap_or_else(|_| Node::new(config(), &birth.seed, birth.now));
        node.bootstrap(birth.now, &self.roots);
        Machine::Ours(Ours::new(node))
    }
}

/// The network of a scenario. Its nodes join one after another.
pub(crate) fn build(scenario: &Scenario, policy: Policy, is_compact: bool, seed: &Seed) -> Network {
    let mut config = WorldConfig::default();
    config.link = line(&scenario.link);
    config.distance = Duration::ZERO;
    let mut world: Dht = World::new(Instant::now(), &seed.derive("world"), config);
    let churn: Option<ChurnId> = scenario.churn.as_ref().map(|it| world.add_churn(churn(it)));
    let joining = Duration::from_secs(scenario.joining_seconds.into());
    let mut rng = seed.derive("hosts").rng();
    let (mut parts, mut hosts, mut is_open) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..scenario.nodes {
        let outside = public(number);
        let is_root = number < scenario.roots;
        let mut host = HostConfig::new(SocketAddr::new(outside.into(), PORT));
        let is_behind = scenario.nat.as_ref().filter(|it| unit(&mut rng) < it.share && !is_root);
        if let Some(config) = is_behind {
            let (nat, kind) = nat(&mut world, config, outside, &mut rng);
            host.nat = Some(nat);
            if kind != NatKind::Firewall {
                host.addresses = vec![SocketAddr::new(INSIDE.into(), PORT)];
            }
        }
        let is_hostile = scenario.colluders.as_ref().is_some_and(|it| unit(&mut rng) < it.share) && !is_root;
        let part = Part { public: outside, is_open: host.nat.is_none(), is_hostile, chosen: None, generation: 0 };
        is_open.push(part.is_open);
        parts.push(part);
        host.churn = churn.filter(|_| !is_root);
        let at = joining.mul_f64(f64::from(number.saturating_sub(scenario.roots)) / f64::from(scenario.nodes));
        let id = world.add_offline(host);
        hosts.push(id);
        world.at(at, move |world| world.join(id));
    }
    let mut keys = Vec::new();
    if let Some(vertical) = &scenario.vertical {
        let mut rng = seed.derive("vertical").rng();
        for key in 0..vertical.keys {
            let target = Id::random(&mut rng);
            keys.push(target);
            for number in 0..vertical.ids {
                let (network, last) = (number % vertical.networks, 1 + number / vertical.networks);
                let [key, network, last] = [key, network, last].map(|it| u8::try_from(it).unwrap_or(u8::MAX));
                let public = Ipv4Addr::new(110, key, network, last);
                let host = world.add_offline(HostConfig::new(SocketAddr::new(public.into(), PORT)));
                let chosen = Some(id_beside(target, &mut rng));
                parts.push(Part { public, is_open: true, is_hostile: true, chosen, generation: 0 });
                world.at(joining.mul_f64(unit(&mut rng)), move |world| world.join(host));
            }
        }
    }
    let mut maker = Maker {
        policy,
        config: Arc::new(if is_compact { Config::compact() } else { Config::default() }),
        new_id: scenario.churn.as_ref().map_or(0.0, |it| it.new_id),
        ids: seed.derive("ids"),
        roots: (0..scenario.roots).map(|number| SocketAddr::new(public(number).into(), PORT)).collect(),
        parts,
        ring: Ring::default(),
    };
    world.set_factory(move |birth| maker.make(&birth));
    Network { world, hosts, is_open, keys }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_have_the_percentiles_that_the_scenario_demands() {
        let link = scenario::Link { rtt_p50_ms: 120.0, rtt_p90_ms: 260.0, jitter_ms: 0.0, loss: 0.0 };
        let mut rng = Seed::new([4; 32]).rng();
        let line = line(&link);
        let mut draw = || line.latency.sample(&mut rng, 0).as_secs_f64() * 1000.0;
        let mut trips: Vec<f64> = (0..20_000).map(|_| 2.0 * (draw() + draw())).collect();
        trips.sort_by(f64::total_cmp);
        assert!((trips[10_000] / 120.0 - 1.0).abs() < 0.04, "{}", trips[10_000]);
        assert!((trips[18_000] / 260.0 - 1.0).abs() < 0.04, "{}", trips[18_000]);
    }
}
