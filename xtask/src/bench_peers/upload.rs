//! How fast seeds send to a downloader that throws everything away, and what that costs them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Payload, SEED, median, rqbit};
use crate::lab::{LIMIT, Lab, Outcome, Running, fresh, run};

/// The seeds; the ratios are against the second.
const SEEDS: [&str; 4] = ["unchoke", "libtorrent", "aria2", "rqbit"];

/// What one upload cost.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    seconds: f64,
    cpu_s: f64,
}

/// Each seed in turn, so many rounds.
pub(super) fn measure(lab: &Lab, payload: &Payload, mib: u32, rounds: u32, sinks: u32) -> Outcome<[Cost; 4]> {
    let mut costs = SEEDS.map(|_| Vec::new());
    for round in 0..rounds {
        for (seed, costs) in SEEDS.iter().zip(&mut costs) {
            costs.push(
                upload(lab, payload, mib, seed, sinks).map_err(|error| format!("{seed}, round {round}: {error}"))?,
            );
        }
    }
    Ok(costs.map(|costs| Cost {
        seconds: median(costs.iter().map(|it| it.seconds)),
        cpu_s: median(costs.iter().map(|it| it.cpu_s)),
    }))
}

fn upload(lab: &Lab, payload: &Payload, mib: u32, seed: &str, sinks: u32) -> Outcome<Cost> {
    let home = fresh(lab.work.join("home"))?;
    let mut command = command(lab, payload, seed);
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
    let mut running = Running::start(&mut command, &lab.work.join(format!("{seed}.log")))?;
    let until = Instant::now() + LIMIT;
    let length = u64::from(mib) << 20;
    // It has first to find that it has everything.
    while let Err(error) = run(&mut sink(payload, length, BLOCK_ONLY)?) {
        running.alive()?;
        if Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let before = cpu_seconds(running.id())?;
    let begin = Instant::now();
    let mut running_sinks = Vec::new();
    for number in 0..sinks {
        let log = lab.work.join(format!("sink-{number}.log"));
        running_sinks.push(Running::start(&mut sink(payload, length, length)?, &log)?);
    }
    for running in &mut running_sinks {
        running.ended()?;
    }
    let (cpu_s, mut seconds) = (cpu_seconds(running.id())? - before, begin.elapsed().as_secs_f64());
    for running in &running_sinks {
        let output = running.output()?;
        let sunk: Value = serde_json::from_str(output.trim())?;
        sunk.get("bytes").filter(|bytes| bytes.as_u64() == Some(length)).ok_or("it did not get all")?;
        if sinks == 1 {
            // From the first block to the last; of several, one may have been served before another began.
            seconds = sunk.get("seconds").and_then(Value::as_f64).ok_or("no time")?;
        }
    }
    Ok(Cost { seconds, cpu_s })
}

/// What a downloader asks for that only sees whether there is something to be had.
const BLOCK_ONLY: u64 = 16 * 1024;

fn sink(payload: &Payload, length: u64, bytes: u64) -> Outcome<Command> {
    let mut sink = Command::new(std::env::current_exe()?);
    sink.args(["raw-sink", &payload.info_hash, &length.to_string(), "1048576", &SEED.to_string(), &bytes.to_string()]);
    Ok(sink)
}

fn command(lab: &Lab, payload: &Payload, seed: &str) -> Command {
    let (host, port) = (SEED.ip().to_string(), SEED.port().to_string());
    match seed {
        "unchoke" => {
            let mut command = lab.ours("seed");
            command.arg(&payload.torrent).arg("--data").arg(&payload.data).args(["--listen", &SEED.to_string()]);
            command
        }
        "libtorrent" => {
            let mut command = lab.script("libtorrent_peer.py");
            command.arg("seed").arg(&payload.torrent).arg(&payload.data).args([&SEED.to_string(), "--trust", "--many"]);
            command
        }
        "rqbit" => {
            let mut command = Command::new(rqbit(lab));
            command.args(["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--disable-trackers"]);
            command.args(["--listen-ip", &host, "--listen-port", &port, "-v", "error"]);
            command.args(["download", "--overwrite", "--disable-http-api", "-o"]);
            command.arg(&payload.data).arg(&payload.torrent);
            command
        }
        _ => {
            let mut command = Command::new("aria2c");
            command.args(["--no-conf=true", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
            command.args(["--enable-peer-exchange=false", "--disable-ipv6=true", "--seed-ratio=0.0", "--quiet=true"]);
            command.args(["--bt-seed-unverified=true", "--bt-exclude-tracker=*", "--allow-overwrite=true"]);
            command.arg(format!("--interface={host}")).arg(format!("--listen-port={port}"));
            command.arg("--dir").arg(&payload.data).arg(&payload.torrent);
            command
        }
    }
}

/// User and system time of a process so far. The kernel counts in hundredths.
fn cpu_seconds(process: u32) -> Outcome<f64> {
    let text = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"))?;
    let (_, fields) = text.rsplit_once(')').ok_or("a line of /proc that is none")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}

pub(super) fn as_json(mib: u32, rounds: u32, sinks: u32, costs: &[Cost; 4]) -> Value {
    let row = |(seed, cost): (&&str, &Cost)| json!({ "seed": seed, "mib_per_s": f64::from(mib) / cost.seconds, "cpu_s_per_gib": per_gib(mib, cost) });
    json!({ "mib": mib, "rounds": rounds, "sinks": sinks, "seeds": SEEDS.iter().zip(costs).map(row).collect::<Vec<_>>() })
}

pub(super) fn table(mib: u32, rounds: u32, sinks: u32, costs: &[Cost; 4]) -> String {
    let [_, base, ..] = costs;
    let to = if sinks == 1 { "a downloader that throws them away".into() } else { format!("{sinks} such downloaders") };
    let mut text = format!(
        "{mib} MiB to {to}, medians of {rounds} rounds, in brackets the ratio to libtorrent\n\n\
         | seed | MiB/s | CPU s/GiB |\n| --- | --- | --- |"
    );
    for (seed, cost) in SEEDS.iter().zip(costs) {
        text.push_str(&format!(
            "\n| {seed} | {:.0} ({:.2}) | {:.2} ({:.2}) |",
            f64::from(mib) / cost.seconds,
            base.seconds / cost.seconds,
            per_gib(mib, cost),
            cost.cpu_s / base.cpu_s,
        ));
    }
    text
}

fn per_gib(mib: u32, cost: &Cost) -> f64 {
    cost.cpu_s * 1024.0 / f64::from(mib)
}
