//! Torrents made to do harm: each is refused with a kind and a byte, or loads as something that docs/torrents.md calls safe. What that costs in memory is
//! counted.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use unchoke_bencode::{DecodeLimits, OwnedValue, decode};
use unchoke_metainfo::info::{MAX_FILES, MAX_INFO_LEN};
use unchoke_metainfo::{Builder, ErrorKind, Info, Metainfo, Version, Warning};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Held while memory is counted, because tests run side by side.
static ALONE: Mutex<()> = Mutex::new(());

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Memory) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Memory) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Memory, size: usize) -> *mut u8 {
        // Until the old memory is let go both are there.
        grown(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that was in use during `work` beyond what was before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (result, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

/// Loads a hostile torrent, requires what holds for all of them, and tells what came of it.
fn load(file: &[u8]) -> Result<Metainfo, ErrorKind> {
    let (_, memory) = peak(|| decode(file, &DecodeLimits::default()).map(drop));
    assert!(memory <= 5 * file.len() + (1 << 20), "{memory} bytes of memory to decode {}", show(file));
    let (result, memory) = peak(|| Metainfo::from_bytes(file));
    assert!(memory <= 8 * file.len() + (1 << 20), "{memory} bytes of memory for {}", show(file));
    match result {
        Ok(torrent) => {
            assert_safe(&torrent, file);
            Ok(torrent)
        }
        Err(error) => {
            assert!(error.offset().is_some_and(|offset| offset <= file.len()), "{error} in {}", show(file));
            Err(error.kind().clone())
        }
    }
}

fn show(file: &[u8]) -> String {
    String::from_utf8_lossy(file).chars().take(300).collect()
}

fn assert_safe(torrent: &Metainfo, file: &[u8]) {
    let info = torrent.info();
    let layout = info.layout();
    let mut names = BTreeSet::new();
    let mut parents = BTreeSet::new();
    let mut end = 0;
    for entry in layout.files() {
        assert!(entry.offset() >= end, "files overlap in {}", show(file));
        end = entry.offset() + entry.length();
        for name in entry.components() {
            let is_safe = !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.ends_with(['.', ' ']);
            assert!(is_safe && !name.contains(['/', '\\', ':', '\0', '\u{202e}', '\n']), "{name:?} in {}", show(file));
        }
        if entry.is_padding() {
            continue;
        }
        let path = entry.path().to_uppercase().to_lowercase();
        parents.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        assert!(names.insert(path), "{:?} is there twice in {}", entry.path(), show(file));
        if let Some(target) = entry.symlink_target() {
            let is_inside = |file: &str| file == target || file.starts_with(&format!("{target}/"));
            assert!(layout.files().iter().any(|file| is_inside(file.below_root()) && file.number() != entry.number()));
        }
    }
    assert!(names.is_disjoint(&parents), "a file is a directory in {}", show(file));
    let mut covered = 0;
    for piece in info.geometry().pieces().take(1_000) {
        let (at, length) = (info.geometry().piece_offset(piece).unwrap(), info.geometry().piece_len(piece).unwrap());
        let spans: u64 = layout.spans(at, length.into()).map(|span| span.len).sum();
        assert_eq!(spans, u64::from(length), "{}", show(file));
        assert!(info.piece_hash(piece).is_some() || info.root_hash().is_some(), "{}", show(file));
        covered += u64::from(length);
    }
    assert!(covered == info.geometry().total_len() || info.geometry().piece_count() > 1_000);
    assert_eq!(info.missing_layers().count(), 0);
    let written = torrent.to_bytes();
    let again = Metainfo::from_bytes(&written).unwrap();
    assert_eq!((again.info(), again.parts(), again.to_bytes()), (info, torrent.parts(), written));
}

fn bytes(text: impl AsRef<[u8]>) -> OwnedValue {
    OwnedValue::Bytes(text.as_ref().to_vec())
}

fn list(items: impl IntoIterator<Item = OwnedValue>) -> OwnedValue {
    OwnedValue::List(items.into_iter().collect())
}

fn dict(entries: impl IntoIterator<Item = (&'static str, OwnedValue)>) -> OwnedValue {
    OwnedValue::Dict(entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect())
}

/// Sound torrents of every kind, with every field that is read.
fn sound() -> Vec<OwnedValue> {
    let mut all = Vec::new();
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        for single in [true, false] {
            let builder = Builder::new("name", 16_384).version(version).private().source("s").comment("c");
            let builder =
                builder.tracker("http://t/").tracker("udp://u:1").web_seed("http://w/").http_seed("http://h/");
            let builder = builder.creation_date(1).created_by("p").update_url("http://n/").originator(b"cert".to_vec());
            let builder = builder.collections(["one", "two"]).similar([unchoke_core::InfoHash::new([7; 20])]);
            let builder = if single {
                builder.single_file(40_000)
            } else {
                builder.add_file(["a"], 40_000).add_file(["b", "c"], 0).add_file(["b", "d"], 5)
            };
            let mut hasher = builder.hasher().unwrap();
            hasher.update(&vec![3; 40_005]);
            let torrent = if single {
                let mut exact = hasher.clone();
                exact.update(&[]);
                drop(exact);
                let mut hasher = Builder::new("name", 16_384).version(version).single_file(40_000).hasher().unwrap();
                hasher.update(&vec![3; 40_000]);
                hasher.finish().unwrap()
            } else {
                hasher.finish().unwrap()
            };
            let written = torrent.to_bytes();
            all.push(OwnedValue::from(decode(&written, &DecodeLimits::default()).unwrap().root()));
        }
    }
    all
}

/// What is put in the place of each value.
fn boundaries() -> Vec<OwnedValue> {
    let numbers = [0, 1, -1, 2, 3, 16_383, 16_384, 1 << 29, 1 << 31, 1 << 40, i64::MAX, i64::MIN].map(OwnedValue::Int);
    let strings: [&[u8]; 16] = [
        b"",
        b".",
        b"..",
        b"/",
        b"/etc/passwd",
        b"..\\..",
        b"a\0b",
        b"CON",
        b"\xff",
        b"\xe2\x80\xae",
        b"a. ",
        b"0",
        b"p",
        b"xhlp",
        &[b'a'; 300],
        &[0; 32],
    ];
    let strings = strings.map(bytes);
    let lists = [
        list([]),
        list([bytes("")]),
        list([OwnedValue::Int(1)]),
        list([bytes(".."), bytes("x")]),
        list((0..101).map(|_| bytes("d"))),
    ];
    let dicts = [
        dict([]),
        dict([("", bytes(""))]),
        dict([("length", OwnedValue::Int(1))]),
        dict([("", dict([("length", OwnedValue::Int(0))]))]),
    ];
    numbers.into_iter().chain(strings).chain(lists).chain(dicts).collect()
}

/// Calls `visit` with the whole value for each change of one of its parts: removed, doubled under another key, or replaced.
fn each_change(whole: &OwnedValue, visit: &mut dyn FnMut(OwnedValue)) {
    for replacement in boundaries() {
        visit(replacement);
    }
    match whole {
        OwnedValue::Dict(entries) => {
            for (key, value) in entries {
                let without: BTreeMap<_, _> =
                    entries.iter().filter(|(other, _)| *other != key).map(|(k, v)| (k.clone(), v.clone())).collect();
                visit(OwnedValue::Dict(without.clone()));
                for other in [&b""[..], b"..", b"length", b"files", b"root hash", b"\xff"] {
                    let mut renamed = without.clone();
                    renamed.insert(other.to_vec(), value.clone());
                    visit(OwnedValue::Dict(renamed));
                }
                each_change(value, &mut |changed| {
                    let mut entries = entries.clone();
                    entries.insert(key.clone(), changed);
                    visit(OwnedValue::Dict(entries));
                });
            }
        }
        OwnedValue::List(items) => {
            for (at, item) in items.iter().enumerate() {
                let mut fewer = items.clone();
                fewer.remove(at);
                visit(OwnedValue::List(fewer));
                let mut more = items.clone();
                more.insert(at, item.clone());
                visit(OwnedValue::List(more));
                each_change(item, &mut |changed| {
                    let mut items = items.clone();
                    if let Some(item) = items.get_mut(at) {
                        *item = changed;
                    }
                    visit(OwnedValue::List(items));
                });
            }
        }
        _ => {}
    }
}

#[test]
fn b3_b7_b13_b14_b15_every_field_with_every_boundary_value_is_refused_or_safe() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut loaded, mut refused, mut kinds) = (0, 0, BTreeSet::new());
    for whole in sound() {
        load(&whole.encode()).unwrap();
        each_change(&whole, &mut |changed| match load(&changed.encode()) {
            Ok(_) => loaded += 1,
            Err(kind) => {
                refused += 1;
                let name = format!("{kind:?}");
                kinds.insert(name.split(['(', ' ']).next().unwrap_or_default().to_owned());
            }
        });
    }
    assert!(loaded > 500 && refused > 500, "{loaded} loaded, {refused} refused");
    assert!(kinds.len() > 15, "{kinds:?}");
}

/// A torrent of these bencoded files, each of no bytes.
fn v1(files: &str) -> Vec<u8> {
    format!("d4:infod5:filesl{files}e4:name1:d12:piece lengthi16384e6:pieces0:ee").into_bytes()
}

fn v2(tree: &str) -> Vec<u8> {
    format!("d4:infod9:file treed{tree}e12:meta versioni2e4:name1:d12:piece lengthi16384ee12:piece layersdee")
        .into_bytes()
}

#[test]
fn b2_b11_many_small_files_cost_a_bounded_amount_of_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = |name: &str| format!("d6:lengthi0e4:pathl{}:{name}ee", name.len());
    let same = load(&v1(&entry("a").repeat(200_000))).unwrap();
    assert_eq!(same.info().layout().files().get(199_999).unwrap().path(), "d/a.199999");
    assert_eq!(same.warnings(), [Warning::PathsReplaced { first: 1, count: 199_999 }]);
    let taken: String = (0..50_000).map(|number| entry(&format!("a.{number}"))).collect();
    let last = load(&v1(&format!("{taken}{}", entry("a").repeat(50_000)))).unwrap();
    assert_eq!(last.info().layout().files().get(99_999).unwrap().path(), "d/a.99998");
    let cases: String = (0..100_000).map(|number| entry(if number % 2 == 0 { "Aa" } else { "aA" })).collect();
    load(&v1(&cases)).unwrap();
    load(&v1(&"d4:attr1:p6:lengthi0ee".repeat(200_000))).unwrap();
    load(&v1(&"d4:attr1:l4:pathl1:le12:symlink pathl1:lee".repeat(100_000))).unwrap();
    load(&v1(&entry("\u{202e}").repeat(100_000))).unwrap();
    let deep: String = (0..2_000).map(|_| format!("d6:lengthi0e4:pathl{}ee", "1:a".repeat(100))).collect();
    load(&v1(&deep)).unwrap();
    let tree: String = (0..100_000).map(|number| format!("7:{number:07}d0:d6:lengthi0eee")).collect();
    load(&v2(&tree)).unwrap();
    assert_eq!(load(&v2("1:ade1:ade")).unwrap_err(), ErrorKind::UnsortedTree);
    let empty: String = (0..200_000).map(|number| format!("7:{number:07}de")).collect();
    assert_eq!(load(&v2(&empty)).unwrap_err(), ErrorKind::NoFiles);
}

