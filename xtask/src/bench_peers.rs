//! `cargo xtask bench-peers`: does our downloader keep up with those of others, and what does it cost?
//!
//! One torrent, one seed, loopback. The seed is one that does nothing but send, or libtorrent, which takes its data for verified. The
//! downloaders take turns, so that a change in the machine's load meets all of them. Transmission waits for its own timers for most of a download, so it has a
//! smaller payload and a row to itself.

mod torrents;
mod upload;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use crate::lab::{
    EmptyFiles, Lab, Needed, Outcome, Running, fresh, generate, is_inside, run, same, script_path, value,
};
use crate::tracker::{self, Protocol, Tracker};
use crate::transmission;

const NEEDED: [Needed; 1] = [("aria2c", &["--version"], "apt-get install --no-install-recommends aria2")];

/// The downloaders; the ratios are against the second.
const LEECHES: [&str; 4] = ["unchoke", "libtorrent", "aria2", "rqbit"];

/// What Transmission downloads, in MiB, and how often at most.
const TRANSMISSION: (u32, u32) = (64, 3);

/// The release that the figures in the documentation are of.
const RQBIT: &str = "9.1.0";

/// What one download cost.
#[derive(Clone, Copy)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    rss_mib: f64,
}

/// The file of the payload.
const NAME: &str = "payload.bin";

/// Where a download comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is there already, and only checked.
    None,
    Raw,
    Libtorrent,
}

#[derive(Clone, Copy)]
struct Source {
    kind: Kind,
    count: u16,
    /// The time ends when all is durable.
    sync: bool,
}

impl Source {
    fn addresses(self) -> Vec<SocketAddrV4> {
        let count = if self.kind == Kind::None { 0 } else { self.count };
        (0..count).map(|number| SocketAddrV4::new(*SEED.ip(), SEED.port() + number)).collect()
    }

    fn words(self) -> String {
        let end = if self.sync { ", until all is durable" } else { "" };
        match (self.kind, self.count) {
            (Kind::None, _) => format!("checked, without peers{end}"),
            (Kind::Raw, 1) => format!("from one raw seed over loopback{end}"),
            (Kind::Raw, count) => format!("from {count} raw seeds over loopback{end}"),
            (Kind::Libtorrent, _) => format!("from one libtorrent seed over loopback{end}"),
        }
    }
}

/// What is downloaded and where to.
struct Payload {
    data: PathBuf,
    torrent: PathBuf,
    info_hash: String,
    output: PathBuf,
}

