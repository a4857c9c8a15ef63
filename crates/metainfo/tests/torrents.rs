//! Whole torrents through the public interface: what goes in comes out, and hostile bytes are refused where they are at fault.

use proptest::prelude::*;
use std::collections::BTreeSet;
use unchoke_core::hash::sha1;
use unchoke_core::{GeometryError, InfoHash, PieceHash, PieceIndex, Sha1Hash};
use unchoke_metainfo::info::MAX_PATH_DEPTH;
use unchoke_metainfo::{
    Builder, ErrorKind, FileEntry, Info, Layout, MagnetLink, Metainfo, Node, Parts, Signature, SignatureVerdict,
    SignatureVerifier, Warning,
};

const SINGLE: &str = "d6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:AAAAAAAAAAAAAAAAAAAAe";

/// An info dictionary with these bencoded files, whose total length must be within one piece and not 0.
fn with_files(files: &str) -> String {
    format!("d5:filesl{files}e4:name1:d12:piece lengthi16384e6:pieces20:AAAAAAAAAAAAAAAAAAAAe")
}

fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn paths(layout: &Layout) -> Vec<String> {
    layout.files().iter().map(|file| file.path()).collect()
}

/// Whether all files can be on one disk at once: no path is another's, or a directory of another's, whatever the case.
fn can_coexist(layout: &Layout) -> bool {
    let on_disk = || layout.files().iter().filter(|file| !file.is_padding());
    let lower = |file: FileEntry<'_>| file.components().map(str::to_lowercase).collect::<Vec<_>>();
    let files: BTreeSet<_> = on_disk().map(lower).collect();
    let parents =
        |path: &Vec<String>| (1..path.len()).any(|depth| files.contains(path.get(..depth).unwrap_or_default()));
    files.len() == on_disk().count() && !files.iter().any(parents)
}

fn is_safe(layout: &Layout) -> bool {
    let is_safe = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0']);
    layout.files().iter().all(|file| file.components().all(is_safe))
}

#[test]
fn a_built_torrent_has_exactly_these_bytes() {
    let mut hasher = Builder::new("d", 4)
        .add_file(["a"], 3)
        .add_file(["s", "b"], 2)
        .tracker("http://t/a")
        .private()
        .hasher()
        .unwrap();
    hasher.update(b"abcde");
    let torrent = hasher.finish().unwrap();
    let pieces = [*sha1(b"abcd").as_bytes(), *sha1(b"e").as_bytes()].concat();
    let info = [
        b"d5:filesld6:lengthi3e4:pathl1:aeed6:lengthi2e4:pathl1:s1:beee4:name1:d12:piece lengthi4e6:pieces40:"
            .as_slice(),
        &pieces,
        b"7:privatei1ee",
    ]
    .concat();
    assert_eq!(torrent.to_bytes(), [b"d8:announce10:http://t/a4:info", info.as_slice(), b"e"].concat());
    assert_eq!(torrent.info_hashes().get_v1(), Some(sha1(&info)));
    assert_eq!(torrent.info_hashes().get_v2(), None);
}

