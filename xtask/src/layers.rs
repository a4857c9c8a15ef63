//! `cargo xtask layers`: arrows point down, between crates and between the modules of one crate.

use std::error::Error;

use crate::Findings;
use crate::modules;
use crate::workspace::{Workspace, files};

/// The crates from the bottom up, without their common prefix, and those that each may name. The facade may name all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("bencode", &[]),
    ("metainfo", &["bencode", "core"]),
    ("wire", &["bencode", "core"]),
    ("dht", &["bencode", "core"]),
    ("tracker", &["bencode", "core"]),
    ("utp", &["core"]),
    ("token", &["core"]),
    ("sim", &["core"]),
    ("swarm", &["wire", "metainfo", "bencode", "core"]),
    ("storage", &["metainfo", "bencode", "core"]),
    ("tron", &["token", "core"]),
    ("pay", &["swarm", "wire", "token", "core"]),
    ("services", &["pay", "storage", "metainfo", "token", "core"]),
    (
        "tokio",
        &["swarm", "storage", "wire", "dht", "tracker", "utp", "metainfo", "core", "pay", "services", "token", "tron"],
    ),
];

/// The name that crates of this workspace begin with; alone, the facade.
const PREFIX: &str = "unchoke";

/// Checks every dependency of every crate, development ones too: tests across crates belong to the facade.
pub(crate) fn arrows(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let mut findings = Vec::new();
    for member in workspace.crates() {
        for dependency in &member.dependencies {
            let internal = workspace.members.iter().any(|it| it.name == *dependency);
            if let Some(finding) = arrow(&member.name, dependency, internal) {
                findings.push(finding);
            }
        }
        if member.name != PREFIX && !ALLOWED.iter().any(|(name, _)| member.name == format!("{PREFIX}-{name}")) {
            findings.push(format!("{} stands in no layer: add it to xtask/src/layers.rs", member.name));
        }
    }
    Ok(findings)
}

/// Checks that no modules of one crate need each other in a circle.
pub(crate) fn circles(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let mut findings = Vec::new();
    for member in workspace.crates() {
        let folder = member.folder.join("src");
        let mut sources = Vec::new();
        for file in files(&folder, &["rs"])? {
            let mut path: Vec<String> = file
                .strip_prefix(&folder)?
                .with_extension("")
                .components()
                .map(|it| it.as_os_str().to_string_lossy().into_owned())
                .collect();
            if path == ["lib"] || path == ["main"] {
                path.clear();
            }
            sources.push((path, std::fs::read_to_string(&file)?));
        }
        for circle in modules::circles(&modules::graph(&sources)) {
            let back = circle.first().cloned().unwrap_or_default();
            findings.push(format!("{}: {} -> {back}", member.name, circle.join(" -> ")));
        }
    }
    Ok(findings)
}

/// What is wrong with `from` naming `to`, if anything is.
fn arrow(from: &str, to: &str, internal: bool) -> Option<String> {
    let short =
        |name: &str| name.strip_prefix(PREFIX).and_then(|it| it.strip_prefix('-')).unwrap_or_default().to_owned();
    let allowed = ALLOWED.iter().find(|(name, _)| *name == short(from)).map_or(&[][..], |(_, allowed)| allowed);
    if internal && from != PREFIX && !allowed.contains(&short(to).as_str()) {
        let allowed = if allowed.is_empty() { "no other crate".to_owned() } else { allowed.join(", ") };
        return Some(format!("{from} must not depend on {to}; it may name {allowed}"));
    }
    let drives = from == PREFIX || short(from) == "tokio";
    (to == "tokio" && !drives).then(|| format!("{from} must not depend on {to}: only the driver names a runtime"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_up_or_sideways_names_both_ends() {
        for (from, to) in
            [("unchoke-wire", "unchoke-dht"), ("unchoke-core", "unchoke"), ("unchoke-swarm", "unchoke-storage")]
        {
            let finding = arrow(from, to, true).unwrap();
            assert!(finding.contains(from) && finding.contains(to), "{finding}");
        }
    }

    #[test]
    fn arrows_down_pass_and_the_facade_names_everything() {
        assert_eq!(arrow("unchoke-swarm", "unchoke-wire", true), None);
        assert_eq!(arrow("unchoke", "unchoke-services", true), None);
        assert_eq!(arrow("unchoke-wire", "bytes", false), None);
    }

    #[test]
    fn the_runtime_stays_in_the_driver() {
        assert!(arrow("unchoke-swarm", "tokio", false).is_some());
        assert_eq!(arrow("unchoke-tokio", "tokio", false), None);
    }

    #[test]
    fn the_table_has_no_arrow_up() {
        for (at, (name, allowed)) in ALLOWED.iter().enumerate() {
            for lower in *allowed {
                assert!(ALLOWED[..at].iter().any(|(below, _)| below == lower), "{name} names {lower}");
            }
        }
    }
}
