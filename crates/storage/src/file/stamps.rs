//! What tells our own writing from somebody else's.
//!
//! Resume data holds the length and the time of modification of each file. A file that has another one at the next start was changed by
//! somebody, and its pieces are hashed again, unless the journal says that we were writing to it ourselves when the process ended.

use crate::fs::FileStamp;
use std::collections::{BTreeMap, BTreeSet};

/// The stamps of a torrent's files, by their number.
#[derive(Debug)]
pub(super) struct Stamps {
    /// What resume data may say; `None` while that is not known.
    pub(super) known: Vec<Option<FileStamp>>,
    /// Files that the journal names as being written to.
    pub(super) marked: BTreeSet<usize>,
    /// Files that are being written to right now, and how often at a time.
    writing: BTreeMap<usize, usize>,
}

impl Stamps {
    pub(super) fn new(files: usize) -> Self {
        Self { known: vec![None; files], marked: BTreeSet::new(), writing: BTreeMap::new() }
    }

    /// A file is about to be written to. Returns whether the journal must say so first.
    pub(super) fn begin(&mut self, file: usize) -> bool {
        let count = self.writing.entry(file).or_default();
        *count = count.saturating_add(1);
        self.marked.insert(file)
    }

    /// A write has ended, well or not.
    pub(super) fn end(&mut self, file: usize) {
        if let Some(count) = self.writing.get_mut(&file) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.writing.remove(&file);
            }
        }
    }

    /// How a file was left that nobody has written to since.
    pub(super) fn settled(&self, file: usize) -> Option<FileStamp> {
        self.known.get(file).copied().flatten().filter(|_| !self.marked.contains(&file))
    }

    /// The files whose stamps have to be taken: those that were `synced`, and those that have none.
    pub(super) fn wanted(&self, synced: &BTreeSet<usize>) -> Vec<usize> {
        let missing = (0..).zip(&self.known).filter(|(_, known)| known.is_none()).map(|(file, _)| file);
        missing.chain(synced.iter().copied()).collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// Takes stamps in. Files that are or have been written to since, `dirty`, stay marked.
    pub(super) fn settle(&mut self, taken: Vec<(usize, Option<FileStamp>)>, dirty: &BTreeSet<usize>) {
        for (file, stamp) in taken {
            if let Some(known) = self.known.get_mut(file) {
                *known = stamp;
            }
        }
        let writing = &self.writing;
        self.marked.retain(|file| dirty.contains(file) || writing.contains_key(file));
    }
}
