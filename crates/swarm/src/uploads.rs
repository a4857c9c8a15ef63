//! The division of the uplink: deficit round robin over all peers of all torrents that have asked for blocks.

use crate::action::Action;
use crate::ids::{PeerKey, TorrentKey};
use crate::peer::Peer;
use crate::rate::TokenBucket;
use crate::shared::Shared;
use crate::torrent::Torrent;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use unchoke_core::{Outgoing, StreamProtocol as _};

/// Bytes that a share of weight 1 may send in one round: at least the longest block that is served.
const QUANTUM: usize = 64 * 1024;

/// The round of peers that wait for blocks.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    ring: VecDeque<PeerKey>,
    /// When a limit that holds the round up lets something through again.
    ready_at: Option<Instant>,
}

impl Uploads {
    /// Puts a peer into the round if it has something to get and room to get it.
    pub(crate) fn enter(&mut self, shared: &Shared, peer: &mut Peer) {
        let wants = peer.connection.queued_uploads() > 0 && peer.allowance_left() > 0;
        if wants && !peer.in_round && peer.has_room(shared.config.send_buffer) {
            peer.in_round = true;
            self.ring.push_back(peer.key);
        }
    }

    /// Hands out blocks until nobody wants any, or no limit lets any through.
    pub(crate) fn pump(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        torrents: &mut BTreeMap<TorrentKey, Box<Torrent>>,
    ) {
        self.ready_at = None;
        let mut held_up = 0;
        while held_up < self.ring.len()
            && let Some(key) = self.ring.pop_front()
        {
            let Some(torrent) = shared.owners.get(&key).and_then(|owner| torrents.get_mut(owner)) else { continue };
            let Some(peer) = torrent.peers.get_mut(&key) else { continue };
            let sent = Self::serve(now, shared, &mut torrent.up, peer);
            peer.in_round = false;
            if peer.connection.queued_uploads() == 0 {
                peer.deficit = 0;
                continue;
            }
            self.enter(shared, peer);
            if sent {
                held_up = 0;
            } else if peer.in_round {
                held_up = held_up.saturating_add(1);
                let ready = shared.up.ready_at(now).max(torrent.up.ready_at(now));
                self.ready_at = [self.ready_at, ready].into_iter().flatten().min();
            }
        }
    }

    /// One peer's turn. Returns whether anything was handed out.
    fn serve(now: Instant, shared: &mut Shared, limit: &mut TokenBucket, peer: &mut Peer) -> bool {
        let share = QUANTUM.saturating_mul(peer.weight.max(1) as usize);
        peer.deficit = peer.deficit.saturating_add(share).min(share.saturating_mul(2));
        let mut sent = false;
        while peer.has_room(shared.config.send_buffer) {
            let budget = peer.deficit.min(peer.allowance_left());
            let budget = budget.min(shared.up.available(now)).min(limit.available(now));
            let Some(outgoing) = peer.connection.poll_transmit(now, budget) else { break };
            if let Outgoing::Piece { block, .. } = &outgoing {
                let length = block.length;
                peer.deficit = peer.deficit.saturating_sub(length as usize);
                peer.handed = peer.handed.saturating_add(length.into());
                shared.up.take(now, length.into());
                limit.take(now, length.into());
                sent = true;
            }
            shared.actions.push_back(Action::Send { peer: peer.key, outgoing });
        }
        sent
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.ready_at
    }
}
