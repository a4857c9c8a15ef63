//! Magnet links ([BEP 9]): the names of a torrent whose info dictionary is still to be fetched, and where to ask.
//!
//! ```text
//! link      = "magnet:?" parameter *( "&" parameter )
//! parameter = key [ "." 1*DIGIT ] [ "=" value ]
//! value     = *( "%" 2HEXDIG / any byte but "%" and "&" )
//! ranges    = range *( "," range )            ; in `so`, BEP 53
//! range     = 1*DIGIT [ "-" 1*DIGIT ]
//! ```
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

mod error;
mod grammar;
mod mutable;

pub use error::{MagnetError, MagnetErrorKind};
pub use grammar::MAX_MAGNET_LEN;
pub use mutable::{MAX_SALT_LEN, MutableLink};

use crate::metainfo::Metainfo;
use crate::parts::MAX_LISTED;
use grammar::{Escaped, SHA256_MULTIHASH, Topic, parameters};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use unchoke_core::{InfoHashes, Sha1Hash};

/// A magnet link.
///
/// Parameters that are unknown, and names of content that is no torrent, are skipped.
///
/// ```
/// use unchoke_metainfo::MagnetLink;
///
/// let link: MagnetLink = "magnet:?xt=urn:btih:00112233445566778899aabbccddeeff00112233&dn=a+b&tr=udp%3A%2F%2Ft:1".parse()?;
/// assert_eq!(link.name(), Some("a b"));
/// assert_eq!(link.trackers(), ["udp://t:1"]);
/// # Ok::<(), unchoke_metainfo::MagnetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MagnetLink {
    hashes: InfoHashes,
    name: Option<String>,
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    peers: Vec<String>,
    selected: Vec<RangeInclusive<u32>>,
}

impl MagnetLink {
    /// A link that holds nothing but the names of the torrent.
    #[must_use]
    pub fn new(hashes: InfoHashes) -> Self {
        let (trackers, web_seeds, peers, selected) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { hashes, name: None, trackers, web_seeds, peers, selected }
    }

    /// The link to a torrent: its names, trackers and web seeds.
    #[must_use]
    pub fn from_metainfo(torrent: &Metainfo) -> Self {
        let link = Self::new(torrent.info_hashes()).with_name(torrent.info().name());
        let link = torrent.announce_tiers().iter().flatten().fold(link, Self::with_tracker);
        torrent.web_seeds().iter().fold(link, Self::with_web_seed)
    }

    /// Sets the name to display.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Adds the address of a tracker.
    #[must_use]
    pub fn with_tracker(mut self, address: impl Into<String>) -> Self {
        push(&mut self.trackers, address.into());
        self
    }

    /// Adds the address of a web seed.
    #[must_use]
    pub fn with_web_seed(mut self, address: impl Into<String>) -> Self {
        push(&mut self.web_seeds, address.into());
        self
    }

    /// Adds a peer to ask for the info dictionary.
    #[must_use]
    pub fn with_peer(mut self, address: SocketAddr) -> Self {
        push(&mut self.peers, address.to_string());
        self
    }

    /// Selects files by number (BEP 53), besides those selected already. A range that holds nothing adds nothing.
    #[must_use]
    pub fn with_selected(mut self, files: RangeInclusive<u32>) -> Self {
        self.selected.extend(Some(files).filter(|files| !files.is_empty()));
        self
    }

    /// The names of the torrent.
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// The name to display until the info dictionary is there. It is free text, not fit to be a file name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Tracker addresses in the order given.
    #[must_use]
    pub fn trackers(&self) -> &[String] {
        &self.trackers
    }

    /// Addresses of web seeds (BEP 19).
    #[must_use]
    pub fn web_seeds(&self) -> &[String] {
        &self.web_seeds
    }

    /// Peers as `host:port`, where the host may be a name.
    #[must_use]
    pub fn peer_addresses(&self) -> &[String] {
        &self.peers
    }

    /// Those of the [`peer_addresses`](Self::peer_addresses) that need not be looked up.
    pub fn peers(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.peers.iter().filter_map(|peer| peer.parse().ok())
    }

    /// The numbers of the files to download (BEP 53), in the order given; all files if there are none.
    ///
    /// The ranges may overlap and reach beyond the last file.
    #[must_use]
    pub fn selected(&self) -> &[RangeInclusive<u32>] {
        &self.selected
    }
}

impl FromStr for MagnetLink {
    type Err = MagnetError;

