//! Which bytes go where, before anything is hashed.

use super::{BuildError, Builder, NewFile};
use crate::fields::{MAX_FILES, MAX_INFO_LEN, MAX_PATH_DEPTH};
use crate::info::Version;
use crate::layout::{Attributes, FileMeta, Layout, LayoutBuilder};
use crate::path::component;
use unchoke_core::Geometry;
use unchoke_core::merkle::LEAF_LEN;

/// The files that were added, the lone one as well.
pub(super) fn files(builder: &Builder) -> &[NewFile] {
    builder.single.as_ref().map_or(&builder.files, std::slice::from_ref)
}

/// How much padding follows a file of this length, in bytes.
///
/// Every file of a hybrid that has several is padded to a whole number of pieces, the last one too.
pub(super) fn padding_after(builder: &Builder, length: u64) -> u64 {
    let piece = u64::from(builder.piece_length);
    if builder.version != Version::Hybrid || files(builder).len() < 2 {
        return 0;
    }
    length.checked_next_multiple_of(piece).map_or(0, |end| end.saturating_sub(length))
}

/// Checks everything that can be checked without hashing.
pub(super) fn geometry(builder: &Builder) -> Result<Geometry, BuildError> {
    check_component(&builder.name)?;
    match (&builder.single, builder.files.len()) {
        (None, 0) => return Err(BuildError::NoFiles),
        (Some(_), 1..) => return Err(BuildError::SingleAndMany),
        (None, count) if count > MAX_FILES => return Err(BuildError::TooManyFiles(count)),
        _ => {}
    }
    let mut total = 0u64;
    for file in files(builder) {
        if builder.single.is_none() && !(1..=MAX_PATH_DEPTH).contains(&file.path.len()) {
            return Err(BuildError::PathDepth(file.path.len()));
        }
        file.path.iter().chain(file.target.iter().flatten()).try_for_each(|name| check_component(name))?;
        total = total.checked_add(file.length).ok_or(BuildError::TotalTooLong)?;
        total = total.checked_add(padding_after(builder, file.length)).ok_or(BuildError::TotalTooLong)?;
    }
    if i64::try_from(total).is_err() {
        return Err(BuildError::TotalTooLong);
    }
    if builder.version == Version::V1 {
        let geometry = Geometry::new(total, u64::from(builder.piece_length))?;
        return fits(geometry);
    }
    if builder.piece_length < LEAF_LEN || !builder.piece_length.is_power_of_two() {
        return Err(BuildError::PieceLengthV2(builder.piece_length));
    }
    check_order(&builder.files)?;
    match builder.version {
        Version::V2 => {
            let lengths = files(builder).iter().map(|file| file.length);
            Ok(Geometry::aligned(lengths, u64::from(builder.piece_length))?)
        }
        _ => fits(Geometry::new(total, u64::from(builder.piece_length))?),
    }
}

/// Whether the hashes of all pieces fit into an info dictionary.
fn fits(geometry: Geometry) -> Result<Geometry, BuildError> {
    let hashes = u64::from(geometry.piece_count()).saturating_mul(20);
    match usize::try_from(hashes) {
        Ok(bytes) if bytes <= MAX_INFO_LEN => Ok(geometry),
        _ => Err(BuildError::TooManyPieces(geometry.piece_count())),
    }
}

/// Files of a tree come in order, and none is a directory of the next.
fn check_order(files: &[NewFile]) -> Result<(), BuildError> {
    for (one, next) in files.iter().zip(files.iter().skip(1)) {
        if next.path.starts_with(&one.path) {
            return Err(BuildError::Taken(one.path.join("/")));
        }
        if one.path > next.path {
            return Err(BuildError::Order(next.path.join("/")));
        }
    }
    Ok(())
}

pub(super) fn layout(builder: &Builder) -> Layout {
    let mut out = LayoutBuilder::new(component(builder.name.as_bytes()), 0, 0);
    for file in files(builder) {
        if builder.version == Version::V2 {
            out.align(builder.piece_length.into());
        }
        let path: Vec<&[u8]> = file.path.iter().map(String::as_bytes).collect();
        let attributes = Attributes::read(file.letters().as_bytes());
        out.push(&path, FileMeta { length: file.length, attributes, root_at: None });
        if let Some(target) = &file.target {
            out.link_to(target.iter().map(String::as_bytes));
        }
        let padding = padding_after(builder, file.length);
        if padding > 0 {
            out.push(&[b".pad"], FileMeta { length: padding, attributes: Attributes::PADDING, root_at: None });
        }
    }
    out.finish().0
}

fn check_component(name: &str) -> Result<(), BuildError> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(BuildError::Name(name.to_owned()));
    }
    Ok(())
}