#[test]
fn errors_tell_the_kind_and_the_byte() {
    let file = |length: &str| format!("d6:length{length}4:pathl1:aee");
    let deep = with_files(&format!("d6:lengthi5e4:pathl{}ee", "1:a".repeat(MAX_PATH_DEPTH + 1)));
    let both = SINGLE.replace("d6:length", "d5:filesle6:length");
    // Where the fault is said to be is where the last text begins.
    let table = [
        ("i1e".to_owned(), ErrorKind::WrongType("info"), "i1e"),
        (SINGLE.replace("6:pieces", "6:Pieces"), ErrorKind::Missing("pieces"), "d6"),
        (SINGLE.replace("4:name", "4:Name"), ErrorKind::Missing("name"), "d6"),
        (SINGLE.replace("4:name1:x", "4:namei1e"), ErrorKind::WrongType("name"), "i1e"),
        (SINGLE.replace("i5e", "1:5"), ErrorKind::WrongType("length"), "1:5"),
        (SINGLE.replace("i5e", "i-5e"), ErrorKind::NegativeLength(-5), "i-5e"),
        (SINGLE.replace("piece length", "Piece length"), ErrorKind::Missing("piece length"), "d6"),
        (SINGLE.replace("i16384e", "le"), ErrorKind::WrongType("piece length"), "le6"),
        (SINGLE.replace("i16384e", "i-1e"), ErrorKind::NegativeLength(-1), "i-1e"),
        (SINGLE.replace("i16384e", "i0e"), ErrorKind::Geometry(GeometryError::PieceLength(0)), "i0e"),
        (SINGLE.replace("20:AAAAAAAAAAAAAAAAAAAA", "i7e"), ErrorKind::WrongType("pieces"), "i7e"),
        (SINGLE.replace("20:A", "19:"), ErrorKind::PiecesLength { expected: 20, found: 19 }, "19:"),
        (SINGLE.replace("i5e", "i16385e"), ErrorKind::PiecesLength { expected: 40, found: 20 }, "20:A"),
        (SINGLE.replace("6:length", "6:Length"), ErrorKind::LengthOrFiles, "d6"),
        (both, ErrorKind::LengthOrFiles, "d5"),
        (with_files(""), ErrorKind::NoFiles, "le4:name"),
        (with_files("i1e"), ErrorKind::WrongType("files"), "i1e"),
        (with_files("d4:pathl1:aee"), ErrorKind::Missing("length"), "d4:path"),
        (with_files(&file("i-9e")), ErrorKind::NegativeLength(-9), "i-9e"),
        (with_files("d6:lengthi5ee"), ErrorKind::Missing("path"), "d6:length"),
        (with_files("d6:lengthi5e4:path1:ae"), ErrorKind::WrongType("path"), "1:ae"),
        (with_files("d6:lengthi5e4:pathli3eee"), ErrorKind::WrongType("path"), "li3e"),
        (with_files("d6:lengthi5e4:pathlee"), ErrorKind::PathDepth(0), "lee"),
        (deep, ErrorKind::PathDepth(MAX_PATH_DEPTH + 1), "l1:a"),
        (with_files(&[file("i9223372036854775807e"), file("i1e")].concat()), ErrorKind::TotalTooLong, "d6:lengthi1e"),
    ];
    for (info, kind, fault) in table {
        let offset = info.find(fault);
        let error = Info::from_bytes(info.clone()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (&kind, offset), "{info}");
        let torrent = format!("d8:announce0:4:info{info}e");
        let error = Metainfo::from_bytes(torrent.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (&kind, offset.map(|offset| offset + 19)), "{torrent}");
    }
}

#[test]
fn lengths_that_only_claim_to_be_there_cost_nothing() {
    let length = u64::try_from(i64::MAX).unwrap();
    let huge = SINGLE.replace("i5e", &format!("i{length}e"));
    let kind = ErrorKind::Geometry(GeometryError::TooManyPieces(length));
    assert_eq!(Info::from_bytes(huge.clone()).unwrap_err().kind(), &kind);
    let most = u64::from(u32::MAX) << 29;
    let pieces = SINGLE.replace("i5e", &format!("i{most}e")).replace("i16384e", "i536870912e");
    let kind = ErrorKind::PiecesLength { expected: 20 * u64::from(u32::MAX), found: 20 };
    assert_eq!(Info::from_bytes(pieces).unwrap_err().kind(), &kind);
    for input in
        ["d4:info999999999999:", "d4:infod6:pieces4294967295:e", &"d4:info".repeat(10_000), &"l".repeat(10_000)]
    {
        assert!(matches!(Metainfo::from_bytes(input.as_bytes()).unwrap_err().kind(), ErrorKind::Bencode(_)));
    }
}

#[test]
fn no_prefix_of_a_torrent_is_a_torrent() {
    let torrent = format!("d8:announce10:http://t/a4:info{SINGLE}e");
    assert!(Metainfo::from_bytes(torrent.as_bytes()).is_ok());
    for end in 0..torrent.len() {
        let error = Metainfo::from_bytes(&torrent.as_bytes()[..end]).unwrap_err();
        assert!(error.offset().is_some_and(|offset| offset <= end), "{error}");
    }
}

