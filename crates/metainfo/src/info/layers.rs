//! Piece layers ([BEP 52]): the hashes of the pieces of long files, which stand outside of the info dictionary.
//!
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

use super::draft::Draft;
use super::{Info, Version};
use crate::error::{ErrorKind, MetainfoError};
use crate::fields::contents;
use crate::layout::Layout;
use bytes::Bytes;
use std::ops::Range;
use unchoke_bencode::Value;
use unchoke_core::merkle::{self, LEAF_LEN};
use unchoke_core::{Geometry, Sha256Hash};

/// Where the layer of one file is, in bytes from the start of `piece layers`.
pub(super) struct LayerRange {
    pub(super) file: u32,
    start: u32,
    len: u32,
}

impl LayerRange {
    pub(super) fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start.saturating_add(self.len as usize)
    }
}

/// Why a piece layer is not that of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// There is no such file, or it fits into one piece and has no layer.
    #[error("file {0} has no piece layer")]
    NoLayer(usize),
    /// There is not one hash for each piece of the file.
    #[error("piece layer of {found} bytes, expected {expected}")]
    Length {
        /// The number of bytes that the length of the file asks for.
        expected: u64,
        /// The number of bytes found.
        found: usize,
    },
    /// The hashes do not lead to the pieces root of the file.
    #[error("piece layer does not lead to its root")]
    Hash,
}

impl Draft {
    /// Reads `piece layers` of a torrent file, in which every file that is longer than a piece must have its own. `raw` is the info dictionary, `at`
    /// where the torrent begins.
    pub(crate) fn read_layers(
        &mut self,
        layers: Option<Value<'_, '_>>,
        raw: &[u8],
        at: usize,
    ) -> Result<(), MetainfoError> {
        // The pieces root of each file that needs a layer; the files that share one stand side by side.
        let mut wanted: Vec<(&[u8], u32)> = wanted(&self.layout, &self.geometry)
            .filter_map(|file| {
                let root_at = self.layout.root_at(file)?;
                Some((raw.get(root_at..root_at.checked_add(Sha256Hash::LEN)?)?, u32::try_from(file).ok()?))
            })
            .collect();
        wanted.sort_unstable();
        let base = layers.map_or(0, Value::offset);
        let dict = match layers.map(|value| (value.as_dict(), value)) {
            Some((None, value)) => return Err(MetainfoError::at(ErrorKind::WrongType("piece layers"), value.offset())),
            Some((dict, _)) => dict,
            None => None,
        };
        let mut found: Vec<LayerRange> = Vec::with_capacity(wanted.len());
        let mut seen = vec![false; wanted.len()];
        for (root, value) in dict.into_iter().flatten() {
            let fail = |kind| MetainfoError::at(kind, value.offset());
            let layer = value.as_bytes().ok_or_else(|| fail(ErrorKind::WrongType("piece layers")))?;
            let first = wanted.partition_point(|(wanted, _)| *wanted < root);
            let sharing = || wanted.iter().skip(first).take_while(|(wanted, _)| *wanted == root).map(|(_, file)| *file);
            let hash = Sha256Hash::from_slice(root).ok_or_else(|| fail(ErrorKind::UnknownLayer))?;
            match seen.get_mut(first) {
                Some(seen) if sharing().next().is_some() => {
                    if std::mem::replace(seen, true) {
                        continue;
                    }
                }
                _ => return Err(fail(ErrorKind::UnknownLayer)),
            }
            for (number, file) in sharing().enumerate() {
                let length = self.layout.files().get(file as usize).map_or(0, |file| file.length());
                let checked = check_length(layer, length, &self.geometry);
                // All that share a root share its layer, which is hashed once.
                let checked = checked
                    .and_then(|()| if number == 0 { check_root(layer, &hash, length, &self.geometry) } else { Ok(()) });
                checked.map_err(|error| fail(error.into()))?;
                let range = contents(value, base);
                let start = u32::try_from(range.start).unwrap_or(u32::MAX);
                found.push(LayerRange { file, start, len: u32::try_from(range.len()).unwrap_or(u32::MAX) });
            }
        }
        found.sort_unstable_by_key(|layer| layer.file);
        if found.len() != wanted.len() {
            let has = |file: usize| found.binary_search_by_key(&file, |layer| layer.file as usize).is_ok();
            let missing = self::wanted(&self.layout, &self.geometry).find(|file| !has(*file)).unwrap_or_default();
            let at = layers.map_or(at, Value::offset);
            return Err(MetainfoError::at(ErrorKind::MissingLayer(missing), at));
        }
        self.layers = found;
        Ok(())
    }
}

impl Info {
    /// The files whose piece layer is needed and not known, so that their v2 pieces cannot be verified. There are none if the info dictionary came
    /// with its torrent file.
    pub fn missing_layers(&self) -> impl Iterator<Item = usize> + '_ {
        let v2 = self.version != Version::V1;
        wanted(&self.layout, &self.geometry).filter(move |file| v2 && self.piece_layer(*file).is_none())
    }

    /// Takes the piece layer of a file, 32 bytes for each of its pieces, such as peers send it (BEP 52).
    ///
    /// # Errors
    /// If the file needs none, or this is not the right one.
    pub fn add_piece_layer(&mut self, file: usize, layer: Bytes) -> Result<(), LayerError> {
        let root = self.pieces_root(file).ok_or(LayerError::NoLayer(file))?;
        let length = self.layout.files().get(file).map_or(0, |file| file.length());
        if length <= u64::from(self.geometry.piece_length()) {
            return Err(LayerError::NoLayer(file));
        }
        check_length(&layer, length, &self.geometry)?;
        check_root(&layer, &root, length, &self.geometry)?;
        let number = u32::try_from(file).map_err(|_| LayerError::NoLayer(file))?;
        if let Err(at) = self.layers.binary_search_by_key(&number, |(file, _)| *file) {
            self.layers.insert(at, (number, layer));
        }
        Ok(())
    }
}

/// The files that are longer than a piece.
fn wanted<'a>(layout: &'a Layout, geometry: &Geometry) -> impl Iterator<Item = usize> + use<'a> {
    let piece_length = u64::from(geometry.piece_length());
    layout.files().into_iter().filter(move |f| f.length() > piece_length && !f.is_padding()).map(|f| f.number())
}

fn check_length(layer: &[u8], length: u64, geometry: &Geometry) -> Result<(), LayerError> {
    let expected = length.div_ceil(geometry.piece_length().into()).saturating_mul(32);
    if u64::try_from(layer.len()) == Ok(expected) {
        return Ok(());
    }
    Err(LayerError::Length { expected, found: layer.len() })
}

fn check_root(layer: &[u8], root: &Sha256Hash, length: u64, geometry: &Geometry) -> Result<(), LayerError> {
    let base = merkle::height(u64::from(geometry.piece_length().div_ceil(LEAF_LEN)));
    let height = merkle::height(length.div_ceil(LEAF_LEN.into()));
    let nodes = layer.chunks_exact(Sha256Hash::LEN).filter_map(Sha256Hash::from_slice);
    if merkle::root(nodes, base, height.saturating_sub(base)) == *root { Ok(()) } else { Err(LayerError::Hash) }
}

impl From<LayerError> for ErrorKind {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::NoLayer(_) => Self::UnknownLayer,
            LayerError::Length { expected, found } => Self::LayerLength { expected, found },
            LayerError::Hash => Self::LayerHash,
        }
    }
}
