//! Torrents of version 2 and hybrids (BEP 52) through the public interface.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use unchoke_bencode::{DecodeLimits, OwnedValue, decode};
use unchoke_core::hash::{sha1, sha256};
use unchoke_core::{GeometryError, PieceHash, PieceIndex, Sha256Hash};
use unchoke_metainfo::builder::NewFile;
use unchoke_metainfo::{
    Builder, ErrorKind, FileHasher, Hashes, Info, LayerError, Metainfo, Mismatch, Version, Warning,
};

const PIECE: u32 = 32 * 1024;

fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 11).to_le_bytes()[0] ^ seed).collect()
}

fn files() -> Vec<(Vec<&'static str>, Vec<u8>)> {
    vec![
        (vec!["a"], content(100_000, 1)),
        (vec!["b", "c"], content(5, 2)),
        (vec!["b", "d"], content(0, 3)),
        (vec!["e"], content(65_536, 4)),
        (vec!["f"], content(20_000, 5)),
    ]
}

fn build(version: Version, piece_length: u32, files: &[(Vec<&str>, Vec<u8>)]) -> Metainfo {
    let builder = files.iter().fold(Builder::new("dir", piece_length).version(version), |builder, (path, bytes)| {
        builder.add_file(path.clone(), bytes.len() as u64)
    });
    let mut hasher = builder.hasher().unwrap();
    files.iter().for_each(|(_, bytes)| bytes.chunks(7_000).for_each(|part| hasher.update(part)));
    hasher.finish().unwrap()
}

/// The bytes of a piece as they lie in the files, and zeros where there is padding.
fn piece_bytes(info: &Info, files: &[(Vec<&str>, Vec<u8>)], piece: PieceIndex) -> Vec<u8> {
    let (offset, length) = (info.geometry().piece_offset(piece).unwrap(), info.geometry().piece_len(piece).unwrap());
    let mut out = Vec::new();
    for span in info.layout().spans(offset, length.into()) {
        let file = info.layout().files().get(span.file).unwrap();
        let (start, len) = (span.offset as usize, span.len as usize);
        let path: Vec<_> = file.components().skip(1).collect();
        match files.iter().find(|(known, _)| *known == path) {
            Some((_, bytes)) => out.extend_from_slice(&bytes[start..start + len]),
            None => out.resize(out.len() + len, 0),
        }
    }
    assert_eq!(out.len(), length as usize, "the files cover the piece");
    out
}

/// Changes a value of a torrent file and writes it anew.
fn edit(torrent: &Metainfo, path: &[&[u8]], change: impl FnOnce(&mut OwnedValue)) -> Vec<u8> {
    let bytes = torrent.to_bytes();
    let mut value = OwnedValue::from(decode(&bytes, &DecodeLimits::default()).unwrap().root());
    let mut at = &mut value;
    for key in path {
        at = match at {
            OwnedValue::Dict(entries) => entries.get_mut(*key).unwrap(),
            OwnedValue::List(items) => &mut items[std::str::from_utf8(key).unwrap().parse::<usize>().unwrap()],
            other => panic!("{other:?} has nothing inside"),
        };
    }
    change(at);
    value.encode()
}

type Entries = BTreeMap<Vec<u8>, OwnedValue>;

fn dict(value: &mut OwnedValue) -> &mut Entries {
    match value {
        OwnedValue::Dict(entries) => entries,
        other => panic!("{other:?} is no dictionary"),
    }
}

fn kind(bytes: &[u8]) -> ErrorKind {
    let error = Metainfo::from_bytes(bytes).unwrap_err();
    assert!(error.offset().is_some_and(|offset| offset < bytes.len()), "{error}");
    error.kind().clone()
}

fn bytes(text: &[u8]) -> OwnedValue {
    OwnedValue::Bytes(text.to_vec())
}

