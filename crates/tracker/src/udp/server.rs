//! The server's end: it keeps nothing for a client but what its swarm table holds.

use super::packet::{self, Reader};
use crate::announce::MAX_SCRAPE;
use crate::error::TrackerError;
use crate::server::TrackerServer;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use unchoke_core::{InfoHash, Seed, Sha1};

/// Answers the datagrams of UDP clients out of a [`TrackerServer`].
///
/// A connection id is a keyed hash of the client's address and the minute, so connect requests cost no memory, and whoever
/// cannot receive at an address cannot announce it. Nobody gets more bytes than he sent before he has proved that.
pub struct UdpServer {
    secret: [u8; 32],
    start: Instant,
}

impl std::fmt::Debug for UdpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UdpServer(..)")
    }
}

impl UdpServer {
    /// A server with a secret of its own.
    #[must_use]
    pub fn new(now: Instant, seed: &Seed) -> Self {
        let mut secret = [0; 32];
        seed.rng().fill(&mut secret);
        Self { secret, start: now }
    }

    /// The datagram to send back to `from`, if any: what is no request gets no answer.
    #[must_use]
    pub fn answer(
        &self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        server: &mut TrackerServer,
    ) -> Option<Vec<u8>> {
        self.try_answer(now, from, datagram, server).ok()
    }

    fn try_answer(
        &self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        server: &mut TrackerServer,
    ) -> Result<Vec<u8>, TrackerError> {
        let mut reader = Reader::new(datagram);
        let (connection, action, transaction) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let epoch = self.epoch(now);
        let answer = |action: u32| {
            let mut out = Vec::from(action.to_be_bytes());
            out.extend_from_slice(&transaction.to_be_bytes());
            out
        };
        let refuse = |reason: &str| {
            let mut out = answer(packet::ERROR);
            out.extend_from_slice(reason.as_bytes());
            out
        };
        if action == packet::CONNECT {
            if connection != packet::MAGIC {
                return Err(TrackerError::malformed("not the protocol id", 0));
            }
            let mut out = answer(packet::CONNECT);
            out.extend_from_slice(&self.connection_id(epoch, from).to_be_bytes());
            return Ok(out);
        }
        let is_known = |epoch| self.connection_id(epoch, from) == connection;
        if !is_known(epoch) && !epoch.checked_sub(1).is_some_and(is_known) {
            return Err(TrackerError::malformed("connection id", 0));
        }
        match action {
            packet::ANNOUNCE => {
                let request = packet::read_announce(&mut reader)?;
                Ok(match server.announce(now, &request, from) {
                    Ok(response) => {
                        let mut out = answer(packet::ANNOUNCE);
                        packet::put_announced(&mut out, &response, from);
                        out
                    }
                    Err(error) => refuse(&error.to_string()),
                })
            }
            packet::SCRAPE => {
                let mut hashes = Vec::new();
                while !reader.rest().is_empty() && hashes.len() < MAX_SCRAPE {
                    hashes.push(InfoHash::new(reader.array()?));
                }
                let mut out = answer(packet::SCRAPE);
                packet::put_scraped(&mut out, &server.scrape(&hashes).entries);
                Ok(out)
            }
            _ => Ok(refuse("unknown action")),
        }
    }

    fn epoch(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs().checked_div(EPOCH.as_secs()).unwrap_or(0)
    }

