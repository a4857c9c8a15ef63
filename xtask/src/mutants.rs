//! `cargo xtask mutants`: breaks a crate in many small ways, each by itself, and sees which its tests notice.
//!
//! cargo-mutants makes the mutants and runs the tests of the crate. Which mutants are tried is drawn here, so that a seed tells.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::lab::{Lab, Outcome, run, value};

/// Tries `--count N` (300) mutants of a crate, drawn by `--seed N` (1), and writes what came of them to `docs/mutants.md`.
pub(crate) fn mutants(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("mutants")?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above xtask")?;
    let package = arguments.get(1).filter(|it| !it.starts_with("--")).ok_or("which package?")?;
    let count: usize = value(arguments, "--count").map_or(Ok(300), str::parse)?;
    let seed: u64 = value(arguments, "--seed").map_or(Ok(1), str::parse)?;
    let tool = tool(&lab)?;
    let listed = run(command(&tool, project, &lab).args(["--list", "--json", "--package", package]))?;
    let listed: Value = serde_json::from_str(&listed)?;
    let all: Vec<Mutant> = numbered(listed.as_array().into_iter().flatten().filter_map(|it| it.get("name")?.as_str()));
    let sample = sample(all.clone(), count, seed);
    if sample.is_empty() {
        return Err(format!("{package} has no mutants").into());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{package}: {} of {} mutants", sample.len(), all.len())?;
    let begin = Instant::now();
    let work = lab.work.join(package);
    fs::create_dir_all(&work)?;
    let names: Vec<String> = sample.iter().map(|it| escaped(&it.name)).collect();
    let mut run = command(&tool, project, &lab);
    run.args([
        "--package",
        package,
        "--test-workspace",
        "false",
        "--all-features",
        "--profile",
        "mutants",
        "--jobs",
        "1",
    ]);
    run.args(["--cargo-arg", "--locked", "--minimum-test-timeout", "10", "--timeout-multiplier", "4", "--no-shuffle"]);
    run.arg("--output").arg(&work).arg("--re").arg(format!("^({})$", names.join("|")));
    // Examples in the documentation take longer to build than all tests take to run.
    run.args(["--", "--tests"]);
    let log = fs::File::create(work.join("log"))?;
    let status = run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status()?;
    // 2 and 3 tell of mutants that were missed or took too long.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(format!("cargo-mutants ended with {status}; see {}", work.join("log").display()).into());
    }
    let outcomes = serde_json::from_str(&fs::read_to_string(work.join("mutants.out/outcomes.json"))?)?;
    let ends = ends(&outcomes);
    let known = equivalents(&fs::read_to_string(project.join("docs/mutants-equivalent.txt"))?)?;
    let tally = Tally::of(&sample, &ends, &known);
    let commit = run_git(project)?;
    let section = tally.section(package, &commit, seed, all.len());
    let file = project.join("docs/mutants.md");
    fs::write(&file, with_section(&fs::read_to_string(&file)?, package, &section))?;
    let seconds = begin.elapsed().as_secs_f64();
    writeln!(out, "{section}\n{seconds:.0} s, {:.1} s for each mutant", seconds / sample.len() as f64)?;
    for (name, seconds) in slowest(&outcomes) {
        writeln!(out, "{seconds:>6.1} s  {name}")?;
    }
    Ok(if tally.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// cargo-mutants, where the next line of the message puts it.
fn tool(lab: &Lab) -> Outcome<std::path::PathBuf> {
    let tools = lab.target.join("tools");
    let tool = tools.join("bin/cargo-mutants");
    match run(Command::new(&tool).args(["mutants", "--version"])) {
        Ok(_) => Ok(tool),
        Err(_) => {
            Err(format!("cargo-mutants is missing: cargo install cargo-mutants --locked --root {}", tools.display())
                .into())
        }
    }
}

/// cargo-mutants copies the tree; what it builds stays in one place, so that dependencies are built once.
fn command(tool: &Path, project: &Path, lab: &Lab) -> Command {
    let mut command = Command::new(tool);
    command.arg("mutants").current_dir(project).env("CARGO_TARGET_DIR", lab.work.join("target"));
    command
}

fn run_git(project: &Path) -> Outcome<String> {
    let git = |arguments: &[&str]| run(Command::new("git").current_dir(project).args(arguments));
    let changed = git(&["status", "--porcelain", "--", "crates"])?;
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    Ok(format!("{}{}", commit.trim(), if changed.trim().is_empty() { "" } else { " and changes" }))
}

/// A mutant as cargo-mutants names it, and as it is named here, which edits elsewhere in the file do not change.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Mutant {
    /// `crates/x/src/y.rs:38:9: replace f -> u8 with 0`
    name: String,
    /// `crates/x/src/y.rs: replace f -> u8 with 0 #1`, where the number counts those that read the same.
    key: String,
}

fn numbered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Mutant> {
    let mut seen = BTreeMap::new();
    let mutant = |name: &str| {
        let mut parts = name.splitn(4, ':');
        let file = parts.next().unwrap_or_default();
        let key = format!("{file}:{}", parts.nth(2).unwrap_or_default());
        let number = seen.entry(key.clone()).and_modify(|it| *it += 1).or_insert(1);
        Mutant { name: name.to_owned(), key: format!("{key} #{number}") }
    };
    names.map(mutant).collect()
}

/// Draws `count` mutants, in the order of the source.
fn sample(mut all: Vec<Mutant>, count: usize, seed: u64) -> Vec<Mutant> {
    let mut state = seed;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let count = count.min(all.len());
    for at in 0..count {
        let left = (all.len() - at) as u64;
        let other = usize::try_from(next() % left).unwrap_or_default();
        all.swap(at, at + other);
    }
    all.truncate(count);
    all.sort();
    all
}

/// A regular expression that matches this text alone.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| ["\\.+*?()|[]{}^$#&-~".contains(c).then_some('\\'), Some(c)]).flatten().collect()
}

