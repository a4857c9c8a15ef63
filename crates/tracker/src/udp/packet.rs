//! The datagrams of the UDP tracker protocol.

use crate::announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry, clamp_interval};
use crate::error::TrackerError;
use std::net::SocketAddr;
use unchoke_core::{InfoHash, PeerId, compact};

/// What stands where a connect request has no connection id yet (BEP 15).
pub(super) const MAGIC: u64 = 0x417_2710_1980;
pub(super) const CONNECT: u32 = 0;
pub(super) const ANNOUNCE: u32 = 1;
pub(super) const SCRAPE: u32 = 2;
pub(super) const ERROR: u32 = 3;

/// Reads fields from the front of a datagram.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram, offset: 0 }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], TrackerError> {
        let (first, rest) =
            self.rest.split_first_chunk::<N>().ok_or(TrackerError::malformed("datagram is too short", self.offset))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(*first)
    }

    pub(super) fn u32(&mut self) -> Result<u32, TrackerError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, TrackerError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

pub(super) fn put_header(out: &mut Vec<u8>, connection: u64, action: u32, transaction: u32) {
    out.extend_from_slice(&connection.to_be_bytes());
    out.extend_from_slice(&action.to_be_bytes());
    out.extend_from_slice(&transaction.to_be_bytes());
}

/// The part of an announce behind the header.
pub(super) fn put_announce(out: &mut Vec<u8>, request: &AnnounceRequest, url_data: &str) {
    out.extend_from_slice(request.info_hash.as_bytes());
    out.extend_from_slice(request.peer_id.as_bytes());
    for number in [request.downloaded, request.left, request.uploaded] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let event: u32 = match request.event {
        None => 0,
        Some(AnnounceEvent::Completed) => 1,
        Some(AnnounceEvent::Started) => 2,
        Some(AnnounceEvent::Stopped) => 3,
    };
    // The third number would be our IPv4 address; zero leaves it to the tracker, which sees it.
    for number in [event, 0, request.key, request.num_want.unwrap_or(u32::MAX)] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&request.port.to_be_bytes());
    for part in url_data.as_bytes().chunks(255) {
        out.push(2);
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
}

/// Reads the part of an announce behind the header; options behind it are passed over.
pub(super) fn read_announce(reader: &mut Reader<'_>) -> Result<AnnounceRequest, TrackerError> {
    let info_hash = InfoHash::new(reader.array()?);
    let mut request = AnnounceRequest::new(info_hash, PeerId::new(reader.array()?), 0);
    (request.downloaded, request.left, request.uploaded) = (reader.u64()?, reader.u64()?, reader.u64()?);
    request.event = match reader.u32()? {
        1 => Some(AnnounceEvent::Completed),
        2 => Some(AnnounceEvent::Started),
        3 => Some(AnnounceEvent::Stopped),
        _ => None,
    };
    // Believing the address would let anybody announce anybody.
    let _address = reader.u32()?;
    request.key = reader.u32()?;
    request.num_want = Some(reader.u32()?).filter(|count| i32::try_from(*count).is_ok());
    request.port = reader.array().map(u16::from_be_bytes)?;
    Ok(request)
}

/// Writes the part of an announce's answer behind action and transaction id. Only peers of the asker's family have room in it,
/// and only so many as keep the datagram below the usual MTU.
pub(super) fn put_announced(out: &mut Vec<u8>, response: &AnnounceResponse, remote: SocketAddr) {
    let seconds = u32::try_from(response.interval.as_secs()).unwrap_or(u32::MAX);
    for number in [seconds, response.leechers.unwrap_or(0), response.seeders.unwrap_or(0)] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    response.peers.iter().for_each(|peer| compact::encode(*peer, &mut v4, &mut v6));
    let (list, entry) = if is_v4(remote) { (v4, compact::V4_LEN) } else { (v6, compact::V6_LEN) };
    list.chunks_exact(entry)
        .take(MAX_LIST.checked_div(entry).unwrap_or(0))
        .for_each(|peer| out.extend_from_slice(peer));
}

pub(super) fn read_announced(reader: &mut Reader<'_>, remote: SocketAddr) -> Result<AnnounceResponse, TrackerError> {
    let mut response = AnnounceResponse::new(clamp_interval(i64::from(reader.u32()?)));
    response.leechers = Some(reader.u32()?);
    response.seeders = Some(reader.u32()?);
    let torn = |_| TrackerError::malformed("torn peer list", ANNOUNCED_LEN);
    if is_v4(remote) {
        compact::decode_v4(reader.rest()).map_err(torn)?.for_each(|peer| response.push_peer(peer));
    } else {
        compact::decode_v6(reader.rest()).map_err(torn)?.for_each(|peer| response.push_peer(peer));
    }
    Ok(response)
}

pub(super) fn put_scraped(out: &mut Vec<u8>, entries: &[ScrapeEntry]) {
    for entry in entries {
        for number in [entry.seeders, entry.completed, entry.leechers] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Reads one entry for each of the torrents that were asked for, in the same order.
pub(super) fn read_scraped(reader: &mut Reader<'_>, hashes: &[InfoHash]) -> Result<Vec<ScrapeEntry>, TrackerError> {
    let read = |info_hash: &InfoHash| {
        let (seeders, completed, leechers) = (reader.u32()?, reader.u32()?, reader.u32()?);
        Ok(ScrapeEntry { info_hash: *info_hash, seeders, leechers, completed })
    };
    hashes.iter().map(read).collect()
}

/// An IPv6 socket may show an IPv4 remote as a mapped address; the tracker sees, and answers, IPv4.
fn is_v4(remote: SocketAddr) -> bool {
    remote.ip().to_canonical().is_ipv4()
}

const ANNOUNCED_LEN: usize = 20;
const MAX_LIST: usize = 1200;
