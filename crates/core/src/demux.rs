//! Several datagram protocols behind one socket.
//!
//! The protocols differ in their events, so they are seen here without them, as [`DatagramPart`]s. Their owner keeps them, asks each for
//! its own events, and lends them to a [`Demux`] for everything that has to do with the socket and the clock.

use crate::protocol::{DatagramProtocol, Handled, Path, Transmit};
use std::net::SocketAddr;
use std::time::Instant;

/// A [`DatagramProtocol`] without its events. Every one is such a part; there is nothing to implement.
pub trait DatagramPart: Send {
    /// As [`DatagramProtocol::handle_input`].
    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled;
    /// As [`DatagramProtocol::handle_unreachable`].
    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr);
    /// As [`DatagramProtocol::handle_network_change`].
    fn handle_network_change(&mut self, now: Instant);
    /// As [`DatagramProtocol::handle_timeout`].
    fn handle_timeout(&mut self, now: Instant);
    /// As [`DatagramProtocol::poll_transmit`].
    #[must_use]
    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit>;
    /// As [`DatagramProtocol::poll_timeout`].
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}

impl<P: DatagramProtocol + ?Sized> DatagramPart for P {
    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled {
        DatagramProtocol::handle_input(self, now, path, datagram)
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        DatagramProtocol::handle_unreachable(self, now, to);
    }

    fn handle_network_change(&mut self, now: Instant) {
        DatagramProtocol::handle_network_change(self, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        DatagramProtocol::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        DatagramProtocol::poll_transmit(self, now, buf)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        DatagramProtocol::poll_timeout(self)
    }
}

/// Shares one socket among protocols.
///
/// It keeps nothing but whose turn it is to send. The parts may be others from one call to the next, as when a tracker has answered and is no
/// longer needed.
#[derive(Clone, Default, Debug)]
pub struct Demux {
    turn: usize,
}

impl Demux {
    /// A socket on which it is the first part's turn to send.
    #[must_use]
    pub const fn new() -> Self {
        Self { turn: 0 }
    }

