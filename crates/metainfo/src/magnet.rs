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

use crate::metainfo::Metainfo;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_till, take_while_m_n};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map_opt, map_res, opt, rest, verify};
use nom::multi::{many0, separated_list0, separated_list1};
use nom::number::complete::u8 as byte;
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use unchoke_core::{InfoHashes, Sha1Hash, Sha256Hash};

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
        self.peers.push(address.to_string());
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

    /// Reads a link of at most [`MAX_MAGNET_LEN`] bytes.
    fn from_str(text: &str) -> Result<Self, MagnetError> {
        if text.len() > MAX_MAGNET_LEN {
            return Err(MagnetError { kind: MagnetErrorKind::TooLong(text.len()), offset: 0 });
        }
        let (_, parameters) = link(text).map_err(|_| MagnetError { kind: MagnetErrorKind::Scheme, offset: 0 })?;
        let (mut v1, mut v2) = (None, None);
        // The names are known at the end only, so the link is collected under a name that is replaced.
        let mut found = Self::new(InfoHashes::v1(Sha1Hash::new([0; 20])));
        for (key, value) in parameters {
            let offset = text.len().saturating_sub(value.after);
            let value = Field { text: value.text, offset };
            match unnumbered(key) {
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
                "x.pe" => found.peers.push(value.peer()?),
                "so" => found.selected.extend(value.ranges()?),
                _ => {}
            }
        }
        found.hashes = match (v1, v2) {
            (Some(v1), Some(v2)) => InfoHashes::hybrid(v1, v2),
            (Some(v1), None) => InfoHashes::v1(v1),
            (None, Some(v2)) => InfoHashes::v2(v2),
            (None, None) => return Err(MagnetError { kind: MagnetErrorKind::NoInfoHash, offset: text.len() }),
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

/// Why a text is no magnet link, and at which byte.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct MagnetError {
    kind: MagnetErrorKind,
    offset: usize,
}

impl MagnetError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &MagnetErrorKind {
        &self.kind
    }

    /// Bytes from the start of the text to the fault, or to the value that it is in.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// What is wrong with a magnet link.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetErrorKind {
    /// The text has more bytes than [`MAX_MAGNET_LEN`].
    #[error("magnet link of {0} bytes is too long")]
    TooLong(usize),
    /// The text does not begin with `magnet:?`.
    #[error("no `magnet:?`")]
    Scheme,
    /// There is no `xt` that names a torrent.
    #[error("no info-hash")]
    NoInfoHash,
    /// An info-hash is neither 40 hexadecimal nor 32 base32 digits, or a v2 one no SHA-256 multihash.
    #[error("malformed info-hash {0:?}")]
    InfoHash(String),
    /// Two info-hashes of one version differ.
    #[error("a second, different info-hash")]
    SecondInfoHash,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("malformed escape")]
    Escape,
    /// A value is no UTF-8 once its escapes are resolved.
    #[error("value is not UTF-8")]
    NotUtf8,
    /// A peer address is no `host:port`.
    #[error("malformed peer address {0:?}")]
    Peer(String),
    /// Numbers of files are no ranges, or not in 32 bits.
    #[error("malformed file ranges {0:?}")]
    Ranges(String),
}

/// The longest magnet link that is read, in bytes.
pub const MAX_MAGNET_LEN: usize = 1 << 20;

/// Code and length of SHA-256 digests among multihashes (BEP 9).
const SHA256_MULTIHASH: &str = "1220";

enum Topic {
    V1(Sha1Hash),
    V2(Sha256Hash),
    Other,
}

/// The value of a parameter, with its escapes.
#[derive(Clone, Copy)]
struct Field<'a> {
    text: &'a str,
    offset: usize,
}

impl Field<'_> {
    fn fail(self, kind: MagnetErrorKind) -> MagnetError {
        MagnetError { kind, offset: self.offset }
    }

    /// Resolves escapes; bytes that are not escaped are replaced by what `plain` says.
    fn decode(self, plain: fn(u8) -> u8) -> Result<Vec<u8>, MagnetError> {
        let (left, bytes) = many0(alt((escape, verify(byte, |byte| *byte != b'%').map(plain))))
            .parse(self.text.as_bytes())
            .map_err(|_: nom::Err<nom::error::Error<&[u8]>>| self.fail(MagnetErrorKind::Escape))?;
        if left.is_empty() {
            return Ok(bytes);
        }
        let offset = self.offset.saturating_add(self.text.len()).saturating_sub(left.len());
        Err(MagnetError { kind: MagnetErrorKind::Escape, offset })
    }

    fn string(self) -> Result<String, MagnetError> {
        String::from_utf8(self.decode(|byte| byte)?).map_err(|_| self.fail(MagnetErrorKind::NotUtf8))
    }

    fn topic(self) -> Result<Topic, MagnetError> {
        let text = self.string()?;
        let (_, topic) = topic(&text).map_err(|_| self.fail(MagnetErrorKind::InfoHash(text.clone())))?;
        Ok(topic)
    }

    fn set<T: PartialEq>(self, slot: &mut Option<T>, hash: T) -> Result<(), MagnetError> {
        if slot.as_ref().is_some_and(|known| *known != hash) {
            return Err(self.fail(MagnetErrorKind::SecondInfoHash));
        }
        *slot = Some(hash);
        Ok(())
    }

    fn peer(self) -> Result<String, MagnetError> {
        let text = self.string()?;
        let is_address = text.parse::<SocketAddr>().is_ok()
            || text.rsplit_once(':').is_some_and(|(host, port)| {
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
                let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
                !host.is_empty() && host.chars().all(is_name) && is_port
            });
        if is_address { Ok(text) } else { Err(self.fail(MagnetErrorKind::Peer(text))) }
    }

    fn ranges(self) -> Result<Vec<RangeInclusive<u32>>, MagnetError> {
        let text = self.string()?;
        let (_, ranges) = ranges(&text).map_err(|_| self.fail(MagnetErrorKind::Ranges(text.clone())))?;
        Ok(ranges)
    }
}

