//! The query strings of announces and scrapes, written and read.

use super::message::decimal;
use crate::announce::{AnnounceEvent, AnnounceRequest, MAX_SCRAPE, MAX_TRACKER_ID};
use std::fmt::Write as _;
use unchoke_core::{InfoHash, PeerId};

/// Appends bytes with everything but unreserved characters escaped (RFC 3986, 2.3).
fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                out.push(digit(high)? << 4 | digit(low)?);
                after
            }
            (b'%', _) => return None,
            _ => {
                out.push(*first);
                after
            }
        };
    }
    Some(out)
}

/// The target of an announce: the tracker's own path and query, and ours behind it.
pub(super) fn announce_target(path_query: &str, request: &AnnounceRequest) -> String {
    let mut out = start(path_query);
    out.push_str("info_hash=");
    escape(&mut out, request.info_hash.as_bytes());
    out.push_str("&peer_id=");
    escape(&mut out, request.peer_id.as_bytes());
    let _ = write!(
        out,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&key={:08X}",
        request.port, request.uploaded, request.downloaded, request.left, request.key
    );
    if let Some(event) = request.event {
        let _ = write!(out, "&event={}", event_name(event));
    }
    if let Some(count) = request.num_want {
        let _ = write!(out, "&numwant={count}");
    }
    if let Some(id) = &request.tracker_id {
        out.push_str("&trackerid=");
        escape(&mut out, id);
    }
    out
}

/// The target of a scrape.
pub(super) fn scrape_target(path_query: &str, hashes: &[InfoHash]) -> String {
    let mut out = start(path_query);
    for (number, hash) in hashes.iter().enumerate() {
        out.push_str(if number == 0 { "info_hash=" } else { "&info_hash=" });
        escape(&mut out, hash.as_bytes());
    }
    out
}

fn start(path_query: &str) -> String {
    let mut out = path_query.to_owned();
    match path_query.split_once('?') {
        None => out.push('?'),
        Some((_, query)) if !query.is_empty() && !query.ends_with('&') => out.push('&'),
        Some(_) => {}
    }
    out
}

fn event_name(event: AnnounceEvent) -> &'static str {
    match event {
        AnnounceEvent::Started => "started",
        AnnounceEvent::Stopped => "stopped",
        AnnounceEvent::Completed => "completed",
    }
}

/// An announce as it came, and whether the client refuses compact lists.
pub(super) struct ParsedAnnounce {
    pub(super) request: AnnounceRequest,
    pub(super) compact: bool,
}

/// Reads the query of an announce. Parameters that nobody knows are passed over; `ip` is one of them, since a tracker that
/// believed it could be turned against anybody.
pub(super) fn parse_announce(query: &[u8]) -> Result<ParsedAnnounce, &'static str> {
    let (mut info_hash, mut peer_id, mut port) = (None, None, None);
    let mut request = AnnounceRequest::new(InfoHash::new([0; 20]), PeerId::new([0; 20]), 0);
    let mut compact = true;
    for (name, value) in pairs(query) {
        let value = unescape(value).ok_or("bad escape in query")?;
        let number = || decimal(&value).ok_or("bad number in query");
        match name {
            b"info_hash" => info_hash = Some(InfoHash::from_slice(&value).ok_or("info_hash has not 20 bytes")?),
            b"peer_id" => peer_id = Some(PeerId::from_slice(&value).ok_or("peer_id has not 20 bytes")?),
            b"port" => port = Some(u16::try_from(number()?).map_err(|_| "bad port")?),
            b"uploaded" => request.uploaded = number()?,
            b"downloaded" => request.downloaded = number()?,
            b"left" => request.left = number()?,
            // Some clients ask for -1 when they leave the number to the tracker.
            b"numwant" => request.num_want = decimal(&value).map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            b"compact" => compact = value != b"0",
            b"key" => request.key = key_number(&value),
            b"trackerid" if value.len() <= MAX_TRACKER_ID => request.tracker_id = Some(value),
            b"event" => {
                request.event = match value.as_slice() {
                    b"started" => Some(AnnounceEvent::Started),
                    b"stopped" => Some(AnnounceEvent::Stopped),
                    b"completed" => Some(AnnounceEvent::Completed),
                    _ => None,
                }
            }
            _ => {}
        }
    }
    request.info_hash = info_hash.ok_or("info_hash is missing")?;
    request.peer_id = peer_id.ok_or("peer_id is missing")?;
    request.port = port.ok_or("port is missing")?;
    Ok(ParsedAnnounce { request, compact })
}

