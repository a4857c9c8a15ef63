//! The extended handshake ([BEP 10]) with the keys of BEP 9 (`metadata_size`) and BEP 21 (`upload_only`).
//!
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html

use crate::config::LocalInfo;
use std::collections::BTreeMap;
use std::net::IpAddr;
use unchoke_bencode::{DecodeLimits, OwnedValue, Value, decode};

/// What a peer has said in its extended handshakes. It may send several; what a later one does not name stays as it was.
///
/// ```
/// use unchoke_wire::ExtendedHandshake;
/// let theirs = ExtendedHandshake::decode(b"d1:md6:ut_pexi3ee1:pi6881e1:v8:client 1e")?;
/// assert_eq!((theirs.id("ut_pex"), theirs.port), (Some(3), Some(6881)));
/// assert_eq!(theirs.client.as_deref(), Some("client 1"));
/// # Ok::<(), unchoke_wire::ExtendedHandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ExtendedHandshake {
    /// The peer's number for each extension that it speaks, never 0.
    pub ids: BTreeMap<Vec<u8>, u8>,
    /// Name and version of the client: at most 64 characters, none of them a control character.
    pub client: Option<String>,
    /// The port that the peer can be connected to.
    pub port: Option<u16>,
    /// Requests that may wait at the peer.
    pub request_queue: Option<u32>,
    /// Length of the info dictionary in bytes, as the peer says.
    pub metadata_size: Option<u32>,
    /// Whether the peer wants nothing (BEP 21).
    pub upload_only: bool,
    /// Our address as the peer sees it.
    pub your_ip: Option<IpAddr>,
}

/// Why a payload is not an extended handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendedHandshakeError {
    /// It is not bencoded.
    #[error("extended handshake is not bencoded")]
    Bencode(#[from] unchoke_bencode::Error),
    /// It is not a dictionary.
    #[error("extended handshake is not a dictionary")]
    NotADictionary,
}

impl ExtendedHandshake {
    /// Reads the first handshake of a peer. Keys that are unknown or whose value makes no sense are passed over.
    ///
    /// # Errors
    /// If it is not one bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedHandshakeError> {
        let mut all = Self::default();
        all.update(payload)?;
        Ok(all)
    }

    /// Takes what a further handshake of the same peer says. Number 0 takes an extension away.
    ///
    /// # Errors
    /// If it is not one bencoded dictionary; nothing has changed then.
    pub fn update(&mut self, payload: &[u8]) -> Result<(), ExtendedHandshakeError> {
        let document = decode(payload, &limits())?;
        let root = document.root().as_dict().ok_or(ExtendedHandshakeError::NotADictionary)?;
        for (name, number) in root.get(b"m").and_then(Value::as_dict).into_iter().flat_map(|names| names.iter()) {
            match number.as_int().and_then(|number| u8::try_from(number).ok()) {
                Some(0) => drop(self.ids.remove(name)),
                Some(number) if name.len() <= MAX_NAME && self.ids.len() < MAX_NAMES => {
                    self.ids.insert(name.to_vec(), number);
                }
                _ => {}
            }
        }
        let int = |key: &[u8]| root.get(key).and_then(Value::as_int);
        let client = root.get(b"v").and_then(Value::as_bytes).map(sanitised).filter(|client| !client.is_empty());
        self.client = client.or(self.client.take());
        self.port = int(b"p").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).or(self.port);
        self.request_queue = int(b"reqq").and_then(|depth| u32::try_from(depth).ok()).or(self.request_queue);
        self.metadata_size = int(b"metadata_size").and_then(|size| u32::try_from(size).ok()).or(self.metadata_size);
        self.upload_only = int(b"upload_only").map_or(self.upload_only, |flag| flag != 0);
        self.your_ip = root.get(b"yourip").and_then(Value::as_bytes).and_then(address).or(self.your_ip);
        Ok(())
    }

    /// The peer's number for an extension, if it speaks it.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<u8> {
        self.ids.get(name.as_bytes()).copied()
    }
}

/// Keys that extensions add to our extended handshake.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedHandshakeExtra(BTreeMap<Vec<u8>, OwnedValue>);

impl ExtendedHandshakeExtra {
    /// Adds any value; the last one under a key stays.
    pub fn insert(&mut self, key: &str, value: OwnedValue) {
        self.0.insert(key.as_bytes().to_vec(), value);
    }

    /// Adds an integer.
    pub fn int(&mut self, key: &str, value: i64) {
        self.insert(key, OwnedValue::Int(value));
    }

