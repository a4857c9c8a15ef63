//! What `cargo metadata` tells of the workspace.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The members of the workspace and where it stands.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    #[cfg_attr(not(feature = "api"), expect(dead_code, reason = "only the snapshots of the API need it"))]
    pub(crate) target: PathBuf,
    pub(crate) members: Vec<Member>,
}

/// One package of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
    pub(crate) description: String,
    pub(crate) license: String,
    /// The packages that it names in its manifest, of every kind.
    pub(crate) dependencies: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self, Box<dyn Error>> {
        Self::parse(&cargo(Path::new("."), &["metadata", "--format-version", "1", "--no-deps"])?)
    }

    /// Reads what `cargo metadata --no-deps` prints.
    pub(crate) fn parse(metadata: &str) -> Result<Self, Box<dyn Error>> {
        let metadata: Value = serde_json::from_str(metadata)?;
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut members = Vec::new();
        for package in list(&metadata, "packages") {
            let manifest = PathBuf::from(text(&package, "manifest_path").ok_or("a package without a manifest")?);
            members.push(Member {
                name: text(&package, "name").ok_or("a package without a name")?,
                folder: manifest.parent().ok_or("a manifest without a folder")?.to_owned(),
                version: text(&package, "version").unwrap_or_default(),
                license: text(&package, "license").unwrap_or_default(),
                description: text(&package, "description").unwrap_or_default(),
                dependencies: list(&package, "dependencies").iter().filter_map(|it| text(it, "name")).collect(),
            });
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let root: PathBuf = text(&metadata, "workspace_root").ok_or("metadata without a root")?.into();
        let target = text(&metadata, "target_directory").map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Self { root, target, members })
    }

    /// The members below `crates/`: those that are published.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &Member> {
        let folder = self.root.join("crates");
        self.members.iter().filter(move |it| it.folder.starts_with(&folder))
    }

    /// A path as it is shown: relative to the root.
    pub(crate) fn show<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// What cargo prints to its standard output.
pub(crate) fn cargo(folder: &Path, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).current_dir(folder).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// All files below a folder whose names have one of the extensions, in order; none if there is no such folder.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() || folder.file_name().is_some_and(|name| name == "target") {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| extensions.iter().any(|wanted| it == *wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_below_crates_are_told_from_the_others() {
        let metadata = r#"{"workspace_root": "/w", "packages": [
            {"name": "xtask", "manifest_path": "/w/xtask/Cargo.toml", "description": null, "dependencies": []},
            {"name": "unchoke-wire", "manifest_path": "/w/crates/wire/Cargo.toml", "description": "d",
             "dependencies": [{"name": "unchoke-core", "kind": null}, {"name": "proptest", "kind": "dev"}]}]}"#;
        let workspace = Workspace::parse(metadata).unwrap();
        let crates: Vec<_> = workspace.crates().collect();
        assert_eq!(workspace.members.len(), 2);
        assert_eq!(crates.len(), 1);
        assert_eq!(crates[0].dependencies, ["unchoke-core", "proptest"]);
        assert_eq!(workspace.show(&crates[0].folder).to_string(), "crates/wire");
    }
}
