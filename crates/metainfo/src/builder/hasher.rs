//! Hashes the bytes of all files as they come, in one or both of the two ways.

use super::{BuildError, Builder, Hashes, plan, write};
use crate::info::Version;
use crate::merkle::FileHasher;
use crate::metainfo::Metainfo;
use unchoke_core::{Geometry, Sha1, Sha1Hash};

/// Hashes the bytes of all files, end to end in the order they were added, into a torrent.
///
/// Padding between files is no concern of the caller.
#[derive(Clone, Debug)]
pub struct PieceHasher {
    geometry: Geometry,
    builder: Builder,
    v1: Option<SumHasher>,
    v2: Option<FileHasher>,
    hashes: Hashes,
    /// The file that the next byte belongs to, and the bytes that it still has.
    file: usize,
    left: u64,
    taken: u64,
    expected: u64,
}

impl PieceHasher {
    pub(super) fn new(builder: Builder) -> Result<Self, BuildError> {
        let geometry = builder.geometry()?;
        let v1 = (builder.version != Version::V2).then(|| SumHasher::new(builder.piece_length));
        let expected = plan::files(&builder).iter().fold(0_u64, |sum, file| sum.saturating_add(file.length));
        let left = plan::files(&builder).first().map_or(0, |file| file.length);
        let hashes = Hashes::default();
        let mut hasher = Self { geometry, builder, v1, v2: None, hashes, file: 0, left, taken: 0, expected };
        hasher.v2 = hasher.file_hasher();
        hasher.end_files();
        Ok(hasher)
    }

    /// Takes the next bytes, in portions of any length. Bytes past the last file are counted but not hashed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while !bytes.is_empty() && self.left > 0 {
            let room = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            if let Some(v1) = &mut self.v1 {
                v1.update(now, &mut self.hashes.pieces);
            }
            if let Some(v2) = &mut self.v2 {
                v2.update(now);
            }
            self.left = self.left.saturating_sub(u64::try_from(now.len()).unwrap_or(u64::MAX));
            self.end_files();
            bytes = later;
        }
    }

    /// The bytes that are taken so far, to show how far the work is.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How the bytes are cut into pieces.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Makes the torrent. [`Metainfo::warnings`] tells of names that had to be replaced: the files must be called what
    /// the layout says before they can be seeded.
    ///
    /// # Errors
    /// If not exactly as many bytes were taken as the files have, such as when a file changed in between.
    pub fn finish(self) -> Result<Metainfo, BuildError> {
        let Self { builder, v1, mut hashes, taken, expected, .. } = self;
        if taken != expected {
            return Err(BuildError::ByteCount { expected, found: taken });
        }
        if let Some(v1) = v1 {
            v1.finish(&mut hashes.pieces);
        }
        write::finish(builder, &hashes)
    }

    /// Goes on to the next file that has bytes, if the current one is complete.
    fn end_files(&mut self) {
        while self.left == 0
            && let Some(file) = plan::files(&self.builder).get(self.file)
        {
            let mut padding = plan::padding_after(&self.builder, file.length);
            if let Some(v1) = &mut self.v1 {
                while padding > 0 {
                    let zeros = usize::try_from(padding).ok().and_then(|length| ZEROS.get(..length)).unwrap_or(&ZEROS);
                    v1.update(zeros, &mut self.hashes.pieces);
                    padding = padding.saturating_sub(u64::try_from(zeros.len()).unwrap_or(u64::MAX));
                }
            }
            let next = self.file_hasher();
            self.hashes.files.extend(std::mem::replace(&mut self.v2, next).map(FileHasher::finish));
            self.file = self.file.saturating_add(1);
            self.left = plan::files(&self.builder).get(self.file).map_or(0, |file| file.length);
        }
    }

    fn file_hasher(&self) -> Option<FileHasher> {
        if self.builder.version == Version::V1 { None } else { FileHasher::new(self.builder.piece_length) }
    }
}

/// SHA-1 of one piece after another.
#[derive(Clone, Debug)]
struct SumHasher {
    piece_length: u32,
    hasher: Sha1,
    /// Bytes of the current piece that are hashed.
    filled: u32,
}

impl SumHasher {
    fn new(piece_length: u32) -> Self {
        Self { piece_length, hasher: Sha1::new(), filled: 0 }
    }

    fn update(&mut self, mut bytes: &[u8], pieces: &mut Vec<Sha1Hash>) {
        while !bytes.is_empty() {
            let room = self.piece_length.saturating_sub(self.filled) as usize;
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.hasher.update(now);
            // No portion is longer than what is left of the piece, whose length is a u32.
            self.filled = self.filled.saturating_add(u32::try_from(now.len()).unwrap_or(u32::MAX));
            if self.filled >= self.piece_length {
                pieces.push(std::mem::take(&mut self.hasher).finish());
                self.filled = 0;
            }
            bytes = later;
        }
    }

    fn finish(self, pieces: &mut Vec<Sha1Hash>) {
        if self.filled > 0 {
            pieces.push(self.hasher.finish());
        }
    }
}

/// What padding is made of.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
