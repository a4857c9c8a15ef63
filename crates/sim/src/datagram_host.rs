//! Runs any protocol over datagrams.

use crate::host::Host;
use crate::network::Net;
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::{DatagramProtocol, Path};

/// A host that runs one [`DatagramProtocol`] on all of its addresses. The events are those of the protocol. What it sends leaves from
/// the address that the protocol names, or, if it names none, from the first one of the destination's family.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatagramHost<P> {
    /// The protocol. What is done to it inside [`World::with`](crate::World::with) is followed by what it has to send.
    pub protocol: P,
}

impl<P: DatagramProtocol> DatagramHost<P> {
    /// A host that runs this.
    #[must_use]
    pub const fn new(protocol: P) -> Self {
        Self { protocol }
    }
}

impl<P: DatagramProtocol> Host for DatagramHost<P> {
    type Event = P::Event;

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        // Malformed input is counted by the protocol; what is not its own has no other taker here.
        let _ = self.protocol.handle_input(net.now(), path, datagram);
    }

    fn handle_unreachable(&mut self, net: &mut Net<'_>, to: SocketAddr) {
        self.protocol.handle_unreachable(net.now(), to);
    }

    fn handle_network_change(&mut self, net: &mut Net<'_>) {
        self.protocol.handle_network_change(net.now());
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        self.protocol.handle_timeout(net.now());
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        let now = net.now();
        let mut buffer = net.take_scratch();
        while let Some(transmit) = self.protocol.poll_transmit(now, &mut buffer) {
            let begin = buffer.len().saturating_sub(transmit.size);
            match transmit.source {
                Some(source) => net.send_from(source, transmit.destination, &buffer[begin..]),
                None => net.send(transmit.destination, &buffer[begin..]),
            }
            buffer.clear();
        }
        net.put_scratch(buffer);
    }

    fn poll_event(&mut self) -> Option<P::Event> {
        self.protocol.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.protocol.poll_timeout()
    }
}
