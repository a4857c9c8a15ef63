//! A host of a run: our node, a modelled one, or a hostile one.

use crate::attackers::Colluder;
use crate::model::{Finished, ModelNode};
use crate::search::Lookup;
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::Path;
use unchoke_dht::{Announcement, DhtEvent, Id, Item, Node, OpId};
use unchoke_sim::{DatagramHost, Host, Net};

/// A host. The world keeps each in memory of its own.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one box fewer on the way to a node, whose memory is in no cache as a rule"
)]
pub(crate) enum Machine {
    Ours(Ours),
    Model(Box<DatagramHost<ModelNode>>),
    Hostile(Box<Colluder>),
}

/// Our node, and which of its operations are measured.
#[derive(Debug)]
pub(crate) struct Ours {
    host: DatagramHost<Node>,
    tickets: Vec<(OpId, u32)>,
}

impl Ours {
    pub(crate) const fn new(node: Node) -> Self {
        Self { host: DatagramHost::new(node), tickets: Vec::new() }
    }
}

impl Machine {
    /// The id under which it is known.
    pub(crate) fn id(&self, address: SocketAddr) -> Id {
        match self {
            Self::Ours(ours) => ours.host.protocol.id(address),
            Self::Model(model) => model.protocol.id(),
            Self::Hostile(colluder) => colluder.id(),
        }
    }

    /// Nodes that it knows.
    pub(crate) fn known(&self) -> usize {
        match self {
            Self::Ours(ours) => ours.host.protocol.health().nodes_v4,
            Self::Model(model) => model.protocol.known(),
            Self::Hostile(_) => 0,
        }
    }

    pub(crate) const fn is_hostile(&self) -> bool {
        matches!(self, Self::Hostile(_))
    }

    /// Looks up peers. With a port it announces one; with a ticket it tells of the outcome.
    pub(crate) fn get_peers(&mut self, now: Instant, torrent: Id, announce: Option<u16>, ticket: Option<u32>) {
        match self {
            Self::Ours(ours) => {
                let op = ours.host.protocol.get_peers(now, torrent, announce.map(|_| Announcement::implied_port()));
                ours.tickets.extend(ticket.map(|ticket| (op, ticket)));
            }
            Self::Model(model) => model.protocol.get_peers(now, torrent, announce, ticket),
            Self::Hostile(_) => {}
        }
    }

    /// Stores an immutable item, bencoded.
    pub(crate) fn put(&mut self, now: Instant, value: &[u8]) {
        match self {
            Self::Ours(ours) => {
                if let Ok(item) = Item::immutable(value) {
                    ours.host.protocol.put(now, item, None);
                }
            }
            Self::Model(model) => model.protocol.put(now, value),
            Self::Hostile(_) => {}
        }
    }
}

impl Host for Machine {
    type Event = Finished;

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        match self {
            Self::Ours(ours) => ours.host.handle_datagram(net, path, datagram),
            Self::Model(model) => model.handle_datagram(net, path, datagram),
            Self::Hostile(colluder) => colluder.handle_datagram(net, path, datagram),
        }
    }

    fn handle_unreachable(&mut self, net: &mut Net<'_>, to: SocketAddr) {
        match self {
            Self::Ours(ours) => ours.host.handle_unreachable(net, to),
            Self::Model(model) => model.handle_unreachable(net, to),
            Self::Hostile(colluder) => colluder.handle_unreachable(net, to),
        }
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Ours(ours) => ours.host.handle_timeout(net),
            Self::Model(model) => model.handle_timeout(net),
            Self::Hostile(colluder) => colluder.handle_timeout(net),
        }
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Ours(ours) => ours.host.drive(net),
            Self::Model(model) => model.drive(net),
            Self::Hostile(colluder) => colluder.drive(net),
        }
    }

    fn poll_event(&mut self) -> Option<Finished> {
        match self {
            Self::Ours(ours) => loop {
                let DhtEvent::Done { op, stats, .. } = ours.host.poll_event()? else { continue };
                let Some(place) = ours.tickets.iter().position(|(known, _)| *known == op) else { continue };
                let (_, ticket) = ours.tickets.swap_remove(place);
                let lookup = Lookup {
                    first: stats.first,
                    took: stats.took,
                    queries: stats.sent,
                    hops: stats.hops,
                    widened: stats.widened,
                    closest: stats.closest.iter().take(8).map(|(id, _)| *id).collect(),
                };
                return Some(Finished { ticket, lookup });
            },
            Self::Model(model) => model.poll_event(),
            Self::Hostile(_) => None,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Ours(ours) => ours.host.poll_timeout(),
            Self::Model(model) => model.poll_timeout(),
            Self::Hostile(colluder) => colluder.poll_timeout(),
        }
    }
}
