//! The differences that have a name: those of `docs/torrents.md`, and the rule that tells each.

use super::names;
use super::reading::{File, Reading};
use std::collections::BTreeSet;

/// A way in which libtorrent reads torrents otherwise than we do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Class {
    Layers,
    Canonical,
    NoBytes,
    OtherHalf,
    Versions,
    EmptyFiles,
    Numbers,
    WindowsNames,
    EmptyNames,
    Case,
    LongNames,
    TakenNumbers,
    Padding,
    Links,
    RootHashes,
}

impl Class {
    pub(super) const ALL: [Self; 15] = [
        Self::Layers,
        Self::Canonical,
        Self::NoBytes,
        Self::OtherHalf,
        Self::Versions,
        Self::EmptyFiles,
        Self::Numbers,
        Self::WindowsNames,
        Self::EmptyNames,
        Self::Case,
        Self::LongNames,
        Self::TakenNumbers,
        Self::Padding,
        Self::Links,
        Self::RootHashes,
    ];

    /// Its name in `docs/torrents.md`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Layers => "Piece layers",
            Self::Canonical => "Canonical v2",
            Self::NoBytes => "No bytes",
            Self::OtherHalf => "The other description",
            Self::Versions => "Versions",
            Self::EmptyFiles => "Files of no bytes",
            Self::Numbers => "Large numbers",
            Self::WindowsNames => "Names that Windows refuses",
            Self::EmptyNames => "Names of nothing",
            Self::Case => "Case beyond ASCII",
            Self::LongNames => "Long names",
            Self::TakenNumbers => "Numbers that are taken",
            Self::Padding => "Padding",
            Self::Links => "Links",
            Self::RootHashes => "Root hashes",
        }
    }
}

/// The classes of all differences, none if there are none.
///
/// # Errors
/// The first difference that is in no class.
pub(super) fn compare(ours: &Reading, theirs: &Reading) -> Result<BTreeSet<Class>, String> {
    match (&ours.error, &theirs.error) {
        (Some(_), Some(_)) => Ok(BTreeSet::new()),
        (Some(error), None) => {
            let class = only_we_refuse(error, theirs).ok_or_else(|| format!("only we refuse it: {error}"))?;
            Ok(BTreeSet::from([class]))
        }
        (None, Some(error)) => {
            let class = only_they_refuse(error, ours).ok_or_else(|| format!("only libtorrent refuses it: {error}"))?;
            Ok(BTreeSet::from([class]))
        }
        (None, None) => both_read(ours, theirs),
    }
}

fn only_we_refuse(error: &str, theirs: &Reading) -> Option<Class> {
    let has_v2 = !theirs.v2.is_empty();
    let has_empty = theirs.files.iter().any(|file| file.size == 0);
    let kind = error.split(' ').next().unwrap_or_default();
    let kind = kind.split('(').next().unwrap_or_default();
    let about = |keys: &[&str]| keys.iter().any(|key| error.contains(&format!("'{key}'")));
    match kind {
        "MissingLayer" | "LayerLength" if has_v2 => Some(Class::Layers),
        "WrongType" if about(&["piece layers"]) && has_v2 => Some(Class::Layers),
        "Missing" | "WrongType" if about(&["pieces", "files"]) && has_v2 => Some(Class::OtherHalf),
        "LengthOrFiles" => Some(Class::OtherHalf),
        "NoFiles" if has_v2 => Some(Class::OtherHalf),
        "WrongType" if about(&["meta version"]) && !has_v2 => Some(Class::Versions),
        "TreeWithoutVersion" | "UnsupportedVersion" if !has_v2 => Some(Class::Versions),
        "WrongType" if about(&["length"]) && has_empty => Some(Class::EmptyFiles),
        "NegativeLength" if error.contains(&i64::MIN.to_string()) && has_empty => Some(Class::EmptyFiles),
        "PiecesRoot" if has_v2 && has_empty => Some(Class::EmptyFiles),
        "Hybrid" if error.contains("Path") && differs_in_little(error, theirs) => Some(Class::OtherHalf),
        _ => None,
    }
}

fn only_they_refuse(error: &str, ours: &Reading) -> Option<Class> {
    let says = |what: &str| error.contains(what);
    let any = |is: fn(&File) -> bool| ours.files.iter().any(is);
    let odd_v2 = !ours.v2.is_empty() && !ours.canonical;
    let rules = [
        (ours.root_hash, Class::RootHashes),
        (odd_v2 && (says("invalid bencoding") || says("piece layer is invalid")), Class::Canonical),
        (says("number of piece hashes") && ours.is_v2_alone(), Class::OtherHalf),
        (says("integer overflow") && !ours.canonical, Class::Numbers),
        (says("invalid length") && !any(|file| file.size > 0 && !file.pad), Class::NoBytes),
        (says("piece length") && ours.piece_length >= 1 << 29, Class::Numbers),
        (says("length") && any(|file| file.size >= (1 << 48) - 1), Class::Numbers),
        (says("missing name") && any(|file| file.path == "_" || file.path.starts_with("_/")), Class::EmptyNames),
        (says("metadata does not match") && any(|file| file.pad && file.size == 0), Class::Padding),
        (says("'name'") && any(|file| file.pad && file.raw == [".pad"]), Class::Padding),
    ];
    rules.into_iter().find_map(|(holds, class)| holds.then_some(class))
}

