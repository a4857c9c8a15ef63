//! The grammar of magnet links.

use super::error::{MagnetError, MagnetErrorKind};
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
use unchoke_core::{Sha1Hash, Sha256Hash};

/// The longest magnet link that is read, in bytes.
pub const MAX_MAGNET_LEN: usize = 1 << 20;

/// The parameters of a link, each with the key without its number.
pub(super) fn parameters(text: &str) -> Result<impl Iterator<Item = (&str, Field<'_>)>, MagnetError> {
    if text.len() > MAX_MAGNET_LEN {
        return Err(MagnetError { kind: MagnetErrorKind::TooLong(text.len()), offset: 0 });
    }
    let (_, parameters) = link(text).map_err(|_| MagnetError { kind: MagnetErrorKind::Scheme, offset: 0 })?;
    Ok(parameters.into_iter().map(|(key, value)| {
        (unnumbered(key), Field { text: value.text, offset: text.len().saturating_sub(value.after) })
    }))
}

/// Code and length of SHA-256 digests among multihashes (BEP 9).
pub(super) const SHA256_MULTIHASH: &str = "1220";

pub(super) enum Topic {
    V1(Sha1Hash),
    V2(Sha256Hash),
    Other,
}

/// The value of a parameter, with its escapes.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl Field<'_> {
    pub(super) fn fail(self, kind: MagnetErrorKind) -> MagnetError {
        MagnetError { kind, offset: self.offset }
    }

    /// Resolves escapes; bytes that are not escaped are replaced by what `plain` says.
    pub(super) fn decode(self, plain: fn(u8) -> u8) -> Result<Vec<u8>, MagnetError> {
        let (left, bytes) = many0(alt((escape, verify(byte, |byte| *byte != b'%').map(plain))))
            .parse(self.text.as_bytes())
            .map_err(|_: nom::Err<nom::error::Error<&[u8]>>| self.fail(MagnetErrorKind::Escape))?;
        if left.is_empty() {
            return Ok(bytes);
        }
        let offset = self.offset.saturating_add(self.text.len()).saturating_sub(left.len());
        Err(MagnetError { kind: MagnetErrorKind::Escape, offset })
    }

    pub(super) fn string(self) -> Result<String, MagnetError> {
        String::from_utf8(self.decode(|byte| byte)?).map_err(|_| self.fail(MagnetErrorKind::NotUtf8))
    }

    pub(super) fn topic(self) -> Result<Topic, MagnetError> {
        let text = self.string()?;
        let (_, topic) = topic(&text).map_err(|_| self.fail(MagnetErrorKind::InfoHash(text.clone())))?;
        Ok(topic)
    }

    pub(super) fn set<T: PartialEq>(self, slot: &mut Option<T>, hash: T) -> Result<(), MagnetError> {
        if slot.as_ref().is_some_and(|known| *known != hash) {
            return Err(self.fail(MagnetErrorKind::SecondInfoHash));
        }
        *slot = Some(hash);
        Ok(())
    }

    pub(super) fn peer(self) -> Result<String, MagnetError> {
        let text = self.string()?;
        let is_address = text.parse::<SocketAddr>().is_ok()
            || text.rsplit_once(':').is_some_and(|(host, port)| {
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
                let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
                !host.is_empty() && host.chars().all(is_name) && is_port
            });
        if is_address { Ok(text) } else { Err(self.fail(MagnetErrorKind::Peer(text))) }
    }

    pub(super) fn ranges(self) -> Result<Vec<RangeInclusive<u32>>, MagnetError> {
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
pub(super) fn digits_to_bytes(digits: &str, bits: u32) -> Option<Vec<u8>> {
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

/// Text in which all but the unreserved characters of RFC 3986, section 2.3, are escaped.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}
