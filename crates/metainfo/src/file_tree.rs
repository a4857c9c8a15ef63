//! The files of a v2 torrent: a tree of dictionaries ([BEP 52]), and how it is held against the list of a hybrid.
//!
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

use crate::error::{ErrorKind, MetainfoError, Mismatch};
use crate::fields::{MAX_FILES, contents, length_of};
use crate::file_list::{Listed, push_link};
use crate::layout::{Attributes, FileMeta, LayoutBuilder};
use crate::path::component;
use std::num::NonZeroU32;
use unchoke_bencode::{Dict, List, Value};

/// One file of the tree.
struct Leaf<'a, 't> {
    meta: FileMeta,
    link: Option<List<'a, 't>>,
    /// Where it is, in bytes.
    at: usize,
}

/// Reads the tree of a torrent that is no hybrid. `base` is where the info dictionary begins. Tells also the name of
/// the one file of a torrent that is no directory.
pub(crate) fn read<'a>(
    root: String,
    tree: Value<'a, '_>,
    base: usize,
    piece_length: u64,
) -> Result<(LayoutBuilder<'a>, Option<&'a [u8]>), MetainfoError> {
    let single = only_file(tree);
    let mut builder = LayoutBuilder::new(single.map_or(root, component), 0, 0);
    // A directory is written once and is in the path of every file below it. Files that hold something take a hundred bytes of the tree.
    let most = tree.raw().len().saturating_mul(PATHS_PER_TREE).saturating_add(MIN_PATHS);
    walk(tree, base, |path, leaf| {
        if builder.names_len() > most {
            return Err(MetainfoError::at(ErrorKind::PathsTooLong(most), leaf.at));
        }
        builder.align(piece_length);
        builder.push(if single.is_some() { &[] } else { path }, leaf.meta);
        if let Some(link) = leaf.link {
            push_link(&mut builder, link);
        }
        Ok(())
    })?;
    Ok((builder, single))
}

/// All paths together may be so many times longer than the tree, or so long in any case.
const PATHS_PER_TREE: usize = 3;
const MIN_PATHS: usize = 64 * 1024;

/// The name of the one file that lies at the root of the tree, if there is nothing else.
fn only_file<'a>(tree: Value<'a, '_>) -> Option<&'a [u8]> {
    let mut entries = tree.as_dict()?.iter();
    let (name, value) = entries.next()?;
    let is_file = value.as_dict()?.iter().next().is_some_and(|(key, _)| key.is_empty());
    (is_file && entries.next().is_none()).then_some(name)
}

/// Holds the tree of a hybrid against the list that `builder` was read from, or against the one file of this name if there is no list, and takes
/// over the pieces roots.
pub(crate) fn join(
    builder: &mut LayoutBuilder<'_>,
    tree: Value<'_, '_>,
    files: Option<List<'_, '_>>,
    name: &[u8],
    base: usize,
    piece_length: u64,
) -> Result<(), MetainfoError> {
    let mut listed = files.into_iter().flatten().enumerate();
    let (mut count, mut start, mut end) = (0_usize, 0_u64, 0_u64);
    let (mut v1_path, mut lone) = (Vec::new(), files.is_none().then_some(name));
    walk(tree, base, |path, leaf| {
        let differs = |what| Err(MetainfoError::at(ErrorKind::Hybrid { file: count, what }, leaf.at));
        let (number, is_same) = if let Some(name) = lone.take() {
            // A lone file has its name twice, and what it is called on disk counts, unless nothing is left of it.
            let is_name = |only: &[u8]| only == name || component(only) == component(name) && component(name) != "_";
            (0, matches!(path, [only] if is_name(only)))
        } else {
            loop {
                let Some((number, entry)) = listed.next() else { return differs(Mismatch::Count) };
                if !Listed::read(entry, &mut v1_path)?.is_padding() {
                    break (number, v1_path == path);
                }
            }
        };
        if !is_same {
            return differs(Mismatch::Path);
        }
        let Some((offset, length, _)) = builder.file(number) else { return differs(Mismatch::Count) };
        if length != leaf.meta.length {
            return differs(Mismatch::Length);
        }
        if length > 0 && offset != start {
            return differs(Mismatch::Alignment);
        }
        builder.set_root(number, leaf.meta.root_at);
        if length > 0 {
            // The builder has seen that the total fits.
            end = start.saturating_add(length);
            start = end.checked_next_multiple_of(piece_length).unwrap_or(end);
        }
        count = count.saturating_add(1);
        Ok(())
    })?;
    let differs = |what| Err(MetainfoError::at(ErrorKind::Hybrid { file: count, what }, tree.offset()));
    if lone.is_some() {
        return differs(Mismatch::Count);
    }
    for (_, entry) in listed {
        if !Listed::read(entry, &mut v1_path)?.is_padding() {
            return differs(Mismatch::Count);
        }
    }
    if ![start, end].contains(&builder.offset()) {
        return differs(Mismatch::Padding);
    }
    Ok(())
}

