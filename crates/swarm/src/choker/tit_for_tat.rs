//! Tit for tat with an optimistic unchoke.

use super::{Choker, PeerStats, UploadShare};
use crate::ids::PeerKey;
use std::cmp::Reverse;
use std::time::{Duration, Instant};
use unchoke_core::{Rng, Seed};

/// How long one peer stays the optimistic unchoke (BEP 3).
const OPTIMISTIC_TIME: Duration = Duration::from_secs(30);
/// A connection younger than this is three times as likely to be the optimistic unchoke (BEP 3).
const NEW_PEER: Duration = Duration::from_secs(60);

/// Uploads to those who upload to us fastest, and to one other, in turn, to find out whether it would be faster still.
///
/// A peer that has snubbed us gets nothing except as the optimistic unchoke.
#[derive(Debug)]
pub struct TitForTat {
    optimistic: Option<(PeerKey, Instant)>,
    rng: Rng,
}

impl TitForTat {
    /// A choker whose optimistic choices follow from the seed.
    #[must_use]
    pub fn new(seed: &Seed) -> Self {
        Self { optimistic: None, rng: seed.rng() }
    }

    fn choose_optimistic(&mut self, now: Instant, rest: &[&PeerStats]) -> Option<PeerKey> {
        let lots: Vec<PeerKey> = rest
            .iter()
            .flat_map(|stats| {
                let new = now.saturating_duration_since(stats.connected) < NEW_PEER && stats.unchoked.is_none();
                std::iter::repeat_n(stats.peer, if new { 3 } else { 1 })
            })
            .collect();
        self.rng.choose(&lots).copied()
    }
}

impl Choker for TitForTat {
    fn rechoke(&mut self, now: Instant, slots: usize, peers: &[PeerStats], out: &mut Vec<UploadShare>) {
        let mut ranked: Vec<&PeerStats> = peers.iter().collect();
        // Between equals, whoever is unchoked stays so.
        ranked.sort_by_key(|stats| (stats.snubbed, Reverse(stats.download_rate), stats.choked, stats.peer));
        let regular = ranked.iter().take(slots.saturating_sub(1)).filter(|stats| !stats.snubbed);
        let unchoked: Vec<PeerKey> = regular.map(|stats| stats.peer).collect();
        out.extend(unchoked.iter().map(|peer| UploadShare::new(*peer, 1)));

        let rest: Vec<&PeerStats> = ranked.into_iter().filter(|stats| !unchoked.contains(&stats.peer)).collect();
        let free = slots.saturating_sub(unchoked.len());
        let standing = self.optimistic.filter(|(peer, since)| {
            now.saturating_duration_since(*since) < OPTIMISTIC_TIME && rest.iter().any(|stats| stats.peer == *peer)
        });
        if free == 0 || rest.is_empty() {
            return;
        }
        self.optimistic = standing.or_else(|| self.choose_optimistic(now, &rest).map(|peer| (peer, now)));
        let first = self.optimistic.map(|(peer, _)| peer);
        out.extend(first.map(|peer| UploadShare::new(peer, 1)));
        // Slots that snubbing peers lost are better lent to somebody than left empty.
        let others = rest.iter().map(|stats| stats.peer).filter(|peer| Some(*peer) != first);
        out.extend(others.take(free.saturating_sub(1)).map(|peer| UploadShare::new(peer, 1)));
    }
}
