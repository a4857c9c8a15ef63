//! Which nodes to ask for what, to find all of a network ([BEP 5]).
//!
//! A node tells of the nodes of its table that are nearest to a point, eight as a rule, fewer if it does not know who asks. If all of them lie in the
//! part of the key space that was asked for, there may be more of them, and each half is asked for in turn. So the whole table of a node is read, its own neighbourhood in most
//! detail, because that is what it knows in most detail.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use crate::id::Id;
use crate::secure::is_contactable;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use unchoke_core::{Rng, Seed};

/// A walk through a whole network, without I/O: it says whom to ask for what, and is told what came of it.
///
/// Nodes that were never asked come first, then the questions that follow from answers that have brought news, then all others. It
/// ends when everything was asked; in a large network its owner ends it before.
///
/// ```
/// use unchoke_core::Seed;
/// use unchoke_dht::{Crawl, Id};
///
/// let mut crawl = Crawl::new(&Seed::new([7; 32]));
/// crawl.add("192.0.2.1:6881".parse()?);
/// let question = crawl.poll_question().ok_or("there is one node to ask")?;
/// crawl.handle_nodes(question, &[(Id::new([1; 20]), "192.0.2.2:6881".parse()?)]);
/// assert_eq!((crawl.answered().count(), crawl.known()), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Crawl {
    nodes: BTreeMap<SocketAddr, Visit>,
    /// What may be asked, by how much is expected of it.
    ready: [VecDeque<Question>; 3],
    under_way: usize,
    quiet: usize,
    rng: Rng,
}

/// One query of a [`Crawl`]: to be sent as [`find_node`](crate::Node::find_node_at).
#[derive(PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Question {
    /// The node to ask.
    pub at: SocketAddr,
    /// The point to ask it for.
    pub target: Id,
    /// All points that have so many bits in common with the target are asked for.
    common: u32,
    /// So many times it was asked in vain.
    failures: u8,
}

/// How far the crawl has come with a node.
#[derive(Debug, Default)]
struct Visit {
    has_answered: bool,
    /// What follows from its answers. It is asked one question at a time.
    left: VecDeque<(Rank, Question)>,
    questions: u16,
}

/// What is expected of a question; also the place of its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rank {
    /// The node was never asked.
    First = 0,
    /// The answer before has brought news.
    Promising = 1,
    Other = 2,
}

/// Nodes that are kept in mind. Those who answer with made-up ones could tell of any number.
const MAX_NODES: usize = 1 << 22;
/// Questions to one node.
const MAX_QUESTIONS: u16 = 256;
/// Bits down to which the key space is divided: more than any network needs.
const MAX_COMMON: u32 = 48;
/// So many times a node is asked the same.
const MAX_FAILURES: u8 = 3;

impl Crawl {
    /// A crawl that knows nobody.
    #[must_use]
    pub fn new(seed: &Seed) -> Self {
        let ready = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
        Self { nodes: BTreeMap::new(), ready, under_way: 0, quiet: 0, rng: seed.derive("crawl").rng() }
    }

    /// Adds a node that may be there. Returns whether it is new.
    pub fn add(&mut self, at: SocketAddr) -> bool {
        if !is_contactable(at) || self.nodes.len() >= MAX_NODES || self.nodes.contains_key(&at) {
            return false;
        }
        self.nodes.insert(at, Visit { questions: 1, ..Visit::default() });
        let target = Id::random(&mut self.rng);
        self.push(Rank::First, Question { at, target, common: 0, failures: 0 });
        true
    }

    /// The next node to ask. Each question is to be given back to [`handle_nodes`](Self::handle_nodes) or
    /// [`handle_failure`](Self::handle_failure); poll again after each call of them.
    #[must_use = "the question has to be asked"]
    pub fn poll_question(&mut self) -> Option<Question> {
        let question = self.ready.iter_mut().find_map(VecDeque::pop_front)?;
        self.under_way = self.under_way.saturating_add(1);
        Some(question)
    }

    /// A node has answered. Returns how many of the nodes were unknown.
    pub fn handle_nodes(&mut self, question: Question, nodes: &[(Id, SocketAddr)]) -> usize {
        self.under_way = self.under_way.saturating_sub(1);
        let news = nodes.iter().filter(|(_, at)| self.add(*at)).count();
        self.quiet = if news > 0 { 0 } else { self.quiet.saturating_add(1) };
        let Question { at, target, common, .. } = question;
        let is_inside = |(id, _): &(Id, SocketAddr)| id.common_bits(target) >= common;
        let may_hide_some = !nodes.is_empty() && nodes.iter().all(is_inside);
        let rank = if news > 0 { Rank::Promising } else { Rank::Other };
        if let Some(visit) = self.nodes.get_mut(&at) {
            visit.has_answered = true;
            let questions = visit.questions.saturating_add(2);
            if may_hide_some && common < MAX_COMMON && questions <= MAX_QUESTIONS {
                visit.questions = questions;
                let inside = common.saturating_add(1);
                // One half is that of the target, and the other one beside it.
                for target in [target.random_beside(inside, &mut self.rng), target.random_beside(common, &mut self.rng)]
                {
                    visit.left.push_back((rank, Question { at, target, common: inside, failures: 0 }));
                }
            }
        }
        self.go_on(at);
        news
    }

