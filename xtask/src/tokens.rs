//! Rust source as a row of words and signs: enough to find paths, without comments and literals.

/// Splits source into identifiers, `::` and single signs. Comments vanish; a literal becomes one `"`.
pub(crate) fn tokens(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(length) = literal(rest) {
            found.push("\"");
            length
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push(rest.get(..length).unwrap_or_default());
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            found.push(rest.get(..length).unwrap_or_default());
            length
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

/// Takes out the items under `#[cfg(test)]`. Gives the rest, and the names of modules that such an item declares in a file of their own.
pub(crate) fn without_tests<'a>(tokens: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut kept, mut declared) = (Vec::new(), Vec::new());
    let mut rest = tokens;
    loop {
        match rest {
            [] => return (kept, declared),
            ["#", "[", "cfg", "(", "test", ..] | ["#", "[", "cfg", "(", "all", "(", "test", ..] => {
                while let ["#", "[", ..] = rest {
                    rest = after_group(rest.get(1..).unwrap_or_default());
                }
                let end = item(rest);
                let words = rest.get(..end).unwrap_or_default();
                if let [.., "mod", name, ";"] = words {
                    declared.push(name);
                }
                rest = rest.get(end..).unwrap_or_default();
            }
            [first, tail @ ..] => {
                kept.push(*first);
                rest = tail;
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the block comment that the text begins with; they nest.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|it| !it.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string, byte string or character that the text begins with, if it does.
fn literal(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - body.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(inner) = raw.get(hashes..).and_then(|it| it.strip_prefix('"')) {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = inner.find(&close).map_or(inner.len(), |at| at + close.len());
            return Some(prefix + 2 + hashes + end);
        }
        return None;
    }
    if let Some(inner) = body.strip_prefix('"') {
        return Some(prefix + 1 + closing(inner, '"'));
    }
    let inner = body.strip_prefix('\'')?;
    let mut chars = inner.chars();
    // A lifetime has a quote in front only.
    let is_character = chars.next()? == '\\' || chars.next() == Some('\'');
    is_character.then(|| prefix + 1 + closing(inner, '\''))
}

/// Where the text goes on after the first quote that is not escaped.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && c == quote {
            return at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// What follows the bracket that the tokens begin with and all within it.
fn after_group<'t, 'a>(tokens: &'t [&'a str]) -> &'t [&'a str] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return tokens.get(at + 1..).unwrap_or_default();
        }
    }
    &[]
}

/// How many tokens the first item takes: up to its semicolon or its closing brace.
fn item(tokens: &[&str]) -> usize {
    let to_semicolon =
        tokens.iter().take(5).any(|it| matches!(*it, "use" | "const" | "static")) && !is_function(tokens);
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (*token == ";" || (*token == "}" && !to_semicolon)) {
            return at + 1;
        }
    }
    tokens.len()
}

fn is_function(tokens: &[&str]) -> bool {
    tokens.iter().take_while(|it| !matches!(**it, "{" | "=" | ";")).any(|it| *it == "fn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_hide_their_words() {
        let source = "a // b::c\n/* d /* e */ f */ \"g::\\\"h\" r#\"i\"j\"# 'k' '\\'' b'l' &'m n::o";
        assert_eq!(tokens(source), ["a", "\"", "\"", "\"", "\"", "\"", "&", "'", "m", "n", "::", "o"]);
    }

    #[test]
    fn words_may_begin_like_literals() {
        assert_eq!(tokens("bytes r#type b c r"), ["bytes", "r", "#", "type", "b", "c", "r"]);
    }

    #[test]
    fn items_of_tests_are_taken_out() {
        let source =
            "a; #[cfg(test)] #[path = \"x\"] mod t { b { } } c; #[cfg(test)] mod u; #[cfg(test)] use d::{e}; f";
        let (kept, declared) = without_tests(&tokens(source));
        assert_eq!(kept, ["a", ";", "c", ";", "f"]);
        assert_eq!(declared, ["u"]);
    }
}
