//! One connection to a peer, without the socket: bytes and time in, bytes and events out.

mod chatter;
mod error;
mod registry;
mod sent;
mod timers;
mod uploads;

pub use error::ConnectionError;

use crate::codec::Codec;
use crate::config::{ConnectionConfig, LocalInfo};
use crate::extended::ExtendedHandshake;
use crate::extension::{Extension, ExtensionEvent, SwarmChange};
use crate::handshake::Handshake;
use crate::message::{Message, id, piece_header};
use bytes::{Buf, Bytes, BytesMut};
use chatter::Chatter;
use registry::Registry;
use sent::Sent;
use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;
use timers::{Due, Timers};
use unchoke_core::{Bitfield, Block, Geometry, Outgoing, PieceIndex, StreamProtocol};
use uploads::Uploads;

/// What a connection tells its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer has shaken hands. An incoming connection waits for [`Connection::accept`] now.
    Handshake(Handshake),
    /// The peer sent a message. Keep-alives and extension messages are not reported here, and of requests only those that may be served.
    Message(Message),
    /// The peer sent an extended handshake; this is all that it has said so far.
    ExtendedHandshake(ExtendedHandshake),
    /// An extension says something.
    Extension {
        /// The extension's name.
        name: &'static str,
        /// What it says.
        event: ExtensionEvent,
    },
    /// An extension message came with a number that we gave to no extension.
    UnhandledExtension {
        /// The number.
        id: u8,
        /// What followed it.
        payload: Bytes,
    },
    /// The peer took back the request for a block that was waiting to be sent; it has been taken off the queue. A request that is taken
    /// back before it was reported is never reported, and the message is reported as it is if the block is not waiting.
    Cancelled(Block),
}

/// A peer connection ([BEP 3], 6, 10).
///
/// It keeps the rules of the wire: lengths, indices, who may say what and when, keep-alives, time-outs, and the queue of blocks to be
/// sent. What to ask for and whom to serve is its owner's to decide.
///
/// [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
pub struct Connection {
    config: ConnectionConfig,
    codec: Codec,
    state: State,
    local: LocalInfo,
    ours: Option<Handshake>,
    theirs: Option<Handshake>,
    geometry: Option<Geometry>,
    registry: Registry,
    uploads: Uploads,
    timers: Timers,
    chatter: Chatter,
    sent: Sent,
    /// Everything to be sent but blocks.
    control: BytesMut,
    /// How much of `control` the peer has provoked.
    answers: usize,
    events: VecDeque<Event>,
    /// Requests among `events`, in their order; those that the peer has taken back since are gone.
    reported: VecDeque<Option<Block>>,
    choking: bool,
    /// The peer has said which pieces it has.
    told: bool,
    /// The last input ended within something.
    partial: bool,
    payload_received: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No handshake has come.
    Greeting,
    /// Theirs has come and ours is up to the owner.
    Waiting,
    Open,
}

impl Connection {
    /// A connection that we opened. Our handshake is sent at once; the peer must answer with the same info-hash.
    #[must_use]
    pub fn outgoing(
        now: Instant,
        config: ConnectionConfig,
        ours: Handshake,
        extensions: Vec<Box<dyn Extension>>,
    ) -> Self {
        let mut connection = Self::new(now, config);
        connection.control.extend_from_slice(&ours.encode());
        connection.ours = Some(ours);
        connection.registry = Registry::new(extensions);
        connection
    }

    /// A connection that the peer opened. After [`Event::Handshake`] it takes no more input until [`accept`](Self::accept).
    #[must_use]
    pub fn incoming(now: Instant, config: ConnectionConfig) -> Self {
        Self::new(now, config)
    }

