//! Reads an info dictionary while its bytes still belong to somebody else.

use super::extras::Extras;
use super::layers::LayerRange;
use super::{Info, Version};
use crate::error::{ErrorKind, MetainfoError, Warning};
use crate::fields::{MAX_INFO_LEN, contents, decode_limits, length_of, optional_int, required_bytes};
use crate::file_list::{self, Listed};
use crate::file_tree;
use crate::layout::{Attributes, FileMeta, Layout, LayoutBuilder};
use crate::path::component;
use bytes::Bytes;
use std::ops::Range;
use unchoke_bencode::{Dict, List, Value, decode};
use unchoke_core::hash::{sha1, sha256};
use unchoke_core::merkle::LEAF_LEN;
use unchoke_core::{Geometry, InfoHashes, Sha1Hash};

/// All that is known of an info dictionary but its bytes. Ranges count from its start.
pub(crate) struct Draft {
    version: Version,
    hashes: InfoHashes,
    raw_name: Range<usize>,
    private: bool,
    multi_file: bool,
    pieces: Range<usize>,
    root_hash: Option<Sha1Hash>,
    pub(super) layers: Vec<LayerRange>,
    pub(super) geometry: Geometry,
    pub(super) layout: Layout,
    extras: Extras,
    warnings: Vec<Warning>,
}

/// The values that the two descriptions are read from.
struct Halves<'a, 't> {
    length: Option<Value<'a, 't>>,
    files: Option<Value<'a, 't>>,
    pieces: Option<Value<'a, 't>>,
    tree: Option<Value<'a, 't>>,
}

impl Draft {
    /// Refuses what is too long to be read.
    pub(crate) fn check_length(length: usize, at: usize) -> Result<(), MetainfoError> {
        if length > MAX_INFO_LEN { Err(MetainfoError::at(ErrorKind::InfoTooLong(length), at)) } else { Ok(()) }
    }

    /// Reads a decoded info dictionary.
    pub(crate) fn read(value: Value<'_, '_>, mut warnings: Vec<Warning>) -> Result<Self, MetainfoError> {
        let at = value.offset();
        let fail = |kind| MetainfoError::at(kind, at);
        Self::check_length(value.raw().len(), at)?;
        let dict = value.as_dict().ok_or_else(|| fail(ErrorKind::WrongType("info")))?;
        let mut halves = Halves {
            length: dict.get(b"length"),
            files: dict.get(b"files"),
            pieces: dict.get(b"pieces"),
            tree: dict.get(b"file tree"),
        };
        // The version comes first, so that a later one is not taken for a broken one (BEP 52).
        let version = match (optional_int(dict, "meta version")?, halves.tree) {
            (None | Some(1), None) => Version::V1,
            (None | Some(1), Some(tree)) => {
                return Err(MetainfoError::at(ErrorKind::TreeWithoutVersion, tree.offset()));
            }
            (Some(2), None) => return Err(fail(ErrorKind::Missing("file tree"))),
            (Some(2), Some(_)) if halves.length.is_some() || halves.files.is_some() => Version::Hybrid,
            (Some(2), Some(_)) => Version::V2,
            (Some(version), _) => return Err(fail(ErrorKind::UnsupportedVersion(version))),
        };
        if version == Version::V2 && halves.pieces.take().is_some() {
            warnings.push(Warning::Ignored("pieces"));
        }
        let root_hash = match (version, halves.pieces, dict.get(b"root hash")) {
            (Version::V1, None, Some(root)) => {
                let hash = root.as_bytes().and_then(Sha1Hash::from_slice);
                Some(hash.ok_or_else(|| MetainfoError::at(ErrorKind::WrongType("root hash"), root.offset()))?)
            }
            (Version::V1 | Version::Hybrid, None, _) => return Err(fail(ErrorKind::Missing("pieces"))),
            _ => None,
        };

        let name = match dict.get(b"name.utf-8").filter(|name| name.as_bytes().is_some()) {
            Some(name) => name,
            None => required_bytes(dict, "name", at)?,
        };
        let raw_name = name.as_bytes().unwrap_or_default();
        let piece_length = dict.get(b"piece length").ok_or_else(|| fail(ErrorKind::Missing("piece length")));
        // What the root of all paths was made of.
        let mut raw_root = raw_name;
        let (builder, multi_file, step) = match version {
            Version::V1 => {
                let (builder, multi_file) = read_v1(dict, &halves, raw_name, at)?;
                (builder, multi_file, piece_length?)
            }
            Version::V2 | Version::Hybrid => {
                let step = piece_length?;
                let length = piece_length_v2(step)?;
                let tree = halves.tree.ok_or_else(|| fail(ErrorKind::Missing("file tree")))?;
                if version == Version::V2 {
                    let (builder, only) = file_tree::read(component(raw_name), tree, at, length)?;
                    raw_root = only.unwrap_or(raw_root);
                    (builder, only.is_none(), step)
                } else {
                    let (mut builder, multi_file) = read_v1(dict, &halves, raw_name, at)?;
                    let files = halves.files.and_then(Value::as_list);
                    file_tree::join(&mut builder, tree, files, raw_name, at, length)?;
                    (builder, multi_file, step)
                }
            }
        };
        let (layout, repairs) = builder.finish();
        let geometry = match version {
            Version::V2 => {
                Geometry::aligned(layout.files().iter().map(|f| f.length()), length_of(step, "piece length")?)
            }
            _ => Geometry::new(layout.total_len(), length_of(step, "piece length")?),
        };
        let geometry = geometry.map_err(|error| MetainfoError::at(ErrorKind::Geometry(error), step.offset()))?;
        let pieces = halves.pieces.map_or(Ok(0..0), |pieces| piece_hashes(pieces, &geometry, at))?;

        if layout.root_name().as_bytes() != raw_root {
            warnings.push(Warning::NameReplaced { to: layout.root_name().to_owned() });
        }
        if repairs.renamed.count > 0 {
            warnings.push(Warning::PathsReplaced { first: repairs.renamed.first, count: repairs.renamed.count });
        }
        if repairs.links.count > 0 {
            warnings.push(Warning::LinksWithoutTarget { first: repairs.links.first, count: repairs.links.count });
        }
        if root_hash.is_some() {
            warnings.push(Warning::RootHash);
        }
        let raw = value.raw();
        Ok(Self {
            version,
            hashes: match version {
                Version::V1 => InfoHashes::v1(sha1(raw)),
                Version::V2 => InfoHashes::v2(sha256(raw)),
                Version::Hybrid => InfoHashes::hybrid(sha1(raw), sha256(raw)),
            },
            raw_name: contents(name, at),
            // Any other value than 1 does not ask for anything (BEP 27).
            private: dict.get(b"private").and_then(Value::as_int) == Some(1),
            multi_file,
            pieces,
            root_hash,
            layers: Vec::new(),
            geometry,
            layout,
            extras: Extras::read(dict, at, &mut warnings),
            warnings,
        })
    }

