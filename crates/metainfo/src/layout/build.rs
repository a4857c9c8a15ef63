//! Collects the files of a torrent: paths are made safe as they come and distinct at the end.

use super::{Entry, Layout, Link};
use crate::path::{EMPTY, enter, fold, fold_path, numbered, push_component};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// What the `attr` of a file says (BEP 47), and whether its path was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Attributes(u8);

impl Attributes {
    pub(crate) const PADDING: Self = Self(1);
    pub(crate) const EXECUTABLE: Self = Self(2);
    pub(crate) const HIDDEN: Self = Self(4);
    pub(crate) const SYMLINK: Self = Self(8);
    pub(crate) const RENAMED: Self = Self(16);

    /// Reads the letters of `attr`; unknown ones are ignored.
    pub(crate) fn read(letters: &[u8]) -> Self {
        letters.iter().fold(Self::default(), |all, letter| {
            all.and(match letter {
                b'p' => Self::PADDING,
                b'x' => Self::EXECUTABLE,
                b'h' => Self::HIDDEN,
                b'l' => Self::SYMLINK,
                _ => Self::default(),
            })
        })
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// All of a file but its path.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct FileMeta {
    pub(crate) length: u64,
    pub(crate) attributes: Attributes,
    /// Where in the info dictionary the pieces root is.
    pub(crate) root_at: Option<NonZeroU32>,
}

/// A directory of the path that came last.
struct Level<'a> {
    raw: &'a [u8],
    /// Bytes of the path up to here, the separator included.
    end: usize,
    /// The number of the path up to here, the separator included.
    number: u64,
    replaced: bool,
}

/// Collects the files of a torrent.
pub(crate) struct LayoutBuilder<'a> {
    root: String,
    names: String,
    entries: Vec<Entry>,
    /// For each file the number of its path. Padding needs no path of its own, so its number does not count.
    numbers: Vec<u64>,
    /// The numbers of all directories.
    directories: Vec<u64>,
    links: Vec<Link>,
    levels: Vec<Level<'a>>,
    last_start: usize,
    total: u64,
    /// Where the next file begins.
    offset: u64,
}

/// What was changed about the files, to tell the user.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Repairs {
    pub(crate) renamed: Counted,
    /// Symbolic links that lead nowhere.
    pub(crate) links: Counted,
}

/// How many files are meant, and the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counted {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Counted {
    fn add(&mut self, file: usize) {
        if self.count == 0 {
            self.first = file;
        }
        self.count = self.count.saturating_add(1);
    }
}

impl<'a> LayoutBuilder<'a> {
    /// Begins with room for so many files, and so many bytes of paths, each component counted with one byte more.
    pub(crate) fn new(root: impl Into<String>, files: usize, names: usize) -> Self {
        Self {
            root: root.into(),
            names: String::with_capacity(names),
            entries: Vec::with_capacity(files),
            numbers: Vec::with_capacity(files),
            directories: Vec::new(),
            links: Vec::new(),
            levels: Vec::new(),
            last_start: 0,
            total: 0,
            offset: 0,
        }
    }

    /// Bytes of all paths so far.
    pub(crate) fn names_len(&self) -> usize {
        self.names.len()
    }