    fn new(now: Instant, config: ConnectionConfig) -> Self {
        let codec = Codec::new()
            .with_max_message(config.max_message)
            .with_max_bitfield(config.max_early_bitfield)
            .with_max_extended(config.max_extension_payload);
        Self {
            codec,
            state: State::Greeting,
            local: LocalInfo::default(),
            ours: None,
            theirs: None,
            geometry: None,
            registry: Registry::default(),
            uploads: Uploads::default(),
            timers: Timers::new(now, &config),
            chatter: Chatter::new(now),
            sent: Sent::default(),
            control: BytesMut::new(),
            answers: 0,
            events: VecDeque::new(),
            reported: VecDeque::new(),
            choking: true,
            told: false,
            partial: false,
            payload_received: 0,
            config,
        }
    }

    /// Answers the handshake of a peer that connected to us. Call [`handle_input`](StreamProtocol::handle_input) again afterwards, even
    /// if nothing new has come: what followed the handshake has been waiting. Does nothing unless a handshake waits for an answer.
    pub fn accept(&mut self, now: Instant, ours: Handshake, extensions: Vec<Box<dyn Extension>>) {
        if self.state == State::Waiting {
            self.control.extend_from_slice(&ours.encode());
            self.ours = Some(ours);
            self.registry = Registry::new(extensions);
            self.open(now);
        }
    }

    /// Sets what our extended handshake tells. Has an effect until the peer's handshake has come (outgoing) or is accepted (incoming).
    pub fn set_local(&mut self, local: LocalInfo) {
        self.local = local;
    }

    /// Sets the torrent's shape. From now on pieces, blocks and bitfields that do not fit it end the connection; before, they pass.
    pub fn set_geometry(&mut self, geometry: &Geometry) {
        self.geometry = Some(geometry.clone());
        self.codec = self.codec.clone().with_max_bitfield(geometry.piece_count().div_ceil(8));
    }

    /// Queues a message. For blocks there is [`serve`](Self::serve), for chokes [`choke`](Self::choke) and [`unchoke`](Self::unchoke).
    /// Messages of the fast extension are dropped if the peer does not speak it; so is everything before the handshakes are done.
    pub fn send(&mut self, message: Message) {
        if self.state == State::Open && (self.supports_fast() || !message.needs_fast()) {
            message.encode(&mut self.control);
        }
    }

    /// Queues a block to be sent. If the peer is choked and the piece is not allowed fast, the request is rejected instead.
    pub fn serve(&mut self, block: Block) {
        if self.may_serve(block) {
            self.uploads.push(block);
        } else {
            self.reject(block);
        }
    }

    /// Chokes the peer: requests that wait are rejected (BEP 6) or dropped, but for those of allowed-fast pieces.
    pub fn choke(&mut self, _now: Instant) {
        if !self.choking {
            self.choking = true;
            self.send(Message::Choke);
            for block in self.uploads.clear(self.supports_fast()) {
                self.reject(block);
            }
        }
    }

    /// Unchokes the peer.
    pub fn unchoke(&mut self, _now: Instant) {
        if self.choking {
            self.choking = false;
            self.send(Message::Unchoke);
        }
    }

    /// Sets which pieces the peer may have while it is choked, and tells it. Does nothing if the peer does not speak BEP 6.
    pub fn set_allowed_fast(&mut self, pieces: Vec<PieceIndex>) {
        if self.supports_fast() {
            for piece in &pieces {
                self.send(Message::AllowedFast(*piece));
            }
            self.uploads.allow(pieces);
        }
    }

    /// A block that the peer sent belongs to a piece that has passed its hash.
    pub fn handle_verified(&mut self, now: Instant, block: Block) {
        self.registry.handle_verified(now, block);
    }

    /// The driver does not read from the connection at present, so that nothing comes is not the peer's silence.
    pub fn handle_unread(&mut self, now: Instant) {
        self.timers.handle_heard(now);
    }

    /// Something has changed that the extensions may want to tell the peer.
    pub fn handle_change(&mut self, now: Instant, change: &SwarmChange) {
        self.registry.handle_change(now, change);
    }

    /// Blocks waiting to be polled.
    #[must_use]
    pub fn queued_uploads(&self) -> usize {
        self.uploads.len()
    }

