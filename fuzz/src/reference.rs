//! The bencode decoder beside a parser that is as plain as can be: recursive, one value after another, nothing shared with the decoder.

use std::cell::RefCell;
use unchoke_bencode::{DecodeLimits, ErrorKind, Kind, Tape, Value};

/// What is wrong, and at which byte.
type Wrong = (ErrorKind, usize);

/// A value as the plain parser sees it, in the order of the input. Keys are values, too.
#[derive(Clone, Copy)]
struct Node {
    kind: Kind,
    start: usize,
    /// Where the contents begin.
    inside: usize,
    end: usize,
}

#[derive(Default)]
struct Memory {
    tape: Tape,
    nodes: Vec<Node>,
    faults: Vec<Wrong>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Bencode: the decoder and the plain parser give the same verdict with the same kind and byte, the same faults, and the same values, kinds and spans;
/// under strict limits the first fault is the error. Inputs of some lengths are read with narrow limits of depth and number.
pub fn bencode_reference(data: &[u8]) {
    MEMORY.with_borrow_mut(|Memory { tape, nodes, faults }| {
        let mut limits = DecodeLimits::default();
        if data.len() % 8 == 7 {
            (limits.max_depth, limits.max_tokens) = (3, 9);
        }
        nodes.clear();
        faults.clear();
        let mut plain = Plain { input: data, limits: &limits, nodes, faults };
        let verdict = plain.value(0, 0);
        if let Ok(end) = verdict
            && end < data.len()
        {
            plain.faults.push((ErrorKind::TrailingBytes, end));
        }
        let first = faults.first().copied().or(verdict.err());
        match tape.decode(data, &limits) {
            Ok(document) => {
                assert_eq!(verdict, Ok(document.end()));
                assert_eq!(document.is_canonical(), faults.is_empty());
                let found = document.faults();
                for (kind, _) in faults.iter() {
                    let expected = faults.iter().filter(|it| it.0 == *kind).map(|it| it.1).min();
                    assert_eq!(found.iter().find(|it| it.kind() == *kind).map(|it| it.offset()), expected);
                }
                assert!(found.iter().all(|it| faults.iter().any(|(kind, _)| *kind == it.kind())));
                assert_eq!(compare(document.root(), data, nodes, 0), nodes.len(), "values are left over");
            }
            Err(error) => assert_eq!(verdict, Err((error.kind(), error.offset()))),
        }
        limits.strict = true;
        let strict = tape.decode(data, &limits).err().map(|error| (error.kind(), error.offset()));
        assert_eq!(strict, first);
    });
}

/// Holds a value and all inside it against the nodes from `at` on, and tells where the next node is.
fn compare(value: Value<'_, '_>, input: &[u8], nodes: &[Node], at: usize) -> usize {
    let Some(node) = nodes.get(at) else { panic!("{value:?} is not there") };
    assert_eq!((value.kind(), value.offset()), (node.kind, node.start));
    assert_eq!(Some(value.raw()), input.get(node.start..node.end));
    let mut next = at + 1;
    match node.kind {
        Kind::Int => {
            let digits =
                input.get(node.inside..node.end - 1).and_then(|it| str::from_utf8(it).ok()).unwrap_or_default();
            assert_eq!((value.as_int(), value.as_u64()), (digits.parse().ok(), unsigned(digits)));
        }
        Kind::Bytes => assert_eq!(value.as_bytes(), input.get(node.inside..node.end)),
        Kind::List => {
            for item in value.as_list().into_iter().flatten() {
                next = compare(item, input, nodes, next);
            }
        }
        Kind::Dict => {
            for (key, item) in value.as_dict().into_iter().flatten() {
                let Some(node) = nodes.get(next) else { panic!("{item:?} is not there") };
                assert_eq!((node.kind, Some(key)), (Kind::Bytes, input.get(node.inside..node.end)));
                next = compare(item, input, nodes, next + 1);
            }
        }
    }
    let past = nodes.get(next).map_or(usize::MAX, |it| it.start);
    assert!(past >= node.end, "{value:?} has more inside");
    next
}

/// Minus zero is zero.
fn unsigned(digits: &str) -> Option<u64> {
    digits.strip_prefix('-').filter(|it| it.bytes().all(|digit| digit == b'0')).unwrap_or(digits).parse().ok()
}

struct Plain<'a> {
    input: &'a [u8],
    limits: &'a DecodeLimits,
    nodes: &'a mut Vec<Node>,
    faults: &'a mut Vec<Wrong>,
}