    /// Which description of its files the torrent has.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// What is odd about the torrent.
    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Makes it whole with the bytes that it was read from.
    pub(crate) fn finish(self, raw: Bytes) -> Info {
        self.finish_with_layers(raw, &Bytes::new())
    }

    /// Makes it whole with the bytes that it was read from, and with those that its layers lie in.
    pub(crate) fn finish_with_layers(self, raw: Bytes, around: &Bytes) -> Info {
        let slice =
            |range: Range<usize>, of: &Bytes| if range.end <= of.len() { of.slice(range) } else { Bytes::new() };
        let mut extras = self.extras;
        extras.attach(&raw);
        Info {
            version: self.version,
            hashes: self.hashes,
            raw_name: slice(self.raw_name, &raw),
            private: self.private,
            multi_file: self.multi_file,
            pieces: slice(self.pieces, &raw),
            root_hash: self.root_hash,
            layers: self.layers.into_iter().map(|layer| (layer.file, slice(layer.range(), around))).collect(),
            geometry: self.geometry,
            layout: self.layout,
            extras,
            warnings: self.warnings,
            raw,
        }
    }
}

fn read_v1<'a>(
    dict: Dict<'a, '_>,
    halves: &Halves<'a, '_>,
    raw_name: &[u8],
    at: usize,
) -> Result<(LayoutBuilder<'a>, bool), MetainfoError> {
    let root = component(raw_name);
    match (halves.length, halves.files) {
        (Some(length), None) => {
            let attributes = dict.get(b"attr").and_then(Value::as_bytes).map(Attributes::read).unwrap_or_default();
            // One file that is padding or a link would be nothing.
            let kept = [Attributes::EXECUTABLE, Attributes::HIDDEN].into_iter().filter(|kind| attributes.has(*kind));
            let attributes = kept.fold(Attributes::default(), Attributes::and);
            let mut builder = LayoutBuilder::new(root, 1, 0);
            builder.push(&[], FileMeta { length: length_of(length, "length")?, attributes, root_at: None });
            Ok((builder, false))
        }
        (None, Some(files)) => Ok((file_list::read(root, files)?, true)),
        _ => Err(MetainfoError::at(ErrorKind::LengthOrFiles, at)),
    }
}

fn piece_length_v2(value: Value<'_, '_>) -> Result<u64, MetainfoError> {
    let length = length_of(value, "piece length")?;
    let geometry = Geometry::new(0, length);
    geometry.map_err(|error| MetainfoError::at(ErrorKind::Geometry(error), value.offset()))?;
    let fits = u32::try_from(length).unwrap_or(u32::MAX);
    if fits < LEAF_LEN || !fits.is_power_of_two() {
        return Err(MetainfoError::at(ErrorKind::PieceLengthV2(fits), value.offset()));
    }
    Ok(length)
}

fn piece_hashes(value: Value<'_, '_>, geometry: &Geometry, base: usize) -> Result<Range<usize>, MetainfoError> {
    let fail = |kind| MetainfoError::at(kind, value.offset());
    let found = value.as_bytes().ok_or_else(|| fail(ErrorKind::WrongType("pieces")))?.len();
    let expected = u64::from(geometry.piece_count()).saturating_mul(20);
    if u64::try_from(found) != Ok(expected) {
        return Err(fail(ErrorKind::PiecesLength { expected, found }));
    }
    Ok(contents(value, base))
}

/// See [`Info::for_each_raw_path`].
pub(super) fn raw_paths(info: &Info, mut visit: impl FnMut(usize, &[&[u8]])) {
    let Ok(document) = decode(&info.raw, &decode_limits()) else { return };
    let Some(dict) = document.root().as_dict() else { return };
    if info.version == Version::V2 {
        let tree = dict.get(b"file tree");
        let mut number = 0_usize;
        let walked = tree.map(|tree| {
            file_tree::paths(tree, |path| {
                visit(number, path);
                number = number.saturating_add(1);
            })
        });
        // It was read before, so it can be read again.
        return walked.and_then(Result::ok).unwrap_or_default();
    }
    if !info.multi_file {
        return visit(0, &[&info.raw_name]);
    }
    let mut path = Vec::new();
    for (number, entry) in dict.get(b"files").and_then(Value::as_list).into_iter().flat_map(List::iter).enumerate() {
        if Listed::read(entry, &mut path).is_ok() {
            visit(number, &path);
        }
    }
}
