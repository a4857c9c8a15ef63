//! Peer exchange ([BEP 11]): peers tell each other whom they are connected to.
//!
//! [BEP 11]: https://www.bittorrent.org/beps/bep_0011.html

use crate::extended::{ExtendedHandshake, limits};
use crate::extension::{Extension, ExtensionError, ExtensionEvent, PexFlags, SwarmChange};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::{Dict, Value, decode, encode};
use unchoke_core::compact;

/// The extension `ut_pex` on one connection.
///
/// It tells of at most fifty new and fifty lost peers a minute. Of what the peer tells it takes a hundred new and a hundred lost peers from
/// each message, and passes over messages that come too often.
#[derive(Debug, Default)]
pub struct UtPex {
    joined: BTreeMap<SocketAddr, PexFlags>,
    left: BTreeSet<SocketAddr>,
    /// Peers that the other side has been told of.
    told: BTreeSet<SocketAddr>,
    /// When the next message may leave; none before the handshake.
    next: Option<Instant>,
    last_input: Option<Instant>,
    events: VecDeque<ExtensionEvent>,
}

impl UtPex {
    /// An extension that knows of no peers yet. Those that are connected already must be told to it as joined.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn has_news(&self) -> bool {
        !self.joined.is_empty() || !self.left.is_empty()
    }
}

impl Extension for UtPex {
    fn name(&self) -> &'static str {
        "ut_pex"
    }

    fn handle_handshake(&mut self, now: Instant, theirs: &ExtendedHandshake) {
        if self.next.is_none() && theirs.id(self.name()).is_some() {
            self.next = Some(now);
        }
    }

    fn handle_input(&mut self, now: Instant, payload: Bytes) -> Result<(), ExtensionError> {
        if self.last_input.is_some_and(|last| now.saturating_duration_since(last) < MIN_INPUT_INTERVAL) {
            return Ok(());
        }
        self.last_input = Some(now);
        let document = decode(&payload, &limits())?;
        let root = document.root().as_dict().ok_or(ExtensionError::Key { key: "added" })?;
        let peers = list(root, "added", "added6")?;
        let dropped = list(root, "dropped", "dropped6")?;
        if !peers.is_empty() || !dropped.is_empty() {
            self.events.push_back(ExtensionEvent::PeersFound { peers, dropped });
        }
        Ok(())
    }

    fn handle_change(&mut self, _now: Instant, change: &SwarmChange) {
        match change {
            SwarmChange::PeerJoined { addr, flags } => {
                // One that was lost a moment ago and not reported as lost is no news.
                let is_news = !self.left.remove(addr) && !self.told.contains(addr);
                if is_news && self.joined.len() < MAX_PENDING {
                    self.joined.insert(*addr, *flags);
                }
            }
            SwarmChange::PeerLeft { addr } => {
                self.joined.remove(addr);
                if self.told.contains(addr) {
                    self.left.insert(*addr);
                }
            }
            _ => {}
        }
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if !self.has_news() || self.next.is_none_or(|next| now < next) {
            return None;
        }
        self.next = now.checked_add(INTERVAL);
        let (mut v4, mut v6, mut flags4, mut flags6) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut lost4, mut lost6) = (Vec::new(), Vec::new());
        for _ in 0..MAX_TOLD {
            if let Some((addr, flags)) = self.joined.pop_first() {
                compact::encode(addr, &mut v4, &mut v6);
                if addr.ip().to_canonical().is_ipv4() { &mut flags4 } else { &mut flags6 }.push(flags.as_byte());
                self.told.insert(addr);
            }
            if let Some(addr) = self.left.pop_first() {
                compact::encode(addr, &mut lost4, &mut lost6);
                self.told.remove(&addr);
            }
        }
        let entries = [("added", v4), ("added.f", flags4), ("added6", v6), ("added6.f", flags6)];
        let lost = [("dropped", lost4), ("dropped6", lost6)];
        Some(encode(|v| v.dict(|d| entries.iter().chain(&lost).for_each(|(key, bytes)| d.bytes(key, bytes)))).into())
    }

    fn poll_event(&mut self) -> Option<ExtensionEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| self.has_news())
    }
}

