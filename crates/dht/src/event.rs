//! What a node tells its owner.

use crate::id::Id;
use crate::item::Item;
use crate::store::Scrape;
use std::net::SocketAddr;
use std::time::Duration;

/// Which operation an event belongs to; unique within a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub(crate) u64);

/// What a node tells its owner.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum DhtEvent {
    /// A node has told of peers. They may have been told of before.
    Peers {
        /// The operation.
        op: OpId,
        /// The node that told of them.
        from: SocketAddr,
        /// The peers.
        peers: Vec<SocketAddr>,
    },
    /// An item was found; for a mutable one, the newest so far.
    Item {
        /// The operation.
        op: OpId,
        /// The node that had it.
        from: SocketAddr,
        /// The item, whose hash or signature is right.
        item: Item,
    },
    /// A node has told what torrents it knows (BEP 51).
    Samples {
        /// The operation.
        op: OpId,
        /// The node's id.
        id: Id,
        /// Its address.
        from: SocketAddr,
        /// The torrents.
        info_hashes: Vec<Id>,
        /// How many the node knows.
        total: u32,
        /// How long the sample stays the same.
        interval: Duration,
    },
    /// The one node that was asked has told of nodes that it knows. Whether they are there is not known.
    Nodes {
        /// The operation.
        op: OpId,
        /// The node's id.
        id: Id,
        /// Its address.
        from: SocketAddr,
        /// The nodes that it has told of.
        nodes: Vec<(Id, SocketAddr)>,
    },
    /// An operation has ended: the last event that it has.
    Done {
        /// The operation.
        op: OpId,
        /// What came of it.
        outcome: Outcome,
        /// What it cost.
        stats: OpStats,
    },
    /// Enough nodes agree on the address that they see this one at, and it is another one than before.
    ExternalAddress(SocketAddr),
    /// The node has found its place: it knows the nodes around its id.
    Bootstrapped,
}

/// What came of an operation.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The search ended; for one that stores, so many nodes have confirmed.
    Finished {
        /// Nodes that have stored what they were asked to.
        stored: usize,
        /// What all nodes know about the peers of a torrent, if that was asked for (BEP 33).
        scrape: Option<Box<Scrape>>,
    },
    /// No node has answered.
    NoNodes,
    /// Nodes have refused to store the item, most of them for this reason (BEP 44).
    Refused(crate::krpc::ErrorCode),
    /// It was cancelled.
    Cancelled,
}

/// What an operation cost.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct OpStats {
    /// From the beginning to the end.
    pub took: Duration,
    /// From the beginning to the first peer, item or sample.
    pub first: Option<Duration>,
    /// Queries sent.
    pub sent: u32,
    /// Answers.
    pub replied: u32,
    /// Queries that were given up.
    pub timeouts: u32,
    /// Nodes on the way to the nearest one.
    pub hops: u8,
    /// The nearest nodes that have answered, the nearest first.
    pub closest: Vec<(Id, SocketAddr)>,
    /// The search was widened, because the nearest nodes did not look right.
    pub widened: bool,
}

/// How a node fares.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Nodes in the IPv4 table that answer.
    pub nodes_v4: usize,
    /// Nodes in the IPv6 table that answer.
    pub nodes_v6: usize,
    /// Queries sent.
    pub queries_out: u64,
    /// Queries that were answered.
    pub replies_in: u64,
    /// Queries that came.
    pub queries_in: u64,
    /// Answers given, refusals included.
    pub replies_out: u64,
    /// Datagrams that were malformed, unexpected, or too many.
    pub refused: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Somebody whom we had not asked has asked us: the node can be reached.
    pub is_reachable: bool,
    /// Operations under way or waiting.
    pub operations: usize,
}