/// How each mutant ended, in cargo-mutants' words.
fn ends(outcomes: &Value) -> BTreeMap<String, String> {
    let outcomes = outcomes.get("outcomes").and_then(Value::as_array).into_iter().flatten();
    let end = |it: &Value| {
        let name = it.pointer("/scenario/Mutant/name")?.as_str()?;
        Some((name.to_owned(), it.get("summary")?.as_str()?.to_owned()))
    };
    outcomes.filter_map(end).collect()
}

/// The three that took the longest.
fn slowest(outcomes: &Value) -> Vec<(String, f64)> {
    let outcomes = outcomes.get("outcomes").and_then(Value::as_array).into_iter().flatten();
    let time = |it: &Value| {
        let name = it.pointer("/scenario/Mutant/name")?.as_str()?.to_owned();
        let phases = it.get("phase_results")?.as_array()?.iter();
        Some((name, phases.filter_map(|phase| phase.get("duration")?.as_f64()).sum()))
    };
    let mut times: Vec<(String, f64)> = outcomes.filter_map(time).collect();
    times.sort_by(|one, other| other.1.total_cmp(&one.1));
    times.truncate(3);
    times
}

/// Mutants that do what the original does, with the reason: `key | reason`. Lines that begin with `#` are comments.
fn equivalents(text: &str) -> Result<BTreeSet<String>, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = |line: &str| match line.split_once(" | ") {
        Some((key, reason)) if !reason.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => Err(format!("no reason is given: {line}")),
    };
    lines.map(key).collect()
}

/// What came of a sample.
#[derive(Default)]
struct Tally {
    sampled: usize,
    caught: usize,
    /// Caught, too: the tests did not come to an end.
    late: usize,
    unviable: usize,
    equivalent: usize,
    missed: Vec<Mutant>,
}

impl Tally {
    fn of(sample: &[Mutant], ends: &BTreeMap<String, String>, known: &BTreeSet<String>) -> Self {
        let mut tally = Self { sampled: sample.len(), ..Self::default() };
        for mutant in sample {
            match ends.get(&mutant.name).map(String::as_str) {
                Some("CaughtMutant") => tally.caught += 1,
                Some("Timeout") => tally.late += 1,
                Some("Unviable") => tally.unviable += 1,
                _ if known.contains(&mutant.key) => tally.equivalent += 1,
                _ => tally.missed.push(mutant.clone()),
            }
        }
        tally
    }

