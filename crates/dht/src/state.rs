//! What a node keeps over a restart: its ids, and the nodes that it knew.

use crate::endpoint::{Endpoint, V4, V6, nodes};
use crate::families::Tables;
use crate::id::Id;
use std::net::SocketAddr;
use unchoke_bencode::{DecodeLimits, decode, encode};

/// Why saved bytes are no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// They are no bencode.
    #[error(transparent)]
    Bencode(#[from] unchoke_bencode::Error),
    /// Something is not there, or makes no sense.
    #[error("state has no valid {0}")]
    Wrong(&'static str),
}

/// A node's ids and the addresses of others.
///
/// Nobody can tell who has changed a file, so the nodes are only asked again, as if somebody had told of them; none is believed to be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) id: Id,
    pub(crate) id6: Id,
    pub(crate) nodes: Vec<SocketAddr>,
}

/// Nodes of each family that are kept.
const MAX_NODES: usize = 200;

impl State {
    /// The state as bytes: a dictionary in bencode.
    pub(crate) fn write(tables: &Tables) -> Vec<u8> {
        fn list<'t, E: Endpoint + 't>(nodes: impl Iterator<Item = &'t crate::table::Node<E>>) -> Vec<u8> {
            let bytes = nodes.take(MAX_NODES).flat_map(|it| it.id.as_bytes().iter().chain(it.endpoint.as_bytes()));
            bytes.copied().collect()
        }
        encode(|v| {
            v.dict(|state| {
                state.bytes("id", tables.v4.own().as_bytes());
                state.bytes("id6", tables.v6.own().as_bytes());
                state.bytes("nodes", list(tables.v4.verified()));
                state.bytes("nodes6", list(tables.v6.verified()));
            })
        })
    }

    /// Reads what [`write`](Self::write) has written.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StateError> {
        let mut limits = DecodeLimits::strict();
        limits.max_len = 64 * 1024;
        let document = decode(bytes, &limits)?;
        let field = |key: &'static str| {
            document.root().get(key.as_bytes()).and_then(|value| value.as_bytes()).ok_or(StateError::Wrong(key))
        };
        let id = |key| Id::from_slice(field(key)?).ok_or(StateError::Wrong(key));
        let v4 = nodes::<V4>(field("nodes")?).take(MAX_NODES).map(|(_, endpoint)| endpoint.address());
        let v6 = nodes::<V6>(field("nodes6")?).take(MAX_NODES).map(|(_, endpoint)| endpoint.address());
        Ok(Self { id: id("id")?, id6: id("id6")?, nodes: v4.chain(v6).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Limits, Table};
    use std::time::Instant;

    #[test]
    fn what_is_written_reads_the_same_and_other_bytes_are_refused() {
        let now = Instant::now();
        let limits = Limits { wide: true, bucket: 8, spares: 8 };
        let mut tables =
            Tables { v4: Table::new(Id::new([1; 20]), limits, now), v6: Table::new(Id::new([2; 20]), limits, now) };
        let known: [SocketAddr; 2] = ["20.1.1.1:1", "[2600::1]:2"].map(|it| it.parse().unwrap());
        for address in known {
            tables.handle_reply(now, Id::new([9; 20]), address, true);
        }
        let bytes = State::write(&tables);
        let state = State::read(&bytes).unwrap();
        assert_eq!(state, State { id: Id::new([1; 20]), id6: Id::new([2; 20]), nodes: known.to_vec() });
        for end in 0..bytes.len() {
            assert!(State::read(&bytes[..end]).is_err());
        }
        assert_eq!(State::read(b"d2:id3:abce"), Err(StateError::Wrong("nodes")));
    }
}
