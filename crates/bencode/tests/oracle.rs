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

/// With `STRICT` nothing but canonical bytes; without it all that the decoder puts up with.
fn digits<const STRICT: bool>(input: &[u8]) -> IResult<&[u8], &[u8]> {
    verify(digit1, |digits: &[u8]| !STRICT || digits.len() == 1 || digits.first() != Some(&b'0')).parse(input)
}

fn integer<const STRICT: bool>(input: &[u8]) -> IResult<&[u8], OwnedValue> {
    let number = recognize(pair(opt(tag("-")), digits::<STRICT>));
    let number = verify(number, |number: &[u8]| !STRICT || number != b"-0");
    let value = map_opt(number, |number| match text(number).parse() {
        Ok(value) => Some(OwnedValue::Int(value)),
        Err(_) => (!STRICT).then(|| OwnedValue::Bytes(number.to_vec())),
    });
    delimited(tag("i"), value, tag("e")).parse(input)
}

fn string<const STRICT: bool>(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, length) =
        terminated(map_opt(digits::<STRICT>, |length| text(length).parse::<usize>().ok()), tag(":")).parse(input)?;
    take(length).parse(rest)
}

fn dict<const STRICT: bool>(input: &[u8]) -> IResult<&[u8], OwnedValue> {
    let entries = delimited(tag("d"), many0(pair(string::<STRICT>, value::<STRICT>)), tag("e"));
    let gathered = |entries: Vec<(&[u8], OwnedValue)>| {
        let sorted = entries.is_sorted_by(|one, other| one.0 < other.0);
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            map.entry(key.to_vec()).or_insert(value);
        }
        (sorted || !STRICT).then_some(OwnedValue::Dict(map))
    };
    map_opt(entries, gathered).parse(input)
}

fn value<const STRICT: bool>(input: &[u8]) -> IResult<&[u8], OwnedValue> {
    if let Ok(found) = integer::<STRICT>(input) {
        return Ok(found);
    }
    if let Ok((rest, bytes)) = string::<STRICT>(input) {
        return Ok((rest, OwnedValue::Bytes(bytes.to_vec())));
    }
    if input.first() == Some(&b'l') {
        return map(delimited(tag("l"), many0(value::<STRICT>), tag("e")), OwnedValue::List).parse(input);
    }
    dict::<STRICT>(input)
}

fn agree(input: &[u8]) -> Result<(), TestCaseError> {
    let strict = decode(input, &DecodeLimits::strict()).ok().map(|document| document.root().into());
    let by_grammar = all_consuming(value::<true>).parse(input).ok().map(|(_, value)| value);
    prop_assert_eq!(strict, by_grammar);
    let loose = decode(input, &DecodeLimits::default()).ok().map(|document| document.root().into());
    let by_grammar = value::<false>.parse(input).ok().map(|(_, value)| value);
    prop_assert_eq!(loose, by_grammar);
    Ok(())
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
        agree(&input)?;
    }

    #[test]
    fn decoder_and_grammar_agree_on_values_and_mutants(
        input in valid(), at in any::<prop::sample::Index>(), byte in prop::sample::select(&b"ilde:-019a"[..])
    ) {
        agree(&input)?;
        let mut mutant = input;
        let at = at.index(mutant.len());
        mutant[at] = byte;
        agree(&mutant)?;
    }
}
