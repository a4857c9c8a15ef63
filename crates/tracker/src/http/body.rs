//! The bencoded bodies of answers, read and written.

use crate::announce::{
    AnnounceResponse, MAX_INTERVAL, MAX_SCRAPE, MAX_TRACKER_ID, ScrapeEntry, ScrapeResponse, clamp_interval,
};
use crate::error::{TrackerError, sanitise};
use std::net::{IpAddr, SocketAddr};
use unchoke_bencode::{DecodeLimits, Dict, Document, Value, decode, encode};
use unchoke_core::{InfoHash, compact};

fn document(body: &[u8]) -> Result<Document<'_>, TrackerError> {
    let mut limits = DecodeLimits::default();
    (limits.max_depth, limits.max_tokens, limits.max_len) = (8, 100_000, super::MAX_BODY);
    Ok(decode(body, &limits)?)
}

fn root<'a, 't>(document: &'t Document<'a>) -> Result<Dict<'a, 't>, TrackerError> {
    let dict = document.root().as_dict().ok_or(TrackerError::malformed("answer is no dictionary", 0))?;
    match dict.get(b"failure reason").and_then(Value::as_bytes) {
        Some(reason) => Err(TrackerError::failure(reason)),
        None => Ok(dict),
    }
}

/// Reads the answer to an announce.
pub(super) fn read_announce(body: &[u8]) -> Result<AnnounceResponse, TrackerError> {
    let document = document(body)?;
    let dict = root(&document)?;
    let interval = integer(dict, b"interval")?.unwrap_or(DEFAULT_INTERVAL);
    let mut response = AnnounceResponse::new(clamp_interval(interval));
    response.min_interval = integer(dict, b"min interval")?.map(clamp_interval);
    response.seeders = integer(dict, b"complete")?.map(count);
    response.leechers = integer(dict, b"incomplete")?.map(count);
    response.warning = dict.get(b"warning message").and_then(Value::as_bytes).map(sanitise);
    let short = |id: &&[u8]| id.len() <= MAX_TRACKER_ID;
    response.tracker_id = dict.get(b"tracker id").and_then(Value::as_bytes).filter(short).map(Vec::from);
    response.external_ip = dict.get(b"external ip").and_then(Value::as_bytes).and_then(address);
    if let Some(peers) = dict.get(b"peers") {
        read_peers(peers, &mut response)?;
    }
    if let Some(peers) = dict.get(b"peers6") {
        let malformed = TrackerError::malformed("peers6", peers.offset());
        let bytes = peers.as_bytes().ok_or(malformed.clone())?;
        compact::decode_v6(bytes).map_err(|_| malformed)?.for_each(|peer| response.push_peer(peer));
    }
    Ok(response)
}

fn read_peers(peers: Value<'_, '_>, response: &mut AnnounceResponse) -> Result<(), TrackerError> {
    let malformed = |value: Value<'_, '_>| TrackerError::malformed("peers", value.offset());
    if let Some(bytes) = peers.as_bytes() {
        compact::decode_v4(bytes).map_err(|_| malformed(peers))?.for_each(|peer| response.push_peer(peer));
        return Ok(());
    }
    for item in peers.as_list().ok_or(malformed(peers))? {
        let dict = item.as_dict().ok_or(malformed(item))?;
        let port = dict.get(b"port").and_then(Value::as_int).and_then(|port| u16::try_from(port).ok());
        let ip = dict.get(b"ip").and_then(Value::as_str).ok_or(malformed(item))?;
        // BEP 3 allows a host name here; looking up names that a tracker chooses would let it aim at anybody.
        if let Ok(ip) = ip.parse::<IpAddr>() {
            response.push_peer(SocketAddr::new(ip, port.ok_or(malformed(item))?));
        }
    }
    Ok(())
}

