//! The torrent file ([BEP 3]): an info dictionary and what surrounds it.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::error::{ErrorKind, MetainfoError, Warning};
use crate::info::{Info, decode_limits};
use bytes::Bytes;
use std::sync::Arc;
use unchoke_bencode::{Dict, ListEncoder, Value, decode, encode};
use unchoke_core::InfoHashes;

/// A torrent file.
#[derive(Clone, Debug)]
pub struct Metainfo {
    info: Arc<Info>,
    parts: Parts,
    /// Every entry but `info` as it was read, so that what is unknown here is not lost on the way.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    warnings: Vec<Warning>,
}

/// What surrounds the info dictionary in a torrent file. None of it counts for the info-hash.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Parts {
    /// Tracker addresses in tiers: all of a tier are tried before the next (BEP 12).
    pub announce_tiers: Vec<Vec<String>>,
    /// Addresses of web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Nodes to join the DHT by (BEP 5).
    pub nodes: Vec<Node>,
    /// Free text of the maker.
    pub comment: Option<String>,
    /// The program that made the torrent.
    pub created_by: Option<String>,
    /// When the torrent was made, in seconds since 1970.
    pub creation_date: Option<u64>,
}

/// The address of a DHT node; the host may be a name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 5 closes the set of fields")]
pub struct Node {
    /// A name or an address.
    pub host: String,
    /// The UDP port.
    pub port: u16,
}

impl Metainfo {
    /// Reads a torrent file.
    ///
    /// Only the info dictionary can make it fail. Other malformed fields are ignored with a [`Warning`].
    ///
    /// # Errors
    /// [`MetainfoError`] tells the kind and the byte offset. Time and memory are proportional to the input.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        let document = decode(bytes, &decode_limits())?;
        let dict = document.root().as_dict().ok_or_else(|| MetainfoError::at(ErrorKind::WrongType("torrent"), 0))?;
        let info = dict.get(b"info").ok_or_else(|| MetainfoError::at(ErrorKind::Missing("info"), 0))?;
        let mut warnings = Vec::new();
        if !document.is_canonical() {
            warnings.push(Warning::NotCanonical);
        }
        let info = Info::from_value(info, Bytes::copy_from_slice(info.raw()), warnings)?;
        let mut warnings = info.warnings().to_vec();
        let parts = Parts::read(dict, &mut warnings);
        let others = dict.iter().filter(|(key, _)| *key != b"info");
        let entries = others.map(|(key, value)| (key.to_vec(), value.raw().to_vec())).collect();
        Ok(Self { info: Arc::new(info), parts, entries, warnings })
    }

    /// Makes a torrent file from an info dictionary, such as peers have sent it, and what shall surround it.
    #[must_use]
    pub fn new(info: Arc<Info>, parts: Parts) -> Self {
        let warnings = info.warnings().to_vec();
        Self { entries: parts.entries(), info, parts, warnings }
    }

    /// The torrent file in canonical order, the info dictionary byte by byte as it was read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(|v| {
            v.dict(|d| {
                self.entries.iter().for_each(|(key, value)| d.entry(key, |v| v.raw(value)));
                d.entry("info", |v| v.raw(self.info.raw()));
            })
        })
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

    /// Addresses of web seeds (BEP 19).
    #[must_use]
    pub fn web_seeds(&self) -> &[String] {
        &self.parts.web_seeds
    }

    /// Nodes to join the DHT by (BEP 5).
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.parts.nodes
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

    /// What is odd about the torrent file, the info dictionary included.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl Parts {
    fn read(dict: Dict<'_, '_>, warnings: &mut Vec<Warning>) -> Self {
        let mut field = |key: &'static str, read: &mut dyn FnMut(Value<'_, '_>) -> Option<()>| {
            if let Some(value) = dict.get(key.as_bytes())
                && read(value).is_none()
            {
                warnings.push(Warning::Ignored(key));
            }
        };
        let mut parts = Self::default();
        field("announce-list", &mut |value| {
            for tier in value.as_list()? {
                let tier = strings(tier)?;
                if !tier.is_empty() {
                    parts.announce_tiers.push(tier);
                }
            }
            Some(())
        });
        if parts.announce_tiers.is_empty() {
            field("announce", &mut |value| {
                let tier = strings(value)?;
                if !tier.is_empty() {
                    parts.announce_tiers.push(tier);
                }
                Some(())
            });
        }
        field("url-list", &mut |value| {
            parts.web_seeds = strings(value)?;
            Some(())
        });
        field("nodes", &mut |value| {
            for node in value.as_list()? {
                let mut node = node.as_list()?.iter();
                let host = node.next()?.as_str()?.to_owned();
                let port = u16::try_from(node.next()?.as_int()?).ok()?;
                parts.nodes.push(Node { host, port });
            }
            Some(())
        });
        field("comment", &mut |value| {
            parts.comment = Some(lossy(value)?);
            Some(())
        });
        field("created by", &mut |value| {
            parts.created_by = Some(lossy(value)?);
            Some(())
        });
        field("creation date", &mut |value| {
            parts.creation_date = Some(u64::try_from(value.as_int()?).ok()?);
            Some(())
        });
        parts
    }

    fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut put = |key: &str, value: Vec<u8>| entries.push((key.as_bytes().to_vec(), value));
        let strings = |l: &mut ListEncoder<'_>, strings: &[String]| strings.iter().for_each(|s| l.bytes(s));
        if let Some(first) = self.announce_tiers.iter().flatten().next() {
            put("announce", encode(|v| v.bytes(first)));
        }
        if self.announce_tiers.iter().flatten().nth(1).is_some() {
            let tiers = self.announce_tiers.iter().filter(|tier| !tier.is_empty());
            put("announce-list", encode(|v| v.list(|l| tiers.for_each(|t| l.item(|v| v.list(|l| strings(l, t)))))));
        }
        if !self.web_seeds.is_empty() {
            put("url-list", encode(|v| v.list(|l| strings(l, &self.web_seeds))));
        }
        if !self.nodes.is_empty() {
            let node = |l: &mut ListEncoder<'_>, node: &Node| {
                l.bytes(&node.host);
                l.int(i64::from(node.port));
            };
            put("nodes", encode(|v| v.list(|l| self.nodes.iter().for_each(|n| l.item(|v| v.list(|l| node(l, n)))))));
        }
        if let Some(comment) = &self.comment {
            put("comment", encode(|v| v.bytes(comment)));
        }
        if let Some(program) = &self.created_by {
            put("created by", encode(|v| v.bytes(program)));
        }
        if let Some(date) = self.creation_date.and_then(|date| i64::try_from(date).ok()) {
            put("creation date", encode(|v| v.int(date)));
        }
        entries
    }
}

/// One string or a list of them, those that are empty left out.
fn strings(value: Value<'_, '_>) -> Option<Vec<String>> {
    let one = value.as_list().is_none().then_some(value);
    let all = value.as_list().into_iter().flatten().chain(one);
    let all: Option<Vec<_>> = all.map(|item| item.as_str().map(|text| text.trim().to_owned())).collect();
    all.map(|mut all| {
        all.retain(|text| !text.is_empty());
        all
    })
}

fn lossy(value: Value<'_, '_>) -> Option<String> {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