/// Calls `visit` with the path of each file of the tree, in order.
pub(crate) fn paths(tree: Value<'_, '_>, mut visit: impl FnMut(&[&[u8]])) -> Result<(), MetainfoError> {
    walk(tree, 0, |path, _| {
        visit(path);
        Ok(())
    })
}

/// Calls `visit` for each file of the tree, in order, with its path.
fn walk<'a, 't>(
    tree: Value<'a, 't>,
    base: usize,
    mut visit: impl FnMut(&[&'a [u8]], Leaf<'a, 't>) -> Result<(), MetainfoError>,
) -> Result<(), MetainfoError> {
    let fail = |kind, value: Value<'_, '_>| MetainfoError::at(kind, value.offset());
    let dict = |value: Value<'a, 't>| value.as_dict().ok_or_else(|| fail(ErrorKind::WrongType("file tree"), value));
    let is_file = |dict: Dict<'a, 't>| dict.iter().next().is_some_and(|(key, _)| key.is_empty());
    if is_file(dict(tree)?) {
        return Err(fail(ErrorKind::FileAndDirectory, tree));
    }
    // Each directory with the key that came last in it.
    let mut open = vec![(dict(tree)?.iter(), None::<&[u8]>)];
    let mut path: Vec<&'a [u8]> = Vec::new();
    let (mut files, mut total) = (0_usize, 0_u64);
    while let Some((entries, last)) = open.last_mut() {
        let Some((name, value)) = entries.next() else {
            open.pop();
            path.pop();
            continue;
        };
        if last.replace(name).is_some_and(|last| last >= name) {
            return Err(fail(ErrorKind::UnsortedTree, value));
        }
        let entry = dict(value)?;
        path.push(name);
        if !is_file(entry) {
            open.push((entry.iter(), None));
            continue;
        }
        let mut inside = entry.iter();
        let Some((_, file)) = inside.next() else { continue };
        if inside.next().is_some() {
            return Err(fail(ErrorKind::FileAndDirectory, value));
        }
        let leaf = read_leaf(file, base)?;
        files = files.saturating_add(1);
        if files > MAX_FILES {
            return Err(fail(ErrorKind::TooManyFiles(files), file));
        }
        total = total.saturating_add(leaf.meta.length);
        if i64::try_from(total).is_err() {
            return Err(fail(ErrorKind::TotalTooLong, file));
        }
        visit(&path, leaf)?;
        path.pop();
    }
    if files == 0 { Err(fail(ErrorKind::NoFiles, tree)) } else { Ok(()) }
}

fn read_leaf<'a, 't>(value: Value<'a, 't>, base: usize) -> Result<Leaf<'a, 't>, MetainfoError> {
    let fail = |kind| MetainfoError::at(kind, value.offset());
    let dict = value.as_dict().ok_or_else(|| fail(ErrorKind::WrongType("file tree")))?;
    let length = dict.get(b"length").ok_or_else(|| fail(ErrorKind::Missing("length")))?;
    let length = length_of(length, "length")?;
    let attributes = dict.get(b"attr").and_then(Value::as_bytes).map(Attributes::read).unwrap_or_default();
    if attributes.has(Attributes::PADDING) {
        return Err(fail(ErrorKind::PaddingInTree));
    }
    let at = value.offset();
    if attributes.has(Attributes::SYMLINK) {
        let link = dict.get(b"symlink path").and_then(Value::as_list);
        return Ok(Leaf { meta: FileMeta { length: 0, attributes, root_at: None }, link, at });
    }
    let root = dict.get(b"pieces root");
    let root_at = match (root.and_then(Value::as_bytes), root) {
        (Some(bytes), Some(root)) if length > 0 && bytes.len() == 32 && bytes.iter().any(|byte| *byte != 0) => {
            u32::try_from(contents(root, base).start).ok().and_then(NonZeroU32::new)
        }
        (None, None) if length == 0 => None,
        (_, root) => return Err(MetainfoError::at(ErrorKind::PiecesRoot, root.map_or(at, Value::offset))),
    };
    Ok(Leaf { meta: FileMeta { length, attributes, root_at }, link: None, at })
}
