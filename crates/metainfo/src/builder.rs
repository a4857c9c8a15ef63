//! Makes torrents from names, lengths and bytes that the caller brings.

use crate::error::MetainfoError;
use crate::info::{Info, MAX_FILES, MAX_INFO_LEN, MAX_PATH_DEPTH};
use crate::metainfo::{Metainfo, Parts};
use std::sync::Arc;
use unchoke_bencode::encode;
use unchoke_core::hash::Sha1;
use unchoke_core::{Geometry, GeometryError, PieceIndex, Sha1Hash};

/// What a new torrent is to hold.
///
/// The files are hashed with a [`PieceHasher`], or by the caller, who can hash pieces side by side.
///
/// ```
/// use unchoke_metainfo::Builder;
///
/// let mut hasher = Builder::new("greetings", 16 * 1024)
///     .add_file(["en", "hello.txt"], 5)
///     .add_file(["de", "hallo.txt"], 5)
///     .tracker("udp://tracker.example:6969")
///     .hasher()?;
/// hasher.update(b"hello");
/// hasher.update(b"hallo");
/// let torrent = hasher.finish()?;
/// assert_eq!(torrent.info().layout().files().len(), 2);
/// # Ok::<(), unchoke_metainfo::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    piece_length: u32,
    length: Option<u64>,
    files: Vec<NewFile>,
    private: bool,
    parts: Parts,
}

#[derive(Clone, Debug)]
struct NewFile {
    path: Vec<String>,
    length: u64,
}

impl Builder {
    /// Begins a torrent whose pieces have `piece_length` bytes; see [`recommended_piece_length`].
    ///
    /// The name is that of the file, or of the directory that holds all files.
    #[must_use]
    pub fn new(name: impl Into<String>, piece_length: u32) -> Self {
        let parts = Parts::default();
        Self { name: name.into(), piece_length, length: None, files: Vec::new(), private: false, parts }
    }

    /// Makes it a torrent of one file that has the name of the torrent, of `length` bytes.
    #[must_use]
    pub fn single_file(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Adds a file of `length` bytes to a torrent that is a directory; the path starts below the torrent's name.
    #[must_use]
    pub fn add_file(mut self, path: impl IntoIterator<Item = impl Into<String>>, length: u64) -> Self {
        self.files.push(NewFile { path: path.into_iter().map(Into::into).collect(), length });
        self
    }

    /// Lets peers come from the trackers only (BEP 27). It counts for the info-hash.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Adds a tracker that is a tier of its own (BEP 12).
    #[must_use]
    pub fn tracker(self, address: impl Into<String>) -> Self {
        self.tracker_tier([address])
    }

    /// Adds a tier of trackers, all of which are tried before the next tier (BEP 12).
    #[must_use]
    pub fn tracker_tier(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let tier: Vec<String> = addresses.into_iter().map(Into::into).collect();
        if !tier.is_empty() {
            self.parts.announce_tiers.push(tier);
        }
        self
    }

    /// Adds the address of a web seed (BEP 19).
    #[must_use]
    pub fn web_seed(mut self, address: impl Into<String>) -> Self {
        self.parts.web_seeds.push(address.into());
        self
    }

    /// Sets free text.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.parts.comment = Some(comment.into());
        self
    }

    /// Sets the program that makes the torrent.
    #[must_use]
    pub fn created_by(mut self, program: impl Into<String>) -> Self {
        self.parts.created_by = Some(program.into());
        self
    }

    /// Sets when the torrent is made, in seconds since 1970.
    #[must_use]
    pub fn creation_date(mut self, seconds: u64) -> Self {
        self.parts.creation_date = Some(seconds);
        self
    }

