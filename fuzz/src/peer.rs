//! A whole peer connection.

use bytes::{Buf, BytesMut};
use std::time::Instant;
use unchoke_core::hash::sha1;
use unchoke_core::{Geometry, InfoHash, InfoHashes, Outgoing, PeerId, StreamProtocol};
use unchoke_wire::{
    Codec, Connection, ConnectionConfig, DontHave, Event, Extension, Handshake, Message, Reserved, SharedMetadata,
    UploadOnly, UtMetadata, UtPex,
};

/// The number of requests that the connection may hold; small, so that few bytes reach it.
const QUEUE: usize = 8;

/// Any bytes into an incoming connection, in portions of any size.
///
/// The first byte chooses: bit 0 whether a good handshake goes ahead of the input, bit 1 whether the geometry is known, bit 2 whether the
/// peer is unchoked, bit 3 whether the info dictionary is. The second is the size of a portion. Whatever comes, the connection ends or goes
/// on, holds its limits, accounts for every byte it sends, and sends only what a peer can read.
pub fn connection(data: &[u8]) {
    let [choice, portion, input @ ..] = data else { return };
    let has = |bit: u32| choice >> bit & 1 == 1;
    let mut stream = Vec::new();
    if has(0) {
        stream.extend_from_slice(&shake().encode());
    }
    stream.extend_from_slice(input);

    let mut now = Instant::now();
    let mut config = ConnectionConfig::default();
    config.max_queued_requests = QUEUE;
    let mut connection = Connection::incoming(now, config);
    if has(1)
        && let Ok(geometry) = Geometry::new(100_000, 32_768)
    {
        connection.set_geometry(&geometry);
    }
    let mut driver = Driver { sent: BytesMut::new(), unchoke: has(2), metadata: has(3) };
    let mut buffer = BytesMut::new();
    for chunk in stream.chunks(usize::from(*portion).max(1)) {
        buffer.extend_from_slice(chunk);
        if connection.handle_input(now, &mut buffer).is_err() {
            break;
        }
        if driver.drain(&mut connection, now) {
            // What followed the handshake has been waiting.
            if connection.handle_input(now, &mut buffer).is_err() {
                break;
            }
            driver.drain(&mut connection, now);
        }
        if let Some(next) = connection.poll_timeout()
            && portion.is_multiple_of(5)
        {
            now = now.max(next);
            if connection.handle_timeout(now).is_err() {
                break;
            }
        }
    }
    driver.drain(&mut connection, now);
    // Whether the end is a good one is for the connection to say; both answers are fine.
    let _ = connection.handle_end(now);
    driver.check();
}

fn shake() -> Handshake {
    Handshake {
        info_hash: InfoHash::new([7; 20]),
        peer_id: PeerId::new(*b"-UC0100-abcdefghijkl"),
        reserved: Reserved::new().with_fast().with_extension_protocol(),
    }
}

struct Driver {
    sent: BytesMut,
    unchoke: bool,
    metadata: bool,
}

impl Driver {
    /// Does what an owner and a socket do; says whether a handshake was accepted.
    fn drain(&mut self, connection: &mut Connection, now: Instant) -> bool {
        let mut accepted = false;
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Handshake(_) => {
                    connection.accept(now, shake(), self.extensions());
                    if self.unchoke {
                        connection.unchoke(now);
                    }
                    accepted = true;
                }
                Event::Message(Message::Request(block)) => connection.serve(block),
                Event::Message(Message::NotInterested) => connection.choke(now),
                Event::Message(Message::Interested) => connection.unchoke(now),
                _ => {}
            }
        }
        assert!(connection.queued_uploads() <= QUEUE, "{} requests wait", connection.queued_uploads());
        while let Some(outgoing) = connection.poll_transmit(now, 1 << 20) {
            let bytes = outgoing.wire_len();
            assert!(bytes > 0, "an empty chunk");
            match outgoing {
                Outgoing::Bytes(bytes) => self.sent.extend_from_slice(&bytes),
                // A block of odd length plays the one that the disk does not give.
                Outgoing::Piece { block, .. } if block.length % 2 == 1 => {
                    connection.handle_unreadable(now, block);
                    continue;
                }
                Outgoing::Piece { .. } => {}
                _ => panic!("a kind of output that nobody knows"),
            }
            connection.handle_sent(now, bytes);
        }
        assert_eq!(connection.unsent_bytes(), 0, "everything has left");
        accepted
    }

    fn extensions(&self) -> Vec<Box<dyn Extension>> {
        let info = vec![b'x'; 20_000];
        let hashes = InfoHashes::v1(sha1(&info));
        let shared = if self.metadata { SharedMetadata::known(info.into()) } else { SharedMetadata::wanted(hashes) };
        vec![
            Box::new(UtMetadata::new(shared)),
            Box::new(UtPex::new()),
            Box::new(DontHave::new()),
            Box::new(UploadOnly::new()),
        ]
    }

    /// All that was sent but blocks is a handshake and whole messages.
    fn check(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        assert!(matches!(Handshake::decode(&self.sent), Ok(Some(shake)) if shake == self::shake()));
        self.sent.advance(Handshake::LEN);
        loop {
            match Codec::new().decode(&mut self.sent) {
                Ok(Some(message)) => assert!(!matches!(message, Message::Unknown { .. }), "{message:?}"),
                Ok(None) => break,
                Err(error) => panic!("we sent what we would refuse: {error}"),
            }
        }
        assert!(self.sent.is_empty(), "we sent half a message");
    }
}
