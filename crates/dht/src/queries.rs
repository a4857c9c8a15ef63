//! The way out: queries get a number, a place in the outbox, and as much patience as others have needed.

use crate::config::Config;
use crate::id::Id;
use crate::krpc::{Body, Message, Method, Query, Want};
use crate::limiter::Pacer;
use crate::outbox::Outbox;
use crate::rtt::RoundTrips;
use crate::transactions::{Due, Purpose, Transaction, Transactions};
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::Rng;

/// All that sending queries takes.
#[derive(Debug)]
pub(crate) struct Queries {
    transactions: Transactions,
    round_trips: RoundTrips,
    pacer: Pacer,
    pub(crate) outbox: Outbox,
    pub(crate) rng: Rng,
    read_only: bool,
    want: Option<Want>,
    version: Option<[u8; 4]>,
    /// Queries and bytes that went out.
    pub(crate) sent: (u64, u64),
}

impl Queries {
    pub(crate) fn new(now: Instant, config: &Config, rng: Rng) -> Self {
        Self {
            transactions: Transactions::default(),
            round_trips: RoundTrips::new(),
            pacer: Pacer::new(now, config.queries_per_second, config.query_burst),
            outbox: Outbox::default(),
            rng,
            read_only: config.read_only,
            want: (config.v4 && config.v6).then_some(Want { v4: true, v6: true }),
            version: config.version,
            sent: (0, 0),
        }
    }

    /// Whether the pace allows another query.
    pub(crate) fn may_send(&mut self, now: Instant) -> bool {
        self.pacer.has_left(now)
    }

    /// Sends a query from the node with the id `own`.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        own: Id,
        to: SocketAddr,
        id: Option<Id>,
        purpose: Purpose,
        method: Method<'_>,
    ) {
        self.pacer.take(now);
        let patience = self.round_trips.patience();
        let number = self.transactions.begin(now, to, id, purpose, patience, &mut self.rng);
        let has_nodes = !matches!(method, Method::Ping | Method::AnnouncePeer(_) | Method::Put(_));
        let want = self.want.filter(|_| has_nodes);
        let query = Query { read_only: self.read_only, want, ..Query::new(own, method) };
        let version = self.version;
        let version = version.as_ref().map(<[u8; 4]>::as_slice);
        let message = Message { version, ..Message::new(&number, Body::Query(query)) };
        let bytes = self.outbox.push(to, |out| message.write(out));
        self.sent.0 = self.sent.0.saturating_add(1);
        self.sent.1 = self.sent.1.saturating_add(bytes as u64);
    }

    /// The query that an answer belongs to. How long it took counts for those to come.
    pub(crate) fn finish(&mut self, now: Instant, number: &[u8], from: SocketAddr) -> Option<Transaction> {
        let transaction = self.transactions.finish(number, from)?;
        self.round_trips.add(now.saturating_duration_since(transaction.sent));
        Some(transaction)
    }

    /// The next query that has waited long.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.transactions.poll_due(now, self.round_trips.patience())
    }

    /// Gives up all queries to an address.
    pub(crate) fn abandon(&mut self, to: SocketAddr) -> Vec<Transaction> {
        self.transactions.abandon(to)
    }

    /// Whether an answer from an address is waited for.
    pub(crate) fn is_asked(&self, address: SocketAddr) -> bool {
        self.transactions.is_asked(address)
    }

    /// When a query will have waited long, or, if some wait for the pace, when it allows the next one.
    pub(crate) fn poll_timeout(&self, some_wait: bool) -> Option<Instant> {
        let pace = (some_wait && self.pacer.is_empty()).then(|| self.pacer.ready_at());
        self.transactions.poll_timeout().into_iter().chain(pace).min()
    }
}
