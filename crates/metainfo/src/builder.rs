//! Makes torrents from names, lengths and bytes that the caller brings.

mod error;
mod hasher;
mod plan;
mod write;

pub use error::BuildError;
pub use hasher::PieceHasher;

use crate::info::Version;
use crate::layout::Layout;
use crate::merkle::FileHashes;
use crate::metainfo::Metainfo;
use crate::parts::{Node, Parts};
use std::collections::BTreeMap;
use unchoke_bencode::OwnedValue;
use unchoke_core::{Geometry, InfoHash, Sha1Hash};

/// What a new torrent is to hold.
///
/// The files are hashed with a [`PieceHasher`], or by the caller, who can hash pieces side by side.
///
/// ```
/// use unchoke_metainfo::{Builder, Version};
///
/// let mut hasher = Builder::new("greetings", 16 * 1024)
///     .version(Version::Hybrid)
///     .add_file(["de", "hallo.txt"], 5)
///     .add_file(["en", "hello.txt"], 5)
///     .tracker("udp://tracker.example:6969")
///     .hasher()?;
/// hasher.update(b"hallo");
/// hasher.update(b"hello");
/// let torrent = hasher.finish()?;
/// assert_eq!(torrent.info().layout().files().iter().filter(|file| !file.is_padding()).count(), 2);
/// # Ok::<(), unchoke_metainfo::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    version: Version,
    name: String,
    piece_length: u32,
    single: Option<NewFile>,
    files: Vec<NewFile>,
    private: bool,
    extras: BTreeMap<Vec<u8>, OwnedValue>,
    parts: Parts,
}

/// A file that a torrent is to hold, with its attributes ([BEP 47]).
///
/// [BEP 47]: https://www.bittorrent.org/beps/bep_0047.html
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewFile {
    path: Vec<String>,
    length: u64,
    executable: bool,
    hidden: bool,
    target: Option<Vec<String>>,
}

impl NewFile {
    /// A file of `length` bytes; the path starts below the torrent's name.
    #[must_use]
    pub fn new(path: impl IntoIterator<Item = impl Into<String>>, length: u64) -> Self {
        let path = path.into_iter().map(Into::into).collect();
        Self { path, length, executable: false, hidden: false, target: None }
    }

    /// A symbolic link to another file or directory of the torrent; both paths start below the torrent's name.
    #[must_use]
    pub fn symlink(
        path: impl IntoIterator<Item = impl Into<String>>,
        target: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self { target: Some(target.into_iter().map(Into::into).collect()), ..Self::new(path, 0) }
    }

    /// Marks it to be executable.
    #[must_use]
    pub fn executable(mut self) -> Self {
        self.executable = true;
        self
    }

    /// Marks it to be hidden.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The letters of `attr`.
    fn letters(&self) -> String {
        let letters = [(self.hidden, 'h'), (self.target.is_some(), 'l'), (self.executable, 'x')];
        letters.into_iter().filter_map(|(is, letter)| is.then_some(letter)).collect()
    }
}

/// What the caller has hashed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Hashes {
    /// The SHA-1 of each piece, padding included, for v1 and hybrid torrents.
    pub pieces: Vec<Sha1Hash>,
    /// The hashes of each file that was added, for v2 and hybrid torrents.
    pub files: Vec<FileHashes>,
}

impl From<Vec<Sha1Hash>> for Hashes {
    fn from(pieces: Vec<Sha1Hash>) -> Self {
        Self { pieces, files: Vec::new() }
    }
}

impl Builder {
    /// Begins a v1 torrent whose pieces have `piece_length` bytes; see [`recommended_piece_length`].
    ///
    /// The name is that of the file, or of the directory that holds all files.
    #[must_use]
    pub fn new(name: impl Into<String>, piece_length: u32) -> Self {
        Self {
            version: Version::V1,
            name: name.into(),
            piece_length,
            single: None,
            files: Vec::new(),
            private: false,
            extras: BTreeMap::new(),
            parts: Parts::default(),
        }
    }

    /// Sets which description of the files the torrent has.
    ///
    /// Files of v2 and hybrid torrents come in the order of their paths, see [`sort_files`](Self::sort_files), and pieces have a power of two of
    /// bytes, at least 16 KiB. In a hybrid, files are set apart by padding (BEP 47), which is no concern of the caller.
    ///
    /// A v2 torrent has no place for the name of a directory that holds just one file and nothing else: it is a torrent of that file.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Makes it a torrent of one file that has the name of the torrent, of `length` bytes.
    #[must_use]
    pub fn single_file(mut self, length: u64) -> Self {
        self.single = Some(NewFile::new([""; 0], length));
        self
    }

