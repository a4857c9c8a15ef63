//! File names that are safe on every platform, and distinct there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Makes one path component safe; the same bytes give the same name on every platform.
pub(crate) fn component(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut name = shorten(&text.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect::<String>(), MAX_NAME_LEN);
    if is_reserved(&name) {
        name = format!("_{}", shorten(&name, MAX_NAME_LEN.saturating_sub(1)));
    }
    let kept = name.trim_end_matches(['.', ' ']).len();
    let trimmed = name.len().saturating_sub(kept);
    name.truncate(kept);
    name.extend(std::iter::repeat_n('_', if name.is_empty() && trimmed == 0 { 1 } else { trimmed }));
    name
}

fn is_unsafe(c: char) -> bool {
    // The last two ranges turn the direction of text, with which a name can hide its extension.
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes the name for a device, with whatever extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || port.is_some_and(|number| {
            let mut chars = number.chars();
            matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
}

/// Splits before the extension, if there is one that is short enough to be worth keeping.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.').and_then(|dot| name.split_at_checked(dot)) {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 16 => (stem, extension),
        _ => (name, ""),
    }
}

/// Cuts the name to `max` bytes, between characters and before the extension.
fn shorten(name: &str, max: usize) -> String {
    with_suffix(name, "", max)
}

fn with_suffix(name: &str, suffix: &str, max: usize) -> String {
    let (stem, extension) = split_extension(name);
    let mut room = max.saturating_sub(suffix.len()).saturating_sub(extension.len()).min(stem.len());
    while !stem.is_char_boundary(room) {
        room = room.saturating_sub(1);
    }
    let stem = stem.get(..room).unwrap_or_default();
    format!("{stem}{suffix}{extension}")
}

/// Names that differ by case alone are one file on some platforms.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The longest name of a file or directory, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 255;

/// A directory in a [`NameTree`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DirId(u32);

#[derive(Clone)]
struct Dir {
    id: DirId,
    name: Arc<str>,
}

enum Taken {
    /// By a file; and what directories of that name are called instead.
    File(Option<Dir>),
    Dir(Dir),
}

/// All names given out, so that none is given twice in one directory.
pub(crate) struct NameTree {
    names: BTreeMap<(DirId, String), Taken>,
    dirs: u32,
    /// The last number used to tell names apart. It only grows, so that no number is tried twice for any name.
    number: u64,
}

impl NameTree {
    pub(crate) const ROOT: DirId = DirId(0);

    pub(crate) fn new() -> Self {
        Self { names: BTreeMap::new(), dirs: 0, number: 0 }
    }

    /// The directory of a name, which must be safe, and what it is called.
    pub(crate) fn dir(&mut self, parent: DirId, name: &str) -> (DirId, Arc<str>) {
        let key = (parent, fold(name));
        let renamed = match self.names.get(&key) {
            Some(Taken::Dir(dir)) => {
                let shared = *dir.name == *name;
                return (dir.id, if shared { dir.name.clone() } else { name.into() });
            }
            Some(Taken::File(Some(dir))) => return (dir.id, dir.name.clone()),
            Some(Taken::File(None)) => Some(self.free_name(parent, name)),
            None => None,
        };
        self.dirs = self.dirs.saturating_add(1);
        let dir = Dir { id: DirId(self.dirs), name: renamed.as_deref().unwrap_or(name).into() };
        if let Some(renamed) = renamed {
            self.names.insert((parent, fold(&renamed)), Taken::Dir(dir.clone()));
            self.names.insert(key, Taken::File(Some(dir.clone())));
        } else {
            self.names.insert(key, Taken::Dir(dir.clone()));
        }
        (dir.id, dir.name)
    }

    /// Takes a name, which must be safe, for a file; gives another back if it is taken.
    pub(crate) fn file(&mut self, parent: DirId, name: String) -> String {
        if let Entry::Vacant(entry) = self.names.entry((parent, fold(&name))) {
            entry.insert(Taken::File(None));
            return name;
        }
        let name = self.free_name(parent, &name);
        self.names.insert((parent, fold(&name)), Taken::File(None));
        name
    }