    /// A node has not answered, or refused to. It is asked again when its turn comes, a few times.
    pub fn handle_failure(&mut self, question: Question) {
        self.under_way = self.under_way.saturating_sub(1);
        let (at, failures) = (question.at, question.failures.saturating_add(1));
        let visit = self.nodes.get_mut(&at).filter(|_| failures < MAX_FAILURES);
        match visit {
            Some(visit) => visit.left.push_back((Rank::Other, Question { failures, ..question })),
            // Whatever else it could be asked would fail as well.
            None => self.nodes.get_mut(&at).into_iter().for_each(|visit| visit.left.clear()),
        }
        self.go_on(at);
    }

    /// The nodes that have answered.
    pub fn answered(&self) -> impl Iterator<Item = SocketAddr> {
        self.nodes.iter().filter(|(_, visit)| visit.has_answered).map(|(at, _)| *at)
    }

    /// Answers in a row that have brought nothing new, up to now.
    #[must_use]
    pub fn quiet(&self) -> usize {
        self.quiet
    }

    /// How many nodes were told of.
    #[must_use]
    pub fn known(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing left to be asked or waited for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.under_way == 0 && self.ready.iter().all(VecDeque::is_empty)
    }

    /// The next question to a node becomes ready.
    fn go_on(&mut self, at: SocketAddr) {
        let next = self.nodes.get_mut(&at).and_then(|visit| visit.left.pop_front());
        if let Some((rank, question)) = next {
            self.push(rank, question);
        }
    }

    fn push(&mut self, rank: Rank, question: Question) {
        let [first, promising, other] = &mut self.ready;
        let queue = match rank {
            Rank::First => first,
            Rank::Promising => promising,
            Rank::Other => other,
        };
        queue.push_back(question);
    }
}

impl Question {
    /// Whether the node was never asked anything before.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.common == 0 && self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Nodes and whom they know: eight for each number of bits that they have in common, as in BEP 5.
    fn network(count: u16, rng: &mut Rng) -> BTreeMap<SocketAddr, Vec<(Id, SocketAddr)>> {
        let node = |number: u16| SocketAddr::from(([20, 0, (number >> 8) as u8, number as u8], 6881));
        let nodes: Vec<_> = (0..count).map(|number| (Id::random(rng), node(number))).collect();
        let knows = |own: Id, rng: &mut Rng| {
            let mut places = [8; 160];
            let from = rng.below(u32::from(count)) as usize;
            let mut others: Vec<_> = nodes.iter().cycle().skip(from).take(nodes.len()).copied().collect();
            others.retain(|(id, _)| *id != own);
            others.retain(|(id, _)| {
                let left: &mut u8 = &mut places[own.common_bits(*id) as usize];
                *left = left.saturating_sub(1);
                *left > 0
            });
            others
        };
        nodes.iter().map(|(own, at)| (*at, knows(*own, rng))).collect()
    }

    #[test]
    fn everybody_is_found_whom_somebody_knows() {
        let mut rng = Seed::new([3; 32]).rng();
        let network = network(500, &mut rng);
        let mut crawl = Crawl::new(&rng.seed());
        crawl.add(*network.keys().next().unwrap());
        let mut questions = 0;
        while let Some(question) = crawl.poll_question() {
            questions += 1;
            let mut known = network[&question.at].clone();
            known.sort_by_key(|(id, _)| id.distance(question.target));
            // Some tell of fewer.
            known.truncate(6 + questions % 3);
            crawl.handle_nodes(question, &known);
        }
        assert!(crawl.is_done());
        let mut known: BTreeSet<_> = network.values().flatten().map(|(_, at)| *at).collect();
        known.insert(*network.keys().next().unwrap());
        assert_eq!(crawl.answered().collect::<BTreeSet<_>>(), known);
        assert!(known.len() > 490 && questions < 40 * network.len(), "{} nodes, {questions} questions", known.len());
    }

    #[test]
    fn who_does_not_answer_is_asked_three_times_and_after_the_others() {
        let mut crawl = Crawl::new(&Seed::new([3; 32]));
        let node = |number: u8| SocketAddr::from(([20, 0, 0, number], 6881));
        assert!(crawl.add(node(1)) && crawl.add(node(2)) && !crawl.add(node(1)));
        let mut asked = Vec::new();
        while let Some(question) = crawl.poll_question() {
            asked.push((question.at, question.is_first()));
            if question.at == node(1) {
                crawl.handle_failure(question);
            } else {
                assert_eq!(crawl.handle_nodes(question, &[]), 0);
            }
        }
        assert_eq!(asked, [(node(1), true), (node(2), true), (node(1), false), (node(1), false)]);
        assert!(crawl.is_done() && crawl.answered().eq([node(2)]));
    }

    #[test]
    fn who_makes_up_nodes_does_not_hold_up_the_end() {
        let mut rng = Seed::new([3; 32]).rng();
        let mut crawl = Crawl::new(&rng.seed());
        let liar = SocketAddr::from(([20, 0, 0, 1], 6881));
        crawl.add(liar);
        let mut asked = 0;
        while let Some(question) = crawl.poll_question() {
            if question.at == liar {
                asked += 1;
                let made_up = [question.target; 8].map(|id| {
                    let [a, b, c, d] = rng.next_u32().to_be_bytes();
                    (id, SocketAddr::from(([a, b, c, d], 6881)))
                });
                crawl.handle_nodes(question, &made_up);
            } else {
                crawl.handle_failure(question);
            }
        }
        assert!(crawl.is_done() && asked <= u32::from(MAX_QUESTIONS) && crawl.answered().eq([liar]), "{asked}");
    }
}
