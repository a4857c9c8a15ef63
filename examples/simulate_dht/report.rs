//! What is told of the runs.

use crate::measure::Results;
use crate::rules::Policy;
use crate::scenario::Scenario;
use std::path::Path;
use unchoke_examples::{Failure, say};
use unchoke_sim::Histogram;
use unchoke_sim::report::{JsonLine, Plot, Scale};

/// What the runs have in common.
pub(crate) struct Report<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) scenario_name: &'a str,
    pub(crate) policy: Policy,
}

/// The figures of a run, or the medians of several.
#[derive(Clone, Debug)]
struct Figures {
    /// 50th, 95th and 99th percentile, in milliseconds.
    first: [f64; 3],
    complete: [f64; 3],
    queries: [f64; 3],
    hops: [f64; 3],
    queries_mean: f64,
    recall: f64,
    success: f64,
    widened: f64,
    datagrams_per_second: f64,
}

fn three(histogram: &mut Histogram, unit: f64) -> [f64; 3] {
    [50.0, 95.0, 99.0].map(|percent| histogram.percentile(percent).unwrap_or(0) as f64 * unit)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    (values.get(low).copied().unwrap_or(0.0) + values.get(high).copied().unwrap_or(0.0)) / 2.0
}

/// The medians over the runs.
fn medians(all: &mut [Results]) -> Figures {
    let figures: Vec<Figures> = all.iter_mut().map(Figures::of).collect();
    Figures::medians(&figures)
}

impl Figures {
    fn of(results: &mut Results) -> Self {
        let asked = f64::from(results.asked.max(1));
        Self {
            first: three(&mut results.first, 1e-3),
            complete: three(&mut results.complete, 1e-3),
            queries: three(&mut results.queries, 1.0),
            hops: three(&mut results.hops, 1.0),
            queries_mean: results.queries.mean().unwrap_or(0.0),
            recall: results.recall.mean().unwrap_or(0.0) / 1000.0,
            success: f64::from(results.found) / asked,
            widened: f64::from(results.widened) / asked,
            datagrams_per_second: results.datagrams_per_second,
        }
    }

    fn medians(all: &[Self]) -> Self {
        let one = |get: fn(&Self) -> f64| median(all.iter().map(get).collect());
        let each = |get: fn(&Self) -> [f64; 3]| {
            [0, 1, 2].map(|place: usize| median(all.iter().map(|it| get(it)[place]).collect()))
        };
        Self {
            first: each(|it| it.first),
            complete: each(|it| it.complete),
            queries: each(|it| it.queries),
            hops: each(|it| it.hops),
            queries_mean: one(|it| it.queries_mean),
            recall: one(|it| it.recall),
            success: one(|it| it.success),
            widened: one(|it| it.widened),
            datagrams_per_second: one(|it| it.datagrams_per_second),
        }
    }

    fn write(&self, line: JsonLine) -> JsonLine {
        line.decimals("first peer, ms", &self.first)
            .decimals("complete, ms", &self.complete)
            .decimals("queries", &self.queries)
            .decimal("queries_mean", self.queries_mean)
            .decimals("hops", &self.hops)
            .decimal("recall", self.recall)
            .decimal("success", self.success)
            .decimal("widened_share", self.widened)
            .decimal("datagrams_per_second", self.datagrams_per_second)
    }
}