/// Runs `--rounds N` (3) rounds over `--mib N` (2048); `--work DIR` holds the payload twice; `--json` for programs; `--install` builds rqbit if
/// it is missing. What is measured:
/// - downloads from `--seed raw`, or `--seeds N` of them, or libtorrent; with `--sync` until all is durable;
/// - with `--recheck`, checks of data that is there;
/// - with `--upload`, uploads to a raw downloader, or `--sinks N` of them at a time;
/// - with `--torrents N`, so many small torrents that are checked and seeded, beside libtorrent;
/// - with `--scale`, how our own cost grows with pieces, peers and torrents; writes JSON and SVG into `--out DIR` (`docs`).
pub(crate) fn bench_peers(arguments: &[String]) -> Outcome<ExitCode> {
    let mut lab = Lab::new("bench-peers")?;
    if let Some(folder) = value(arguments, "--work") {
        lab.work = Path::new(folder).join("bench-peers");
    }
    if arguments.iter().any(|it| it == "--scale") {
        return scale(&lab, value(arguments, "--out").unwrap_or("docs"));
    }
    if let Some(count) = value(arguments, "--torrents") {
        let rounds = value(arguments, "--rounds").map_or(Ok(3), str::parse::<u32>)?;
        let (count, is_json) = (count.parse::<u32>()?, arguments.iter().any(|it| it == "--json"));
        let medians = torrents::measure(&lab, count, rounds)?;
        let report = if is_json {
            torrents::as_json(count, rounds, &medians).to_string()
        } else {
            torrents::table(count, rounds, &medians)
        };
        writeln!(std::io::stdout(), "{report}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !is_inside(arguments) {
        demand_rqbit(&lab, arguments.iter().any(|it| it == "--install"))?;
    }
    if let Some(code) = lab.enter(arguments, &[&transmission::PROGRAMS[..], &NEEDED].concat())? {
        return Ok(code);
    }
    let mib = value(arguments, "--mib").map_or(Ok(2_048), str::parse::<u32>)?;
    let rounds = value(arguments, "--rounds").map_or(Ok(3), str::parse::<u32>)?;
    if mib == 0 || rounds == 0 {
        return Err("--mib and --rounds must be at least 1".into());
    }
    fresh(lab.work.clone())?;
    let payload = payload(&lab, "data", mib)?;
    if arguments.iter().any(|it| it == "--upload") {
        let sinks = value(arguments, "--sinks").map_or(Ok(1), str::parse::<u32>)?.max(1);
        let costs = upload::measure(&lab, &payload, mib, rounds, sinks)?;
        let is_json = arguments.iter().any(|it| it == "--json");
        let total = mib.saturating_mul(sinks);
        let report = if is_json {
            upload::as_json(total, rounds, sinks, &costs).to_string()
        } else {
            upload::table(total, rounds, sinks, &costs)
        };
        writeln!(std::io::stdout(), "{report}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let source = source(arguments)?;
    let output = |payload: Payload| {
        let output = if source.kind == Kind::None { payload.data.clone() } else { payload.output.clone() };
        Payload { output, ..payload }
    };
    let payload = output(payload);
    let mut costs = LEECHES.map(|_| Vec::new());
    for round in 0..rounds {
        for (leech, costs) in LEECHES.iter().zip(&mut costs) {
            costs.push(
                download(&lab, &payload, leech, &source).map_err(|error| format!("{leech}, round {round}: {error}"))?,
            );
        }
    }
    fs::remove_dir_all(&payload.data)?;
    let small = output(self::payload(&lab, "small", TRANSMISSION.0)?);
    let mut waits = Vec::new();
    for round in 0..rounds.min(TRANSMISSION.1) {
        let cost = download(&lab, &small, "transmission", &source);
        waits.push(cost.map_err(|error| format!("transmission, round {round}: {error}"))?);
    }
    fs::remove_dir_all(&small.data)?;
    let (medians, waits) = (costs.map(|costs| medians(&costs)), medians(&waits));
    let report = if arguments.iter().any(|it| it == "--json") {
        as_json(mib, rounds, source, &medians, &waits).to_string()
    } else {
        table(mib, rounds, source, &medians, &waits)
    };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(ExitCode::SUCCESS)
}

fn source(arguments: &[String]) -> Outcome<Source> {
    let kind = match value(arguments, "--seed").unwrap_or("libtorrent") {
        _ if arguments.iter().any(|it| it == "--recheck") => Kind::None,
        "raw" => Kind::Raw,
        "libtorrent" => Kind::Libtorrent,
        _ => return Err("--seed is raw or libtorrent".into()),
    };
    let count = value(arguments, "--seeds").map_or(Ok(1), str::parse::<u16>)?;
    if !(1..=100).contains(&count) || (count > 1 && kind != Kind::Raw) {
        return Err("--seeds is 1 to 100, and more than one are raw".into());
    }
    Ok(Source { kind, count, sync: arguments.iter().any(|it| it == "--sync") })
}

fn scale(lab: &Lab, out: &str) -> Outcome<ExitCode> {
    fs::create_dir_all(&lab.work)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "run",
        "--release",
        "--quiet",
        "-p",
        "unchoke-benches",
        "--features",
        "client",
        "--bin",
        "client_scale",
        "--",
    ]);
    let status = cargo.arg(&lab.work).arg(out).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fails with the command that installs rqbit, or runs it.
fn demand_rqbit(lab: &Lab, install: bool) -> Outcome {
    if run(Command::new(rqbit(lab)).arg("--version")).is_ok() {
        return Ok(());
    }
    let root = lab.target.join("peers/rqbit");
    if !install {
        let root = root.display();
        let command = format!("cargo install rqbit --version {RQBIT} --locked --root {root}");
        return Err(format!("rqbit is missing: {command}, or --install; it takes some minutes").into());
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["install", "rqbit", "--version", RQBIT, "--locked", "--root"]).arg(root);
    run(&mut cargo).map(drop)
}

fn rqbit(lab: &Lab) -> PathBuf {
    lab.target.join("peers/rqbit/bin/rqbit")
}

/// Content of this size and its torrent, which names the tracker.
fn payload(lab: &Lab, name: &str, mib: u32) -> Outcome<Payload> {
    let (data, torrent) = (lab.work.join(name), lab.work.join(format!("{name}.torrent")));
    generate(&data.join("payload.bin"), u64::from(mib) << 20, 1)?;
    let mut create = lab.ours("create");
    create.arg(data.join("payload.bin")).arg("--output").arg(&torrent);
    create.args(["--piece-length", "1048576", "--tracker", &tracker::announce_url(Protocol::Http)]);
    let info_hash = run(&mut create)?.trim().to_owned();
    Ok(Payload { data, torrent, info_hash, output: lab.work.join("output") })
}

/// One download from fresh seeds, compared with the payload byte by byte; without seeds, one check of what is there.
fn download(lab: &Lab, payload: &Payload, leech: &str, source: &Source) -> Outcome<Cost> {
    let seeds = source.addresses();
    if !seeds.is_empty() {
        fresh(payload.output.clone())?;
    }
    // It tells aria2 and Transmission of the seeds.
    let _tracker = Tracker::Ours.start(lab, &lab.work, &payload.info_hash)?;
    let _seeds = match source.kind {
        Kind::None => None,
        Kind::Raw | Kind::Libtorrent => {
            let mut running =
                Running::start(&mut seeding(lab, payload, source.kind, &seeds)?, &lab.work.join("seed.log"))?;
            running.printed("ready")?;
            if source.kind == Kind::Raw {
                seeds.iter().try_for_each(|seed| tracker::announce_seed(&payload.info_hash, seed.port()))?;
            }
            tracker::knows_a_seed(&payload.info_hash)?;
            Some(running)
        }
    };
    let mut inner = leeching(lab, payload, leech, &seeds)?;
    if seeds.is_empty() && leech == "aria2" {
        inner.args(["--check-integrity=true", "--hash-check-only=true"]);
    }
    let log = lab.work.join(format!("{leech}.log"));
    let mut command = Command::new(lab.python());
    command.arg(script_path("measure.py"));
    if source.sync {
        command.arg("--sync").arg(&payload.output);
    }
    command.arg(inner.get_program()).args(inner.get_args());
    // Nobody's own settings.
    command.env("HOME", &lab.work).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
    let mut measured = Running::start(&mut command, &log)?;
    if leech == "transmission" {
        transmission::answers(&mut measured)?;
        transmission::add(payload.torrent.as_os_str(), &payload.output)?;
        transmission::is_complete()?;
        transmission::exit()?;
    }
    measured.ended()?;
    let output = measured.output()?;
    let cost: Value = serde_json::from_str(output.lines().last().unwrap_or_default())?;
    let number = |key: &str| cost.get(key).and_then(Value::as_f64).ok_or_else(|| format!("no {key} in {cost}"));
    if number("status")? != 0.0 {
        return Err(format!("it failed, see {}", log.display()).into());
    }
    if seeds.is_empty() {
        // What is known of the data, so that the next one looks at all of it again.
        for name in [".unchoke", "payload.bin.aria2"] {
            let path = payload.output.join(name);
            let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            gone.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        }
    } else {
        same(&payload.data.join(NAME), &payload.output.join(NAME), EmptyFiles::Demanded)?;
        fs::remove_dir_all(&payload.output)?;
    }
    Ok(Cost { wall_s: number("wall_s")?, cpu_s: number("cpu_s")?, rss_mib: number("rss_kib")? / 1024.0 })
}

/// The command of a downloader.
fn leeching(lab: &Lab, payload: &Payload, leech: &str, seeds: &[SocketAddrV4]) -> Outcome<Command> {
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    Ok(match leech {
        "unchoke" => {
            let mut command = lab.ours("download");
            command.arg(&payload.torrent).arg("--output").arg(&payload.output).arg("--json");
            command.args(seeds.iter().flat_map(|seed| ["--peer", seed]));
            command.args(["--listen", "10.77.0.2:0"]);
            command
        }
        "libtorrent" => {
            let mut command = lab.script("libtorrent_peer.py");
            command.arg("leech").arg(&payload.torrent).arg(&payload.output);
            command.arg("10.77.0.4:6900").args((seeds.len() > 1).then_some("--many")).args(&seeds);
            command
        }
        "rqbit" => {
            let mut command = Command::new(rqbit(lab));
            command.args(["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--disable-trackers"]);
            command.args(["--http-api-listen-addr", "127.0.0.1:9092", "-v", "error", "download", "--exit-on-finish"]);
            if seeds.is_empty() {
                command.arg("--overwrite");
            } else {
                command.args(["--initial-peers", &seeds.join(",")]);
            }
            command.arg("-o").arg(&payload.output).arg(&payload.torrent);
            command
        }
        "transmission" => {
            let folder = fresh(lab.work.join("transmission"))?;
            transmission::command(SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 6), 6_900), &folder, &payload.output)
        }
        _ => {
            let mut command = Command::new("aria2c");
            command.args(["--no-conf=true", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
            command.args(["--enable-peer-exchange=false", "--disable-ipv6=true", "--seed-time=0", "--quiet=true"]);
            command.args(["--file-allocation=none", "--interface=10.77.0.5", "--listen-port=6900"]);
            command.arg("--dir").arg(&payload.output).arg(&payload.torrent);
            command
        }
    })
}

/// The command of the seeds.
fn seeding(lab: &Lab, payload: &Payload, kind: Kind, seeds: &[SocketAddrV4]) -> Outcome<Command> {
    if kind == Kind::Raw {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["raw-seed", &payload.info_hash]).arg(payload.data.join(NAME)).arg("1048576");
        command.args(seeds.iter().map(ToString::to_string));
        return Ok(command);
    }
    let mut command = lab.script("libtorrent_peer.py");
    command.arg("seed").arg(&payload.torrent).arg(&payload.data).args([&SEED.to_string(), "--trust"]);
    Ok(command)
}

/// The middle value, or of two middle values the greater.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values = values.collect::<Vec<_>>();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn medians(costs: &[Cost]) -> Cost {
    Cost {
        wall_s: median(costs.iter().map(|it| it.wall_s)),
        cpu_s: median(costs.iter().map(|it| it.cpu_s)),
        rss_mib: median(costs.iter().map(|it| it.rss_mib)),
    }
}