    /// Reads a link of at most [`MAX_MAGNET_LEN`] bytes. Of trackers, web seeds and peers the first [`MAX_LISTED`] each are taken.
    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let (mut v1, mut v2, mut mutable) = (None, None, false);
        // The names are known at the end only, so the link is collected under a name that is replaced.
        let mut found = Self::new(InfoHashes::v1(Sha1Hash::new([0; 20])));
        for (key, value) in parameters(text)? {
            match key {
                "xt" => match value.topic()? {
                    Topic::V1(hash) => value.set(&mut v1, hash)?,
                    Topic::V2(hash) => value.set(&mut v2, hash)?,
                    Topic::Other => {}
                },
                "dn" if found.name.is_none() => {
                    let name = value.decode(|byte| if byte == b'+' { b' ' } else { byte })?;
                    found = found.with_name(String::from_utf8_lossy(&name));
                }
                "tr" => push(&mut found.trackers, value.string()?),
                "ws" => push(&mut found.web_seeds, value.string()?),
                "x.pe" => push(&mut found.peers, value.peer()?),
                "xs" => mutable |= mutable::is_public_key(value),
                "so" => found.selected.extend(value.ranges()?),
                _ => {}
            }
        }
        found.hashes = match (v1, v2) {
            (Some(v1), Some(v2)) => InfoHashes::hybrid(v1, v2),
            (Some(v1), None) => InfoHashes::v1(v1),
            (None, Some(v2)) => InfoHashes::v2(v2),
            (None, None) => {
                let kind = if mutable { MagnetErrorKind::Mutable } else { MagnetErrorKind::NoInfoHash };
                return Err(MagnetError { kind, offset: text.len() });
            }
        };
        Ok(found)
    }
}

impl fmt::Display for MagnetLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("magnet:?")?;
        let mut separator = "";
        if let Some(hash) = self.hashes.get_v1() {
            write!(f, "xt=urn:btih:{hash}")?;
            separator = "&";
        }
        if let Some(hash) = self.hashes.get_v2() {
            write!(f, "{separator}xt=urn:btmh:{SHA256_MULTIHASH}{hash}")?;
        }
        let lists = [("tr", &self.trackers), ("ws", &self.web_seeds), ("x.pe", &self.peers)];
        let lists = lists.iter().flat_map(|(key, list)| list.iter().map(move |value| (*key, value)));
        for (key, value) in self.name.iter().map(|name| ("dn", name)).chain(lists) {
            write!(f, "&{key}={}", Escaped(value))?;
        }
        for (number, range) in self.selected.iter().enumerate() {
            f.write_str(if number == 0 { "&so=" } else { "," })?;
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{start}")?,
                (start, end) => write!(f, "{start}-{end}")?,
            }
        }
        Ok(())
    }
}

