//! The info dictionary ([BEP 3], attributes of [BEP 47]), whose exact bytes name the torrent.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 47]: https://www.bittorrent.org/beps/bep_0047.html

use crate::error::{ErrorKind, MetainfoError, Warning};
use crate::layout::{Attributes, FileEntry, Layout};
use crate::path::{NameTree, component};
use bytes::Bytes;
use std::sync::Arc;
use unchoke_bencode::{DecodeLimits, Dict, Value, decode};
use unchoke_core::hash::{sha1, sha256};
use unchoke_core::{Geometry, InfoHashes, PieceHash, PieceIndex, Sha1Hash};

/// A checked info dictionary: all that is needed to download, verify and store a torrent.
#[derive(Clone, Debug)]
pub struct Info {
    raw: Bytes,
    hashes: InfoHashes,
    raw_name: Bytes,
    private: bool,
    multi_file: bool,
    pieces: Bytes,
    geometry: Geometry,
    layout: Layout,
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
        if raw.len() > MAX_INFO_LEN {
            return Err(MetainfoError::at(ErrorKind::InfoTooLong(raw.len()), 0));
        }
        let document = decode(&raw, &decode_limits())?;
        let mut warnings = Vec::new();
        if !document.is_canonical() {
            warnings.push(Warning::NotCanonical);
        }
        Self::from_value(document.root(), raw.clone(), warnings)
    }

    /// Reads a decoded info dictionary, of which `raw` are the bytes.
    pub(crate) fn from_value(
        value: Value<'_, '_>,
        raw: Bytes,
        mut warnings: Vec<Warning>,
    ) -> Result<Self, MetainfoError> {
        let at = value.offset();
        let fail = |kind| MetainfoError::at(kind, at);
        if raw.len() > MAX_INFO_LEN {
            return Err(fail(ErrorKind::InfoTooLong(raw.len())));
        }
        let dict = value.as_dict().ok_or_else(|| fail(ErrorKind::WrongType("info")))?;

        let version = optional_int(dict, "meta version")?.unwrap_or(1);
        let pieces = match (version, dict.get(b"pieces")) {
            (1, None) => return Err(fail(ErrorKind::Missing("pieces"))),
            (1 | 2, Some(pieces)) => pieces,
            _ => return Err(fail(ErrorKind::UnsupportedVersion(version))),
        };
        let hashes = if version == 2 {
            warnings.push(Warning::HybridAsV1);
            InfoHashes::hybrid(sha1(&raw), sha256(&raw))
        } else {
            InfoHashes::v1(sha1(&raw))
        };

        let raw_name = match dict.get(b"name.utf-8").and_then(Value::as_str) {
            Some(name) => name.as_bytes(),
            None => required_bytes(dict, "name", at)?,
        };
        let name: Arc<str> = component(raw_name).into();
        if name.as_bytes() != raw_name {
            warnings.push(Warning::NameReplaced { to: name.to_string() });
        }

        let (layout, multi_file) = match (dict.get(b"length"), dict.get(b"files")) {
            (Some(length), None) => {
                let length = file_length(length)?;
                let attributes = dict.get(b"attr").map(attributes).unwrap_or_default();
                let path = Box::new([name.clone()]);
                (Layout::new(name, vec![FileEntry { path, length, offset: 0, attributes }], length), false)
            }
            (None, Some(files)) => (read_files(name, files, &mut warnings)?, true),
            _ => return Err(fail(ErrorKind::LengthOrFiles)),
        };

        let piece_length = dict.get(b"piece length").ok_or_else(|| fail(ErrorKind::Missing("piece length")))?;
        let geometry = Geometry::new(layout.total_len(), length_of(piece_length, "piece length")?)
            .map_err(|error| MetainfoError::at(ErrorKind::Geometry(error), piece_length.offset()))?;
        let found =
            pieces.as_bytes().ok_or_else(|| MetainfoError::at(ErrorKind::WrongType("pieces"), pieces.offset()))?;
        let expected = u64::from(geometry.piece_count()).saturating_mul(20);
        if u64::try_from(found.len()) != Ok(expected) {
            let kind = ErrorKind::PiecesLength { expected, found: found.len() };
            return Err(MetainfoError::at(kind, pieces.offset()));
        }
        let end = pieces.offset().saturating_add(pieces.raw().len()).saturating_sub(at);
        let pieces = raw.slice(end.saturating_sub(found.len())..end);

        Ok(Self {
            hashes,
            raw_name: Bytes::copy_from_slice(raw_name),
            // Any other value than 1 does not ask for anything (BEP 27).
            private: dict.get(b"private").and_then(Value::as_int) == Some(1),
            multi_file,
            pieces,
            geometry,
            layout,
            warnings,
            raw,
        })
    }

    /// The exact bytes of the dictionary.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
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

    /// What a piece must hash to, or `None` if there is no such piece.
    #[must_use]
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<PieceHash> {
        let start = usize::try_from(piece.0).ok()?.checked_mul(Sha1Hash::LEN)?;
        let hash = self.pieces.get(start..start.checked_add(Sha1Hash::LEN)?)?;
        Sha1Hash::from_slice(hash).map(PieceHash::V1)
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

    /// What is odd about the torrent.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Two are equal when their bytes are.
impl PartialEq for Info {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Info {}

fn read_files(root: Arc<str>, value: Value<'_, '_>, warnings: &mut Vec<Warning>) -> Result<Layout, MetainfoError> {
    let fail = |kind, value: Value<'_, '_>| MetainfoError::at(kind, value.offset());
    let list = value.as_list().ok_or_else(|| fail(ErrorKind::WrongType("files"), value))?;
    if list.is_empty() {
        return Err(fail(ErrorKind::NoFiles, value));
    }
    if list.len() > MAX_FILES {
        return Err(fail(ErrorKind::TooManyFiles(list.len()), value));
    }
    let mut tree = NameTree::new();
    let (root_dir, root) = tree.dir(NameTree::ROOT, &root);
    let mut files = Vec::with_capacity(list.len());
    let mut total = 0u64;
    for (number, entry) in list.iter().enumerate() {
        let dict = entry.as_dict().ok_or_else(|| fail(ErrorKind::WrongType("files"), entry))?;
        let is_link = dict.get(b"attr").and_then(Value::as_bytes).is_some_and(|attr| attr.contains(&b'l'));
        let length = match dict.get(b"length") {
            Some(length) => file_length(length)?,
            None if is_link => 0,
            None => return Err(fail(ErrorKind::Missing("length"), entry)),
        };
        if is_link {
            warnings.push(Warning::Symlink(number));
        }
        let attributes = dict.get(b"attr").map(attributes).unwrap_or_default();
        let raw_path = raw_path(dict, entry.offset())?;

        let mut path = Vec::with_capacity(raw_path.len().saturating_add(1));
        path.push(root.clone());
        let mut names: Vec<String> = raw_path.iter().map(|bytes| component(bytes)).collect();
        if attributes.padding {
            // Padding is never written, so it needs no name of its own; many torrents give it none.
            path.extend(names.into_iter().map(Arc::from));
        } else {
            let last = names.pop().unwrap_or_default();
            let mut parent = root_dir;
            for name in names {
                let (dir, name) = tree.dir(parent, &name);
                parent = dir;
                path.push(name);
            }
            path.push(tree.file(parent, last).into());
            if !path.iter().skip(1).map(|name| name.as_bytes()).eq(raw_path.iter().copied()) {
                let to = path.iter().skip(1).map(|name| &**name).collect::<Vec<_>>().join("/");
                warnings.push(Warning::PathReplaced { file: number, to });
            }
        }
        files.push(FileEntry { path: path.into(), length, offset: total, attributes });
        total = total
            .checked_add(length)
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(|| fail(ErrorKind::TotalTooLong, entry))?;
    }
    Ok(Layout::new(root, files, total))
}

/// The path in UTF-8 if there is one that is sound, else the other one.
fn raw_path<'a>(dict: Dict<'a, '_>, at: usize) -> Result<Vec<&'a [u8]>, MetainfoError> {
    if let Some(list) = dict.get(b"path.utf-8").and_then(Value::as_list)
        && (1..=MAX_PATH_DEPTH).contains(&list.len())
        && let Some(path) = list.iter().map(|item| item.as_str().map(str::as_bytes)).collect()
    {
        return Ok(path);
    }
    let value = dict.get(b"path").ok_or_else(|| MetainfoError::at(ErrorKind::Missing("path"), at))?;
    let wrong = || MetainfoError::at(ErrorKind::WrongType("path"), value.offset());
    let list = value.as_list().ok_or_else(wrong)?;
    if !(1..=MAX_PATH_DEPTH).contains(&list.len()) {
        return Err(MetainfoError::at(ErrorKind::PathDepth(list.len()), value.offset()));
    }
    list.iter().map(|item| item.as_bytes().ok_or_else(wrong)).collect()
}

fn attributes(value: Value<'_, '_>) -> Attributes {
    let attr = value.as_bytes().unwrap_or_default();
    Attributes { padding: attr.contains(&b'p'), executable: attr.contains(&b'x') }
}

fn file_length(value: Value<'_, '_>) -> Result<u64, MetainfoError> {
    length_of(value, "length")
}

fn length_of(value: Value<'_, '_>, key: &'static str) -> Result<u64, MetainfoError> {
    let number = value.as_int().ok_or_else(|| MetainfoError::at(ErrorKind::WrongType(key), value.offset()))?;
    u64::try_from(number).map_err(|_| MetainfoError::at(ErrorKind::NegativeLength(number), value.offset()))
}

fn optional_int(dict: Dict<'_, '_>, key: &'static str) -> Result<Option<i64>, MetainfoError> {
    let Some(value) = dict.get(key.as_bytes()) else { return Ok(None) };
    value.as_int().map(Some).ok_or_else(|| MetainfoError::at(ErrorKind::WrongType(key), value.offset()))
}

fn required_bytes<'a>(dict: Dict<'a, '_>, key: &'static str, at: usize) -> Result<&'a [u8], MetainfoError> {
    let value = dict.get(key.as_bytes()).ok_or_else(|| MetainfoError::at(ErrorKind::Missing(key), at))?;
    value.as_bytes().ok_or_else(|| MetainfoError::at(ErrorKind::WrongType(key), value.offset()))
}

/// What a decoder of torrents accepts: a file takes six values (its dictionary, two keys, a length, a path and a component)
/// and one for every further component, so the default is too low for [`MAX_FILES`].
pub(crate) fn decode_limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_tokens = MAX_FILES.saturating_mul(8);
    limits
}

/// The longest info dictionary that is accepted, in bytes.
pub const MAX_INFO_LEN: usize = 64 << 20;

/// The most files a torrent may have. With long paths and many attributes the limit on values is met before.
pub const MAX_FILES: usize = 1_000_000;

/// The most components a path may have.
pub const MAX_PATH_DEPTH: usize = 100;