/// A value as the grammar finds it: the bytes `after` its start, to the end of the link, tell where it is.
struct Raw<'a> {
    text: &'a str,
    after: usize,
}

fn link(input: &str) -> IResult<&str, Vec<(&str, Raw<'_>)>> {
    all_consuming(preceded(tag_no_case("magnet:?"), separated_list0(char('&'), parameter))).parse(input)
}

fn parameter(input: &str) -> IResult<&str, (&str, Raw<'_>)> {
    let (input, key) = take_till(|c| c == '=' || c == '&').parse(input)?;
    let (input, _) = opt(char('=')).parse(input)?;
    let after = input.len();
    let (input, text) = take_till(|c| c == '&').parse(input)?;
    Ok((input, (key, Raw { text, after })))
}

fn escape(input: &[u8]) -> IResult<&[u8], u8> {
    let digits = take_while_m_n(2, 2, |byte: u8| byte.is_ascii_hexdigit());
    let digits = map_res(digits, std::str::from_utf8);
    preceded(tag("%"), map_res(digits, |digits| u8::from_str_radix(digits, 16))).parse(input)
}

fn topic(input: &str) -> IResult<&str, Topic> {
    let v1 = map_opt(rest, |digits: &str| v1_hash(digits).map(Topic::V1));
    let v2 = map_opt(rest, |digits: &str| v2_hash(digits).map(Topic::V2));
    let names_torrent = alt((tag_no_case("urn:btih:"), tag_no_case("urn:btmh:")));
    let other = nom::combinator::not(names_torrent).map(|()| Topic::Other);
    alt((preceded(tag_no_case("urn:btih:"), v1), preceded(tag_no_case("urn:btmh:"), v2), other)).parse(input)
}

fn v1_hash(digits: &str) -> Option<Sha1Hash> {
    let bytes = match digits.len() {
        40 => digits_to_bytes(digits, 4)?,
        32 => digits_to_bytes(digits, 5)?,
        _ => return None,
    };
    Sha1Hash::from_slice(&bytes)
}

/// Decodes hexadecimal (4 bits a digit) or base32 (5 bits, RFC 4648), in either case. All digits must make whole bytes.
fn digits_to_bytes(digits: &str, bits: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len());
    let (mut held, mut count) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match (bits, digit) {
            (4, _) => char::from(digit).to_digit(16)?,
            (_, b'2'..=b'7') => u32::from(digit.checked_sub(b'2')?).checked_add(26)?,
            _ => char::from(digit).to_digit(36).filter(|_| digit.is_ascii_alphabetic())?.checked_sub(10)?,
        };
        held = (held << bits | value) & 0xffff;
        count = count.checked_add(bits)?;
        if let Some(rest) = count.checked_sub(8) {
            count = rest;
            bytes.push(u8::try_from(held >> rest & 0xff).ok()?);
        }
    }
    (count == 0).then_some(bytes)
}

fn v2_hash(digits: &str) -> Option<Sha256Hash> {
    let digest = digits.strip_prefix(SHA256_MULTIHASH).filter(|digest| digest.len() == 64)?;
    Sha256Hash::from_slice(&digits_to_bytes(digest, 4)?)
}

fn ranges(input: &str) -> IResult<&str, Vec<RangeInclusive<u32>>> {
    all_consuming(separated_list1(char(','), range)).parse(input)
}

fn range(input: &str) -> IResult<&str, RangeInclusive<u32>> {
    let ends = (number, opt(preceded(char('-'), number))).map(|(start, end)| start..=end.unwrap_or(start));
    verify(ends, |range: &RangeInclusive<u32>| !range.is_empty()).parse(input)
}

fn number(input: &str) -> IResult<&str, u32> {
    map_res(digit1, str::parse).parse(input)
}

/// The key without the number that tells several of one key apart, as in `tr.2`.
fn unnumbered(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((name, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => key,
    }
}

fn push(list: &mut Vec<String>, value: String) {
    list.extend(Some(value).filter(|value| !value.is_empty()));
}

/// Text in which all but the unreserved characters of RFC 3986, section 2.3, are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
}
