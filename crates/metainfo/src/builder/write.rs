//! Writes the info dictionary.

use super::{BuildError, Builder, Hashes, NewFile, plan};
use crate::info::{Info, Version};
use crate::merkle::FileHashes;
use crate::metainfo::Metainfo;
use bytes::Bytes;
use std::sync::Arc;
use unchoke_bencode::{DictEncoder, ListEncoder, encode};
use unchoke_core::{Sha1Hash, Sha256Hash};

/// Makes the torrent.
pub(super) fn finish(builder: Builder, hashes: &Hashes) -> Result<Metainfo, BuildError> {
    let geometry = builder.geometry()?;
    let expected = if builder.version == Version::V2 { 0 } else { geometry.piece_count() };
    if u32::try_from(hashes.pieces.len()) != Ok(expected) {
        return Err(BuildError::HashCount { expected, found: hashes.pieces.len() });
    }
    check_files(&builder, &hashes.files)?;
    let mut info = Info::from_bytes(info(&builder, hashes))?;
    add_layers(&mut info, &hashes.files)?;
    Ok(Metainfo::new(Arc::new(info), builder.parts))
}

fn check_files(builder: &Builder, hashes: &[FileHashes]) -> Result<(), BuildError> {
    let files = plan::files(builder);
    let expected = if builder.version == Version::V1 { 0 } else { files.len() };
    if hashes.len() != expected {
        return Err(BuildError::FileCount { expected, found: hashes.len() });
    }
    for (number, (file, hashes)) in files.iter().zip(hashes).enumerate() {
        let pieces = file.length.div_ceil(builder.piece_length.into());
        let layer = u64::try_from(hashes.layer().len()).unwrap_or(u64::MAX);
        if hashes.length() != file.length || layer != if pieces > 1 { pieces } else { 0 } {
            return Err(BuildError::FileHashes(number));
        }
    }
    Ok(())
}

/// Gives the layers to the files in the layout, among which there may be padding.
fn add_layers(info: &mut Info, hashes: &[FileHashes]) -> Result<(), BuildError> {
    let numbers: Vec<usize> =
        info.layout().files().iter().filter(|file| !file.is_padding()).map(|file| file.number()).collect();
    for (number, (file, hashes)) in numbers.into_iter().zip(hashes).enumerate() {
        if !hashes.layer().is_empty() {
            let layer: Vec<u8> = hashes.layer().iter().flat_map(Sha256Hash::as_bytes).copied().collect();
            info.add_piece_layer(file, Bytes::from(layer)).map_err(|_| BuildError::FileHashes(number))?;
        }
    }
    Ok(())
}

fn info(builder: &Builder, hashes: &Hashes) -> Vec<u8> {
    let files = plan::files(builder);
    encode(|v| {
        v.dict(|out| {
            // Of two entries with one key the later one stays.
            builder.extras.iter().for_each(|(key, value)| out.entry(key, |v| value.write(v)));
            if builder.version != Version::V2 {
                match &builder.single {
                    Some(file) => out.int("length", number(file.length)),
                    None => out.entry("files", |v| v.list(|list| files.iter().for_each(|f| entry(list, builder, f)))),
                }
                let pieces: Vec<u8> = hashes.pieces.iter().flat_map(Sha1Hash::as_bytes).copied().collect();
                out.bytes("pieces", pieces);
            }
            if builder.version != Version::V1 {
                let all: Vec<_> = files.iter().zip(&hashes.files).collect();
                out.entry("file tree", |v| {
                    v.dict(|tree| match &builder.single {
                        Some(_) => all.iter().for_each(|(file, hashes)| leaf(tree, &builder.name, file, hashes)),
                        None => directory(tree, &all, 0),
                    })
                });
                out.int("meta version", 2);
            }
            out.bytes("name", &builder.name);
            out.int("piece length", i64::from(builder.piece_length));
            if builder.private {
                out.int("private", 1);
            }
        })
    })
}

/// An entry of the list of files, and one for the padding after it.
fn entry(list: &mut ListEncoder<'_>, builder: &Builder, file: &NewFile) {
    let path = |out: &mut DictEncoder<'_>, key: &str, path: &[String]| {
        out.entry(key, |v| v.list(|l| path.iter().for_each(|name| l.bytes(name))));
    };
    list.item(|v| {
        v.dict(|out| {
            attributes(out, file);
            out.int("length", number(file.length));
            path(out, "path", &file.path);
        })
    });
    let padding = plan::padding_after(builder, file.length);
    if padding > 0 {
        list.item(|v| {
            v.dict(|out| {
                out.bytes("attr", "p");
                out.int("length", number(padding));
                path(out, "path", &[".pad".to_owned(), padding.to_string()]);
            })
        });
    }
}

fn attributes(out: &mut DictEncoder<'_>, file: &NewFile) {
    let letters = file.letters();
    if !letters.is_empty() {
        out.bytes("attr", letters);
    }
    if let Some(target) = &file.target {
        out.entry("symlink path", |v| v.list(|l| target.iter().for_each(|name| l.bytes(name))));
    }
}

/// The entries of one directory of the tree: `files` are all that share the first `depth` components, in order.
fn directory(tree: &mut DictEncoder<'_>, mut files: &[(&NewFile, &FileHashes)], depth: usize) {
    while let Some(((file, hashes), _)) = files.split_first() {
        let Some(name) = file.path.get(depth) else { return };
        let same = files.iter().take_while(|(file, _)| file.path.get(depth) == Some(name)).count();
        let (inside, rest) = files.split_at_checked(same).unwrap_or((files, &[]));
        if file.path.len() == depth.saturating_add(1) {
            leaf(tree, name, file, hashes);
        } else {
            tree.entry(name, |v| v.dict(|tree| directory(tree, inside, depth.saturating_add(1))));
        }
        files = rest;
    }
}

fn leaf(tree: &mut DictEncoder<'_>, name: &str, file: &NewFile, hashes: &FileHashes) {
    tree.entry(name, |v| {
        v.dict(|node| {
            node.entry("", |v| {
                v.dict(|out| {
                    attributes(out, file);
                    out.int("length", number(file.length));
                    if let Some(root) = hashes.root() {
                        out.bytes("pieces root", root.as_bytes());
                    }
                })
            });
        })
    });
}

/// The plan has seen that the total fits, and so does every length.
fn number(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
