//! `cargo xtask bench-bencode`: our decoder beside libtorrent's, on the same files, in turns.

use crate::lab::{Lab, Outcome};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What each side needed in each round, by file: ours, theirs.
type Rounds = BTreeMap<String, [Vec<f64>; 2]>;

const ROUNDS: usize = 5;

pub(crate) fn bench_bencode() -> Outcome<ExitCode> {
    let lab = Lab::new("bench-bencode")?;
    std::fs::create_dir_all(&lab.work)?;
    let theirs = compile(&lab.work)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--quiet", "-p", "unchoke-benches", "--bin", "bencode_rounds"];
    if !Command::new(cargo).args(build).status()?.success() {
        return Err("the benchmark does not build".into());
    }
    let ours = lab.target.join("release/bencode_rounds");
    let inputs = lab.work.join("inputs");
    std::fs::create_dir_all(&inputs)?;
    output(Command::new(&ours).arg("--write").arg(&inputs))?;
    let mut files = std::fs::read_dir(&inputs)?.map(|it| it.map(|it| it.path())).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    let mut rounds = Rounds::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        for (side, program) in [&ours, &theirs].into_iter().enumerate() {
            for line in output(Command::new(program).args(&files))?.lines() {
                let (path, nanos) = line.rsplit_once(' ').ok_or("a line without a figure")?;
                let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
                if let Some(found) = rounds.entry(name).or_default().get_mut(side) {
                    found.push(nanos.parse()?);
                }
            }
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "One decode with a reused tape, medians of {ROUNDS} rounds\n")?;
    writeln!(out, "| input | unchoke, ns | libtorrent bdecode, ns | ratio |\n| --- | --- | --- | --- |")?;
    for (name, [ours, theirs]) in rounds {
        let (ours, theirs) = (median(ours), median(theirs));
        writeln!(out, "| {name} | {ours:.0} | {theirs:.0} | {:.2} |", ours / theirs)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn compile(work: &Path) -> Outcome<PathBuf> {
    let program = work.join("bdecode");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/bdecode.cpp");
    let mut compiler = Command::new("g++");
    compiler.args(["-O3", "-std=c++17", "-o"]).arg(&program).args([source, "-ltorrent-rasterbar"]);
    match compiler.status() {
        Ok(status) if status.success() => Ok(program),
        _ => Err(
            "libtorrent's headers are missing: apt-get install --no-install-recommends g++ libtorrent-rasterbar-dev"
                .into(),
        ),
    }
}

fn output(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}
