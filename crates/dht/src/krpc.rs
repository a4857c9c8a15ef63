//! The messages of the DHT: KRPC ([BEP 5]) with the extensions of [BEP 32], [33](https://www.bittorrent.org/beps/bep_0033.html),
//! [42](https://www.bittorrent.org/beps/bep_0042.html), [43](https://www.bittorrent.org/beps/bep_0043.html),
//! [44](https://www.bittorrent.org/beps/bep_0044.html) and [51](https://www.bittorrent.org/beps/bep_0051.html).
//!
//! A [`Message`] borrows the datagram. Unknown keys are passed over, and a transaction id may have any length that fits, because it goes
//! back as it came.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 32]: https://www.bittorrent.org/beps/bep_0032.html

mod read;
mod values;
mod write;

pub use values::Values;

use crate::id::Id;
use std::net::SocketAddr;

/// A message between two nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// What the asking node marks a query with, and finds in the answer.
    pub transaction: &'a [u8],
    /// The sender's program, if it tells.
    pub version: Option<&'a [u8]>,
    /// Where the sender sees the receiver (BEP 42).
    pub external: Option<SocketAddr>,
    /// What it is about.
    pub body: Body<'a>,
}

/// What a message is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Body<'a> {
    /// Something is asked.
    Query(Query<'a>),
    /// A query is answered.
    Reply(Reply<'a>),
    /// A query is refused.
    Refusal(Refusal<'a>),
}

/// A query.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The asking node.
    pub id: Id,
    /// The asking node answers no queries, so it must not be told of to others (BEP 43).
    pub read_only: bool,
    /// Which nodes are asked for; `None` leaves it to the family that the query came by (BEP 32).
    pub want: Option<Want>,
    /// What is asked.
    pub method: Method<'a>,
}

/// The address families that nodes are asked for (BEP 32).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 32 closes the set")]
pub struct Want {
    /// Nodes with IPv4 addresses.
    pub v4: bool,
    /// Nodes with IPv6 addresses.
    pub v6: bool,
}

/// What a query asks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Method<'a> {
    /// Whether the node is there.
    Ping,
    /// The nodes nearest to a point.
    FindNode {
        /// The point.
        target: Id,
    },
    /// The peers of a torrent, and the nodes nearest to it.
    GetPeers {
        /// The torrent.
        info_hash: Id,
        /// Filters of all peers and seeds shall come with them (BEP 33).
        scrape: bool,
        /// Seeds may be left out (BEP 33).
        no_seed: bool,
    },
    /// The sender has become a peer of a torrent.
    AnnouncePeer(Announce<'a>),
    /// An item (BEP 44).
    Get {
        /// Where it is stored.
        target: Id,
        /// Only a mutable item of a higher sequence number than this is of interest.
        newer_than: Option<i64>,
    },
    /// An item shall be stored (BEP 44).
    Put(Put<'a>),
    /// A sample of the info-hashes that are stored (BEP 51), and the nodes nearest to a point.
    SampleInfohashes {
        /// The point.
        target: Id,
    },
    /// A method that is not known here. If it has a target, it is answered like `find_node`.
    Unknown {
        /// The method.
        name: &'a [u8],
        /// Its `target` or `info_hash`.
        target: Option<Id>,
    },
}

/// `announce_peer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Announce<'a> {
    /// The torrent.
    pub info_hash: Id,
    /// The port that the peer listens on.
    pub port: u16,
    /// The port that the query came from is meant instead.
    pub implied_port: bool,
    /// The peer has all of the torrent (BEP 33).
    pub seed: bool,
    /// What a reply to `get_peers` brought.
    pub token: &'a [u8],
}

/// `put` (BEP 44).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Put<'a> {
    /// What a reply to `get` brought.
    pub token: &'a [u8],
    /// The value, bencoded as it came.
    pub value: &'a [u8],
    /// What makes the item a mutable one.
    pub signed: Option<Signed<'a>>,
    /// Name under which one key has several items. Empty means none.
    pub salt: &'a [u8],
    /// The sequence number that a stored item must have to be replaced.
    pub cas: Option<i64>,
}

/// What a mutable item has beside its value (BEP 44).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 44 closes the set")]
pub struct Signed<'a> {
    /// The Ed25519 public key.
    pub key: &'a [u8; 32],
    /// The signature.
    pub signature: &'a [u8; 64],
    /// The sequence number.
    pub seq: i64,
}

