//! The files of a v1 torrent: a list ([BEP 3]) with attributes ([BEP 47]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 47]: https://www.bittorrent.org/beps/bep_0047.html

use crate::error::{ErrorKind, MetainfoError};
use crate::fields::{MAX_FILES, MAX_PATH_DEPTH, length_of};
use crate::layout::{Attributes, FileMeta, LayoutBuilder};
use unchoke_bencode::{List, Value};

/// One entry of the list; its path goes elsewhere.
pub(crate) struct Listed<'a, 't> {
    pub(crate) length: u64,
    pub(crate) attributes: Attributes,
    link: Option<List<'a, 't>>,
}

impl<'a, 't> Listed<'a, 't> {
    /// Reads an entry, and its path into `path`, whose former contents are gone.
    pub(crate) fn read(entry: Value<'a, 't>, path: &mut Vec<&'a [u8]>) -> Result<Self, MetainfoError> {
        let fail = |kind| MetainfoError::at(kind, entry.offset());
        let dict = entry.as_dict().ok_or_else(|| fail(ErrorKind::WrongType("files")))?;
        let (mut length, mut plain, mut utf_8, mut attributes, mut link) = (None, None, None, None, None);
        for (key, value) in dict {
            let slot = match key {
                b"length" => &mut length,
                b"path" => &mut plain,
                b"path.utf-8" => &mut utf_8,
                b"attr" => &mut attributes,
                b"symlink path" => &mut link,
                _ => continue,
            };
            // Of a key that is there twice, the first one counts.
            if slot.is_none() {
                *slot = Some(value);
            }
        }
        let attributes = attributes.and_then(Value::as_bytes).map(Attributes::read).unwrap_or_default();
        let is_link = attributes.has(Attributes::SYMLINK);
        let length = match length {
            Some(length) => length_of(length, "length")?,
            None if is_link => 0,
            None => return Err(fail(ErrorKind::Missing("length"))),
        };
        let chosen = utf_8.filter(|value| value.as_list().is_some()).or(plain);
        path.clear();
        let found = match chosen {
            Some(value) => read_path(value, path),
            None => Err(fail(ErrorKind::Missing("path"))),
        };
        match found {
            Ok(()) => {}
            // Padding is never written, so it needs no path; there are torrents that give it none.
            Err(_) if attributes.has(Attributes::PADDING) => {
                path.clear();
                path.push(b".pad");
            }
            Err(error) => return Err(error),
        }
        let link = link.and_then(Value::as_list).filter(|_| is_link);
        Ok(Self { length: if is_link { 0 } else { length }, attributes, link })
    }

    pub(crate) fn is_padding(&self) -> bool {
        self.attributes.has(Attributes::PADDING)
    }
}

fn read_path<'a>(value: Value<'a, '_>, path: &mut Vec<&'a [u8]>) -> Result<(), MetainfoError> {
    let wrong = || MetainfoError::at(ErrorKind::WrongType("path"), value.offset());
    for item in value.as_list().ok_or_else(wrong)? {
        path.push(item.as_bytes().ok_or_else(wrong)?);
    }
    if (1..=MAX_PATH_DEPTH).contains(&path.len()) {
        return Ok(());
    }
    Err(MetainfoError::at(ErrorKind::PathDepth(path.len()), value.offset()))
}

/// Reads `files`.
pub(crate) fn read<'a>(root: String, value: Value<'a, '_>) -> Result<LayoutBuilder<'a>, MetainfoError> {
    let fail = |kind, value: Value<'_, '_>| MetainfoError::at(kind, value.offset());
    let list = value.as_list().ok_or_else(|| fail(ErrorKind::WrongType("files"), value))?;
    let count = list.len();
    if count == 0 {
        return Err(fail(ErrorKind::NoFiles, value));
    }
    if count > MAX_FILES {
        return Err(fail(ErrorKind::TooManyFiles(count), value));
    }
    let names = value.raw().len().saturating_sub(count.saturating_mul(MIN_ENTRY_LEN));
    let mut builder = LayoutBuilder::new(root, count, names);
    let mut path = Vec::new();
    for entry in list {
        let listed = Listed::read(entry, &mut path)?;
        let total = builder.total().checked_add(listed.length);
        if total.is_none_or(|total| i64::try_from(total).is_err()) {
            return Err(fail(ErrorKind::TotalTooLong, entry));
        }
        builder.push(&path, FileMeta { length: listed.length, attributes: listed.attributes, root_at: None });
        if let Some(link) = listed.link {
            push_link(&mut builder, link);
        }
    }
    Ok(builder)
}

/// Says where the link that was added last leads, if that is a path.
pub(crate) fn push_link<'a>(builder: &mut LayoutBuilder<'a>, target: List<'a, '_>) {
    let is_path = target.iter().all(|item| item.as_bytes().is_some());
    let depth = target.iter().take(MAX_PATH_DEPTH.saturating_add(1)).count();
    if is_path && (1..=MAX_PATH_DEPTH).contains(&depth) {
        builder.link_to(target.iter().filter_map(Value::as_bytes));
    }
}

/// Bytes of an entry besides the contents of its path: `d6:lengthi0e4:pathlee`.
const MIN_ENTRY_LEN: usize = 21;