fn throughput(mib: u32, cost: &Cost) -> f64 {
    f64::from(mib) / cost.wall_s
}

fn cpu_per_gib(mib: u32, cost: &Cost) -> f64 {
    cost.cpu_s * 1024.0 / f64::from(mib)
}

fn as_json(mib: u32, rounds: u32, source: Source, costs: &[Cost; 4], transmission: &Cost) -> Value {
    let row = |leech: &str, mib: u32, cost: &Cost| {
        json!({
            "leech": leech,
            "mib": mib,
            "wall_s": cost.wall_s,
            "mib_per_s": throughput(mib, cost),
            "cpu_s_per_gib": cpu_per_gib(mib, cost),
            "rss_mib": cost.rss_mib,
        })
    };
    let mut rows = LEECHES.iter().zip(costs).map(|(leech, cost)| row(leech, mib, cost)).collect::<Vec<_>>();
    rows.push(row("transmission", TRANSMISSION.0, transmission));
    json!({ "mib": mib, "rounds": rounds, "what": source.words(), "leeches": rows })
}

fn table(mib: u32, rounds: u32, source: Source, costs: &[Cost; 4], transmission: &Cost) -> String {
    let [_, base, ..] = costs;
    let mut text = format!(
        "{mib} MiB {}, medians of {rounds} rounds, in brackets the ratio to libtorrent\n\n\
         | leech | MiB/s | CPU s/GiB | peak RSS, MiB |\n| --- | --- | --- | --- |",
        source.words(),
    );
    for (leech, cost) in LEECHES.iter().zip(costs) {
        let (speed, cpu) = (throughput(mib, cost), cpu_per_gib(mib, cost));
        text.push_str(&format!(
            "\n| {leech} | {speed:.0} ({:.2}) | {cpu:.2} ({:.2}) | {:.0} ({:.2}) |",
            speed / throughput(mib, base),
            cpu / cpu_per_gib(mib, base),
            cost.rss_mib,
            cost.rss_mib / base.rss_mib,
        ));
    }
    let (small, most) = TRANSMISSION;
    let (speed, cpu) = (throughput(small, transmission), cpu_per_gib(small, transmission));
    text.push_str(&format!(
        "\n| transmission * | {speed:.0} | {cpu:.2} | {:.0} |\n\n\
         \\* {small} MiB, {} rounds: it waits for its own timers, {:.0} s from start to end, so its row is not to be compared.",
        transmission.rss_mib,
        rounds.min(most),
        transmission.wall_s,
    ));
    text
}

/// Where the seed listens: at the tracker's address, from which a connection to the tracker comes by itself.
const SEED: SocketAddrV4 = SocketAddrV4::new(tracker::HOST, 6_900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_slow_round() {
        assert_eq!(median([1.0, 9.0, 1.5].into_iter()).to_bits(), 1.5_f64.to_bits());
    }

    #[test]
    fn the_table_tells_rates_and_ratios() {
        let cost = |wall_s, cpu_s| Cost { wall_s, cpu_s, rss_mib: 10.0 };
        let costs = [cost(2.0, 1.0), cost(4.0, 2.0), cost(8.0, 2.0), cost(4.0, 4.0)];
        let source = Source { kind: Kind::Raw, count: 1, sync: false };
        let text = table(2_048, 3, source, &costs, &cost(16.0, 0.5));
        assert!(text.contains("| unchoke | 1024 (2.00) | 0.50 (0.50) | 10 (1.00) |"), "{text}");
        assert!(text.contains("| transmission * | 4 | 8.00 | 10 |\n\n\\* 64 MiB, 3 rounds"), "{text}");
    }
}
