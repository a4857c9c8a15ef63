//! A search of a modelled node: whom it asks, and when it ends.

use crate::rules::{Rules, SearchRules};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use unchoke_dht::Id;

/// What a search has cost and brought.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Lookup {
    /// From the beginning to the first peer.
    pub(crate) first: Option<Duration>,
    /// From the beginning to the end.
    pub(crate) took: Duration,
    /// Queries sent, pings among them.
    pub(crate) queries: u32,
    /// Nodes on the way to the nearest one.
    pub(crate) hops: u8,
    /// It asked more nodes than others.
    pub(crate) widened: bool,
    /// The nearest eight that have answered, the nearest first.
    pub(crate) closest: Vec<Id>,
}

/// What a search is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The node's place in the network.
    Join,
    /// The node's table.
    Refresh,
    /// Peers; perhaps one is announced, and perhaps the owner wants to know.
    Peers { announce: Option<u16>, ticket: Option<u32> },
    /// An item that is to be stored.
    Put(Box<[u8]>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Asked,
    Late,
    Answered,
    Failed,
}

#[derive(Debug)]
struct Candidate {
    id: Id,
    at: SocketAddrV4,
    state: State,
    /// The id is made up, because only the address is known.
    is_router: bool,
    hops: u8,
    token: Option<Box<[u8]>>,
}

/// A search.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) number: u32,
    pub(crate) target: Id,
    pub(crate) purpose: Purpose,
    pub(crate) lookup: Lookup,
    rules: &'static Rules,
    started: Instant,
    /// The nearest first.
    candidates: Vec<Candidate>,
    /// Networks of candidates that others have told of.
    networks: Vec<u32>,
}

/// Candidates that are kept.
const MAX_CANDIDATES: usize = 100;
/// Nodes that a lookup reports.
const REPORTED: usize = 8;

impl Search {
    pub(crate) fn new(number: u32, target: Id, purpose: Purpose, rules: &'static Rules, now: Instant) -> Self {
        let (lookup, candidates, networks) = (Lookup::default(), Vec::new(), Vec::new());
        Self { number, target, purpose, lookup, rules, started: now, candidates, networks }
    }

    /// Adds a node of the own table.
    pub(crate) fn add_known(&mut self, id: Id, at: SocketAddrV4) {
        self.insert(id, at, false, 0);
    }

    /// Adds a router, under an id that is made up.
    pub(crate) fn add_router(&mut self, made_up: Id, at: SocketAddrV4) {
        self.insert(made_up, at, true, 0);
    }

    /// Adds a node that another one has told of.
    pub(crate) fn add_told(&mut self, id: Id, at: SocketAddrV4, hops: u8) {
        let has_id = self.candidates.iter().any(|it| it.id == id);
        if has_id || self.rules.search == SearchRules::AllAtOnce && self.candidates.iter().any(|it| it.at == at) {
            return;
        }
        if matches!(self.rules.search, SearchRules::Nearest(_)) {
            let network = at.ip().to_bits() >> 8;
            if self.networks.contains(&network) {
                return;
            }
            self.networks.push(network);
        }
        self.insert(id, at, false, hops);
    }

    /// The next node to ask, with its id if that is known.
    pub(crate) fn poll_query(&mut self) -> Option<(Option<Id>, SocketAddrV4)> {
        let index = self.next()?;
        let candidate = self.candidates.get_mut(index)?;
        candidate.state = State::Asked;
        self.lookup.queries = self.lookup.queries.saturating_add(1);
        Some((Some(candidate.id).filter(|_| !candidate.is_router), candidate.at))
    }

    /// A node has answered. Returns the nodes on the way to whom it tells of.
    pub(crate) fn handle_reply(&mut self, from: SocketAddrV4, id: Id, token: Option<&[u8]>) -> Option<u8> {
        let place = self.candidates.iter().position(|it| it.at == from && it.is_waited_for())?;
        let mut candidate = self.candidates.remove(place);
        candidate.state = State::Answered;
        candidate.is_router = false;
        candidate.id = id;
        candidate.token = token.map(Into::into);
        let hops = candidate.hops.saturating_add(1);
        let at = self.place(id);
        self.candidates.insert(at, candidate);
        Some(hops)
    }

    /// Somebody has told of peers.
    pub(crate) fn handle_found(&mut self, now: Instant) {
        self.lookup.first.get_or_insert(now.saturating_duration_since(self.started));
    }

