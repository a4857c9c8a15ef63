//! `cargo xtask bench-dht`: lookups, answers and upkeep of a DHT node beside libtorrent and `mainline`.
//!
//! All of it on loopback in a network of its own. The nodes take turns, so that a change in the machine's load meets all of them.

mod report;

use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dialog::{self, Dialog, NODES, address};
use crate::lab::{Lab, Outcome, fresh, run, value};
use report::{Answers, Lookups, Report, Upkeep};

/// Where the network of libtorrent's nodes is, and how many there are.
const NETWORK: (&str, u32) = ("127.{}.20.1:6881", 100);
/// Where the nodes are that fill the tables.
const FILL: (&str, u32) = ("127.{}.40.1:6881", 96);
/// Between lookups: libtorrent does not tell when one is complete, so it gets time for that.
const PAUSE: Duration = Duration::from_millis(30);
/// What a node gets to fill its table and to come to rest.
const REST: Duration = Duration::from_secs(10);

/// How much is done.
struct Extent {
    rounds: u32,
    lookups: u32,
    flood_s: f64,
    idle_s: u64,
}

/// Runs `--rounds N` (5) rounds of `--lookups N` (20) lookups and of floods of `--flood SECONDS` (3), and counts queries for `--idle SECONDS` (120);
/// `--json` for programs.
pub(crate) fn bench_dht(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("bench-dht")?;
    if let Some(code) = lab.enter_with_nodes(arguments)? {
        return Ok(code);
    }
    let extent = Extent {
        rounds: value(arguments, "--rounds").map_or(Ok(5), str::parse)?,
        lookups: value(arguments, "--lookups").map_or(Ok(20), str::parse)?,
        flood_s: value(arguments, "--flood").map_or(Ok(3.0), str::parse)?,
        idle_s: value(arguments, "--idle").map_or(Ok(120), str::parse)?,
    };
    if extent.rounds == 0 || extent.lookups == 0 || extent.idle_s == 0 || extent.flood_s < 0.1 {
        return Err("there must be at least one round with one lookup, and some time".into());
    }
    fresh(lab.work.clone())?;
    let report = measure(&lab, &extent)?;
    let text = if arguments.iter().any(|it| it == "--json") { report.json().to_string() } else { report.table() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn measure(lab: &Lab, extent: &Extent) -> Outcome<Report> {
    let (pattern, count) = NETWORK;
    let _network = dialog::network(lab, pattern, count, extent.rounds.saturating_mul(extent.lookups), &[])?;
    let known = [1, 20, 50, 80].map(|number| address(pattern, number));
    let mut nodes = start(lab, "127.{}.30.1:6881", &known)?;
    std::thread::sleep(REST);
    let lookups = lookups(&mut nodes, extent)?;
    let answers = answers(lab, extent)?;
    let upkeep = upkeep(&mut nodes, Duration::from_secs(extent.idle_s))?;
    Ok(Report { rounds: extent.rounds, lookups, answers, upkeep })
}

/// One node of each kind.
fn start(lab: &Lab, pattern: &str, known: &[String]) -> Outcome<Vec<Dialog>> {
    let nodes = NODES.iter().zip(201..).map(|(which, number)| {
        let listen = address(pattern, number);
        Dialog::node(lab, which, &listen, known, &lab.work.join(format!("{which}-{}.log", listen.replace(':', "-"))))
    });
    nodes.collect()
}

/// Everybody asks for the same torrents.
fn lookups(nodes: &mut [Dialog], extent: &Extent) -> Outcome<Vec<Lookups>> {
    let mut results = NODES.map(|_| Lookups::default()).to_vec();
    for round in 0..extent.rounds {
        let mut turns = nodes.iter_mut().zip(&mut results).collect::<Vec<_>>();
        // Nobody is always the first to ask.
        turns.rotate_left(usize::try_from(round)? % NODES.len());
        for (node, lookups) in turns {
            for number in 0..extent.lookups {
                let torrent = info_hash(round.saturating_mul(extent.lookups).saturating_add(number))?;
                let answer = node.ask(&format!("peers {torrent}"))?;
                lookups.add(answer["first_ms"].as_f64(), answer["complete_ms"].as_f64());
                std::thread::sleep(PAUSE);
            }
        }
    }
    for (node, lookups) in nodes.iter_mut().zip(&mut results) {
        lookups.table = number(&node.ask("nodes")?, "nodes")?;
    }
    Ok(results)
}

/// The info-hash that the network announces under a number.
fn info_hash(number: u32) -> Outcome<String> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("printf %s {number} | sha1sum")]);
    Ok(run(&mut command)?.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Each node is asked as fast as it answers.
fn answers(lab: &Lab, extent: &Extent) -> Outcome<Vec<Answers>> {
    let (pattern, count) = FILL;
    let mut load = lab.bench("dht_load");
    let mut load = Dialog::start(load.arg(count.to_string()), &lab.work.join("load.log"))?;
    let known = (1..=count).map(|number| address(pattern, number)).collect::<Vec<_>>();
    let mut nodes = start(lab, "127.{}.50.1:6881", &known)?;
    let mut results = NODES.map(|_| Answers::default()).to_vec();
    // They have been told of all others, and go on to ask them by themselves.
    std::thread::sleep(REST);
    for (node, answers) in nodes.iter_mut().zip(&mut results) {
        answers.table = number(&node.ask("nodes")?, "nodes")?;
    }
    for round in 0..extent.rounds {
        let mut turns = nodes.iter().zip(&mut results).zip(201..).collect::<Vec<_>>();
        turns.rotate_left(usize::try_from(round)? % NODES.len());
        for ((node, answers), number) in turns {
            let before = node.cpu()?;
            let came = load.ask(&format!("flood {} {}", address("127.{}.50.1:6881", number), extent.flood_s))?;
            answers.add(&came, node.cpu()? - before, extent.flood_s)?;
        }
    }
    for (node, answers) in nodes.iter_mut().zip(&mut results) {
        answers.table_after = number(&node.ask("nodes")?, "nodes")?;
    }
    Ok(results)
}

/// What nodes send of themselves.
fn upkeep(nodes: &mut [Dialog], time: Duration) -> Outcome<Vec<Upkeep>> {
    let sent = |nodes: &mut [Dialog]| nodes.iter_mut().map(|node| node.ask("queries")).collect::<Outcome<Vec<_>>>();
    let (before, begin) = (sent(nodes)?, Instant::now());
    std::thread::sleep(time);
    let (after, seconds) = (sent(nodes)?, begin.elapsed().as_secs_f64());
    let queries = |value: &Value| value["queries"].as_f64();
    let rates = before.iter().zip(&after).map(|(before, after)| Some((queries(after)? - queries(before)?) / seconds));
    Ok(rates.map(|per_second| Upkeep { per_second }).collect())
}

fn number(answer: &Value, key: &str) -> Outcome<f64> {
    Ok(answer[key].as_f64().ok_or_else(|| format!("no {key} in {answer}"))?)
}
