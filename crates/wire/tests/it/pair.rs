//! Two connections and the wire between them.

use bytes::{BufMut, BytesMut};
use std::time::Instant;
use unchoke_core::{InfoHash, Outgoing, PeerId, StreamProtocol};
use unchoke_wire::{Connection, ConnectionConfig, ConnectionError, Event, Extension, Handshake, Reserved};

pub(crate) type Extensions = Vec<Box<dyn Extension>>;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) a: Connection,
    pub(crate) b: Connection,
}

pub(crate) fn all() -> Reserved {
    Reserved::new().with_fast().with_extension_protocol()
}

pub(crate) fn shake(name: u8, reserved: Reserved) -> Handshake {
    Handshake { info_hash: InfoHash::new([7; 20]), peer_id: PeerId::new([name; 20]), reserved }
}

/// Everything that a connection wants to send, with blocks of zeros.
pub(crate) fn drain(from: &mut Connection, now: Instant) -> BytesMut {
    let mut wire = BytesMut::new();
    while let Some(outgoing) = from.poll_transmit(now, usize::MAX) {
        from.handle_sent(now, outgoing.wire_len());
        match outgoing {
            Outgoing::Bytes(bytes) => wire.put(bytes),
            Outgoing::Piece { header, block } => {
                wire.put_slice(&header);
                wire.put_bytes(0, block.length as usize);
            }
            other => panic!("{other:?}"),
        }
    }
    wire
}

pub(crate) fn events(from: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| from.poll_event()).collect()
}

impl Pair {
    /// Two connections that have shaken hands; the events of that are gone.
    pub(crate) fn open(reserved: Reserved, config: ConnectionConfig, a: Extensions, b: Extensions) -> Self {
        let now = Instant::now();
        let mut pair = Self {
            now,
            a: Connection::outgoing(now, config.clone(), shake(b'a', reserved), a),
            b: Connection::incoming(now, config),
        };
        pair.b.handle_input(now, &mut drain(&mut pair.a, now)).unwrap();
        pair.b.accept(now, shake(b'b', reserved), b);
        pair.a.handle_input(now, &mut drain(&mut pair.b, now)).unwrap();
        assert_eq!(pair.a.poll_event(), Some(Event::Handshake(shake(b'b', reserved))));
        assert_eq!(pair.b.poll_event(), Some(Event::Handshake(shake(b'a', reserved))));
        if reserved.extension_protocol() {
            assert!(matches!(pair.a.poll_event(), Some(Event::ExtendedHandshake(_))));
            pair.exchange().unwrap();
            assert!(matches!(pair.b.poll_event(), Some(Event::ExtendedHandshake(_))));
        }
        pair
    }

    pub(crate) fn plain(reserved: Reserved) -> Self {
        Self::open(reserved, ConnectionConfig::default(), vec![], vec![])
    }

    /// Carries bytes both ways until both are silent.
    pub(crate) fn exchange(&mut self) -> Result<(), ConnectionError> {
        for _ in 0..1000 {
            let (mut to_b, mut to_a) = (drain(&mut self.a, self.now), drain(&mut self.b, self.now));
            if to_a.is_empty() && to_b.is_empty() {
                return Ok(());
            }
            self.b.handle_input(self.now, &mut to_b)?;
            self.a.handle_input(self.now, &mut to_a)?;
        }
        panic!("never silent");
    }
}
