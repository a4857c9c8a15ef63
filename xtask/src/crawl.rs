//! `cargo xtask crawl`: does our crawler find all nodes of a network of ours and libtorrent's?

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::dialog::{self, address};
use crate::lab::{Lab, Outcome, fresh, is_inside, run, value};

/// Nodes of each kind, and of libtorrent in one process.
const NODES: (u32, u32) = (200, 50);

/// What has to be found, in percent.
const GOAL: f64 = 99.0;

/// Crawls for `--seconds N` (30).
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
    let ours = "127.{}.60.1:6881";
    let root = address(ours, 1);
    let _ours = dialog::our_network(&lab, ours, each, &[])?;
    let theirs = (0..each / together).map(|part| format!("127.{{}}.{}.1:6881", 61 + part)).collect::<Vec<_>>();
    let networks =
        theirs.iter().map(|pattern| dialog::network(&lab, pattern, together, 10, std::slice::from_ref(&root)));
    let _networks = networks.collect::<Outcome<Vec<_>>>()?;
    let seconds = value(arguments, "--seconds").unwrap_or("30");
    let mut crawl = lab.ours("dht");
    crawl.args(["crawl", "--seconds", seconds, "--json", "--listen", "127.9.8.1:6881", "--bootstrap", &root]);
    let output = run(&mut crawl)?;
    let result: Value = serde_json::from_str(output.lines().last().unwrap_or_default())?;
    let found = result["nodes"].as_f64().ok_or_else(|| format!("no nodes in {result}"))?;
    let there = f64::from(each) * 2.0;
    let percent = found * 100.0 / there;
    writeln!(std::io::stdout(), "{found} of {there} nodes found in {seconds} s: {percent:.1} %; {result}")?;
    Ok(if percent >= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
