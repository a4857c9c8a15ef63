//! How a torrent's bytes are laid out in files.

mod build;

pub(crate) use build::{Attributes, FileMeta, LayoutBuilder};

use std::fmt;
use std::path::PathBuf;

/// The files of a torrent in order.
///
/// Paths are relative to the directory the torrent is saved in. They are safe on every platform and distinct even where
/// case does not count. They depend on the info dictionary alone, so downloading, checking and seeding use the same.
///
/// Files lie end to end, but for v2 torrents that are no hybrids: there each file begins at a piece, and nothing lies in between.
#[derive(Clone)]
pub struct Layout {
    root: Box<str>,
    /// All paths below the root, one after another.
    names: String,
    entries: Vec<Entry>,
    links: Vec<Link>,
    total: u64,
}

/// What is kept of one file: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    offset: u64,
    length: u64,
    /// Where in `names` the path is.
    path: u32,
    path_len: u16,
    attributes: Attributes,
    /// Where in the info dictionary the 32 bytes of the pieces root are.
    root_at: Option<std::num::NonZeroU32>,
}

/// Where a symbolic link leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Link {
    file: u32,
    /// Where in `names` the path of the target is.
    path: u32,
    path_len: u16,
}

impl Layout {
    /// The name of the file, or of the directory that holds all files. Every path starts with it.
    #[must_use]
    pub fn root_name(&self) -> &str {
        &self.root
    }

    /// The files in order, those without bytes and padding included.
    #[must_use]
    pub fn files(&self) -> Files<'_> {
        Files { layout: self, next: 0, end: self.entries.len() }
    }

    /// All bytes of all files, padding included.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.total
    }

    /// The parts of files that `len` bytes from `offset` of the torrent lie in, in order and cut to the torrent's end.
    ///
    /// Files without bytes never occur. Finding the first part takes a binary search. What lies between the files of a v2 torrent is left out.
    #[must_use]
    pub fn spans(&self, offset: u64, len: u64) -> Spans<'_> {
        let first = self.entries.partition_point(|file| file.end() <= offset);
        Spans { entries: &self.entries, file: first, offset, end: offset.saturating_add(len) }
    }

    /// The number of the file that holds this byte of the torrent.
    #[must_use]
    pub fn file_at(&self, offset: u64) -> Option<usize> {
        let number = self.entries.partition_point(|file| file.end() <= offset);
        self.entries.get(number).filter(|file| file.offset <= offset).map(|_| number)
    }

    /// Where in the info dictionary the pieces root of a file is.
    pub(crate) fn root_at(&self, file: usize) -> Option<usize> {
        usize::try_from(self.entries.get(file)?.root_at?.get()).ok()
    }

    fn text(&self, start: u32, len: u16) -> &str {
        let start = start as usize;
        self.names.get(start..start.saturating_add(len.into())).unwrap_or_default()
    }
}

/// Two are equal when their files have the same paths, places, lengths, attributes and links.
impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        let facts = |file: FileEntry<'_>| (file.offset(), file.length(), file.entry.attributes);
        let is_same = |(one, two): (FileEntry<'_>, FileEntry<'_>)| {
            facts(one) == facts(two)
                && one.below_root() == two.below_root()
                && one.symlink_target() == two.symlink_target()
        };
        self.root == other.root
            && self.files().len() == other.files().len()
            && self.files().iter().zip(other.files()).all(is_same)
    }
}

impl Eq for Layout {}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

/// The files of a [`Layout`], to go through or to pick from.
#[derive(Clone, Copy, Debug)]
pub struct Files<'l> {
    layout: &'l Layout,
    next: usize,
    end: usize,
}

impl<'l> Files<'l> {
    /// The file of this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<FileEntry<'l>> {
        let number = self.next.checked_add(number).filter(|number| *number < self.end)?;
        self.layout.entries.get(number).map(|entry| FileEntry { layout: self.layout, entry, number })
    }

    /// The number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.next)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The files in order.
    #[must_use]
    pub fn iter(&self) -> FileIter<'l> {
        FileIter { files: *self }
    }
}

impl<'l> IntoIterator for Files<'l> {
    type Item = FileEntry<'l>;
    type IntoIter = FileIter<'l>;

    fn into_iter(self) -> FileIter<'l> {
        FileIter { files: self }
    }
}

/// Goes through [`Files`].
#[derive(Clone, Debug)]
pub struct FileIter<'l> {
    files: Files<'l>,
}

impl<'l> Iterator for FileIter<'l> {
    type Item = FileEntry<'l>;

    fn next(&mut self) -> Option<FileEntry<'l>> {
        let file = self.files.get(0)?;
        self.files.next = self.files.next.saturating_add(1);
        Some(file)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.files.len(), Some(self.files.len()))
    }
}

impl ExactSizeIterator for FileIter<'_> {}

/// One file of a torrent.
#[derive(Clone, Copy)]
pub struct FileEntry<'l> {
    layout: &'l Layout,
    entry: &'l Entry,
    number: usize,
}

impl<'l> FileEntry<'l> {
    /// The number of the file, from 0, padding counted.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The components of the path, beginning with [`Layout::root_name`].
    pub fn components(&self) -> impl Iterator<Item = &'l str> + use<'l> {
        let below = self.below_root();
        std::iter::once(self.layout.root_name()).chain(below.split('/').filter(|name| !name.is_empty()))
    }