#[test]
fn b2_many_small_values_around_the_info_dictionary_cost_a_bounded_amount_of_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let info = "4:infod6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:e";
    for field in ["announce-list", "url-list", "nodes", "httpseeds", "similar", "collections", "signatures", "unknown"]
    {
        for value in ["0:", "1:a", "le", "l1:ae", "l1:hi1ee", "i1e", "20:aaaaaaaaaaaaaaaaaaaa", "de"] {
            let many = value.repeat(200_000);
            let (before, after) = if field < "info" {
                (format!("{}:{field}l{many}e", field.len()), String::new())
            } else {
                (String::new(), format!("{}:{field}l{many}e", field.len()))
            };
            let torrent = load(format!("d{before}{info}{after}e").as_bytes()).unwrap();
            assert!(torrent.web_seeds().len() <= 4096 && torrent.nodes().len() <= 4096);
        }
    }
    let keys: String = (0..100_000).map(|number| format!("7:z{number:06}0:")).collect();
    assert!(load(format!("d{info}{keys}e").as_bytes()).is_ok());
    let signers: String = (0..20_000).map(|number| format!("5:{number:05}d9:signature1:xe")).collect();
    let torrent = load(format!("d{info}10:signaturesd{signers}ee").as_bytes()).unwrap();
    assert_eq!(torrent.signatures().len(), 4096);
}

