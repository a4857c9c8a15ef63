//! What surrounds the info dictionary in a torrent file.

use crate::error::Warning;
use unchoke_bencode::Dict;
use unchoke_bencode::{DictEncoder, ListEncoder, Value, encode};
use unchoke_core::InfoHash;

/// The most values that are taken of one list, such as trackers or web seeds.
pub const MAX_LISTED: usize = 4096;

/// What surrounds the info dictionary in a torrent file. None of it counts for the info-hash.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Parts {
    /// Tracker addresses in tiers: all of a tier are tried before the next (BEP 12).
    pub announce_tiers: Vec<Vec<String>>,
    /// Addresses of web seeds that serve whole files (BEP 19).
    pub web_seeds: Vec<String>,
    /// Addresses of web seeds that serve pieces (BEP 17).
    pub http_seeds: Vec<String>,
    /// Nodes to join the DHT by (BEP 5).
    pub nodes: Vec<Node>,
    /// Torrents that may share files with this one (BEP 38).
    pub similar: Vec<InfoHash>,
    /// Collections that the torrent belongs to (BEP 38).
    pub collections: Vec<String>,
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

impl Parts {
    /// Reads the entries of a torrent. Malformed ones are left out, with a warning.
    pub(crate) fn read(dict: Dict<'_, '_>, warnings: &mut Vec<Warning>) -> Self {
        let mut parts = Self::default();
        if let Some(value) = dict.get(b"announce-list") {
            parts.announce_tiers = tiers(value, warnings);
        }
        if parts.announce_tiers.is_empty()
            && let Some(value) = dict.get(b"announce")
        {
            parts.announce_tiers.extend(Some(texts(value, "announce", warnings)).filter(|tier| !tier.is_empty()));
        }
        let mut list =
            |key: &'static str| dict.get(key.as_bytes()).map(|value| texts(value, key, warnings)).unwrap_or_default();
        parts.web_seeds = list("url-list");
        parts.http_seeds = list("httpseeds");
        parts.collections = list("collections");
        if let Some(value) = dict.get(b"similar") {
            parts.similar = hashes(value, "similar", warnings);
        }
        if let Some(value) = dict.get(b"nodes") {
            parts.nodes = each(value, "nodes", warnings, node);
        }
        let mut one = |key: &'static str| {
            let value = dict.get(key.as_bytes())?;
            let text = value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            if text.is_none() {
                warnings.push(Warning::Ignored(key));
            }
            text
        };
        parts.comment = one("comment.utf-8").or_else(|| one("comment"));
        parts.created_by = one("created by");
        if let Some(value) = dict.get(b"creation date") {
            parts.creation_date = value.as_u64();
            if parts.creation_date.is_none() {
                warnings.push(Warning::Ignored("creation date"));
            }
        }
        parts
    }

    /// Writes the entries that differ from those of `before`.
    pub(crate) fn write_changes(&self, before: &Self, out: &mut DictEncoder<'_>) {
        let list = |out: &mut DictEncoder<'_>, key: &str, items: &[String]| {
            if !items.is_empty() {
                out.entry(key, |v| v.list(|l| items.iter().for_each(|item| l.bytes(item))));
            }
        };
        if self.announce_tiers != before.announce_tiers {
            if let Some(first) = self.announce_tiers.iter().flatten().next() {
                out.bytes("announce", first);
            }
            if self.announce_tiers.iter().flatten().nth(1).is_some() {
                let tiers = self.announce_tiers.iter().filter(|tier| !tier.is_empty());
                let tier = |l: &mut ListEncoder<'_>, tier: &[String]| tier.iter().for_each(|address| l.bytes(address));
                out.entry("announce-list", |v| v.list(|l| tiers.for_each(|t| l.item(|v| v.list(|l| tier(l, t))))));
            }
        }
        if self.web_seeds != before.web_seeds {
            list(out, "url-list", &self.web_seeds);
        }
        if self.http_seeds != before.http_seeds {
            list(out, "httpseeds", &self.http_seeds);
        }
        if self.collections != before.collections {
            list(out, "collections", &self.collections);
        }
        if self.similar != before.similar && !self.similar.is_empty() {
            out.entry("similar", |v| v.list(|l| self.similar.iter().for_each(|hash| l.bytes(hash.as_bytes()))));
        }
        if self.nodes != before.nodes && !self.nodes.is_empty() {
            let node = |l: &mut ListEncoder<'_>, node: &Node| {
                l.bytes(&node.host);
                l.int(i64::from(node.port));
            };
            out.entry("nodes", |v| v.list(|l| self.nodes.iter().for_each(|n| l.item(|v| v.list(|l| node(l, n))))));
        }
        if self.comment != before.comment
            && let Some(comment) = &self.comment
        {
            out.bytes("comment", comment);
        }
        if self.created_by != before.created_by
            && let Some(program) = &self.created_by
        {
            out.bytes("created by", program);
        }
        if self.creation_date != before.creation_date
            && let Some(date) = self.creation_date
        {
            out.entry("creation date", |v| v.uint(date));
        }
    }

    /// Whether the entry of this key has to be written anew, or left out, where `before` stood.
    pub(crate) fn replaces(&self, before: &Self, key: &[u8]) -> bool {
        match key {
            b"announce" | b"announce-list" => self.announce_tiers != before.announce_tiers,
            b"url-list" => self.web_seeds != before.web_seeds,
            b"httpseeds" => self.http_seeds != before.http_seeds,
            b"collections" => self.collections != before.collections,
            b"similar" => self.similar != before.similar,
            b"nodes" => self.nodes != before.nodes,
            b"comment" | b"comment.utf-8" => self.comment != before.comment,
            b"created by" => self.created_by != before.created_by,
            b"creation date" => self.creation_date != before.creation_date,
            _ => false,
        }
    }

    /// The bytes of a dictionary of nothing but these entries.
    pub(crate) fn to_dict(&self) -> Vec<u8> {
        encode(|v| v.dict(|out| self.write_changes(&Self::default(), out)))
    }
}