/// An answer. Which fields there are depends on the query.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Reply<'a> {
    /// The answering node.
    pub id: Id,
    /// Nodes with IPv4 addresses, 26 bytes each.
    pub nodes: Option<&'a [u8]>,
    /// Nodes with IPv6 addresses, 38 bytes each (BEP 32).
    pub nodes6: Option<&'a [u8]>,
    /// What allows the receiver to store something here.
    pub token: Option<&'a [u8]>,
    /// Peers of the torrent.
    pub values: Option<Values<'a>>,
    /// A filter of all seeds of the torrent, 256 bytes (BEP 33).
    pub seeds: Option<&'a [u8; 256]>,
    /// A filter of all other peers of the torrent, 256 bytes (BEP 33).
    pub downloaders: Option<&'a [u8; 256]>,
    /// The value of an item, bencoded as it came (BEP 44).
    pub value: Option<&'a [u8]>,
    /// What a mutable item has beside its value. It may come with a sequence number alone, when the value is not newer than what was asked for.
    pub signed: Option<Signed<'a>>,
    /// The sequence number of a mutable item.
    pub seq: Option<i64>,
    /// Info-hashes, 20 bytes each, and what was told with them (BEP 51).
    pub samples: Option<Samples<'a>>,
}

/// A sample of the info-hashes that a node stores (BEP 51).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 51 closes the set")]
pub struct Samples<'a> {
    /// Info-hashes, 20 bytes each.
    pub info_hashes: &'a [u8],
    /// How many the node stores.
    pub total: u32,
    /// Seconds until there is a new sample.
    pub interval: u32,
}

/// Why a query is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 5 closes the set")]
pub struct Refusal<'a> {
    /// The kind of error.
    pub code: ErrorCode,
    /// What the node says about it.
    pub text: &'a [u8],
}

/// The kinds of errors (BEP 5, 44).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is a number, and any number may come")]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// Anything.
    pub const GENERIC: Self = Self(201);
    /// The node cannot do it.
    pub const SERVER: Self = Self(202);
    /// The query is malformed, or its token is not valid.
    pub const PROTOCOL: Self = Self(203);
    /// The method is not known.
    pub const METHOD_UNKNOWN: Self = Self(204);
    /// A value is longer than 1000 bytes.
    pub const VALUE_TOO_LONG: Self = Self(205);
    /// The signature of an item is wrong.
    pub const BAD_SIGNATURE: Self = Self(206);
    /// A salt is longer than 64 bytes.
    pub const SALT_TOO_LONG: Self = Self(207);
    /// The stored item has another sequence number than was asked for.
    pub const CAS_MISMATCH: Self = Self(301);
    /// The stored item is newer.
    pub const SEQ_TOO_LOW: Self = Self(302);
}

/// A datagram that is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Malformed<'a> {
    /// What is wrong with it.
    pub error: MessageError,
    /// If it is a query that can be refused: its transaction id.
    pub transaction: Option<&'a [u8]>,
}

/// What is wrong with a message. It is the fault of whoever sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is no bencode.
    #[error(transparent)]
    Bencode(#[from] unchoke_bencode::Error),
    /// It is not a dictionary.
    #[error("message is no dictionary")]
    NotADictionary,
    /// Something is not there.
    #[error("message has no {0}")]
    Missing(&'static str),
    /// Something is there and makes no sense.
    #[error("{0} is malformed")]
    Wrong(&'static str),
}

impl<'a> Message<'a> {
    /// The longest datagram that is looked at, in bytes.
    pub const MAX_LEN: usize = 4096;

    /// A message to be sent.
    #[must_use]
    pub const fn new(transaction: &'a [u8], body: Body<'a>) -> Self {
        Self { transaction, version: None, external: None, body }
    }
}

impl<'a> Query<'a> {
    /// A query from a node that answers queries itself.
    #[must_use]
    pub const fn new(id: Id, method: Method<'a>) -> Self {
        Self { id, read_only: false, want: None, method }
    }
}

impl<'a> Announce<'a> {
    /// A peer of a torrent that listens on a port.
    #[must_use]
    pub const fn new(info_hash: Id, port: u16, token: &'a [u8]) -> Self {
        Self { info_hash, port, implied_port: false, seed: false, token }
    }
}

impl<'a> Put<'a> {
    /// An immutable item; the value is bencoded.
    #[must_use]
    pub const fn new(token: &'a [u8], value: &'a [u8]) -> Self {
        Self { token, value, signed: None, salt: &[], cas: None }
    }
}

impl Reply<'_> {
    /// A reply that says nothing but who answers.
    #[must_use]
    pub const fn new(id: Id) -> Self {
        Self {
            id,
            nodes: None,
            nodes6: None,
            token: None,
            values: None,
            seeds: None,
            downloaders: None,
            value: None,
            signed: None,
            seq: None,
            samples: None,
        }
    }
}

#[cfg(test)]
mod tests;
