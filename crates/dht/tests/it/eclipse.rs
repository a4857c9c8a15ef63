//! Those who want to be all that a node knows.

use crate::others::Others;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_dht::{Config, Node};

/// The share of the table that is honest, in hundredths.
fn honest(others: &Others, node: &Node) -> usize {
    let nodes = node.nodes();
    let honest = nodes.iter().filter(|(id, _)| !others.hostile.contains_key(id)).count();
    honest * 100 / nodes.len().max(1)
}

/// So many of each kind among the first nodes that are known.
fn roots(others: &Others, good: usize, bad: usize) -> Vec<SocketAddr> {
    let honest = others.nodes.iter().filter(|(id, _)| !others.hostile.contains_key(id)).map(|(_, address)| *address);
    honest.take(good).chain(others.hostile.values().copied().take(bad)).collect()
}

#[test]
fn two_hostile_roots_of_three_do_not_take_over_a_table() {
    for (good, bad) in [(2, 1), (1, 2)] {
        for seed in 1..4 {
            let (mut others, now) = (Others::new(3000, 300), Instant::now());
            let mut node = Node::new(Config::default(), &Seed::new([seed; 32]), now);
            node.bootstrap(now, &roots(&others, good, bad));
            others.run(&mut node, now, Duration::from_secs(600), 1);
            let share = honest(&others, &node);
            assert!(share >= 70, "{share} % of {} nodes, {bad} of 3 roots hostile, seed {seed}", node.nodes().len());
        }
    }
}

#[test]
fn a_node_that_was_saved_among_hostile_ones_heals() {
    let (mut others, now) = (Others::new(3000, 300), Instant::now());
    let mut node = Node::new(Config::default(), &Seed::new([1; 32]), now);
    node.bootstrap(now, &roots(&others, 0, 3));
    let now = others.run(&mut node, now, Duration::from_secs(600), 0);
    assert!(honest(&others, &node) <= 20, "the state was to be poisoned");
    let mut node = Node::restore(Config::default(), &node.save(), &Seed::new([2; 32]), now).unwrap();
    node.bootstrap(now, &roots(&others, 1, 0));
    others.run(&mut node, now, Duration::from_secs(900), 1);
    let share = honest(&others, &node);
    assert!(share >= 60, "{share} % of {} nodes", node.nodes().len());
}
