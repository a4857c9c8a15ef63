//! File names that are safe on every platform.

/// Appends one path component, made safe; the same bytes give the same name on every platform. Tells whether they are the name.
pub(crate) fn push_component(bytes: &[u8], out: &mut String) -> bool {
    if is_plain(bytes)
        && let Ok(name) = str::from_utf8(bytes)
    {
        out.push_str(name);
        return true;
    }
    let name = component(bytes);
    out.push_str(&name);
    name.as_bytes() == bytes
}

/// Whether the name can stay as it is, as far as a quick look tells.
fn is_plain(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| PLAIN.get(usize::from(*byte)) == Some(&true);
    !bytes.is_empty()
        && bytes.len() <= MAX_STEM_LEN
        && bytes.iter().all(is_plain)
        && !matches!(bytes.last(), Some(b'.' | b' '))
        && !begins_like_device(bytes)
}

/// Whether a closer look is needed to tell that the name is not one that [`is_reserved`].
fn begins_like_device(bytes: &[u8]) -> bool {
    let Some([one, two, three]) = bytes.first_chunk() else { return false };
    let start = [*one, *two, *three].map(|byte| byte.to_ascii_lowercase());
    [b"con", b"prn", b"aux", b"nul", b"com", b"lpt"].contains(&&start)
}

/// Bytes that are a character of their own and do no harm.
#[expect(clippy::indexing_slicing, reason = "a byte is an index of 256")]
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        table[byte as usize] = !matches!(byte, b'/' | b'\\' | b':' | b'*' | b'?' | b'"' | b'<' | b'>' | b'|');
        byte += 1_u8;
    }
    table
};

/// Makes one path component safe.
pub(crate) fn component(bytes: &[u8]) -> String {
    let mut name = readable(bytes);
    loop {
        name.truncate(name.trim_end_matches(['.', ' ']).len());
        if name.is_empty() {
            name.push('_');
        }
        if is_reserved(&name) {
            name.insert(0, '_');
        }
        let (stem, extension) = split_long(&name);
        if stem.len().saturating_add(extension.len()) == name.len() {
            return name;
        }
        name = format!("{stem}{extension}");
    }
}

/// The name without what is no text, separates components, or is not seen.
fn readable(mut bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len().min(2 * MAX_NAME_LEN));
    while let Some(first) = bytes.first() {
        let claimed = match first {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0xf8..=0xfb => 5,
            _ => 1,
        };
        let (now, later) = bytes.split_at_checked(claimed).unwrap_or((bytes, &[]));
        bytes = later;
        let mut chars = str::from_utf8(now).unwrap_or_default().chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if is_dropped(c) => {}
            (Some(c), None) if !is_replaced(c) => name.push(c),
            _ => name.push('_'),
        }
    }
    name
}

