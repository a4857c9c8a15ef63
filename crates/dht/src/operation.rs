//! What a node is asked to do for its owner: a search, and perhaps something to be stored where it ends.

use crate::event::{OpId, OpStats};
use crate::families::Lookups;
use crate::id::Id;
use crate::item::Item;
use crate::krpc::{Announce, ErrorCode, Method, Put};
use crate::store::Scrape;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// An operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) op: OpId,
    pub(crate) target: Id,
    pub(crate) kind: Kind,
    /// Nodes to begin with, beside those of the tables.
    pub(crate) candidates: Box<[(Id, SocketAddr)]>,
    pub(crate) lookups: Lookups,
    /// The one node that is asked instead of a search.
    pub(crate) only: Option<Only>,
    pub(crate) started: Instant,
    pub(crate) stats: OpStats,
    /// What has to be stored, once the search has ended.
    pub(crate) storing: Option<Storing>,
    pub(crate) scrape: Option<Box<Scrape>>,
    /// For mutable items: the newest that was found.
    pub(crate) newest: Option<Item>,
}

/// One node that is asked once, and nobody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Only {
    pub(crate) at: SocketAddr,
    pub(crate) is_asked: bool,
    /// It has answered, or will not, or cannot be asked.
    pub(crate) has_ended: bool,
}

/// What an operation is for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Kind {
    /// The node's own upkeep, of which nobody is told.
    Refresh,
    FindNode,
    GetPeers {
        scrape: bool,
        no_seed: bool,
        announce: Option<Announcement>,
    },
    Get {
        salt: Box<[u8]>,
    },
    Put {
        item: Box<Item>,
        cas: Option<i64>,
    },
    Sample,
}

/// How a peer wants to be announced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Announcement {
    /// The port that it listens on. `None` means the one that the queries come from, which a NAT may have chosen.
    pub port: Option<u16>,
    /// It has all of the torrent (BEP 33).
    pub seed: bool,
}

impl Announcement {
    /// A peer that listens on a port and has not got everything.
    #[must_use]
    pub const fn new(port: u16) -> Self {
        Self { port: Some(port), seed: false }
    }

    /// A peer behind the port that the queries come from.
    #[must_use]
    pub const fn implied_port() -> Self {
        Self { port: None, seed: false }
    }

    /// A peer that has got everything.
    #[must_use]
    pub const fn with_seed(self, seed: bool) -> Self {
        Self { seed, ..self }
    }
}

/// The second half of an operation that stores.
#[derive(Debug, Default)]
pub(crate) struct Storing {
    /// Who is still to be asked, with the token that it gave.
    pub(crate) left: VecDeque<(Id, SocketAddr, Box<[u8]>)>,
    pub(crate) under_way: usize,
    pub(crate) stored: usize,
    pub(crate) refused: Vec<ErrorCode>,
}

impl Kind {
    /// The query of a step of the search.
    pub(crate) fn search(&self, target: Id) -> Method<'static> {
        match self {
            Self::Refresh | Self::FindNode => Method::FindNode { target },
            Self::GetPeers { scrape, no_seed, .. } => {
                Method::GetPeers { info_hash: target, scrape: *scrape, no_seed: *no_seed }
            }
            Self::Get { .. } | Self::Put { .. } => Method::Get { target, newer_than: None },
            Self::Sample => Method::SampleInfohashes { target },
        }
    }

    /// The query that stores, if there is anything to be stored.
    pub(crate) fn store<'q>(&'q self, target: Id, token: &'q [u8]) -> Option<Method<'q>> {
        match self {
            Self::GetPeers { announce: Some(announcement), .. } => Some(Method::AnnouncePeer(Announce {
                info_hash: target,
                // Those who do not know of an implied port get one that is no reserved one.
                port: announcement.port.unwrap_or(1024),
                implied_port: announcement.port.is_none(),
                seed: announcement.seed,
                token,
            })),
            Self::Put { item, cas } => Some(Method::Put(Put {
                token,
                value: item.value(),
                signed: item.signed(),
                salt: item.mutable().map_or(&[], |mutable| &mutable.salt),
                cas: *cas,
            })),
            _ => None,
        }
    }

    pub(crate) fn stores(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::GetPeers { announce: Some(_), .. })
    }
}

impl Operation {
    pub(crate) fn new(op: OpId, target: Id, kind: Kind, lookups: Lookups, now: Instant) -> Self {
        let scrape = matches!(kind, Kind::GetPeers { scrape: true, .. }).then(Box::default);
        let stats = OpStats::default();
        let candidates = Box::default();
        let (only, storing, newest) = (None, None, None);
        Self { op, target, kind, candidates, lookups, only, started: now, stats, storing, scrape, newest }
    }

    /// Something was found.
    pub(crate) fn found(&mut self, now: Instant) {
        self.stats.first.get_or_insert(now.saturating_duration_since(self.started));
    }

    /// Whether the search has ended.
    pub(crate) fn has_searched(&self) -> bool {
        if let Some(only) = &self.only {
            return only.has_ended;
        }
        // An immutable item cannot be found better than once.
        let has_all =
            matches!(&self.kind, Kind::Get { .. }) && self.newest.as_ref().is_some_and(|it| it.seq().is_none());
        has_all
            || self.lookups.v4.as_ref().is_none_or(|it| it.is_done())
                && self.lookups.v6.as_ref().is_none_or(|it| it.is_done())
    }

    /// Whether everything has ended.
    pub(crate) fn is_done(&self) -> bool {
        match &self.storing {
            Some(storing) => storing.left.is_empty() && storing.under_way == 0,
            None => self.has_searched() && !self.kind.stores(),
        }
    }

    /// Whether an item is newer than what was found before.
    pub(crate) fn is_news(&self, item: &Item) -> bool {
        self.newest.as_ref().is_none_or(|known| item.seq() > known.seq())
    }
}
