//! Runs any protocol over streams.

use crate::host::Host;
use crate::network::Net;
use crate::stream::{ConnectError, StreamEvent, StreamId};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::{Block, Outgoing, Path, StreamProtocol};

/// Makes the protocol for a stream that someone opens, or `None` to close it.
pub type Acceptor<P> = Box<dyn FnMut(Instant, SocketAddr) -> Option<P>>;
/// Reads a block that a protocol has to send, or `None` if it is not there.
pub type BlockSource = Box<dyn FnMut(Block) -> Option<Bytes>>;

/// What a [`StreamHost`] tells of one of its streams.
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamNotice<P: StreamProtocol> {
    /// The stream.
    pub stream: StreamId,
    /// What happened.
    pub kind: NoticeKind<P::Event, P::Error>,
}

/// What happened to a stream of a [`StreamHost`].
#[derive(Debug)]
#[non_exhaustive]
pub enum NoticeKind<E, F> {
    /// The other side opened it, from this address.
    Accepted(SocketAddr),
    /// It is open.
    Connected,
    /// It could not be opened.
    Failed(ConnectError),
    /// The protocol says this.
    Protocol(E),
    /// The protocol gave it up, and it is closed.
    Broken(F),
    /// It is closed.
    Closed,
}

/// A host that runs one kind of [`StreamProtocol`], once for each stream.
pub struct StreamHost<P: StreamProtocol> {
    accept: Option<Acceptor<P>>,
    source: Option<BlockSource>,
    streams: BTreeMap<StreamId, Stream<P>>,
    notices: VecDeque<StreamNotice<P>>,
}

#[derive(Debug)]
struct Stream<P> {
    protocol: P,
    input: BytesMut,
    is_open: bool,
}

impl<P: StreamProtocol> StreamHost<P> {
    /// A host that accepts nothing and has no blocks.
    #[must_use]
    pub const fn new() -> Self {
        Self { accept: None, source: None, streams: BTreeMap::new(), notices: VecDeque::new() }
    }

    /// Accepts what others open, with protocols that this function makes.
    #[must_use]
    pub fn accepting(self, accept: impl FnMut(Instant, SocketAddr) -> Option<P> + 'static) -> Self {
        Self { accept: Some(Box::new(accept)), ..self }
    }

    /// Sends blocks that this function reads.
    #[must_use]
    pub fn reading(self, source: impl FnMut(Block) -> Option<Bytes> + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// Opens a stream and runs a protocol over it.
    pub fn connect(&mut self, net: &mut Net<'_>, to: SocketAddr, protocol: P) -> StreamId {
        let stream = net.connect(to);
        self.streams.insert(stream, Stream { protocol, input: BytesMut::new(), is_open: false });
        stream
    }

    /// The protocol over a stream. What is done to it inside [`World::with`](crate::World::with) is followed by what it has to send.
    pub fn protocol_mut(&mut self, stream: StreamId) -> Option<&mut P> {
        self.streams.get_mut(&stream).map(|it| &mut it.protocol)
    }

    /// The streams that there are.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// Closes a stream.
    pub fn close(&mut self, net: &mut Net<'_>, stream: StreamId) {
        if self.streams.remove(&stream).is_some() {
            net.close(stream);
        }
    }

    fn tell(&mut self, stream: StreamId, kind: NoticeKind<P::Event, P::Error>) {
        self.notices.push_back(StreamNotice { stream, kind });
    }

    /// What a stream says is taken before the protocol goes.
    fn remove(&mut self, stream: StreamId, kind: NoticeKind<P::Event, P::Error>) {
        if let Some(mut entry) = self.streams.remove(&stream) {
            while let Some(event) = entry.protocol.poll_event() {
                self.tell(stream, NoticeKind::Protocol(event));
            }
            self.tell(stream, kind);
        }
    }

    fn check(&mut self, net: &mut Net<'_>, stream: StreamId, result: Result<(), P::Error>) {
        if let Err(error) = result {
            self.remove(stream, NoticeKind::Broken(error));
            net.close(stream);
        }
    }

    fn send(&mut self, net: &mut Net<'_>, stream: StreamId) {
        let Some(entry) = self.streams.get_mut(&stream).filter(|it| it.is_open) else { return };
        let now = net.now();
        while let Some(outgoing) = entry.protocol.poll_transmit(now, BUFFER.saturating_sub(net.unsent(stream))) {
            let mut chunk = BytesMut::new();
            match outgoing {
                Outgoing::Bytes(bytes) if !entry.protocol.needs_seal() => {
                    net.write(stream, bytes);
                    continue;
                }
                Outgoing::Bytes(bytes) => chunk.extend_from_slice(&bytes),
                Outgoing::Piece { header, block } => {
                    let Some(bytes) = self.source.as_mut().and_then(|source| source(block)) else {
                        entry.protocol.handle_unreadable(now, block);
                        continue;
                    };
                    chunk.extend_from_slice(&header);
                    chunk.extend_from_slice(&bytes);
                }
                _ => continue,
            }
            if entry.protocol.needs_seal() {
                entry.protocol.seal(&mut chunk);
            }
            net.write(stream, chunk.freeze());
        }
    }
}

impl<P: StreamProtocol> Host for StreamHost<P> {
    type Event = StreamNotice<P>;