#[test]
fn every_piece_of_every_version_verifies_by_itself() {
    let files = files();
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let torrent = Metainfo::from_bytes(&build(version, PIECE, &files).to_bytes()).unwrap();
        let info = torrent.info();
        assert_eq!((info.version(), torrent.warnings(), info.missing_layers().count()), (version, &[][..], 0));
        let mut seen = 0;
        for piece in info.geometry().pieces() {
            let expected = info.piece_hash(piece).unwrap();
            let mut data = piece_bytes(info, &files, piece);
            assert!(expected.matches(&data), "{version:?} {piece}");
            seen += data.len() as u64;
            data[0] ^= 1;
            assert!(!expected.matches(&data), "{version:?} {piece}");
            match expected {
                PieceHash::V1(_) => assert_eq!(version, Version::V1),
                PieceHash::V2(_) => assert_eq!(version, Version::V2),
                _ => assert_eq!(version, Version::Hybrid),
            }
        }
        assert_eq!(seen, info.geometry().total_len());
        assert_eq!(info.geometry().total_len(), info.layout().total_len());
    }
}

#[test]
fn a_v2_info_dictionary_has_exactly_these_bytes() {
    let mut hasher = Builder::new("f", 16_384).version(Version::V2).single_file(3).hasher().unwrap();
    hasher.update(b"abc");
    let torrent = hasher.finish().unwrap();
    let root = sha256(b"abc");
    let info = [
        b"d9:file treed1:fd0:d6:lengthi3e11:pieces root32:".as_slice(),
        root.as_bytes(),
        b"eee12:meta versioni2e4:name1:f12:piece lengthi16384ee",
    ]
    .concat();
    assert_eq!(torrent.to_bytes(), [b"d4:info", info.as_slice(), b"12:piece layersdee"].concat());
    assert_eq!((torrent.info_hashes().get_v1(), torrent.info_hashes().get_v2()), (None, Some(sha256(&info))));
    assert_eq!(torrent.info().layout().files().get(0).unwrap().path(), "f");
    assert!(!torrent.info().is_multi_file());
}

#[test]
fn files_of_a_hybrid_are_padded_to_whole_pieces() {
    let torrent = build(Version::Hybrid, PIECE, &files());
    let info = torrent.info();
    let seen: Vec<_> =
        info.layout().files().iter().map(|file| (file.path(), file.length(), file.is_padding())).collect();
    let file = |path: &str, length| (path.to_owned(), length, false);
    let padding = |length: u64| (format!("dir/.pad/{length}"), length, true);
    let expected = [
        file("dir/a", 100_000),
        padding(31_072),
        file("dir/b/c", 5),
        padding(32_763),
        file("dir/b/d", 0),
        file("dir/e", 65_536),
        file("dir/f", 20_000),
        padding(12_768),
    ];
    assert_eq!(seen, expected);
    let raw = info.raw();
    assert_eq!((info.info_hashes().get_v1(), info.info_hashes().get_v2()), (Some(sha1(raw)), Some(sha256(raw))));
    let mut paths = Vec::new();
    info.for_each_raw_path(|number, path| paths.push((number, path.concat())));
    assert_eq!(paths.len(), 8);
    assert_eq!(paths[2], (2, b"bc".to_vec()));
}

#[test]
fn hashes_of_the_caller_make_the_same_torrent() {
    let files = files();
    for version in [Version::V2, Version::Hybrid] {
        let expected = build(version, PIECE, &files);
        let mut hashes = Hashes::default();
        for (_, bytes) in &files {
            let mut hasher = FileHasher::new(PIECE).unwrap();
            hasher.update(bytes);
            hashes.files.push(hasher.finish());
        }
        if version == Version::Hybrid {
            let pieces = expected.info().geometry().pieces();
            hashes.pieces = pieces.map(|piece| sha1(&piece_bytes(expected.info(), &files, piece))).collect();
        }
        let builder = files.iter().fold(Builder::new("dir", PIECE).version(version), |builder, (path, bytes)| {
            builder.add_file(path.clone(), bytes.len() as u64)
        });
        assert_eq!(builder.layout().unwrap().total_len(), expected.info().layout().total_len());
        assert_eq!(builder.clone().finish_with_hashes(hashes.clone()).unwrap().to_bytes(), expected.to_bytes());
        hashes.files.swap(0, 1);
        assert!(builder.clone().finish_with_hashes(hashes.clone()).is_err());
        hashes.files.pop();
        assert!(builder.finish_with_hashes(hashes).is_err());
    }
}

