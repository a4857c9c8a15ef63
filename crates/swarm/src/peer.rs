//! One connected peer: its connection and what is known of it.

use crate::blame::Sender;
use crate::choker::PeerStats;
use crate::ids::PeerKey;
use crate::overhead::Overhead;
use crate::rate::Meter;
use crate::stats::PeerInfo;
use crate::window::Window;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{Bitfield, BitfieldError, Block, PeerId, PieceIndex, StreamProtocol as _};
use unchoke_wire::{Connection, ConnectionError, Message};

/// Blocks that were given up on and that are still taken if they come.
const MAX_LATE: usize = 512;
/// Bytes that any peer may have on their way: enough for a fast peer to show that it is one.
const MIN_SEND_BUFFER: usize = 128 * 1024;
/// How often in a second a peer's becoming interested or not is acted upon at once.
const MAX_INTEREST_CHANGES: u32 = 8;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    pub(crate) address: SocketAddr,
    /// Where it can be connected to, as far as is known.
    pub(crate) listens: Option<SocketAddr>,
    pub(crate) outgoing: bool,
    pub(crate) connection: Connection,
    /// Its id, once it has shaken hands.
    pub(crate) id: Option<PeerId>,
    pub(crate) connected: Instant,

    /// What it has, once the geometry is known.
    pub(crate) pieces: Bitfield,
    /// What it said it has before the geometry was known.
    pub(crate) early: Early,
    /// Pieces that it has and that are missing here.
    pub(crate) useful_pieces: u32,
    pub(crate) upload_only: bool,
    /// It has told where its node of the DHT is.
    pub(crate) has_told_dht: bool,

    pub(crate) choked: bool,
    pub(crate) chokes_us: bool,
    pub(crate) interested: bool,
    pub(crate) interesting: bool,
    pub(crate) allowed_to_us: Vec<PieceIndex>,

    pub(crate) outstanding: VecDeque<Block>,
    late: VecDeque<Block>,
    pub(crate) window: Window,
    /// Since when requests have been waiting without a block coming.
    pub(crate) waiting_since: Instant,
    pub(crate) snubbed: bool,
    /// What came on the connection that is not held.
    pub(crate) overhead: Overhead,
    /// Requests rejected since the last tick, or lost to a choke.
    pub(crate) rejections: usize,
    /// How often it has become interested or not since the last tick.
    interest_changes: u32,
    /// Upload quantum not used up.
    pub(crate) deficit: usize,
    /// Payload handed to the driver in all.
    pub(crate) handed: u64,

    pub(crate) down: Meter,
    pub(crate) up: Meter,
    pub(crate) unchoked: Option<Instant>,
    pub(crate) sent_since_unchoke: u64,
    pub(crate) weight: u32,
    pub(crate) credit: u64,
    /// Payload that may be sent to it in all, if an extension limits that.
    pub(crate) allowance: Option<u64>,
    /// The driver was told not to read.
    pub(crate) paused: bool,
    /// It is in the session's round of uploads.
    pub(crate) in_round: bool,
}

/// What a peer said it has before the geometry was known.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(crate) bitfield: Option<Bytes>,
    pub(crate) all: bool,
    pub(crate) pieces: BTreeSet<PieceIndex>,
}

/// `have` messages kept before the geometry is known.
const MAX_EARLY: usize = 65_536;

impl Early {
    pub(crate) fn have(&mut self, piece: PieceIndex) {
        if self.pieces.len() < MAX_EARLY {
            self.pieces.insert(piece);
        }
    }

    /// What that makes, now that the number of pieces is known.
    pub(crate) fn resolve(&self, pieces: u32) -> Result<Bitfield, BitfieldError> {
        let mut field = match &self.bitfield {
            Some(bytes) => Bitfield::from_bytes(bytes, pieces)?,
            None if self.all => Bitfield::full(pieces),
            None => Bitfield::new(pieces),
        };
        for piece in &self.pieces {
            field.insert(*piece);
        }
        Ok(field)
    }
}

impl Peer {
    pub(crate) fn new(
        now: Instant,
        key: PeerKey,
        address: SocketAddr,
        outgoing: bool,
        connection: Connection,
        pieces: u32,
    ) -> Self {
        Self {
            key,
            address,
            listens: outgoing.then_some(address),
            outgoing,
            connection,
            id: None,
            connected: now,
            pieces: Bitfield::new(pieces),
            early: Early::default(),
            useful_pieces: 0,
            upload_only: false,
            has_told_dht: false,
            choked: true,
            chokes_us: true,
            interested: false,
            interesting: false,
            allowed_to_us: Vec::new(),
            outstanding: VecDeque::new(),
            late: VecDeque::new(),
            window: Window::new(),
            waiting_since: now,
            snubbed: false,
            overhead: Overhead::default(),
            rejections: 0,
            interest_changes: 0,
            deficit: 0,
            handed: 0,
            down: Meter::new(now),
            up: Meter::new(now),
            unchoked: None,
            sent_since_unchoke: 0,
            weight: 1,
            credit: 0,
            allowance: None,
            paused: false,
            in_round: false,
        }
    }

