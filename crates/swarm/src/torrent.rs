//! One torrent: its peers, and what their messages mean for the transfer.

mod dht;
mod joining;
mod suspension;

use crate::action::Action;
use crate::bans::Bans;
use crate::blame::Sender;
use crate::config::{Content, ExtensionFactory, MAX_REQUEST, PickerFactory, TorrentParams};
use crate::event::{CloseReason, Event};
use crate::ids::{PeerKey, PeerOrigin, TorrentKey};
use crate::peer::Peer;
use crate::peer_list::PeerList;
use crate::priorities::FilePriorities;
use crate::rate::{Meter, TokenBucket};
use crate::shared::Shared;
use crate::stats::{PeerInfo, TorrentState, TorrentStats};
use crate::transfer::{Settled, Transfer};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::{Bitfield, Block, DiskOutcome, DiskWork, InfoHashes, PieceIndex, StreamProtocol as _};
use unchoke_wire::{ExtensionEvent, Message, SharedMetadata, SwarmChange};

pub(crate) struct Torrent {
    pub(crate) key: TorrentKey,
    pub(crate) hashes: InfoHashes,
    metadata: SharedMetadata,
    metadata_told: bool,
    private: bool,
    transfer: Option<Transfer>,
    picker: Option<PickerFactory>,
    priorities: FilePriorities,
    extensions: Vec<ExtensionFactory>,
    pub(crate) peers: BTreeMap<PeerKey, Peer>,
    pub(crate) list: PeerList,
    pub(crate) down: TokenBucket,
    pub(crate) up: TokenBucket,
    downloaded: Meter,
    uploaded: Meter,
    wasted: u64,
    failed_pieces: u64,
    completed: bool,
    /// The figures from before, while it is suspended.
    suspended: Option<TorrentStats>,
}

impl Torrent {
    pub(crate) fn new(now: Instant, shared: &mut Shared, key: TorrentKey, params: TorrentParams) -> Self {
        let mut torrent = Self {
            key,
            hashes: params.info_hashes,
            metadata: SharedMetadata::wanted(params.info_hashes),
            metadata_told: false,
            private: false,
            transfer: None,
            picker: params.picker,
            priorities: params.file_priorities,
            extensions: params.extensions,
            peers: BTreeMap::new(),
            list: PeerList::default(),
            down: TokenBucket::new(now, params.download_limit),
            up: TokenBucket::new(now, params.upload_limit),
            downloaded: Meter::new(now),
            uploaded: Meter::new(now),
            wasted: 0,
            failed_pieces: 0,
            completed: false,
            suspended: None,
        };
        if let Some(content) = params.content {
            torrent.handle_content(now, shared, content);
        }
        torrent
    }

