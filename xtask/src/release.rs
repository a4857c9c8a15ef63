//! What must hold before the crates are published.

use crate::workspace::Workspace;
use std::error::Error;
use std::io::Write as _;
use std::process::{Command, ExitCode};

/// `cargo xtask release-check`: the manifests, the changelog, and a dry run that builds each crate from its package.
pub(crate) fn release_check() -> Result<ExitCode, Box<dyn Error>> {
    let workspace = Workspace::load()?;
    let changelog = std::fs::read_to_string(workspace.root.join("CHANGELOG.md"))?;
    let mut out = std::io::stdout().lock();
    let mut failed = false;
    for member in workspace.crates() {
        for missing in missing(member, &changelog) {
            failed = true;
            writeln!(out, "{} {}: {missing}", member.name, member.version)?;
        }
    }
    drop(out);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).current_dir(&workspace.root).args(["package", "--workspace", "--locked"]).status()?;
    Ok(if status.success() && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a crate lacks that its users look for.
fn missing(member: &crate::workspace::Member, changelog: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        if !member.folder.join(file).is_file() {
            missing.push(format!("no {file}"));
        }
    }
    if member.description.is_empty() {
        missing.push("no description".to_owned());
    }
    // Crates are versioned on their own, so a release of one is told as `## [unchoke-wire 0.2.0] - date`.
    let heading = format!("## [{} {}]", member.name, member.version);
    if !changelog.lines().any(|line| line.starts_with(&heading)) {
        missing.push(format!("CHANGELOG.md has no `{heading}`"));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Member;

    #[test]
    fn a_release_wants_its_own_heading_in_the_changelog() {
        let member = Member {
            name: "unchoke-wire".to_owned(),
            version: "0.2.0".to_owned(),
            folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wire").into(),
            description: "d".to_owned(),
            dependencies: Vec::new(),
        };
        assert_eq!(missing(&member, "## [unchoke-wire 0.1.0]"), ["CHANGELOG.md has no `## [unchoke-wire 0.2.0]`"]);
        assert!(missing(&member, "# Changelog\n## [unchoke-wire 0.2.0] - 2026-12-01").is_empty());
    }
}
