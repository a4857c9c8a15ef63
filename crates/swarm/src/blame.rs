//! Who sent a bad block.
//!
//! A piece that hashes wrong and came from one peer convicts that peer. One that came from several convicts nobody yet: each block's digest is
//! kept with its sender, and when a right copy of the piece has come, whoever sent a block that differs is convicted. Nobody else is.

use crate::ids::PeerKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use unchoke_core::{PeerId, PieceIndex, Sha1Hash};

/// Failed copies kept per torrent; beyond it the oldest piece's are forgotten.
const MAX_RECORDS: usize = 64;

/// Failed copies kept of one piece.
const MAX_COPIES: usize = 16;

/// A sender, as it can still be named after it has left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Sender {
    pub(crate) key: PeerKey,
    pub(crate) address: SocketAddr,
    pub(crate) id: PeerId,
}

/// The failed copies of one torrent's pieces.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    records: BTreeMap<PieceIndex, Vec<(u32, Sender, Sha1Hash)>>,
}

impl Blame {
    /// A piece hashed wrong. `senders[n]` sent block `n`, whose digest is `digests[n]`. Returns who is convicted at once.
    pub(crate) fn failed(
        &mut self,
        piece: PieceIndex,
        senders: &[Option<Sender>],
        digests: &[Sha1Hash],
    ) -> Option<Sender> {
        let mut known: Vec<Sender> = senders.iter().flatten().copied().collect();
        known.sort_unstable();
        known.dedup();
        // One sender is guilty alone only if it sent every block; a block read back from disk has no sender.
        if let ([alone], true) = (known.as_slice(), senders.iter().all(Option::is_some)) {
            return Some(*alone);
        }
        while self.records.len() >= MAX_RECORDS && !self.records.contains_key(&piece) {
            self.records.pop_first();
        }
        let record = self.records.entry(piece).or_default();
        for ((number, sender), digest) in (0u32..).zip(senders).zip(digests) {
            if let Some(sender) = sender
                && !record.contains(&(number, *sender, *digest))
                && record.len() < digests.len().saturating_mul(MAX_COPIES)
            {
                record.push((number, *sender, *digest));
            }
        }
        None
    }

    /// Whether a right copy of the piece would convict somebody.
    pub(crate) fn awaits(&self, piece: PieceIndex) -> bool {
        self.records.contains_key(&piece)
    }

    /// A right copy has come, whose blocks have these digests. Returns who is convicted.
    pub(crate) fn verified(&mut self, piece: PieceIndex, digests: &[Sha1Hash]) -> Vec<Sender> {
        let Some(record) = self.records.remove(&piece) else { return Vec::new() };
        let differs = |(number, _, digest): &(u32, Sender, Sha1Hash)| {
            digests.get(*number as usize).is_some_and(|right| right != digest)
        };
        let mut guilty: Vec<Sender> = record.into_iter().filter(differs).map(|(_, sender, _)| sender).collect();
        guilty.sort_unstable();
        guilty.dedup();
        guilty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::hash::sha1;

    fn sender(number: u8) -> Sender {
        Sender {
            key: PeerKey(number.into()),
            address: SocketAddr::from(([10, 0, 0, number], 1)),
            id: PeerId::new([number; 20]),
        }
    }

    #[test]
    fn a_lone_sender_is_convicted_at_once() {
        let mut blame = Blame::default();
        let digests = [sha1(b"a"), sha1(b"b")];
        assert_eq!(blame.failed(PieceIndex(0), &[Some(sender(1)); 2], &digests), Some(sender(1)));
        assert_eq!(blame.failed(PieceIndex(0), &[Some(sender(1)), None], &digests), None);
    }

    #[test]
    fn of_several_only_those_whose_block_differs() {
        let mut blame = Blame::default();
        let bad = [sha1(b"good 0"), sha1(b"bad 1"), sha1(b"good 2")];
        let good = [sha1(b"good 0"), sha1(b"good 1"), sha1(b"good 2")];
        let senders = [Some(sender(1)), Some(sender(2)), Some(sender(3))];
        assert_eq!(blame.failed(PieceIndex(7), &senders, &bad), None);
        assert!(blame.awaits(PieceIndex(7)));
        assert_eq!(blame.verified(PieceIndex(7), &good), [sender(2)]);
        assert!(!blame.awaits(PieceIndex(7)));
    }
}