#[test]
fn b2_a_large_sound_torrent_costs_little_more_than_its_bytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let builder = Builder::new("folder", 16_384).version(version).tracker("http://t/");
        let builder = (0..3_000).fold(builder, |builder, number| {
            let folder = format!("folder {:02}", number / 100);
            builder.add_file([folder, format!("a file of some name {number:04}.bin")], 17_000)
        });
        let mut hasher = builder.hasher().unwrap();
        (0..3_000).for_each(|_| hasher.update(&[9; 17_000]));
        let file = hasher.finish().unwrap().to_bytes();
        assert!(file.len() > 250_000, "{}", file.len());
        let (torrent, memory) = peak(|| Metainfo::from_bytes(&file));
        assert_eq!(torrent.unwrap().info().layout().files().iter().filter(|file| !file.is_padding()).count(), 3_000);
        assert!(memory <= 3 * file.len(), "{memory} bytes of memory for {} in {version:?}", file.len());
    }
}

#[test]
fn b1_nesting_costs_no_stack() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        for depth in [99, 100, 101, 1_000, 100_000, 1_000_000] {
            for (open, close) in [("l", "e"), ("d1:a", "e"), ("d1:al", "ee")] {
                let nested = format!("{}{}", open.repeat(depth), close.repeat(depth));
                for file in [nested.clone(), format!("d4:info{nested}e"), format!("d4:infod9:file tree{nested}ee")] {
                    assert!(load(file.as_bytes()).is_err());
                }
            }
        }
        let inside = |depth: usize| {
            let tree = format!("{}d0:d6:lengthi0eee{}", "d1:a".repeat(depth), "e".repeat(depth));
            let info = format!("d9:file tree{tree}12:meta versioni2e4:name1:d12:piece lengthi16384ee");
            load(format!("d4:info{info}12:piece layersdee").as_bytes())
        };
        assert!(inside(90).is_ok() && inside(97).is_err());
    };
    std::thread::Builder::new().stack_size(64 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn b4_of_a_key_that_is_there_twice_the_first_counts_and_the_hash_is_over_the_bytes_as_they_are() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let info = "d6:lengthi0e4:name1:x4:name1:y12:piece lengthi16384e6:pieces0:e";
    let file = format!("d8:announce1:a8:announce1:b4:info{info}e");
    let torrent = load(file.as_bytes()).unwrap();
    assert_eq!((torrent.info().name(), torrent.announce_tiers()), ("x", &[vec!["a".to_owned()]][..]));
    assert_eq!(torrent.info().raw().as_ref(), info.as_bytes());
    assert_eq!(torrent.info_hashes().get_v1(), Some(unchoke_core::hash::sha1(info.as_bytes())));
    assert!(torrent.warnings().contains(&Warning::NotCanonical));
    assert_eq!(load(&torrent.to_bytes()).unwrap().announce_tiers(), torrent.announce_tiers());
}

