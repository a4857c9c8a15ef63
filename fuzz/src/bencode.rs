//! Targets of the bencode decoder and encoder.

use std::cell::RefCell;
use unchoke_bencode::{DecodeLimits, Encoder, Kind, OwnedValue, Tape, Value, ValueEncoder, Written, decode};

thread_local! {
    /// Memory that is used again, because taking it anew costs more than what is tested.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

/// Bencode: what strict limits take encodes to itself, other input to something canonical with the same value; errors point into the input;
/// what the cursors say of spans is what is there; a tape that is used again gives the same.
pub fn bencode(data: &[u8]) {
    let limits = DecodeLimits::default();
    let strict = decode(data, &DecodeLimits::strict());
    let document = match decode(data, &limits) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.offset() <= data.len(), "{error} points behind {} bytes", data.len());
            assert!(strict.is_err(), "only strict limits take it");
            return;
        }
    };
    assert!(data.starts_with(document.root().raw()));
    assert_eq!(document.is_canonical(), strict.is_ok());
    let value = OwnedValue::from(document.root());
    let encoded = value.encode();
    assert_eq!(document.is_canonical(), encoded == data);
    let mut tape = Tape::new();
    for input in [data, &encoded, data] {
        match tape.decode(input, &limits) {
            Ok(again) => assert!(OwnedValue::from(again.root()) == value && again.root().raw().len() <= input.len()),
            Err(error) => panic!("what was encoded does not decode: {error}"),
        }
    }
    assert!(decode(&encoded, &DecodeLimits::strict()).is_ok(), "what was encoded is not canonical");
    spans(document.root(), data);
}

/// Values stand where they say, one after another.
fn spans(value: Value<'_, '_>, input: &[u8]) {
    let (start, raw) = (value.offset(), value.raw());
    assert_eq!(input.get(start..start + raw.len()), Some(raw));
    let mut at = start + 1;
    if let Some(dict) = value.as_dict() {
        for (key, item) in dict {
            assert!(input.get(at..item.offset()).is_some_and(|before| before.ends_with(key)));
            at = item.offset() + item.raw().len();
            spans(item, input);
        }
    } else if let Some(list) = value.as_list() {
        for item in list {
            assert_eq!(item.offset(), at);
            at += item.raw().len();
            spans(item, input);
        }
    } else {
        return;
    }
    assert_eq!(start + raw.len(), at + 1);
}

/// Bencode: what strict limits take is written, value by value, as the same bytes.
pub fn bencode_strict(data: &[u8]) {
    let Ok(document) = decode(data, &DecodeLimits::strict()) else { return };
    assert!(document.is_canonical());
    ENCODER.with_borrow_mut(|encoder| {
        encoder.clear();
        write(document.root(), encoder.value());
        assert_eq!(encoder.as_bytes(), data);
    });
}

/// The recursion is as deep as the value, which the decoder limits.
fn write<'e>(value: Value<'_, '_>, to: ValueEncoder<'e>) -> Written<'e> {
    match (value.kind(), value.as_int(), value.as_bytes(), value.as_list(), value.as_dict()) {
        (Kind::Int, Some(number), None, None, None) => to.int(number),
        (Kind::Bytes, None, Some(bytes), None, None) => to.bytes(bytes),
        (Kind::List, None, None, Some(list), None) => to.list(|l| list.iter().for_each(|it| l.item(|v| write(it, v)))),
        (Kind::Dict, None, None, None, Some(dict)) => {
            to.dict(|d| dict.iter().for_each(|(key, it)| d.entry(key, |v| write(it, v))))
        }
        (kind, ..) => panic!("{value:?} is of kind {kind:?} and of another"),
    }
}