    /// The components of the path, joined by `/`.
    #[must_use]
    pub fn path(&self) -> String {
        match self.below_root() {
            "" => self.layout.root_name().to_owned(),
            below => format!("{}/{below}", self.layout.root_name()),
        }
    }

    /// The path without [`Layout::root_name`], joined by `/`; empty for the one file of a torrent that is no directory.
    #[must_use]
    pub fn below_root(&self) -> &'l str {
        self.layout.text(self.entry.path, self.entry.path_len)
    }

    /// The path below the directory the torrent is saved in.
    #[must_use]
    pub fn to_path_buf(&self) -> PathBuf {
        self.components().collect()
    }

    /// The length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.entry.length
    }

    /// Bytes from the start of the torrent to the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.entry.offset
    }

    /// Whether the file is padding (BEP 47): all zeros, never written to disk, and its path may not be its own.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.entry.attributes.has(Attributes::PADDING)
    }

    /// Whether the file is to be executable (BEP 47).
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.entry.attributes.has(Attributes::EXECUTABLE)
    }

    /// Whether the file is to be hidden (BEP 47).
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.entry.attributes.has(Attributes::HIDDEN)
    }

    /// Whether the file is a symbolic link (BEP 47). It has no bytes.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.entry.attributes.has(Attributes::SYMLINK)
    }

    /// Where a symbolic link leads: the path below [`Layout::root_name`] of a file or directory of this torrent that is no link and does not hold the
    /// link. `None` for other files, and for links that lead anywhere else, which are best left out.
    #[must_use]
    pub fn symlink_target(&self) -> Option<&'l str> {
        let links = &self.layout.links;
        let at = links.binary_search_by_key(&self.number, |link| link.file as usize).ok()?;
        links.get(at).map(|link| self.layout.text(link.path, link.path_len))
    }

    /// Whether the path is another than the torrent's maker wrote, because that one is unsafe somewhere or was taken.
    #[must_use]
    pub fn is_renamed(&self) -> bool {
        self.entry.attributes.has(Attributes::RENAMED)
    }
}

impl fmt::Debug for FileEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}+{}", self.path(), self.offset(), self.length())
    }
}

impl Entry {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// A run of bytes within one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a run has a place and a length")]
pub struct Span {
    /// The number of the file in [`Layout::files`].
    pub file: usize,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Length in bytes, never 0.
    pub len: u64,
}

/// The spans of a byte range; see [`Layout::spans`].
#[derive(Clone, Debug)]
pub struct Spans<'l> {
    entries: &'l [Entry],
    file: usize,
    offset: u64,
    end: u64,
}

impl Iterator for Spans<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        while self.offset < self.end {
            let number = self.file;
            let file = self.entries.get(number)?;
            self.file = number.saturating_add(1);
            let (start, end) = (self.offset.max(file.offset), file.end().min(self.end));
            if start < end {
                self.offset = end;
                let offset = start.saturating_sub(file.offset);
                return Some(Span { file: number, offset, len: end.saturating_sub(start) });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(lengths: &[u64], align: u64) -> Layout {
        let names: Vec<_> = (0..lengths.len()).map(|number| number.to_string()).collect();
        let mut builder = LayoutBuilder::new("x", 0, 0);
        for (name, length) in names.iter().zip(lengths) {
            builder.push(&[name.as_bytes()], FileMeta { length: *length, ..FileMeta::default() });
            builder.align(align);
        }
        builder.finish().0
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn spans_skip_empty_files_and_stop_at_the_end() {
        let layout = layout(&[0, 3, 0, 0, 5, 0], 1);
        let spans: Vec<_> = layout.spans(2, 100).collect();
        assert_eq!(spans, [Span { file: 1, offset: 2, len: 1 }, Span { file: 4, offset: 0, len: 5 }]);
        assert!(layout.files().len() == 6 && !layout.files().is_empty());
        assert_eq!(layout.spans(8, 1).next(), None);
        assert_eq!(layout.spans(u64::MAX, u64::MAX).next(), None);
        assert_eq!(layout.spans(3, 0).next(), None);
    }

    #[test]
    fn spans_skip_the_gaps_between_aligned_files() {
        let layout = layout(&[3, 0, 9, 1], 4);
        assert_eq!(layout.files().iter().map(|file| file.offset()).collect::<Vec<_>>(), [0, 4, 4, 16]);
        let spans: Vec<_> = layout.spans(2, 11).collect();
        assert_eq!(spans, [Span { file: 0, offset: 2, len: 1 }, Span { file: 2, offset: 0, len: 9 }]);
        assert_eq!((layout.spans(3, 1).next(), layout.file_at(3), layout.file_at(12)), (None, None, Some(2)));
    }

    proptest! {
        #[test]
        fn spans_cover_the_range_exactly_and_in_order(
            lengths in prop::collection::vec(0u64..10, 0..20), offset in 0u64..120, len in 0u64..120
        ) {
            let layout = layout(&lengths, 1);
            let mut at = offset;
            for span in layout.spans(offset, len) {
                let file = layout.files().get(span.file).unwrap();
                prop_assert_eq!(file.offset() + span.offset, at);
                prop_assert!(span.len > 0 && span.offset + span.len <= file.length());
                at += span.len;
            }
            prop_assert_eq!(at, (offset + len).min(layout.total_len()).max(offset));
        }
    }
}
