//! The public API of each crate as text under `docs/api/`, so that a change shows in review.
//!
//! rustdoc tells the API as JSON, which only its nightly does without `RUSTC_BOOTSTRAP=1`, and `public-api` prints that. It reads the format of
//! a few versions of Rust only, so it stands behind a feature that this command switches on itself, and the snapshots are made with the Rust that
//! CI has.

use crate::workspace::Workspace;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Where the snapshot of a crate lies.
fn snapshot(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.root.join("docs/api").join(format!("{name}.txt"))
}

/// `cargo xtask api [--check]`, in a build that can read rustdoc's JSON.
pub(crate) fn api(arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    if cfg!(feature = "api") {
        return compare(arguments.iter().any(|it| it == "--check"));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let again = ["run", "--quiet", "--locked", "--package", "xtask", "--features", "api", "--"];
    let status = Command::new(cargo).args(again).args(arguments).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the snapshots, or compares with them.
fn compare(check: bool) -> Result<ExitCode, Box<dyn Error>> {
    let workspace = Workspace::load()?;
    std::fs::create_dir_all(workspace.root.join("docs/api"))?;
    let mut changed = false;
    for member in workspace.crates() {
        let path = snapshot(&workspace, &member.name);
        let found = public_api(&workspace, &member.name)?;
        if !check {
            std::fs::write(&path, found)?;
            continue;
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        for line in difference(&known, &found) {
            changed = true;
            eprintln!("{}: {line}", member.name);
        }
    }
    if changed {
        eprintln!("the public API has changed: run `cargo xtask api`, and say in CHANGELOG.md what users will notice");
    }
    Ok(if changed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The lines that only one of the two has, with a sign in front.
fn difference(known: &str, found: &str) -> Vec<String> {
    let only = |sign, of: &str, not_in: &str| {
        let others: std::collections::HashSet<&str> = not_in.lines().collect();
        of.lines().filter(|line| !others.contains(line)).map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    [only('-', known, found), only('+', found, known)].concat()
}

#[cfg(feature = "api")]
fn public_api(workspace: &Workspace, name: &str) -> Result<String, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = workspace.target.join("api");
    let status = Command::new(cargo)
        .current_dir(&workspace.root)
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--locked", "--all-features", "--lib", "--package", name, "--target-dir"])
        .arg(&target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .status()?;
    if !status.success() {
        return Err(format!("rustdoc failed for {name}").into());
    }
    let json = target.join("doc").join(format!("{}.json", name.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| format!("{error}; this needs the version of Rust that .ci/run uses"))?;
    Ok(format!("{api}"))
}

#[cfg(not(feature = "api"))]
fn public_api(_workspace: &Workspace, _name: &str) -> Result<String, Box<dyn Error>> {
    Err("built without the feature `api`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_names_what_came_and_what_went() {
        assert_eq!(difference("a\nb\nc", "a\nc\nd"), ["- b", "+ d"]);
        assert!(difference("a\nb", "b\na").is_empty());
    }
}
