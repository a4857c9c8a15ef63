//! A network in which one node is real.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::{DatagramProtocol as _, Path, Rng, Seed};
use unchoke_dht::krpc::{Body, Message, Method, Query, Reply};
use unchoke_dht::{Id, Node};

/// All nodes of a network but one, which answer as nodes do that know everybody.
pub(crate) struct Others {
    /// Sorted.
    pub(crate) nodes: Vec<(Id, SocketAddr)>,
    /// Of these, those that tell of one another only.
    pub(crate) hostile: BTreeMap<Id, SocketAddr>,
    rng: Rng,
}

impl Others {
    /// So many, of which the last ones are hostile.
    pub(crate) fn new(count: u32, hostile: u32) -> Self {
        let mut rng = Seed::new([1; 32]).rng();
        let mut nodes: Vec<(Id, SocketAddr)> = (0..count)
            .map(|number| {
                let [_, a, b, c] = number.to_be_bytes();
                (Id::random(&mut rng), SocketAddr::from(([20 + a, b, c, 1], 6881)))
            })
            .collect();
        let hostile = nodes.iter().rev().take(hostile as usize).copied().collect();
        nodes.sort_unstable();
        Self { nodes, hostile, rng }
    }

    /// Eight nodes near a point.
    fn near(&self, target: Id, is_hostile: bool) -> Vec<u8> {
        let hostile: Vec<(Id, SocketAddr)> = self.hostile.iter().map(|(id, address)| (*id, *address)).collect();
        let nodes = if is_hostile { &hostile } else { &self.nodes };
        let at = nodes.partition_point(|(id, _)| *id < target);
        let mut near: Vec<_> = nodes.iter().skip(at.saturating_sub(32)).take(64).collect();
        near.sort_unstable_by_key(|(id, _)| id.distance(target));
        near.iter().take(8).fold(Vec::new(), |mut all, (id, address)| {
            let SocketAddr::V4(address) = address else { return all };
            all.extend_from_slice(id.as_bytes());
            all.extend_from_slice(&address.ip().octets());
            all.extend_from_slice(&address.port().to_be_bytes());
            all
        })
    }

    /// The answer to a query of the node that is tested.
    fn answer(&self, to: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut tape = Tape::new();
        let message = Message::read(datagram, &mut tape).unwrap();
        let Body::Query(query) = &message.body else { return None };
        let (id, _) = self.nodes.iter().find(|(_, address)| *address == to)?;
        let nodes = match &query.method {
            Method::FindNode { target } => Some(self.near(*target, self.hostile.contains_key(id))),
            _ => None,
        };
        let mut reply = Reply::new(*id);
        reply.nodes = nodes.as_deref();
        let mut bytes = Vec::new();
        Message::new(message.transaction, Body::Reply(reply)).write(&mut bytes);
        Some(bytes)
    }

    /// Runs the node among the others, some of which ask it something each second.
    pub(crate) fn run(
        &mut self,
        node: &mut Node,
        mut now: Instant,
        time: Duration,
        queries_a_second: usize,
    ) -> Instant {
        let end = now + time;
        let mut buffer = Vec::new();
        while now < end {
            for _ in 0..queries_a_second {
                let (id, from) = *self.rng.choose(&self.nodes).unwrap();
                let method = Method::FindNode { target: Id::random(&mut self.rng) };
                let mut query = Vec::new();
                Message::new(b"aa", Body::Query(Query::new(id, method))).write(&mut query);
                node.handle_input(now, Path::from_remote(from), &query);
            }
            for _ in 0..10 {
                now += Duration::from_millis(100);
                if node.poll_timeout().is_some_and(|at| at <= now) {
                    node.handle_timeout(now);
                }
                let mut answers = Vec::new();
                while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
                    answers.extend(self.answer(transmit.destination, &buffer).map(|it| (transmit.destination, it)));
                    buffer.clear();
                }
                for (from, answer) in answers {
                    node.handle_input(now + Duration::from_millis(50), Path::from_remote(from), &answer);
                }
                while node.poll_event().is_some() {}
            }
        }
        now
    }
}