#[test]
fn attributes_and_links_come_back() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let mut hasher = Builder::new("dir", 16_384)
            .version(version)
            .file(NewFile::new(["a"], 3).executable())
            .file(NewFile::symlink(["b"], ["c", "d"]))
            .file(NewFile::new(["c", "d"], 2).hidden())
            .hasher()
            .unwrap();
        hasher.update(b"abcde");
        let torrent = Metainfo::from_bytes(&hasher.finish().unwrap().to_bytes()).unwrap();
        let files = torrent.info().layout().files();
        let of = |name: &str| files.iter().find(|file| file.below_root() == name).unwrap();
        assert!(of("a").is_executable() && of("c/d").is_hidden() && of("b").is_symlink(), "{version:?}");
        assert_eq!((of("b").symlink_target(), of("b").length(), of("a").symlink_target()), (Some("c/d"), 0, None));
        assert_eq!(torrent.warnings(), []);
    }
}

#[test]
fn b14_what_is_wrong_with_a_file_tree_is_told() {
    let torrent = build(Version::V2, PIECE, &files());
    let info = |path: &[&[u8]], change: &dyn Fn(&mut OwnedValue)| kind(&edit(&torrent, path, change));
    let tree: &[&[u8]] = &[b"info", b"file tree"];
    let leaf: &[&[u8]] = &[b"info", b"file tree", b"a", b""];
    let set = |key: &'static str, value: OwnedValue| {
        move |at: &mut OwnedValue| {
            dict(at).insert(key.into(), value.clone());
        }
    };
    let drop = |key: &'static str| move |at: &mut OwnedValue| drop(dict(at).remove(key.as_bytes()));
    let root = |bytes: &[u8]| set("pieces root", OwnedValue::Bytes(bytes.to_vec()));
    assert_eq!(info(leaf, &drop("length")), ErrorKind::Missing("length"));
    assert_eq!(info(leaf, &set("length", OwnedValue::Int(-1))), ErrorKind::NegativeLength(-1));
    assert_eq!(info(leaf, &set("length", bytes(b"1"))), ErrorKind::WrongType("length"));
    assert_eq!(info(leaf, &set("length", OwnedValue::Int(0))), ErrorKind::PiecesRoot);
    assert_eq!(info(leaf, &set("length", OwnedValue::Int(i64::MAX))), ErrorKind::TotalTooLong);
    for wrong in [&[0; 32][..], &[7; 31], &[7; 33], b""] {
        assert_eq!(info(leaf, &root(wrong)), ErrorKind::PiecesRoot);
    }
    assert_eq!(info(leaf, &drop("pieces root")), ErrorKind::PiecesRoot);
    assert_eq!(info(leaf, &root(&[7; 32])), ErrorKind::UnknownLayer);
    assert_eq!(info(leaf, &set("attr", bytes(b"p"))), ErrorKind::PaddingInTree);
    assert_eq!(info(&tree[..2], &set("x", OwnedValue::Int(1))), ErrorKind::WrongType("file tree"));
    assert_eq!(info(&[b"info", b"file tree", b"a"], &set("x", bytes(b""))), ErrorKind::FileAndDirectory);
    assert_eq!(info(tree, &set("", OwnedValue::Dict(Default::default()))), ErrorKind::FileAndDirectory);
    assert_eq!(info(tree, &|at| dict(at).clear()), ErrorKind::NoFiles);
    assert_eq!(info(&[b"info"], &set("file tree", OwnedValue::Int(1))), ErrorKind::WrongType("file tree"));
    assert_eq!(info(&[b"info"], &drop("file tree")), ErrorKind::Missing("file tree"));
    assert_eq!(info(&[b"info"], &drop("meta version")), ErrorKind::TreeWithoutVersion);
    assert_eq!(info(&[b"info"], &set("meta version", OwnedValue::Int(1))), ErrorKind::TreeWithoutVersion);
    for version in [0, 3, i64::MAX, -2] {
        assert_eq!(
            info(&[b"info"], &set("meta version", OwnedValue::Int(version))),
            ErrorKind::UnsupportedVersion(version)
        );
    }
    assert_eq!(info(&[b"info"], &drop("name")), ErrorKind::Missing("name"));
    let unsorted =
        "d9:file treed1:bd0:d6:lengthi0eee1:ad0:d6:lengthi0eeee12:meta versioni2e4:name1:x12:piece lengthi16384ee";
    let twice = unsorted.replace("1:bd0", "1:ad0");
    for wrong in [unsorted, &twice] {
        let error = Info::from_bytes(wrong.to_owned()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (&ErrorKind::UnsortedTree, wrong.rfind("d0:d6")));
    }
}

