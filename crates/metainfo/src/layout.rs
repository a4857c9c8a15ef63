//! How a torrent's bytes are laid out in files.

use std::path::PathBuf;
use std::sync::Arc;

/// The files of a torrent in order, end to end.
///
/// Paths are relative to the directory the torrent is saved in. They are safe on every platform and distinct even where
/// case does not count. They depend on the info dictionary alone, so downloading, checking and seeding use the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    root: Arc<str>,
    files: Vec<FileEntry>,
    total: u64,
}

impl Layout {
    pub(crate) fn new(root: Arc<str>, files: Vec<FileEntry>, total: u64) -> Self {
        Self { root, files, total }
    }

    /// The name of the file, or of the directory that holds all files. Every path starts with it.
    #[must_use]
    pub fn root_name(&self) -> &str {
        &self.root
    }

    /// The files in order, those without bytes and padding included.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// All bytes of all files, padding included.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.total
    }

    /// The parts of files that `len` bytes from `offset` of the torrent lie in, in order and cut to the torrent's end.
    ///
    /// Files without bytes never occur. Finding the first part takes a binary search.
    #[must_use]
    pub fn spans(&self, offset: u64, len: u64) -> Spans<'_> {
        let first = self.files.partition_point(|file| file.end() <= offset);
        Spans { files: &self.files, file: first, offset, end: offset.saturating_add(len).min(self.total) }
    }
}

/// One file of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    pub(crate) path: Box<[Arc<str>]>,
    pub(crate) length: u64,
    pub(crate) offset: u64,
    pub(crate) attributes: Attributes,
}

/// What the `attr` of a file says (BEP 47).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Attributes {
    pub(crate) padding: bool,
    pub(crate) executable: bool,
}

impl FileEntry {
    /// The components of the path, beginning with [`Layout::root_name`].
    #[must_use]
    pub fn path(&self) -> &[Arc<str>] {
        &self.path
    }

    /// The path below the directory the torrent is saved in.
    #[must_use]
    pub fn to_path_buf(&self) -> PathBuf {
        self.path.iter().map(|component| &**component).collect()
    }

    /// The length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes from the start of the torrent to the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the file is padding (BEP 47): all zeros, never written to disk, and its path may not be its own.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.attributes.padding
    }

    /// Whether the file is to be executable.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.attributes.executable
    }

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
    files: &'l [FileEntry],
    file: usize,
    offset: u64,
    end: u64,
}

impl Iterator for Spans<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        while self.offset < self.end {
            let number = self.file;
            let file = self.files.get(number)?;
            self.file = number.saturating_add(1);
            let (start, end) = (self.offset, file.end().min(self.end));
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

    fn layout(lengths: &[u64]) -> Layout {
        let mut total = 0;
        let mut files = Vec::new();
        for &length in lengths {
            let path = Box::new([Arc::from("x")]);
            files.push(FileEntry { path, length, offset: total, attributes: Attributes::default() });
            total += length;
        }
        Layout::new("x".into(), files, total)
    }

    #[test]
    fn spans_skip_empty_files_and_stop_at_the_end() {
        let layout = layout(&[0, 3, 0, 0, 5, 0]);
        let spans: Vec<_> = layout.spans(2, 100).collect();
        assert_eq!(spans, [Span { file: 1, offset: 2, len: 1 }, Span { file: 4, offset: 0, len: 5 }]);
        assert_eq!(layout.spans(8, 1).next(), None);
        assert_eq!(layout.spans(u64::MAX, u64::MAX).next(), None);
        assert_eq!(layout.spans(3, 0).next(), None);
    }

    proptest! {
        #[test]
        fn spans_cover_the_range_exactly_and_in_order(
            lengths in prop::collection::vec(0u64..10, 0..20), offset in 0u64..120, len in 0u64..120
        ) {
            let layout = layout(&lengths);
            let mut at = offset;
            for span in layout.spans(offset, len) {
                let file = &layout.files()[span.file];
                prop_assert_eq!(file.offset() + span.offset, at);
                prop_assert!(span.len > 0 && span.offset + span.len <= file.length());
                at += span.len;
            }
            prop_assert_eq!(at, (offset + len).min(layout.total_len()).max(offset));
        }
    }
}