fn integer(dict: Dict<'_, '_>, key: &[u8]) -> Result<Option<i64>, TrackerError> {
    let Some(value) = dict.get(key) else { return Ok(None) };
    value.as_int().map(Some).ok_or(TrackerError::malformed("not an integer", value.offset()))
}

fn count(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// Reads the answer to a scrape.
pub(super) fn read_scrape(body: &[u8]) -> Result<ScrapeResponse, TrackerError> {
    let document = document(body)?;
    let dict = root(&document)?;
    let files = dict.get(b"files").ok_or(TrackerError::malformed("files are missing", 0))?;
    let malformed = |value: Value<'_, '_>| TrackerError::malformed("files", value.offset());
    let mut entries = Vec::new();
    for (key, value) in files.as_dict().ok_or(malformed(files))?.iter().take(MAX_SCRAPE) {
        let info_hash = InfoHash::from_slice(key).ok_or(malformed(value))?;
        let file = value.as_dict().ok_or(malformed(value))?;
        let number = |key: &[u8]| integer(file, key).map(|number| count(number.unwrap_or(0)));
        entries.push(ScrapeEntry {
            info_hash,
            seeders: number(b"complete")?,
            leechers: number(b"incomplete")?,
            completed: number(b"downloaded")?,
        });
    }
    Ok(ScrapeResponse { entries })
}

/// Writes the answer to an announce; without `compact`, peers are dictionaries without peer ids.
pub(super) fn write_announce(response: &AnnounceResponse, compact: bool) -> Vec<u8> {
    let seconds =
        |time: std::time::Duration| i64::try_from(time.min(MAX_INTERVAL).as_secs()).unwrap_or(DEFAULT_INTERVAL);
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    response.peers.iter().for_each(|peer| compact::encode(*peer, &mut v4, &mut v6));
    encode(|value| {
        value.dict(|dict| {
            dict.int("interval", seconds(response.interval));
            if let Some(interval) = response.min_interval {
                dict.int("min interval", seconds(interval));
            }
            if let Some(count) = response.seeders {
                dict.int("complete", i64::from(count));
            }
            if let Some(count) = response.leechers {
                dict.int("incomplete", i64::from(count));
            }
            if let Some(text) = &response.warning {
                dict.bytes("warning message", text);
            }
            if let Some(id) = &response.tracker_id {
                dict.bytes("tracker id", id);
            }
            match response.external_ip {
                Some(IpAddr::V4(ip)) => dict.bytes("external ip", ip.octets()),
                Some(IpAddr::V6(ip)) => dict.bytes("external ip", ip.octets()),
                None => {}
            }
            if compact {
                dict.bytes("peers", &v4);
                if !v6.is_empty() {
                    dict.bytes("peers6", &v6);
                }
            } else {
                dict.entry("peers", |value| {
                    value.list(|list| {
                        for peer in &response.peers {
                            list.item(|item| {
                                item.dict(|dict| {
                                    dict.bytes("ip", peer.ip().to_canonical().to_string());
                                    dict.int("port", i64::from(peer.port()));
                                })
                            });
                        }
                    })
                });
            }
        })
    })
}

/// Writes the answer to a scrape.
pub(super) fn write_scrape(response: &ScrapeResponse) -> Vec<u8> {
    // A client may name a torrent twice, a dictionary may not.
    let entries: std::collections::BTreeMap<_, _> =
        response.entries.iter().map(|entry| (*entry.info_hash.as_bytes(), entry)).collect();
    encode(|value| {
        value.dict(|dict| {
            dict.entry("files", |value| {
                value.dict(|files| {
                    for (info_hash, entry) in &entries {
                        files.entry(info_hash, |value| {
                            value.dict(|file| {
                                file.int("complete", i64::from(entry.seeders));
                                file.int("downloaded", i64::from(entry.completed));
                                file.int("incomplete", i64::from(entry.leechers));
                            })
                        });
                    }
                })
            });
        })
    })
}

/// Writes a refusal.
pub(super) fn write_failure(reason: &str) -> Vec<u8> {
    encode(|value| value.dict(|dict| dict.bytes("failure reason", reason)))
}

/// Half an hour, for trackers that say nothing.
const DEFAULT_INTERVAL: i64 = 1800;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn b1_nesting_in_the_answer_of_a_tracker_costs_no_stack() {
        let work = || {
            for depth in [1_000, 100_000, 1_000_000] {
                for (open, close) in [("l", "e"), ("d1:a", "e"), ("d1:al", "ee")] {
                    for input in [
                        open.repeat(depth) + &close.repeat(depth),
                        open.repeat(depth),
                        format!("d5:peers{}", open.repeat(depth)),
                    ] {
                        assert!(read_announce(input.as_bytes()).is_err() && read_scrape(input.as_bytes()).is_err());
                    }
                }
            }
        };
        std::thread::Builder::new().stack_size(64 * 1024).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn answers_in_all_forms_are_read() {
        let peers = |body: &[u8]| read_announce(body).unwrap().peers;
        let wanted: Vec<SocketAddr> = vec!["1.2.3.4:258".parse().unwrap()];
        assert_eq!(peers(b"d8:intervali60e5:peers6:\x01\x02\x03\x04\x01\x02e"), wanted);
        assert_eq!(peers(b"d8:intervali60e5:peersld2:ip7:1.2.3.44:porti258eeee"), wanted);
        assert_eq!(peers(b"d8:intervali60e5:peersld2:ip4:host4:porti258eeee"), []);
        assert_eq!(peers(b"d8:intervali60e5:peers6:\x01\x02\x03\x04\x00\x00e"), [], "port 0 is no peer");
        assert_eq!(
            peers(b"d8:intervali60e6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\x02e"),
            ["[2001:db8::1]:258".parse().unwrap()]
        );
        assert_eq!(
            read_announce(b"d11:external ip4:\x01\x02\x03\x04e").unwrap().external_ip,
            Some([1, 2, 3, 4].into())
        );
        assert_eq!(read_announce(b"de").unwrap().interval, Duration::from_secs(1800));
        assert_eq!(read_announce(b"d8:intervali-5ee").unwrap().interval, Duration::from_secs(30));
        assert_eq!(read_announce(b"d8:intervali999999999ee").unwrap().interval, MAX_INTERVAL);
    }

    #[test]
    fn malformed_answers_are_refused_with_their_offset() {
        for (body, what, offset) in [
            (&b"le"[..], "answer is no dictionary", 0),
            (b"d8:interval1:xe", "not an integer", 11),
            (b"d5:peers5:abcdee", "peers", 8),
            (b"d5:peersi5ee", "peers", 8),
            (b"d5:peersl1:xee", "peers", 9),
            (b"d6:peers61:xe", "peers6", 9),
        ] {
            assert_eq!(read_announce(body), Err(TrackerError::Malformed { what, offset }));
        }
        let refused = TrackerError::FailureReason("no such torrent".into());
        assert_eq!(read_announce(b"d14:failure reason15:no such torrente"), Err(refused));
        assert!(matches!(read_announce(b"d"), Err(TrackerError::Bencode(_))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            peers in prop::collection::vec(any::<SocketAddr>(), 0..30), counts in any::<(Option<u32>, Option<u32>)>(),
            ip: Option<IpAddr>, compact: bool,
        ) {
            let mut response = AnnounceResponse::new(Duration::from_secs(900));
            (response.seeders, response.leechers, response.external_ip) = (counts.0, counts.1, ip);
            let mut peers: Vec<_> = peers.iter().map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port())).collect();
            peers.sort_by_key(SocketAddr::is_ipv6);
            peers.into_iter().for_each(|peer| response.push_peer(peer));
            prop_assert_eq!(read_announce(&write_announce(&response, compact)), Ok(response));
        }

        #[test]
        fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read_announce(&body), read_scrape(&body));
        }
    }
}
