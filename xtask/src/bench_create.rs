//! `cargo xtask bench-create`: does hashing keep up with others where torrents are made and data is checked, and what does it cost?
//!
//! One file in the page cache. The programs take turns, so that a change in the machine's load meets all of them. A second table puts
//! each way of hashing that this CPU has beside OpenSSL, which is told that there are no SHA instructions.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use crate::lab::{Lab, Needed, Outcome, fresh, generate, run, script_path, value};

const NEEDED: [Needed; 2] = [
    ("mktorrent", &["-h"], "apt-get install --no-install-recommends mktorrent"),
    ("openssl", &["version"], "apt-get install --no-install-recommends openssl"),
];

/// The same for all, in bytes and as the exponent that mktorrent wants.
const PIECE_LENGTH: (&str, &str) = ("1048576", "20");

/// What is measured: the task, the program, and what the ratio of a row of ours is against.
const ROWS: [(Task, Program); 11] = [
    (Task::Create("v1"), Program::Unchoke),
    (Task::Create("v1"), Program::Mktorrent),
    (Task::Create("v1"), Program::Libtorrent),
    (Task::Create("v2"), Program::Unchoke),
    (Task::Create("v2"), Program::Libtorrent),
    (Task::Create("hybrid"), Program::Unchoke),
    (Task::Create("hybrid"), Program::Libtorrent),
    (Task::Check("v1"), Program::Unchoke),
    (Task::Check("v1"), Program::Libtorrent),
    (Task::Check("v2"), Program::Unchoke),
    (Task::Check("v2"), Program::Libtorrent),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Task {
    Create(&'static str),
    Check(&'static str),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Program {
    Unchoke,
    Mktorrent,
    Libtorrent,
}

impl Task {
    fn name(self) -> String {
        match self {
            Self::Create(version) => format!("create {version}"),
            Self::Check(version) => format!("check {version}"),
        }
    }
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Unchoke => "unchoke",
            Self::Mktorrent => "mktorrent -t 2",
            Self::Libtorrent => "libtorrent",
        }
    }
}

/// Seconds of one run, or medians of all.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
}

/// A way of hashing and the bytes of SHA-1 and SHA-256 that it takes in a CPU second.
type Rate = (String, [f64; 2]);

