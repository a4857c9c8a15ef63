//! `cargo xtask tidy`: what a reader expects of every file and every crate.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use crate::Findings;
use crate::tokens::tokens;
use crate::workspace::{self, Workspace, cargo};

/// A file should be readable in one sitting.
const MAX_LINES: usize = 700;

/// Where sources stand.
const FOLDERS: [&str; 3] = ["crates", "examples", "xtask"];

/// External packages at run time without default features.
const BUDGETS: &[(&str, usize)] = &[
    ("unchoke-bencode", 4),
    ("unchoke-core", 16),
    ("unchoke-metainfo", 16),
    ("unchoke-wire", 16),
    ("unchoke-tracker", 16),
    ("unchoke-sim", 16),
    ("unchoke-utp", 16),
    ("unchoke-storage", 16),
    ("unchoke-swarm", 16),
    ("unchoke-dht", 26),
    ("unchoke-token", 26),
];

/// The words that mark unfinished work, in pieces, or this file would be found.
const UNFINISHED: [(&str, &str); 4] = [("TO", "DO"), ("FIX", "ME"), ("to", "do!("), ("unimp", "lemented!(")];

/// Checks length, name and words of each source file.
pub(crate) fn files(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    Ok(sources(workspace, &["rs", "md", "toml"])?.iter().flat_map(|(name, source)| file(name, source)).collect())
}

/// Checks how many external packages each crate needs.
pub(crate) fn budgets(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let mut findings = Vec::new();
    for (name, budget) in BUDGETS {
        if !workspace.members.iter().any(|it| it.name == *name) {
            continue;
        }
        let mut arguments = vec!["tree", "-p", *name, "--no-default-features", "-e", "normal,no-proc-macro"];
        arguments.extend(["--prefix", "none"]);
        let external = external_packages(&cargo(&workspace.root, &arguments)?);
        if external.len() > *budget {
            let list = external.into_iter().collect::<Vec<_>>();
            findings.push(format!("{name} needs {} packages, {budget} are allowed: {}", list.len(), list.join(", ")));
        }
    }
    Ok(findings)
}

/// Checks that every crate says what it is, and that the front page leads to it.
pub(crate) fn readmes(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let mut findings = Vec::new();
    let front = workspace.root.join("README.md");
    let table = if front.is_file() { std::fs::read_to_string(&front)? } else { String::new() };
    if table.is_empty() {
        findings.push("there is no README.md".to_owned());
    }
    for member in workspace.crates() {
        if !member.folder.join("README.md").is_file() {
            findings.push(format!("{} has no README.md", member.name));
        }
        if member.description.is_empty() {
            findings.push(format!("{} has no description", member.name));
        }
        if !table.is_empty() && !in_table(&table, &member.name) {
            findings.push(format!("{} is in no table of README.md", member.name));
        }
    }
    Ok(findings)
}

/// Checks that each test which `docs/` names exists.
pub(crate) fn named_tests(workspace: &Workspace) -> Result<Findings, Box<dyn Error>> {
    let mut functions = BTreeSet::new();
    for (_, source) in sources(workspace, &["rs"])? {
        let tokens = tokens(&source);
        functions.extend(
            tokens
                .windows(2)
                .filter(|it| it.first() == Some(&"fn"))
                .filter_map(|it| it.last().map(|name| (*name).to_owned())),
        );
    }
    let mut findings = Vec::new();
    for path in workspace::files(&workspace.root.join("docs"), &["md"])? {
        let text = std::fs::read_to_string(&path)?;
        for name in sentences(&text).into_iter().filter(|name| !functions.contains(*name)) {
            findings.push(format!("{} names {name}, which no file defines", workspace.show(&path)));
        }
    }
    Ok(findings)
}

/// The source files with the path that is shown for each.
fn sources(workspace: &Workspace, extensions: &[&str]) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for path in workspace::files(&workspace.root.join(folder), extensions)? {
            found.push((workspace.show(&path).to_string(), std::fs::read_to_string(&path)?));
        }
    }
    Ok(found)
}

/// What is wrong with one file.
fn file(name: &str, source: &str) -> Findings {
    let mut findings = Vec::new();
    let lines = source.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{name} has {lines} lines, {MAX_LINES} are allowed"));
    }
    if Path::new(name).file_name().is_some_and(|it| it == "mod.rs") {
        findings.push(format!("{name}: a module's file has the name of the module"));
    }
    for (at, line) in source.lines().enumerate() {
        for (head, tail) in UNFINISHED {
            let needle = format!("{head}{tail}");
            if line.contains(&needle) {
                findings.push(format!("{name}:{} holds unfinished work: {needle}", at + 1));
            }
        }
    }
    findings
}

/// The packages of another workspace in the output of `cargo tree --prefix none`.
fn external_packages(tree: &str) -> BTreeSet<String> {
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)").trim());
    // Members have their folder in parentheses after the version.
    lines.filter(|line| !line.is_empty() && !line.contains(" (")).map(str::to_owned).collect()
}

/// Whether a row of a table names the crate, and not only one whose name begins alike.
fn in_table(text: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '-';
    text.lines().filter(|line| line.starts_with('|')).any(|line| line.split(|c| !is_name(c)).any(|word| word == name))
}

/// The words in backquotes that are spelled like a test: a sentence of at least three lower-case words.
fn sentences(text: &str) -> Vec<&str> {
    let is_sentence = |it: &&str| {
        it.matches('_').count() >= 2 && it.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    text.split('`').skip(1).step_by(2).filter(is_sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_wrong_names_and_unfinished_work_are_found() {
        assert!(file("crates/a/src/b.rs", &"\n".repeat(MAX_LINES)).is_empty());
        assert_eq!(file("crates/a/src/b.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
        assert_eq!(file("crates/a/src/mod.rs", "").len(), 1);
        let marker = format!("a\n// {}{}: b", "TO", "DO");
        assert_eq!(file("a.rs", &marker), [format!("a.rs:2 holds unfinished work: {}{}", "TO", "DO")]);
    }

    #[test]
    fn a_package_counts_once_and_members_do_not() {
        let tree =
            "unchoke-wire v0.1.0 (/w/crates/wire)\nbytes v1.12.1\nrand v0.10.0\n\nbytes v1.12.1 (*)\nrand v0.9.0\n";
        assert_eq!(Vec::from_iter(external_packages(tree)), ["bytes v1.12.1", "rand v0.10.0", "rand v0.9.0"]);
    }

    #[test]
    fn a_crate_is_not_found_in_the_name_of_another() {
        let text = "unchoke\n| [`unchoke-wire`](crates/wire) | wire |";
        assert!(in_table(text, "unchoke-wire"));
        assert!(!in_table(text, "unchoke"));
    }

    #[test]
    fn only_sentences_in_backquotes_are_tests() {
        assert_eq!(sentences("a_b_c `one_two_three` `ut_metadata` `A_B_C` `d_e_f`"), ["one_two_three", "d_e_f"]);
    }
}
