//! The content of one torrent on its way here: what is asked for, what is being put together, what is verified.

mod disk;
mod recheck;
mod wanted;

use crate::assembly::{Assembly, Inserted};
use crate::blame::{Blame, Sender};
use crate::config::{Content, PickerFactory};
use crate::event::Event;
use crate::ids::TorrentKey;
use crate::peer::Peer;
use crate::picker::{Availability, BlockState, PickFor, PiecePicker, PieceState, Priority, RarestFirst};
use crate::priorities::FilePriorities;
use crate::shared::Shared;
use bytes::Bytes;
use disk::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::{Bitfield, Block, DiskError, DiskOutcome, DiskWork, Geometry, PieceIndex, Seed, Sha1Hash};
use unchoke_metainfo::Info;
use unchoke_wire::Message;
use wanted::Wanted;

/// Rejections from one peer within a second after which it is not asked again until the second is over.
const MAX_REJECTIONS: usize = 64;

pub(crate) struct Transfer {
    torrent: TorrentKey,
    info: Arc<Info>,
    have: Bitfield,
    wanted: Wanted,
    verified_bytes: u64,
    picker: Box<dyn PiecePicker>,
    assemblies: BTreeMap<PieceIndex, Assembly>,
    blame: Blame,
    /// Bad pieces that are being removed from the store, and what they are afterwards.
    discarding: BTreeMap<PieceIndex, PieceState>,
    /// Pieces that are here and could not be read.
    doubted: BTreeSet<PieceIndex>,
    disk: Disk,
}

/// What became of a piece whose disk job has ended.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It is verified and written. `senders[n]` sent block `n`; `guilty` sent blocks of an earlier copy that are now known to be bad.
    Verified { piece: PieceIndex, senders: Vec<Option<Sender>>, guilty: Vec<Sender> },
    /// It hashed wrong.
    Failed { piece: PieceIndex, guilty: Option<Sender> },
    /// It hashed wrong before and can be fetched now.
    Wanted,
    /// The store has let it go.
    Lost { piece: PieceIndex },
}

impl Transfer {
    /// Begins: what the store vouches for is taken, what it may hold is checked.
    pub(crate) fn new(
        shared: &mut Shared,
        torrent: TorrentKey,
        content: Content,
        picker: Option<PickerFactory>,
        seed: &Seed,
    ) -> Self {
        let geometry = content.info.geometry().clone();
        let mut picker = match picker {
            Some(make) => make(geometry.clone(), seed),
            None => Box::new(RarestFirst::new(geometry.clone(), seed)),
        };
        let mut have = Bitfield::new(geometry.piece_count());
        for piece in content.verified {
            if have.insert(piece) {
                picker.handle_piece(piece, PieceState::Settled);
            }
        }
        let mut suspects = Bitfield::new(geometry.piece_count());
        for piece in content.suspects {
            if !have.contains(piece) && suspects.insert(piece) {
                picker.handle_piece(piece, PieceState::Settled);
            }
        }
        let verified_bytes = have.iter().filter_map(|piece| geometry.piece_len(piece)).map(u64::from).sum();
        let mut transfer = Self {
            torrent,
            info: content.info,
            wanted: Wanted::all(&geometry, &have),
            have,
            verified_bytes,
            picker,
            assemblies: BTreeMap::new(),
            blame: Blame::default(),
            discarding: BTreeMap::new(),
            doubted: BTreeSet::new(),
            disk: Disk::new(torrent, suspects),
        };
        transfer.disk.check_more(shared, &transfer.info);
        transfer.report_checked(shared);
        transfer
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        self.info.geometry()
    }

    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(crate) fn verified_bytes(&self) -> u64 {
        self.verified_bytes
    }

    /// Whether everything is here that is wanted.
    pub(crate) fn is_finished(&self) -> bool {
        self.wanted.missing() == 0
    }

