#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::error::Error;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::workspace::Workspace;

mod api;
mod bench_bencode;
mod bench_create;
mod bench_dht;
mod bench_peers;
mod crawl;
mod dht_model;
mod dialog;
mod fuzz;
mod interop;
mod kills;
mod lab;
mod layers;
mod modules;
mod mutants;
mod oracle;
mod raw_peer;
mod release;
mod tidy;
mod tokens;
mod tracker;
mod transmission;
mod workspace;

/// What a check found wrong, one line each.
type Findings = Vec<String>;

/// A name and what it runs.
type Check = (&'static str, fn(&Workspace) -> Result<Findings, Box<dyn Error>>);

const LAYERS: &[Check] = &[("arrows between crates", layers::arrows), ("circles between modules", layers::circles)];

const TIDY: &[Check] = &[
    ("files", tidy::files),
    ("package budgets", tidy::budgets),
    ("READMEs and descriptions", tidy::readmes),
    ("tests named in docs", tidy::named_tests),
];

const RELEASE: &[Check] =
    &[("papers of each crate", release::papers), ("each package builds by itself", release::packages)];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let task = arguments.first().cloned().unwrap_or_default();
    let checks = match task.as_str() {
        "layers" => LAYERS,
        "tidy" => TIDY,
        "release-check" => RELEASE,
        "ci" => return ci(),
        "api" => return api::api(&arguments),
        "bench-bencode" => return bench_bencode::bench_bencode(),
        "bench-create" => return bench_create::bench_create(&arguments),
        "bench-dht" => return bench_dht::bench_dht(&arguments),
        "bench-peers" => return bench_peers::bench_peers(&arguments),
        "crawl" => return crawl::crawl(&arguments),
        "dht-model" => return dht_model::dht_model(&arguments),
        "fuzz" => return fuzz::fuzz(&arguments),
        "kills" => return kills::kills(&arguments),
        "mutants" => return mutants::mutants(&arguments),
        "raw-seed" => return raw_peer::seed(&arguments),
        "raw-sink" => return raw_peer::sink(&arguments),
        "oracle" => return oracle::oracle(&arguments),
        "interop" => return interop::interop(&arguments),
        _ => {
            return Err(
                "usage: cargo xtask ci | layers | tidy | api | fuzz | mutants | kills | release-check | interop | oracle | crawl | dht-model | bench-dht | bench-peers | bench-create | bench-bencode".into()
            );
        }
    };
    let workspace = Workspace::load()?;
    let mut out = std::io::stdout().lock();
    let mut failed = false;
    for (name, check) in checks {
        let start = Instant::now();
        let findings = check(&workspace)?;
        let verdict = if findings.is_empty() { "ok" } else { "FAILED" };
        writeln!(out, "{task}: {name}: {verdict} ({} ms)", start.elapsed().as_millis())?;
        for finding in &findings {
            writeln!(out, "  {finding}")?;
        }
        failed |= !findings.is_empty();
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs everything that must hold before a change lands.
fn ci() -> Result<ExitCode, Box<dyn Error>> {
    let status = Command::new(Workspace::load()?.root.join(".ci/run")).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
