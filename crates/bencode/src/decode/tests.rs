use super::*;
use crate::document::Value;
use alloc::{format, vec};
use proptest::prelude::*;

fn fault(input: &[u8]) -> Option<(ErrorKind, usize)> {
    decode(input, &DecodeLimits::default()).err().map(|error| (error.kind(), error.offset()))
}

#[test]
fn errors_tell_kind_and_offset() {
    use ErrorKind::*;
    let table: &[(&[u8], ErrorKind, usize)] = &[
        (b"", UnexpectedEnd, 0),
        (b"i", UnexpectedEnd, 1),
        (b"i-", UnexpectedEnd, 2),
        (b"i12", UnexpectedEnd, 3),
        (b"ie", UnexpectedByte(b'e'), 1),
        (b"i-e", UnexpectedByte(b'e'), 2),
        (b"i--1e", UnexpectedByte(b'-'), 2),
        (b"i+3e", UnexpectedByte(b'+'), 1),
        (b"i 3e", UnexpectedByte(b' '), 1),
        (b"i3.0e", UnexpectedByte(b'.'), 2),
        (b"4:abc", StringBeyondInput, 0),
        (b"99999999999999999999999:", StringBeyondInput, 0),
        (b"18446744073709551617:a", StringBeyondInput, 0),
        (b"99999999999x", StringBeyondInput, 0),
        (b"3abc", UnexpectedByte(b'a'), 1),
        (b"l0", UnexpectedEnd, 2),
        (b"-1:a", UnexpectedByte(b'-'), 0),
        (b"e", UnexpectedByte(b'e'), 0),
        (b"x", UnexpectedByte(b'x'), 0),
        (b"l", UnexpectedEnd, 1),
        (b"d", UnexpectedEnd, 1),
        (b"d1:a", UnexpectedEnd, 4),
        (b"li1e", UnexpectedEnd, 4),
        (b"lxe", UnexpectedByte(b'x'), 1),
        (b"d1:ae", MissingValue, 4),
        (b"di1ei2ee", KeyNotString, 1),
        (b"dlei2ee", KeyNotString, 1),
    ];
    for (input, kind, offset) in table {
        assert_eq!(fault(input), Some((*kind, *offset)), "{}", input.escape_ascii());
        if *kind != UnexpectedEnd && *kind != StringBeyondInput {
            // Within a list, where there is room on the tape and there are bytes to look at, short paths are taken.
            let longer = [b"l", *input, b"8:........"].concat();
            assert!(*input == b"e" || fault(&longer) == Some((*kind, *offset + 1)), "{}", longer.escape_ascii());
        }
    }
}

#[test]
fn faults_are_told_with_their_offsets_and_strict_limits_make_them_errors() {
    use ErrorKind::*;
    type Row = (&'static [u8], &'static [(ErrorKind, usize)]);
    let table: &[Row] = &[
        (b"i03e", &[(LeadingZero, 1)]),
        (b"i-03e", &[(LeadingZero, 2)]),
        (b"i00e", &[(LeadingZero, 1)]),
        (b"i-00e", &[(LeadingZero, 2)]),
        (b"i-0e", &[(NegativeZero, 1)]),
        (b"i9223372036854775808e", &[(IntegerOverflow, 1)]),
        (b"i-9223372036854775809e", &[(IntegerOverflow, 1)]),
        (b"03:abc", &[(LeadingZero, 0)]),
        (b"00:", &[(LeadingZero, 0)]),
        (b"d1:ai1e1:ai2ee", &[(DuplicateKey, 7)]),
        (b"d1:bi1e1:ai2ee", &[(UnsortedKeys, 7)]),
        (b"d1:bi1e1:ai2e1:bi3ee", &[(UnsortedKeys, 7), (DuplicateKey, 13)]),
        (b"d1:bd1:yi1e1:xi2ee1:ai0ee", &[(UnsortedKeys, 11)]),
        (b"d0:i1e0:i2ee", &[(DuplicateKey, 6)]),
        (b"lei1e", &[(TrailingBytes, 2)]),
        (b"i1e\n", &[(TrailingBytes, 3)]),
        (b"li-0ei01ei-0ee ", &[(NegativeZero, 2), (LeadingZero, 6), (TrailingBytes, 14)]),
        (b"d1:ai0e1:bi-7e2:bble1:cdee", &[]),
    ];
    for (input, faults) in table {
        let document = decode(input, &DecodeLimits::default()).unwrap();
        let found: Vec<_> = document.faults().iter().map(|fault| (fault.kind(), fault.offset())).collect();
        assert_eq!(&found, faults, "{}", input.escape_ascii());
        assert_eq!(document.is_canonical(), faults.is_empty());
        let error = decode(input, &DecodeLimits::strict()).err().map(|error| (error.kind(), error.offset()));
        assert_eq!(error, faults.first().copied(), "{}", input.escape_ascii());
        let longer = [b"l", *input, b"8:........e"].concat();
        let inside: Vec<_> = faults.iter().filter(|(kind, _)| *kind != TrailingBytes).collect();
        if inside.len() == faults.len() {
            let document = decode(&longer, &DecodeLimits::default()).unwrap();
            let found: Vec<_> = document.faults().iter().map(|fault| (fault.kind(), fault.offset() - 1)).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), inside, "{}", longer.escape_ascii());
        }
    }
}