/// Runs `--rounds N` (5) rounds over `--mib N` (2048), in `--work DIR` (`/dev/shm` if it is there); `--json` for programs.
pub(crate) fn bench_create(arguments: &[String]) -> Outcome<ExitCode> {
    let mut lab = Lab::new("bench-create")?;
    let memory = Path::new("/dev/shm");
    let folder = value(arguments, "--work").map(Path::new).or_else(|| memory.is_dir().then_some(memory));
    if let Some(folder) = folder {
        lab.work = folder.join(format!("unchoke-bench-create-{}", std::process::id()));
    }
    let mib = value(arguments, "--mib").map_or(Ok(2_048), str::parse::<u32>)?;
    let rounds = value(arguments, "--rounds").map_or(Ok(5), str::parse::<u32>)?;
    if mib == 0 || rounds == 0 {
        return Err("--mib and --rounds must be at least 1".into());
    }
    let missing =
        NEEDED.iter().filter(|(program, arguments, _)| Command::new(program).args(*arguments).output().is_err());
    let missing = missing.map(|(program, _, install)| format!("{program} is missing: {install}"));
    let missing = missing.chain(lab.require_libtorrent().err().map(|error| error.to_string())).collect::<Vec<_>>();
    if !missing.is_empty() {
        return Err(missing.join("\n").into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ours = ["-p", "unchoke-examples", "--example", "create", "--example", "inspect"];
    let bench = ["-p", "unchoke-benches", "--bin", "hash_rounds"];
    run(Command::new(cargo).args(["build", "--release", "--quiet"]).args(ours).args(bench))?;
    fresh(lab.work.clone())?;
    let report = measure(&lab, mib, rounds);
    fs::remove_dir_all(&lab.work)?;
    let (costs, rates) = report?;
    let report = if arguments.iter().any(|it| it == "--json") {
        as_json(mib, rounds, &costs, &rates).to_string()
    } else {
        format!("{}\n\n{}", table(mib, rounds, &costs), table_of_rates(&rates))
    };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(ExitCode::SUCCESS)
}

fn measure(lab: &Lab, mib: u32, rounds: u32) -> Outcome<(Vec<Cost>, Vec<Rate>)> {
    let data = lab.work.join("data/payload.bin");
    generate(&data, u64::from(mib) << 20, 1)?;
    let mut costs = vec![Vec::new(); ROWS.len()];
    let mut rates: Vec<(String, [Vec<f64>; 2])> = Vec::new();
    for round in 0..rounds {
        // What a version hashes to must be the same for all programs.
        let mut hashes: Vec<(&str, String)> = Vec::new();
        for ((task, program), costs) in ROWS.iter().zip(&mut costs) {
            eprintln!("round {} of {rounds}: {}, {}", round + 1, task.name(), program.name());
            let (cost, told) = one(lab, &data, *task, *program)
                .map_err(|error| format!("{}, {}: {error}", task.name(), program.name()))?;
            costs.push(cost);
            if let (Task::Create(version), Program::Unchoke | Program::Libtorrent) = (task, program) {
                match hashes.iter().find(|(of, _)| of == version) {
                    Some((_, expected)) if *expected != told => {
                        return Err(format!("{version}: {told} instead of {expected}").into());
                    }
                    Some(_) => {}
                    None => hashes.push((version, told)),
                }
            }
        }
        for (name, found) in all_rates(lab)? {
            match rates.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.iter_mut().zip(found).for_each(|(all, found)| all.push(found)),
                None => rates.push((name, found.map(|found| vec![found]))),
            }
        }
    }
    let costs = costs.into_iter().map(|costs| Cost {
        wall_s: median(costs.iter().map(|it| it.wall_s).collect()),
        cpu_s: median(costs.iter().map(|it| it.cpu_s).collect()),
    });
    Ok((costs.collect(), rates.into_iter().map(|(name, all)| (name, all.map(median))).collect()))
}

/// What one run cost, and the info-hashes that it printed.
fn one(lab: &Lab, data: &Path, task: Task, program: Program) -> Outcome<(Cost, String)> {
    let torrent = |version: &str| lab.work.join(format!("{version}.torrent"));
    let folder = data.parent().ok_or("the data is in no folder")?;
    let inner = match (task, program) {
        (Task::Create(version), Program::Unchoke) => {
            let mut command = lab.ours("create");
            command.arg(data).args([&format!("--{version}"), "--piece-length", PIECE_LENGTH.0]);
            command.arg("--output").arg(torrent(version));
            command
        }
        (Task::Check(version), Program::Unchoke) => {
            let mut command = lab.ours("inspect");
            command.arg(torrent(version)).arg("--data").arg(folder);
            command
        }
        (_, Program::Mktorrent) => {
            let output = fresh(lab.work.join("mktorrent"))?.join("made.torrent");
            let mut command = Command::new("mktorrent");
            command.args(["-t", "2", "-l", PIECE_LENGTH.1, "-a", "http://t/", "-o"]).arg(output).arg(data);
            command
        }
        (Task::Create(version), Program::Libtorrent) => {
            let mut command = lab.script("libtorrent_create.py");
            command.arg("create").arg(data).args([PIECE_LENGTH.0, version]);
            command
        }
        (Task::Check(version), Program::Libtorrent) => {
            let mut command = lab.script("libtorrent_create.py");
            command.arg("check").arg(torrent(version)).arg(folder);
            command
        }
    };
    if program == Program::Libtorrent {
        let mut inner = inner;
        let told: Value = serde_json::from_str(&run(&mut inner)?)?;
        let hashes = told.get("hashes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        return Ok((cost(&told)?, hashes.collect::<Vec<_>>().join("\n")));
    }
    let mut command = Command::new(lab.python());
    command.arg(script_path("measure.py")).arg(inner.get_program()).args(inner.get_args());
    // What the program prints comes on standard error.
    let output = command.stdin(std::process::Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let found: Value = serde_json::from_slice(&output.stdout)?;
    if found.get("status").and_then(Value::as_i64) != Some(0) {
        return Err(format!("it failed: {told}").into());
    }
    let is_hash = |line: &&str| line.len() >= 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok((cost(&found)?, told.lines().filter(is_hash).collect::<Vec<_>>().join("\n")))
}

fn cost(told: &Value) -> Outcome<Cost> {
    let number = |key: &str| told.get(key).and_then(Value::as_f64).ok_or_else(|| format!("no {key} in {told}"));
    Ok(Cost { wall_s: number("wall_s")?, cpu_s: number("cpu_s")? })
}

/// Ours of each backend, and OpenSSL's without SHA instructions and with all that the CPU has.
fn all_rates(lab: &Lab) -> Outcome<Vec<Rate>> {
    let mut rates = Vec::new();
    for line in run(&mut Command::new(hash_rounds(lab)))?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, lanes, sha1, sha256] = words.as_slice() else {
            return Err(format!("unknown line {line:?}").into());
        };
        rates.push((format!("unchoke, {name}, lanes: {lanes}"), [sha1.parse()?, sha256.parse()?]));
    }
    for (name, mask) in [("OpenSSL without SHA instructions", Some(WITHOUT_SHA)), ("OpenSSL", None)] {
        rates.push((name.to_owned(), [openssl("sha1", mask)?, openssl("sha256", mask)?]));
    }
    Ok(rates)
}

fn hash_rounds(lab: &Lab) -> PathBuf {
    lab.target.join("release/hash_rounds")
}

/// Bytes a CPU second, as `openssl speed` counts them.
fn openssl(function: &str, mask: Option<&str>) -> Outcome<f64> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-mr", "-evp", function, "-bytes", "16384", "-seconds", "1"]);
    if let Some(mask) = mask {
        command.env("OPENSSL_ia32cap", mask);
    }
    let output = run(&mut command)?;
    let figure = output.lines().find_map(|line| line.strip_prefix("+F:")?.rsplit(':').next());
    Ok(figure.ok_or_else(|| format!("openssl told no figure: {output}"))?.parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many times as fast ours is as the other program at the same task, and how much of its CPU it takes.
fn ratios(costs: &[Cost], row: usize) -> Option<(f64, f64)> {
    let (task, _) = ROWS.get(row)?;
    let ours = ROWS.iter().position(|(of, program)| of == task && *program == Program::Unchoke)?;
    let (ours, theirs) = (costs.get(ours)?, costs.get(row)?);
    Some((theirs.wall_s / ours.wall_s, ours.cpu_s / theirs.cpu_s))
}

fn table(mib: u32, rounds: u32, costs: &[Cost]) -> String {
    let mut text = format!(
        "{mib} MiB in the page cache, medians of {rounds} rounds; speed: how many times as fast ours is; CPU: what ours takes of theirs\n\n\
         | task | program | wall, s | CPU, s | GB/s | speed | CPU |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for (row, ((task, program), cost)) in ROWS.iter().zip(costs).enumerate() {
        let rate = f64::from(mib) * f64::from(1 << 20) / cost.wall_s / 1e9;
        let against = match (program, ratios(costs, row)) {
            (Program::Mktorrent | Program::Libtorrent, Some((speed, cpu))) => format!("{speed:.2} | {cpu:.2}"),
            _ => " | ".to_owned(),
        };
        let (task, program) = (task.name(), program.name());
        text.push_str(&format!(
            "\n| {task} | {program} | {:.2} | {:.2} | {rate:.2} | {against} |",
            cost.wall_s, cost.cpu_s
        ));
    }
    text
}

fn table_of_rates(rates: &[Rate]) -> String {
    let mut text = "One core, GB in a CPU second\n\n| what | SHA-1 | SHA-256 |\n| --- | --- | --- |".to_owned();
    for (name, [sha1, sha256]) in rates {
        text.push_str(&format!("\n| {name} | {:.2} | {:.2} |", sha1 / 1e9, sha256 / 1e9));
    }
    text
}

fn as_json(mib: u32, rounds: u32, costs: &[Cost], rates: &[Rate]) -> Value {
    let row = |(row, ((task, program), cost)): (usize, (&(Task, Program), &Cost))| {
        let (speed, cpu) = ratios(costs, row).unwrap_or((f64::NAN, f64::NAN));
        json!({
            "task": task.name(), "program": program.name(), "wall_s": cost.wall_s, "cpu_s": cost.cpu_s,
            "our_speed_ratio": speed, "our_cpu_ratio": cpu,
        })
    };
    let rows: Vec<_> = ROWS.iter().zip(costs).enumerate().map(row).collect();
    let rates = rates.iter().map(|(name, [sha1, sha256])| json!({ "name": name, "sha1": sha1, "sha256": sha256 }));
    json!({ "mib": mib, "rounds": rounds, "rows": rows, "bytes_per_cpu_s": rates.collect::<Vec<_>>() })
}

/// Takes bit 29 of EBX out of what leaf 7 of CPUID tells: the SHA instructions.
const WITHOUT_SHA: &str = ":~0x20000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_task_and_above_one_where_ours_is_faster() {
        let costs: Vec<_> = (0..ROWS.len()).map(|row| Cost { wall_s: 1.0 + row as f64, cpu_s: 4.0 }).collect();
        assert_eq!(ratios(&costs, 1), Some((2.0, 1.0)));
        assert_eq!(ratios(&costs, 4), Some((1.25, 1.0)));
        let text = table(2_048, 5, &costs);
        assert!(text.contains("| create v1 | mktorrent -t 2 | 2.00 | 4.00 | 1.07 | 2.00 | 1.00 |"), "{text}");
    }
}
