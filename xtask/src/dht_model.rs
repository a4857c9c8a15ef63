//! `cargo xtask dht-model`: does the model of libtorrent in `simulate_dht` cost what libtorrent does?
//!
//! A hundred real nodes on loopback, in a network namespace, and as many modelled ones in the scenario `loopback`, which join and look up in the
//! same way. What is compared is the mean number of queries of a lookup.

use std::io::Write as _;
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::lab::{Lab, Outcome, run};

/// Nodes, lookups, and the seconds in which the nodes join and then settle, as in `scenarios/loopback.toml`; the script itself waits for 30
/// seconds more.
const REAL: [&str; 4] = ["100", "60", "150", "60"];
/// Seeds that are simulated.
const SEEDS: &str = "20";
/// How far the two may be apart.
const TOLERANCE: f64 = 0.15;

/// Runs both and prints both and their ratio.
pub(crate) fn dht_model(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("dht-model")?;
    if let Some(code) = lab.enter(arguments, &[])? {
        return Ok(code);
    }
    let mut simulate = lab.ours("simulate_dht");
    simulate.args(["--policy", "libtorrent", "--scenario", "loopback", "--seeds", SEEDS, "--json"]);
    let model = last_line(&mut simulate)?;
    let mut script = lab.script("libtorrent_lookups.py");
    script.env("PYTHONWARNINGS", "ignore").args(REAL);
    let real = last_line(&mut script)?;
    let (model_mean, real_mean) = (mean(&model)?, mean(&real)?);
    let ratio = model_mean / real_mean;
    let mut out = std::io::stdout().lock();
    writeln!(out, "libtorrent: {real}")?;
    writeln!(out, "model:      {model}")?;
    writeln!(out, "queries of a lookup: libtorrent {real_mean:.2}, model {model_mean:.2}, ratio {ratio:.3}")?;
    let agrees = (ratio - 1.0).abs() <= TOLERANCE;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The last line that a program prints, as JSON.
fn last_line(command: &mut Command) -> Outcome<Value> {
    let output = run(command)?;
    Ok(serde_json::from_str(output.lines().last().unwrap_or_default())?)
}

fn mean(line: &Value) -> Outcome<f64> {
    line["queries_mean"].as_f64().ok_or_else(|| format!("{line} has no mean").into())
}
