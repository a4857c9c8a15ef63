//! What a node does and what it allows itself.

use crate::krpc::ErrorCode;
use crate::store::StoreLimits;
use std::time::Duration;

/// What a node does and what it allows itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Answers no queries and says so (BEP 43). For nodes that cannot be reached, or do not last.
    pub read_only: bool,
    /// Looks up nodes with IPv4 addresses.
    pub v4: bool,
    /// Looks up nodes with IPv6 addresses (BEP 32).
    pub v6: bool,
    /// Lets only nodes into the table and into searches whose id fits their address (BEP 42). Many sound nodes have others.
    pub enforce_secure_ids: bool,
    /// The first two buckets have 32 and 16 places instead of 8. Searches take fewer steps; larger buckets would have more nodes that are gone.
    pub wide_buckets: bool,
    /// Nodes of a bucket. BEP 5 says eight; fewer save memory, and searches take more steps.
    pub bucket_size: u8,
    /// Nodes that wait beside each bucket for a place in it.
    pub spares: u8,
    /// Queries of one search that are under way at a time, after the first ones. More are faster and cost more messages.
    pub parallel: usize,
    /// The nearest nodes that are asked until a search ends; so many are asked at once when it begins. Those who hide something tell of one
    /// another, eight at a time: more than eight find what they hide, and cost more messages.
    pub closest: usize,
    /// The same for a search whose nearest nodes do not look right.
    pub closest_if_suspicious: usize,
    /// Queries of one search in all.
    pub max_queries: usize,
    /// Searches at a time. More wait.
    pub max_operations: usize,
    /// Queries a second, and at once.
    pub queries_per_second: u32,
    /// Queries at once.
    pub query_burst: u32,
    /// Datagrams a second that are taken from one address; 0 takes all.
    pub inbound_per_second: u16,
    /// Datagrams at once that are taken from one address.
    pub inbound_burst: u16,
    /// How often a node of the table is asked whether it is still there.
    pub probe_interval: Duration,
    /// How often the neighbourhood of the node's own id is looked up.
    pub refresh_interval: Duration,
    /// The longest reply, in bytes. Those to addresses that have not proved that they receive are at most three times as long as the query.
    pub max_reply: usize,
    /// What is kept for others.
    pub store: StoreLimits,
    /// What the node calls itself in its messages: two letters and two bytes. `None` says nothing.
    pub version: Option<[u8; 4]>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            read_only: false,
            v4: true,
            v6: true,
            enforce_secure_ids: false,
            wide_buckets: true,
            bucket_size: 8,
            spares: 4,
            parallel: 8,
            closest: 16,
            closest_if_suspicious: 32,
            max_queries: 200,
            max_operations: 64,
            queries_per_second: 200,
            query_burst: 50,
            inbound_per_second: 25,
            inbound_burst: 100,
            probe_interval: Duration::from_secs(8),
            refresh_interval: Duration::from_secs(15 * 60),
            max_reply: 1024,
            store: StoreLimits::default(),
            version: Some(*b"UC\x00\x01"),
        }
    }
}

impl Config {
    /// A node that takes as little memory as it can: buckets of four, one spare each, and nothing counted by address. For simulations of very many nodes.
    #[must_use]
    pub fn compact() -> Self {
        Self { wide_buckets: false, bucket_size: 4, spares: 1, inbound_per_second: 0, v6: false, ..Self::default() }
    }
}

/// What a node says when it refuses a query.
pub(crate) fn refusal_text(code: ErrorCode) -> &'static [u8] {
    match code {
        ErrorCode::SERVER => b"no room",
        ErrorCode::PROTOCOL => b"malformed query or token",
        ErrorCode::METHOD_UNKNOWN => b"method unknown",
        ErrorCode::VALUE_TOO_LONG => b"value is longer than 1000 bytes",
        ErrorCode::BAD_SIGNATURE => b"signature does not fit",
        ErrorCode::SALT_TOO_LONG => b"salt is longer than 64 bytes",
        ErrorCode::CAS_MISMATCH => b"stored sequence number is another one",
        ErrorCode::SEQ_TOO_LOW => b"stored item is newer",
        _ => b"error",
    }
}
