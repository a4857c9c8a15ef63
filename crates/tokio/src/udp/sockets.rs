//! The sockets of an endpoint: one for IPv4, and one for IPv6 where the system has that.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;

/// What the system is asked to keep of what has come and was not read yet: many nodes answer at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Sockets for both families.
#[derive(Debug)]
pub(crate) struct Sockets {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    turn: Turn,
}

/// Which socket is read first.
#[derive(Clone, Copy, Debug)]
enum Turn {
    V4,
    V6,
}

impl Turn {
    fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl Sockets {
    /// Binds these addresses, of which there may be one for each family. For a family that is not named there is no socket.
    ///
    /// # Errors
    /// The first address that cannot be bound, and why.
    #[cfg(feature = "dht")]
    pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let mut sockets = Self { v4: None, v6: None, turn: Turn::V4 };
        for address in addresses {
            let place = if address.is_ipv4() { &mut sockets.v4 } else { &mut sockets.v6 };
            *place = Some(bind(*address).map_err(|error| (*address, error))?);
        }
        Ok(sockets)
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
            bind(address).or_else(|_| bind(SocketAddr::new(address.ip(), 0)))
        });
        match (v4, v6) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok(Self { v4: v4.ok(), v6: v6.ok(), turn: Turn::V4 }),
        }
    }

    /// The addresses that they have.
    #[cfg(feature = "dht")]
    pub(crate) fn locals(&self) -> Vec<SocketAddr> {
        [&self.v4, &self.v6].into_iter().flatten().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) {
        async fn one(socket: Option<&UdpSocket>) {
            match socket {
                // An error is seen when it is read, too.
                Some(socket) => drop(socket.readable().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(self.v4.as_ref()) => {}
            () = one(self.v6.as_ref()) => {}
        }
    }

    /// Waits until there may be room for a datagram to this address; forever if there is none to send.
    pub(crate) async fn writable(&self, to: Option<SocketAddr>) {
        match to.and_then(|to| self.of(to)) {
            Some(socket) => drop(socket.writable().await),
            None => std::future::pending().await,
        }
    }

    /// Sends a datagram if there is room.
    pub(crate) fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = self.of(to).ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.try_send_to(datagram, to).map(drop)
    }

    /// The next datagram that has come. The families have their turns, so that a flood over one does not silence the other.
    pub(crate) fn receive(&mut self, buf: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.turn = self.turn.other();
        let order = match self.turn {
            Turn::V4 => [&self.v4, &self.v6],
            Turn::V6 => [&self.v6, &self.v4],
        };
        for socket in order.into_iter().flatten() {
            match socket.try_recv_from(buf) {
                Ok(received) => return Some(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // On some systems this tells that an earlier datagram did not arrive. The next call says what has come since.
                Err(_) => {}
            }
        }
        None
    }

    fn of(&self, to: SocketAddr) -> Option<&UdpSocket> {
        if to.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
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