    fn connection_id(&self, epoch: u64, from: SocketAddr) -> u64 {
        let mut hash = Sha1::new();
        hash.update(&self.secret);
        hash.update(&epoch.to_be_bytes());
        hash.update(&from.port().to_be_bytes());
        match from.ip().to_canonical() {
            IpAddr::V4(ip) => hash.update(&ip.octets()),
            IpAddr::V6(ip) => hash.update(&ip.octets()),
        }
        let digest = hash.finish();
        digest.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// A connection id is good in the minute in which it was given and in the next (BEP 15 asks for two minutes at most).
const EPOCH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::AnnounceRequest;
    use crate::udp::{UdpConfig, UdpEvent, UdpTracker};
    use crate::url::TrackerUrl;
    use proptest::prelude::*;
    use unchoke_core::{DatagramProtocol as _, Handled, Path, PeerId};

    const TRACKER: ([u8; 4], u16) = ([192, 0, 2, 1], 1337);

    fn client(remote: SocketAddr) -> UdpTracker {
        let url = TrackerUrl::parse("udp://tracker.example:1337/announce?key=value").unwrap();
        UdpTracker::new(&url, remote, &Seed::new([1; 32]), UdpConfig::default()).unwrap()
    }

    fn request() -> AnnounceRequest {
        AnnounceRequest::new(InfoHash::new([1; 20]), PeerId::new([2; 20]), 6881)
    }

    /// Runs a client against our server in virtual time until it has an event; `loses` says which datagrams get lost.
    fn run(
        client: &mut UdpTracker,
        remote: SocketAddr,
        from: SocketAddr,
        mut loses: impl FnMut() -> bool,
    ) -> (UdpEvent, Duration) {
        let start = Instant::now();
        let (udp, mut table, mut now) =
            (UdpServer::new(start, &Seed::new([2; 32])), TrackerServer::new(Seed::new([3; 32])), start);
        table.announce(now, &request(), "192.0.2.77:1".parse().unwrap()).unwrap();
        table.announce(now, &request(), "[2001:db8::77]:1".parse().unwrap()).unwrap();
        loop {
            let mut buf = Vec::new();
            while client.poll_transmit(now, &mut buf).is_some() {
                let answer = if loses() { None } else { udp.answer(now, from, &buf, &mut table) };
                buf.clear();
                if let Some(answer) = answer.filter(|_| !loses()) {
                    assert_eq!(client.handle_input(now, Path::from_remote(remote), &answer), Handled::Taken);
                }
            }
            if let Some(event) = client.poll_event() {
                return (event, now - start);
            }
            now = client.poll_timeout().unwrap();
            client.handle_timeout(now);
        }
    }

    #[test]
    fn an_announce_over_either_family_brings_peers_of_that_family() {
        for (remote, from, peer) in [
            ("192.0.2.1:1337", "192.0.2.5:5", "192.0.2.77:6881"),
            ("[2001:db8::1]:1337", "[2001:db8::5]:5", "[2001:db8::77]:6881"),
        ] {
            let remote = remote.parse().unwrap();
            let mut client = client(remote);
            let id = client.announce(&request());
            let (event, _) = run(&mut client, remote, from.parse().unwrap(), || false);
            let UdpEvent::Announced { id: answered, response } = event else { panic!("{event:?}") };
            assert_eq!((answered, response.peers), (id, vec![peer.parse().unwrap()]));
            assert_eq!(client.poll_timeout(), None);
        }
    }

    #[test]
    fn a_scrape_counts_peers() {
        let mut client = client(TRACKER.into());
        client.scrape(&[InfoHash::new([1; 20]), InfoHash::new([9; 20])]).unwrap();
        let (event, _) = run(&mut client, TRACKER.into(), "192.0.2.5:5".parse().unwrap(), || false);
        let UdpEvent::Scraped { response, .. } = event else { panic!("{event:?}") };
        assert_eq!(response.entries.iter().map(|entry| entry.leechers).collect::<Vec<_>>(), [2, 0]);
    }

    #[test]
    fn lost_datagrams_are_sent_again() {
        // An exchange takes two answers of nine tries: one in ten lost either way leaves one in 80,000 to give up.
        let mut lost = 0;
        for seed in 0..100 {
            let mut rng = Seed::new([seed; 32]).rng();
            let mut client = client(TRACKER.into());
            client.announce(&request());
            let (event, _) = run(&mut client, TRACKER.into(), "192.0.2.5:5".parse().unwrap(), || {
                let loses = rng.below(10) < 1;
                lost += u32::from(loses);
                loses
            });
            assert!(matches!(event, UdpEvent::Announced { .. }), "seed {seed}: {event:?}");
        }
        assert!(lost > 20, "{lost}");
    }

    #[test]
    fn a_silent_tracker_is_given_up_after_nine_waits() {
        let mut client = client(TRACKER.into());
        let id = client.announce(&request());
        let (event, waited) = run(&mut client, TRACKER.into(), "192.0.2.5:5".parse().unwrap(), || true);
        assert_eq!(event, UdpEvent::Failed { id, error: TrackerError::TimedOut });
        assert_eq!(waited, Duration::from_secs(15 * 511));
    }

    #[test]
    fn strangers_and_wrong_transactions_are_not_believed() {
        let (mut client, now) = (client(TRACKER.into()), Instant::now());
        client.announce(&request());
        let mut buf = Vec::new();
        assert_eq!(client.poll_transmit(now, &mut buf).map(|sent| sent.size), Some(16));
        let answer = [&[0; 4], &buf[12..16], &[7; 8]].concat();
        let stranger = Path::from_remote("192.0.2.66:1337".parse().unwrap());
        let tracker = Path::from_remote(TRACKER.into());
        assert_eq!(client.handle_input(now, stranger, &answer), Handled::NotMine);
        assert_eq!(client.handle_input(now, tracker, &[0; 16]), Handled::NotMine);
        assert_eq!(client.handle_input(now, tracker, &[0; 7]), Handled::Refused);
        assert_eq!(client.handle_input(now, tracker, &answer[..15]), Handled::Refused);
        assert_eq!(client.handle_input(now, tracker, &answer), Handled::Taken);
        buf.clear();
        assert!(client.poll_transmit(now, &mut buf).is_some());
        assert_eq!(buf[98..], *b"\x02\x13/announce?key=value");
    }

    #[test]
    fn a_connection_id_is_good_for_one_address_and_two_minutes() {
        let now = Instant::now();
        let (udp, mut table) = (UdpServer::new(now, &Seed::new([2; 32])), TrackerServer::new(Seed::new([3; 32])));
        let (one, other) = ("192.0.2.5:5".parse().unwrap(), "192.0.2.6:5".parse().unwrap());
        let mut ask = Vec::new();
        packet::put_header(&mut ask, packet::MAGIC, packet::CONNECT, 1);
        let given = udp.answer(now, one, &ask, &mut table).unwrap();
        let scrape = [&given[8..], &[0, 0, 0, 2, 0, 0, 0, 9], &[1; 20]].concat();
        assert!(udp.answer(now, one, &scrape, &mut table).is_some());
        assert!(udp.answer(now + EPOCH, one, &scrape, &mut table).is_some());
        assert_eq!(udp.answer(now + EPOCH * 2, one, &scrape, &mut table), None);
        assert_eq!(udp.answer(now, other, &scrape, &mut table), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken_or_refused(datagram in prop::collection::vec(any::<u8>(), 0..150)) {
            let now = Instant::now();
            let (udp, mut table) = (UdpServer::new(now, &Seed::new([2; 32])), TrackerServer::new(Seed::new([3; 32])));
            let _ = udp.answer(now, "192.0.2.5:5".parse().unwrap(), &datagram, &mut table);
            let mut client = client(TRACKER.into());
            client.announce(&request());
            let mut buf = Vec::new();
            let _ = client.poll_transmit(now, &mut buf);
            let forged = [&datagram[..datagram.len().min(4)], &buf[12..16], &datagram].concat();
            client.handle_input(now, Path::from_remote(TRACKER.into()), &forged);
        }
    }
}