impl Report<'_> {
    fn line(&self) -> JsonLine {
        let line = JsonLine::new().text("scenario", self.scenario_name).text("policy", self.policy.name());
        let line = line.number("nodes", self.scenario.nodes.into());
        match (&self.scenario.colluders, &self.scenario.vertical) {
            (Some(colluders), _) => line.decimal("colluders", colluders.share),
            (None, Some(vertical)) => line.number("networks", vertical.networks.into()),
            (None, None) => line,
        }
    }

    /// The JSON line of a run: the same for the same seed.
    fn run_line(&self, results: &mut Results) -> String {
        let figures = Figures::of(results);
        let line = self.line().number("seed", results.seed).number("up", results.up.into());
        let line = line.number("lookups", results.asked.into()).number("found", results.found.into());
        let line = figures.write(line).decimal("virtual_seconds", results.lasted.as_secs_f64());
        line.number("events", results.events).text("trace", &results.trace).finish()
    }

    fn median_line(&self, figures: &Figures, all: &[Results]) -> String {
        figures.write(self.line().number("seeds", all.len() as u64)).finish()
    }

    /// Writes the lines and a plot of all runs to a folder.
    fn save(&self, folder: &Path, lines: &[String], all: &[Results]) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::failed(&error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(folder.join("dht.json"), format!("{}\n", lines.join("\n"))).map_err(failed)?;
        let title = format!("Lookups of peers: {}, {}", self.scenario_name, self.policy.name());
        let mut plot = Plot::new(&title, "milliseconds", "share of lookups");
        plot.horizontal = Scale::Logarithmic;
        let merged = |get: fn(&Results) -> &Histogram| {
            let mut merged = Histogram::new();
            all.iter().for_each(|results| merged.merge(get(results)));
            merged
        };
        plot.distribution("first peer", &mut merged(|it| &it.first), 1e-3);
        plot.distribution("complete", &mut merged(|it| &it.complete), 1e-3);
        std::fs::write(folder.join("dht.svg"), plot.to_svg()).map_err(failed)
    }

    /// The JSON lines: one for each run, and one of medians if there are several.
    pub(crate) fn lines(&self, all: &mut [Results]) -> Vec<String> {
        let mut lines: Vec<String> = all.iter_mut().map(|results| self.run_line(results)).collect();
        if all.len() > 1 {
            lines.push(self.median_line(&medians(all), all));
        }
        lines
    }

    /// Tells all that there is to tell.
    pub(crate) fn tell(&self, mut all: Vec<Results>, folder: Option<&Path>, is_json: bool) -> Result<(), Failure> {
        let lines = self.lines(&mut all);
        let medians = medians(&mut all);
        if let Some(folder) = folder {
            self.save(folder, &lines, &all)?;
        }
        if is_json {
            return lines.into_iter().try_for_each(say);
        }
        let (asked, found): (u32, u32) = (all.iter().map(|it| it.asked).sum(), all.iter().map(|it| it.found).sum());
        let up = median(all.iter().map(|it| it.up.into()).collect());
        let head = format!(
            "{}, {}: {} nodes, {up:.0} of them up",
            self.scenario_name,
            self.policy.name(),
            self.scenario.nodes
        );
        say(format!("{head}; {found} of {asked} torrents found"))?;
        if all.len() > 1 {
            say(format!("medians of {} seeds", all.len()))?;
        }
        say(format!("{:<16} {:>8} {:>8} {:>8}", "", "p50", "p95", "p99"))?;
        let Figures { first, complete, queries, hops, .. } = &medians;
        for (name, [p50, p95, p99]) in
            [("first peer, ms", first), ("complete, ms", complete), ("queries", queries), ("hops", hops)]
        {
            say(format!("{name:<16} {p50:>8.0} {p95:>8.0} {p99:>8.0}"))?;
        }
        let (recall, widened) = (medians.recall * 100.0, medians.widened * 100.0);
        say(format!("nearest eight met: {recall:.1} %; searches widened: {widened:.1} %"))?;
        say(format!("datagrams of a node: {:.2} a second", medians.datagrams_per_second))?;
        let took: f64 = all.iter().map(|it| it.took.as_secs_f64()).sum();
        let lasted: f64 = all.iter().map(|it| it.lasted.as_secs_f64() / 60.0).sum();
        let rate = all.iter().map(|it| it.events).sum::<u64>() as f64 / took.max(f64::EPSILON);
        say(format!("{lasted:.0} virtual minutes in {took:.1} s, {rate:.0} events a second"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!((median(vec![5.0, 1.0, 3.0]) - 3.0).abs() < 1e-9);
    }
}
