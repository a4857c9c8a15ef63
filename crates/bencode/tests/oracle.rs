//! The decoder is written by hand for speed; this holds it equal to the grammar of BEP 3 written down with nom.

use nom::bytes::complete::{tag, take};
use nom::character::complete::digit1;
use nom::combinator::{all_consuming, map, map_opt, opt, recognize, verify};
use nom::multi::many0;
use nom::sequence::{delimited, pair, terminated};
use nom::{IResult, Parser};
use proptest::prelude::*;
use std::collections::BTreeMap;
use unchoke_bencode::{DecodeLimits, OwnedValue, decode};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn digits(input: &[u8]) -> IResult<&[u8], &[u8]> {
    verify(digit1, |digits: &[u8]| digits.len() == 1 || digits.first() != Some(&b'0')).parse(input)
}

fn integer(input: &[u8]) -> IResult<&[u8], i64> {
    let number = verify(recognize(pair(opt(tag("-")), digits)), |number: &[u8]| number != b"-0");
    delimited(tag("i"), map_opt(number, |number| text(number).parse().ok()), tag("e")).parse(input)
}

fn string(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, length) =
        terminated(map_opt(digits, |length| text(length).parse::<usize>().ok()), tag(":")).parse(input)?;
    take(length).parse(rest)
}

fn dict(input: &[u8]) -> IResult<&[u8], OwnedValue> {
    let entries = delimited(tag("d"), many0(pair(string, value)), tag("e"));
    let distinct = |entries: Vec<(&[u8], OwnedValue)>| {
        let count = entries.len();
        let map: BTreeMap<_, _> = entries.into_iter().map(|(key, value)| (key.to_vec(), value)).collect();
        (map.len() == count).then_some(OwnedValue::Dict(map))
    };
    map_opt(entries, distinct).parse(input)
}

fn value(input: &[u8]) -> IResult<&[u8], OwnedValue> {
    if let Ok((rest, value)) = integer(input) {
        return Ok((rest, OwnedValue::Int(value)));
    }
    if let Ok((rest, bytes)) = string(input) {
        return Ok((rest, OwnedValue::Bytes(bytes.to_vec())));
    }
    if input.first() == Some(&b'l') {
        return map(delimited(tag("l"), many0(value), tag("e")), OwnedValue::List).parse(input);
    }
    dict(input)
}

fn by_grammar(input: &[u8]) -> Option<OwnedValue> {
    all_consuming(value).parse(input).ok().map(|(_, value)| value)
}

fn by_decoder(input: &[u8]) -> Option<OwnedValue> {
    decode(input, &DecodeLimits::default()).ok().map(|document| document.root().into())
}

/// Fragments of which many, but not all, sequences are valid.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        &b"l"[..],
        b"d",
        b"e",
        b"e",
        b"le",
        b"de",
        b"i1e",
        b"i-0e",
        b"i007e",
        b"i-7e",
        b"1:a",
        b"1:b",
        b"2:aa",
        b"0:",
        b"01:a",
        b"5:ab",
        b"i9223372036854775807e",
        b"i9223372036854775808e",
        b"d1:bi1e1:ai2ee",
        b"d1:b",
        b":",
        b"-",
        b"x",
        b"9",
    ]);
    prop::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat())
}

/// A valid value, so that the agreement is not only about refusals.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|value| format!("i{value}e").into_bytes()),
        "[a-c]{0,3}".prop_map(|text| format!("{}:{text}", text.len()).into_bytes()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| [&b"l"[..], &items.concat(), b"e"].concat()),
            prop::collection::vec(("[a-c]", inner), 0..4).prop_map(|entries| {
                let entries = entries.into_iter().flat_map(|(key, value)| [format!("1:{key}").into_bytes(), value]);
                [&b"d"[..], &entries.collect::<Vec<_>>().concat(), b"e"].concat()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decoder_and_grammar_agree_on_fragments(input in fragments()) {
        prop_assert_eq!(by_decoder(&input), by_grammar(&input));
    }

    #[test]
    fn decoder_and_grammar_agree_on_values_and_mutants(
        input in valid(), at in any::<prop::sample::Index>(), byte in prop::sample::select(&b"ilde:-019a"[..])
    ) {
        prop_assert_eq!(by_decoder(&input), by_grammar(&input));
        let mut mutant = input;
        let at = at.index(mutant.len());
        mutant[at] = byte;
        prop_assert_eq!(by_decoder(&mutant), by_grammar(&mutant));
    }
}