    /// How the bytes will be cut into pieces.
    ///
    /// # Errors
    /// If the names, lengths or numbers of files or pieces do not make a torrent; no hashing is needed to know.
    pub fn geometry(&self) -> Result<Geometry, BuildError> {
        check_component(&self.name)?;
        let total = match (self.length, self.files.len()) {
            (None, 0) => return Err(BuildError::NoFiles),
            (Some(length), 0) => length,
            (Some(_), _) => return Err(BuildError::SingleAndMany),
            (None, count) if count > MAX_FILES => return Err(BuildError::TooManyFiles(count)),
            (None, _) => {
                let mut total = 0u64;
                for file in &self.files {
                    if !(1..=MAX_PATH_DEPTH).contains(&file.path.len()) {
                        return Err(BuildError::PathDepth(file.path.len()));
                    }
                    file.path.iter().try_for_each(|component| check_component(component))?;
                    total = total.checked_add(file.length).ok_or(BuildError::TotalTooLong)?;
                }
                total
            }
        };
        if i64::try_from(total).is_err() {
            return Err(BuildError::TotalTooLong);
        }
        let geometry = Geometry::new(total, u64::from(self.piece_length))?;
        let hashes = u64::from(geometry.piece_count()).saturating_mul(20);
        match usize::try_from(hashes) {
            Ok(bytes) if bytes <= MAX_INFO_LEN => Ok(geometry),
            _ => Err(BuildError::TooManyPieces(geometry.piece_count())),
        }
    }

    /// Begins hashing.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry).
    pub fn hasher(self) -> Result<PieceHasher, BuildError> {
        let geometry = self.geometry()?;
        Ok(PieceHasher { geometry, builder: self, hasher: Sha1::new(), filled: 0, taken: 0, pieces: Vec::new() })
    }

    /// Makes the torrent from the hashes of all pieces in order, which the caller has computed.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry), or if there is not one hash for every piece.
    pub fn finish_with_hashes(self, hashes: Vec<Sha1Hash>) -> Result<Metainfo, BuildError> {
        let expected = self.geometry()?.piece_count();
        if u32::try_from(hashes.len()) != Ok(expected) {
            return Err(BuildError::HashCount { expected, found: hashes.len() });
        }
        let pieces: Vec<u8> = hashes.iter().flat_map(Sha1Hash::as_bytes).copied().collect();
        self.assemble(&pieces)
    }

    fn assemble(self, pieces: &[u8]) -> Result<Metainfo, BuildError> {
        // `geometry` has seen that the total fits, and so does every length.
        let number = |length: u64| i64::try_from(length).unwrap_or(i64::MAX);
        let raw = encode(|v| {
            v.dict(|info| {
                match self.length {
                    Some(length) => info.int("length", number(length)),
                    None => info.entry("files", |v| {
                        v.list(|files| {
                            for file in &self.files {
                                files.item(|v| {
                                    v.dict(|entry| {
                                        entry.int("length", number(file.length));
                                        entry.entry("path", |v| v.list(|l| file.path.iter().for_each(|c| l.bytes(c))));
                                    })
                                });
                            }
                        })
                    }),
                }
                info.bytes("name", &self.name);
                info.int("piece length", i64::from(self.piece_length));
                info.bytes("pieces", pieces);
                if self.private {
                    info.int("private", 1);
                }
            })
        });
        Ok(Metainfo::new(Arc::new(Info::from_bytes(raw)?), self.parts))
    }
}

/// Hashes the bytes of all files, end to end in the order they were added, into a torrent.
#[derive(Clone, Debug)]
pub struct PieceHasher {
    geometry: Geometry,
    builder: Builder,
    hasher: Sha1,
    /// Bytes of the current piece that are hashed.
    filled: u32,
    taken: u64,
    pieces: Vec<u8>,
}