/// The peers of two lists, as many as are taken and as can be connected to.
fn list(root: Dict<'_, '_>, v4: &'static str, v6: &'static str) -> Result<Vec<SocketAddr>, ExtensionError> {
    let bytes = |key: &str| root.get(key.as_bytes()).and_then(Value::as_bytes).unwrap_or_default();
    let first = compact::decode_v4(bytes(v4)).map_err(|_| ExtensionError::Key { key: v4 })?;
    let second = compact::decode_v6(bytes(v6)).map_err(|_| ExtensionError::Key { key: v6 })?;
    let sane = |peer: &SocketAddr| peer.port() != 0 && !peer.ip().is_unspecified() && !peer.ip().is_multicast();
    Ok(first.chain(second).take(MAX_TAKEN).filter(sane).collect())
}

/// New peers, and lost ones, in one of our messages (BEP 11).
const MAX_TOLD: usize = 50;
/// Peers taken from one list of a message.
const MAX_TAKEN: usize = 100;
/// New peers kept for later messages.
const MAX_PENDING: usize = 200;
/// The time between our messages (BEP 11).
const INTERVAL: Duration = Duration::from_secs(60);
/// The time between messages of the peer that are listened to.
const MIN_INPUT_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(now: Instant) -> UtPex {
        let mut pex = UtPex::new();
        pex.handle_handshake(now, &ExtendedHandshake::decode(b"d1:md6:ut_pexi1eee").unwrap());
        pex
    }

    fn peer(number: u16) -> SocketAddr {
        if number.is_multiple_of(2) {
            SocketAddr::from(([10, 0, 0, 1], number))
        } else {
            SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 1], number))
        }
    }

    fn join(pex: &mut UtPex, now: Instant, numbers: std::ops::Range<u16>) {
        for number in numbers {
            let flags = PexFlags::new().with_reachable();
            pex.handle_change(now, &SwarmChange::PeerJoined { addr: peer(number), flags });
        }
    }

    fn found(pex: &mut UtPex) -> Option<(Vec<SocketAddr>, Vec<SocketAddr>)> {
        pex.poll_event().map(|event| match event {
            ExtensionEvent::PeersFound { peers, dropped } => (peers, dropped),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn tells_fifty_a_minute_and_each_once() {
        let (start, mut to) = (Instant::now(), UtPex::new());
        let mut from = ready(start);
        join(&mut from, start, 1..121);
        let mut all = BTreeSet::new();
        for minute in 0..4_u32 {
            let now = start + INTERVAL * minute;
            let Some(message) = from.poll_transmit(now) else {
                assert_eq!(minute, 3, "all told");
                continue;
            };
            assert!(from.poll_transmit(now + INTERVAL - Duration::from_millis(1)).is_none());
            to.handle_input(now, message).unwrap();
            let (peers, dropped) = found(&mut to).unwrap();
            assert_eq!((peers.len(), dropped.len()), ([50, 50, 20][minute as usize], 0));
            all.extend(peers);
        }
        assert_eq!(all, (1..121).map(peer).collect());
        from.handle_change(start, &SwarmChange::PeerLeft { addr: peer(7) });
        let now = start + INTERVAL * 9;
        to.handle_input(now, from.poll_transmit(now).unwrap()).unwrap();
        assert_eq!(found(&mut to), Some((vec![], vec![peer(7)])));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn a_peer_that_leaves_before_it_was_told_of_is_not_told_of() {
        let now = Instant::now();
        let mut pex = ready(now);
        join(&mut pex, now, 1..2);
        assert_eq!(pex.poll_timeout(), Some(now));
        pex.handle_change(now, &SwarmChange::PeerLeft { addr: peer(1) });
        assert_eq!((pex.poll_transmit(now), pex.poll_timeout()), (None, None));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn takes_a_hundred_peers_and_no_message_too_soon() {
        let (now, mut pex) = (Instant::now(), UtPex::new());
        let mut many = Vec::new();
        for port in 1..=500 {
            compact::encode(SocketAddr::from(([10, 0, 0, 1], port)), &mut many, &mut Vec::new());
        }
        let message: Bytes = encode(|v| v.dict(|d| d.bytes("added", &many))).into();
        pex.handle_input(now, message.clone()).unwrap();
        assert_eq!(found(&mut pex).unwrap().0.len(), 100);
        pex.handle_input(now + Duration::from_secs(29), message.clone()).unwrap();
        assert_eq!(found(&mut pex), None);
        pex.handle_input(now + Duration::from_secs(30), message).unwrap();
        assert!(found(&mut pex).is_some());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn refuses_a_list_that_is_not_made_of_peers() {
        let refused = UtPex::new().handle_input(Instant::now(), Bytes::from_static(b"d5:added5:abcdee"));
        assert!(matches!(refused, Err(ExtensionError::Key { key: "added" })));
    }
}
