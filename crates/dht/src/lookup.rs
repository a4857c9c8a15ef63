//! The search for the nodes nearest to a point ([BEP 5]), in one address family.
//!
//! A few queries are under way at a time, always to the nearest nodes that were not asked. One that takes longer than nearly all do gives its
//! place to the next; its answer counts all the same when it comes. The search ends when the nearest nodes have all answered.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use crate::endpoint::Endpoint;
use crate::id::Id;
use crate::table::K;

/// How wide a search is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// Nodes that have to answer.
    pub(crate) closest: usize,
    /// Queries under way at a time.
    pub(crate) parallel: usize,
    /// Queries in all.
    pub(crate) queries: usize,
}

/// A search.
#[derive(Debug)]
pub(crate) struct Lookup<E> {
    own: Id,
    target: Id,
    width: Width,
    /// Those whose id is known, the nearest first.
    candidates: Vec<Candidate<E>>,
    /// Those of which only the address is known. A few are asked first, so that one alone does not decide whom we know; the rest when there is nobody else.
    roots: Vec<E>,
    roots_asked: Vec<(E, bool)>,
    /// Those that were asked in all.
    roots_begun: usize,
    queries: usize,
    /// Candidates that are asked and not slow.
    asked: usize,
    /// Candidates that have answered.
    replied: usize,
    /// For each node that has told of others, how many of these have gone into the table.
    kept: Vec<u8>,
}

/// A node that may be among the nearest.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<E> {
    pub(crate) id: Id,
    pub(crate) endpoint: E,
    pub(crate) state: State,
    /// What it gave for storing something there.
    pub(crate) token: Option<Box<[u8]>>,
    /// Nodes on the way to it.
    pub(crate) hops: u8,
    /// Who was the first to tell of it.
    teller: u8,
}

/// Where a candidate was heard of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Nodes on the way to it.
    hops: u8,
    /// The number of the node that has told of it; 0 if it was in the table.
    teller: u8,
}

impl Source {
    /// Our own table.
    pub(crate) const TABLE: Self = Self { hops: 1, teller: 0 };
    /// An address that was given to us.
    const ROOT: Self = Self { hops: 0, teller: 0 };
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    New,
    Asked,
    /// Asked, and it takes long.
    Slow,
    Answered,
    Failed,
}

/// Candidates that are kept. Farther ones cannot be among the nearest.
const MAX_CANDIDATES: usize = 96;
/// Roots that are asked at once.
const FIRST_ROOTS: usize = 4;
/// Nodes whose answers are not waited for, if they are not among the nearest eight.
const STRAGGLERS: usize = 2;
/// Of the nodes that one node has told of in a search, those that may go into the table.
const MAX_KEPT: u8 = 1;
/// Ids of one address that were asked in vain.
const MAX_FAILED: usize = 2;
/// Candidates of one neighbourhood.
const MAX_NEIGHBOURS: usize = 2;

impl<E: Endpoint> Lookup<E> {
    pub(crate) fn new(own: Id, target: Id, width: Width) -> Self {
        Self {
            own,
            target,
            width,
            candidates: Vec::with_capacity(MAX_CANDIDATES / 3),
            roots: Vec::new(),
            roots_asked: Vec::new(),
            roots_begun: 0,
            queries: 0,
            asked: 0,
            replied: 0,
            kept: Vec::new(),
        }
    }

    /// Adds an address whose id is not known.
    pub(crate) fn add_root(&mut self, endpoint: E) {
        self.roots.push(endpoint);
    }

