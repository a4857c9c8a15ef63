//! Records as rows of a table. Times are seconds since 1970, so that they outlast the process.

use super::memory::{Peer, Stored, Torrent};
use crate::id::Id;
use crate::item::Item;
use crate::krpc::{Put, Signed};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Translates between a clock that ends with the process and one that does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    /// A moment,
    pub(super) at: Instant,
    /// and the same one in seconds since 1970.
    pub(super) unix: u64,
    /// No record is older. What claims to be is taken to be this old, which is too old to be kept.
    pub(super) oldest: Duration,
}

impl Epoch {
    fn unix(self, time: Instant) -> u64 {
        match time.checked_duration_since(self.at) {
            Some(after) => self.unix.saturating_add(after.as_secs()),
            None => self.unix.saturating_sub(self.at.saturating_duration_since(time).as_secs()),
        }
    }

    /// What seems to come from the future, as when the clock was set back, is from now.
    fn instant(self, unix: u64) -> Instant {
        let age = Duration::from_secs(self.unix.saturating_sub(unix)).min(self.oldest);
        self.at.checked_sub(age).unwrap_or(self.at)
    }
}

const IS_V6: u8 = 1;
const IS_SEED: u8 = 2;
const IS_MUTABLE: u8 = 4;

/// The row of a torrent: who brought it first, and its peers.
pub(super) fn write_torrent(torrent: &Torrent, epoch: Epoch) -> Vec<u8> {
    let mut row = Vec::with_capacity(torrent.peers.len().saturating_mul(16).saturating_add(17));
    write_ip(torrent.source, 0, &mut row);
    for peer in &torrent.peers {
        write_ip(peer.ip, if peer.seed { IS_SEED } else { 0 }, &mut row);
        row.extend_from_slice(&peer.port.to_be_bytes());
        row.extend_from_slice(&epoch.unix(peer.announced).to_be_bytes());
    }
    row
}

/// Reads what [`write_torrent`] has written.
pub(super) fn read_torrent(row: &[u8], epoch: Epoch) -> Option<Torrent> {
    let mut row = Reader(row);
    let (source, _) = row.ip()?;
    let mut peers = Vec::new();
    while !row.0.is_empty() {
        let (ip, flags) = row.ip()?;
        let port = u16::from_be_bytes(*row.take()?);
        let announced = epoch.instant(u64::from_be_bytes(*row.take()?));
        peers.push(Peer { ip, port, seed: flags & IS_SEED != 0, announced });
    }
    Some(Torrent { source, peers })
}

/// The row of an item: when and by whom it was put, what makes it a mutable one, and the value.
pub(super) fn write_item(stored: &Stored, epoch: Epoch) -> Vec<u8> {
    let mut row = Vec::with_capacity(stored.item.value().len().saturating_add(200));
    write_ip(stored.source, if stored.item.mutable().is_some() { IS_MUTABLE } else { 0 }, &mut row);
    row.extend_from_slice(&epoch.unix(stored.put).to_be_bytes());
    if let Some(mutable) = stored.item.mutable() {
        row.extend_from_slice(mutable.key.as_bytes());
        row.extend_from_slice(mutable.signature.as_bytes());
        row.extend_from_slice(&mutable.seq.to_be_bytes());
        row.push(u8::try_from(mutable.salt.len()).unwrap_or(u8::MAX));
        row.extend_from_slice(&mutable.salt);
    }
    row.extend_from_slice(stored.item.value());
    row
}

/// Reads what [`write_item`] has written, and checks the hash or the signature again.
pub(super) fn read_item(target: Id, row: &[u8], epoch: Epoch) -> Option<Stored> {
    let mut row = Reader(row);
    let (source, flags) = row.ip()?;
    let put = epoch.instant(u64::from_be_bytes(*row.take()?));
    let (mut signed, mut salt) = (None, &[][..]);
    if flags & IS_MUTABLE != 0 {
        let (key, signature, seq) = (row.take()?, row.take()?, i64::from_be_bytes(*row.take()?));
        let [length] = *row.take()?;
        salt = row.bytes(length.into())?;
        signed = Some(Signed { key, signature, seq });
    }
    let item = Item::from_put(&Put { token: &[], value: row.0, signed, salt, cas: None }).ok()?;
    (item.target() == target).then_some(Stored { item, source, put })
}

fn write_ip(ip: IpAddr, flags: u8, row: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            row.push(flags);
            row.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            row.push(flags | IS_V6);
            row.extend_from_slice(&ip.octets());
        }
    }
}

/// What is left of a row.
struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    fn take<const N: usize>(&mut self) -> Option<&'r [u8; N]> {
        let (taken, left) = self.0.split_first_chunk()?;
        self.0 = left;
        Some(taken)
    }

    fn bytes(&mut self, count: usize) -> Option<&'r [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn ip(&mut self) -> Option<(IpAddr, u8)> {
        let [flags] = *self.take()?;
        let ip = if flags & IS_V6 == 0 { IpAddr::from(*self.take::<4>()?) } else { IpAddr::from(*self.take::<16>()?) };
        Some((ip, flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::keys::SecretKey;

    fn epoch() -> Epoch {
        let oldest = Duration::from_secs(7200);
        Epoch { at: Instant::now() + oldest, unix: 1_800_000_000, oldest }
    }

    #[test]
    fn torrents_and_items_read_back_and_are_as_old_in_the_next_run() {
        let epoch = epoch();
        let [young, old] = [10, 3000].map(|age| epoch.at - Duration::from_secs(age));
        let peer = |ip: &str, port, seed, announced| Peer { ip: ip.parse().unwrap(), port, seed, announced };
        let peers = vec![peer("20.1.1.1", 6881, true, young), peer("2600::1", 1, false, old)];
        let torrent = Torrent { source: [20, 1, 1, 1].into(), peers };
        assert_eq!(read_torrent(&write_torrent(&torrent, epoch), epoch).unwrap(), torrent);
        let next = Epoch { at: epoch.at + Duration::from_secs(5), unix: epoch.unix + 100, ..epoch };
        let later = read_torrent(&write_torrent(&torrent, epoch), next).unwrap();
        assert_eq!(later.peers[0].announced, next.at - Duration::from_secs(110));
        let key = SecretKey::from_bytes(&[7; 32]);
        for item in [Item::immutable(b"i1e").unwrap(), Item::sign(&key, b"salt", -3, b"i1e").unwrap()] {
            let stored = Stored { item, source: "2600::1".parse().unwrap(), put: old };
            let (target, row) = (stored.item.target(), write_item(&stored, epoch));
            assert_eq!(read_item(target, &row, epoch).unwrap(), stored);
            assert_eq!(read_item(Id::new([0; 20]), &row, epoch), None);
            for end in 0..row.len() {
                assert_eq!(read_item(target, &row[..end], epoch), None);
            }
        }
    }

    proptest! {
        #[test]
        fn any_row_is_read_or_refused(row in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_torrent(&row, epoch());
            prop_assert_eq!(read_item(Id::new([1; 20]), &row, epoch()), None);
        }
    }
}
