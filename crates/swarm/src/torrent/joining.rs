//! How a connection becomes a peer of the torrent.

use super::Torrent;
use crate::allowed_fast::allowed_fast;
use crate::event::{CloseReason, Event};
use crate::ids::PeerKey;
use crate::peer::Peer;
use crate::shared::Shared;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_wire::{
    Connection, DontHave, Extension, Handshake, LocalInfo, Message, PexFlags, Reserved, SwarmChange, UploadOnly,
    UtMetadata, UtPex,
};

/// Two connections to one peer that are both younger than this were opened at the same time.
const CROSSING: Duration = Duration::from_secs(20);

impl Torrent {
    pub(crate) fn handshake(&self, shared: &Shared, address: SocketAddr) -> Handshake {
        let reserved = Reserved::new().with_extension_protocol().with_fast();
        let has_dht = self.dht_port(shared, address).is_some();
        let reserved = if has_dht { reserved.with_dht() } else { reserved };
        Handshake { info_hash: self.hashes.wire(), peer_id: shared.peer_id, reserved }
    }

    /// The extensions of a new connection.
    pub(crate) fn make_extensions(&mut self, address: SocketAddr) -> Vec<Box<dyn Extension>> {
        let mut made: Vec<Box<dyn Extension>> = vec![
            Box::new(UtMetadata::new(self.metadata.clone())),
            Box::new(UploadOnly::new()),
            Box::new(DontHave::new()),
        ];
        if !self.private {
            made.push(Box::new(UtPex::new()));
        }
        made.extend(self.extensions.iter_mut().map(|make| make(address.ip())));
        made
    }

    pub(crate) fn local_info(&self, shared: &Shared, address: SocketAddr) -> LocalInfo {
        let mut local = LocalInfo::default();
        local.listen_port = shared.config.listen_port;
        local.client.clone_from(&shared.config.client);
        local.request_queue = u32::try_from(shared.config.connection.max_queued_requests).unwrap_or(u32::MAX);
        local.upload_only = self.is_finished();
        local.your_ip = Some(address.ip().to_canonical());
        local
    }

    /// Takes a connection in.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        key: PeerKey,
        address: SocketAddr,
        outgoing: bool,
        mut connection: Connection,
    ) {
        let pieces = self.transfer.as_ref().map_or(0, |transfer| transfer.geometry().piece_count());
        if let Some(transfer) = &self.transfer {
            connection.set_geometry(transfer.geometry());
        }
        shared.owners.insert(key, self.key);
        self.peers.insert(key, Peer::new(now, key, address, outgoing, connection, pieces));
        shared.dirty.push(key);
    }

    /// Both handshakes are done.
    pub(crate) fn handle_handshake(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, theirs: &Handshake) {
        let Some((peer_ip, outgoing)) = self.peers.get(&key).map(|peer| (peer.address.ip(), peer.outgoing)) else {
            return;
        };
        let is_same =
            |other: &&Peer| other.key != key && other.id == Some(theirs.peer_id) && other.address.ip() == peer_ip;
        let refusal = if theirs.peer_id == shared.peer_id {
            Some(CloseReason::Itself)
        } else if shared.bans.refuses_id(peer_ip, theirs.peer_id) {
            Some(CloseReason::Banned)
        } else if let Some(other) = self.peers.values().find(is_same) {
            // Of two that were opened at the same time, one by each side, both sides must keep the same one.
            let crossed = other.outgoing != outgoing && now.saturating_duration_since(other.connected) < CROSSING;
            if crossed && outgoing == (shared.peer_id < theirs.peer_id) {
                let other = other.key;
                self.close(now, shared, other, CloseReason::Duplicate);
                None
            } else {
                Some(CloseReason::Duplicate)
            }
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.close(now, shared, key, reason);
            return;
        }
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.id = Some(theirs.peer_id);
        if peer.outgoing {
            self.list.connected(peer.address);
        }
        let (address, fast) = (peer.address, peer.connection.supports_fast());
        let event = Event::PeerConnected { torrent: self.key, peer: key, address, id: theirs.peer_id };
        shared.events.push_back(event);
        match &self.transfer {
            Some(transfer) if fast && transfer.have().is_full() => peer.connection.send(Message::HaveAll),
            Some(transfer) if transfer.have().count() > 0 => {
                peer.connection.send(Message::Bitfield(transfer.have().to_bytes().into()));
            }
            _ if fast => peer.connection.send(Message::HaveNone),
            _ => {}
        }
        if let Some(transfer) = &self.transfer
            && fast
        {
            let pieces = transfer.geometry().piece_count();
            let set = allowed_fast(address.ip(), self.hashes.wire(), pieces, shared.config.allowed_fast);
            peer.connection.set_allowed_fast(set);
        }
        self.tell_port(shared, key);
        self.introduce(now, shared, key);
        shared.dirty.push(key);
    }

    /// Tells the others of a peer that can be connected to, and it of them.
    pub(super) fn introduce(&mut self, now: Instant, shared: &mut Shared, key: PeerKey) {
        if self.private {
            return;
        }
        let Some(addr) = self.peers.get(&key).and_then(|peer| peer.listens) else { return };
        let known: Vec<SocketAddr> =
            self.peers.values().filter(|other| other.key != key).filter_map(|other| other.listens).collect();
        let joined = SwarmChange::PeerJoined { addr, flags: PexFlags::default() };
        for other in self.peers.values_mut().filter(|other| other.key != key) {
            other.connection.handle_change(now, &joined);
            shared.dirty.push(other.key);
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            for addr in known {
                peer.connection.handle_change(now, &SwarmChange::PeerJoined { addr, flags: PexFlags::default() });
            }
        }
    }
}