    fn free_name(&mut self, parent: DirId, name: &str) -> String {
        loop {
            self.number = self.number.saturating_add(1);
            let candidate = with_suffix(name, &format!("~{}", self.number), MAX_NAME_LEN);
            if !self.names.contains_key(&(parent, fold(&candidate))) {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_become_safe() {
        let table: [(&[u8], &str); 24] = [
            (b"", "_"),
            (b".", "_"),
            (b"..", "__"),
            (b"...", "___"),
            (b"../../etc", ".._.._etc"),
            (b"/etc", "_etc"),
            (b"a\\b", "a_b"),
            (b"C:", "C_"),
            (b"a:stream", "a_stream"),
            (b"a\0b\nc\x7f", "a_b_c_"),
            (b"what? *<|>\"", "what_ _____"),
            (b"name. .", "name___"),
            (b"CON", "_CON"),
            (b"con.txt", "_con.txt"),
            (b"nul .tar.gz", "_nul .tar.gz"),
            (b"COM1", "_COM1"),
            (b"com10", "com10"),
            ("lpt²".as_bytes(), "_lpt²"),
            (b"CONSOLE", "CONSOLE"),
            (b".hidden", ".hidden"),
            (b" leading", " leading"),
            ("exe\u{202e}gpj".as_bytes(), "exe_gpj"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("Füße".as_bytes(), "Füße"),
        ];
        for (bytes, name) in table {
            assert_eq!(component(bytes), name, "{bytes:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_extension() {
        let name = component(format!("{}.mkv", "é".repeat(200)).as_bytes());
        assert!(name.len() <= MAX_NAME_LEN && name.ends_with("é.mkv"), "{name}");
        assert_eq!(component(&[b'.'; 300]), "_".repeat(255));
        let device = component(format!("CON{}x.txt", " ".repeat(300)).as_bytes());
        assert!(device.starts_with("_CON") && device.len() <= MAX_NAME_LEN);
    }

    #[test]
    fn names_are_taken_once_whatever_their_case() {
        let mut tree = NameTree::new();
        let root = NameTree::ROOT;
        assert_eq!(tree.file(root, "a.txt".into()), "a.txt");
        assert_eq!(tree.file(root, "A.TXT".into()), "A~1.TXT");
        assert_eq!(tree.file(root, "a~2.txt".into()), "a~2.txt");
        assert_eq!(tree.file(root, "a.txt".into()), "a~3.txt");
    }

    #[test]
    fn a_directory_gives_way_to_a_file_and_keeps_its_new_name() {
        let mut tree = NameTree::new();
        assert_eq!(tree.file(NameTree::ROOT, "a".into()), "a");
        let (id, name) = tree.dir(NameTree::ROOT, "a");
        assert_eq!(&*name, "a~1");
        let (again, name) = tree.dir(NameTree::ROOT, "A");
        assert!(id == again && &*name == "a~1");
        assert_eq!(tree.file(NameTree::ROOT, "a~1".into()), "a~1~2");
    }

    #[test]
    fn a_file_gives_way_to_a_directory() {
        let mut tree = NameTree::new();
        let (dir, _) = tree.dir(NameTree::ROOT, "a");
        assert_eq!(tree.file(NameTree::ROOT, "A".into()), "A~1");
        assert_eq!(tree.file(dir, "A".into()), "A");
    }

    proptest! {
        #[test]
        fn every_name_is_safe_and_stays_what_it_is(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let name = component(&bytes);
            prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_LEN);
            prop_assert!(!name.ends_with(['.', ' ']) && !name.contains(is_unsafe) && !is_reserved(&name));
            prop_assert_eq!(component(name.as_bytes()), name.clone());
        }

        #[test]
        fn no_two_files_share_a_name(names in prop::collection::vec("[aA~1.]{1,4}", 0..40)) {
            let mut tree = NameTree::new();
            let given: Vec<_> = names.iter().map(|n| fold(&tree.file(NameTree::ROOT, component(n.as_bytes())))).collect();
            let distinct: std::collections::BTreeSet<_> = given.iter().collect();
            prop_assert_eq!(distinct.len(), given.len());
        }
    }
}