#[test]
fn hostile_paths_stay_below_the_torrent_and_are_reported() {
    let file = |path: &str| format!("d6:lengthi1e4:pathl{path}ee");
    let files = ["2:..6:passwd", "1:a", "1:A", "1:a1:b", "4:/etc", "3:nul"].map(file).concat();
    let info = Info::from_bytes(with_files(&files)).unwrap();
    let layout = info.layout();
    assert!(is_safe(layout) && can_coexist(layout), "{layout:?}");
    assert_eq!(paths(layout), ["d/_/passwd", "d/a.1", "d/A.2", "d/a/b", "d/etc", "d/_nul"]);
    assert_eq!(info.warnings(), [Warning::PathsReplaced { first: 0, count: 5 }]);
    let renamed: Vec<_> = layout.files().iter().filter(|file| file.is_renamed()).map(|file| file.number()).collect();
    assert_eq!(renamed, [0, 1, 2, 4, 5]);
    assert_eq!(Info::from_bytes(info.raw().clone()).unwrap().layout(), layout);
}

#[test]
fn utf_8_names_are_preferred_and_others_survive() {
    let files = "d6:lengthi1e4:pathl1:?e10:path.utf-8l2:éee";
    let info = Info::from_bytes(with_files(files).replace("4:name1:d", "4:name1:d10:name.utf-82:ü")).unwrap();
    assert_eq!(paths(info.layout()), ["ü/é"]);
    assert_eq!(info.warnings(), []);
    let mut latin = SINGLE.as_bytes().to_vec();
    *latin.iter_mut().find(|byte| **byte == b'x').unwrap() = 0xfc;
    let info = Info::from_bytes(latin).unwrap();
    assert_eq!((info.name(), info.raw_name().as_ref()), ("_", [0xfc].as_slice()));
    assert_eq!(info.warnings(), [Warning::NameReplaced { to: "_".into() }]);
}

#[test]
fn attributes_mark_padding_executables_and_links() {
    let files = "d4:attr1:x6:lengthi1e4:pathl1:aeed4:attr1:p6:lengthi3e4:pathl4:.pad1:3ee\
                 d4:attr1:p6:lengthi3e4:pathl4:.pad1:3eed4:attr1:l4:pathl1:le12:symlink pathl1:aee";
    let info = Info::from_bytes(with_files(files)).unwrap();
    let seen: Vec<_> =
        info.layout().files().iter().map(|f| (f.is_executable(), f.is_padding(), f.offset(), f.length())).collect();
    assert_eq!(seen, [(true, false, 0, 1), (false, true, 1, 3), (false, true, 4, 3), (false, false, 7, 0)]);
    assert_eq!(info.layout().files().get(3).and_then(|file| file.symlink_target()), Some("a"));
    assert_eq!(info.warnings(), []);
}

#[test]
fn only_the_number_one_makes_a_torrent_private() {
    for (value, private) in [("i1e", true), ("i0e", false), ("i2e", false), ("1:1", false)] {
        let info = SINGLE.replace("AAe", &format!("AA7:private{value}e"));
        assert_eq!(Info::from_bytes(info).unwrap().is_private(), private, "{value}");
    }
}

#[test]
fn trackers_come_from_the_list_or_else_from_the_lone_one() {
    let tiers = |before: &str| {
        let torrent = Metainfo::from_bytes(format!("d{before}4:info{SINGLE}e").as_bytes()).unwrap();
        (torrent.announce_tiers().to_vec(), torrent.warnings().to_vec())
    };
    let lone = "8:announce1:a";
    assert_eq!(tiers(""), (vec![], vec![]));
    assert_eq!(tiers(lone), (vec![vec!["a".to_owned()]], vec![]));
    assert_eq!(tiers(&format!("{lone}13:announce-listllel0:ee")).0, [["a"]]);
    let listed = format!("{lone}13:announce-listll1:b3: c el1:dee");
    assert_eq!(tiers(&listed), (vec![vec!["b".to_owned(), "c".to_owned()], vec!["d".to_owned()]], vec![]));
    let malformed = format!("{lone}13:announce-listi1e");
    assert_eq!(tiers(&malformed), (vec![vec!["a".to_owned()]], vec![Warning::Ignored("announce-list")]));
}