    /// Of the mutants that build and change something, how many were caught.
    fn percent(&self) -> f64 {
        let caught = self.caught + self.late;
        100.0 * caught as f64 / (caught + self.missed.len()).max(1) as f64
    }

    fn section(&self, package: &str, commit: &str, seed: u64, all: usize) -> String {
        let Self { sampled, caught, late, unviable, equivalent, missed } = self;
        let mut text = format!(
            "## {package}\n\n\
             | Commit | Seed | Mutants | Sampled | Caught | Did not end | Unviable | Equivalent | Missed | Of those that count |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n\
             | {commit} | {seed} | {all} | {sampled} | {caught} | {late} | {unviable} | {equivalent} | {} | {:.1} % |\n",
            missed.len(),
            self.percent()
        );
        if !missed.is_empty() {
            text.push_str("\nMissed:\n\n");
            missed.iter().for_each(|it| text.push_str(&format!("- `{}`\n", it.name)));
        }
        text
    }
}

/// The document with the section of a package replaced or added.
fn with_section(text: &str, package: &str, section: &str) -> String {
    let mut sections: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.get(1..).and_then(|it| it.find("\n## ")) {
        let (one, others) = rest.split_at(at + 2);
        sections.push(one.trim_end());
        rest = others;
    }
    sections.push(rest.trim_end());
    let heading = format!("## {package}\n");
    match sections.iter_mut().find(|it| format!("{it}\n").starts_with(&heading)) {
        Some(old) => *old = section.trim_end(),
        None => sections.push(section.trim_end()),
    }
    sections.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_that_read_the_same_are_numbered_in_the_order_of_the_source() {
        let names =
            ["a.rs:1:2: replace < with > in f", "a.rs:9:2: replace < with > in f", "b.rs:1:2: delete x::y in f"];
        let keys: Vec<String> = numbered(names.into_iter()).into_iter().map(|it| it.key).collect();
        let expected =
            ["a.rs: replace < with > in f #1", "a.rs: replace < with > in f #2", "b.rs: delete x::y in f #1"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_sample_depends_on_the_seed_alone_and_holds_nothing_twice() {
        let names: Vec<String> = (0..50).map(|it| format!("a.rs:{it}:1: x")).collect();
        let all = numbered(names.iter().map(String::as_str));
        let one = sample(all.clone(), 20, 1);
        assert_eq!(one, sample(all.clone(), 20, 1));
        assert_ne!(one, sample(all.clone(), 20, 2));
        assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(sample(all, 99, 1).len(), 50);
    }

    #[test]
    fn an_equivalent_mutant_needs_a_reason_and_does_not_count() {
        assert!(equivalents("a.rs: x #1 | \n").is_err() && equivalents("a.rs: x #1").is_err());
        let known = equivalents("# why\n\na.rs: x #1 | the same\n").unwrap();
        let all = numbered(["a.rs:1:1: x", "a.rs:2:1: x", "a.rs:3:1: y", "a.rs:4:1: z"].into_iter());
        let ends = [("a.rs:1:1: x", "MissedMutant"), ("a.rs:3:1: y", "CaughtMutant"), ("a.rs:4:1: z", "Unviable")];
        let ends = ends.map(|(name, end)| (name.to_owned(), end.to_owned())).into();
        let tally = Tally::of(&all, &ends, &known);
        assert_eq!((tally.caught, tally.equivalent, tally.unviable, tally.percent()), (1, 1, 1, 50.0));
        assert_eq!(tally.missed.first().map(|it| it.name.as_str()), Some("a.rs:2:1: x"));
    }

    #[test]
    fn a_section_is_replaced_where_it_is() {
        let text = with_section("# Title\n\ntext\n", "one", "## one\n\n1\n");
        let text = with_section(&text, "two", "## two\n\n2\n");
        assert_eq!(text, "# Title\n\ntext\n\n## one\n\n1\n\n## two\n\n2\n");
        assert_eq!(with_section(&text, "one", "## one\n\n3\n"), "# Title\n\ntext\n\n## one\n\n3\n\n## two\n\n2\n");
    }
}
