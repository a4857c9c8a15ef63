//! Files that go by other names than the torrent gives them.

use crate::error::{StorageError, StorageErrorKind};
use std::collections::BTreeMap;
use unchoke_bencode::{DecodeLimits, decode, encode};

/// The longest name of a file, in bytes, that common file systems take.
const MAX_NAME: usize = 255;

/// The new name of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    /// The names that lead to it from the folder of the store.
    pub(super) path: Vec<String>,
    /// Those that led to it before, if it may still be there.
    pub(super) was: Vec<String>,
}

/// The files that were renamed, by their numbers.
pub(super) type Names = BTreeMap<usize, Name>;

/// Takes a path that leads to a place below the folder, and not among the state files.
pub(super) fn check(path: &[&str], state_folder: &str) -> Result<Vec<String>, StorageError> {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.len() <= MAX_NAME
            && !name.chars().any(|symbol| matches!(symbol, '/' | '\\' | '\0'))
    };
    let is_ours = |name: &&str| name.eq_ignore_ascii_case(state_folder);
    if path.is_empty() || !path.iter().copied().all(is_name) || path.first().is_some_and(is_ours) {
        return Err(StorageError::new(StorageErrorKind::Escapes));
    }
    Ok(owned(path))
}

/// A path to keep.
pub(super) fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| (*name).to_owned()).collect()
}

/// A path that is kept, to go along.
pub(super) fn as_str(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// For resume data.
pub(super) fn write(names: &Names) -> Vec<u8> {
    if names.is_empty() {
        return Vec::new();
    }
    encode(|value| {
        value.list(|list| {
            for (file, name) in names {
                list.item(|item| {
                    item.dict(|fields| {
                        fields.int("file", i64::try_from(*file).unwrap_or(i64::MAX));
                        for (key, path) in [("path", &name.path), ("was", &name.was)] {
                            fields.entry(key, |value| value.list(|list| path.iter().for_each(|step| list.bytes(step))));
                        }
                    })
                });
            }
        })
    })
}

/// From resume data. What makes no sense names nothing.
pub(super) fn read(bytes: &[u8], state_folder: &str) -> Names {
    let Ok(document) = decode(bytes, &DecodeLimits::default()) else { return Names::new() };
    let Some(list) = document.root().as_list() else { return Names::new() };
    let entry = |item: unchoke_bencode::Value<'_, '_>| {
        let fields = item.as_dict()?;
        let file = usize::try_from(fields.get(b"file")?.as_int()?).ok()?;
        let path = |key: &[u8]| -> Option<Vec<String>> {
            let steps = fields.get(key)?.as_list()?;
            steps.iter().map(|step| Some(std::str::from_utf8(step.as_bytes()?).ok()?.to_owned())).collect()
        };
        let (path, was) = (path(b"path")?, path(b"was")?);
        let is_safe =
            |path: &[String]| check(&path.iter().map(String::as_str).collect::<Vec<_>>(), state_folder).is_ok();
        (is_safe(&path) && (was.is_empty() || is_safe(&was))).then_some((file, Name { path, was }))
    };
    list.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written_and_lead_nowhere_else() {
        let name = |path: &[&str], was: &[&str]| Name {
            path: path.iter().map(|step| (*step).to_owned()).collect(),
            was: was.iter().map(|step| (*step).to_owned()).collect(),
        };
        let names = Names::from([(0, name(&["t", "new"], &[])), (7, name(&["x"], &["t", "d", "old"]))]);
        assert_eq!(read(&write(&names), ".unchoke"), names);
        for path in [&["..", "x"][..], &["a/b"], &[""], &[".UNCHOKE", "x"], &[], &["a", "b\0"], &["c:\\x"]] {
            assert!(check(path, ".unchoke").is_err(), "{path:?}");
            let bad = Names::from([(0, name(path, &[]))]);
            assert_eq!(read(&write(&bad), ".unchoke"), Names::new());
        }
        assert_eq!(read(b"junk", ".unchoke"), Names::new());
    }
}
