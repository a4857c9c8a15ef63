//! The sockets of an endpoint: as a rule one for IPv4, and one for IPv6 where the system has that.

use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use tokio::net::UdpSocket;
use unchoke_core::{Path, Transmit};

/// What the system is asked to keep of what has come and was not read yet: many nodes answer at once.
const RECEIVE_BUFFER: usize = 1 << 20;
/// A socket that gives so many errors in a row, and nothing else, will give nothing any more.
const MAX_ERRORS: u32 = 64;

/// Sockets of any addresses.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    all: Vec<Place>,
    /// Which one is read first.
    turn: usize,
}

/// An address and its socket.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    /// `None` if it has died, as when a system takes sockets away from programs that sleep.
    socket: Option<UdpSocket>,
    errors: u32,
}

impl Place {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address)?;
        Ok(Self { address: socket.local_addr()?, socket: Some(socket), errors: 0 })
    }

    /// Counts what a socket said. Returns whether it still lives.
    fn handle(&mut self, is_error: bool) -> bool {
        self.errors = if is_error { self.errors.saturating_add(1) } else { 0 };
        if self.errors >= MAX_ERRORS {
            self.socket = None;
        }
        self.socket.is_some()
    }
}

impl Sockets {
    /// Binds these addresses. For a family that is not named there is no socket.
    ///
    /// # Errors
    /// The first address that cannot be bound, and why.
    #[cfg(feature = "dht")]
    pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let all = addresses.iter().map(|address| Place::bind(*address).map_err(|error| (*address, error)));
        Ok(Self { all: all.collect::<Result<_, _>>()?, turn: 0 })
    }

    /// Sockets of a client that accepts connections at `listen`: of the same address and, if nobody else has it, the same port. The
    /// other family has any address, and the same port if that is free.
    ///
    /// # Errors
    /// If neither family has a socket.
    pub(crate) fn beside(listen: Option<SocketAddr>) -> io::Result<Self> {
        let port = listen.map_or(0, |listen| listen.port());
        let any = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))];
        let [v4, v6] = any.map(|any| {
            let address = listen.filter(|listen| listen.is_ipv4() == any.is_ipv4()).unwrap_or(any);
            Place::bind(address).or_else(|_| Place::bind(SocketAddr::new(address.ip(), 0)))
        });
        match (v4, v6) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok(Self { all: v4.into_iter().chain(v6).collect(), turn: 0 }),
        }
    }

    /// The addresses that they have.
    #[cfg(feature = "dht")]
    pub(crate) fn locals(&self) -> Vec<SocketAddr> {
        self.all.iter().map(|place| place.address).collect()
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) {
        poll_fn(|context: &mut Context<'_>| {
            let mut ready = Poll::Pending;
            for socket in self.all.iter().filter_map(|place| place.socket.as_ref()) {
                // An error is seen when it is read, too.
                if socket.poll_recv_ready(context).is_ready() {
                    ready = Poll::Ready(());
                }
            }
            ready
        })
        .await;
    }

    /// Waits until there may be room for this datagram; forever if there is none to send.
    pub(crate) async fn writable(&self, blocked: Option<Transmit>) {
        match blocked.and_then(|transmit| self.of(transmit)?.socket.as_ref()) {
            Some(socket) => drop(socket.writable().await),
            None => std::future::pending().await,
        }
    }

    /// Sends a datagram if there is room.
    pub(crate) fn send(&self, datagram: &[u8], transmit: Transmit) -> io::Result<()> {
        let socket =
            self.of(transmit).and_then(|place| place.socket.as_ref()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.try_send_to(datagram, transmit.destination).map(drop)
    }

    /// The next datagram that has come. The sockets have their turns, so that a flood over one does not silence the others.
    pub(crate) fn receive(&mut self, buf: &mut [u8]) -> Option<(usize, Path)> {
        let count = self.all.len();
        self.turn = self.turn.saturating_add(1).checked_rem(count)?;
        let (before, from_turn) = self.all.split_at_mut(self.turn);
        for place in from_turn.iter_mut().chain(before) {
            let Some(socket) = &place.socket else { continue };
            match socket.try_recv_from(buf) {
                Ok((length, from)) => {
                    place.handle(false);
                    let mut path = Path::from_remote(from);
                    path.local = Some(place.address);
                    return Some((length, path));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    place.handle(false);
                }
                // On some systems this tells that an earlier datagram did not arrive. The next call says what has come since.
                Err(_) => {
                    place.handle(true);
                }
            }
        }
        None
    }

    /// Binds again what has died. What cannot be bound now may be the next time.
    #[cfg(feature = "dht")]
    pub(crate) fn revive(&mut self) {
        for place in self.all.iter_mut().filter(|place| place.socket.is_none()) {
            (place.socket, place.errors) = (bind(place.address).ok(), 0);
        }
    }

    fn of(&self, transmit: Transmit) -> Option<&Place> {
        let is_it = |place: &&Place| match transmit.source {
            Some(source) => place.address == source,
            None => place.address.is_ipv4() == transmit.destination.is_ipv4(),
        };
        self.all.iter().find(is_it)
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Or it would take the port of the IPv4 socket, too.
        socket.set_only_v6(true)?;
    }
    // The system may give less, with which it works as well.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(all(test, feature = "dht"))]
mod tests {
    use super::*;

    fn local(number: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 6, number], 0))
    }

    #[tokio::test]
    async fn a_socket_that_has_died_comes_back_at_its_address() {
        let mut sockets = Sockets::bind(&[local(1), local(2)]).unwrap();
        let locals = sockets.locals();
        let transmit = |number: usize| Transmit::new(locals[1 - number], 5).with_source(locals[number]);
        assert!((0..MAX_ERRORS).map(|_| sockets.all[0].handle(true)).filter(|lives| !lives).count() == 1);
        assert!(sockets.send(b"hello", transmit(0)).is_err());
        sockets.revive();
        assert_eq!(sockets.locals(), locals);
        let mut buf = [0; 9];
        for number in [0, 1] {
            sockets.writable(Some(transmit(number))).await;
            sockets.send(b"hello", transmit(number)).unwrap();
            let (length, path) = loop {
                sockets.readable().await;
                if let Some(received) = sockets.receive(&mut buf) {
                    break received;
                }
            };
            assert_eq!((length, path.local, path.remote), (5, Some(locals[1 - number]), locals[number]));
        }
    }

    #[tokio::test]
    async fn errors_between_datagrams_are_no_death() {
        let mut sockets = Sockets::bind(&[local(3)]).unwrap();
        for _ in 0..3 * MAX_ERRORS {
            assert!(sockets.all[0].handle(true) && sockets.all[0].handle(false));
        }
    }
}