    /// Hands a datagram to the first part that does not say it is another's. [`Handled::NotMine`] if all say so.
    pub fn handle_input(
        &self,
        parts: &mut [&mut dyn DatagramPart],
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Handled {
        let mut handled = parts.iter_mut().map(|part| part.handle_input(now, path, datagram));
        handled.find(|handled| *handled != Handled::NotMine).unwrap_or(Handled::NotMine)
    }

    /// Tells every part that an address cannot be reached.
    pub fn handle_unreachable(&self, parts: &mut [&mut dyn DatagramPart], now: Instant, to: SocketAddr) {
        parts.iter_mut().for_each(|part| part.handle_unreachable(now, to));
    }

    /// Tells every part that the machine has other addresses than before.
    pub fn handle_network_change(&self, parts: &mut [&mut dyn DatagramPart], now: Instant) {
        parts.iter_mut().for_each(|part| part.handle_network_change(now));
    }

    /// Tells the parts whose time has come.
    pub fn handle_timeout(&self, parts: &mut [&mut dyn DatagramPart], now: Instant) {
        for part in parts {
            if part.poll_timeout().is_some_and(|at| at <= now) {
                part.handle_timeout(now);
            }
        }
    }

    /// The next datagram to send, appended to `buf`. The parts take turns, so that one that has much to send does not keep the others
    /// waiting.
    #[must_use]
    pub fn poll_transmit(
        &mut self,
        parts: &mut [&mut dyn DatagramPart],
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let count = parts.len();
        let turn = self.turn.checked_rem(count)?;
        let (before, from_turn) = parts.split_at_mut(turn);
        for (skipped, part) in from_turn.iter_mut().chain(before).enumerate() {
            if let Some(transmit) = part.poll_transmit(now, buf) {
                self.turn = turn.saturating_add(skipped).saturating_add(1);
                return Some(transmit);
            }
        }
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the earliest time that a part names.
    #[must_use]
    pub fn poll_timeout(&self, parts: &[&mut dyn DatagramPart]) -> Option<Instant> {
        parts.iter().filter_map(|part| part.poll_timeout()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Takes what begins with its letter, and has numbered datagrams to send.
    struct Toy<E> {
        letter: u8,
        left: u8,
        due: Option<Instant>,
        unreachable: usize,
        timeouts: usize,
        event: Option<E>,
    }

    impl<E: Default + Send> Toy<E> {
        fn new(letter: u8, left: u8) -> Self {
            Self { letter, left, due: None, unreachable: 0, timeouts: 0, event: None }
        }
    }

    impl<E: Default + Send> DatagramProtocol for Toy<E> {
        type Event = E;

        fn handle_input(&mut self, _: Instant, _: Path, datagram: &[u8]) -> Handled {
            match datagram {
                [first] if *first == self.letter => Handled::Refused,
                [first, ..] if *first == self.letter => {
                    self.event = Some(E::default());
                    Handled::Taken
                }
                _ => Handled::NotMine,
            }
        }

        fn handle_unreachable(&mut self, _: Instant, _: SocketAddr) {
            self.unreachable += 1;
        }

        fn handle_network_change(&mut self, now: Instant) {
            self.due = Some(now);
        }

        fn handle_timeout(&mut self, _: Instant) {
            self.timeouts += 1;
            self.due = None;
        }

        fn poll_transmit(&mut self, _: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
            self.left = self.left.checked_sub(1)?;
            buf.push(self.letter);
            Some(Transmit::new(remote(), 1))
        }

        fn poll_event(&mut self) -> Option<E> {
            self.event.take()
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.due
        }
    }

    fn remote() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 6881))
    }

    #[test]
    fn a_datagram_goes_to_the_first_that_does_not_disown_it() {
        let (now, path) = (Instant::now(), Path::from_remote(remote()));
        let (mut a, mut b, mut late) = (Toy::<u8>::new(b'a', 0), Toy::<String>::new(b'b', 0), Toy::<u8>::new(b'b', 0));
        let demux = Demux::new();
        let mut give = |datagram: &[u8]| demux.handle_input(&mut [&mut a, &mut b, &mut late], now, path, datagram);
        assert_eq!(give(b"b1"), Handled::Taken);
        assert_eq!(give(b"b"), Handled::Refused);
        assert_eq!(give(b"c1"), Handled::NotMine);
        assert_eq!((a.poll_event(), b.poll_event(), late.poll_event()), (None, Some(String::new()), None));
        assert_eq!(demux.handle_input(&mut [], now, path, b"a1"), Handled::NotMine);
    }

    #[test]
    fn the_parts_take_turns_to_send() {
        let (mut a, mut b, mut c) = (Toy::<u8>::new(b'a', 4), Toy::<String>::new(b'b', 2), Toy::<()>::new(b'c', 1));
        let (mut demux, mut sent) = (Demux::new(), Vec::new());
        while demux.poll_transmit(&mut [&mut a, &mut b, &mut c], Instant::now(), &mut sent).is_some() {}
        assert_eq!(sent, b"abcabaa");
        // A part that is gone does not take the turns of the others with it.
        (a.left, b.left) = (1, 1);
        while demux.poll_transmit(&mut [&mut a, &mut b], Instant::now(), &mut sent).is_some() {}
        assert_eq!(sent.len(), 9);
        assert_eq!(demux.poll_transmit(&mut [], Instant::now(), &mut sent), None);
    }

    #[test]
    fn the_earliest_deadline_counts_and_only_those_who_are_due_are_called() {
        let now = Instant::now();
        let (mut a, mut b) = (Toy::<u8>::new(b'a', 0), Toy::<String>::new(b'b', 0));
        (a.due, b.due) = (Some(now + Duration::from_secs(2)), Some(now + Duration::from_secs(1)));
        let demux = Demux::new();
        assert_eq!(demux.poll_timeout(&[&mut a, &mut b]), Some(now + Duration::from_secs(1)));
        demux.handle_timeout(&mut [&mut a, &mut b], now + Duration::from_secs(1));
        assert_eq!((a.timeouts, b.timeouts), (0, 1));
        demux.handle_unreachable(&mut [&mut a, &mut b], now, remote());
        demux.handle_network_change(&mut [&mut a, &mut b], now);
        assert_eq!((a.unreachable, b.unreachable), (1, 1));
        assert_eq!((a.due, b.due), (Some(now), Some(now)));
    }
}