#[test]
fn what_is_unknown_or_out_of_order_is_kept() {
    let unsorted = format!("d4:name1:x{}", SINGLE.replace("4:name1:x", "").trim_start_matches('d'));
    let file = format!("d4:info{unsorted}5:nodesll1:hi6881eee8:url-list8:http://w7:unknownd1:ai1eee");
    let torrent = Metainfo::from_bytes(file.as_bytes()).unwrap();
    assert_eq!(torrent.info().raw().as_ref(), unsorted.as_bytes());
    assert_eq!(torrent.info_hashes().get_v1(), Some(sha1(unsorted.as_bytes())));
    assert_eq!(torrent.warnings(), [Warning::NotCanonical]);
    assert_eq!(torrent.web_seeds(), ["http://w"]);
    assert_eq!(torrent.nodes().iter().map(|node| (node.host.as_str(), node.port)).collect::<Vec<_>>(), [("h", 6881)]);
    let written = torrent.to_bytes();
    assert!(written.windows(17).any(|bytes| bytes == b"7:unknownd1:ai1ee"));
    let again = Metainfo::from_bytes(&written).unwrap();
    assert_eq!((again.info(), again.parts()), (torrent.info(), torrent.parts()));
}

#[test]
fn a_root_hash_is_read_and_verifies_no_piece() {
    let file = format!("d4:info{}e", SINGLE.replace("6:pieces", "9:root hash"));
    let torrent = Metainfo::from_bytes(file.as_bytes()).unwrap();
    let info = torrent.info();
    assert_eq!(info.root_hash(), Some(Sha1Hash::new([b'A'; 20])));
    assert_eq!((info.piece_hash(PieceIndex(0)), info.geometry().piece_count()), (None, 1));
    assert_eq!(torrent.warnings(), [Warning::RootHash]);
    let short = SINGLE.replace("6:pieces20:A", "9:root hash19:");
    assert_eq!(Info::from_bytes(short).unwrap_err().kind(), &ErrorKind::WrongType("root hash"));
}

/// Holds a signature for valid if it is what was signed, in plain.
struct Plain;

impl SignatureVerifier for Plain {
    fn verify(&self, signature: &Signature, signed: [&[u8]; 2]) -> SignatureVerdict {
        match signature.certificate.as_deref() {
            Some(b"trusted") if signature.signature == signed.concat() => SignatureVerdict::Valid,
            Some(b"trusted") => SignatureVerdict::Invalid,
            _ => SignatureVerdict::Untrusted,
        }
    }
}

#[test]
fn signatures_are_handed_to_the_verifier_with_what_they_sign() {
    let plain = format!("{}:{SINGLE}", SINGLE.len());
    let with_more = format!("{}:{SINGLE}d1:xi1ee", SINGLE.len() + 8);
    let signatures = format!(
        "d1:ad11:certificate7:trusted9:signature{plain}e1:bd11:certificate7:trusted4:infod1:xi1ee9:signature{with_more}e\
         1:cd11:certificate7:trusted4:infod1:xi2ee9:signature{with_more}e1:dd9:signature{plain}e1:ed4:infodeee"
    );
    let file = format!("d4:info{SINGLE}10:signatures{signatures}e");
    let torrent = Metainfo::from_bytes(file.as_bytes()).unwrap();
    let verdicts: Vec<_> =
        torrent.verify_signatures(&Plain).into_iter().map(|(by, verdict)| (by.signer, verdict)).collect();
    let [valid, invalid, untrusted] = [SignatureVerdict::Valid, SignatureVerdict::Invalid, SignatureVerdict::Untrusted];
    let expected = [("a", valid), ("b", valid), ("c", invalid), ("d", untrusted)];
    assert_eq!(verdicts, expected.map(|(signer, verdict)| (signer.into(), verdict)));
    assert_eq!(torrent.to_bytes(), file.as_bytes());
}