    /// The bytes of the files so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Where the next file begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds a file. The path starts below the root and is empty for the one file of a torrent that is no directory.
    pub(crate) fn push(&mut self, path: &[&'a [u8]], meta: FileMeta) {
        let start = self.names.len();
        let padding = meta.attributes.has(Attributes::PADDING);
        let (directories, name) = match path.split_last() {
            Some((name, directories)) => (directories, Some(*name)),
            None => (path, None),
        };
        let known = directories.iter().zip(&self.levels).take_while(|(raw, level)| **raw == level.raw).count();
        self.levels.truncate(known);
        let (mut number, mut replaced) = (EMPTY, false);
        if let Some(level) = self.levels.last() {
            self.names.extend_from_within(self.last_start..self.last_start.saturating_add(level.end));
            (number, replaced) = (level.number, level.replaced);
        }
        for raw in directories.iter().skip(known) {
            let at = self.names.len();
            replaced |= !push_component(raw, &mut self.names);
            number = fold(number, self.names.get(at..).unwrap_or_default());
            if !padding {
                self.directories.push(number);
            }
            self.names.push('/');
            number = enter(number);
            self.levels.push(Level { raw, end: self.names.len().saturating_sub(start), number, replaced });
        }
        if padding {
            // The directories of padding are not made, so nothing may be taken for known because of them.
            self.levels.clear();
        }
        self.last_start = start;
        if let Some(raw) = name {
            let at = self.names.len();
            replaced |= !push_component(raw, &mut self.names);
            number = fold(number, self.names.get(at..).unwrap_or_default());
        }
        let renamed = if replaced && !padding { Attributes::RENAMED } else { Attributes::default() };
        self.entries.push(Entry {
            offset: self.offset,
            length: meta.length,
            path: position(start),
            path_len: self.path_len(start),
            attributes: meta.attributes.and(renamed),
            root_at: meta.root_at,
        });
        self.numbers.push(number);
        self.total = self.total.saturating_add(meta.length);
        self.offset = self.offset.saturating_add(meta.length);
    }

    /// Says where the link that was added last leads.
    pub(crate) fn link_to(&mut self, target: impl Iterator<Item = &'a [u8]>) {
        let start = self.names.len();
        for raw in target {
            if self.names.len() > start {
                self.names.push('/');
            }
            push_component(raw, &mut self.names);
        }
        let file = position(self.entries.len().saturating_sub(1));
        self.links.push(Link { file, path: position(start), path_len: self.path_len(start) });
    }

    /// Says where the pieces root of a file is.
    pub(crate) fn set_root(&mut self, file: usize, root_at: Option<NonZeroU32>) {
        if let Some(entry) = self.entries.get_mut(file) {
            entry.root_at = root_at;
        }
    }

    /// Lets the next file begin at a multiple of `align` bytes.
    pub(crate) fn align(&mut self, align: u64) {
        self.offset = self.offset.checked_next_multiple_of(align.max(1)).unwrap_or(self.offset);
    }

    /// Where a file begins, and how long it is.
    pub(crate) fn file(&self, number: usize) -> Option<(u64, u64, Attributes)> {
        self.entries.get(number).map(|entry| (entry.offset, entry.length, entry.attributes))
    }

    /// Renames files whose path is taken, and lets go of links that lead nowhere.
    pub(crate) fn finish(mut self) -> (Layout, Repairs) {
        self.directories.sort_unstable();
        self.directories.dedup();
        if self.has_clashes() {
            self.rename();
        }
        let mut repairs = Repairs::default();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.attributes.has(Attributes::RENAMED) {
                repairs.renamed.add(number);
            }
        }
        self.check_links(&mut repairs.links);
        let Self { root, names, entries, links, total, .. } = self;
        (Layout { root: root.into(), names, entries, links, total }, repairs)
    }

    /// Files that need a path of their own, with its number.
    fn counted(&self) -> impl Iterator<Item = (&Entry, u64)> {
        let all = self.entries.iter().zip(self.numbers.iter().copied());
        all.filter(|(entry, _)| !entry.attributes.has(Attributes::PADDING))
    }

    fn has_clashes(&self) -> bool {
        let mut numbers: Vec<u64> = self.counted().map(|(_, number)| number).collect();
        numbers.sort_unstable();
        let mut directories = self.directories.iter().peekable();
        let mut last = None;
        numbers.iter().any(|number| {
            while directories.next_if(|directory| *directory < number).is_some() {}
            last.replace(*number) == Some(*number) || directories.peek() == Some(&number)
        })
    }

    /// Gives a number to each file whose path is that of an earlier file or of a directory.
    ///
    /// For each path the numbers that were tried only grow, so the work is proportional to the names that are there.
    fn rename(&mut self) {
        let mut taken: BTreeSet<u64> = self.directories.iter().copied().collect();
        let mut tried: BTreeMap<u64, u32> = BTreeMap::new();
        for (entry, number) in self.entries.iter_mut().zip(&mut self.numbers) {
            if entry.attributes.has(Attributes::PADDING) || taken.insert(*number) {
                continue;
            }
            let start = entry.path as usize;
            let path = self.names.get(start..start.saturating_add(entry.path_len.into())).unwrap_or_default();
            let (parent, name) =
                path.split_at_checked(path.rfind('/').map_or(0, |at| at.saturating_add(1))).unwrap_or(("", path));
            let before = parent.strip_suffix('/').map_or(EMPTY, |parent| enter(fold_path(parent)));
            let next = tried.entry(*number).or_insert(0);
            let renamed = loop {
                *next = next.saturating_add(1);
                let candidate = numbered(name, *next);
                let candidate_number = fold(before, &candidate);
                if taken.insert(candidate_number) {
                    *number = candidate_number;
                    break candidate;
                }
            };
            let parent_len = parent.len();
            let at = self.names.len();
            self.names.extend_from_within(start..start.saturating_add(parent_len));
            self.names.push_str(&renamed);
            entry.path = position(at);
            entry.path_len = u16::try_from(self.names.len().saturating_sub(at)).unwrap_or(u16::MAX);
            entry.attributes = entry.attributes.and(Attributes::RENAMED);
        }
    }

