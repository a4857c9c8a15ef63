//! Where the bytes of each file are: in the file, or, for files that nobody wants, in the part file.
//!
//! Pieces reach over the ends of files, so that some bytes of unwanted files come with the wanted ones, and have to be kept: a piece is hashed
//! and served as a whole. The part file holds them at the offset that they have in the torrent; it is sparse, and one for each torrent.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use unchoke_core::PieceIndex;
use unchoke_metainfo::Layout;

/// No file. Almost all torrents have this, and need no memory for one of their own.
static NONE: LazyLock<Arc<BTreeSet<usize>>> = LazyLock::new(Arc::default);

#[derive(Debug)]
pub(super) struct Places {
    /// Files that nobody wants.
    pub(super) skipped: BTreeSet<usize>,
    /// Files whose bytes are in the part file.
    pub(super) parted: Arc<BTreeSet<usize>>,
    /// Skipped files that were there before, and stay where they are.
    pub(super) kept: BTreeSet<usize>,
    /// There is a part file that nothing is in any more.
    pub(super) is_left: bool,
    /// Pieces of which something was written to the part file, and that are not committed.
    pub(super) begun: BTreeSet<PieceIndex>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            skipped: BTreeSet::new(),
            parted: Arc::clone(&NONE),
            kept: BTreeSet::new(),
            is_left: false,
            begun: BTreeSet::new(),
        }
    }
}

/// A run of bytes on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// The file of the torrent that it belongs to.
    pub(super) file: usize,
    /// The file that it is in: that one, or the part file, whose number is the number of files. `None` for padding, which is nowhere.
    pub(super) place: Option<usize>,
    /// Bytes from the start of the place.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) len: u64,
}

/// The runs of so many bytes from an offset of the torrent.
pub(super) fn targets<'a>(
    layout: &'a Layout,
    parted: &'a BTreeSet<usize>,
    start: u64,
    length: u64,
) -> impl Iterator<Item = Target> + 'a {
    let part = layout.files().len();
    layout.spans(start, length).map(move |span| {
        let entry = layout.files().get(span.file);
        let (place, offset) = match entry {
            Some(entry) if !entry.is_padding() && parted.contains(&span.file) => {
                (Some(part), entry.offset().saturating_add(span.offset))
            }
            Some(entry) if !entry.is_padding() => (Some(span.file), span.offset),
            _ => (None, span.offset),
        };
        Target { file: span.file, place, offset, len: span.len }
    })
}
