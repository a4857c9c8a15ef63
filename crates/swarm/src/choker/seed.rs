//! Seeding: nobody can pay in kind, so everybody gets a turn.

use super::{Choker, PeerStats, UploadShare};
use std::time::{Duration, Instant};

/// How long a turn lasts at least.
const TURN: Duration = Duration::from_secs(30);
/// Bytes after which a turn that has lasted long enough ends.
const TURN_BYTES: u64 = 8 * 1024 * 1024;

/// Gives every interested peer a turn: whoever has waited longest comes next. A turn ends when it has lasted half a minute and carried
/// 8 MiB, or when the peer takes nothing.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SeedChoker {}

impl SeedChoker {
    /// A seeding choker.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn keeps_turn(now: Instant, stats: &PeerStats) -> bool {
        let lasted = stats.unchoked.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        !stats.choked && (lasted < TURN || (stats.sent_since_unchoke < TURN_BYTES && stats.upload_rate > 0))
    }
}

impl Choker for SeedChoker {
    fn rechoke(&mut self, now: Instant, slots: usize, peers: &[PeerStats], out: &mut Vec<UploadShare>) {
        let mut ranked: Vec<&PeerStats> = peers.iter().collect();
        // `None < Some`: who was never unchoked has waited longest.
        ranked.sort_by_key(|stats| (!Self::keeps_turn(now, stats), stats.unchoked, stats.connected, stats.peer));
        out.extend(ranked.iter().take(slots).map(|stats| UploadShare::new(stats.peer, 1)));
    }
}
