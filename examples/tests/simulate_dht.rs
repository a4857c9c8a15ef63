//! The simulated DHT: small worlds of each policy, and the parts that they are made of.

#![allow(dead_code, clippy::indexing_slicing, reason = "what only the program calls is not called here")]

#[path = "../simulate_dht/attackers.rs"]
mod attackers;
#[path = "../simulate_dht/machine.rs"]
mod machine;
#[path = "../simulate_dht/measure.rs"]
mod measure;
#[path = "../simulate_dht/model.rs"]
mod model;
#[path = "../simulate_dht/network.rs"]
mod network;
#[path = "../simulate_dht/records.rs"]
mod records;
#[path = "../simulate_dht/report.rs"]
mod report;
#[path = "../simulate_dht/rules.rs"]
mod rules;
#[path = "../simulate_dht/scenario.rs"]
mod scenario;
#[path = "../simulate_dht/search.rs"]
mod search;
#[path = "../simulate_dht/table.rs"]
mod table;

use measure::{Results, measure};
use report::Report;
use rules::Policy;
use scenario::{Colluders, Scenario, Vertical};
use std::path::Path;

/// Sixty nodes that join within a minute.
fn small(name: &str) -> Scenario {
    let mut scenario = Scenario::load(Path::new(name)).unwrap();
    (scenario.nodes, scenario.roots, scenario.joining_seconds, scenario.settling_seconds) = (60, 4, 60, 600);
    scenario.lookups.count = 20;
    scenario
}

fn lines(scenario: &Scenario, policy: Policy, seed: u64) -> Vec<String> {
    let mut all = [measure(scenario, policy, false, seed, |_, _| {})];
    Report { scenario, scenario_name: "small", policy }.lines(&mut all)
}

#[test]
fn nodes_of_each_policy_find_what_others_announce() {
    for policy in Policy::ALL {
        let Results { asked, found, recall, mut queries, .. } = measure(&small("still"), policy, false, 1, |_, _| {});
        assert_eq!(asked, 20, "{}", policy.name());
        assert!(found >= 19, "{}: {found} of {asked}", policy.name());
        assert!(recall.mean().unwrap() > 800.0, "{}", policy.name());
        assert!((5..=150).contains(&queries.percentile(50.0).unwrap()), "{}", policy.name());
    }
}

#[test]
fn the_same_seed_gives_the_same_line_and_another_seed_another() {
    let mut scenario = small("churn");
    scenario.settling_seconds = 120;
    for policy in Policy::ALL {
        let first = lines(&scenario, policy, 7);
        assert_eq!(first, lines(&scenario, policy, 7));
        assert_ne!(first, lines(&scenario, policy, 8));
    }
}

#[test]
fn searches_end_among_hostile_nodes_and_find_most() {
    for (colluders, vertical) in
        [(Some(Colluders { share: 0.2 }), None), (None, Some(Vertical { keys: 2, ids: 20, networks: 1 }))]
    {
        let scenario = Scenario { colluders, vertical, ..small("still") };
        let Results { asked, found, .. } = measure(&scenario, Policy::Unchoke, false, 1, |_, _| {});
        assert_eq!(asked, 20);
        assert!(found >= 15, "{found} of {asked}");
    }
}

/// D1: three in ten nodes tell of nobody but one another.
#[test]
fn d1_colluders_do_not_hide_what_honest_nodes_store() {
    let mut scenario = Scenario { colluders: Some(Colluders { share: 0.3 }), ..small("still") };
    (scenario.nodes, scenario.lookups.count, scenario.lookups.every_ms) = (400, 100, 200);
    let Results { asked, found, mut queries, .. } = measure(&scenario, Policy::Unchoke, false, 1, |_, _| {});
    assert!(found + 1 >= asked, "{found} of {asked}");
    assert!(queries.percentile(99.0).unwrap() <= 90);
}
