//! What a modelled node keeps for others.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use unchoke_dht::Id;
use unchoke_dht::krpc::Values;

/// Peers and items.
#[derive(Default, Debug)]
pub(crate) struct Records {
    /// Peers, each with the second on the node's clock when it was announced.
    peers: BTreeMap<Id, Vec<(SocketAddrV4, u32)>>,
    items: BTreeMap<Id, (Box<[u8]>, u32)>,
}

/// Seconds that a peer is kept.
const PEER_LIFE: u32 = 45 * 60;
/// Seconds that an item is kept.
const ITEM_LIFE: u32 = 2 * 3600;
/// Torrents, peers of one torrent, and items that are kept.
const MAX_TORRENTS: usize = 2000;
const MAX_PEERS: usize = 500;
const MAX_ITEMS: usize = 700;
/// Peers in a reply.
const TOLD: usize = 50;

impl Records {
    /// A peer of a torrent.
    pub(crate) fn announce(&mut self, now: u32, torrent: Id, peer: SocketAddrV4) {
        if !self.peers.contains_key(&torrent) && self.peers.len() >= MAX_TORRENTS {
            return;
        }
        let peers = self.peers.entry(torrent).or_default();
        if let Some((_, at)) = peers.iter_mut().find(|(known, _)| *known == peer) {
            *at = now;
        } else if peers.len() < MAX_PEERS {
            peers.push((peer, now));
        }
    }

    /// An item.
    pub(crate) fn put(&mut self, now: u32, target: Id, value: &[u8]) {
        if self.items.contains_key(&target) || self.items.len() < MAX_ITEMS {
            self.items.insert(target, (value.into(), now));
        }
    }

    /// The peers of a torrent, as a reply has them.
    pub(crate) fn peers(&self, torrent: Id) -> Vec<u8> {
        let mut values = Vec::new();
        for (peer, _) in self.peers.get(&torrent).into_iter().flatten().rev().take(TOLD) {
            Values::push(&mut values, SocketAddr::V4(*peer));
        }
        values
    }

    pub(crate) fn item(&self, target: Id) -> Option<&[u8]> {
        self.items.get(&target).map(|(value, _)| &**value)
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, now: u32) {
        self.peers.retain(|_, peers| {
            peers.retain(|(_, at)| now.saturating_sub(*at) <= PEER_LIFE);
            !peers.is_empty()
        });
        self.items.retain(|_, (_, at)| now.saturating_sub(*at) <= ITEM_LIFE);
    }
}
