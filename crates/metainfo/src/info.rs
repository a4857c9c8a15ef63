//! The info dictionary ([BEP 3], [BEP 52], attributes of [BEP 47]), whose exact bytes name the torrent.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 47]: https://www.bittorrent.org/beps/bep_0047.html
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

mod draft;
mod extras;
mod layers;

pub(crate) use draft::Draft;
pub use layers::LayerError;

use crate::error::{MetainfoError, Warning};
use crate::layout::Layout;
use bytes::Bytes;
use extras::Extras;
use unchoke_bencode::decode;
use unchoke_core::merkle::LEAF_LEN;
use unchoke_core::{Geometry, InfoHash, InfoHashes, PieceHash, PieceIndex, PieceRoot, Sha1Hash, Sha256Hash};

pub use crate::fields::{MAX_FILES, MAX_INFO_LEN, MAX_PATH_DEPTH, MAX_TORRENT_LEN};

/// Which description of its files a torrent has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "BEP 52 closes the set: a later version is an incompatible one")]
pub enum Version {
    /// A list of files and the SHA-1 of each piece (BEP 3).
    V1,
    /// A tree of files with a merkle tree each (BEP 52).
    V2,
    /// Both, of the same files (BEP 52, "Upgrade Path").
    Hybrid,
}

/// A checked info dictionary: all that is needed to download, verify and store a torrent.
///
/// The piece hashes of long files of a v2 torrent are not in it, but in the torrent file around it; without that they come from peers, see
/// [`add_piece_layer`](Self::add_piece_layer).
#[derive(Clone, Debug)]
pub struct Info {
    raw: Bytes,
    version: Version,
    hashes: InfoHashes,
    raw_name: Bytes,
    private: bool,
    multi_file: bool,
    /// The v1 hashes of all pieces; nothing if there are none.
    pieces: Bytes,
    root_hash: Option<Sha1Hash>,
    /// By the number of the file, for those that are longer than a piece and whose layer is known.
    layers: Vec<(u32, Bytes)>,
    geometry: Geometry,
    layout: Layout,
    extras: Extras,
    warnings: Vec<Warning>,
}

impl Info {
    /// Reads an info dictionary, such as peers send it (BEP 9), and keeps its bytes.
    ///
    /// # Errors
    /// [`MetainfoError`] tells the kind and the byte offset. Time and memory are proportional to the input, of which
    /// [`MAX_INFO_LEN`] bytes are accepted at most.
    pub fn from_bytes(raw: impl Into<Bytes>) -> Result<Self, MetainfoError> {
        let raw = raw.into();
        Draft::check_length(raw.len(), 0)?;
        let document = decode(&raw, &crate::fields::decode_limits())?;
        // The hash is one of all bytes, so all of them have to be the dictionary.
        let trailing = document.faults().iter().find(|fault| fault.kind() == unchoke_bencode::ErrorKind::TrailingBytes);
        if let Some(trailing) = trailing {
            return Err(trailing.into());
        }
        let mut warnings = Vec::new();
        if !document.is_canonical() {
            warnings.push(Warning::NotCanonical);
        }
        let draft = Draft::read(document.root(), warnings)?;
        drop(document);
        Ok(draft.finish(raw))
    }

