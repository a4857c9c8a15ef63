//! What peers tell one another of their nodes of the DHT ([BEP 5]). Nothing, if the torrent is private ([BEP 27]).
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 27]: https://www.bittorrent.org/beps/bep_0027.html

use super::Torrent;
use crate::event::Event;
use crate::ids::PeerKey;
use crate::shared::Shared;
use std::net::SocketAddr;
use unchoke_wire::Message;

impl Torrent {
    /// The port of our node of the DHT, if a peer of this torrent may know of it.
    pub(super) fn dht_port(&self, shared: &Shared, address: SocketAddr) -> Option<u16> {
        shared.config.dht_ports.towards(address).filter(|_| !self.private)
    }

    /// A peer says where its node of the DHT is.
    pub(super) fn handle_port(&mut self, shared: &mut Shared, key: PeerKey, port: u16) {
        let Some(address) = self.peers.get(&key).map(|peer| peer.address) else { return };
        let is_wanted = port != 0 && self.dht_port(shared, address).is_some();
        if let Some(peer) = self.peers.get_mut(&key).filter(|peer| is_wanted && !peer.has_told_dht) {
            peer.has_told_dht = true;
            let address = SocketAddr::new(address.ip(), port);
            shared.events.push_back(Event::DhtNode { torrent: self.key, peer: key, address });
        }
    }

    /// Tells a peer that has a node as well where ours is.
    pub(super) fn tell_port(&mut self, shared: &Shared, key: PeerKey) {
        let port = self.peers.get(&key).and_then(|peer| self.dht_port(shared, peer.address));
        if let (Some(port), Some(peer)) = (port, self.peers.get_mut(&key))
            && peer.connection.supports_dht()
        {
            peer.connection.send(Message::Port(port));
        }
    }
}