    /// Adds a file of `length` bytes to a torrent that is a directory; the path starts below the torrent's name.
    #[must_use]
    pub fn add_file(self, path: impl IntoIterator<Item = impl Into<String>>, length: u64) -> Self {
        self.file(NewFile::new(path, length))
    }

    /// Adds a file with attributes, or a link, to a torrent that is a directory.
    #[must_use]
    pub fn file(mut self, file: NewFile) -> Self {
        self.files.push(file);
        self
    }

    /// Brings the files added so far into the order of v2 torrents: by the bytes of their paths, component by component.
    #[must_use]
    pub fn sort_files(mut self) -> Self {
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        self
    }

    /// Lets peers come from the trackers only (BEP 27). It counts for the info-hash.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Names where the torrent comes from, so that the same files have another info-hash for each tracker that wants its own.
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Self {
        self.info_entry("source", OwnedValue::Bytes(source.into().into_bytes()))
    }

    /// Names torrents that may share files with this one (BEP 38). It counts for the info-hash.
    #[must_use]
    pub fn similar(self, torrents: impl IntoIterator<Item = InfoHash>) -> Self {
        let hashes = torrents.into_iter().map(|hash| OwnedValue::Bytes(hash.as_bytes().to_vec()));
        self.info_entry("similar", OwnedValue::List(hashes.collect()))
    }

    /// Names collections that the torrent belongs to (BEP 38). It counts for the info-hash.
    #[must_use]
    pub fn collections(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(|name| OwnedValue::Bytes(name.into().into_bytes()));
        self.info_entry("collections", OwnedValue::List(names.collect()))
    }

    /// Says where to ask for a newer version (BEP 39). It counts for the info-hash.
    #[must_use]
    pub fn update_url(self, address: impl Into<String>) -> Self {
        self.info_entry("update-url", OwnedValue::Bytes(address.into().into_bytes()))
    }

    /// Says who may sign newer versions: an X.509 certificate in DER (BEP 39). It counts for the info-hash.
    #[must_use]
    pub fn originator(self, certificate: impl Into<Vec<u8>>) -> Self {
        self.info_entry("originator", OwnedValue::Bytes(certificate.into()))
    }

    /// Adds an entry of any kind to the info dictionary. Entries that the builder writes itself go before.
    #[must_use]
    pub fn info_entry(mut self, key: impl Into<Vec<u8>>, value: OwnedValue) -> Self {
        self.extras.insert(key.into(), value);
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

    /// Adds the address of a web seed that serves whole files (BEP 19).
    #[must_use]
    pub fn web_seed(mut self, address: impl Into<String>) -> Self {
        self.parts.web_seeds.push(address.into());
        self
    }

    /// Adds the address of a web seed that serves pieces (BEP 17).
    #[must_use]
    pub fn http_seed(mut self, address: impl Into<String>) -> Self {
        self.parts.http_seeds.push(address.into());
        self
    }

    /// Adds a node to join the DHT by (BEP 5).
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.parts.nodes.push(node);
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
        plan::geometry(self)
    }

    /// How the bytes will be laid out in files, padding included. Files that are no padding come in the order in which they were added.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry).
    pub fn layout(&self) -> Result<Layout, BuildError> {
        plan::geometry(self)?;
        Ok(plan::layout(self))
    }

    /// The version of the torrent, as [`version`](Self::version) has set it.
    #[must_use]
    pub fn torrent_version(&self) -> Version {
        self.version
    }

    /// Begins hashing.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry).
    pub fn hasher(self) -> Result<PieceHasher, BuildError> {
        PieceHasher::new(self)
    }

    /// Makes the torrent from hashes that the caller has computed.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry), or if there is not one hash for every piece, or for every file.
    pub fn finish_with_hashes(self, hashes: impl Into<Hashes>) -> Result<Metainfo, BuildError> {
        write::finish(self, &hashes.into())
    }
}

/// A power of two from 16 KiB to 16 MiB that cuts `total` bytes into 1000 to 2000 pieces if any of these does.
#[must_use]
pub fn recommended_piece_length(total: u64) -> u32 {
    let wanted = total.div_ceil(2000).clamp(MIN_RECOMMENDED, MAX_RECOMMENDED).next_power_of_two();
    u32::try_from(wanted).unwrap_or(u32::MAX)
}

const MIN_RECOMMENDED: u64 = 16 << 10;
const MAX_RECOMMENDED: u64 = 16 << 20;

#[cfg(test)]
mod tests;
