//! Taking back a `have` ([BEP 54]).
//!
//! [BEP 54]: https://www.bittorrent.org/beps/bep_0054.html

use crate::extension::{Extension, ExtensionError, ExtensionEvent, SwarmChange};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;
use unchoke_core::PieceIndex;

/// The extension `lt_donthave` on one connection.
#[derive(Debug, Default)]
pub struct DontHave {
    lost: BTreeSet<PieceIndex>,
    events: VecDeque<ExtensionEvent>,
}

impl DontHave {
    /// An extension that has nothing to tell.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Extension for DontHave {
    fn name(&self) -> &'static str {
        "lt_donthave"
    }

    fn handle_input(&mut self, _now: Instant, payload: Bytes) -> Result<(), ExtensionError> {
        let index = <[u8; 4]>::try_from(&payload[..]).map_err(|_| ExtensionError::Length { length: payload.len() })?;
        self.events.push_back(ExtensionEvent::DontHave(PieceIndex(u32::from_be_bytes(index))));
        Ok(())
    }

    fn handle_change(&mut self, _now: Instant, change: &SwarmChange) {
        if let SwarmChange::PieceLost(piece) = change {
            self.lost.insert(*piece);
        }
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Bytes> {
        self.lost.pop_first().map(|piece| Bytes::copy_from_slice(&piece.0.to_be_bytes()))
    }

    fn poll_event(&mut self) -> Option<ExtensionEvent> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn a_lost_piece_arrives() {
        let (now, mut here, mut there) = (Instant::now(), DontHave::new(), DontHave::new());
        here.handle_change(now, &SwarmChange::PieceLost(PieceIndex(258)));
        let message = here.poll_transmit(now).unwrap();
        assert_eq!(&message[..], [0, 0, 1, 2]);
        there.handle_input(now, message).unwrap();
        assert_eq!(there.poll_event(), Some(ExtensionEvent::DontHave(PieceIndex(258))));
        assert!(there.handle_input(now, Bytes::from_static(b"abc")).is_err());
    }
}
