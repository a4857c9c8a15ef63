//! Bencoded values that need not be canonical.

/// A value, its dictionaries in any order and with any keys.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// A number as it is written, which may be none.
    Int(String),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary.
    Dict(Vec<(Vec<u8>, Self)>),
}

impl Tree {
    pub(super) fn int(value: impl ToString) -> Self {
        Self::Int(value.to_string())
    }

    pub(super) fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }

    pub(super) fn path(path: &[Vec<u8>]) -> Self {
        Self::List(path.iter().map(Self::bytes).collect())
    }

    /// Keys in order.
    pub(super) fn dict<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().map(|(key, value)| (key.as_ref().to_vec(), value)).collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self::Dict(entries)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) => out.extend_from_slice(format!("i{value}e").as_bytes()),
            Self::Bytes(bytes) => string(bytes, out),
            Self::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    string(key, out);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }

    /// The number of values, this one counted.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Int(_) | Self::Bytes(_) => 1,
            Self::List(items) => items.iter().map(Self::count).sum::<u32>() + 1,
            Self::Dict(entries) => entries.iter().map(|(_, value)| value.count()).sum::<u32>() + 1,
        }
    }

    /// The value of this number, counted from the outside in.
    pub(super) fn nth(&mut self, number: u32) -> Option<&mut Self> {
        let mut left = number;
        self.find(&mut left)
    }

    fn find(&mut self, left: &mut u32) -> Option<&mut Self> {
        if *left == 0 {
            return Some(self);
        }
        *left -= 1;
        match self {
            Self::Int(_) | Self::Bytes(_) => None,
            Self::List(items) => items.iter_mut().find_map(|item| item.find(left)),
            Self::Dict(entries) => entries.iter_mut().find_map(|(_, value)| value.find(left)),
        }
    }

    /// The value below a key of a dictionary.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<&mut Self> {
        match self {
            Self::Dict(entries) => entries.iter_mut().find(|(it, _)| it == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}
