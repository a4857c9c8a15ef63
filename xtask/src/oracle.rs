//! `cargo xtask oracle`: libtorrent reads the torrents that we read, and every difference must have a name.
//!
//! The example `oracle` of the fuzz package makes torrents from a seed and tells what we read in each; a script tells what libtorrent
//! reads. A difference that no rule of `classes` explains fails, and its torrent is kept below the target folder.

mod classes;
mod creators;
mod names;
mod reading;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Instant;

use serde_json::{Value, json};

use crate::lab::{Lab, Outcome, fresh, run, value};
use classes::Class;
use reading::Reading;

/// Compares `--count N` (10,000) torrents made from `--seed S` (1), and what several programs make of the same folders.
pub(crate) fn oracle(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("oracle")?;
    lab.require_libtorrent()?;
    creators::require(&lab)?;
    let number = |name, default| value(arguments, name).map_or(Ok(default), str::parse::<u32>);
    let (count, seed) = (number("--count", 10_000)?, number("--seed", 1)?);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let packages = [
        "-p",
        "unchoke-fuzz",
        "-p",
        "unchoke-examples",
        "--example",
        "oracle",
        "--example",
        "create",
        "--example",
        "inspect",
    ];
    run(Command::new(cargo).args(["build", "--release", "--quiet"]).args(packages))?;
    fresh(lab.work.clone())?;
    let begin = Instant::now();
    let mut tally = Tally::default();
    for first in (0..count).step_by(BATCH as usize) {
        tally.batch(&lab, seed, first, BATCH.min(count - first))?;
    }
    let created = creators::creators(&lab)?;
    let version = run(lab.script("libtorrent_oracle.py").arg("version"))?;
    let failed = tally.unclassed.len() + created.differences.len();
    let seconds = begin.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    if arguments.iter().any(|it| it == "--json") {
        let classes: BTreeMap<_, _> = tally.classes.iter().map(|(class, count)| (class.name(), *count)).collect();
        let report = json!({
            "libtorrent": version.trim(), "count": count, "seed": seed, "seconds": seconds, "agreed": tally.agreed,
            "refused": tally.refused, "classes": classes, "unclassed": tally.unclassed,
            "created": created.torrents, "created_differences": created.differences,
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(out, "{count} torrents of seed {seed}, libtorrent {}, {seconds:.1} s\n", version.trim())?;
        writeln!(out, "| Both | Torrents |\n|---|---|")?;
        writeln!(out, "| read the same | {} |\n| refuse it | {} |", tally.agreed, tally.refused)?;
        writeln!(out, "\n| Class | Torrents |\n|---|---|")?;
        for class in Class::ALL {
            writeln!(out, "| {} | {} |", class.name(), tally.classes.get(&class).unwrap_or(&0))?;
        }
        writeln!(out)?;
        writeln!(out, "{} torrents by several programs: {} differences", created.torrents, created.differences.len())?;
        for what in created.differences {
            writeln!(out, "DIFFERS: {what}")?;
        }
        for (file, what) in tally.unclassed {
            writeln!(out, "NO CLASS: {file}: {what}")?;
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of the comparisons.
#[derive(Default)]
struct Tally {
    /// Both read the same.
    agreed: u32,
    /// Both refuse the torrent.
    refused: u32,
    /// Torrents in which there is a difference of the class; some have several.
    classes: BTreeMap<Class, u32>,
    /// The files that no class explains, and what differs.
    unclassed: BTreeMap<String, String>,
}

impl Tally {
    fn batch(&mut self, lab: &Lab, seed: u32, first: u32, count: u32) -> Outcome {
        let file = lab.work.join("batch");
        let numbers = [seed, first, count].map(|it| it.to_string());
        let ours = run(lab.ours("oracle").args(numbers).arg(&file))?;
        let theirs = run(lab.script("libtorrent_oracle.py").arg("read").arg(&file))?;
        let torrents = split(&fs::read(&file)?)?;
        if [ours.lines().count(), theirs.lines().count(), torrents.len()].iter().any(|it| *it != count as usize) {
            return Err(format!("not every one of {count} torrents was read").into());
        }
        for ((number, torrent), (ours, theirs)) in (first..).zip(torrents).zip(ours.lines().zip(theirs.lines())) {
            let read = |line: &str| -> Outcome<Reading> { Ok(Reading::parse(&serde_json::from_str::<Value>(line)?)?) };
            match classes::compare(&read(ours)?, &read(theirs)?) {
                Ok(found) if found.is_empty() && ours.starts_with(r#"{"error""#) => self.refused += 1,
                Ok(found) if found.is_empty() => self.agreed += 1,
                Ok(found) => found.into_iter().for_each(|class| *self.classes.entry(class).or_default() += 1),
                Err(what) => {
                    let kept = lab.work.join(format!("{seed}-{number}.torrent"));
                    fs::write(&kept, &torrent)?;
                    self.unclassed.insert(kept.display().to_string(), what);
                }
            }
        }
        fs::remove_file(file)?;
        Ok(())
    }
}

/// The torrents of a batch, each of which has its length before it.
fn split(mut batch: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut torrents = Vec::new();
    while let Some((length, rest)) = batch.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|error| error.to_string())?;
        let (torrent, rest) = rest.split_at_checked(length).ok_or("a torrent is cut off")?;
        torrents.push(torrent.to_vec());
        batch = rest;
    }
    Ok(torrents)
}

/// Torrents that are written, read and compared at a time.
const BATCH: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_split_where_the_lengths_say_or_refused() {
        assert_eq!(split(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c").unwrap(), [&b"ab"[..], b"", b"c"]);
        assert!(split(b"\0\0\0\x02a").is_err());
    }
}
