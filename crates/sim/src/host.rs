//! What runs in a world.

use crate::network::Net;
use crate::stream::{StreamEvent, StreamId};
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::Path;

/// A machine in a world: it gets what the network brings and does what it likes with [`Net`].
///
/// [`DatagramHost`](crate::DatagramHost) and [`StreamHost`](crate::StreamHost) run any protocol of the two contracts of `unchoke-core`.
/// Malicious hosts are further implementations: put both into an [`Either`], or use `Box<dyn Host<Event = …>>`.
///
/// After each call the world calls [`drive`](Self::drive), takes all events, and asks for the next deadline.
pub trait Host {
    /// What the host tells the owner of the world.
    type Event;

    /// A session of the host begins.
    fn handle_start(&mut self, _net: &mut Net<'_>) {}

    /// A datagram has come; `path` holds the host's own address as it sees it.
    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]);

    /// The network says that `to` cannot be reached.
    fn handle_unreachable(&mut self, _net: &mut Net<'_>, _to: SocketAddr) {}

    /// The host has other addresses than before.
    fn handle_network_change(&mut self, _net: &mut Net<'_>) {}

    /// Something happened to a stream. Those that others open are closed unless this is implemented.
    fn handle_stream(&mut self, net: &mut Net<'_>, stream: StreamId, _event: StreamEvent) {
        net.close(stream);
    }

    /// The deadline has passed.
    fn handle_timeout(&mut self, _net: &mut Net<'_>) {}

    /// Sends what is waiting to be sent.
    fn drive(&mut self, _net: &mut Net<'_>) {}

    /// The next event.
    #[must_use]
    fn poll_event(&mut self) -> Option<Self::Event> {
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A host of one of two types.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "there are two sides")]
pub enum Either<A, B> {
    /// The first type, as a rule the one that is studied.
    Left(A),
    /// The second.
    Right(B),
}

impl<A, B> Either<A, B> {
    /// The host of the first type, if it is one.
    pub const fn left_mut(&mut self) -> Option<&mut A> {
        match self {
            Self::Left(host) => Some(host),
            Self::Right(_) => None,
        }
    }

    /// The host of the first type, if it is one.
    #[must_use]
    pub const fn left(&self) -> Option<&A> {
        match self {
            Self::Left(host) => Some(host),
            Self::Right(_) => None,
        }
    }
}

impl<A: Host, B: Host<Event = A::Event>> Host for Either<A, B> {
    type Event = A::Event;

    fn handle_start(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Left(host) => host.handle_start(net),
            Self::Right(host) => host.handle_start(net),
        }
    }

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        match self {
            Self::Left(host) => host.handle_datagram(net, path, datagram),
            Self::Right(host) => host.handle_datagram(net, path, datagram),
        }
    }

    fn handle_unreachable(&mut self, net: &mut Net<'_>, to: SocketAddr) {
        match self {
            Self::Left(host) => host.handle_unreachable(net, to),
            Self::Right(host) => host.handle_unreachable(net, to),
        }
    }

    fn handle_network_change(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Left(host) => host.handle_network_change(net),
            Self::Right(host) => host.handle_network_change(net),
        }
    }

    fn handle_stream(&mut self, net: &mut Net<'_>, stream: StreamId, event: StreamEvent) {
        match self {
            Self::Left(host) => host.handle_stream(net, stream, event),
            Self::Right(host) => host.handle_stream(net, stream, event),
        }
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Left(host) => host.handle_timeout(net),
            Self::Right(host) => host.handle_timeout(net),
        }
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Left(host) => host.drive(net),
            Self::Right(host) => host.drive(net),
        }
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        match self {
            Self::Left(host) => host.poll_event(),
            Self::Right(host) => host.poll_event(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Left(host) => host.poll_timeout(),
            Self::Right(host) => host.poll_timeout(),
        }
    }
}

impl<H: Host + ?Sized> Host for Box<H> {
    type Event = H::Event;

    fn handle_start(&mut self, net: &mut Net<'_>) {
        (**self).handle_start(net);
    }

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        (**self).handle_datagram(net, path, datagram);
    }

    fn handle_unreachable(&mut self, net: &mut Net<'_>, to: SocketAddr) {
        (**self).handle_unreachable(net, to);
    }

    fn handle_network_change(&mut self, net: &mut Net<'_>) {
        (**self).handle_network_change(net);
    }

    fn handle_stream(&mut self, net: &mut Net<'_>, stream: StreamId, event: StreamEvent) {
        (**self).handle_stream(net, stream, event);
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        (**self).handle_timeout(net);
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        (**self).drive(net);
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        (**self).poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
}
