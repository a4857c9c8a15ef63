//! The ledger of what was fuzzed: a table in which every line names the commit that was run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Outcome, run};

/// The file, and what all lines of this run have in common.
pub(super) struct Ledger {
    file: PathBuf,
    date: String,
    commit: String,
}

/// What one target has run.
pub(super) struct Entry<'a> {
    pub(super) target: &'a str,
    pub(super) seconds: f64,
    pub(super) executions: u64,
    pub(super) findings: u32,
}

impl Ledger {
    /// Refuses a tree that differs from its commit, because then the commit does not tell what was run.
    pub(super) fn open(file: PathBuf) -> Outcome<Self> {
        let folder = file.parent().and_then(Path::parent).ok_or("the ledger is in no project")?;
        let git = |arguments: &[&str]| run(Command::new("git").current_dir(folder).args(arguments));
        let changed = git(&["status", "--porcelain", "--", ".", ":!fuzz/LEDGER.md"])?;
        if !changed.trim().is_empty() {
            return Err(format!("--ledger names a commit, and these files differ from it:\n{changed}").into());
        }
        let commit = git(&["rev-parse", "--short", "HEAD"])?.trim().to_owned();
        let date = run(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned();
        Ok(Self { file, date, commit })
    }

    /// Adds a line.
    pub(super) fn append(&self, entry: &Entry<'_>) -> Outcome {
        let mut text = fs::read_to_string(&self.file)?;
        text.push_str(&self.line(entry));
        Ok(fs::write(&self.file, text)?)
    }

    fn line(&self, entry: &Entry<'_>) -> String {
        let Entry { target, seconds, executions, findings } = entry;
        let (date, commit) = (&self.date, &self.commit);
        format!("| {date} | {commit} | `{target}` | {seconds:.0} | {executions} | {findings} |\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_cell_for_every_column_of_the_ledger() {
        let ledger = Ledger { file: PathBuf::new(), date: "2026-01-02".into(), commit: "abc1234".into() };
        let line = ledger.line(&Entry { target: "path", seconds: 12.4, executions: 5, findings: 0 });
        assert_eq!(line, "| 2026-01-02 | abc1234 | `path` | 12 | 5 | 0 |\n");
        let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/LEDGER.md")).unwrap();
        let head = file.lines().find(|line| line.starts_with('|')).unwrap();
        assert_eq!(head.matches('|').count(), line.matches('|').count());
    }
}
