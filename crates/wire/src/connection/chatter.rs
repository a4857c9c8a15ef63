//! Messages that cost work and bring nothing: a peer may send some, and not as many as it likes.

use crate::message::Message;
use std::time::Instant;

/// Such messages that a peer may send at once.
const BURST: u32 = 2000;
/// Such messages that a peer may send in a second, in the long run.
const PER_SECOND: u32 = 50;

/// The account of such messages.
#[derive(Debug)]
pub(super) struct Chatter {
    left: u32,
    filled: Instant,
    /// `have` messages, of which there is an honest reason for one a piece.
    haves: u32,
}

impl Chatter {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, filled: now, haves: 0 }
    }

    /// Takes note of a message. Returns whether that was one too many.
    pub(super) fn handle_message(&mut self, now: Instant, message: &Message, pieces: Option<u32>) -> bool {
        match message {
            // What is asked for and answered has limits of its own.
            Message::Piece { .. } | Message::Request(_) | Message::Cancel(_) | Message::RejectRequest(_) => {
                return false;
            }
            Message::Extended { id, .. } if *id != 0 => return false,
            Message::Have(_) => {
                self.haves = self.haves.saturating_add(1);
                // Before the number of pieces is known there is no telling.
                if pieces.is_none_or(|pieces| self.haves <= pieces) {
                    return false;
                }
            }
            _ => {}
        }
        self.refill(now);
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return true,
        }
        false
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let gained = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND);
            self.left = self.left.saturating_add(gained).min(BURST);
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unchoke_core::PieceIndex;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn a_flood_is_noticed_and_steady_talk_is_not() {
        let begin = Instant::now();
        let mut steady = Chatter::new(begin);
        for second in 0..10_000 {
            let now = begin + Duration::from_secs(second);
            assert!((0..PER_SECOND).all(|_| !steady.handle_message(now, &Message::KeepAlive, Some(10))), "{second}");
        }
        let mut flood = Chatter::new(begin);
        let sent = (0..100_000).take_while(|_| !flood.handle_message(begin, &Message::Choke, Some(10))).count();
        assert_eq!(sent, BURST as usize);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn every_piece_may_be_told_of() {
        let begin = Instant::now();
        let mut chatter = Chatter::new(begin);
        let have = |number| Message::Have(PieceIndex(number));
        assert!((0..100_000).all(|number| !chatter.handle_message(begin, &have(number), Some(100_000))));
        let more = (0..100_000).take_while(|number| !chatter.handle_message(begin, &have(*number), Some(100_000)));
        assert_eq!(more.count(), BURST as usize);
    }
}