    fn handle_datagram(&mut self, _net: &mut Net<'_>, _path: Path, _datagram: &[u8]) {}

    fn handle_stream(&mut self, net: &mut Net<'_>, stream: StreamId, event: StreamEvent) {
        let now = net.now();
        if let StreamEvent::Accepted { remote, .. } = event {
            match self.accept.as_mut().and_then(|accept| accept(now, remote)) {
                Some(protocol) => {
                    self.streams.insert(stream, Stream { protocol, input: BytesMut::new(), is_open: true });
                    self.tell(stream, NoticeKind::Accepted(remote));
                }
                None => net.close(stream),
            }
            return;
        }
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        match event {
            StreamEvent::Connected => {
                entry.is_open = true;
                self.tell(stream, NoticeKind::Connected);
            }
            StreamEvent::Failed(error) => self.remove(stream, NoticeKind::Failed(error)),
            StreamEvent::Data(bytes) => {
                entry.input.extend_from_slice(&bytes);
                let result = entry.protocol.handle_input(now, &mut entry.input);
                self.check(net, stream, result);
            }
            StreamEvent::Sent(bytes) => entry.protocol.handle_sent(now, bytes),
            StreamEvent::End => {
                let result = entry.protocol.handle_end(now);
                self.check(net, stream, result);
                self.send(net, stream);
                net.finish(stream);
            }
            StreamEvent::Closed => self.remove(stream, NoticeKind::Closed),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        let now = net.now();
        let is_due = |it: &Stream<P>| it.protocol.poll_timeout().is_some_and(|at| at <= now);
        let due: Vec<StreamId> = self.streams.iter().filter(|(_, it)| is_due(it)).map(|(stream, _)| *stream).collect();
        for stream in due {
            if let Some(entry) = self.streams.get_mut(&stream) {
                let result = entry.protocol.handle_timeout(now);
                self.check(net, stream, result);
            }
        }
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        let streams: Vec<StreamId> = self.streams().collect();
        for stream in streams {
            self.send(net, stream);
            while let Some(event) = self.streams.get_mut(&stream).and_then(|it| it.protocol.poll_event()) {
                self.tell(stream, NoticeKind::Protocol(event));
            }
        }
    }

    fn poll_event(&mut self) -> Option<StreamNotice<P>> {
        self.notices.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.streams.values().filter_map(|it| it.protocol.poll_timeout()).min()
    }
}

impl<P: StreamProtocol> Default for StreamHost<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: StreamProtocol> fmt::Debug for StreamHost<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHost").field("streams", &self.streams.len()).finish_non_exhaustive()
    }
}

/// Bytes that a stream is given ahead of what has left.
const BUFFER: usize = 65_536;