    /// Bytes of the blocks waiting to be polled.
    #[must_use]
    pub fn queued_upload_bytes(&self) -> u64 {
        self.uploads.bytes()
    }

    /// The peer's handshake, once it has come.
    #[must_use]
    pub fn peer_handshake(&self) -> Option<&Handshake> {
        self.theirs.as_ref()
    }

    /// Whether both sides speak the fast extension (BEP 6).
    #[must_use]
    pub fn supports_fast(&self) -> bool {
        self.both(|shake| shake.reserved.fast())
    }

    /// Whether both sides speak the extension protocol (BEP 10).
    #[must_use]
    pub fn supports_extensions(&self) -> bool {
        self.both(|shake| shake.reserved.extension_protocol())
    }

    /// Whether both sides have a node of the DHT (BEP 5).
    #[must_use]
    pub fn supports_dht(&self) -> bool {
        self.both(|shake| shake.reserved.dht())
    }

    /// What the peer said in its extended handshakes.
    #[must_use]
    pub fn peer_extended(&self) -> Option<&ExtendedHandshake> {
        self.registry.peer()
    }

    /// Bytes that were polled and have not left yet.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.sent.unsent()
    }

    /// Bytes of blocks that have left.
    #[must_use]
    pub fn payload_sent(&self) -> u64 {
        self.sent.payload()
    }

    /// Bytes of blocks that have come.
    #[must_use]
    pub fn payload_received(&self) -> u64 {
        self.payload_received
    }

    fn both(&self, speaks: impl Fn(&Handshake) -> bool) -> bool {
        self.ours.as_ref().is_some_and(&speaks) && self.theirs.as_ref().is_some_and(&speaks)
    }

    fn may_serve(&self, block: Block) -> bool {
        !self.choking || (self.supports_fast() && self.uploads.allows(block.piece))
    }

    /// Refuses a request. A peer that asks on without reading the refusals is ended like one that does not read answers.
    pub fn refuse(&mut self, block: Block) {
        self.reject(block);
    }

    /// Tells the peer, if it can be told, that it will not get a block.
    fn reject(&mut self, block: Block) {
        let before = self.control.len();
        self.send(Message::RejectRequest(block));
        self.answers = self.answers.saturating_add(self.control.len().saturating_sub(before));
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.timers.handle_shaken(now);
        if self.supports_extensions() {
            let payload = self.registry.local_handshake(&self.local);
            Message::Extended { id: 0, payload }.encode(&mut self.control);
        }
    }

    fn handle_handshake(&mut self, now: Instant, theirs: Handshake) -> Result<(), ConnectionError> {
        self.theirs = Some(theirs);
        match &self.ours {
            Some(ours) if ours.info_hash != theirs.info_hash => {
                return Err(ConnectionError::InfoHash { found: theirs.info_hash });
            }
            Some(_) => self.open(now),
            None => self.state = State::Waiting,
        }
        self.events.push_back(Event::Handshake(theirs));
        Ok(())
    }

    fn handle_message(&mut self, now: Instant, message: Message) -> Result<(), ConnectionError> {
        match message.id() {
            Some(id) if message.needs_fast() && !self.supports_fast() => {
                return Err(ConnectionError::NotNegotiated { id });
            }
            // BEP 3 wants a bitfield first. There are clients that send it anew later, which is no harm once its length can be checked.
            Some(id @ (id::BITFIELD | id::HAVE_ALL | id::HAVE_NONE))
                if self.told && (self.geometry.is_none() || id == id::HAVE_NONE) =>
            {
                return Err(ConnectionError::TooLate { id });
            }
            Some(id::EXTENDED) if !self.supports_extensions() => {
                return Err(ConnectionError::NotNegotiated { id: id::EXTENDED });
            }
            _ => {}
        }
        let pieces = self.geometry.as_ref().map(Geometry::piece_count);
        if self.chatter.handle_message(now, &message, pieces) {
            return Err(ConnectionError::Chatter);
        }
        match &message {
            Message::KeepAlive => return Ok(()),
            Message::Bitfield(bits) => {
                if let Some(geometry) = &self.geometry {
                    Bitfield::from_bytes(bits, geometry.piece_count())?;
                }
                self.told = true;
            }
            Message::HaveAll | Message::HaveNone => self.told = true,
            Message::Have(piece) => {
                self.check_piece(*piece)?;
                self.told = true;
            }
            Message::SuggestPiece(piece) | Message::AllowedFast(piece) => self.check_piece(*piece)?,
            Message::Request(block) => return self.handle_request(*block),
            Message::Cancel(block) => {
                self.check_block(*block)?;
                if self.uploads.cancel(*block) {
                    self.reject(*block);
                    self.events.push_back(Event::Cancelled(*block));
                    return Ok(());
                }
                if let Some(request) = self.reported.iter_mut().find(|request| **request == Some(*block)) {
                    *request = None;
                    self.reject(*block);
                    return Ok(());
                }
            }
            Message::RejectRequest(block) => self.check_block(*block)?,
            Message::Piece { block, .. } => {
                self.check_block(*block)?;
                self.payload_received = self.payload_received.saturating_add(u64::from(block.length));
                self.registry.handle_transfer(now, self.sent.payload(), self.payload_received);
            }
            Message::Extended { id, payload } => return self.handle_extended(now, *id, payload.clone()),
            Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::Port(_)
            | Message::Unknown { .. } => {}
        }
        self.events.push_back(Event::Message(message));
        Ok(())
    }

    fn handle_request(&mut self, block: Block) -> Result<(), ConnectionError> {
        self.check_block(block)?;
        if block.length == 0 || block.length > MAX_BLOCK {
            return Err(ConnectionError::Block(block));
        }
        let limit = self.config.max_queued_requests;
        if !self.may_serve(block) {
            self.reject(block);
        } else if self.uploads.len().saturating_add(self.reported.len()) < limit {
            self.reported.push_back(Some(block));
            self.events.push_back(Event::Message(Message::Request(block)));
        } else if self.supports_fast() {
            self.reject(block);
        } else {
            return Err(ConnectionError::TooManyRequests { limit });
        }
        Ok(())
    }

    fn handle_extended(&mut self, now: Instant, id: u8, payload: Bytes) -> Result<(), ConnectionError> {
        if id == 0 {
            self.registry.handle_handshake(now, &payload)?;
            if let Some(peer) = self.registry.peer() {
                self.events.push_back(Event::ExtendedHandshake(peer.clone()));
            }
        } else {
            let handled = self.registry.handle_input(now, id, payload);
            if let Some(payload) = handled.map_err(|(name, source)| ConnectionError::Extension { name, source })? {
                self.events.push_back(Event::UnhandledExtension { id, payload });
            }
        }
        // Now, so that they stand in the order in which the peer said what caused them.
        while let Some((name, event)) = self.registry.poll_event() {
            if let ExtensionEvent::DontHave(piece) = &event {
                self.check_piece(*piece)?;
            }
            self.events.push_back(Event::Extension { name, event });
        }
        Ok(())
    }

    fn check_piece(&self, piece: PieceIndex) -> Result<(), ConnectionError> {
        match &self.geometry {
            Some(geometry) if piece.0 >= geometry.piece_count() => Err(ConnectionError::Piece(piece)),
            _ => Ok(()),
        }
    }

    fn check_block(&self, block: Block) -> Result<(), ConnectionError> {
        match &self.geometry {
            Some(geometry) if !geometry.contains(block) => Err(ConnectionError::Block(block)),
            _ => Ok(()),
        }
    }

    /// Ends the connection if the peer makes us talk and does not listen.
    fn check_unread(&self) -> Result<(), ConnectionError> {
        let limit = self.config.max_unread;
        let answers = self.answers.saturating_add(self.sent.answers());
        // What the owner says on its own account is provoked, too: by unchoking, by having and not having. Beside that there is one `have`
        // for each piece.
        let pieces = self.geometry.as_ref().map_or(0, |geometry| geometry.piece_count() as usize);
        let said = self.control.len().saturating_add(self.sent.plain());
        if answers > limit || said > limit.saturating_mul(4).saturating_add(pieces.saturating_mul(HAVE_LEN)) {
            return Err(ConnectionError::Unread { bytes: answers.max(said) });
        }
        Ok(())
    }
}

