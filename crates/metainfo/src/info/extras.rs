//! What an info dictionary may say besides its files.

use crate::error::Warning;
use crate::fields::contents;
use crate::parts::{hashes, texts};
use bytes::Bytes;
use std::ops::Range;
use unchoke_bencode::{Dict, Value};
use unchoke_core::InfoHash;

#[derive(Clone, Default, Debug)]
pub(super) struct Extras {
    pub(super) similar: Vec<InfoHash>,
    pub(super) collections: Vec<String>,
    pub(super) update_url: Option<String>,
    pub(super) originator: Option<Bytes>,
    /// Where the originator is, until the bytes are there to slice.
    originator_at: Option<Range<usize>>,
}

impl Extras {
    pub(super) fn read(dict: Dict<'_, '_>, base: usize, warnings: &mut Vec<Warning>) -> Self {
        let mut extras = Self::default();
        if let Some(value) = dict.get(b"similar") {
            extras.similar = hashes(value, "similar", warnings);
        }
        if let Some(value) = dict.get(b"collections") {
            extras.collections = texts(value, "collections", warnings);
        }
        if let Some(value) = dict.get(b"update-url") {
            extras.update_url = value.as_str().map(str::to_owned);
            if extras.update_url.is_none() {
                warnings.push(Warning::Ignored("update-url"));
            }
        }
        if let Some(value) = dict.get(b"originator") {
            extras.originator_at = Value::as_bytes(value).map(|_| contents(value, base));
            if extras.originator_at.is_none() {
                warnings.push(Warning::Ignored("originator"));
            }
        }
        extras
    }

    pub(super) fn attach(&mut self, raw: &Bytes) {
        self.originator = self.originator_at.take().filter(|at| at.end <= raw.len()).map(|at| raw.slice(at));
    }
}