/// What a name is read without: separators, characters that take no room, and those that turn the direction of text, with which a name can hide its
/// extension.
fn is_dropped(c: char) -> bool {
    matches!(c, '/' | '\\' | '\0' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Control characters, and those that some platform refuses.
fn is_replaced(c: char) -> bool {
    c.is_control() || matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

/// Whether Windows takes the name for a device, with whatever extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    if !(3..=8).contains(&stem.len()) {
        return false;
    }
    let stem = stem.to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || port.is_some_and(|number| {
            let mut chars = number.chars();
            matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
}

/// What stays of a long name: 240 bytes, and after them the extension if it is short.
fn split_long(name: &str) -> (&str, &str) {
    if name.len() <= MAX_STEM_LEN {
        return (name, "");
    }
    let dot = name.rfind('.').filter(|dot| *dot > 0 && name.len().saturating_sub(*dot) <= MAX_EXTENSION_LEN);
    let (stem, extension) = name.split_at_checked(dot.unwrap_or(name.len())).unwrap_or((name, ""));
    (cut(stem, MAX_STEM_LEN), extension)
}

/// The name with a number before its extension, as long as names may be.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    let dot = name.rfind('.').filter(|dot| name.len().saturating_sub(*dot) <= MAX_NAME_LEN / 2);
    let (stem, extension) = name.split_at_checked(dot.unwrap_or(name.len())).unwrap_or((name, ""));
    let suffix = format!(".{number}{extension}");
    format!("{}{suffix}", cut(stem, MAX_NAME_LEN.saturating_sub(suffix.len())))
}

/// Cuts text to `max` bytes, between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// A number for the name under which names that differ by case alone have the same one, because they are one file on some platforms.
///
/// It goes on from the number of what stands before the name, so that a path is hashed component by component. Whoever makes two paths meet makes
/// one of them be renamed, which does no harm.
pub(crate) fn fold(before: u64, name: &str) -> u64 {
    if name.is_ascii() {
        return words(name.as_bytes()).map(lower_case).fold(before, mix);
    }
    // The capital sharp s is the one character that has to be made small before it is made great.
    let small = name.chars().map(|c| if c == '\u{1e9e}' { '\u{df}' } else { c });
    let folded: String = small.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    words(folded.as_bytes()).fold(before, mix)
}

/// The number of a path whose components are joined by `/`, as [`fold`] and [`enter`] give it.
pub(crate) fn fold_path(path: &str) -> u64 {
    let mut names = path.split('/');
    let first = fold(EMPTY, names.next().unwrap_or_default());
    names.fold(first, |number, name| fold(enter(number), name))
}

/// The number from which what is in a directory goes on.
pub(crate) fn enter(directory: u64) -> u64 {
    mix(directory, u64::from(b'/'))
}

/// Eight bytes at a time; what is left at the end is filled up with what is in no name.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    whole.iter().copied().chain((!rest.is_empty()).then_some(last)).map(u64::from_le_bytes)
}

/// Eight ASCII bytes in lower case. Bytes below 128 do not carry into their neighbours.
fn lower_case(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // What added to `A`, and to what follows `Z`, sets the highest bit of a byte.
    const TO_A: u64 = EACH.wrapping_mul(0x80 - 0x41);
    const PAST_Z: u64 = EACH.wrapping_mul(0x80 - 0x5b);
    word | (word.wrapping_add(TO_A) & !word.wrapping_add(PAST_Z) & EACH << 7) >> 2
}

fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let [low, high] =
        [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
    (low ^ high).rotate_left(23)
}

/// The number of the empty path.
pub(crate) const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The longest name of a file or directory, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 255;

/// The longest name that is not cut, in bytes; some platforms need room for a suffix of their own.
const MAX_STEM_LEN: usize = 240;

/// The longest extension that a name keeps when it is cut, with the dot.
const MAX_EXTENSION_LEN: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn b8_b9_b10_hostile_names_become_safe() {
        let table: [(&[u8], &str); 37] = [
            (b"", "_"),
            (b".", "_"),
            (b"..", "_"),
            (b"...", "_"),
            (b"../../etc", "....etc"),
            (b"/etc", "etc"),
            (b"Haiku R1/beta6", "Haiku R1beta6"),
            (b"a\\b", "ab"),
            (b"\\", "_"),
            (b"C:", "C_"),
            (b"a:stream", "a_stream"),
            (b"a\0b\nc\x7f", "ab_c_"),
            (b"a\x7f~", "a_~"),
            (b"what? *<|>\"", "what_ _____"),
            (b"name. .", "name"),
            (b" ", "_"),
            (b"CON", "_CON"),
            (b"con.txt", "_con.txt"),
            (b"nul .tar.gz", "_nul .tar.gz"),
            (b"COM1", "_COM1"),
            (b"com10", "com10"),
            ("lpt²".as_bytes(), "_lpt²"),
            (b"CONSOLE", "CONSOLE"),
            (b".hidden", ".hidden"),
            (b" leading", " leading"),
            ("exe\u{202e}gpj".as_bytes(), "exegpj"),
            ("a\u{200b}\u{feff}b\u{2066}".as_bytes(), "ab"),
            ("\u{85}".as_bytes(), "_"),
            (b"\xff\xfe", "__"),
            (b"\xc0\xae\xc0\xae", "__"),
            (b"\xe2/\xa1x", "_x"),
            (b"a\xf0\x9f", "a_"),
            (b"\xed\xb0\x80x", "_x"),
            (b"\xc3\xc3\xa9", "__"),
            (b"\xf8\x88\x80\x80\x80", "_"),
            (b"CO\0N", "_CON"),
            ("Füße".as_bytes(), "Füße"),
        ];
        for (bytes, name) in table {
            assert_eq!(component(bytes), name, "{bytes:?}");
        }
    }

    #[test]
    fn b10_long_names_are_cut_between_characters_and_keep_a_short_extension() {
        let name = component(format!("{}.mkv", "é".repeat(200)).as_bytes());
        assert!(name.len() == 244 && name.ends_with("é.mkv"), "{name}");
        assert_eq!(component(&[b'x'; 300]).len(), 240);
        assert_eq!(component(&[b'.'; 300]), "_");
        assert_eq!(component([&[b'a'; 300][..], b".123456789"].concat().as_slice()), "a".repeat(240));
        let device = component(format!("CON{}x.txt", " ".repeat(300)).as_bytes());
        assert!(device.starts_with("_CON ") && device.ends_with(" .txt"), "{device:?}");
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        for (name, expected) in
            [("a", "a.7"), ("a.txt", "a.7.txt"), (".x", ".7.x"), ("a.tar.gz", "a.tar.7.gz"), ("a.b c", "a.7.b c")]
        {
            assert_eq!(numbered(name, 7), expected);
        }
        let dotted = format!("a.{}", "b".repeat(130));
        assert_eq!(numbered(&dotted, 7), format!("{dotted}.7"));
        let long = numbered(&format!("{}.mkv", "é".repeat(125)), u32::MAX);
        assert!(long.len() <= MAX_NAME_LEN && long.ends_with("é.4294967295.mkv"), "{long}");
    }

    #[test]
    fn names_that_differ_by_case_have_one_number() {
        let all: String = (' '..='~').collect();
        assert_eq!(fold(EMPTY, &all), fold(EMPTY, &all.to_lowercase()));
        assert_eq!(fold(EMPTY, "[@`{"), fold(EMPTY, "[@`{"));
        assert_ne!(fold(EMPTY, "@@@@@@@@"), fold(EMPTY, "````````"));
        assert_ne!(fold(EMPTY, "[[[[[[[["), fold(EMPTY, "{{{{{{{{"));
        assert_eq!(fold_path("A/b/C"), fold(enter(fold_path("a/B")), "c"));
        assert_ne!(fold_path("a/b"), fold_path("ab"));
        assert_eq!(fold(EMPTY, "Straße.TXT"), fold(EMPTY, "STRASSE.txt"));
        assert_eq!(fold(EMPTY, "stra\u{1e9e}e"), fold(EMPTY, "STRASSE"));
        assert_eq!(fold(EMPTY, "É"), fold(EMPTY, "é"));
        assert_ne!(fold(EMPTY, "a"), fold(EMPTY, "b"));
    }

    proptest! {
        #[test]
        fn every_name_is_safe_and_stays_what_it_is(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..400),
                "(CON|com1|[. /]|a{0,130}|é{0,70}|\\PC){0,12}".prop_map(String::into_bytes),
            ]
        ) {
            let name = component(&bytes);
            prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_LEN);
            prop_assert!(!name.ends_with(['.', ' ']) && !name.contains(|c| is_dropped(c) || is_replaced(c)));
            prop_assert!(!is_reserved(&name));
            prop_assert_eq!(component(name.as_bytes()), name.clone());
            let mut pushed = String::new();
            prop_assert_eq!(push_component(&bytes, &mut pushed), name.as_bytes() == bytes);
            prop_assert_eq!(pushed, name);
        }
    }
}