impl StreamProtocol for Connection {
    type Event = Event;
    type Error = ConnectionError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), ConnectionError> {
        if !input.is_empty() {
            self.timers.handle_heard(now);
        }
        if self.state == State::Greeting
            && let Some(theirs) = Handshake::decode(input)?
        {
            input.advance(Handshake::LEN);
            self.handle_handshake(now, theirs)?;
        }
        while self.state == State::Open
            && let Some(message) = self.codec.decode(input)?
        {
            self.handle_message(now, message)?;
            self.check_unread()?;
        }
        self.partial = self.state != State::Waiting && !input.is_empty();
        Ok(())
    }

    fn handle_end(&mut self, _now: Instant) -> Result<(), ConnectionError> {
        if self.partial || self.state == State::Greeting { Err(ConnectionError::Truncated) } else { Ok(()) }
    }

    fn handle_sent(&mut self, now: Instant, bytes: usize) {
        if self.sent.handle_sent(bytes) {
            self.registry.handle_transfer(now, self.sent.payload(), self.payload_received);
        }
    }

    fn handle_unreadable(&mut self, _now: Instant, block: Block) {
        if self.sent.withdraw(block) {
            self.reject(block);
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        match self.timers.due(now) {
            Due::Nothing => {}
            Due::KeepAlive => {
                self.timers.handle_spoke(now);
                // What has not left yet will keep the connection open as well.
                if self.sent.unsent() == 0 {
                    Message::KeepAlive.encode(&mut self.control);
                }
            }
            Due::HandshakeOverdue => return Err(ConnectionError::HandshakeTimeout),
            Due::Idle => return Err(ConnectionError::IdleTimeout),
        }
        self.registry.handle_timeout(now);
        Ok(())
    }

    fn poll_transmit(&mut self, now: Instant, piece_budget: usize) -> Option<Outgoing> {
        // A peer that does not read what extensions say is told no more.
        if self.state == State::Open && self.sent.unsent() <= self.config.max_unread {
            self.registry.poll_transmit(now, &mut self.control, EXTENSION_CHUNK);
        }
        if !self.control.is_empty() {
            let bytes = self.control.split().freeze();
            self.sent.push_plain(bytes.len(), std::mem::take(&mut self.answers));
            self.timers.handle_spoke(now);
            return Some(Outgoing::Bytes(bytes));
        }
        let block = self.uploads.pop(piece_budget)?;
        self.sent.push_block(block);
        self.timers.handle_spoke(now);
        Some(Outgoing::Piece { header: piece_header(block), block })
    }

    fn poll_event(&mut self) -> Option<Event> {
        while let Some(event) = self.events.pop_front() {
            let is_request = matches!(event, Event::Message(Message::Request(_)));
            if !is_request || self.reported.pop_front().flatten().is_some() {
                return Some(event);
            }
        }
        let (name, event) = self.registry.poll_event()?;
        Some(Event::Extension { name, event })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let extensions = if self.state == State::Open { self.registry.poll_timeout() } else { None };
        [self.timers.next(), extensions].into_iter().flatten().min()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .field("theirs", &self.theirs)
            .field("choking", &self.choking)
            .field("queued_uploads", &self.uploads.len())
            .field("unsent", &self.sent.unsent())
            .finish_non_exhaustive()
    }
}

/// The longest block that any client is known to ask for, in bytes.
const MAX_BLOCK: u32 = 128 * 1024;
/// What extensions may add to one chunk, in bytes, give or take a message.
const EXTENSION_CHUNK: usize = 64 * 1024;
/// Bytes of a `have` message.
const HAVE_LEN: usize = 9;