    /// Bytes have come on its connection.
    pub(crate) fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), ConnectionError> {
        let (length, payload) = (input.len(), self.connection.payload_received());
        let result = self.connection.handle_input(now, input);
        let payload = self.connection.payload_received().saturating_sub(payload);
        let taken = length.saturating_sub(input.len());
        self.overhead.add(taken.saturating_sub(usize::try_from(payload).unwrap_or(usize::MAX)));
        result
    }

    /// About a second has passed.
    pub(crate) fn tick(&mut self, now: Instant, max_outstanding: usize) {
        self.down.tick(now);
        self.up.tick(now);
        self.rejections = 0;
        self.interest_changes = 0;
        self.window.tick(self.down.rate(), max_outstanding);
        if self.paused {
            // While it is we who do not read, its silence does not count.
            self.waiting_since = now;
            self.connection.handle_unread(now);
        }
    }

    /// It says whether it is interested. Returns whether that is reason to choose anew at once whom to upload to.
    pub(crate) fn handle_interest(&mut self, interested: bool) -> bool {
        let changed = std::mem::replace(&mut self.interested, interested) != interested;
        self.interest_changes = self.interest_changes.saturating_add(changed.into());
        changed && (interested || !self.choked) && self.interest_changes <= MAX_INTEREST_CHANGES
    }

    /// Tells it whether it has anything that is missing here, if that has changed. Returns whether it has.
    pub(crate) fn update_interest(&mut self) -> bool {
        let interesting = self.useful_pieces > 0;
        let changed = std::mem::replace(&mut self.interesting, interesting) != interesting;
        if changed {
            self.connection.send(if interesting { Message::Interested } else { Message::NotInterested });
        }
        changed
    }

    /// A piece is here now: it is told, and if it has nothing else that is missing, it is of no interest any more.
    pub(crate) fn announce(&mut self, piece: PieceIndex) {
        self.connection.send(Message::Have(piece));
        if self.pieces.contains(piece) {
            self.useful_pieces = self.useful_pieces.saturating_sub(1);
            self.update_interest();
        }
    }

    pub(crate) fn sender(&self) -> Sender {
        Sender { key: self.key, address: self.address, id: self.id.unwrap_or(PeerId::new([0; 20])) }
    }

    /// Takes a block off the outstanding ones. `None` if it was never asked for; `Some(false)` if it had been given up on.
    pub(crate) fn take_outstanding(&mut self, block: Block) -> Option<bool> {
        if let Some(at) = self.outstanding.iter().position(|asked| *asked == block) {
            self.outstanding.remove(at);
            return Some(true);
        }
        let at = self.late.iter().position(|asked| *asked == block)?;
        self.late.remove(at);
        Some(false)
    }

    /// Gives up on one outstanding block, because another peer has sent it. False if it was not asked for.
    pub(crate) fn cancel(&mut self, block: Block) -> bool {
        let Some(at) = self.outstanding.iter().position(|asked| *asked == block) else { return false };
        self.outstanding.remove(at);
        self.late.push_back(block);
        while self.late.len() > MAX_LATE {
            self.late.pop_front();
        }
        true
    }

    /// Gives up on all outstanding blocks and returns them. If they come all the same, they are taken.
    pub(crate) fn give_up(&mut self) -> Vec<Block> {
        let blocks: Vec<Block> = self.outstanding.drain(..).collect();
        self.late.extend(&blocks);
        while self.late.len() > MAX_LATE {
            self.late.pop_front();
        }
        blocks
    }

    /// Whether it has everything.
    pub(crate) fn is_seed(&self) -> bool {
        self.upload_only || (!self.pieces.is_empty() && self.pieces.is_full())
    }

    /// Payload that may be sent to it now, as far as an extension limits that.
    pub(crate) fn allowance_left(&self) -> usize {
        self.allowance
            .map_or(usize::MAX, |until| usize::try_from(until.saturating_sub(self.handed)).unwrap_or(usize::MAX))
    }

    /// Whether more payload may be handed to the driver. What lies there is held in memory, so who takes little is given little.
    pub(crate) fn has_room(&self, send_buffer: usize) -> bool {
        let second = usize::try_from(self.up.rate()).unwrap_or(usize::MAX);
        self.connection.unsent_bytes() < send_buffer.min(second.max(MIN_SEND_BUFFER))
    }

    pub(crate) fn is_overdue(&self, now: Instant, after: Duration) -> bool {
        !self.outstanding.is_empty() && now.saturating_duration_since(self.waiting_since) >= after
    }

    /// It has kept us waiting.
    pub(crate) fn snub(&mut self, now: Instant) {
        self.snubbed = true;
        self.waiting_since = now;
        self.window.snubbed();
    }

    /// Whether it was snubbed so lately that it is not to be asked for anything. A late block ends that.
    pub(crate) fn is_resting(&self, now: Instant, rest: Duration) -> bool {
        self.snubbed && self.outstanding.is_empty() && now.saturating_duration_since(self.waiting_since) < rest
    }

    pub(crate) fn stats(&self) -> PeerStats {
        PeerStats {
            peer: self.key,
            choked: self.choked,
            snubbed: self.snubbed,
            download_rate: self.down.rate(),
            upload_rate: self.up.rate(),
            sent_since_unchoke: self.sent_since_unchoke,
            connected: self.connected,
            unchoked: self.unchoked,
            credit: self.credit,
        }
    }

    pub(crate) fn info(&self) -> PeerInfo {
        PeerInfo {
            peer: self.key,
            address: self.address,
            id: self.id.unwrap_or(PeerId::new([0; 20])),
            client: self.connection.peer_extended().and_then(|extended| extended.client.clone()),
            pieces: self.pieces.count(),
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            download_rate: self.down.rate(),
            upload_rate: self.up.rate(),
            choked: self.choked,
            chokes_us: self.chokes_us,
            interested: self.interested,
            interesting: self.interesting,
            snubbed: self.snubbed,
            outstanding: self.outstanding.len(),
        }
    }
}