    /// The content has become known.
    pub(crate) fn handle_content(&mut self, now: Instant, shared: &mut Shared, content: Content) {
        if self.transfer.is_some() || self.is_suspended() {
            return;
        }
        self.metadata.set(content.info.raw().clone());
        self.metadata_told = true;
        self.private = content.info.is_private();
        let seed = shared.seed.derive(&format!("picker {}", self.key.0));
        let mut transfer = Transfer::new(shared, self.key, content, self.picker.take(), &seed);
        if !self.priorities.are_normal() {
            transfer.set_priorities(shared, &self.priorities);
        }
        let geometry = transfer.geometry().clone();
        let have = transfer.have().clone();
        self.transfer = Some(transfer);
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            peer.connection.set_geometry(&geometry);
            let early = std::mem::take(&mut peer.early);
            let pieces = match early.resolve(geometry.piece_count()) {
                Ok(pieces) => pieces,
                Err(error) => {
                    self.close(now, shared, key, CloseReason::Protocol(error.into()));
                    continue;
                }
            };
            peer.pieces = Bitfield::new(geometry.piece_count());
            peer.allowed_to_us.retain(|piece| piece.0 < geometry.piece_count());
            if peer.id.is_some() {
                // What is here was not known when hands were shaken: it is told piece by piece.
                have.iter().for_each(|piece| peer.connection.send(Message::Have(piece)));
                shared.dirty.push(key);
            }
            self.peer_has(now, shared, key, pieces);
        }
        self.note_completion(now, shared);
    }

    /// Whether everything is here that is wanted.
    pub(crate) fn is_finished(&self) -> bool {
        self.transfer.as_ref().is_some_and(Transfer::is_finished)
    }

    /// Sets how much each file is wanted.
    pub(crate) fn set_priorities(&mut self, now: Instant, shared: &mut Shared, files: FilePriorities) {
        self.priorities = files;
        let Some(transfer) = &mut self.transfer else { return };
        transfer.set_priorities(shared, &self.priorities);
        for peer in self.peers.values_mut() {
            transfer.recount(peer);
            if peer.id.is_some() && peer.update_interest() {
                shared.dirty.push(peer.key);
            }
        }
        if !transfer.is_finished() && std::mem::replace(&mut self.completed, false) {
            for peer in self.peers.values_mut() {
                peer.connection.handle_change(now, &SwarmChange::UploadOnly(false));
                shared.dirty.push(peer.key);
            }
        }
        self.refill_all(now, shared);
        self.note_completion(now, shared);
    }

    /// The driver could not read a block that a peer was to have.
    pub(crate) fn handle_unreadable(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, block: Block) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.connection.handle_unreadable(now, block);
            shared.dirty.push(key);
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.doubt(shared, block.piece);
        }
    }

    /// Lets all peers go and has the store looked at anew.
    pub(crate) fn recheck(&mut self, now: Instant, shared: &mut Shared) {
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.close(now, shared, key, CloseReason::Rechecking);
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.recheck(shared);
        }
    }

    /// How much each file is wanted.
    pub(crate) fn priorities(&self) -> &FilePriorities {
        &self.priorities
    }

    /// Whether time alone brings nothing: no peer, no deadline, nobody to connect to.
    pub(crate) fn is_idle(&self) -> bool {
        self.peers.is_empty() && self.poll_timeout().is_none() && !self.has_candidates()
    }

    /// Whether there is anybody to connect to, now or later.
    fn has_candidates(&self) -> bool {
        !self.is_suspended() && self.list.has_candidates(self.is_finished())
    }

    /// The next address to connect to.
    pub(crate) fn next_candidate(&mut self, now: Instant, bans: &Bans) -> Option<SocketAddr> {
        if self.is_suspended() {
            return None;
        }
        let complete = self.is_finished();
        self.list.next(now, complete, |address| bans.refuses_address(address))
    }

    /// Ends a connection.
    pub(crate) fn close(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, reason: CloseReason) {
        let Some(mut peer) = self.peers.remove(&key) else { return };
        shared.owners.remove(&key);
        shared.connections.closed(peer.address, peer.outgoing);
        shared.actions.push_back(Action::Close { peer: key });
        if let Some(transfer) = &mut self.transfer {
            transfer.handle_left(&mut peer);
        }
        if let Some(listens) = peer.listens {
            self.list.released(now, listens, peer.down.total() > 0 || peer.up.total() > 0);
            if peer.is_seed() {
                self.list.is_seed(listens);
            }
        }
        if !peer.choked {
            shared.rechoke = true;
        }
        if let Some(addr) = peer.listens.filter(|_| !self.private) {
            for other in self.peers.values_mut() {
                other.connection.handle_change(now, &SwarmChange::PeerLeft { addr });
            }
        }
        if peer.id.is_some() {
            let (torrent, address) = (self.key, peer.address);
            shared.events.push_back(Event::PeerDisconnected { torrent, peer: key, address, reason });
        }
        // What it was asked for can be asked of others at once.
        self.refill_all(now, shared);
    }

    fn ban(&mut self, now: Instant, shared: &mut Shared, guilty: Sender) {
        let is_shared =
            self.peers.values().any(|peer| peer.key != guilty.key && peer.address.ip() == guilty.address.ip());
        // Each of its bad pieces convicts it anew; the owner hears of it once.
        if shared.bans.ban(guilty.address, guilty.id, is_shared) {
            shared.events.push_back(Event::PeerBanned { torrent: self.key, address: guilty.address });
        }
        let caught = |peer: &&Peer| {
            peer.key == guilty.key || (peer.id == Some(guilty.id) && peer.address.ip() == guilty.address.ip())
        };
        let keys: Vec<PeerKey> = self.peers.values().filter(caught).map(|peer| peer.key).collect();
        for key in keys {
            self.close(now, shared, key, CloseReason::Banned);
        }
    }

    pub(crate) fn handle_message(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, message: Message) {
        match message {
            Message::Piece { block, data } => self.handle_block(now, shared, key, block, data),
            Message::Request(block) => self.handle_request(shared, key, block),
            Message::Have(piece) => self.handle_have(now, shared, key, piece),
            Message::Bitfield(bytes) => self.handle_bitfield(now, shared, key, bytes),
            Message::HaveAll => self.handle_have_all(now, shared, key),
            Message::Port(port) => self.handle_port(shared, key, port),
            other => self.handle_state(now, shared, key, other),
        }
    }

    fn handle_state(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, message: Message) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match message {
            Message::Choke => {
                peer.chokes_us = true;
                peer.rejections = peer.rejections.saturating_add(peer.outstanding.len());
                // With the fast extension each request is answered, by the block or by a rejection.
                if let Some(transfer) = self.transfer.as_mut().filter(|_| !peer.connection.supports_fast()) {
                    transfer.give_up(peer);
                    self.refill_all(now, shared);
                }
            }
            Message::Unchoke => peer.chokes_us = false,
            Message::Interested => shared.rechoke |= peer.handle_interest(true),
            Message::NotInterested => shared.rechoke |= peer.handle_interest(false),
            Message::AllowedFast(piece)
                if peer.allowed_to_us.len() < MAX_ALLOWED && !peer.allowed_to_us.contains(&piece) =>
            {
                peer.allowed_to_us.push(piece);
            }
            Message::RejectRequest(block) => {
                peer.rejections = peer.rejections.saturating_add(1);
                peer.allowed_to_us.retain(|piece| *piece != block.piece);
                if peer.take_outstanding(block) == Some(true)
                    && let Some(transfer) = &mut self.transfer
                {
                    transfer.returned(peer, block);
                }
            }
            _ => {}
        }
        self.refill(now, shared, key);
    }

    fn handle_bitfield(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, bytes: Bytes) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match &self.transfer {
            Some(transfer) => {
                if let Ok(pieces) = Bitfield::from_bytes(&bytes, transfer.geometry().piece_count()) {
                    self.peer_has(now, shared, key, pieces);
                }
            }
            // Copied, or it would keep the whole buffer that it was read into.
            None => peer.early.bitfield = Some(Bytes::copy_from_slice(&bytes)),
        }
    }

    fn handle_have_all(&mut self, now: Instant, shared: &mut Shared, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match &self.transfer {
            Some(transfer) => {
                let pieces = Bitfield::full(transfer.geometry().piece_count());
                self.peer_has(now, shared, key, pieces);
            }
            None => peer.early.all = true,
        }
    }

    /// The peer has told all that it has.
    fn peer_has(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, pieces: Bitfield) {
        let (Some(peer), Some(transfer)) = (self.peers.get_mut(&key), &mut self.transfer) else { return };
        transfer.handle_pieces(peer, pieces);
        self.update_interest(now, shared, key);
        self.close_if_redundant(now, shared, key);
    }

    fn handle_have(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, piece: PieceIndex) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let Some(transfer) = &mut self.transfer else {
            peer.early.have(piece);
            return;
        };
        if transfer.handle_have(peer, piece) {
            self.update_interest(now, shared, key);
            self.close_if_redundant(now, shared, key);
        }
    }

    fn handle_lost(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, piece: PieceIndex) {
        let (Some(peer), Some(transfer)) = (self.peers.get_mut(&key), &mut self.transfer) else { return };
        if transfer.handle_lost(peer, piece) {
            self.update_interest(now, shared, key);
        }
    }

    fn update_interest(&mut self, now: Instant, shared: &mut Shared, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.update_interest() {
            shared.dirty.push(key);
        }
        self.refill(now, shared, key);
    }

    fn close_if_redundant(&mut self, now: Instant, shared: &mut Shared, key: PeerKey) {
        if self.is_finished() && self.peers.get(&key).is_some_and(|peer| peer.id.is_some() && peer.is_seed()) {
            self.close(now, shared, key, CloseReason::Redundant);
        }
    }

    fn handle_request(&mut self, shared: &mut Shared, key: PeerKey, block: Block) {
        let (Some(peer), Some(transfer)) = (self.peers.get_mut(&key), &self.transfer) else { return };
        if block.length <= MAX_REQUEST && transfer.can_serve(block.piece) {
            peer.connection.serve(block);
        } else {
            peer.connection.refuse(block);
        }
        shared.dirty.push(key);
    }

    fn handle_block(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, block: Block, data: Bytes) {
        let (Some(peer), Some(transfer)) = (self.peers.get_mut(&key), &mut self.transfer) else { return };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        shared.down.take(now, length);
        self.down.take(now, length);
        self.downloaded.add(length);
        peer.down.add(length);
        let Some(counted) = peer.take_outstanding(block) else {
            self.wasted = self.wasted.saturating_add(length);
            peer.overhead.add(block.length as usize);
            return;
        };
        peer.waiting_since = now;
        peer.snubbed = false;
        let queue = peer.connection.peer_extended().and_then(|extended| extended.request_queue);
        let limit = shared.config.max_outstanding.min(queue.map_or(usize::MAX, |queue| queue.max(1) as usize));
        peer.window.handle_block(limit);
        let fresh = transfer.handle_block(shared, peer, block, data, counted);
        transfer.refill(now, shared, peer);
        match fresh {
            None => {
                self.wasted = self.wasted.saturating_add(length);
                peer.overhead.add(block.length as usize);
            }
            Some(0) => {}
            Some(_) => self.cancel_elsewhere(shared, key, block),
        }
    }

    /// Endgame: the block is here, the others need not send it.
    fn cancel_elsewhere(&mut self, shared: &mut Shared, key: PeerKey, block: Block) {
        for other in self.peers.values_mut().filter(|other| other.key != key) {
            if other.cancel(block) {
                other.connection.send(Message::Cancel(block));
                shared.dirty.push(other.key);
            }
        }
    }

    pub(crate) fn handle_extension(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        key: PeerKey,
        name: &'static str,
        event: ExtensionEvent,
    ) {
        match event {
            ExtensionEvent::PeersFound { peers, .. } if !self.private => self.add_peers(&peers, PeerOrigin::Pex),
            ExtensionEvent::PeersFound { .. } => {}
            ExtensionEvent::Metadata(info) => {
                if !std::mem::replace(&mut self.metadata_told, true) {
                    shared.events.push_back(Event::Metadata { torrent: self.key, info });
                }
            }
            ExtensionEvent::MetadataFailed => {
                // The whole dictionary came from this one peer, so there is no doubt who lied.
                if let Some(guilty) = self.peers.get(&key).map(Peer::sender) {
                    self.ban(now, shared, guilty);
                }
            }
            ExtensionEvent::UploadOnly(upload_only) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.upload_only = upload_only;
                }
                self.close_if_redundant(now, shared, key);
            }
            ExtensionEvent::DontHave(piece) => self.handle_lost(now, shared, key, piece),
            ExtensionEvent::Credit(credit) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.credit = credit;
                }
            }
            ExtensionEvent::Allowance { upload_until } => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.allowance = Some(upload_until);
                    shared.dirty.push(key);
                }
            }
            event => shared.events.push_back(Event::Extension { torrent: self.key, peer: key, name, event }),
        }
    }

    /// The extension handshake has come: now it is known where the peer listens.
    pub(crate) fn handle_extended(&mut self, now: Instant, shared: &mut Shared, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let Some(extended) = peer.connection.peer_extended() else { return };
        let (port, upload_only) = (extended.port, extended.upload_only);
        peer.upload_only |= upload_only;
        if peer.listens.is_none()
            && let Some(port) = port.filter(|port| *port != 0)
        {
            let listens = SocketAddr::new(peer.address.ip(), port);
            peer.listens = Some(listens);
            self.list.add(listens, PeerOrigin::Incoming);
            self.list.connected(listens);
            self.introduce(now, shared, key);
        }
        self.close_if_redundant(now, shared, key);
    }

    pub(crate) fn add_peers(&mut self, addresses: &[SocketAddr], origin: PeerOrigin) {
        if self.private && origin == PeerOrigin::Dht {
            return;
        }
        for address in addresses {
            self.list.add(*address, origin);
        }
    }

    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    fn refill(&mut self, now: Instant, shared: &mut Shared, key: PeerKey) {
        if let (Some(peer), Some(transfer)) = (self.peers.get_mut(&key), &mut self.transfer) {
            transfer.refill(now, shared, peer);
        }
    }

    fn refill_all(&mut self, now: Instant, shared: &mut Shared) {
        let Some(transfer) = &mut self.transfer else { return };
        for peer in self.peers.values_mut() {
            transfer.refill(now, shared, peer);
        }
    }

    pub(crate) fn handle_disk(&mut self, now: Instant, shared: &mut Shared, work: DiskWork, outcome: DiskOutcome) {
        let Some(transfer) = &mut self.transfer else { return };
        let was_idle = transfer.is_checking() || transfer.storage_error().is_some();
        let settled = transfer.handle_disk(now, shared, work, outcome);
        let is_idle = transfer.is_checking() || transfer.storage_error().is_some();
        match settled {
            Some(Settled::Verified { piece, senders, guilty }) => {
                self.announce_piece(now, shared, piece, &senders);
                guilty.into_iter().for_each(|sender| self.ban(now, shared, sender));
            }
            Some(Settled::Failed { piece, guilty }) => {
                let length = transfer.geometry().piece_len(piece).unwrap_or(0);
                self.wasted = self.wasted.saturating_add(length.into());
                self.failed_pieces = self.failed_pieces.saturating_add(1);
                if let Some(sender) = guilty {
                    self.ban(now, shared, sender);
                }
                self.refill_all(now, shared);
            }
            Some(Settled::Wanted) => self.refill_all(now, shared),
            Some(Settled::Lost { piece }) => {
                for peer in self.peers.values_mut().filter(|peer| peer.id.is_some()) {
                    peer.connection.handle_change(now, &SwarmChange::PieceLost(piece));
                    shared.dirty.push(peer.key);
                }
            }
            None => {}
        }
        if was_idle && !is_idle {
            self.refill_all(now, shared);
        }
        self.note_completion(now, shared);
    }

    /// A piece is here: tell everybody, and lose interest in those who have nothing else.
    fn announce_piece(&mut self, now: Instant, shared: &mut Shared, piece: PieceIndex, senders: &[Option<Sender>]) {
        let Some(transfer) = &self.transfer else { return };
        for (number, sender) in (0u32..).zip(senders) {
            if let Some(peer) = sender.and_then(|sender| self.peers.get_mut(&sender.key))
                && let Some(block) = transfer.geometry().block(piece, number)
            {
                peer.connection.handle_verified(now, block);
            }
        }
        for peer in self.peers.values_mut().filter(|peer| peer.id.is_some()) {
            peer.announce(piece);
            shared.dirty.push(peer.key);
        }
    }

    fn note_completion(&mut self, now: Instant, shared: &mut Shared) {
        let Some(transfer) = self.transfer.as_ref().filter(|transfer| !transfer.is_checking()) else { return };
        let done = transfer.is_finished();
        // What was complete before a check may not be after it.
        if std::mem::replace(&mut self.completed, done) || !done {
            return;
        }
        shared.events.push_back(Event::Completed { torrent: self.key });
        for peer in self.peers.values_mut() {
            peer.connection.handle_change(now, &SwarmChange::UploadOnly(true));
            shared.dirty.push(peer.key);
        }
        let seeds: Vec<PeerKey> = self.peers.values().filter(|peer| peer.is_seed()).map(|peer| peer.key).collect();
        for key in seeds {
            self.close_if_redundant(now, shared, key);
        }
    }

    /// Payload has left.
    pub(crate) fn handle_sent(&mut self, now: Instant, shared: &mut Shared, key: PeerKey, bytes: usize) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let before = peer.connection.payload_sent();
        peer.connection.handle_sent(now, bytes);
        let sent = peer.connection.payload_sent().saturating_sub(before);
        peer.up.add(sent);
        peer.sent_since_unchoke = peer.sent_since_unchoke.saturating_add(sent);
        self.uploaded.add(sent);
        shared.dirty.push(key);
    }

    /// About a second has passed.
    pub(crate) fn tick(&mut self, now: Instant, shared: &mut Shared) {
        self.downloaded.tick(now);
        self.uploaded.tick(now);
        if let Some(transfer) = &mut self.transfer {
            transfer.handle_timeout(now, shared);
        }
        let mut broken = Vec::new();
        for peer in self.peers.values_mut() {
            peer.tick(now, shared.config.max_outstanding);
            if peer.connection.poll_timeout().is_some_and(|at| at <= now) {
                if let Err(error) = peer.connection.handle_timeout(now) {
                    broken.push((peer.key, error));
                    continue;
                }
                shared.dirty.push(peer.key);
            }
            if peer.is_overdue(now, shared.config.snub_after)
                && let Some(transfer) = &mut self.transfer
            {
                peer.snub(now);
                transfer.give_up(peer);
            }
        }
        for (key, error) in broken {
            self.close(now, shared, key, CloseReason::Protocol(error));
        }
        self.refill_all(now, shared);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.transfer.as_ref().and_then(Transfer::poll_timeout)
    }

    /// The torrent goes.
    pub(crate) fn dismiss(&mut self, now: Instant, shared: &mut Shared) {
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.close(now, shared, key, CloseReason::Removed);
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.dismiss(shared);
        }
    }

    pub(crate) fn stats(&self) -> TorrentStats {
        if let Some(before) = self.suspended {
            return TorrentStats { state: TorrentState::Suspended, known_peers: self.list.len(), ..before };
        }
        let transfer = self.transfer.as_ref();
        let state = match transfer {
            None => TorrentState::Metadata,
            Some(transfer) if transfer.storage_error().is_some() => TorrentState::StorageFailed,
            Some(transfer) if transfer.is_checking() => TorrentState::Checking,
            Some(transfer) if transfer.is_finished() => TorrentState::Seeding,
            Some(_) => TorrentState::Downloading,
        };
        let ready = || self.peers.values().filter(|peer| peer.id.is_some());
        TorrentStats {
            torrent: self.key,
            state,
            pieces: transfer.map_or(0, |transfer| transfer.geometry().piece_count()),
            verified: transfer.map_or(0, |transfer| transfer.have().count()),
            total: transfer.map_or(0, |transfer| transfer.geometry().total_len()),
            verified_bytes: transfer.map_or(0, Transfer::verified_bytes),
            wanted: transfer.map_or(0, Transfer::wanted_bytes),
            missing: transfer.map_or(0, Transfer::missing_bytes),
            downloaded: self.downloaded.total(),
            uploaded: self.uploaded.total(),
            wasted: self.wasted,
            failed_pieces: self.failed_pieces,
            download_rate: self.downloaded.rate(),
            upload_rate: self.uploaded.rate(),
            peers: ready().count(),
            seeds: ready().filter(|peer| peer.is_seed()).count(),
            known_peers: self.list.len(),
        }
    }

    pub(crate) fn peer_infos(&self) -> Vec<PeerInfo> {
        self.peers.values().filter(|peer| peer.id.is_some()).map(Peer::info).collect()
    }

    /// The pieces that are verified; `None` until the metadata is known.
    pub(crate) fn verified(&self) -> Option<&Bitfield> {
        self.transfer.as_ref().map(Transfer::have)
    }
}

/// Allowed-fast pieces that are remembered per peer (BEP 6 suggests ten).
const MAX_ALLOWED: usize = 64;