    /// A node takes long.
    pub(crate) fn handle_late(&mut self, to: SocketAddrV4) {
        if let Some(candidate) = self.candidates.iter_mut().find(|it| it.at == to && it.state == State::Asked) {
            candidate.state = State::Late;
        }
    }

    /// A node will not answer.
    pub(crate) fn handle_failure(&mut self, to: SocketAddrV4) {
        if let Some(candidate) = self.candidates.iter_mut().find(|it| it.at == to && it.is_waited_for()) {
            candidate.state = State::Failed;
        }
    }

    /// Whether there is nothing left to wait for, if so many pings of the search are under way.
    pub(crate) fn is_done(&self, pings: usize) -> bool {
        let in_flight = self.candidates.iter().filter(|it| it.is_waited_for()).count();
        match self.rules.search {
            SearchRules::Nearest(_) => {
                let mut wanted = self.rules.k;
                for candidate in &self.candidates {
                    match candidate.state {
                        State::Answered => wanted -= 1,
                        State::Asked | State::Late | State::New => break,
                        State::Failed => {}
                    }
                    if wanted == 0 {
                        return true;
                    }
                }
                in_flight == 0
            }
            SearchRules::AllAtOnce => in_flight == 0 && pings == 0,
            SearchRules::Textbook(_) => {
                let mut front = self.candidates.iter().filter(|it| it.state != State::Failed).take(self.rules.k);
                front.all(|it| it.state == State::Answered)
            }
        }
    }

    /// Ends the search: what came of it.
    pub(crate) fn finish(&mut self, now: Instant) -> Lookup {
        self.lookup.took = now.saturating_duration_since(self.started);
        let mut answered = self.candidates.iter().filter(|it| it.state == State::Answered);
        self.lookup.closest = answered.clone().take(REPORTED).map(|it| it.id).collect();
        self.lookup.hops = answered.next().map_or(0, |it| it.hops.saturating_add(1));
        self.lookup.clone()
    }

    /// Where to store something: the nearest that have given a token.
    pub(crate) fn stores(&self) -> impl Iterator<Item = (SocketAddrV4, &[u8])> {
        let answered = self.candidates.iter().filter(|it| it.state == State::Answered);
        answered.take(self.rules.k).filter_map(|it| Some((it.at, it.token.as_deref()?)))
    }

    /// Nodes that were not asked.
    pub(crate) fn unasked(&self) -> impl Iterator<Item = (Id, SocketAddrV4)> {
        self.candidates.iter().filter(|it| it.state == State::New && !it.is_router).map(|it| (it.id, it.at))
    }

    fn next(&self) -> Option<usize> {
        let is_new = |(_, it): &(usize, &Candidate)| it.state == State::New;
        let found = match self.rules.search {
            SearchRules::Nearest(parallel) => {
                // Those that are late leave their place to others.
                let late = self.candidates.iter().filter(|it| it.state == State::Late).count();
                let (mut wanted, mut waiting) = (self.rules.k, parallel.saturating_add(late));
                for (index, candidate) in self.candidates.iter().enumerate() {
                    if wanted == 0 || waiting == 0 {
                        return None;
                    }
                    match candidate.state {
                        State::New => return Some(index),
                        State::Answered => wanted -= 1,
                        State::Asked | State::Late => waiting -= 1,
                        State::Failed => {}
                    }
                }
                None
            }
            SearchRules::AllAtOnce => self.candidates.iter().enumerate().take(self.rules.k).find(is_new),
            SearchRules::Textbook(parallel) => {
                let in_flight = self.candidates.iter().filter(|it| it.is_waited_for()).count();
                let living = self.candidates.iter().enumerate().filter(|(_, it)| it.state != State::Failed);
                living.take(self.rules.k).find(is_new).filter(|_| in_flight < parallel)
            }
        };
        found.map(|(index, _)| index)
    }

    fn place(&self, id: Id) -> usize {
        let distance = id.distance(self.target);
        self.candidates.partition_point(|it| it.id.distance(self.target) < distance)
    }

    fn insert(&mut self, id: Id, at: SocketAddrV4, is_router: bool, hops: u8) {
        let place = self.place(id);
        if self.candidates.get(place).is_some_and(|it| it.id == id) || place >= MAX_CANDIDATES {
            return;
        }
        self.candidates.insert(place, Candidate { id, at, state: State::New, is_router, hops, token: None });
        self.candidates.truncate(MAX_CANDIDATES);
    }
}

impl Candidate {
    fn is_waited_for(&self) -> bool {
        matches!(self.state, State::Asked | State::Late)
    }
}