#[test]
fn b5_what_is_cut_off_is_refused_and_what_is_too_much_is_reported() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for whole in sound() {
        let file = whole.encode();
        for end in 0..file.len() {
            assert!(matches!(load(&file[..end]), Err(ErrorKind::Bencode(_))));
        }
        let torrent = load(&[&file[..], b"x"].concat()).unwrap();
        assert!(torrent.warnings().contains(&Warning::NotCanonical));
        assert_eq!(torrent.to_bytes(), file);
    }
}

#[test]
fn b7_limits_are_where_they_are_said_to_be() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let files = "d6:lengthi0e4:pathl1:aee".repeat(MAX_FILES + 1);
    assert_eq!(load(&v1(&files)).unwrap_err(), ErrorKind::TooManyFiles(MAX_FILES + 1));
    let long = format!("d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces{MAX_INFO_LEN}:");
    let long = [long.as_bytes(), &vec![0; MAX_INFO_LEN], b"e"].concat();
    assert_eq!(Info::from_bytes(long.clone()).unwrap_err().kind(), &ErrorKind::InfoTooLong(long.len()));
}

#[test]
fn b13_padding_of_any_length_costs_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let length = 16_384_u64 * 1_000;
    let pieces = "A".repeat(20_000);
    for pad in [format!("d4:attr1:p6:lengthi{length}e4:pathl4:.pad1:1ee"), format!("d4:attr1:p6:lengthi{length}ee")] {
        let info = format!("d5:filesl{pad}e4:name1:d12:piece lengthi16384e6:pieces20000:{pieces}e");
        let torrent = load(format!("d4:info{info}e").as_bytes());
        assert!(torrent.is_ok_and(|torrent| torrent.info().layout().files().get(0).unwrap().is_padding()));
    }
    assert_eq!(
        load(&v1("d4:attr1:p6:lengthi9223372036854775807eed4:attr1:p6:lengthi1ee")).unwrap_err(),
        ErrorKind::TotalTooLong
    );
}