/// Eight bytes are looked at at once; what is no digit must not pass for one, wherever it is among them.
#[test]
fn no_byte_but_a_digit_is_one() {
    for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
        for (length, at) in (1..=9).flat_map(|length| (0..length).map(move |at| (length, at))) {
            let mut digits = *b"123456789";
            digits[at] = byte;
            let input = [&b"li"[..], &digits[..length], b"e10:aaaaaaaaaae"].concat();
            let expected = match (at, byte, length) {
                (0, b'-', 2..) => None,
                (0, b'-', _) => Some((ErrorKind::UnexpectedByte(b'e'), 3)),
                // The number ends there, and what follows has to be a value.
                (1.., b'e', _) => continue,
                _ => Some((ErrorKind::UnexpectedByte(byte), at + 2)),
            };
            assert_eq!(fault(&input), expected, "{}", input.escape_ascii());
        }
    }
    for digits in 1..=9 {
        let number = &b"123456789"[..digits];
        let input = [&b"li"[..], number, b"e10:aaaaaaaaaae"].concat();
        let document = decode(&input, &DecodeLimits::strict()).unwrap();
        let items: Vec<_> = document.root().as_list().unwrap().iter().map(|it| it.as_int()).collect();
        assert_eq!(items, [core::str::from_utf8(number).unwrap().parse().ok(), None]);
    }
}

#[test]
fn a_document_tells_about_itself() {
    let mut tape = Tape::new();
    let document = tape.decode_prefix(b"d1:bi1e1:a2:\xc3\xa4e rest", &DecodeLimits::default()).unwrap();
    assert_eq!((document.end(), document.is_canonical()), (15, false));
    assert!(document.faults().contains(ErrorKind::UnsortedKeys));
    assert_eq!(document.root().get(b"a").unwrap().as_str(), Some("\u{e4}"));
    assert_eq!(format!("{:?}", document.root()), "Value(Dict at 0)");
    let document = tape.decode(b"l1:\xff1:xe", &DecodeLimits::default()).unwrap();
    assert!(document.is_canonical());
    let texts: Vec<_> = document.root().as_list().unwrap().iter().map(|it| it.as_str()).collect();
    assert_eq!(texts, [None, Some("x")]);
}

#[test]
fn reads_the_extremes_of_64_bits() {
    for value in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
        let input = format!("i{value}e");
        let document = decode(input.as_bytes(), &DecodeLimits::default()).unwrap();
        assert_eq!(document.root().as_int(), Some(value));
    }
}

#[test]
fn cursors_skip_what_is_nested() {
    let input = b"d1:ali1eli2eee1:bd1:xd1:yleee1:ci-3e1:d0:e";
    let document = decode(input, &DecodeLimits::default()).unwrap();
    let dict = document.root().as_dict().unwrap();
    assert_eq!(dict.len(), 4);
    assert_eq!(dict.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), b"abcd");
    let list = dict.get(b"a").unwrap().as_list().unwrap();
    assert_eq!(list.iter().map(|item| item.raw()).collect::<Vec<_>>(), [&b"i1e"[..], b"li2ee"]);
    assert_eq!(dict.get(b"c").unwrap().as_int(), Some(-3));
    assert_eq!(dict.get(b"d").unwrap().as_bytes(), Some(&b""[..]));
    assert_eq!(dict.get(b"b").unwrap().raw(), b"d1:xd1:yleee");
    assert_eq!(dict.get(b"b").unwrap().offset(), 17);
    assert!(dict.get(b"y").is_none() && dict.get(b"").is_none());
    assert!(dict.get(b"d").unwrap().as_int().is_none() && dict.get(b"d").unwrap().as_dict().is_none());
}