fn node(value: Value<'_, '_>) -> Option<Node> {
    let mut node = value.as_list()?.iter();
    let host = node.next()?.as_str()?.to_owned();
    let port = u16::try_from(node.next()?.as_int()?).ok()?;
    Some(Node { host, port })
}

fn text(value: Value<'_, '_>) -> Option<String> {
    value.as_str().map(|text| text.trim().to_owned())
}

/// The tiers that are lists of text, without those that are empty.
fn tiers(value: Value<'_, '_>, warnings: &mut Vec<Warning>) -> Vec<Vec<String>> {
    let mut room = MAX_LISTED;
    let mut malformed = value.as_list().is_none();
    let mut all = Vec::new();
    for tier in value.as_list().into_iter().flatten() {
        let mut addresses = Vec::new();
        let items = tier.as_list().into_iter().flatten();
        for item in items.chain(tier.as_list().is_none().then_some(tier)) {
            match text(item) {
                Some(address) if address.is_empty() => {}
                Some(_) if room == 0 => {
                    warnings.push(Warning::Cut("announce-list"));
                    all.extend(Some(addresses).filter(|tier| !tier.is_empty()));
                    return all;
                }
                Some(address) => {
                    room = room.saturating_sub(1);
                    addresses.push(address);
                }
                None => malformed = true,
            }
        }
        all.extend(Some(addresses).filter(|tier| !tier.is_empty()));
    }
    if malformed {
        warnings.push(Warning::Ignored("announce-list"));
    }
    all
}

/// One text or a list of them, those that are empty left out.
pub(crate) fn texts(value: Value<'_, '_>, key: &'static str, warnings: &mut Vec<Warning>) -> Vec<String> {
    let mut all = each(value, key, warnings, text);
    all.retain(|text| !text.is_empty());
    all
}

/// A list of info-hashes of 20 bytes.
pub(crate) fn hashes(value: Value<'_, '_>, key: &'static str, warnings: &mut Vec<Warning>) -> Vec<InfoHash> {
    each(value, key, warnings, |item| InfoHash::from_slice(item.as_bytes()?))
}

/// The items of a list, or the one value that is no list, as far as `read` makes something of them.
fn each<T>(
    value: Value<'_, '_>,
    key: &'static str,
    warnings: &mut Vec<Warning>,
    read: impl Fn(Value<'_, '_>) -> Option<T>,
) -> Vec<T> {
    let one = value.as_list().is_none().then_some(value);
    let mut malformed = false;
    let mut all = Vec::new();
    for item in value.as_list().into_iter().flatten().chain(one) {
        if all.len() >= MAX_LISTED {
            warnings.push(Warning::Cut(key));
            break;
        }
        match read(item) {
            Some(item) => all.push(item),
            None => malformed = true,
        }
    }
    if malformed {
        warnings.push(Warning::Ignored(key));
    }
    all
}
