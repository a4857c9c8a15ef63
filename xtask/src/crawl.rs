//! `cargo xtask crawl`: does our crawler find all nodes of a network of ours and libtorrent's?

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::dialog::{self, address};
use crate::lab::{Lab, Outcome, fresh, is_inside, run, value};

/// Nodes of each kind, and of libtorrent in one process.
const NODES: (u32, u32) = (200, 50);

/// Where our nodes are.
const OURS: &str = "127.{}.60.1:6881";

/// What the network gets to come to rest.
const REST: Duration = Duration::from_secs(110);

/// What has to be found, in percent.
const GOAL: f64 = 99.0;

/// Crawls until nothing new comes, or for `--seconds N`.
pub(crate) fn crawl(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("crawl")?;
    if !is_inside(arguments) {
        lab.prepare_nodes()?;
    }
    if let Some(code) = lab.enter(arguments, &[])? {
        return Ok(code);
    }
    fresh(lab.work.clone())?;
    let (each, together) = NODES;
    let theirs = (0..each / together).map(|part| format!("127.{{}}.{}.1:6881", 61 + part)).collect::<Vec<_>>();
    // Each process of theirs knows a node of the first one, and our nodes know one of each.
    let roots = theirs.iter().map(|pattern| address(pattern, 1)).collect::<Vec<_>>();
    let known = roots.get(..1).unwrap_or_default();
    let networks = theirs.iter().map(|pattern| dialog::network(&lab, pattern, together, 10, known));
    let _networks = networks.collect::<Outcome<Vec<_>>>()?;
    let _ours = dialog::our_network(&lab, OURS, each, &roots)?;
    // Who asks a node waits for a minute and a half until it is asked back and may come into the table.
    std::thread::sleep(REST);
    let mut crawl = lab.ours("dht");
    crawl.args(["crawl", "--json", "--listen", "127.9.8.1:6881", "--bootstrap", &address(OURS, 1)]);
    crawl.args(value(arguments, "--seconds").into_iter().flat_map(|seconds| ["--seconds", seconds]));
    let output = run(&mut crawl)?;
    let lines = output.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let found = lines.iter().filter_map(|line| line["node"].as_str()).collect::<BTreeSet<_>>();
    let count = |patterns: &[String], each: u32| {
        let all = patterns.iter().flat_map(|pattern| (1..=each).map(|number| address(pattern, number)));
        all.filter(|node| found.contains(node.as_str())).count()
    };
    let (of_ours, of_theirs) = (count(&[OURS.to_owned()], each), count(&theirs, together));
    let percent = f64::from(u32::try_from(of_ours.saturating_add(of_theirs))?) * 50.0 / f64::from(each);
    writeln!(
        std::io::stdout(),
        "{percent:.1} % found: {of_ours} of {each} nodes of unchoke, {of_theirs} of {each} of libtorrent; {}",
        lines.last().unwrap_or(&Value::Null)
    )?;
    Ok(if percent >= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
