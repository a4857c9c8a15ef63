//! A DHT of thousands of nodes in virtual time: how fast lookups are, what they cost, and how much they find.
//!
//! A scenario file says what the network is like; the nodes of a run follow one policy, ours or a model of another program's. Without
//! arguments 1,000 nodes that come and go, half of them behind NATs, are asked for 200 torrents. The same seed gives the same run.

mod arguments;
mod attackers;
mod machine;
mod measure;
mod model;
mod network;
mod records;
mod report;
mod rules;
mod scenario;
mod search;
mod table;

use arguments::{Options, USAGE};
use measure::{Results, measure};
use report::Report;
use std::process::ExitCode;
use std::sync::Mutex;
use unchoke_examples::{Failure, Percent, run};

fn main() -> ExitCode {
    run(USAGE, start())
}

fn start() -> Result<(), Failure> {
    let options = Options::read()?;
    let all = run_all(&options)?;
    let Options { scenario, scenario_name, policy, out, is_json, .. } = &options;
    Report { scenario, scenario_name, policy: *policy }.tell(all, out.as_deref(), *is_json)
}

/// Runs all seeds, as many at a time as there are jobs. Each world is in one thread.
fn run_all(options: &Options) -> Result<Vec<Results>, Failure> {
    let seeds = Mutex::new(options.seeds.clone());
    let next = || seeds.lock().ok()?.next();
    let work = |is_first: bool| {
        let mut done = Vec::new();
        while let Some(seed) = next() {
            let mut percent = Percent::new();
            done.push(measure(&options.scenario, options.policy, options.is_compact, seed, |now, end| {
                if is_first {
                    percent.show(now, end);
                }
            }));
        }
        done
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..options.jobs).map(|_| scope.spawn(|| work(false))).collect();
        let mut all = work(true);
        for other in others {
            all.extend(other.join().map_err(|_| Failure::Failed("a run has failed".to_owned()))?);
        }
        Ok::<_, Failure>(all)
    })?;
    all.sort_by_key(|results| results.seed);
    Ok(all)
}
