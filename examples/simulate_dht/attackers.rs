//! Nodes that do harm: they answer searches with one another, and never tell of a peer.

use crate::model::{Finished, ModelNode};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use unchoke_bencode::Tape;
use unchoke_core::{Path, Rng};
use unchoke_dht::Id;
use unchoke_dht::krpc::{Body, Message, Method, Query, Reply};
use unchoke_sim::{DatagramHost, Host, Net};

/// All colluders that are up and can be reached.
pub(crate) type Ring = Rc<RefCell<BTreeMap<Id, SocketAddrV4>>>;

/// A colluder. It keeps itself in the tables of others as an honest node does.
#[derive(Debug)]
pub(crate) struct Colluder {
    inner: DatagramHost<ModelNode>,
    ring: Ring,
    tape: Tape,
}

/// Nodes in an answer.
const TOLD: usize = 8;
/// Bits of a prefix that are looked at, at most.
const MAX_BITS: u32 = 64;

impl Colluder {
    /// A colluder, which the others tell of if it has an address that anybody can reach.
    pub(crate) fn new(inner: ModelNode, address: Option<SocketAddr>, ring: Ring) -> Self {
        if let Some(SocketAddr::V4(address)) = address {
            ring.borrow_mut().insert(inner.id(), address);
        }
        Self { inner: DatagramHost::new(inner), ring, tape: Tape::new() }
    }

    pub(crate) const fn id(&self) -> Id {
        self.inner.protocol.id()
    }

    /// The answer to a query that colluders answer in their own way.
    fn answer(&self, transaction: &[u8], query: &Query<'_>) -> Option<Vec<u8>> {
        let (target, token): (Id, Option<&[u8]>) = match &query.method {
            Method::FindNode { target } => (*target, None),
            Method::GetPeers { info_hash: target, .. } | Method::Get { target, .. } => (*target, Some(b"promises")),
            // What they are given to store is confirmed, and dropped.
            Method::AnnouncePeer(_) | Method::Put(_) => (self.id(), None),
            _ => return None,
        };
        let mut nodes = Vec::with_capacity(TOLD * 26);
        for (id, at) in nearest(&self.ring.borrow(), target) {
            nodes.extend_from_slice(id.as_bytes());
            nodes.extend_from_slice(&at.ip().octets());
            nodes.extend_from_slice(&at.port().to_be_bytes());
        }
        let mut reply = Reply::new(self.id());
        reply.nodes = Some(&nodes);
        reply.token = token;
        let mut bytes = Vec::with_capacity(512);
        Message::new(transaction, Body::Reply(reply)).write(&mut bytes);
        Some(bytes)
    }
}

impl Drop for Colluder {
    fn drop(&mut self) {
        self.ring.borrow_mut().remove(&self.id());
    }
}

/// The members nearest to a point, the nearest first.
fn nearest(ring: &BTreeMap<Id, SocketAddrV4>, target: Id) -> Vec<(Id, SocketAddrV4)> {
    let mut found: Vec<(Id, SocketAddrV4)> = Vec::new();
    // All that share a prefix with the target are nearer than all that do not.
    let guess = (ring.len() / TOLD).max(1).ilog2().saturating_add(2);
    for bits in (0..=guess.min(MAX_BITS)).rev() {
        let (low, high) = span(target, bits);
        found = ring.range(low..=high).map(|(id, at)| (*id, *at)).collect();
        if found.len() >= TOLD {
            break;
        }
    }
    found.sort_unstable_by_key(|(id, _)| id.distance(target));
    found.truncate(TOLD);
    found
}

/// The first and the last id that have so many bits in common with another.
fn span(target: Id, bits: u32) -> (Id, Id) {
    let (mut low, mut high) = (*target.as_bytes(), *target.as_bytes());
    for (number, (low, high)) in (0_u32..).zip(low.iter_mut().zip(high.iter_mut())) {
        let free = match bits.saturating_sub(number.saturating_mul(8)) {
            8.. => 0,
            bits => 0xff_u8 >> bits,
        };
        *low &= !free;
        *high |= free;
    }
    (Id::new(low), Id::new(high))
}

/// An id so near to a key that no honest one is nearer.
pub(crate) fn id_beside(key: Id, rng: &mut Rng) -> Id {
    let common = 24 + rng.below(16);
    key.random_beside(common, rng)
}

impl Host for Colluder {
    type Event = Finished;

    fn handle_start(&mut self, net: &mut Net<'_>) {
        self.inner.handle_start(net);
    }

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        let mut tape = std::mem::take(&mut self.tape);
        let answer = match Message::read(datagram, &mut tape) {
            Ok(Message { transaction, body: Body::Query(query), .. }) => self.answer(transaction, &query),
            _ => None,
        };
        self.tape = tape;
        match answer {
            Some(bytes) => net.send(path.remote, &bytes),
            None => self.inner.handle_datagram(net, path, datagram),
        }
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        self.inner.handle_timeout(net);
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        self.inner.drive(net);
    }

    fn poll_timeout(&self) -> Option<std::time::Instant> {
        self.inner.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    #[test]
    fn colluders_tell_of_those_nearest_to_the_target() {
        let mut rng = Seed::new([9; 32]).rng();
        let at = SocketAddrV4::new([20, 0, 0, 1].into(), 1);
        let ring: BTreeMap<Id, SocketAddrV4> = (0..300).map(|_| (Id::random(&mut rng), at)).collect();
        for _ in 0..50 {
            let target = Id::random(&mut rng);
            let mut all: Vec<Id> = ring.keys().copied().collect();
            all.sort_unstable_by_key(|id| id.distance(target));
            let told: Vec<Id> = nearest(&ring, target).into_iter().map(|(id, _)| id).collect();
            assert_eq!(told, all[..TOLD]);
        }
    }
}