    /// Adds a node that somebody has told of, or that the table knows.
    pub(crate) fn add(&mut self, id: Id, endpoint: E, source: Source) {
        let distance = id.distance(self.target);
        let at = self.candidates.partition_point(|known| known.id.distance(self.target) < distance);
        if id == self.own || self.candidates.get(at).is_some_and(|known| known.id == id) || at >= MAX_CANDIDATES {
            return;
        }
        // One address has one node, and one neighbourhood few; the ones that are there may have been asked already.
        let (host, network) = (endpoint.host(), endpoint.network());
        let mut neighbours = 0_usize;
        let (mut failed, mut farther) = (0_usize, None);
        for (place, known) in self.candidates.iter().enumerate() {
            if known.endpoint.host() == host {
                match known.state {
                    // What is made up about an address must not hide what is there: the nearest claim is asked, and the answer tells the truth.
                    State::New if place >= at => farther = Some(place),
                    State::Failed => failed = failed.saturating_add(1),
                    _ => return,
                }
            } else if network.is_some() && known.endpoint.network() == network && known.state != State::Failed {
                neighbours = neighbours.saturating_add(1);
            }
        }
        if failed >= MAX_FAILED {
            return;
        }
        if neighbours >= MAX_NEIGHBOURS {
            return;
        }
        farther.map(|place| self.candidates.remove(place));
        let Source { hops, teller } = source;
        self.candidates.insert(at, Candidate { id, endpoint, state: State::New, token: None, hops, teller });
        if self.candidates.len() > MAX_CANDIDATES {
            let drop = self.candidates.iter().rposition(|it| !matches!(it.state, State::Asked | State::Slow));
            if let Some(dropped) = drop.map(|at| self.candidates.remove(at)) {
                self.replied = self.replied.saturating_sub(usize::from(dropped.state == State::Answered));
            }
        }
    }

    /// The next node to ask, with its id if that is known.
    pub(crate) fn poll_query(&mut self) -> Option<(Option<Id>, E)> {
        // All that the table knows nearby are asked at once: what one of them hides another one tells.
        let is_first = self.queries < self.width.closest;
        if self.queries >= self.width.queries || !is_first && self.under_way() >= self.width.parallel {
            return None;
        }
        let wanted = self.width.closest;
        if self.roots_begun < FIRST_ROOTS
            && let Some(root) = self.poll_root()
        {
            return Some((None, root));
        }
        let front = self.candidates.iter_mut().filter(|it| !matches!(it.state, State::Failed | State::Slow));
        let next = front.take(wanted).find(|it| it.state == State::New);
        if let Some(next) = next {
            next.state = State::Asked;
            self.asked = self.asked.saturating_add(1);
            self.queries = self.queries.saturating_add(1);
            return Some((Some(next.id), next.endpoint));
        }
        if self.replied >= wanted || self.under_way() > 0 && !self.candidates.is_empty() {
            return None;
        }
        self.poll_root().map(|root| (None, root))
    }

    fn poll_root(&mut self) -> Option<E> {
        let root = self.roots.pop()?;
        self.roots_asked.push((root, false));
        self.roots_begun = self.roots_begun.saturating_add(1);
        self.queries = self.queries.saturating_add(1);
        Some(root)
    }

    /// A node has answered. `token` allows to store something there.
    pub(crate) fn handle_reply(&mut self, id: Id, endpoint: E, token: Option<&[u8]>) {
        if self.forget_root(endpoint) {
            self.add(id, endpoint, Source::ROOT);
        }
        if let Some(known) = self.find(id, endpoint) {
            known.token = token.map(Into::into);
            let before = std::mem::replace(&mut known.state, State::Answered);
            self.asked = self.asked.saturating_sub(usize::from(before == State::Asked));
            self.replied = self.replied.saturating_add(usize::from(before != State::Answered));
        }
    }

    /// What this node tells of comes from there.
    pub(crate) fn told_by(&mut self, id: Id) -> Source {
        let known = self.candidates.iter().find(|known| known.id == id);
        let hops = known.map_or(1, |known| known.hops.saturating_add(1));
        self.kept.push(0);
        Source { hops, teller: u8::try_from(self.kept.len()).unwrap_or(u8::MAX) }
    }

