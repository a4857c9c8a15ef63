//! Many small torrents that are checked and then seeded to nobody: ours and libtorrent in turn.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::median;
use crate::lab::{Lab, Outcome, fresh, run, script_path};

const FIELDS: [&str; 3] = ["seconds_until_all_seed", "kib_each", "idle_cpu_share"];

/// Medians of the fields for ours and for libtorrent.
pub(super) fn measure(lab: &Lab, count: u32, rounds: u32) -> Outcome<[[f64; 3]; 2]> {
    let mut found: [Vec<Value>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (who, found) in ["unchoke", "libtorrent"].into_iter().zip(&mut found) {
            let folder = fresh(lab.work.join("torrents"))?;
            let output = run(&mut command(lab, who, &folder, count))?;
            found.push(serde_json::from_str(output.trim())?);
        }
    }
    Ok(found
        .map(|found| FIELDS.map(|field| median(found.iter().filter_map(|it| it.get(field)).filter_map(Value::as_f64)))))
}

fn command(lab: &Lab, who: &str, folder: &Path, count: u32) -> Command {
    if who == "libtorrent" {
        let mut command = Command::new(lab.python());
        command.arg(script_path("libtorrent_many.py")).arg(folder).arg(count.to_string());
        return command;
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--release", "--quiet", "-p", "unchoke-benches", "--features", "client"]);
    command.args(["--bin", "client_scale", "--"]).arg(folder).args(["torrents", &count.to_string()]);
    command
}

pub(super) fn as_json(count: u32, rounds: u32, medians: &[[f64; 3]; 2]) -> Value {
    let row = |(who, found): (&str, &[f64; 3])| {
        let [seconds, memory, cpu] = found;
        json!({ "client": who, "seconds_until_all_seed": seconds, "kib_each": memory, "idle_cpu_share": cpu })
    };
    let rows: Vec<Value> = ["unchoke", "libtorrent"].into_iter().zip(medians).map(row).collect();
    json!({ "torrents": count, "rounds": rounds, "clients": rows })
}

pub(super) fn table(count: u32, rounds: u32, medians: &[[f64; 3]; 2]) -> String {
    let mut text = format!(
        "{count} torrents of 32 KiB, added, checked and seeded to nobody, medians of {rounds} rounds\n\n\
         | client | seconds until all seed | KiB each | idle CPU, of one core |\n| --- | --- | --- | --- |"
    );
    for (who, [seconds, memory, cpu]) in ["unchoke", "libtorrent"].into_iter().zip(medians) {
        text.push_str(&format!("\n| {who} | {seconds:.3} | {memory:.1} | {cpu:.4} |"));
    }
    text
}