#[test]
fn nesting_is_limited_in_whole_and_in_truncated_input() {
    let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert_eq!(fault(&nested(100)), None);
    assert_eq!(fault(&nested(101)), Some((ErrorKind::TooDeep, 100)));
    assert_eq!(fault(&vec![b'l'; 9_000_000]), Some((ErrorKind::TooDeep, 100)));
    assert_eq!(fault(&b"d1:a".repeat(1_000_000)), Some((ErrorKind::TooDeep, 400)));
    let limits = DecodeLimits { max_depth: usize::MAX, ..DecodeLimits::default() };
    assert!(decode(&nested(MAX_DEPTH), &limits).is_ok());
    assert_eq!(decode(&nested(MAX_DEPTH + 1), &limits).unwrap_err().kind(), ErrorKind::TooDeep);
    assert_eq!(decode(b"le", &DecodeLimits { max_depth: 0, ..limits }).unwrap_err().kind(), ErrorKind::TooDeep);
}

#[test]
fn tokens_and_length_are_limited() {
    let limits = DecodeLimits { max_tokens: 3, max_len: 10, ..DecodeLimits::default() };
    assert!(decode(b"llelee", &limits).is_ok());
    let error = decode(b"lleleleleX", &limits).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::TooManyTokens, 5));
    let error = decode(b"8:12345678X", &limits).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::TooLong, 10));
}

#[test]
fn integers_beyond_64_bits_with_sign_are_kept() {
    let input = b"li18446744073709551615ei18446744073709551616ei-1ei7ee";
    let document = decode(input, &DecodeLimits::default()).unwrap();
    let items: Vec<_> = document.root().as_list().unwrap().iter().map(|item| (item.as_int(), item.as_u64())).collect();
    assert_eq!(items, [(None, Some(u64::MAX)), (None, None), (Some(-1), None), (Some(7), Some(7))]);
    assert_eq!(document.root().raw(), input);
}

#[test]
fn a_tape_is_sized_once_and_used_again_without_allocating() {
    let many = [&b"l"[..], &b"d1:ali1ei2eee".repeat(10_000), b"e"].concat();
    let mut tape = Tape::new();
    tape.decode(&many, &DecodeLimits::default()).unwrap();
    assert_eq!((tape.tokens.len(), tape.tokens.capacity()), (50_001, 50_001));
    let at = tape.tokens.as_ptr();
    tape.decode(b"d1:ai1ee", &DecodeLimits::default()).unwrap();
    tape.decode(&many, &DecodeLimits::default()).unwrap();
    assert_eq!((tape.tokens.as_ptr(), tape.tokens.capacity()), (at, 50_001));
    assert!(tape.decode(b"l", &DecodeLimits::default()).is_err());
    assert!(tape.decode(b"le", &DecodeLimits::default()).unwrap().root().as_list().unwrap().is_empty());
}

#[test]
fn hostile_input_takes_no_more_memory_than_its_tokens() {
    for unit in [&b"le"[..], b"de", b"0:", b"i0e", b"d0:0:e", b"1:1"] {
        let input = [&b"l"[..], &unit.repeat(100_000), b"e"].concat();
        let mut tape = Tape::new();
        let _ = tape.decode(&input, &DecodeLimits::default());
        assert!(
            tape.tokens.capacity() * 8 <= input.len() * 4 + 1024,
            "{}: {}",
            unit.escape_ascii(),
            tape.tokens.capacity()
        );
    }
}

/// The bytes of every value, found by walking, against the cursors' own word.
fn check_spans(value: Value<'_, '_>, input: &[u8]) {
    let raw = value.raw();
    assert_eq!(raw, &input[value.offset()..value.offset() + raw.len()]);
    if let Some(dict) = value.as_dict() {
        let mut at = value.offset() + 1;
        for (key, value) in dict {
            at = value.offset() + value.raw().len();
            assert_eq!(&input[value.offset() - key.len()..value.offset()], key);
            check_spans(value, input);
        }
        assert_eq!(raw.len(), at + 1 - value.offset());
    } else if let Some(list) = value.as_list() {
        let mut at = value.offset() + 1;
        for item in list {
            assert_eq!(item.offset(), at);
            at += item.raw().len();
            check_spans(item, input);
        }
        assert_eq!(raw.len(), at + 1 - value.offset());
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_value_or_an_offset_within_the_input(
        input in prop::collection::vec(prop::sample::select(&b"ilde:-0123459ab\xff"[..]), 0..40)
    ) {
        match decode(&input, &DecodeLimits::default()) {
            Ok(document) => {
                prop_assert!(input.starts_with(document.root().raw()));
                check_spans(document.root(), &input);
            }
            Err(error) => prop_assert!(error.offset() <= input.len()),
        }
    }
}