fn push(list: &mut Vec<String>, value: String) {
    if list.len() < MAX_LISTED && !value.is_empty() {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::Sha256Hash;

    const V1: &str = "xt=urn:btih:000102030405060708090a0b0c0d0e0f10111213";

    fn v1() -> Sha1Hash {
        Sha1Hash::new(std::array::from_fn(|i| u8::try_from(i).unwrap()))
    }

    fn v2() -> Sha256Hash {
        Sha256Hash::new([0xab; 32])
    }

    fn parse(parameters: &str) -> Result<MagnetLink, MagnetError> {
        format!("magnet:?{parameters}").parse()
    }

    #[test]
    fn every_spelling_of_an_info_hash_is_read() {
        let v2_digits = format!("xt=urn:btmh:1220{}", "aB".repeat(32));
        let table = [
            (V1.to_owned(), InfoHashes::v1(v1())),
            (V1.replace("0a0b0c", "0A0b0C").replace("urn:btih", "URN:BTIH"), InfoHashes::v1(v1())),
            ("xt=urn:btih:AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT".to_owned(), InfoHashes::v1(v1())),
            ("xt=urn:btih:aaaqeayeaudaocajbifqydiob4ibceqt".to_owned(), InfoHashes::v1(v1())),
            (V1.replace(':', "%3a"), InfoHashes::v1(v1())),
            (v2_digits.clone(), InfoHashes::v2(v2())),
            (format!("xt.1={}&xt.2={}", &V1[3..], &v2_digits[3..]), InfoHashes::hybrid(v1(), v2())),
            (format!("xt=urn:sha1:xyz&{V1}&{V1}&&x=y&flag&"), InfoHashes::v1(v1())),
        ];
        for (parameters, hashes) in table {
            assert_eq!(parse(&parameters).map(|link| link.info_hashes()), Ok(hashes), "{parameters}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let link = parse(&format!(
            "dn=a+b%2B%C3%A9&dn=second&tr=udp%3A%2F%2Fa%3A1%2Fx+y&tr.2=http://b/?k=v&tr=&ws=http://w/\
             &x.pe=1.2.3.4:5&x.pe=%5B::1%5D:6&x.pe=host.example:7&so=0,2-4&so=9&{V1}"
        ))
        .unwrap();
        assert_eq!(link.name(), Some("a b+é"));
        assert_eq!(link.trackers(), ["udp://a:1/x+y", "http://b/?k=v"]);
        assert_eq!(link.web_seeds(), ["http://w/"]);
        assert_eq!(link.peer_addresses(), ["1.2.3.4:5", "[::1]:6", "host.example:7"]);
        let peers: Vec<SocketAddr> = vec!["1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap()];
        assert_eq!(link.peers().collect::<Vec<_>>(), peers);
        assert_eq!(link.selected(), [0..=0, 2..=4, 9..=9]);
    }

    #[test]
    fn errors_tell_the_kind_and_the_byte() {
        use MagnetErrorKind as Kind;
        let short = "urn:btih:0001".to_owned();
        let multihash = format!("urn:btmh:1114{}", "00".repeat(20));
        let base32 = "urn:btih:1AAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT".to_owned();
        let table = [
            (String::new(), Kind::NoInfoHash, 8),
            ("dn=x&xt=urn:sha1:0".to_owned(), Kind::NoInfoHash, 26),
            (format!("xt={short}"), Kind::InfoHash(short), 11),
            (format!("a=b&xt={multihash}"), Kind::InfoHash(multihash), 15),
            (format!("xt={base32}"), Kind::InfoHash(base32), 11),
            (format!("{V1}&{}", V1.replace("1213", "1214")), Kind::SecondInfoHash, 64),
            ("dn=ab%4".to_owned(), Kind::Escape, 13),
            ("dn=%+1".to_owned(), Kind::Escape, 11),
            ("tr=%ff".to_owned(), Kind::NotUtf8, 11),
            ("x.pe=host".to_owned(), Kind::Peer("host".into()), 13),
            ("x.pe=a:65536".to_owned(), Kind::Peer("a:65536".into()), 13),
            ("x.pe=a:%2B5".to_owned(), Kind::Peer("a:+5".into()), 13),
            ("x.pe=a/b:1".to_owned(), Kind::Peer("a/b:1".into()), 13),
            ("so=".to_owned(), Kind::Ranges(String::new()), 11),
            ("so=3-1".to_owned(), Kind::Ranges("3-1".into()), 11),
            ("so=1,,2".to_owned(), Kind::Ranges("1,,2".into()), 11),
            ("so=4294967296".to_owned(), Kind::Ranges("4294967296".into()), 11),
        ];
        for (parameters, kind, offset) in table {
            assert_eq!(parse(&parameters), Err(MagnetError { kind, offset }), "{parameters}");
        }
        assert_eq!("http://x".parse::<MagnetLink>().unwrap_err().kind(), &Kind::Scheme);
        let long = "x".repeat(MAX_MAGNET_LEN + 1);
        assert_eq!(long.parse::<MagnetLink>().unwrap_err().kind(), &Kind::TooLong(MAX_MAGNET_LEN + 1));
        assert_eq!(parse("dn=%").unwrap_err().to_string(), "malformed escape at byte 11");
    }

    #[test]
    fn the_canonical_spelling_escapes_all_that_is_reserved() {
        let link = MagnetLink::new(InfoHashes::hybrid(v1(), v2()))
            .with_name("a &b")
            .with_tracker("udp://t:1")
            .with_selected(1..=1)
            .with_selected(3..=5);
        let hash = "ab".repeat(32);
        let text = format!("magnet:?{V1}&xt=urn:btmh:1220{hash}&dn=a%20%26b&tr=udp%3A%2F%2Ft%3A1&so=1,3-5");
        assert_eq!(link.to_string(), text);
    }

    proptest! {
        #[test]
        fn links_read_back_as_they_are(
            name in any::<String>(), trackers in prop::collection::vec(any::<String>(), 0..4),
            seeds in prop::collection::vec(any::<String>(), 0..3), peer in any::<SocketAddr>(),
            ranges in prop::collection::vec((any::<u32>(), any::<u32>()), 0..4), v2_only in any::<bool>()
        ) {
            // A link has no room for flow labels and scopes of IPv6.
            let peer = SocketAddr::new(peer.ip(), peer.port());
            let hashes = if v2_only { InfoHashes::v2(v2()) } else { InfoHashes::hybrid(v1(), v2()) };
            let link = MagnetLink::new(hashes).with_name(name).with_peer(peer);
            let link = trackers.into_iter().fold(link, MagnetLink::with_tracker);
            let link = seeds.into_iter().fold(link, MagnetLink::with_web_seed);
            let link = ranges.into_iter().fold(link, |link, (a, b)| link.with_selected(a..=b));
            prop_assert_eq!(link.to_string().parse(), Ok(link));
        }

        #[test]
        fn any_text_is_read_without_panic(
            text in "([&=%+.,:x-]|magnet:\\?|xt=urn:bt[im]h:|1220|tr=|so=|x\\.pe=|\\PC|[0-9a-f]{8}){0,40}"
        ) {
            for text in [text.clone(), format!("magnet:?{V1}&{text}")] {
                if let Ok(link) = text.parse::<MagnetLink>() {
                    prop_assert_eq!(link.to_string().parse(), Ok(link));
                } else if let Err(error) = text.parse::<MagnetLink>() {
                    prop_assert!(error.offset() <= text.len());
                }
            }
        }
    }

    #[test]
    fn b17_lists_are_cut_and_long_links_refused() {
        let many = "&tr=http://t/&ws=http://w/&x.pe=1.2.3.4:5".repeat(5_000);
        let link = parse(&format!("{V1}{many}")).unwrap();
        for list in [link.trackers(), link.web_seeds(), link.peer_addresses()] {
            assert_eq!(list.len(), MAX_LISTED);
        }
        assert_eq!(parse(&"&tr=x".repeat(300_000)).unwrap_err().kind(), &MagnetErrorKind::TooLong(1_500_008));
    }
}