#[test]
fn b12_links_lead_to_files_of_the_torrent_or_nowhere() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let link = |at: &str, to: &str| {
        let path = |path: &str| path.split('/').map(|name| format!("{}:{name}", name.len())).collect::<String>();
        format!("d4:attr1:l4:pathl{}e12:symlink pathl{}ee", path(at), path(to))
    };
    let files = ["d6:lengthi0e4:pathl1:d1:feed6:lengthi0e4:pathl1:gee".to_owned()]
        .into_iter()
        .chain([
            link("to-file", "d/f"),
            link("to-directory", "d"),
            link("d/up", "g"),
            link("out", "../../etc/passwd"),
            link("self", "self"),
            link("loop-1", "loop-2"),
            link("loop-2", "loop-1"),
            link("d/in-itself", "d"),
            link("nothing", "x/y"),
            link("through", "to-directory/f"),
            "d4:attr1:l4:pathl4:nonee".to_owned() + "e",
        ])
        .collect::<String>();
    let torrent = load(&v1(&files)).unwrap();
    let targets: BTreeMap<_, _> = torrent
        .info()
        .layout()
        .files()
        .iter()
        .filter(|file| file.is_symlink())
        .map(|file| (file.below_root().to_owned(), file.symlink_target().map(str::to_owned)))
        .collect();
    let leads = |name: &str| targets[name].as_deref();
    assert_eq!((leads("to-file"), leads("to-directory"), leads("d/up")), (Some("d/f"), Some("d"), Some("g")));
    let nowhere = ["out", "self", "loop-1", "loop-2", "d/in-itself", "nothing", "through", "none"];
    nowhere.iter().for_each(|name| assert_eq!(leads(name), None, "{name}"));
    assert_eq!(torrent.warnings(), [Warning::LinksWithoutTarget { first: 5, count: 8 }]);
    // A link gives way to a directory of its name, so nothing is ever written through it.
    let under =
        load(&v1(&[link("s", "d"), "d6:lengthi0e4:pathl1:s1:xeed6:lengthi0e4:pathl1:d1:fee".into()].concat())).unwrap();
    assert_eq!(under.info().layout().files().get(0).unwrap().below_root(), "s.1");
}