    /// Whether a node that has answered may go into the table. Whoever tells of nodes fills no table with them: those who work together tell
    /// of one another, and would be overrepresented.
    pub(crate) fn may_keep(&mut self, id: Id) -> bool {
        let Some(known) = self.candidates.iter().find(|known| known.id == id) else { return true };
        let Some(kept) = usize::from(known.teller).checked_sub(1).and_then(|at| self.kept.get_mut(at)) else {
            return true;
        };
        *kept = kept.saturating_add(1);
        *kept <= MAX_KEPT
    }

    /// A node takes longer than most.
    pub(crate) fn handle_slow(&mut self, id: Option<Id>, endpoint: E) {
        match id {
            Some(id) => {
                if let Some(known) = self.find(id, endpoint).filter(|known| known.state == State::Asked) {
                    known.state = State::Slow;
                    self.asked = self.asked.saturating_sub(1);
                }
            }
            None => {
                for (root, is_slow) in &mut self.roots_asked {
                    *is_slow |= *root == endpoint;
                }
            }
        }
    }

    /// A node will not answer any more, or has refused.
    pub(crate) fn handle_failure(&mut self, id: Option<Id>, endpoint: E) {
        match id {
            Some(id) => {
                if let Some(known) = self.find(id, endpoint).filter(|known| known.state != State::Answered) {
                    let before = std::mem::replace(&mut known.state, State::Failed);
                    self.asked = self.asked.saturating_sub(usize::from(before == State::Asked));
                }
            }
            None => drop(self.forget_root(endpoint)),
        }
    }

    /// Whether the nearest nodes have answered, or there is nobody left to ask.
    pub(crate) fn is_done(&self) -> bool {
        let exhausted = self.queries >= self.width.queries;
        let front = self.candidates.iter().filter(|it| !matches!(it.state, State::Failed | State::Slow));
        let mut stragglers = 0_usize;
        for (place, it) in front.take(self.width.closest).enumerate() {
            match it.state {
                State::New if !exhausted => return false,
                State::Asked if place < K => return false,
                State::Asked => stragglers = stragglers.saturating_add(1),
                _ => {}
            }
        }
        let is_short = self.replied.saturating_add(stragglers) < self.width.closest;
        stragglers <= STRAGGLERS && !(is_short && (self.under_way() > 0 || !self.roots.is_empty() && !exhausted))
    }

    /// Asks more nodes than before, because the nearest ones do not look right.
    pub(crate) fn widen(&mut self, width: Width) {
        self.width = width;
    }

    /// Nodes that have to answer.
    pub(crate) fn width(&self) -> usize {
        self.width.closest
    }

    /// The nodes that have answered, the nearest first.
    pub(crate) fn answered(&self) -> impl Iterator<Item = &Candidate<E>> {
        self.candidates.iter().filter(|it| it.state == State::Answered)
    }

    /// Queries that are waited for.
    fn under_way(&self) -> usize {
        self.asked.saturating_add(self.roots_asked.iter().filter(|(_, is_slow)| !is_slow).count())
    }

    fn find(&mut self, id: Id, endpoint: E) -> Option<&mut Candidate<E>> {
        self.candidates.iter_mut().find(|known| known.id == id && known.endpoint == endpoint)
    }