#[test]
fn b6_piece_lengths_at_the_edges_are_taken_or_refused() {
    let v1 = "d6:lengthi5e4:name1:x12:piece lengthiNe6:pieces20:AAAAAAAAAAAAAAAAAAAAe";
    let v2 = "d9:file treed1:xd0:d6:lengthi0eeee12:meta versioni2e4:name1:x12:piece lengthiNee";
    let geometry = |length: u64| ErrorKind::Geometry(GeometryError::PieceLength(length));
    let table: [(i64, Option<ErrorKind>, Option<ErrorKind>); 12] = [
        (-1, Some(ErrorKind::NegativeLength(-1)), Some(ErrorKind::NegativeLength(-1))),
        (0, Some(geometry(0)), Some(geometry(0))),
        (5, None, Some(ErrorKind::PieceLengthV2(5))),
        ((1 << 14) - 1, None, Some(ErrorKind::PieceLengthV2(16_383))),
        (1 << 14, None, None),
        (20_000, None, Some(ErrorKind::PieceLengthV2(20_000))),
        (1 << 29, None, None),
        ((1 << 29) + 1, Some(geometry((1 << 29) + 1)), Some(geometry((1 << 29) + 1))),
        (1 << 31, Some(geometry(1 << 31)), Some(geometry(1 << 31))),
        (1 << 32, Some(geometry(1 << 32)), Some(geometry(1 << 32))),
        (1 << 40, Some(geometry(1 << 40)), Some(geometry(1 << 40))),
        (i64::MAX, Some(geometry(i64::MAX as u64)), Some(geometry(i64::MAX as u64))),
    ];
    for (length, v1_error, v2_error) in table {
        for (info, expected) in [(v1, v1_error), (v2, v2_error)] {
            let info = info.replace('N', &length.to_string());
            let found = Info::from_bytes(info.clone()).map_err(|error| (error.kind().clone(), error.offset()));
            let at = info.find("piece length").map(|at| at + "piece length".len());
            assert_eq!(found.err(), expected.map(|kind| (kind, at)), "{info}");
        }
    }
}

#[test]
fn b14_piece_layers_must_be_those_of_the_files() {
    let torrent = build(Version::V2, PIECE, &files());
    let roots: Vec<Sha256Hash> = [0, 3].map(|file| torrent.info().pieces_root(file).unwrap()).to_vec();
    let layers = |change: &dyn Fn(&mut Entries)| kind(&edit(&torrent, &[b"piece layers"], |at| change(dict(at))));
    let first = roots[0].as_bytes();
    let layer = torrent.info().piece_layer(0).unwrap().to_vec();
    let flip = |at: usize| {
        let mut layer = layer.clone();
        layer[at / 8] ^= 1 << (at % 8);
        OwnedValue::Bytes(layer)
    };
    for bit in (0..layer.len() * 8).step_by(37) {
        assert_eq!(layers(&|all| drop(all.insert(first.to_vec(), flip(bit)))), ErrorKind::LayerHash);
    }
    let short = ErrorKind::LayerLength { expected: 128, found: 96 };
    assert_eq!(layers(&|all| drop(all.insert(first.to_vec(), bytes(&layer[..96])))), short);
    assert_eq!(
        layers(&|all| drop(all.insert(first.to_vec(), OwnedValue::Int(1)))),
        ErrorKind::WrongType("piece layers")
    );
    assert_eq!(layers(&|all| drop(all.remove(first.as_slice()))), ErrorKind::MissingLayer(0));
    assert_eq!(layers(&|all| all.clear()), ErrorKind::MissingLayer(0));
    let small = torrent.info().pieces_root(1).unwrap();
    for unknown in [&[7; 32][..], &[7; 31], b"", small.as_bytes()] {
        assert_eq!(layers(&|all| drop(all.insert(unknown.to_vec(), bytes(&layer)))), ErrorKind::UnknownLayer);
    }
    assert_eq!(
        kind(&edit(&torrent, &[], |at| drop(dict(at).remove(&b"piece layers"[..])))),
        ErrorKind::MissingLayer(0)
    );
    let list = edit(&torrent, &[b"piece layers"], |at| *at = OwnedValue::List(Vec::new()));
    assert_eq!(kind(&list), ErrorKind::WrongType("piece layers"));
}

