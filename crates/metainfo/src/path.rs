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
        // No other letter begins the name of a device.
        && (!matches!(bytes.first(), Some(b'A' | b'C' | b'L' | b'N' | b'P' | b'a' | b'c' | b'l' | b'n' | b'p'))
            || str::from_utf8(bytes).is_ok_and(|name| !is_reserved(name)))
}

/// Bytes that are a character of their own and do no harm.
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
/// It goes on from the number of what stands before the name, so that a path is hashed component by component.
pub(crate) fn fold(before: u64, name: &str) -> u64 {
    if name.is_ascii() {
        return name.bytes().fold(before, |state, byte| mix(state, byte.to_ascii_lowercase()));
    }
    let mut state = before;
    let mut buffer = [0; 4];
    for c in name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase) {
        state = c.encode_utf8(&mut buffer).bytes().fold(state, mix);
    }
    state
}

/// One step of FNV-1a. Whoever makes two paths meet makes one of them be renamed, which does no harm.
pub(crate) fn mix(state: u64, byte: u8) -> u64 {
    (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
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
        let table: [(&[u8], &str); 36] = [
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
        let long = numbered(&format!("{}.mkv", "é".repeat(125)), u32::MAX);
        assert!(long.len() <= MAX_NAME_LEN && long.ends_with("é.4294967295.mkv"), "{long}");
    }

    #[test]
    fn names_that_differ_by_case_have_one_number() {
        assert_eq!(fold(EMPTY, "Straße.TXT"), fold(EMPTY, "STRASSE.txt"));
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