    fn forget_root(&mut self, endpoint: E) -> bool {
        let before = self.roots_asked.len();
        self.roots_asked.retain(|(root, _)| *root != endpoint);
        self.roots_asked.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::V4;

    const WIDTH: Width = Width { closest: 8, parallel: 6, queries: 200 };
    const OWN: Id = Id::new([0xff; 20]);
    const TARGET: Id = Id::new([0; 20]);

    /// The node that is so far away.
    fn node(number: u8) -> (Id, V4) {
        let mut id = [0; 20];
        id[0] = number;
        (Id::new(id), V4::new(std::net::SocketAddr::from(([20, number, 1, 1], 6881))).unwrap())
    }

    fn lookup(numbers: impl IntoIterator<Item = u8>) -> Lookup<V4> {
        let mut lookup = Lookup::new(OWN, TARGET, WIDTH);
        numbers.into_iter().map(node).for_each(|(id, endpoint)| lookup.add(id, endpoint, Source::TABLE));
        lookup
    }

    fn asked(lookup: &mut Lookup<V4>) -> Vec<u8> {
        std::iter::from_fn(|| lookup.poll_query()).filter_map(|(id, _)| Some(id?.as_bytes()[0])).collect()
    }

    fn answer(lookup: &mut Lookup<V4>, number: u8) {
        let (id, endpoint) = node(number);
        lookup.handle_reply(id, endpoint, Some(b"token"));
    }

    #[test]
    fn the_nearest_are_asked_first_and_after_the_first_ones_only_as_many_at_a_time() {
        let mut lookup = lookup([50, 40, 30, 20, 10, 60, 70, 80, 90]);
        assert_eq!(asked(&mut lookup), [10, 20, 30, 40, 50, 60, 70, 80]);
        answer(&mut lookup, 80);
        answer(&mut lookup, 70);
        assert!(asked(&mut lookup).is_empty());
        answer(&mut lookup, 30);
        let (id, endpoint) = node(5);
        lookup.add(id, endpoint, Source::TABLE);
        assert_eq!(asked(&mut lookup), [5]);
        assert!(!lookup.is_done());
    }

    #[test]
    fn it_ends_when_the_nearest_eight_have_answered() {
        let mut lookup = lookup(1..=20);
        let mut all = Vec::new();
        while !lookup.is_done() {
            let next = asked(&mut lookup);
            assert!(!next.is_empty());
            next.iter().for_each(|number| answer(&mut lookup, *number));
            all.extend(next);
        }
        assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(lookup.answered().map(|it| it.id.as_bytes()[0]).collect::<Vec<_>>(), all);
        assert!(lookup.answered().all(|it| it.token.as_deref() == Some(b"token")));
    }

    #[test]
    fn a_slow_node_gives_its_place_to_the_next_and_may_still_answer() {
        let mut lookup = lookup(1..=20);
        assert_eq!(asked(&mut lookup), [1, 2, 3, 4, 5, 6, 7, 8]);
        answer(&mut lookup, 2);
        answer(&mut lookup, 3);
        assert!(asked(&mut lookup).is_empty());
        let (id, endpoint) = node(1);
        lookup.handle_slow(Some(id), endpoint);
        assert_eq!(asked(&mut lookup), [9]);
        for number in 4..=8 {
            answer(&mut lookup, number);
        }
        assert!(asked(&mut lookup).is_empty() && !lookup.is_done());
        answer(&mut lookup, 9);
        assert!(lookup.is_done());
        answer(&mut lookup, 1);
        assert_eq!(lookup.answered().next().map(|it| it.id), Some(id));
    }

    #[test]
    fn it_ends_when_there_is_nobody_left() {
        let mut lookup = lookup(1..=3);
        assert_eq!(asked(&mut lookup).len(), 3);
        for number in 1..=3 {
            assert!(!lookup.is_done());
            let (id, endpoint) = node(number);
            lookup.handle_failure(Some(id), endpoint);
        }
        assert!(lookup.is_done() && lookup.answered().count() == 0);
        assert!(Lookup::<V4>::new(OWN, TARGET, WIDTH).is_done());
    }

    #[test]
    fn roots_are_asked_when_there_is_nobody_else() {
        let mut lookup = lookup([]);
        let (id, endpoint) = node(9);
        lookup.add_root(endpoint);
        assert!(!lookup.is_done());
        assert_eq!(lookup.poll_query(), Some((None, endpoint)));
        assert!(!lookup.is_done() && lookup.poll_query().is_none());
        lookup.handle_reply(id, endpoint, None);
        assert!(lookup.is_done() && lookup.answered().count() == 1);
    }

    #[test]
    fn the_last_ones_beyond_the_nearest_eight_are_not_waited_for() {
        let mut lookup = Lookup::new(OWN, TARGET, Width { closest: 12, ..WIDTH });
        (1..=12).map(node).for_each(|(id, endpoint)| lookup.add(id, endpoint, Source::TABLE));
        assert_eq!(asked(&mut lookup).len(), 12);
        [1, 2, 3, 4, 5, 6, 7, 9, 10].iter().for_each(|number| answer(&mut lookup, *number));
        assert!(!lookup.is_done(), "the eighth is");
        answer(&mut lookup, 8);
        assert!(lookup.is_done());
    }

    #[test]
    fn of_those_that_one_node_tells_of_one_may_go_into_the_table() {
        let mut lookup = lookup([100, 101]);
        for teller in [100, 101] {
            let source = lookup.told_by(node(teller).0);
            (1..=4).map(|n| node(n + teller % 2 * 10)).for_each(|(id, endpoint)| lookup.add(id, endpoint, source));
        }
        let kept = |lookup: &mut Lookup<V4>, numbers: [u8; 4]| numbers.map(|number| lookup.may_keep(node(number).0));
        assert_eq!(kept(&mut lookup, [1, 2, 3, 4]), [true, false, false, false]);
        assert_eq!(kept(&mut lookup, [11, 12, 13, 14]), [true, false, false, false]);
        assert_eq!(kept(&mut lookup, [100, 101, 100, 101]), [true; 4], "the table's own");
    }

    /// A liar tells of an honest address under an id far away, and of another one under an id that is near.
    #[test]
    fn what_is_made_up_about_an_address_does_not_hide_its_node() {
        let mut lookup = lookup(1..=3);
        let ((true_id, endpoint), (far, _), (near, _)) = (node(50), node(200), node(5));
        lookup.add(far, endpoint, Source::TABLE);
        lookup.add(true_id, endpoint, Source::TABLE);
        lookup.add(near, endpoint, Source::TABLE);
        lookup.add(far, endpoint, Source::TABLE);
        assert_eq!(asked(&mut lookup), [1, 2, 3, 5], "one id of an address at a time");
        lookup.handle_failure(Some(near), endpoint);
        lookup.add(true_id, endpoint, Source::TABLE);
        assert_eq!(asked(&mut lookup), [50]);
        lookup.handle_failure(Some(true_id), endpoint);
        lookup.add(far, endpoint, Source::TABLE);
        assert!(asked(&mut lookup).is_empty(), "and not for ever");
    }

    /// D9: whatever is answered, a search ends.
    #[test]
    fn d9_a_search_that_is_always_led_nearer_ends() {
        let mut lookup = Lookup::new(OWN, TARGET, WIDTH);
        let mut address = 0x1400_0000_u32;
        let mut add = |lookup: &mut Lookup<V4>, distance: u32| {
            address += 0x101;
            let [a, b, c, d] = address.to_be_bytes();
            let mut id = [0; 20];
            id[16..].copy_from_slice(&distance.to_be_bytes());
            lookup.add(Id::new(id), V4::new(std::net::SocketAddr::from(([a, b, c, d], 1))).unwrap(), Source::TABLE);
        };
        let mut distance = u32::MAX;
        add(&mut lookup, distance);
        let mut queries = 0;
        while !lookup.is_done() {
            let (id, endpoint) = lookup.poll_query().unwrap();
            queries += 1;
            lookup.handle_reply(id.unwrap(), endpoint, None);
            for _ in 0..8 {
                distance -= 1;
                add(&mut lookup, distance);
            }
        }
        assert_eq!(queries, 200);
    }

    #[test]
    fn one_address_is_asked_once_and_a_neighbourhood_twice() {
        let mut lookup = Lookup::new(OWN, TARGET, WIDTH);
        for number in 1..200_u8 {
            let (id, _) = node(number);
            let last = if number % 2 == 0 { 1 } else { number };
            lookup.add(
                id,
                V4::new(std::net::SocketAddr::from(([20, 1, 1, last], number.into()))).unwrap(),
                Source::TABLE,
            );
        }
        assert_eq!(asked(&mut lookup).len(), 2);
        let (_, endpoint) = node(1);
        lookup.add(OWN, endpoint, Source::TABLE);
        assert_eq!(asked(&mut lookup).len(), 0);
    }
}