#[test]
fn hints_inside_and_outside_are_merged() {
    let mut hasher = Builder::new("x", 16_384)
        .single_file(1)
        .similar([InfoHash::new([1; 20])])
        .collections(["one", "two"])
        .update_url("http://feed/")
        .originator(b"cert".to_vec())
        .source("here")
        .hasher()
        .unwrap();
    hasher.update(b"x");
    let torrent = hasher.finish().unwrap();
    let mut parts = torrent.parts().clone();
    parts.similar = vec![InfoHash::new([1; 20]), InfoHash::new([2; 20])];
    parts.collections = vec!["two".into(), "three".into()];
    let torrent = Metainfo::from_bytes(&torrent.with_parts(parts).to_bytes()).unwrap();
    assert_eq!(torrent.similar().collect::<Vec<_>>(), [InfoHash::new([1; 20]), InfoHash::new([2; 20])]);
    assert_eq!(torrent.collections().collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(
        (torrent.info().update_url(), torrent.info().originator().unwrap().as_ref()),
        (Some("http://feed/"), &b"cert"[..])
    );
    assert_eq!(torrent.warnings(), []);
}

#[test]
fn editing_changes_what_was_edited_and_nothing_else() {
    let unsorted = format!("d4:name1:x{}", SINGLE.replace("4:name1:x", "").trim_start_matches('d'));
    let file = format!(
        "d8:announce1:a13:announce-listll1:ael1:bee8:encoding5:UTF-84:info{unsorted}5:nodesll1:hi6881e1:?ee10:signaturesd1:ad9:signature1:xee\
         7:unknownd1:bi1e1:ai2eee"
    );
    let torrent = Metainfo::from_bytes(file.as_bytes()).unwrap();
    assert_eq!(torrent.clone().with_parts(torrent.parts().clone()).to_bytes(), file.as_bytes());
    let mut parts = torrent.parts().clone();
    parts.announce_tiers = vec![vec!["http://new/".into()]];
    parts.comment = Some("edited".into());
    let edited = torrent.clone().with_parts(parts.clone());
    let expected =
        file.replace("8:announce1:a13:announce-listll1:ael1:bee", "8:announce11:http://new/7:comment6:edited");
    assert_eq!(String::from_utf8_lossy(&edited.to_bytes()), expected);
    let again = Metainfo::from_bytes(&edited.to_bytes()).unwrap();
    assert_eq!((again.info(), again.parts()), (torrent.info(), &parts));
    parts.announce_tiers.clear();
    parts.comment = None;
    let bare = String::from_utf8_lossy(&edited.with_parts(parts).to_bytes()).into_owned();
    assert_eq!(bare, file.replace("8:announce1:a13:announce-listll1:ael1:bee", ""));
}

/// Each entry stands there in a form that is never written, so that it shows whether it was written anew.
#[test]
fn each_part_is_edited_alone() {
    type Edit = fn(&mut Parts);
    let rows: [(&str, &str, Edit, &str); 9] = [
        ("announce-list", "l1:aee", |it| it.announce_tiers = vec![vec!["b".into()]], ""),
        ("collections", "1:c", |it| it.collections = vec!["d".into()], "l1:de"),
        ("comment", "2:a ", |it| it.comment = Some("b".into()), "1:b"),
        ("created by", "02:me", |it| it.created_by = Some("you".into()), "3:you"),
        ("creation date", "i007e", |it| it.creation_date = Some(8), "i8e"),
        ("httpseeds", "1:h", |it| it.http_seeds = vec!["i".into()], "l1:ie"),
        ("nodes", "ll1:hi06eee", |it| it.nodes = vec![Node { host: "g".into(), port: 7 }], "ll1:gi7eee"),
        (
            "similar",
            "20:AAAAAAAAAAAAAAAAAAAA",
            |it| it.similar = vec![InfoHash::new([b'B'; 20])],
            "l20:BBBBBBBBBBBBBBBBBBBBe",
        ),
        ("url-list", "1:w", |it| it.web_seeds = vec!["v".into()], "l1:ve"),
    ];
    let entry =
        |key: &str, value: &str| if value.is_empty() { String::new() } else { format!("{}:{key}{value}", key.len()) };
    let list = entry("announce-list", "ll1:aee");
    let file = |changed: &str, to: &str| {
        let middle = format!("4:info{SINGLE}");
        let all = rows.iter().map(|(key, before, ..)| match *key {
            "announce-list" if changed == "announce-list" => entry("announce", "1:b"),
            "announce-list" => list.clone(),
            key => entry(key, if key == changed { to } else { before }),
        });
        let mut parts: Vec<String> = all.collect();
        parts.insert(6, middle);
        format!("d{}e", parts.concat())
    };
    let original = file("", "");
    let torrent = Metainfo::from_bytes(original.as_bytes()).unwrap();
    assert_eq!((torrent.creation_date(), torrent.comment(), torrent.created_by()), (Some(7), Some("a "), Some("me")));
    assert_eq!((torrent.web_seeds(), torrent.http_seeds()), (&["w".to_owned()][..], &["h".to_owned()][..]));
    assert_eq!(torrent.to_bytes(), original.as_bytes());
    for (key, _, edit, to) in rows {
        let mut parts = torrent.parts().clone();
        edit(&mut parts);
        let edited = torrent.clone().with_parts(parts.clone()).to_bytes();
        assert_eq!(String::from_utf8_lossy(&edited), file(key, to), "{key}");
        assert_eq!(Metainfo::from_bytes(&edited).unwrap().parts(), &parts, "{key}");
    }
}

#[test]
fn tiers_without_an_address_are_left_out_and_nothing_else() {
    let read = |tiers: &str| {
        let torrent = Metainfo::from_bytes(format!("d13:announce-list{tiers}4:info{SINGLE}e").as_bytes()).unwrap();
        (torrent.announce_tiers().to_vec(), torrent.warnings().contains(&Warning::Ignored("announce-list")))
    };
    let text = |all: &[&[&str]]| {
        all.iter().map(|tier| tier.iter().map(|it| (*it).to_owned()).collect()).collect::<Vec<Vec<String>>>()
    };
    assert_eq!(read("ll0:1:aelel1:b1:cee"), (text(&[&["a"], &["b", "c"]]), false));
    assert_eq!(read("l1:al1:bee"), (text(&[&["a"], &["b"]]), false));
    assert_eq!(read("li7el1:bi1eee"), (text(&[&["b"]]), true));
    assert_eq!(read("1:a"), (text(&[]), true));
}

#[test]
fn files_are_picked_and_counted() {
    let info = with_files("d6:lengthi1e4:pathl1:aeed6:lengthi2e4:pathl1:beed6:lengthi3e4:pathl1:cee");
    let info = Info::from_bytes(info).unwrap();
    let files = info.layout().files();
    assert_eq!((files.len(), files.iter().size_hint(), files.iter().len()), (3, (3, Some(3)), 3));
    assert_eq!(files.get(2).map(|file| file.length()), Some(3));
    assert!(files.get(3).is_none() && files.get(usize::MAX).is_none());
    let mut rest = files.iter();
    rest.next();
    assert_eq!((rest.len(), rest.size_hint()), (2, (2, Some(2))));
}

#[test]
fn a_magnet_link_carries_what_surrounds_the_info_dictionary() {
    let builder = Builder::new("a & b", 4).single_file(0).tracker("udp://t:1").tracker("http://u/?x=y");
    let torrent = builder.web_seed("http://w/").finish_with_hashes(Vec::<Sha1Hash>::new()).unwrap();
    let link: MagnetLink = MagnetLink::from_metainfo(&torrent).to_string().parse().unwrap();
    assert_eq!((link.info_hashes(), link.name()), (torrent.info_hashes(), Some("a & b")));
    assert_eq!(link.trackers(), torrent.announce_tiers().concat());
    assert_eq!(link.web_seeds(), torrent.web_seeds());
}

proptest! {
    #[test]
    fn what_is_built_reads_back(
        files in prop::collection::vec((prop::collection::vec("[a-c]{1,2}", 1..4), 0usize..60), 1..12),
        piece_length in 1u32..50,
        seed in any::<u8>(),
    ) {
        let total: usize = files.iter().map(|(_, length)| length).sum();
        let data: Vec<u8> = (0..total).map(|i| seed.wrapping_add(i.to_le_bytes()[0])).collect();
        let builder = files.iter().fold(Builder::new("root", piece_length), |builder, (path, length)| {
            builder.add_file(path.clone(), *length as u64)
        });
        let mut hasher = builder.hasher().unwrap();
        hasher.update(&data);
        let built = hasher.finish().unwrap();
        let torrent = Metainfo::from_bytes(&built.to_bytes()).unwrap();
        prop_assert_eq!(torrent.info_hashes(), built.info_hashes());

        let info = torrent.info();
        let lengths: Vec<_> = info.layout().files().iter().map(|file| file.length()).collect();
        prop_assert_eq!(lengths, files.iter().map(|(_, length)| *length as u64).collect::<Vec<_>>());
        prop_assert!(can_coexist(info.layout()));
        for (number, piece) in (0u32..).zip(data.chunks(piece_length as usize)) {
            prop_assert_eq!(info.piece_hash(PieceIndex(number)), Some(PieceHash::V1(sha1(piece))));
            let spans: u64 = info.layout().spans(u64::from(number * piece_length), piece.len() as u64).map(|s| s.len).sum();
            prop_assert_eq!(spans, piece.len() as u64);
        }
    }

    #[test]
    fn any_paths_become_safe_and_distinct(
        files in prop::collection::vec(prop::collection::vec("[aA./~1]{0,3}|CON|\\PC{0,4}", 1..4), 1..16)
    ) {
        let files: String = files
            .iter()
            .map(|path| format!("d6:lengthi1e4:pathl{}ee", path.iter().map(|name| text(name)).collect::<String>()))
            .collect();
        let info = Info::from_bytes(with_files(&files)).unwrap();
        prop_assert!(is_safe(info.layout()), "{:?}", info.layout());
        prop_assert!(can_coexist(info.layout()), "{:?}", paths(info.layout()));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Info::from_bytes(bytes.clone());
        if let Err(error) = Metainfo::from_bytes(&bytes) {
            prop_assert!(error.offset().is_some_and(|offset| offset <= bytes.len()));
        }
    }

    #[test]
    fn damaged_torrents_are_refused_or_read_back_as_they_are(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, "[0-9deil:a-z-]{0,4}"), 0..4),
        multi in any::<bool>(),
    ) {
        let files = with_files("d4:attr1:x6:lengthi2e4:pathl1:a1:beed6:lengthi3e4:pathl1:ceed6:lengthi0e4:pathl1:a1:bee");
        let info = if multi { files.as_str() } else { SINGLE };
        let mut file = format!(
            "d8:announce1:t13:announce-listll1:tel1:uee7:comment2:hi13:creation datei9e4:info{info}\
             5:nodesll1:hi1eee8:url-listl1:wee"
        );
        prop_assert_eq!(Metainfo::from_bytes(file.as_bytes()).map(|torrent| torrent.to_bytes()), Ok(file.clone().into_bytes()));
        for (at, cut, paste) in edits {
            let at = at.index(file.len());
            file.replace_range(at..(at + cut).min(file.len()), &paste);
        }
        if let Ok(torrent) = Metainfo::from_bytes(file.as_bytes()) {
            prop_assert!(is_safe(torrent.info().layout()) && can_coexist(torrent.info().layout()));
            let again = Metainfo::from_bytes(&torrent.to_bytes()).unwrap();
            prop_assert_eq!((again.info(), again.parts()), (torrent.info(), torrent.parts()));
            let raw = Info::from_bytes(torrent.info().raw().clone()).unwrap();
            prop_assert_eq!(raw.info_hashes(), torrent.info_hashes());
        }
    }
}