impl PieceHasher {
    /// Takes the next bytes, in portions of any length. Bytes past the last file are counted but not hashed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while !bytes.is_empty()
            && let Some(piece_len) = self.current_piece_len()
        {
            let room = usize::try_from(piece_len.saturating_sub(self.filled)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.hasher.update(now);
            // No portion is longer than what is left of the piece, whose length is a u32.
            self.filled = self.filled.saturating_add(u32::try_from(now.len()).unwrap_or(u32::MAX));
            if self.filled == piece_len {
                self.pieces.extend_from_slice(std::mem::take(&mut self.hasher).finish().as_bytes());
                self.filled = 0;
            }
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
        let expected = self.geometry.total_len();
        if self.taken != expected {
            return Err(BuildError::ByteCount { expected, found: self.taken });
        }
        self.builder.assemble(&self.pieces)
    }

    fn current_piece_len(&self) -> Option<u32> {
        let number = self.pieces.len().checked_div(Sha1Hash::LEN)?;
        self.geometry.piece_len(PieceIndex(u32::try_from(number).ok()?))
    }
}

/// Why a torrent cannot be made. It is the caller's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No file was given.
    #[error("no files")]
    NoFiles,
    /// Both a single file and files below a directory were given.
    #[error("a torrent is either a single file or a directory")]
    SingleAndMany,
    /// There are more files than [`MAX_FILES`].
    #[error("{0} files are too many")]
    TooManyFiles(usize),
    /// A path has no components, or more than [`MAX_PATH_DEPTH`].
    #[error("path of {0} components")]
    PathDepth(usize),
    /// A name is empty, `.` or `..`, or holds a `/` or a NUL, and so is the name of no file anywhere.
    #[error("{0:?} is no file name")]
    Name(String),
    /// The file lengths add up to more than 2^63 - 1 bytes.
    #[error("file lengths add up to too much")]
    TotalTooLong,
    /// The piece length does not suit the total length.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The hashes of that many pieces do not fit into an info dictionary.
    #[error("{0} pieces are too many, a greater piece length is needed")]
    TooManyPieces(u32),
    /// There is not one hash for every piece.
    #[error("{found} piece hashes, expected {expected}")]
    HashCount {
        /// The number of pieces.
        expected: u32,
        /// The number of hashes.
        found: usize,
    },
    /// There are not as many bytes as the files were said to have.
    #[error("{found} bytes, expected {expected}")]
    ByteCount {
        /// The length of all files.
        expected: u64,
        /// The number of bytes taken.
        found: u64,
    },
    /// The info dictionary would be one that cannot be loaded again, such as a too long one.
    #[error(transparent)]
    Info(#[from] MetainfoError),
}

/// A power of two from 16 KiB to 16 MiB that cuts `total` bytes into 1000 to 2000 pieces if any of these does.
#[must_use]
pub fn recommended_piece_length(total: u64) -> u32 {
    let wanted = total.div_ceil(2000).clamp(MIN_RECOMMENDED, MAX_RECOMMENDED).next_power_of_two();
    u32::try_from(wanted).unwrap_or(u32::MAX)
}

fn check_component(name: &str) -> Result<(), BuildError> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(BuildError::Name(name.to_owned()));
    }
    Ok(())
}

