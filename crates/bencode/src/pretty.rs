//! Values as people like to read them.

use crate::document::Value;
use crate::tape::Kind;
use core::fmt;

/// Bytes shown of a string that is no text.
const SHOWN_BYTES: usize = 32;
/// Characters shown of a string that is one.
const SHOWN_CHARS: usize = 400;

/// Shows the value over several lines, indented. Strings that are no printable text are shown as bytes, and only the beginning of long ones.
///
/// ```
/// let document = unchoke_bencode::decode(b"d4:listli1e3:abc3:\xff\x00\x01e4:name0:e", &Default::default())?;
/// let shown = document.root().to_string();
/// assert_eq!(shown, "{\n  list: [\n    1\n    \"abc\"\n    <3 bytes: ff0001>\n  ]\n  name: \"\"\n}");
/// # Ok::<(), unchoke_bencode::Error>(())
/// ```
impl fmt::Display for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, *self, 0)
    }
}

/// The recursion is as deep as the value, which [`MAX_DEPTH`](crate::tape::MAX_DEPTH) limits.
fn write_value(f: &mut fmt::Formatter<'_>, value: Value<'_, '_>, indent: usize) -> fmt::Result {
    let inner = indent.saturating_add(2);
    match value.kind() {
        Kind::Int => {
            let raw = value.raw();
            let digits = raw.strip_prefix(b"i").and_then(|raw| raw.strip_suffix(b"e")).unwrap_or_default();
            f.write_str(core::str::from_utf8(digits).unwrap_or_default())
        }
        Kind::Bytes => write_string(f, value.as_bytes().unwrap_or_default(), true),
        Kind::List => {
            let Some(list) = value.as_list().filter(|list| !list.is_empty()) else { return f.write_str("[]") };
            f.write_str("[")?;
            for item in list {
                write!(f, "\n{:inner$}", "")?;
                write_value(f, item, inner)?;
            }
            write!(f, "\n{:indent$}]", "")
        }
        Kind::Dict => {
            let Some(dict) = value.as_dict().filter(|dict| !dict.is_empty()) else { return f.write_str("{}") };
            f.write_str("{")?;
            for (key, value) in dict {
                write!(f, "\n{:inner$}", "")?;
                write_string(f, key, false)?;
                f.write_str(": ")?;
                write_value(f, value, inner)?;
            }
            write!(f, "\n{:indent$}}}", "")
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, bytes: &[u8], quoted: bool) -> fmt::Result {
    let text = core::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(is_hidden));
    let Some(text) = text else {
        write!(f, "<{} bytes: ", bytes.len())?;
        bytes.iter().take(SHOWN_BYTES).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        return f.write_str(if bytes.len() > SHOWN_BYTES { "…>" } else { ">" });
    };
    let end = text.char_indices().nth(SHOWN_CHARS).map_or(text.len(), |(at, _)| at);
    let shown = text.get(..end).unwrap_or_default();
    let more = if end < text.len() { "…" } else { "" };
    if quoted { write!(f, "\"{shown}{more}\"") } else { write!(f, "{shown}{more}") }
}

/// Control characters, and those that change the order in which others are shown.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use crate::{DecodeLimits, decode};
    use alloc::format;
    use alloc::string::ToString as _;

    fn shown(input: &[u8]) -> alloc::string::String {
        decode(input, &DecodeLimits::default()).unwrap().root().to_string()
    }

    #[test]
    fn long_strings_are_cut_and_others_escaped_by_showing_their_bytes() {
        assert_eq!(shown(b"i-7e"), "-7");
        assert_eq!(shown(b"ldelee"), "[\n  {}\n  []\n]");
        assert_eq!(shown(b"3:a\x1b["), "<3 bytes: 611b5b>");
        let long = format!("1000:{}", "\u{e9}".repeat(500));
        assert_eq!(shown(long.as_bytes()), format!("\"{}…\"", "\u{e9}".repeat(400)));
        assert!(shown(&[&b"100:"[..], &[255; 100]].concat()).ends_with("ff…>"));
        let just = format!("400:{}", "x".repeat(400));
        assert_eq!(shown(just.as_bytes()), format!("\"{}\"", "x".repeat(400)));
        for (length, end) in [(super::SHOWN_BYTES, "ff>"), (super::SHOWN_BYTES + 1, "ff…>")] {
            let bytes = [format!("{length}:").as_bytes(), &alloc::vec![255; length]].concat();
            assert!(shown(&bytes).ends_with(end), "{length}");
        }
    }
}
