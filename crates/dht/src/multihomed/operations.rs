//! The operations of several nodes under numbers of their own.

use crate::event::{DhtEvent, OpId, OpStats, Outcome};
use crate::id::Id;
use crate::operation::Announcement;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is under way, and at which node.
#[derive(Debug, Default)]
pub(super) struct Operations {
    all: BTreeMap<OpId, Operation>,
    /// Ours, by the number of the node and the one that it gave.
    inner: BTreeMap<(usize, OpId), OpId>,
    next: u64,
}

#[derive(Debug)]
struct Operation {
    state: State,
    /// What came of it so far.
    ended: Option<(Outcome, OpStats)>,
    announce: Option<Announce>,
}

#[derive(Debug)]
enum State {
    At(usize, OpId),
    /// The next address has its turn then.
    PausedUntil(Instant),
}

/// An announce that goes on at other addresses.
#[derive(Debug)]
struct Announce {
    info_hash: Id,
    announcement: Announcement,
    started: Instant,
    left: VecDeque<usize>,
}

/// The node of this number is to announce as well.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: OpId,
    pub(super) home: usize,
    pub(super) info_hash: Id,
    pub(super) announcement: Announcement,
    /// Where the search before has ended.
    pub(super) near: Vec<(Id, SocketAddr)>,
}

/// How an operation is cancelled.
#[derive(Debug)]
pub(super) enum Cancel {
    /// By the node of this number, which calls it so.
    At(usize, OpId),
    /// No node is at it, so it has ended.
    Done(DhtEvent),
}

/// Between the searches for one torrent of two addresses, as both end at the same nodes (BEP 45).
const PAUSE: Duration = Duration::from_secs(1);

impl Operations {
    /// The number of something that nobody can do.
    pub(super) fn none(&mut self) -> OpId {
        let op = OpId(self.next);
        self.next = self.next.saturating_add(1);
        op
    }

    /// A node has begun something.
    pub(super) fn begin(&mut self, home: usize, inner: OpId) -> OpId {
        let op = self.none();
        self.inner.insert((home, inner), op);
        self.all.insert(op, Operation { state: State::At(home, inner), ended: None, announce: None });
        op
    }

    /// Other nodes are to announce the same when it has ended.
    pub(super) fn announce_also(
        &mut self,
        op: OpId,
        now: Instant,
        info_hash: Id,
        announcement: Announcement,
        left: VecDeque<usize>,
    ) {
        if let Some(operation) = self.all.get_mut(&op) {
            operation.announce = Some(Announce { info_hash, announcement, started: now, left });
        }
    }

    /// The next node has begun.
    pub(super) fn begun(&mut self, op: OpId, home: usize, inner: OpId) {
        if let Some(operation) = self.all.get_mut(&op) {
            operation.state = State::At(home, inner);
            self.inner.insert((home, inner), op);
        }
    }

    /// What a node tells, as it is told to the owner.
    pub(super) fn handle_event(&mut self, now: Instant, home: usize, mut event: DhtEvent) -> Option<DhtEvent> {
        let inner = match &mut event {
            DhtEvent::Peers { op, .. }
            | DhtEvent::Item { op, .. }
            | DhtEvent::Samples { op, .. }
            | DhtEvent::Nodes { op, .. }
            | DhtEvent::Done { op, .. } => op,
            DhtEvent::ExternalAddress(_) | DhtEvent::Bootstrapped => return Some(event),
        };
        let key = (home, *inner);
        let op = *self.inner.get(&key)?;
        *inner = op;
        let DhtEvent::Done { outcome, stats, .. } = event else { return Some(event) };
        self.inner.remove(&key);
        let operation = self.all.get_mut(&op)?;
        let is_cancelled = outcome == Outcome::Cancelled;
        operation.ended = Some(match operation.ended.take() {
            Some(before) => both(before, (outcome, stats)),
            None => (outcome, stats),
        });
        match &operation.announce {
            Some(announce) if !is_cancelled && !announce.left.is_empty() => {
                operation.state = State::PausedUntil(now.checked_add(PAUSE).unwrap_or(now));
                None
            }
            _ => self.end(now, op),
        }
    }

    /// Ends an operation. If a node is at it, that has to end it.
    pub(super) fn cancel(&mut self, now: Instant, op: OpId) -> Option<Cancel> {
        let operation = self.all.get_mut(&op)?;
        if let State::At(home, op) = operation.state {
            return Some(Cancel::At(home, op));
        }
        let (_, stats) = operation.ended.take().unwrap_or((Outcome::Cancelled, OpStats::default()));
        operation.ended = Some((Outcome::Cancelled, stats));
        self.end(now, op).map(Cancel::Done)
    }

    /// The next announce whose turn has come.
    pub(super) fn poll_step(&mut self, now: Instant) -> Option<Step> {
        let is_due = |it: &Operation| matches!(it.state, State::PausedUntil(at) if at <= now);
        let (op, operation) = self.all.iter_mut().find(|(_, it)| is_due(it))?;
        let announce = operation.announce.as_mut()?;
        let home = announce.left.pop_front()?;
        let near = operation.ended.as_ref().map(|(_, stats)| stats.closest.clone()).unwrap_or_default();
        let (info_hash, announcement) = (announce.info_hash, announce.announcement);
        Some(Step { op: *op, home, info_hash, announcement, near })
    }

    /// Those that wait for their next turn.
    pub(super) fn pausing(&self) -> usize {
        self.all.values().filter(|it| matches!(it.state, State::PausedUntil(_))).count()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.all.values().filter_map(|it| match it.state {
            State::PausedUntil(at) => Some(at),
            State::At(..) => None,
        });
        due.min()
    }

    fn end(&mut self, now: Instant, op: OpId) -> Option<DhtEvent> {
        let operation = self.all.remove(&op)?;
        let (outcome, mut stats) = operation.ended?;
        if let Some(announce) = operation.announce {
            stats.took = now.saturating_duration_since(announce.started);
        }
        Some(DhtEvent::Done { op, outcome, stats })
    }
}

/// What came of the same at two addresses. The nearest nodes are those that the later one has found, or the earlier one if it has none.
fn both(before: (Outcome, OpStats), after: (Outcome, OpStats)) -> (Outcome, OpStats) {
    let outcome = match (before.0, after.0) {
        (_, Outcome::Cancelled) => Outcome::Cancelled,
        (Outcome::Finished { stored: one, scrape }, Outcome::Finished { stored: other, .. }) => {
            Outcome::Finished { stored: one.saturating_add(other), scrape }
        }
        (finished @ Outcome::Finished { .. }, _) => finished,
        (Outcome::NoNodes, after) => after,
        (before, Outcome::NoNodes) => before,
        (_, after) => after,
    };
    let (before, after) = (before.1, after.1);
    let stats = OpStats {
        took: before.took,
        first: before.first,
        sent: before.sent.saturating_add(after.sent),
        replied: before.replied.saturating_add(after.replied),
        timeouts: before.timeouts.saturating_add(after.timeouts),
        hops: before.hops.max(after.hops),
        closest: if after.closest.is_empty() { before.closest } else { after.closest },
        widened: before.widened || after.widened,
    };
    (outcome, stats)
}