    /// Bytes of the pieces that are wanted.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        self.wanted.bytes()
    }

    /// Bytes of them that are missing.
    pub(crate) fn missing_bytes(&self) -> u64 {
        self.wanted.missing()
    }

    /// Sets the priorities of files. Peers are to be looked at anew with
    /// [`recount`](Self::recount).
    pub(crate) fn set_priorities(&mut self, shared: &mut Shared, files: &FilePriorities) {
        let begun = |piece| self.assemblies.contains_key(&piece) || self.discarding.contains_key(&piece);
        for (piece, was) in self.wanted.set(&self.info, &self.have, files, begun) {
            let now = self.wanted.of(piece);
            if now == Priority::Skip && !self.have.contains(piece) {
                self.picker.handle_piece(piece, PieceState::Settled);
            } else if now != Priority::Skip {
                self.picker.handle_priority(piece, now);
                if was == Priority::Skip && !self.have.contains(piece) && !self.disk.is_suspect(piece) {
                    self.picker.handle_piece(piece, PieceState::Missing);
                }
            }
        }
        self.disk.skip_files(shared, self.wanted.skipped());
    }

    /// Counts anew what the peer has that is missing here.
    pub(crate) fn recount(&self, peer: &mut Peer) {
        peer.useful_pieces = self.count_useful(&peer.pieces);
    }

    /// Whether a peer that has the piece is of interest for it.
    fn is_useful(&self, piece: PieceIndex) -> bool {
        !self.have.contains(piece) && self.wanted.contains(piece)
    }

    pub(crate) fn is_checking(&self) -> bool {
        self.disk.is_checking()
    }

    pub(crate) fn storage_error(&self) -> Option<DiskError> {
        self.disk.error()
    }

    fn is_downloading(&self) -> bool {
        !self.is_finished() && !self.is_checking() && self.disk.is_ready()
    }

    /// The pieces of `theirs` that are missing here.
    fn count_useful(&self, theirs: &Bitfield) -> u32 {
        let useful = theirs.iter().filter(|piece| self.is_useful(*piece)).count();
        u32::try_from(useful).unwrap_or(u32::MAX)
    }

    /// A peer has told all that it has.
    pub(crate) fn handle_pieces(&mut self, peer: &mut Peer, pieces: Bitfield) {
        self.picker.handle_availability(peer.key, Availability::Left(&peer.pieces));
        self.picker.handle_availability(peer.key, Availability::Joined(&pieces));
        peer.useful_pieces = self.count_useful(&pieces);
        peer.pieces = pieces;
    }

    /// A peer has a piece more. False if it said so before.
    pub(crate) fn handle_have(&mut self, peer: &mut Peer, piece: PieceIndex) -> bool {
        let new = peer.pieces.insert(piece);
        if new {
            self.picker.handle_availability(peer.key, Availability::Have(piece));
            if self.is_useful(piece) {
                peer.useful_pieces = peer.useful_pieces.saturating_add(1);
            }
        }
        new
    }

    /// A peer no longer has a piece. False if it never had it.
    pub(crate) fn handle_lost(&mut self, peer: &mut Peer, piece: PieceIndex) -> bool {
        let had = peer.pieces.remove(piece);
        if had {
            self.picker.handle_availability(peer.key, Availability::Lost(piece));
            if self.is_useful(piece) {
                peer.useful_pieces = peer.useful_pieces.saturating_sub(1);
            }
        }
        had
    }

    /// A peer has gone.
    pub(crate) fn handle_left(&mut self, peer: &mut Peer) {
        self.give_up(peer);
        self.picker.handle_availability(peer.key, Availability::Left(&peer.pieces));
    }

    /// Asks the peer for more if it is time.
    pub(crate) fn refill(&mut self, now: Instant, shared: &mut Shared, peer: &mut Peer) {
        if !self.is_downloading() || !peer.interesting || peer.rejections > MAX_REJECTIONS {
            return;
        }
        // What a snubbed peer did not send must go to others before it is asked again, or it would hold the same block for good.
        if peer.is_resting(now, shared.config.snub_after) {
            return;
        }
        let allowed = peer.chokes_us.then_some(peer.allowed_to_us.as_slice());
        if allowed.is_some_and(<[PieceIndex]>::is_empty) {
            return;
        }
        let (size, outstanding) = (peer.window.size(), peer.outstanding.len());
        // Topping up a quarter at a time keeps the picker's work, and the packets of requests, small.
        if outstanding.saturating_mul(4) > size.saturating_mul(3) {
            return;
        }
        let mut blocks = Vec::new();
        let ask = PickFor {
            peer: peer.key,
            pieces: &peer.pieces,
            allowed_fast: allowed,
            fast: peer.down.rate() >= u64::from(self.info.geometry().piece_length()),
        };
        self.picker.pick(now, ask, size.saturating_sub(outstanding), &mut blocks);
        if blocks.is_empty() {
            return;
        }
        if peer.outstanding.is_empty() {
            peer.waiting_since = now;
        }
        for block in blocks {
            let geometry = self.info.geometry();
            self.assemblies.entry(block.piece).or_insert_with(|| Assembly::new(geometry, block.piece)).asked(block);
            peer.outstanding.push_back(block);
            peer.connection.send(Message::Request(block));
        }
        shared.dirty.push(peer.key);
    }

    /// Takes all requests back from a peer.
    pub(crate) fn give_up(&mut self, peer: &mut Peer) {
        for block in peer.give_up() {
            self.returned(peer, block);
        }
    }

    /// The peer will not send a block that it was asked for.
    pub(crate) fn returned(&mut self, peer: &Peer, block: Block) {
        self.picker.handle_block(peer.key, block, BlockState::Returned);
        if let Some(assembly) = self.assemblies.get_mut(&block.piece) {
            assembly.returned(block);
        }
    }

    /// A block has come that was asked for. `counted` says whether the request was still standing.
    /// Returns how many other peers have been asked for it too, or `None` if it is of no use.
    pub(crate) fn handle_block(
        &mut self,
        shared: &mut Shared,
        peer: &mut Peer,
        block: Block,
        data: Bytes,
        counted: bool,
    ) -> Option<u8> {
        self.picker.handle_block(peer.key, block, BlockState::Received);
        let length = data.len();
        let assembly = self.assemblies.get_mut(&block.piece)?;
        let data = peer.overhead.keep(data);
        let Inserted::Fresh { others_asked } = assembly.insert(block, data, peer.sender(), counted) else {
            return None;
        };
        shared.memory = shared.memory.saturating_add(length);
        shared.waiting = shared.waiting.saturating_add(length);
        if assembly.is_complete() {
            self.settle(shared, block.piece);
        } else if shared.must_spill() {
            self.spill_largest(shared);
        }
        Some(others_asked)
    }

    /// The last block of a piece has come: hash it and write it, in one step if all of it is in memory.
    fn settle(&mut self, shared: &mut Shared, piece: PieceIndex) {
        let Some(expected) = self.info.piece_hash(piece) else { return };
        let Some(assembly) = self.assemblies.get_mut(&piece) else { return };
        assembly.settling = true;
        if assembly.is_spilled() {
            Self::spill(shared, self.torrent, assembly);
            return;
        }
        if let Some(data) = assembly.whole() {
            shared.waiting = shared.waiting.saturating_sub(assembly.buffered());
            let digests = self.blame.awaits(piece);
            shared.disk(self.torrent, DiskWork::Store { piece, expected, data, digests });
        }
    }

    fn spill_largest(&mut self, shared: &mut Shared) {
        let open = self.assemblies.values_mut().filter(|assembly| !assembly.settling && assembly.buffered() > 0);
        if let Some(assembly) = open.max_by_key(|assembly| assembly.buffered()) {
            Self::spill(shared, self.torrent, assembly);
        }
    }

    fn spill(shared: &mut Shared, torrent: TorrentKey, assembly: &mut Assembly) {
        shared.waiting = shared.waiting.saturating_sub(assembly.buffered());
        let piece = assembly.piece();
        for (offset, data) in assembly.spill() {
            shared.disk(torrent, DiskWork::Write { piece, offset, data });
        }
    }

    /// A disk job has ended.
    pub(crate) fn handle_disk(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        work: DiskWork,
        outcome: DiskOutcome,
    ) -> Option<Settled> {
        if let DiskWork::Check { piece, .. } = &work
            && self.doubted.contains(piece)
        {
            return self.handle_doubted(now, shared, work, &outcome);
        }
        if let DiskOutcome::Failed(error) = outcome {
            return self.handle_failure(now, shared, work, error);
        }
        self.disk.succeed(shared);
        match (work, outcome) {
            (DiskWork::Store { piece, data, .. }, outcome) => {
                shared.release(data.iter().map(Bytes::len).sum());
                self.handle_verdict(now, shared, piece, outcome)
            }
            (DiskWork::Check { piece, .. }, outcome) => self.handle_verdict(now, shared, piece, outcome),
            (DiskWork::Write { piece, data, .. }, _) => {
                shared.release(data.iter().map(Bytes::len).sum());
                let expected = self.info.piece_hash(piece)?;
                let assembly = self.assemblies.get_mut(&piece)?;
                assembly.writes = assembly.writes.saturating_sub(1);
                if assembly.settling && assembly.writes == 0 {
                    let digests = self.blame.awaits(piece);
                    shared.disk(self.torrent, DiskWork::Check { piece, expected, digests });
                }
                None
            }
            (DiskWork::Sync, _) => {
                self.disk.synced(shared);
                self.disk.handle_timeout(now, shared);
                None
            }
            (DiskWork::Discard { piece }, _) => self.handle_discarded(piece),
            (DiskWork::Recover, DiskOutcome::Recovered { pieces }) => {
                self.handle_recovered(shared, &pieces);
                None
            }
            (DiskWork::SkipFiles { files }, _) => {
                self.disk.files_skipped(shared, &files, self.wanted.skipped());
                None
            }
            _ => None,
        }
    }

    fn handle_failure(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        work: DiskWork,
        error: DiskError,
    ) -> Option<Settled> {
        match work {
            // What is not there cannot be what was wanted: the piece is fetched.
            DiskWork::Check { piece, .. } if error == DiskError::Missing => {
                self.handle_verdict(now, shared, piece, DiskOutcome::Mismatch { blocks: Vec::new() })
            }
            // What cannot be removed will be overwritten.
            DiskWork::Discard { piece } => self.handle_discarded(piece),
            work => {
                self.disk.fail(now, shared, work, error);
                None
            }
        }
    }

    fn handle_verdict(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        piece: PieceIndex,
        outcome: DiskOutcome,
    ) -> Option<Settled> {
        let assembly = self.assemblies.remove(&piece);
        if assembly.is_none() {
            self.disk.checked(piece);
            self.disk.check_more(shared, &self.info);
        }
        let settled = match outcome {
            DiskOutcome::Verified { blocks } => Some(self.handle_right(now, shared, assembly, piece, &blocks)),
            DiskOutcome::Mismatch { blocks } => self.handle_wrong(shared, assembly, piece, &blocks),
            _ => None,
        };
        self.report_checked(shared);
        settled
    }

    fn handle_right(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        assembly: Option<Assembly>,
        piece: PieceIndex,
        blocks: &[Sha1Hash],
    ) -> Settled {
        self.picker.handle_piece(piece, PieceState::Settled);
        if self.have.insert(piece) {
            let length = self.info.geometry().piece_len(piece).unwrap_or(0);
            self.verified_bytes = self.verified_bytes.saturating_add(length.into());
            self.wanted.verified(piece, length.into());
            let within = if self.is_finished() { Duration::ZERO } else { shared.config.sync_interval };
            self.disk.committed(now, shared, length.into(), within);
            shared.events.push_back(Event::PieceVerified { torrent: self.torrent, piece });
            if (self.is_finished() && !self.is_checking()) || self.disk.owes(shared.config.sync_bytes) {
                self.disk.handle_timeout(now, shared);
            }
        }
        let senders = assembly.map(|assembly| assembly.senders()).unwrap_or_default();
        Settled::Verified { piece, senders, guilty: self.blame.verified(piece, blocks) }
    }

    fn handle_wrong(
        &mut self,
        shared: &mut Shared,
        assembly: Option<Assembly>,
        piece: PieceIndex,
        blocks: &[Sha1Hash],
    ) -> Option<Settled> {
        let Some(assembly) = assembly else {
            let state = if self.wanted.contains(piece) { PieceState::Missing } else { PieceState::Settled };
            if self.disk.was_rechecked() {
                // The store may still take it for right, and would not have it written anew.
                self.discarding.insert(piece, state);
                shared.disk(self.torrent, DiskWork::Discard { piece });
            } else {
                self.picker.handle_piece(piece, state);
            }
            return None;
        };
        let guilty = self.blame.failed(piece, &assembly.senders(), blocks);
        let state = if guilty.is_some() { PieceState::Missing } else { PieceState::Suspect };
        if assembly.is_spilled() {
            // Until it is gone nothing is written in its place: jobs may overtake one another.
            self.discarding.insert(piece, state);
            shared.disk(self.torrent, DiskWork::Discard { piece });
        } else {
            self.picker.handle_piece(piece, state);
        }
        shared.events.push_back(Event::PieceFailed { torrent: self.torrent, piece });
        Some(Settled::Failed { piece, guilty })
    }

    fn handle_discarded(&mut self, piece: PieceIndex) -> Option<Settled> {
        let state = self.discarding.remove(&piece)?;
        self.picker.handle_piece(piece, state);
        Some(Settled::Wanted)
    }

    fn report_checked(&mut self, shared: &mut Shared) {
        if self.disk.reports_checked() {
            let verified = self.have.count();
            shared.events.push_back(Event::Checked { torrent: self.torrent, verified });
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        self.disk.handle_timeout(now, shared);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.disk.poll_timeout()
    }

    /// Ends, and leaves the picker as it was at the start. Peers must have gone.
    pub(crate) fn into_picker(mut self, shared: &mut Shared) -> Box<dyn PiecePicker> {
        self.dismiss(shared);
        for piece in self.info.geometry().pieces() {
            self.picker.handle_priority(piece, Priority::Normal);
            self.picker.handle_piece(piece, PieceState::Missing);
        }
        self.picker
    }

    /// Lets go of all memory that is accounted for, because the torrent goes.
    pub(crate) fn dismiss(&mut self, shared: &mut Shared) {
        for assembly in self.assemblies.values().filter(|assembly| !assembly.settling) {
            shared.release(assembly.buffered());
            shared.waiting = shared.waiting.saturating_sub(assembly.buffered());
        }
        self.assemblies.clear();
        for work in self.disk.take_failed() {
            if let DiskWork::Store { data, .. } | DiskWork::Write { data, .. } = work {
                shared.release(data.iter().map(Bytes::len).sum());
            }
        }
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("have", &self.have).field("disk", &self.disk).finish_non_exhaustive()
    }
}
