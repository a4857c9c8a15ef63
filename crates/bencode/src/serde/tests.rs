use super::*;
use crate::owned::OwnedValue;
use crate::{DecodeLimits, ErrorKind, decode_prefix};
use ::serde::{Deserialize, Serialize};
use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};
use proptest::prelude::*;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Torrent<'a> {
    announce: Option<&'a str>,
    #[serde(borrow)]
    info: RawValue<'a>,
    #[serde(rename = "url-list")]
    urls: Vec<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, OwnedValue>,
}

#[test]
fn raw_spans_and_unknown_keys_survive_a_round_trip() {
    // The info dictionary is not canonical, and its hash depends on every byte of it.
    let bytes = b"d4:infod1:bi01e1:ai2ee5:otherd1:zli-1e2:\xff\xfeee8:url-listl1:u1:vee";
    let torrent: Torrent<'_> = from_bytes(bytes).unwrap();
    assert_eq!(torrent.info.as_bytes(), b"d1:bi01e1:ai2ee");
    assert_eq!((torrent.announce, &torrent.urls[..]), (None, &["u".to_owned(), "v".to_owned()][..]));
    assert_eq!(torrent.unknown.keys().collect::<Vec<_>>(), ["other"]);
    assert_eq!(to_bytes(&torrent).unwrap(), bytes);
    let owned: BTreeMap<String, RawBuf> = from_bytes(b"d1:ali1eee").unwrap();
    assert_eq!(owned["a"].as_bytes(), b"li1ee");
    assert_eq!(to_bytes(&owned).unwrap(), b"d1:ali1eee");
    assert!(RawBuf::new(*b"li1ee").is_ok() && RawBuf::new(*b"li1eei1e").is_err() && RawValue::new(b"l").is_err());
}

#[test]
fn integers_keep_to_the_type_that_is_asked_for() {
    assert_eq!(from_bytes(b"i18446744073709551615e"), Ok(u64::MAX));
    assert_eq!(from_bytes(b"i-9223372036854775808e"), Ok(i64::MIN));
    assert_eq!(
        to_bytes(&(u64::MAX, i64::MIN, -1_i8, true)).unwrap(),
        b"li18446744073709551615ei-9223372036854775808ei-1ei1ee"
    );
    assert_eq!((from_bytes(b"i255e"), from_bytes(b"i1e")), (Ok(255_u8), Ok(true)));
    for (input, offset) in [(&b"i256e"[..], 5), (b"i-1e", 4)] {
        assert!(matches!(from_bytes::<u8>(input), Err(SerdeError::Type { offset: found, .. }) if found == offset));
    }
    assert!(matches!(from_bytes::<bool>(b"i2e"), Err(SerdeError::Type { offset: 0, .. })));
    let beyond = from_bytes::<u64>(b"i18446744073709551616e");
    assert!(matches!(beyond, Err(SerdeError::Syntax(error)) if error.kind() == ErrorKind::IntegerOverflow));
    assert!(to_bytes(&1.5_f64).is_err() && to_bytes(&()).is_err() && to_bytes(&None::<u8>).is_err());
}

/// What is passed over is checked all the same, at every level and after every level.
#[test]
fn what_is_passed_over_is_checked() {
    use ErrorKind::{KeyNotString, MissingValue, UnexpectedByte};
    #[derive(Deserialize, PartialEq, Debug)]
    struct Last {
        z: u8,
    }
    let read = |inside: &[u8]| from_bytes::<Last>(&[b"d1:a", inside, b"1:zi7ee"].concat());
    for sound in [
        &b"i1e"[..],
        b"d1:bd1:ci1e1:dlee1:ei2ee",
        b"lld1:ali1eeed1:bi1eeee",
        b"d1:ald1:bi1eee1:cd1:di1eee",
        b"le",
        b"de",
    ] {
        assert_eq!(read(sound), Ok(Last { z: 7 }), "{}", sound.escape_ascii());
    }
    let broken: [(&[u8], ErrorKind, usize); 6] = [
        (b"d1:bd1:ci1eei1ei2ee", KeyNotString, 16),
        (b"d1:bli1eei1ei2ee", KeyNotString, 13),
        (b"d1:be", MissingValue, 8),
        (b"ld1:bi1e1:cee", MissingValue, 15),
        (b"lxe", UnexpectedByte(b'x'), 5),
        (b"d1:bd1:ci1ee1:de", MissingValue, 19),
    ];
    for (inside, kind, offset) in broken {
        let error = read(inside).unwrap_err();
        let SerdeError::Syntax(found) = error else { panic!("{error}") };
        assert_eq!((found.kind(), found.offset()), (kind, offset), "{}", inside.escape_ascii());
    }
}

