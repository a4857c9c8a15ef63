//! What was measured, as a table and as JSON.

use serde_json::{Value, json};

use crate::dialog::NODES;
use crate::lab::Outcome;

/// The result for each of [`NODES`], in their order.
pub(crate) struct Report {
    pub(crate) rounds: u32,
    pub(crate) lookups: Vec<Lookups>,
    pub(crate) answers: Vec<Answers>,
    pub(crate) upkeep: Vec<Upkeep>,
}

#[derive(Clone, Default)]
pub(crate) struct Lookups {
    asked: u32,
    /// Milliseconds to the first peer, of those that have found one.
    first: Vec<f64>,
    /// Milliseconds to the end, where it is told.
    complete: Vec<f64>,
    /// Nodes in the table at the end.
    pub(crate) table: f64,
}

#[derive(Clone, Default)]
pub(crate) struct Answers {
    /// Nodes in the table before.
    pub(crate) table: f64,
    /// Nodes in the table after.
    pub(crate) table_after: f64,
    /// Of each round, replies a second of the answering process.
    per_cpu_second: Vec<f64>,
    /// Of each round, replies a second.
    per_second: Vec<f64>,
    /// Nodes in a reply, on average.
    nodes: f64,
    /// Bytes of a reply, on average.
    bytes: f64,
}

#[derive(Clone)]
pub(crate) struct Upkeep {
    /// Queries sent, where they are counted.
    pub(crate) per_second: Option<f64>,
}

impl Lookups {
    pub(crate) fn add(&mut self, first: Option<f64>, complete: Option<f64>) {
        self.asked = self.asked.saturating_add(1);
        self.first.extend(first);
        self.complete.extend(complete);
    }
}

impl Answers {
    /// Adds what came back in one round.
    pub(crate) fn add(&mut self, came: &Value, cpu_s: f64, seconds: f64) -> Outcome {
        let number = |key: &str| came[key].as_f64().ok_or_else(|| format!("no {key} in {came}"));
        let replies = number("replies")?;
        if cpu_s < 0.05 {
            return Err(format!("{replies} replies took {cpu_s} CPU seconds, which is too little to measure").into());
        }
        self.per_cpu_second.push(replies / cpu_s);
        self.per_second.push(replies / seconds);
        (self.nodes, self.bytes) = (number("nodes")?, number("bytes")?);
        Ok(())
    }
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        let rows = NODES.iter().zip(&self.lookups).zip(self.answers.iter().zip(&self.upkeep));
        let rows = rows.map(|((node, lookups), (answers, upkeep))| {
            json!({
                "node": node,
                "lookups": lookups.asked,
                "found": lookups.first.len(),
                "lookup_table": lookups.table,
                "first_ms_p50": percentile(&lookups.first, 50),
                "first_ms_p95": percentile(&lookups.first, 95),
                "complete_ms_p50": percentile(&lookups.complete, 50),
                "complete_ms_p95": percentile(&lookups.complete, 95),
                "find_node_per_cpu_s": percentile(&answers.per_cpu_second, 50),
                "find_node_per_cpu_s_rounds": answers.per_cpu_second,
                "find_node_per_s": percentile(&answers.per_second, 50),
                "answer_table": answers.table,
                "answer_table_after": answers.table_after,
                "reply_nodes": answers.nodes,
                "reply_bytes": answers.bytes,
                "upkeep_queries_per_s": upkeep.per_second,
            })
        });
        json!({ "rounds": self.rounds, "nodes": rows.collect::<Vec<_>>() })
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!("medians of {} rounds\n\n| | {} |\n|---|--:|--:|--:|", self.rounds, NODES.join(" | "));
        let mut row = |name: &str, cells: Vec<String>| text.push_str(&format!("\n| {name} | {} |", cells.join(" | ")));
        let lookups = |show: &dyn Fn(&Lookups) -> String| self.lookups.iter().map(show).collect::<Vec<_>>();
        let answers = |show: &dyn Fn(&Answers) -> String| self.answers.iter().map(show).collect::<Vec<_>>();
        let at = |values: &[f64], percent| {
            percentile(values, percent).map_or("not told".to_owned(), |it| format!("{it:.2}"))
        };
        row("get_peers: found, of asked", lookups(&|it| format!("{} / {}", it.first.len(), it.asked)));
        row("first peer p50, ms", lookups(&|it| at(&it.first, 50)));
        row("first peer p95, ms", lookups(&|it| at(&it.first, 95)));
        row("complete p50, ms", lookups(&|it| at(&it.complete, 50)));
        row("complete p95, ms", lookups(&|it| at(&it.complete, 95)));
        row("nodes in the table", lookups(&|it| format!("{:.0}", it.table)));
        let rounded = |values: &[f64]| percentile(values, 50).map_or(String::new(), |it| format!("{:.1}", it / 1e3));
        row("find_node: thousand replies per CPU second", answers(&|it| rounded(&it.per_cpu_second)));
        row("thousand replies per second", answers(&|it| rounded(&it.per_second)));
        row("nodes in the table before and after", answers(&|it| format!("{:.0}, {:.0}", it.table, it.table_after)));
        row("nodes in a reply, its bytes", answers(&|it| format!("{:.1}, {:.0}", it.nodes, it.bytes)));
        let rate = |it: &Upkeep| it.per_second.map_or("not told".to_owned(), |rate| format!("{rate:.3}"));
        row("upkeep: queries sent per second", self.upkeep.iter().map(rate).collect());
        text
    }
}

/// The value that so many percent of all are not above.
fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = values.len().saturating_mul(percent).div_ceil(100).max(1);
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values_and_of_none_there_is_none() {
        let values = (1..=100).rev().map(f64::from).collect::<Vec<_>>();
        assert_eq!(percentile(&values, 50), Some(50.0));
        assert_eq!(percentile(&values, 95), Some(95.0));
        assert_eq!(percentile(&[7.0], 95), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn replies_are_counted_by_cpu_time_and_not_by_the_clock() -> Outcome {
        let mut answers = Answers::default();
        answers.add(&json!({ "replies": 1000, "nodes": 8.0, "bytes": 280.0 }), 0.5, 2.0)?;
        assert_eq!((answers.per_cpu_second, answers.per_second), (vec![2000.0], vec![500.0]));
        assert!(Answers::default().add(&json!({ "replies": 9 }), 0.0, 2.0).is_err());
        Ok(())
    }
}
