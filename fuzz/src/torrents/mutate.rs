//! How torrents are broken.

use super::tree::Tree;
use unchoke_core::seed::Rng;

/// Writes the same in another way: keys in another order, or twice; numbers with zeros before them.
pub(super) fn encoding(file: &mut Tree, rng: &mut Rng) {
    for _ in 0..1 + rng.below(2) {
        let number = rng.below(file.count());
        let Some(value) = file.nth(number) else { continue };
        match value {
            Tree::Int(text) => *text = odd_number(text, rng),
            Tree::Dict(entries) if !entries.is_empty() => {
                let len = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                let (from, to) = (rng.below(len) as usize, rng.below(len) as usize);
                if rng.below(2) == 0 {
                    entries.swap(from, to);
                } else if let Some((key, value)) = entries.get(from).cloned() {
                    let value = if rng.below(2) == 0 { boundary(rng) } else { value };
                    entries.insert(to, (key, value));
                }
            }
            _ => {}
        }
    }
}

/// Removes a value, doubles it, gives it another key, or puts another in its place.
pub(super) fn fields(file: &mut Tree, rng: &mut Rng) {
    for _ in 0..1 + rng.below(2) {
        // Most values are deep inside; the info dictionary itself is picked often enough.
        let number = rng.below(file.count());
        let picked = if rng.below(3) == 0 { file.get(b"info") } else { file.nth(number) };
        let Some(value) = picked else { continue };
        match value {
            Tree::Dict(entries) if !entries.is_empty() => {
                let at = rng.below(u32::try_from(entries.len()).unwrap_or(u32::MAX)) as usize;
                match rng.below(6) {
                    0 => drop(entries.remove(at)),
                    1 => {
                        let (_, value) = entries.remove(at);
                        put(entries, rng.choose(KEYS).copied().unwrap_or_default(), value);
                    }
                    2 => put(entries, rng.choose(KEYS).copied().unwrap_or_default(), boundary(rng)),
                    _ => entries.iter_mut().skip(at).take(1).for_each(|(_, value)| change(value, rng)),
                }
            }
            Tree::List(items) if !items.is_empty() && rng.below(3) > 0 => {
                let at = rng.below(u32::try_from(items.len()).unwrap_or(u32::MAX)) as usize;
                match rng.below(4) {
                    0 => drop(items.remove(at)),
                    1 => items.extend(items.get(at).cloned()),
                    2 => items.reverse(),
                    _ => items.insert(at, boundary(rng)),
                }
            }
            value => change(value, rng),
        }
    }
}

/// Changes, removes, doubles or adds some bytes.
pub(super) fn bytes(mut file: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(u32::try_from(file.len()).unwrap_or(u32::MAX)) as usize;
        let count = (1 + rng.below(4) as usize).min(file.len() - at.min(file.len()));
        match rng.below(5) {
            0 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
            1 => file
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte = rng.choose(b"0123456789-deil:").copied().unwrap_or(0)),
            2 => drop(file.drain(at..at + count)),
            3 => {
                let copy = file.get(at..at + count).unwrap_or_default().to_vec();
                drop(file.splice(at..at, copy));
            }
            _ => file.truncate(at.max(1)),
        }
    }
    file
}

/// Another value of the same kind, or any.
fn change(value: &mut Tree, rng: &mut Rng) {
    match value {
        Tree::Int(text) if rng.below(2) == 0 => {
            let number = text.parse::<i64>().unwrap_or_default();
            let near = [
                number.wrapping_add(1),
                number.wrapping_sub(1),
                number.wrapping_mul(2),
                number / 2,
                number.wrapping_neg(),
            ];
            *text = rng.choose(&near).copied().unwrap_or_default().to_string();
        }
        Tree::Bytes(bytes) if rng.below(2) == 0 => match rng.below(4) {
            0 => bytes.truncate(bytes.len().saturating_sub(1)),
            1 => bytes.push(b'a'),
            2 => bytes.iter_mut().take(1).for_each(|byte| *byte ^= 0x20),
            _ => bytes.truncate(bytes.len() / 2),
        },
        _ => *value = boundary(rng),
    }
}

fn put(entries: &mut Vec<(Vec<u8>, Tree)>, key: &[u8], value: Tree) {
    entries.retain(|(other, _)| other != key);
    let at = entries.partition_point(|(other, _)| other.as_slice() < key);
    entries.insert(at, (key.to_vec(), value));
}

fn odd_number(text: &str, rng: &mut Rng) -> String {
    match rng.below(8) {
        0 | 1 => format!("0{text}"),
        2 => "-0".to_owned(),
        3 => format!("+{text}"),
        4 => format!(" {text}"),
        5 => String::new(),
        6 => format!("-0{text}"),
        _ => HUGE.get(rng.below(4) as usize).copied().unwrap_or_default().to_owned(),
    }
}

fn boundary(rng: &mut Rng) -> Tree {
    let numbers = [0, 1, -1, 2, 3, 16_383, 16_384, 1 << 28, 1 << 29, 1 << 31, 1 << 40, 1 << 48, i64::MAX, i64::MIN];
    let strings: [&[u8]; 14] = [
        b"",
        b".",
        b"..",
        b"/",
        b"a",
        b"a\0b",
        b"CON",
        b"\xff",
        b"a. ",
        b"p",
        b"xhlp",
        &[b'a'; 300],
        &[0; 32],
        &[7; 20],
    ];
    let names = |names: &[&[u8]]| Tree::List(names.iter().map(Tree::bytes).collect());
    match rng.below(10) {
        0..4 => Tree::int(rng.choose(&numbers).copied().unwrap_or_default()),
        4..8 => Tree::bytes(rng.choose(&strings).copied().unwrap_or_default()),
        8 => match rng.below(5) {
            0 => Tree::List(Vec::new()),
            1 => names(&[b""]),
            2 => Tree::List(vec![Tree::int(1)]),
            3 => names(&[b"..", b"x"]),
            _ => names(&[b"d".as_slice(); 101]),
        },
        _ => match rng.below(4) {
            0 => Tree::Dict(Vec::new()),
            1 => Tree::dict([("", Tree::bytes(""))]),
            2 => Tree::dict([("length", Tree::int(1))]),
            _ => Tree::dict([("", Tree::dict([("length", Tree::int(0))]))]),
        },
    }
}

/// Keys that mean something somewhere.
const KEYS: &[&[u8]] = &[
    b"",
    b"..",
    b"a",
    b"attr",
    b"file tree",
    b"files",
    b"info",
    b"length",
    b"meta version",
    b"name",
    b"name.utf-8",
    b"path",
    b"path.utf-8",
    b"piece layers",
    b"piece length",
    b"pieces",
    b"pieces root",
    b"private",
    b"root hash",
    b"symlink path",
    b"\xff",
];

/// Around the greatest and the least number of 64 bits.
const HUGE: [&str; 4] =
    ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999999999999999"];