const MIN_RECOMMENDED: u64 = 16 << 10;
const MAX_RECOMMENDED: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::PieceHash;
    use unchoke_core::hash::sha1;

    fn two_files() -> Builder {
        Builder::new("dir", 4).add_file(["a"], 5).add_file(["b", "c"], 6)
    }

    #[test]
    fn a_torrent_reads_back_what_went_in() {
        let mut hasher = two_files()
            .private()
            .tracker_tier(["http://a/announce", "udp://b:1"])
            .tracker("udp://c:2")
            .web_seed("http://seed/")
            .comment("hi")
            .created_by("unchoke")
            .creation_date(7)
            .hasher()
            .unwrap();
        hasher.update(b"01234567890");
        let torrent = hasher.finish().unwrap();
        let again = Metainfo::from_bytes(&torrent.to_bytes()).unwrap();
        assert_eq!(again.info(), torrent.info());
        assert_eq!(again.parts(), torrent.parts());
        assert_eq!(again.warnings(), []);
        assert!(again.info().is_private() && again.info().is_multi_file());
        assert_eq!(again.announce_tiers(), [vec!["http://a/announce", "udp://b:1"], vec!["udp://c:2"]]);
        assert_eq!(again.info().piece_hash(PieceIndex(2)), Some(PieceHash::V1(sha1(b"890"))));
        let paths: Vec<_> = again.info().layout().files().iter().map(|f| f.path().join("/")).collect();
        assert_eq!(paths, ["dir/a", "dir/b/c"]);
    }

    #[test]
    fn hashes_of_the_caller_give_the_same_torrent() {
        let mut hasher = Builder::new("f", 4).single_file(6).hasher().unwrap();
        hasher.update(b"abcdef");
        let hashes = vec![sha1(b"abcd"), sha1(b"ef")];
        let torrent = Builder::new("f", 4).single_file(6).finish_with_hashes(hashes).unwrap();
        assert_eq!(torrent.info(), hasher.finish().unwrap().info());
        assert_eq!(
            Builder::new("f", 4).single_file(6).finish_with_hashes(vec![]).unwrap_err(),
            BuildError::HashCount { expected: 2, found: 0 }
        );
    }

    #[test]
    fn too_few_and_too_many_bytes_are_refused() {
        for found in [0u8, 10, 12, 50] {
            let mut hasher = two_files().hasher().unwrap();
            hasher.update(&vec![0; found.into()]);
            let error = BuildError::ByteCount { expected: 11, found: found.into() };
            assert_eq!(hasher.finish().unwrap_err(), error);
        }
    }

    #[test]
    fn what_makes_no_torrent_is_refused_before_hashing() {
        let many = Builder::new("n", 1).single_file(u64::from(u32::MAX));
        let table = [
            (Builder::new("n", 4), BuildError::NoFiles),
            (two_files().single_file(1), BuildError::SingleAndMany),
            (Builder::new("", 4).single_file(1), BuildError::Name(String::new())),
            (Builder::new("n", 4).add_file(["a", ".."], 1), BuildError::Name("..".into())),
            (Builder::new("n", 4).add_file(["a/b"], 1), BuildError::Name("a/b".into())),
            (Builder::new("n", 4).add_file([""; 0], 1), BuildError::PathDepth(0)),
            (Builder::new("n", 4).add_file(["a"; 101], 1), BuildError::PathDepth(101)),
            (Builder::new("n", 4).single_file(1 << 63), BuildError::TotalTooLong),
            (two_files().add_file(["d"], u64::MAX), BuildError::TotalTooLong),
            (Builder::new("n", 0).single_file(1), BuildError::Geometry(GeometryError::PieceLength(0))),
            (many, BuildError::TooManyPieces(u32::MAX)),
        ];
        for (builder, error) in table {
            assert_eq!(builder.hasher().unwrap_err(), error);
        }
    }

    #[test]
    fn recommended_lengths_are_powers_of_two_within_bounds() {
        let table: [(u64, u32); 6] = [
            (0, 16 << 10),
            (2000 * (16 << 10), 16 << 10),
            (2000 * (16 << 10) + 1, 32 << 10),
            (1 << 30, 1 << 20),
            (1 << 40, 16 << 20),
            (u64::MAX, 16 << 20),
        ];
        for (total, length) in table {
            assert_eq!(recommended_piece_length(total), length, "{total}");
        }
    }

    #[test]
    fn the_most_files_that_are_allowed_load_again() {
        let names = (0..MAX_FILES).map(|number| number.to_string());
        let builder = names.fold(Builder::new("n", 16384), |builder, name| builder.add_file([name], 0));
        let torrent = builder.clone().finish_with_hashes(Vec::new()).unwrap();
        assert_eq!(Metainfo::from_bytes(&torrent.to_bytes()).unwrap().info().layout().files().len(), MAX_FILES);
        assert_eq!(builder.add_file(["x"], 0).geometry(), Err(BuildError::TooManyFiles(MAX_FILES + 1)));
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(
            data in prop::collection::vec(any::<u8>(), 0..200), piece_length in 1u32..40, portion in 1usize..50
        ) {
            let builder = Builder::new("f", piece_length).single_file(data.len() as u64);
            let mut hasher = builder.clone().hasher().unwrap();
            data.chunks(portion).for_each(|chunk| hasher.update(chunk));
            let hashes = data.chunks(piece_length as usize).map(sha1).collect();
            let expected = builder.finish_with_hashes(hashes).unwrap();
            prop_assert_eq!(hasher.finish().unwrap().to_bytes(), expected.to_bytes());
        }
    }
}