impl Plain<'_> {
    /// Reads a value around which so many are open, and tells where it ends.
    fn value(&mut self, at: usize, depth: usize) -> Result<usize, Wrong> {
        match self.input.get(at) {
            Some(b'i') => self.integer(at),
            Some(b'0'..=b'9') => Ok(self.string(at)?.1),
            Some(b'l') => {
                let node = self.open(Kind::List, at, depth)?;
                let mut next = at + 1;
                while self.input.get(next) != Some(&b'e') {
                    next = self.value(next, depth + 1)?;
                }
                self.close(node, next + 1)
            }
            Some(b'd') => {
                let node = self.open(Kind::Dict, at, depth)?;
                let end = self.entries(at + 1, depth + 1)?;
                self.close(node, end)
            }
            Some(other) => Err((ErrorKind::UnexpectedByte(*other), at)),
            None => Err((ErrorKind::UnexpectedEnd, at)),
        }
    }

    fn entries(&mut self, mut at: usize, depth: usize) -> Result<usize, Wrong> {
        let mut keys: Vec<&[u8]> = Vec::new();
        let input = self.input;
        loop {
            match input.get(at) {
                Some(b'e') => return Ok(at + 1),
                Some(b'0'..=b'9') => {}
                Some(_) => return Err((ErrorKind::KeyNotString, at)),
                None => return Err((ErrorKind::UnexpectedEnd, at)),
            }
            let (inside, end) = self.string(at)?;
            let key = &input[inside..end];
            if keys.last().is_some_and(|last| *last > key) {
                self.faults.push((ErrorKind::UnsortedKeys, at));
            }
            if keys.contains(&key) {
                self.faults.push((ErrorKind::DuplicateKey, at));
            }
            keys.push(key);
            if input.get(end) == Some(&b'e') {
                return Err((ErrorKind::MissingValue, end));
            }
            at = self.value(end, depth)?;
        }
    }

    fn integer(&mut self, at: usize) -> Result<usize, Wrong> {
        let inside = at + 1;
        let negative = self.input.get(inside) == Some(&b'-');
        let first = inside + usize::from(negative);
        let end = self.digits(first);
        match self.input.get(end) {
            Some(b'e') if end > first => {}
            Some(other) => return Err((ErrorKind::UnexpectedByte(*other), end)),
            None => return Err((ErrorKind::UnexpectedEnd, end)),
        }
        let text = str::from_utf8(&self.input[inside..end]).unwrap_or_default();
        if self.input[first] == b'0' && end - first > 1 {
            self.faults.push((ErrorKind::LeadingZero, first));
        } else if text == "-0" {
            self.faults.push((ErrorKind::NegativeZero, inside));
        }
        if text.parse::<i64>().is_err() {
            self.faults.push((ErrorKind::IntegerOverflow, inside));
        }
        self.push(Node { kind: Kind::Int, start: at, inside, end: end + 1 })?;
        Ok(end + 1)
    }

    /// Tells where the contents begin and end.
    fn string(&mut self, at: usize) -> Result<(usize, usize), Wrong> {
        let colon = self.digits(at);
        let text = str::from_utf8(&self.input[at..colon]).unwrap_or_default();
        // What does not even fit is longer than any input.
        let length = text.parse::<usize>().unwrap_or(usize::MAX);
        if length > self.input.len() {
            return Err((ErrorKind::StringBeyondInput, at));
        }
        match self.input.get(colon) {
            Some(b':') => {}
            Some(other) => return Err((ErrorKind::UnexpectedByte(*other), colon)),
            None => return Err((ErrorKind::UnexpectedEnd, colon)),
        }
        if self.input[at] == b'0' && colon - at > 1 {
            self.faults.push((ErrorKind::LeadingZero, at));
        }
        let inside = colon + 1;
        if length > self.input.len() - inside {
            return Err((ErrorKind::StringBeyondInput, at));
        }
        self.push(Node { kind: Kind::Bytes, start: at, inside, end: inside + length })?;
        Ok((inside, inside + length))
    }

    fn digits(&self, at: usize) -> usize {
        at + self.input.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn open(&mut self, kind: Kind, at: usize, depth: usize) -> Result<usize, Wrong> {
        if depth >= self.limits.max_depth {
            return Err((ErrorKind::TooDeep, at));
        }
        self.push(Node { kind, start: at, inside: at + 1, end: at })?;
        Ok(self.nodes.len() - 1)
    }

    fn close(&mut self, node: usize, end: usize) -> Result<usize, Wrong> {
        self.nodes[node].end = end;
        Ok(end)
    }

    fn push(&mut self, node: Node) -> Result<(), Wrong> {
        if self.nodes.len() >= self.limits.max_tokens {
            return Err((ErrorKind::TooManyTokens, node.start));
        }
        self.nodes.push(node);
        Ok(())
    }
}