    /// Adds a byte string.
    pub fn bytes(&mut self, key: &str, value: &[u8]) {
        self.insert(key, OwnedValue::Bytes(value.to_vec()));
    }

    /// The bytes of our extended handshake. The keys of BEP 10 itself win over what extensions added under the same name.
    pub(crate) fn encode(mut self, local: &LocalInfo, names: impl Iterator<Item = (&'static str, u8)>) -> Vec<u8> {
        let ids = names.map(|(name, id)| (name.as_bytes().to_vec(), OwnedValue::Int(i64::from(id)))).collect();
        self.insert("m", OwnedValue::Dict(ids));
        self.int("reqq", i64::from(local.request_queue));
        if let Some(port) = local.listen_port {
            self.int("p", i64::from(port));
        }
        if !local.client.is_empty() {
            self.bytes("v", local.client.as_bytes());
        }
        if local.upload_only {
            self.int("upload_only", 1);
        }
        match local.your_ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => self.bytes("yourip", &ip.octets()),
            Some(IpAddr::V6(ip)) => self.bytes("yourip", &ip.octets()),
            None => {}
        }
        OwnedValue::Dict(self.0).encode()
    }
}

fn sanitised(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(MAX_CLIENT).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::from(octets).to_canonical()),
        _ => None,
    }
}

/// Enough for any dictionary that clients send, and little enough that a hostile one costs next to nothing.
pub(crate) fn limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_depth = 16;
    limits.max_tokens = 4096;
    limits
}

/// Characters kept of a client's name.
const MAX_CLIENT: usize = 64;
/// Extensions remembered of a peer.
const MAX_NAMES: usize = 64;
/// Bytes of an extension's name.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn b1_nesting_in_an_extended_handshake_costs_no_stack() {
        let work = || {
            for depth in [1_000, 100_000, 1_000_000] {
                for (open, close) in [("l", "e"), ("d1:a", "e"), ("d1:al", "ee")] {
                    for input in [
                        open.repeat(depth) + &close.repeat(depth),
                        open.repeat(depth),
                        format!("d1:m{}", open.repeat(depth)),
                    ] {
                        assert!(ExtendedHandshake::decode(input.as_bytes()).is_err());
                    }
                }
            }
        };
        std::thread::Builder::new().stack_size(64 * 1024).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn what_is_encoded_decodes() {
        let local = LocalInfo {
            listen_port: Some(6881),
            client: "unchoke 1".to_owned(),
            request_queue: 77,
            upload_only: true,
            your_ip: Some(IpAddr::from([1, 2, 3, 4])),
        };
        let mut extra = ExtendedHandshakeExtra::default();
        extra.int("metadata_size", 31_235);
        let found = ExtendedHandshake::decode(&extra.encode(&local, [("ut_pex", 2)].into_iter())).unwrap();
        let wanted = ExtendedHandshake {
            ids: [(b"ut_pex".to_vec(), 2)].into(),
            client: Some(local.client),
            port: Some(6881),
            request_queue: Some(77),
            metadata_size: Some(31_235),
            upload_only: true,
            your_ip: local.your_ip,
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_client_name_is_cut_and_stripped_of_control_characters() {
        let long = OwnedValue::Bytes([b"a\x1b[31m\n".as_slice(), &[b'x'; 200]].concat());
        let payload = OwnedValue::Dict([(b"v".to_vec(), long)].into()).encode();
        let client = ExtendedHandshake::decode(&payload).unwrap().client.unwrap();
        assert_eq!((client.len(), client.starts_with("a[31mx")), (64, true));
    }

    #[test]
    fn a_later_handshake_changes_only_what_it_names() {
        let mut all = ExtendedHandshake::decode(b"d1:md1:ai1e1:bi2ee1:pi5e11:upload_onlyi1ee").unwrap();
        all.update(b"d1:md1:ai0e1:ci3eee").unwrap();
        assert_eq!((all.id("a"), all.id("b"), all.id("c")), (None, Some(2), Some(3)));
        assert_eq!((all.port, all.upload_only), (Some(5), true));
    }

    #[test]
    fn values_that_make_no_sense_are_passed_over() {
        let payload = b"d1:mi3e1:pi70000e4:reqqi-1e1:vi4e6:yourip3:abce";
        assert_eq!(ExtendedHandshake::decode(payload), Ok(ExtendedHandshake::default()));
        assert_eq!(ExtendedHandshake::decode(b"i3e"), Err(ExtendedHandshakeError::NotADictionary));
        assert!(ExtendedHandshake::decode(b"d1:m").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ExtendedHandshake::decode(&bytes);
        }
    }
}
