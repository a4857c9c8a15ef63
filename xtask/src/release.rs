//! `cargo xtask release-check`: whether each crate could be published as it stands.

use std::error::Error;

use crate::Findings;
use crate::workspace::{Member, Workspace, cargo};

/// Checks what a registry and its readers want to know of each crate.
pub(crate) fn papers(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let changelog = std::fs::read_to_string(workspace.root.join("CHANGELOG.md"))?;
    Ok(workspace.crates().flat_map(|member| missing(member, &changelog)).collect())
}

/// Packs every crate and builds it from its package alone, as a user would get it.
pub(crate) fn packages(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let mut arguments = vec!["package", "--locked", "--quiet"];
    arguments.extend(workspace.crates().flat_map(|member| ["-p", member.name.as_str()]));
    Ok(cargo(&workspace.root, &arguments)
        .err()
        .map(|error| error.to_string().trim_end().to_owned())
        .into_iter()
        .collect())
}

fn missing(member: &Member, changelog: &str) -> Findings {
    let Member { name, version, .. } = member;
    let mut findings = Vec::new();
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        if !member.folder.join(file).is_file() {
            findings.push(format!("{name} has no {file}"));
        }
    }
    if member.description.is_empty() {
        findings.push(format!("{name} has no description"));
    }
    if member.license.is_empty() {
        findings.push(format!("{name} names no licence"));
    }
    if !is_told(changelog, name, version) {
        findings.push(format!("CHANGELOG.md says nothing of `{name}` {version}"));
    }
    findings
}

/// Whether the text has the name in backquotes and then the version, whole.
fn is_told(changelog: &str, name: &str, version: &str) -> bool {
    let needle = format!("`{name}` {version}");
    changelog.match_indices(&needle).any(|(at, _)| {
        let rest = changelog.get(at + needle.len()..).unwrap_or_default();
        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '+')
            && !rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_or_another_crate_is_not_this_one() {
        let text = "- `unchoke-core` 0.1.0: hashes.\n- `unchoke` 0.2.1-rc.1: more.";
        assert!(is_told(text, "unchoke-core", "0.1.0"));
        assert!(!is_told(text, "unchoke-core", "0.1"));
        assert!(!is_told(text, "unchoke", "0.2.1"));
        assert!(!is_told(text, "unchoke", "0.1.0"));
    }
}