/// Reads the query of a scrape.
pub(super) fn parse_scrape(query: &[u8]) -> Result<Vec<InfoHash>, &'static str> {
    let mut hashes = Vec::new();
    for (_, value) in pairs(query).filter(|(name, _)| *name == b"info_hash") {
        let value = unescape(value).ok_or("bad escape in query")?;
        hashes.push(InfoHash::from_slice(&value).ok_or("info_hash has not 20 bytes")?);
        if hashes.len() > MAX_SCRAPE {
            return Err("too many info-hashes");
        }
    }
    if hashes.is_empty() { Err("info_hash is missing") } else { Ok(hashes) }
}

fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(at).unwrap_or((pair, &[]));
        (name, value.get(1..).unwrap_or_default())
    })
}

/// Clients write their key in hexadecimal; what is no such number still tells two clients apart by its bytes.
fn key_number(value: &[u8]) -> u32 {
    let hex = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .unwrap_or_else(|| value.iter().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_of_the_tracker_is_kept() {
        let hash = [InfoHash::new([b'a'; 20])];
        assert_eq!(scrape_target("/s", &hash), format!("/s?info_hash={}", "a".repeat(20)));
        assert_eq!(scrape_target("/s?k=1", &hash), format!("/s?k=1&info_hash={}", "a".repeat(20)));
        assert_eq!(scrape_target("/s?", &hash), format!("/s?info_hash={}", "a".repeat(20)));
    }

    #[test]
    fn what_lacks_or_spoils_a_parameter_is_refused() {
        let error = |query: &str| parse_announce(query.as_bytes()).err();
        let id = "a".repeat(20);
        assert_eq!(error(""), Some("info_hash is missing"));
        assert_eq!(error("info_hash=abc"), Some("info_hash has not 20 bytes"));
        assert_eq!(error(&format!("info_hash={id}&peer_id={id}")), Some("port is missing"));
        assert_eq!(error(&format!("info_hash={id}&peer_id={id}&port=65536")), Some("bad port"));
        assert_eq!(error(&format!("info_hash={id}&peer_id={id}&port=+1")), Some("bad number in query"));
        assert_eq!(error("x=%4"), Some("bad escape in query"));
        assert_eq!(error(&format!("info_hash={id}&peer_id={id}&port=1&numwant=-1")), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ids in any::<([u8; 20], [u8; 20])>(), port: u16, numbers in any::<(u64, u64, u64)>(), key: u32,
            num_want: Option<u32>, event in 0..4, tracker_id in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        ) {
            let mut request = AnnounceRequest::new(InfoHash::new(ids.0), PeerId::new(ids.1), port);
            (request.uploaded, request.downloaded, request.left) = numbers;
            (request.key, request.num_want, request.tracker_id) = (key, num_want, tracker_id);
            request.event = [None, Some(AnnounceEvent::Started), Some(AnnounceEvent::Stopped), Some(AnnounceEvent::Completed)][event as usize];
            let target = announce_target("/announce", &request);
            prop_assert_eq!(parse_announce(target.split_once('?').unwrap().1.as_bytes()).unwrap().request, request);
        }

        #[test]
        fn any_query_is_read_or_refused(query in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_announce(&query), parse_scrape(&query));
        }
    }
}