#[test]
fn an_info_dictionary_alone_waits_for_its_layers() {
    let files = files();
    let torrent = build(Version::V2, PIECE, &files);
    let mut info = Info::from_bytes(torrent.info().raw().clone()).unwrap();
    assert_eq!(info.missing_layers().collect::<Vec<_>>(), [0, 3]);
    assert_eq!(info.piece_hash(PieceIndex(0)), None);
    assert!(info.piece_hash(PieceIndex(4)).unwrap().matches(&files[1].1), "a file of one piece needs no layer");
    let layer = |file| torrent.info().piece_layer(file).unwrap().clone();
    assert_eq!(info.add_piece_layer(0, layer(3)), Err(LayerError::Length { expected: 128, found: 64 }));
    assert_eq!(info.add_piece_layer(0, Bytes::from(vec![1; 128])), Err(LayerError::Hash));
    for none in [1, 2, 99] {
        assert_eq!(info.add_piece_layer(none, layer(3)), Err(LayerError::NoLayer(none)));
    }
    for file in [3, 0, 0] {
        info.add_piece_layer(file, layer(file)).unwrap();
    }
    assert_eq!(info.missing_layers().count(), 0);
    assert!(info.geometry().pieces().all(|piece| info.piece_hash(piece) == torrent.info().piece_hash(piece)));
    let again = Metainfo::new(info.into(), torrent.parts().clone());
    assert_eq!(again.to_bytes(), torrent.to_bytes());
}

#[test]
fn b15_the_halves_of_a_hybrid_must_agree() {
    let torrent = build(Version::Hybrid, PIECE, &files());
    let list: &[&[u8]] = &[b"info", b"files"];
    let items = |at: &mut OwnedValue| match at {
        OwnedValue::List(items) => std::mem::take(items),
        other => panic!("{other:?}"),
    };
    let entry = |length: i64, name: &str, attr: &str| {
        let mut entry = BTreeMap::new();
        entry.insert(b"length".to_vec(), OwnedValue::Int(length));
        entry.insert(b"path".to_vec(), OwnedValue::List(vec![bytes(name.as_bytes())]));
        if !attr.is_empty() {
            entry.insert(b"attr".to_vec(), bytes(attr.as_bytes()));
        }
        OwnedValue::Dict(entry)
    };
    let changed = |change: &dyn Fn(&mut Vec<OwnedValue>)| {
        let file = edit(&torrent, list, |at| {
            let mut files = items(at);
            change(&mut files);
            *at = OwnedValue::List(files);
        });
        kind(&file)
    };
    let hybrid = |file: usize, what: Mismatch| ErrorKind::Hybrid { file, what };
    assert_eq!(changed(&|files| files[0] = entry(99_999, "a", "")), hybrid(0, Mismatch::Length));
    assert_eq!(changed(&|files| files[0] = entry(100_000, "A", "")), hybrid(0, Mismatch::Path));
    assert_eq!(changed(&|files| files.swap(5, 6)), hybrid(3, Mismatch::Path));
    assert_eq!(changed(&|files| drop(files.remove(1))), hybrid(1, Mismatch::Alignment));
    assert_eq!(changed(&|files| files[1] = entry(31_071, ".pad", "p")), hybrid(1, Mismatch::Alignment));
    assert_eq!(changed(&|files| files[1] = entry(31_072 + 32_768, ".pad", "p")), hybrid(1, Mismatch::Alignment));
    assert_eq!(changed(&|files| files[7] = entry(1, ".pad", "p")), hybrid(5, Mismatch::Padding));
    assert_eq!(changed(&|files| files.insert(5, entry(0, "ee", ""))), hybrid(3, Mismatch::Path));
    assert_eq!(changed(&|files| files.push(entry(0, "z", ""))), hybrid(5, Mismatch::Count));
    assert_eq!(changed(&|files| files.truncate(5)), hybrid(3, Mismatch::Count));
    assert_eq!(
        kind(&edit(&torrent, &[b"info"], |at| drop(dict(at).remove(&b"pieces"[..])))),
        ErrorKind::Missing("pieces")
    );
    let both = edit(&torrent, &[b"info"], |at| drop(dict(at).insert(b"length".to_vec(), OwnedValue::Int(1))));
    assert_eq!(kind(&both), ErrorKind::LengthOrFiles);
    let alone = edit(&torrent, &[b"info"], |at| drop(dict(at).remove(&b"files"[..])));
    let alone = Metainfo::from_bytes(&alone).unwrap();
    assert_eq!((alone.info().version(), alone.warnings()), (Version::V2, &[Warning::Ignored("pieces")][..]));
}