    fn check_links(&mut self, dangling: &mut Counted) {
        let is_link = |entry: &Entry| entry.attributes.has(Attributes::SYMLINK);
        if !self.entries.iter().any(is_link) {
            return;
        }
        let real = self.counted().filter(|(entry, _)| !is_link(entry));
        let mut files: Vec<u64> = real.map(|(_, number)| number).collect();
        files.sort_unstable();
        let (names, entries, directories) = (&self.names, &self.entries, &self.directories);
        let text = |start: u32, len: u16| {
            names.get(start as usize..(start as usize).saturating_add(len.into())).unwrap_or_default()
        };
        self.links.retain(|link| {
            let target = text(link.path, link.path_len);
            let number = fold_path(target);
            let own = entries.get(link.file as usize).map_or("", |entry| text(entry.path, entry.path_len));
            let holds_link = own.strip_prefix(target).is_some_and(|rest| rest.starts_with('/'));
            files.binary_search(&number).is_ok() || directories.binary_search(&number).is_ok() && !holds_link
        });
        let mut links = self.links.iter().peekable();
        for (number, _) in self.entries.iter().enumerate().filter(|(_, entry)| is_link(entry)) {
            if links.next_if(|link| link.file as usize == number).is_none() {
                dangling.add(number);
            }
        }
    }

    fn path_len(&self, start: usize) -> u16 {
        // 100 components of 255 bytes at most.
        u16::try_from(self.names.len().saturating_sub(start)).unwrap_or(u16::MAX)
    }
}

/// An info dictionary is too short for more.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(raw: &[&str]) -> Vec<String> {
        let mut builder = LayoutBuilder::new("r", 0, 0);
        for path in raw {
            let path: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
            builder.push(&path, FileMeta::default());
        }
        builder.finish().0.files().iter().map(|file| file.below_root().to_owned()).collect()
    }

    #[test]
    fn b11_of_files_with_one_path_the_later_ones_are_numbered() {
        assert_eq!(paths(&["a", "a"]), ["a", "a.1"]);
        assert_eq!(paths(&["a.txt", "A.TXT", "a.txt"]), ["a.txt", "A.1.TXT", "a.2.txt"]);
        assert_eq!(paths(&["a", "a.1", "a"]), ["a", "a.1", "a.2"]);
        assert_eq!(paths(&["a", "a", "a.1"]), ["a", "a.1", "a.1.1"]);
        assert_eq!(paths(&["x/É", "x/é", "y/é"]), ["x/É", "x/é.1", "y/é"]);
    }

    #[test]
    fn b11_a_file_gives_way_to_a_directory_before_or_after_it() {
        assert_eq!(paths(&["a", "a/b"]), ["a.1", "a/b"]);
        assert_eq!(paths(&["a/b", "A"]), ["a/b", "A.1"]);
        assert_eq!(paths(&["a/b", "A/b", "A/c"]), ["a/b", "A/b.1", "A/c"]);
        assert_eq!(paths(&["a", "a/b/c", "a/B"]), ["a.1", "a/b/c", "a/B.1"]);
    }

    /// Somebody may look for a name of any number, so no number may mean anything by itself.
    #[test]
    fn a_name_whose_number_is_nothing_special_is_renamed_as_any_other() {
        let name = "w)1n64s0fp5kd4'&";
        assert_eq!(fold(EMPTY, name), 0);
        let (upper, child) = (name.to_uppercase(), format!("{name}/child"));
        let found = paths(&[name, name, &upper, &child]);
        assert!(is_distinct(&found), "{found:?}");
    }

    #[test]
    fn directories_that_came_before_are_not_forgotten_between() {
        assert_eq!(paths(&["a/b/c", "x", "a/b/d", "a/b/.."]), ["a/b/c", "x", "a/b/d", "a/b/_"]);
        assert_eq!(paths(&["../b", "../c", "d/c"]), ["_/b", "_/c", "d/c"]);
    }

    fn is_distinct(paths: &[String]) -> bool {
        let fold = |path: &str| path.to_uppercase().to_lowercase();
        let files: BTreeSet<String> = paths.iter().map(|path| fold(path)).collect();
        let is_directory = |path: &String| {
            files.range(format!("{path}/")..).next().is_some_and(|next| next.starts_with(&format!("{path}/")))
        };
        files.len() == paths.len() && !files.iter().any(is_directory)
    }

    proptest! {
        #[test]
        fn no_two_files_share_a_name(names in prop::collection::vec("[aA1.]{1,4}(/[aA1.]{1,3}){0,2}", 0..40)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let given = paths(&names);
            prop_assert!(is_distinct(&given), "{given:?}");
        }
    }
}
