//! What goes into a builder, and what comes out.

use super::*;
use crate::info::MAX_FILES;
use proptest::prelude::*;
use unchoke_core::hash::sha1;
use unchoke_core::{GeometryError, PieceHash, PieceIndex};

fn two_files() -> Builder {
    Builder::new("dir", 4).add_file(["a"], 5).add_file(["b", "c"], 6)
}

#[test]
fn a_torrent_reads_back_what_went_in() {
    let mut hasher = two_files()
        .private()
        .tracker_tier(["http://a/announce", "udp://b:1"])
        .tracker("udp://c:2")
        .web_seed("http://seed/")
        .comment("hi")
        .created_by("unchoke")
        .creation_date(7)
        .hasher()
        .unwrap();
    hasher.update(b"01234567890");
    let torrent = hasher.finish().unwrap();
    let again = Metainfo::from_bytes(&torrent.to_bytes()).unwrap();
    assert_eq!(again.info(), torrent.info());
    assert_eq!(again.parts(), torrent.parts());
    assert_eq!(again.warnings(), []);
    assert!(again.info().is_private() && again.info().is_multi_file());
    assert_eq!(again.announce_tiers(), [vec!["http://a/announce", "udp://b:1"], vec!["udp://c:2"]]);
    assert_eq!(again.info().piece_hash(PieceIndex(2)), Some(PieceHash::V1(sha1(b"890"))));
    let paths: Vec<_> = again.info().layout().files().iter().map(|f| f.path()).collect();
    assert_eq!(paths, ["dir/a", "dir/b/c"]);
}

#[test]
fn hashes_of_the_caller_give_the_same_torrent() {
    let mut hasher = Builder::new("f", 4).single_file(6).hasher().unwrap();
    hasher.update(b"abcdef");
    let hashes = vec![sha1(b"abcd"), sha1(b"ef")];
    let torrent = Builder::new("f", 4).single_file(6).finish_with_hashes(hashes).unwrap();
    assert_eq!(torrent.info(), hasher.finish().unwrap().info());
    assert_eq!(
        Builder::new("f", 4).single_file(6).finish_with_hashes(Vec::<Sha1Hash>::new()).unwrap_err(),
        BuildError::HashCount { expected: 2, found: 0 }
    );
}

#[test]
fn too_few_and_too_many_bytes_are_refused() {
    for found in [0u8, 10, 12, 50] {
        let mut hasher = two_files().hasher().unwrap();
        hasher.update(&vec![0; found.into()]);
        let error = BuildError::ByteCount { expected: 11, found: found.into() };
        assert_eq!(hasher.finish().unwrap_err(), error);
    }
}

#[test]
fn what_makes_no_torrent_is_refused_before_hashing() {
    let many = Builder::new("n", 1).single_file(u64::from(u32::MAX));
    let table = [
        (Builder::new("n", 4), BuildError::NoFiles),
        (two_files().single_file(1), BuildError::SingleAndMany),
        (Builder::new("", 4).single_file(1), BuildError::Name(String::new())),
        (Builder::new("n", 4).add_file(["a", ".."], 1), BuildError::Name("..".into())),
        (Builder::new("n", 4).add_file(["a/b"], 1), BuildError::Name("a/b".into())),
        (Builder::new("n", 4).add_file([""; 0], 1), BuildError::PathDepth(0)),
        (Builder::new("n", 4).add_file(["a"; 101], 1), BuildError::PathDepth(101)),
        (Builder::new("n", 4).single_file(1 << 63), BuildError::TotalTooLong),
        (two_files().add_file(["d"], u64::MAX), BuildError::TotalTooLong),
        (Builder::new("n", 0).single_file(1), BuildError::Geometry(GeometryError::PieceLength(0))),
        (many, BuildError::TooManyPieces(u32::MAX)),
    ];
    for (builder, error) in table {
        assert_eq!(builder.hasher().unwrap_err(), error);
    }
}

#[test]
fn recommended_lengths_are_powers_of_two_within_bounds() {
    let table: [(u64, u32); 6] = [
        (0, 16 << 10),
        (2000 * (16 << 10), 16 << 10),
        (2000 * (16 << 10) + 1, 32 << 10),
        (1 << 30, 1 << 20),
        (1 << 40, 16 << 20),
        (u64::MAX, 16 << 20),
    ];
    for (total, length) in table {
        assert_eq!(recommended_piece_length(total), length, "{total}");
    }
}

#[test]
fn the_most_files_that_are_allowed_load_again() {
    let names = (0..MAX_FILES).map(|number| number.to_string());
    let builder = names.fold(Builder::new("n", 16384), |builder, name| builder.add_file([name], 0));
    let torrent = builder.clone().finish_with_hashes(Vec::<Sha1Hash>::new()).unwrap();
    assert_eq!(Metainfo::from_bytes(&torrent.to_bytes()).unwrap().info().layout().files().len(), MAX_FILES);
    assert_eq!(builder.add_file(["x"], 0).geometry(), Err(BuildError::TooManyFiles(MAX_FILES + 1)));
}

proptest! {
    #[test]
    fn portions_do_not_matter(
        data in prop::collection::vec(any::<u8>(), 0..200), piece_length in 1u32..40, portion in 1usize..50
    ) {
        let builder = Builder::new("f", piece_length).single_file(data.len() as u64);
        let mut hasher = builder.clone().hasher().unwrap();
        data.chunks(portion).for_each(|chunk| hasher.update(chunk));
        let hashes: Vec<_> = data.chunks(piece_length as usize).map(sha1).collect();
        let expected = builder.finish_with_hashes(hashes).unwrap();
        prop_assert_eq!(hasher.finish().unwrap().to_bytes(), expected.to_bytes());
    }
}