    /// The exact bytes of the dictionary.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Which description of its files the torrent has.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The names of the torrent: hashes of [`raw`](Self::raw).
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// The name of the torrent, made safe to be a file name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.layout.root_name()
    }

    /// The name of the torrent as its maker wrote it, which may be no UTF-8 and no safe file name.
    #[must_use]
    pub fn raw_name(&self) -> &Bytes {
        &self.raw_name
    }

    /// Whether peers may come from the trackers only (BEP 27).
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Whether the torrent is a directory of files rather than one file.
    #[must_use]
    pub fn is_multi_file(&self) -> bool {
        self.multi_file
    }

    /// What a piece must hash to, or `None` if there is no such piece or its hash is not known.
    ///
    /// The hash is not known of torrents with a [`root_hash`](Self::root_hash), and of v2 files whose layer is [missing](Self::missing_layers).
    /// A hybrid's piece has one hash then instead of two.
    #[must_use]
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<PieceHash> {
        let v1 = self.piece_sha1(piece);
        match (v1, self.piece_root(piece)) {
            (Some(v1), Some(v2)) => Some(PieceHash::Hybrid(v1, v2)),
            (Some(v1), None) => Some(PieceHash::V1(v1)),
            (None, Some(v2)) if self.version == Version::V2 => Some(PieceHash::V2(v2)),
            (None, _) => None,
        }
    }

    fn piece_sha1(&self, piece: PieceIndex) -> Option<Sha1Hash> {
        let start = usize::try_from(piece.0).ok()?.checked_mul(Sha1Hash::LEN)?;
        Sha1Hash::from_slice(self.pieces.get(start..start.checked_add(Sha1Hash::LEN)?)?)
    }

    /// The root over the blocks of a piece (BEP 52), if the torrent has a v2 description and the layer of the file is known.
    #[must_use]
    pub fn piece_root(&self, piece: PieceIndex) -> Option<PieceRoot> {
        if self.version == Version::V1 {
            return None;
        }
        let offset = self.geometry.piece_offset(piece)?;
        let number = self.layout.file_at(offset)?;
        let file = self.layout.files().get(number)?;
        let within = offset.checked_sub(file.offset())?;
        let left = file.length().checked_sub(within)?;
        let piece_length = self.geometry.piece_length();
        let length = u32::try_from(left).unwrap_or(piece_length).min(piece_length);
        if file.length() <= u64::from(piece_length) {
            let leaves = length.div_ceil(LEAF_LEN).next_power_of_two();
            return Some(PieceRoot { root: self.pieces_root(number)?, length, leaves });
        }
        let start = usize::try_from(within.checked_div(piece_length.into())?).ok()?.checked_mul(Sha256Hash::LEN)?;
        let hash = self.piece_layer(number)?.get(start..start.checked_add(Sha256Hash::LEN)?)?;
        let leaves = piece_length.checked_div(LEAF_LEN)?;
        Some(PieceRoot { root: Sha256Hash::from_slice(hash)?, length, leaves })
    }

    /// The root of the merkle tree over a file (BEP 52), by the number of the file. Files without bytes, padding and v1 torrents have none.
    #[must_use]
    pub fn pieces_root(&self, file: usize) -> Option<Sha256Hash> {
        let start = self.layout.root_at(file)?;
        Sha256Hash::from_slice(self.raw.get(start..start.checked_add(Sha256Hash::LEN)?)?)
    }

    /// The roots of all pieces of a file, 32 bytes each, if they are known. Files that fit into one piece need none.
    #[must_use]
    pub fn piece_layer(&self, file: usize) -> Option<&Bytes> {
        let at = self.layers.binary_search_by_key(&file, |(file, _)| *file as usize).ok()?;
        self.layers.get(at).map(|(_, layer)| layer)
    }

    /// The one hash of a torrent that has no hashes of pieces ([BEP 30]). Its pieces cannot be verified by what is here.
    ///
    /// [BEP 30]: https://www.bittorrent.org/beps/bep_0030.html
    #[must_use]
    pub fn root_hash(&self) -> Option<Sha1Hash> {
        self.root_hash
    }

    /// How the bytes are cut into pieces.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How the bytes are laid out in files.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Torrents that may share files with this one ([BEP 38]).
    ///
    /// [BEP 38]: https://www.bittorrent.org/beps/bep_0038.html
    #[must_use]
    pub fn similar(&self) -> &[InfoHash] {
        &self.extras.similar
    }

    /// Collections that the torrent belongs to (BEP 38).
    #[must_use]
    pub fn collections(&self) -> &[String] {
        &self.extras.collections
    }

    /// Where to ask for a newer version of this torrent ([BEP 39]).
    ///
    /// [BEP 39]: https://www.bittorrent.org/beps/bep_0039.html
    #[must_use]
    pub fn update_url(&self) -> Option<&str> {
        self.extras.update_url.as_deref()
    }

    /// The X.509 certificate, in DER, of who may sign newer versions (BEP 39). It is not looked into.
    #[must_use]
    pub fn originator(&self) -> Option<&Bytes> {
        self.extras.originator.as_ref()
    }

    /// What is odd about the torrent.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Calls `visit` with the number of each file and the components of its path as the torrent's maker wrote them, which are not fit to open files.
    ///
    /// They are read off the dictionary again. The one file of a torrent that is no directory has its raw name for a path.
    pub fn for_each_raw_path(&self, visit: impl FnMut(usize, &[&[u8]])) {
        draft::raw_paths(self, visit);
    }
}

/// Two are equal when their bytes are.
impl PartialEq for Info {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Info {}