#[test]
fn an_info_dictionary_is_all_of_its_bytes() {
    assert!(Info::from_bytes(SINGLE).is_ok());
    for tail in ["garbage", "e", "4:zzzzi1e", SINGLE] {
        let error = Info::from_bytes(format!("{SINGLE}{tail}")).unwrap_err();
        assert_eq!(error.offset(), Some(SINGLE.len()), "{tail}");
    }
}

/// B6 and B8, in memory: a directory stands in the tree once, and in the paths of all its files.
#[test]
fn deep_directories_with_many_empty_files_are_refused() {
    let name = "a".repeat(240);
    let open = format!("d240:{name}").repeat(95);
    let files: String = (0..20_000).map(|number| format!("5:{number:05}d0:d6:lengthi0eee")).collect();
    let tree = format!("{open}d{files}e{}", "e".repeat(95));
    let info = format!("d9:file tree{tree}12:meta versioni2e4:name1:x12:piece lengthi16384ee");
    assert!(matches!(Info::from_bytes(info).unwrap_err().kind(), ErrorKind::PathsTooLong(_)));
}

#[test]
fn an_edited_torrent_may_be_longer_than_one_that_is_read() {
    let torrent = Metainfo::from_bytes(format!("d4:info{SINGLE}e").as_bytes()).unwrap();
    let mut parts = torrent.parts().clone();
    parts.comment = Some("x".repeat(129 << 20));
    parts.creation_date = Some(u64::MAX);
    let bytes = torrent.with_parts(parts).to_bytes();
    assert!(bytes.len() > 129 << 20);
    assert!(bytes.windows(40).take(1).count() == 1 && bytes.ends_with(format!("4:info{SINGLE}e").as_bytes()));
}
