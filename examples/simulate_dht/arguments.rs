//! What the program is called with.

use crate::rules::Policy;
use crate::scenario::{Scenario, ScenarioError};
use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use unchoke_examples::{Failure, positive, text, unexpected};

pub(crate) const USAGE: &str = "simulate_dht [--scenario churn|still|loopback|colluders|vertical|FILE] [--policy unchoke|libtorrent|mainline|bep5] \
[--nodes N] [--lookups N] [--seed N | --seeds N | --seeds A..B] [--jobs N] [--share P] [--networks N] [--compact] [--out DIR] [--json]";

/// What to run.
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    pub(crate) scenario_name: String,
    pub(crate) policy: Policy,
    pub(crate) seeds: RangeInclusive<u64>,
    /// Runs at a time.
    pub(crate) jobs: usize,
    pub(crate) is_compact: bool,
    pub(crate) out: Option<PathBuf>,
    pub(crate) is_json: bool,
}

/// Nodes and lookups where the command line names no scenario.
const SMALL: (u32, u32) = (1000, 200);

impl Options {
    pub(crate) fn read() -> Result<Self, Failure> {
        use lexopt::Arg::Long;
        let (mut scenario, mut policy, mut seeds, mut jobs) = (None, Policy::Unchoke, None, 1);
        let (mut nodes, mut lookups, mut share, mut networks) = (None, None, None, None);
        let (mut is_compact, mut is_json, mut out) = (false, false, None);
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("scenario") => scenario = Some(PathBuf::from(parser.value()?)),
                Long("policy") => {
                    let name = text(parser.value()?)?;
                    policy =
                        Policy::named(&name).ok_or_else(|| Failure::Usage(format!("there is no policy {name:?}")))?;
                }
                Long("nodes") => nodes = Some(number(&parser.value()?)?),
                Long("lookups") => lookups = Some(number(&parser.value()?)?),
                Long("seed") => {
                    let seed = number(&parser.value()?)?;
                    seeds = Some(seed..=seed);
                }
                Long("seeds") => seeds = Some(range(&text(parser.value()?)?)?),
                Long("jobs") => jobs = number::<u32>(&parser.value()?)? as usize,
                Long("share") => {
                    let value = text(parser.value()?)?;
                    let parsed = value.parse().map_err(|_| Failure::Usage(format!("{value:?} is no share")))?;
                    share = Some(parsed);
                }
                Long("networks") => networks = Some(number(&parser.value()?)?),
                Long("compact") => is_compact = true,
                Long("json") => is_json = true,
                Long("out") => out = Some(parser.value()?.into()),
                other => return Err(unexpected(other)),
            }
        }
        let name = scenario.clone().unwrap_or_else(|| "churn".into());
        let wrong = |error: ScenarioError| Failure::usage(&error);
        let mut read = Scenario::load(&name).map_err(wrong)?;
        if scenario.is_none() {
            (read.nodes, read.lookups.count) = SMALL;
        }
        read.nodes = nodes.unwrap_or(read.nodes);
        read.lookups.count = lookups.unwrap_or(read.lookups.count);
        set(&mut read.colluders, share, |it, share| it.share = share, "--share")?;
        set(&mut read.vertical, networks, |it, networks| it.networks = networks, "--networks")?;
        read.check().map_err(wrong)?;
        let seeds = seeds.unwrap_or(read.seed..=read.seed);
        let scenario_name = Path::new(&name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { scenario: read, scenario_name, policy, seeds, jobs, is_compact, out, is_json })
    }
}

/// Sets a value of a table that the scenario must have.
fn set<T, V>(table: &mut Option<T>, value: Option<V>, set: impl FnOnce(&mut T, V), name: &str) -> Result<(), Failure> {
    match (table, value) {
        (_, None) => Ok(()),
        (Some(table), Some(value)) => {
            set(table, value);
            Ok(())
        }
        (None, Some(_)) => Err(Failure::Usage(format!("{name} has no meaning in this scenario"))),
    }
}

fn number<T: TryFrom<u64>>(argument: &OsStr) -> Result<T, Failure> {
    let number = positive(argument)?;
    T::try_from(number).map_err(|_| Failure::Usage(format!("{number} is too large")))
}

/// `N` are the seeds from 1 to N, `A..B` those from A to B.
fn range(text: &str) -> Result<RangeInclusive<u64>, Failure> {
    let (first, last) = text.split_once("..").unwrap_or(("1", text));
    let range = number(OsStr::new(first))?..=number(OsStr::new(last))?;
    if range.is_empty() { Err(Failure::Usage(format!("there is no seed in {text}"))) } else { Ok(range) }
}