fn both_read(ours: &Reading, theirs: &Reading) -> Result<BTreeSet<Class>, String> {
    let mut classes = BTreeSet::new();
    let same = |what: &str, same: bool| if same { Ok(()) } else { Err(format!("{what} differs")) };
    same("the v1 info-hash", ours.v1 == theirs.v1)?;
    same("the v2 info-hash", ours.v2 == theirs.v2)?;
    same("the piece length", ours.piece_length == theirs.piece_length)?;
    let mut shown = theirs.files.clone();
    if ours.is_v2_alone() && shown.iter().any(|file| file.pad) {
        fills_gaps(ours, &shown)?;
        shown.retain(|file| !file.pad);
        classes.insert(Class::Padding);
    }
    same("the number of files", ours.files.len() == shown.len())?;
    // Of torrents in which files share a root, libtorrent does not write the layers again.
    let mut roots = BTreeSet::new();
    let shared = ours.files.iter().any(|file| !file.layer.is_empty() && !roots.insert(&file.root));
    same("whether layers are told", shared || roots.is_empty() || !theirs.untold_layers)?;
    for (number, (here, there)) in ours.files.iter().zip(&shown).enumerate() {
        let same = |what: &str, is_same| same(&format!("{what} of file {number}"), is_same);
        same("the offset", here.offset == there.offset)?;
        same("the size", here.size == there.size)?;
        same("being padding", here.pad == there.pad)?;
        same("the pieces root", here.root == there.root)?;
        same("the piece layer", here.layer == there.layer || theirs.untold_layers)?;
        // Padding is never written, so its name does not matter.
        if here.path != there.path && !here.pad {
            let found = names::explain(here, there, &shown);
            same(&format!("the path ({:?}, {:?})", here.path, there.path), !found.is_empty())?;
            classes.extend(found);
        }
        if (here.link, &here.target) != (there.link, &there.target) && !here.pad {
            let what = format!("the link ({:?}, {:?})", here.target, there.target);
            same(&what, is_other_link(here, there, ours, &shown))?;
            classes.insert(Class::Links);
        }
    }
    Ok(classes)
}

/// Demands that their padding lies where we have nothing.
fn fills_gaps(ours: &Reading, shown: &[File]) -> Result<(), String> {
    for pad in shown.iter().filter(|file| file.pad) {
        let overlaps =
            |file: &&File| file.size > 0 && file.offset < pad.offset + pad.size && pad.offset < file.offset + file.size;
        if ours.files.iter().any(|file| overlaps(&file)) || pad.size >= ours.piece_length {
            return Err(format!("the padding at {} is in no gap", pad.offset));
        }
    }
    Ok(())
}

/// Whether the file that the two halves of a hybrid call differently has no bytes, or a name that was repaired.
fn differs_in_little(error: &str, theirs: &Reading) -> bool {
    let digits = error.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    let number = digits.and_then(|digits| digits.parse::<usize>().ok());
    let file = number.and_then(|number| theirs.files.iter().filter(|file| !file.pad).nth(number));
    file.is_some_and(|file| file.size == 0 || file.path.contains('_'))
}

/// Whether a link leads nowhere here and there somewhere because `..` and the like are left out, to itself, to a directory that holds it, to another
/// link, to padding, or to a directory of these; or is none there; or leads to what is called otherwise there.
fn is_other_link(here: &File, there: &File, ours: &Reading, shown: &[File]) -> bool {
    let below = |file: &File| file.path.split_once('/').map_or(String::new(), |(_, below)| below.to_owned());
    let holds = |directory: &str, path: &str| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    if !here.link {
        return false;
    }
    if here.target.is_empty() {
        let own = below(there);
        let is_at_target = |file: &&File| below(file) == there.target || holds(&there.target, &below(file));
        let found: Vec<_> = shown.iter().filter(is_at_target).collect();
        let is_no_file = !found.is_empty() && found.iter().all(|file| file.link || file.pad);
        return !there.link || ours.odd_links || there.target == own || holds(&there.target, &own) || is_no_file;
    }
    ours.files.iter().zip(shown).any(|(a, b)| below(a) == here.target && below(b) == there.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: &str) -> Reading {
        Reading { error: Some(error.to_owned()), ..Reading::default() }
    }

    fn torrent(v2: &str, size: u64) -> Reading {
        let file = File { path: "a".to_owned(), size, ..File::default() };
        Reading { v1: "1".to_owned(), v2: v2.to_owned(), piece_length: 16_384, files: vec![file], ..Reading::default() }
    }

    #[test]
    fn a_refusal_of_one_side_needs_a_reason_that_the_torrent_bears_out() {
        let missing = refused("MissingLayer(0)");
        assert_eq!(compare(&missing, &torrent("2", 1)), Ok(BTreeSet::from([Class::Layers])));
        assert!(compare(&missing, &torrent("", 1)).is_err());
        assert!(compare(&refused("Missing('name')"), &torrent("2", 1)).is_err());
        assert_eq!(compare(&missing, &refused("any")), Ok(BTreeSet::new()));
        let empty = refused("invalid length of torrent");
        assert_eq!(compare(&torrent("", 0), &empty), Ok(BTreeSet::from([Class::NoBytes])));
        assert!(compare(&torrent("", 1), &empty).is_err());
        assert!(compare(&torrent("", 1), &refused("invalid bencoding")).is_err());
        assert_eq!(compare(&torrent("2", 1), &refused("invalid bencoding")), Ok(BTreeSet::from([Class::Canonical])));
    }

    #[test]
    fn hashes_sizes_and_roots_differ_in_no_class() {
        let ours = torrent("2", 1);
        assert_eq!(compare(&ours, &ours), Ok(BTreeSet::new()));
        assert!(compare(&ours, &torrent("3", 1)).is_err());
        assert!(compare(&ours, &torrent("2", 2)).is_err());
        let mut other = ours.clone();
        other.files[0].root = "00".to_owned();
        assert!(compare(&ours, &other).is_err());
        let mut other = ours.clone();
        other.files[0].layer = "00".to_owned();
        assert!(compare(&ours, &other).is_err());
    }
}
