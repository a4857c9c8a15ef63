//! What one side read in a torrent.

use serde_json::Value;

/// A torrent as one side read it, or why it did not.
#[derive(Clone, Default, Debug)]
pub(super) struct Reading {
    /// Why it was refused.
    pub(super) error: Option<String>,
    /// Info-hashes in hexadecimal, empty if there is none.
    pub(super) v1: String,
    pub(super) v2: String,
    pub(super) piece_length: u64,
    /// Whether it is of BEP 30; only we tell.
    pub(super) root_hash: bool,
    /// Whether the encoding is canonical; only we tell.
    pub(super) canonical: bool,
    /// Whether links have targets with components that are no names, such as `..`; only we tell.
    pub(super) odd_links: bool,
    /// Whether piece layers could not be told; only the other side says so.
    pub(super) untold_layers: bool,
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) comment: String,
    /// Tiers of addresses.
    pub(super) trackers: Vec<Vec<String>>,
    pub(super) web_seeds: Vec<String>,
    pub(super) files: Vec<File>,
}

/// One file of a torrent.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct File {
    pub(super) path: String,
    /// The path as it is in the torrent, components as text where they are; only we tell.
    pub(super) raw: Vec<String>,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) pad: bool,
    pub(super) link: bool,
    /// Where a link leads, the name of the torrent left out; empty if nowhere.
    pub(super) target: String,
    /// The pieces root in hexadecimal, empty if there is none.
    pub(super) root: String,
    /// The SHA-256 of the piece layer in hexadecimal, empty if there is none.
    pub(super) layer: String,
}

impl Reading {
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            return Ok(Self { error: Some(error.to_owned()), ..Self::default() });
        }
        let flag = |name| value.get(name).and_then(Value::as_bool).unwrap_or_default();
        let plain = |name| self::name(value.get(name).and_then(Value::as_str).unwrap_or_default());
        let items = |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_str).map(name).collect();
        let files = value.get("files").and_then(Value::as_array).ok_or("no files")?;
        Ok(Self {
            error: None,
            v1: text(value, "v1")?,
            v2: text(value, "v2")?,
            piece_length: number(value, "piece_length")?,
            root_hash: flag("root_hash"),
            canonical: flag("canonical"),
            odd_links: flag("odd_links"),
            untold_layers: flag("untold_layers"),
            name: plain("name"),
            private: flag("private"),
            comment: plain("comment"),
            trackers: value.get("trackers").and_then(Value::as_array).into_iter().flatten().map(items).collect(),
            web_seeds: value.get("web_seeds").map(items).unwrap_or_default(),
            files: files.iter().map(File::parse).collect::<Result<_, _>>()?,
        })
    }

    /// Whether it has a v2 description and no other.
    pub(super) fn is_v2_alone(&self) -> bool {
        self.v1.is_empty() && !self.v2.is_empty()
    }
}

impl File {
    fn parse(value: &Value) -> Result<Self, String> {
        let flag = |name| value.get(name).and_then(Value::as_bool).ok_or_else(|| format!("no {name} in {value}"));
        let raw = value.get("raw").and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            path: name(&text(value, "path")?),
            raw: raw.split('/').map(name).collect(),
            offset: number(value, "offset")?,
            size: number(value, "size")?,
            pad: flag("pad")?,
            link: flag("link")?,
            target: name(&text(value, "target")?),
            root: text(value, "root")?,
            layer: text(value, "layer")?,
        })
    }
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("no {key} in {value}"))
}

fn number(value: &Value, key: &str) -> Result<u64, String> {
    value.get(key).and_then(Value::as_u64).ok_or_else(|| format!("no {key} in {value}"))
}

/// The name that hexadecimal digits stand for. What is no UTF-8 is replaced.
fn name(hex: &str) -> String {
    let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or_default();
    let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(digits).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_files_are_read() {
        let parse = |text: &str| Reading::parse(&serde_json::from_str(text).unwrap());
        assert_eq!(parse(r#"{"error":"why"}"#).unwrap().error.as_deref(), Some("why"));
        let file = r#"{"path":"c3a9","offset":1,"size":2,"pad":false,"link":true,"target":"61","root":"","layer":""}"#;
        let torrent = format!(r#"{{"v1":"","v2":"00","piece_length":3,"files":[{file}]}}"#);
        let read = parse(&torrent).unwrap();
        assert!(read.is_v2_alone() && read.files[0].link);
        assert_eq!((read.files[0].path.as_str(), read.files[0].target.as_str()), ("é", "a"));
        assert!(parse("{}").is_err());
    }
}
