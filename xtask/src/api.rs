//! `cargo xtask api`: the public items of each crate as text in `docs/api/`, so that a change of them shows in review.
//!
//! rustdoc knows what is public, reexports and derives included, and the library `public-api` prints what rustdoc knows; a reader of
//! our own over the syntax would have to follow names. rustdoc's JSON is unstable, so the version of the library goes with that of
//! the compiler, and a compiler that is told `RUSTC_BOOTSTRAP=1` writes it. The library stands behind a feature that only this
//! command turns on: nothing else compiles it. Implementations for all types, and `Send` and `Sync` as the compiler derives them, are left out.

use std::error::Error;
use std::process::{Command, ExitCode};

/// Writes the listings, or with `--check` compares them with those that are checked in.
#[cfg(feature = "api")]
pub(crate) fn api(arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    use std::fs;
    use std::io::Write as _;

    use crate::lab::{Lab, run};
    use crate::workspace::Workspace;

    let (workspace, lab) = (Workspace::load()?, Lab::new("api")?);
    let check = arguments.iter().any(|it| it == "--check");
    let folder = workspace.root.join("docs/api");
    fs::create_dir_all(&folder)?;
    let mut out = std::io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    for member in workspace.crates() {
        let mut rustdoc = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        rustdoc.env("RUSTC_BOOTSTRAP", "1").current_dir(&workspace.root);
        rustdoc.args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features", "-p", &member.name]);
        rustdoc.arg("--target-dir").arg(&lab.work);
        run(rustdoc.args(["--", "-Z", "unstable-options", "--output-format", "json"]))?;
        let json = lab.work.join("doc").join(format!("{}.json", member.name.replace('-', "_")));
        let items = public_api::Builder::from_rustdoc_json(json)
            .sorted(true)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .build()
            .map_err(|error| format!("{}: {error}; the format of rustdoc 1.95 is what is read", member.name))?;
        let found = format!("{items}");
        let file = folder.join(format!("{}.txt", member.name));
        if !check {
            fs::write(&file, found)?;
            continue;
        }
        let recorded = fs::read_to_string(&file).unwrap_or_default();
        let changes = differences(&recorded, &found);
        if !changes.is_empty() {
            code = ExitCode::FAILURE;
            writeln!(out, "{} is not what the code has:\n{}", workspace.show(&file), changes.join("\n"))?;
        }
    }
    if code != ExitCode::SUCCESS {
        writeln!(out, "\nA changed API wants a line in CHANGELOG.md. `cargo xtask api` writes the listings anew.")?;
    }
    Ok(code)
}

/// Starts this program again with the library.
#[cfg(not(feature = "api"))]
pub(crate) fn api(arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "xtask", "--features", "api", "--"]).args(arguments);
    Ok(if command.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lines that only one of two listings has.
#[cfg(any(test, feature = "api"))]
fn differences(recorded: &str, found: &str) -> Vec<String> {
    let only = |of: &str, other: &str, mark: &'static str| {
        let other: std::collections::BTreeSet<&str> = other.lines().collect();
        of.lines().filter(|line| !other.contains(line)).map(|line| format!("{mark}{line}")).collect::<Vec<_>>()
    };
    [only(recorded, found, "-"), only(found, recorded, "+")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_item_shows_as_gone_and_new() {
        let (old, new) = ("pub mod a\npub fn a::b()\n", "pub mod a\npub fn a::b(u8)\n");
        assert_eq!(differences(old, new), ["-pub fn a::b()", "+pub fn a::b(u8)"]);
        assert!(differences(old, old).is_empty());
    }
}