#[test]
fn b15_the_one_file_of_a_hybrid_must_have_one_name_and_length() {
    let mut hasher = Builder::new("f", 16_384).version(Version::Hybrid).single_file(3).hasher().unwrap();
    hasher.update(b"abc");
    let torrent = hasher.finish().unwrap();
    assert_eq!(torrent.info().layout().files().len(), 1);
    let set = |key: &[u8], value: OwnedValue| {
        kind(&edit(&torrent, &[b"info"], |at| drop(dict(at).insert(key.to_vec(), value))))
    };
    assert_eq!(set(b"name", bytes(b"g")), ErrorKind::Hybrid { file: 0, what: Mismatch::Path });
    let repaired = edit(&torrent, &[b"info"], |at| drop(dict(at).insert(b"name".to_vec(), bytes(b"f. "))));
    assert_eq!(Metainfo::from_bytes(&repaired).unwrap().info().name(), "f");
    let nothing = edit(&torrent, &[b"info"], |at| {
        let leaf = dict(dict(at).get_mut(&b"file tree"[..]).unwrap()).remove(&b"f"[..]).unwrap();
        dict(dict(at).get_mut(&b"file tree"[..]).unwrap()).insert(b" .".to_vec(), leaf);
        dict(at).insert(b"name".to_vec(), bytes(b"\xff"));
    });
    assert_eq!(kind(&nothing), ErrorKind::Hybrid { file: 0, what: Mismatch::Path });
    assert_eq!(set(b"length", OwnedValue::Int(4)), ErrorKind::Hybrid { file: 0, what: Mismatch::Length });
    let more = edit(&torrent, &[b"info", b"file tree"], |at| {
        let leaf = dict(at)[&b"f"[..]].clone();
        dict(at).insert(b"g".to_vec(), leaf);
    });
    assert_eq!(kind(&more), ErrorKind::Hybrid { file: 1, what: Mismatch::Count });
}

#[test]
fn a_tree_of_one_file_is_a_torrent_of_that_file() {
    let torrent = build(Version::V2, PIECE, &files()[..1]);
    assert!(!torrent.info().is_multi_file());
    assert_eq!((torrent.info().name(), torrent.info().raw_name().as_ref()), ("a", b"dir".as_slice()));
    assert_eq!(torrent.warnings(), []);
    let below = [(vec!["x", "y"], content(5, 0))];
    let torrent = build(Version::V2, PIECE, &below);
    assert_eq!(torrent.info().layout().files().get(0).unwrap().path(), "dir/x/y");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_built_in_any_version_reads_back(
        files in prop::collection::btree_map("[a-c]/[a-c]{1,2}|[d-f]{1,3}", 0usize..70_000, 1..7),
        version in prop_oneof![Just(Version::V2), Just(Version::Hybrid)],
        exponent in 14u32..18,
        portion in 1_000usize..40_000,
    ) {
        let files: Vec<(Vec<&str>, Vec<u8>)> =
            files.iter().map(|(path, length)| (path.split('/').collect(), content(*length, 9))).collect();
        let mut builder = files.iter().rev().fold(Builder::new("dir", 1 << exponent).version(version), |builder, (path, bytes)| {
            builder.add_file(path.clone(), bytes.len() as u64)
        });
        builder = builder.sort_files();
        let mut hasher = builder.hasher().unwrap();
        let all: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        all.chunks(portion).for_each(|part| hasher.update(part));
        let built = hasher.finish().unwrap();
        let torrent = Metainfo::from_bytes(&built.to_bytes()).unwrap();
        prop_assert_eq!(torrent.info(), built.info());
        let info = torrent.info();
        prop_assert_eq!(info.missing_layers().count(), 0);
        if info.is_multi_file() {
            for piece in info.geometry().pieces() {
                prop_assert!(info.piece_hash(piece).unwrap().matches(&piece_bytes(info, &files, piece)));
            }
        }
    }
}