#[test]
fn strings_are_borrowed_or_read_byte_by_byte() {
    let input = b"3:abc".to_vec();
    let bytes: &[u8] = from_bytes(&input).unwrap();
    assert_eq!(bytes.as_ptr(), input[2..].as_ptr());
    assert_eq!(from_bytes::<&str>(&input), Ok("abc"));
    assert_eq!((from_bytes(&input), from_bytes(&input)), (Ok(*b"abc"), Ok(b"abc".to_vec())));
    assert!(matches!(from_bytes::<[u8; 4]>(&input), Err(SerdeError::Type { offset: 0, .. })));
    assert!(matches!(from_bytes::<&str>(b"1:\xff"), Err(SerdeError::Type { offset: 0, .. })));
    assert_eq!(from_bytes_prefix::<u8>(b"i7edata"), Ok((7, &b"data"[..])));
    assert!(matches!(from_bytes::<u8>(b"i7e "), Err(SerdeError::Syntax(error)) if error.offset() == 3));
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Event {
    Started,
    Moved(u8),
    Both(u8, String),
    Named { x: i32 },
}

#[test]
fn enums_are_a_string_or_a_dictionary_of_one_entry() {
    let all = vec![Event::Started, Event::Moved(3), Event::Both(1, "a".to_owned()), Event::Named { x: -1 }];
    let bytes = to_bytes(&all).unwrap();
    assert_eq!(bytes, b"l7:Startedd5:Movedi3eed4:Bothli1e1:aeed5:Namedd1:xi-1eeee");
    assert_eq!(from_bytes::<Vec<Event>>(&bytes), Ok(all));
    assert!(from_bytes::<Event>(b"7:Stopped").is_err());
}

#[derive(Deserialize, Debug)]
#[expect(dead_code, reason = "only what cannot be read into it matters")]
struct Small {
    a: u8,
}

#[test]
fn faults_have_their_place() {
    let table: &[(&[u8], usize)] = &[
        (b"", 0),
        (b"d1:a", 4),
        (b"d1:ae", 4),
        (b"d1:a1:xe", 4),
        (b"di1ei2ee", 1),
        (b"d1:ai1e1:bx", 10),
        (b"d1:ai1e1:bd1:cee", 14),
        (b"d1:ai1e1:b9:", 10),
        (b"d1:ai1e", 7),
    ];
    for (input, offset) in table {
        match from_bytes::<Small>(input) {
            Err(SerdeError::Syntax(error)) => assert_eq!(error.offset(), *offset, "{}", input.escape_ascii()),
            Err(SerdeError::Type { offset: found, .. }) => assert_eq!(found, *offset, "{}", input.escape_ascii()),
            other => panic!("{}: {other:?}", input.escape_ascii()),
        }
    }
    assert!(from_bytes::<Small>(b"de").unwrap_err().to_string().contains("missing field"));
}

#[test]
fn nesting_is_limited_whether_it_is_wanted_or_not() {
    let deep = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    for depth in [100, 101, 1_000_000] {
        let (skipped, built) = (from_bytes::<RawBuf>(&deep(depth)), from_bytes::<OwnedValue>(&deep(depth)));
        assert_eq!((skipped.is_ok(), built.is_ok()), (depth <= 100, depth <= 100), "{depth}");
    }
}

proptest! {
    #[test]
    fn what_is_passed_over_is_what_the_decoder_takes(
        input in prop::collection::vec(prop::sample::select(&b"ilde:-0123459ab\xff"[..]), 0..40)
    ) {
        let raw = from_bytes_prefix::<RawValue<'_>>(&input).map(|(raw, _)| raw.as_bytes());
        let decoded = decode_prefix(&input, &DecodeLimits::default());
        match (raw, decoded) {
            (Ok(raw), Ok((document, _))) => prop_assert_eq!(raw, document.root().raw()),
            (Err(SerdeError::Syntax(error)), Err(expected)) => prop_assert_eq!(error.offset(), expected.offset()),
            (raw, decoded) => prop_assert!(false, "{:?} {:?}", raw, decoded.map(|_| ())),
        }
        if let Ok(value) = from_bytes::<OwnedValue>(&input) {
            let (document, _) = decode_prefix(&input, &DecodeLimits::default()).unwrap();
            prop_assert_eq!(&value, &OwnedValue::from(document.root()));
            prop_assert_eq!(to_bytes(&value).unwrap(), value.encode());
        }
    }

    #[test]
    fn maps_are_written_in_order(entries in prop::collection::vec(("[a-c]{0,2}", any::<Option<i64>>()), 0..8)) {
        struct Unordered(Vec<(String, Option<i64>)>);
        impl Serialize for Unordered {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
            }
        }
        let bytes = to_bytes(&Unordered(entries.clone())).unwrap();
        let present = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let expected: BTreeMap<String, i64> = present.collect();
        prop_assert_eq!(from_bytes::<BTreeMap<String, i64>>(&bytes), Ok(expected), "{}", format!("{bytes:?}"));
    }
}
