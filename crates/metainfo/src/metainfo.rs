//! The torrent file ([BEP 3]): an info dictionary and what surrounds it.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::error::{ErrorKind, MetainfoError, Warning};
use crate::fields::decode_limits;
use crate::info::{Draft, Info, Version};
use crate::parts::{Node, Parts};
use crate::signature::{self, Signature, SignatureVerdict, SignatureVerifier};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use unchoke_bencode::{Dict, Value, decode, encode};
use unchoke_core::{InfoHash, InfoHashes};

/// A torrent file.
#[derive(Clone, Debug)]
pub struct Metainfo {
    info: Arc<Info>,
    parts: Parts,
    /// A dictionary of every entry but `info` as it was read, so that what is unknown here is not lost on the way.
    around: Bytes,
    warnings: Vec<Warning>,
}

impl Metainfo {
    /// Reads a torrent file.
    ///
    /// Only the info dictionary and `piece layers` can make it fail. Other malformed fields are ignored with a [`Warning`].
    ///
    /// # Errors
    /// [`MetainfoError`] tells the kind and the byte offset. Time and memory are proportional to the input, of which
    /// [`MAX_TORRENT_LEN`](crate::info::MAX_TORRENT_LEN) bytes are accepted at most.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        let document = decode(bytes, &decode_limits())?;
        let dict = document.root().as_dict().ok_or_else(|| MetainfoError::at(ErrorKind::WrongType("torrent"), 0))?;
        let info = dict.get(b"info").ok_or_else(|| MetainfoError::at(ErrorKind::Missing("info"), 0))?;
        let mut warnings = Vec::new();
        if !document.is_canonical() {
            warnings.push(Warning::NotCanonical);
        }
        let mut draft = Draft::read(info, warnings)?;
        let raw = info.raw();
        if draft.version() != Version::V1 {
            draft.read_layers(dict.get(b"piece layers"), raw, document.root().offset())?;
        }
        let mut warnings = draft.warnings().to_vec();
        let parts = Parts::read(dict, &mut warnings);
        let (around, layers) = without_info(dict, bytes.len().saturating_sub(raw.len()));
        // The tape is as large as many a torrent: it goes before the info dictionary is copied.
        drop(document);
        let around = Bytes::from(around);
        let layers = around.slice(layers);
        let info = Arc::new(draft.finish_with_layers(Bytes::copy_from_slice(raw), &layers));
        Ok(Self { info, parts, around, warnings })
    }

    /// Makes a torrent file from an info dictionary, such as peers have sent it, and what shall surround it. The piece layers that `info` knows are
    /// part of it.
    #[must_use]
    pub fn new(info: Arc<Info>, parts: Parts) -> Self {
        let warnings = info.warnings().to_vec();
        let mut layers: Vec<_> = info
            .layout()
            .files()
            .iter()
            .filter_map(|file| Some((info.pieces_root(file.number())?, info.piece_layer(file.number())?)))
            .collect();
        layers.sort_unstable_by_key(|(root, _)| *root);
        layers.dedup_by_key(|(root, _)| *root);
        let around = if info.version() == Version::V1 {
            parts.to_dict()
        } else {
            encode(|v| {
                v.dict(|out| {
                    parts.write_changes(&Parts::default(), out);
                    out.entry("piece layers", |v| {
                        v.dict(|out| layers.iter().for_each(|(root, layer)| out.bytes(root.as_bytes(), layer)))
                    });
                })
            })
        };
        Self { around: around.into(), info, parts, warnings }
    }

    /// The same torrent with other surroundings. The info dictionary stays as it is byte by byte, and so do all entries that [`Parts`] does not name or
    /// that have not changed.
    #[must_use]
    pub fn with_parts(self, parts: Parts) -> Self {
        let around = self.entries(|dict| {
            encode(|v| {
                v.dict(|out| {
                    let kept = dict.iter().filter(|(key, _)| !parts.replaces(&self.parts, key));
                    sorted(kept, None).for_each(|(key, raw)| out.entry(key, |v| v.raw(raw)));
                    parts.write_changes(&self.parts, out);
                })
            })
        });
        Self { around: around.map(Bytes::from).unwrap_or_default(), parts, ..self }
    }

    /// The torrent file in canonical order, the info dictionary and every entry byte by byte as they were read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = self.entries(|dict| {
            encode(|v| {
                v.dict(|out| {
                    let info = Some((&b"info"[..], self.info.raw().as_ref()));
                    sorted(dict.iter(), info).for_each(|(key, raw)| out.entry(key, |v| v.raw(raw)));
                })
            })
        });
        written.unwrap_or_default()
    }

    /// The info dictionary.
    #[must_use]
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// The names of the torrent.
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.info.info_hashes()
    }

    /// Everything but the info dictionary.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Tracker addresses in tiers (BEP 12); a lone `announce` is a tier of its own.
    #[must_use]
    pub fn announce_tiers(&self) -> &[Vec<String>] {
        &self.parts.announce_tiers
    }

    /// Addresses of web seeds that serve whole files (BEP 19).
    #[must_use]
    pub fn web_seeds(&self) -> &[String] {
        &self.parts.web_seeds
    }

    /// Addresses of web seeds that serve pieces (BEP 17).
    #[must_use]
    pub fn http_seeds(&self) -> &[String] {
        &self.parts.http_seeds
    }

    /// Nodes to join the DHT by (BEP 5).
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.parts.nodes
    }

    /// Torrents that may share files with this one (BEP 38), named inside or outside of the info dictionary.
    pub fn similar(&self) -> impl Iterator<Item = InfoHash> + '_ {
        let outside = self.parts.similar.iter().filter(|hash| !self.info.similar().contains(hash));
        self.info.similar().iter().chain(outside).copied()
    }

    /// Collections that the torrent belongs to (BEP 38), named inside or outside of the info dictionary.
    pub fn collections(&self) -> impl Iterator<Item = &str> {
        let outside = self.parts.collections.iter().filter(|name| !self.info.collections().contains(name));
        self.info.collections().iter().chain(outside).map(String::as_str)
    }

    /// Free text of the maker.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.parts.comment.as_deref()
    }

    /// The program that made the torrent.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.parts.created_by.as_deref()
    }

    /// When the torrent was made, in seconds since 1970.
    #[must_use]
    pub fn creation_date(&self) -> Option<u64> {
        self.parts.creation_date
    }

    /// The signatures of the info dictionary (BEP 35), unchecked. They are copied out of the torrent each time.
    #[must_use]
    pub fn signatures(&self) -> Vec<Signature> {
        self.entries(signature::read).unwrap_or_default()
    }

    /// Has every signature checked.
    pub fn verify_signatures(&self, verifier: &dyn SignatureVerifier) -> Vec<(Signature, SignatureVerdict)> {
        let check = |signature: Signature| {
            let verdict = verifier.verify(&signature, signature.signed_bytes(self.info.raw()));
            (signature, verdict)
        };
        self.signatures().into_iter().map(check).collect()
    }

    /// What is odd about the torrent file, the info dictionary included.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Reads the entries around the info dictionary again.
    fn entries<T>(&self, read: impl FnOnce(Dict<'_, '_>) -> T) -> Option<T> {
        // What was read within the limits may have been edited beyond them.
        let mut limits = decode_limits();
        limits.max_len = limits.max_len.max(self.around.len());
        let document = decode(&self.around, &limits).ok()?;
        document.root().as_dict().map(read)
    }
}

/// Entries with one more, as raw bytes and in the order of their keys. Of those with the same key the first one stays, as it is for a reader.
fn sorted<'a>(
    entries: impl Iterator<Item = (&'a [u8], Value<'a, 'a>)>,
    more: Option<(&'a [u8], &'a [u8])>,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut all: Vec<_> = more.into_iter().chain(entries.map(|(key, value)| (key, value.raw()))).collect();
    all.sort_by_key(|(key, _)| *key);
    all.dedup_by_key(|(key, _)| *key);
    all.into_iter()
}

/// A dictionary of all entries but `info`, in the order of the input, and where in it the piece layers are.
fn without_info(dict: Dict<'_, '_>, len: usize) -> (Vec<u8>, Range<usize>) {
    let mut out = Vec::with_capacity(len);
    let mut layers = None;
    out.push(b'd');
    for (key, value) in dict.iter().filter(|(key, _)| *key != b"info") {
        out.extend_from_slice(key.len().to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(key);
        let start = out.len();
        out.extend_from_slice(value.raw());
        if key == b"piece layers" {
            layers.get_or_insert(start..out.len());
        }
    }
    out.push(b'e');
    (out, layers.unwrap_or(0..0))
}
