//! Queries that wait for their answers.

use crate::event::OpId;
use crate::id::Id;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::Rng;

/// A query that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) to: SocketAddr,
    /// Who is expected to answer, if that is known.
    pub(crate) id: Option<Id>,
    pub(crate) purpose: Purpose,
    pub(crate) sent: Instant,
    /// It takes longer than most, and whoever waits for it has been told.
    pub(crate) is_slow: bool,
    /// When somebody will be told next.
    due: Instant,
}

/// What a query is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To see whether a node is there.
    Probe,
    /// A step of a search.
    Search(OpId),
    /// To store something.
    Store(OpId),
}

/// All queries that are under way. An answer counts only with the number of a query, and from where that went.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    waiting: BTreeMap<(SocketAddr, u32), Transaction>,
    due: BTreeSet<(Instant, u32, SocketAddr)>,
}

/// What has happened to a query.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// It takes longer than most.
    Slow(Transaction),
    /// It was given up.
    Lost(Transaction),
}

/// How long an answer is waited for at least.
const MIN_WAIT: Duration = Duration::from_secs(4);

impl Transactions {
    /// Remembers a query and gives it a number.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        to: SocketAddr,
        id: Option<Id>,
        purpose: Purpose,
        patience: Duration,
        rng: &mut Rng,
    ) -> [u8; 4] {
        let mut number = rng.next_u32();
        while self.waiting.contains_key(&(to, number)) {
            number = number.wrapping_add(1);
        }
        let due = later(now, patience);
        self.waiting.insert((to, number), Transaction { to, id, purpose, sent: now, is_slow: false, due });
        self.due.insert((due, number, to));
        number.to_be_bytes()
    }

    /// The query that an answer from `from` belongs to.
    pub(crate) fn finish(&mut self, number: &[u8], from: SocketAddr) -> Option<Transaction> {
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let transaction = self.take(number, from)?;
        self.due.remove(&(transaction.due, number, from));
        Some(transaction)
    }

    fn take(&mut self, number: u32, to: SocketAddr) -> Option<Transaction> {
        let transaction = self.waiting.remove(&(to, number));
        if self.waiting.is_empty() {
            // An empty map keeps its memory, and most nodes wait for nothing most of the time.
            *self = Self::default();
        }
        transaction
    }

    /// Gives up all queries to an address.
    pub(crate) fn abandon(&mut self, to: SocketAddr) -> Vec<Transaction> {
        let numbers: Vec<u32> = self.waiting.range(all(to)).map(|((_, number), _)| *number).collect();
        numbers.iter().filter_map(|number| self.finish(&number.to_be_bytes(), to)).collect()
    }

    /// The next query for which the time has come.
    pub(crate) fn poll_due(&mut self, now: Instant, patience: Duration) -> Option<Due> {
        let (_, number, to) = *self.due.first().filter(|(at, ..)| *at <= now)?;
        let (at, ..) = self.due.pop_first()?;
        let transaction = self.waiting.get_mut(&(to, number))?;
        if transaction.is_slow {
            return self.take(number, to).map(Due::Lost);
        }
        transaction.is_slow = true;
        transaction.due = later(transaction.sent, wait(patience)).max(later(at, Duration::from_millis(1)));
        let slow = *transaction;
        self.due.insert((slow.due, number, to));
        Some(Due::Slow(slow))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Whether an answer from an address is waited for.
    pub(crate) fn is_asked(&self, to: SocketAddr) -> bool {
        !self.waiting.is_empty() && self.waiting.range(all(to)).next().is_some()
    }
}

/// The keys of all queries to an address.
fn all(to: SocketAddr) -> std::ops::RangeInclusive<(SocketAddr, u32)> {
    (to, 0)..=(to, u32::MAX)
}

/// How long an answer is waited for in all.
fn wait(patience: Duration) -> Duration {
    patience.saturating_mul(4).max(MIN_WAIT)
}

fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    const PATIENCE: Duration = Duration::from_millis(300);

    #[test]
    fn an_answer_needs_the_number_and_the_address() {
        let (now, mut rng) = (Instant::now(), Seed::new([1; 32]).rng());
        let [to, other]: [SocketAddr; 2] = ["192.0.2.1:1", "192.0.2.1:2"].map(|it| it.parse().unwrap());
        let mut all = Transactions::default();
        let number = all.begin(now, to, None, Purpose::Probe, PATIENCE, &mut rng);
        assert!(all.finish(&number, other).is_none());
        assert!(all.finish(&number[..3], to).is_none());
        assert!(all.finish(&[0; 4], to).is_none());
        assert!(all.finish(&number, to).is_some());
        assert!(all.finish(&number, to).is_none());
        assert_eq!(all.poll_timeout(), None);
    }

    #[test]
    fn a_query_is_slow_first_and_lost_later() {
        let (now, mut rng) = (Instant::now(), Seed::new([1; 32]).rng());
        let to: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut all = Transactions::default();
        all.begin(now, to, None, Purpose::Probe, PATIENCE, &mut rng);
        assert!(all.poll_due(now + Duration::from_millis(299), PATIENCE).is_none());
        assert!(matches!(all.poll_due(now + PATIENCE, PATIENCE), Some(Due::Slow(_))));
        assert!(all.poll_due(now + PATIENCE, PATIENCE).is_none());
        assert_eq!(all.poll_timeout(), Some(now + MIN_WAIT));
        assert!(matches!(all.poll_due(now + MIN_WAIT, PATIENCE), Some(Due::Lost(_))));
        assert!(all.waiting.is_empty() && all.poll_timeout().is_none());
    }

    /// A guess at the number of one of very many queries has to be right in 32 bits.
    #[test]
    fn numbers_are_random() {
        let (now, mut rng) = (Instant::now(), Seed::new([2; 32]).rng());
        let to: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut all = Transactions::default();
        let numbers: BTreeSet<[u8; 4]> =
            (0..1000).map(|_| all.begin(now, to, None, Purpose::Probe, PATIENCE, &mut rng)).collect();
        assert_eq!(numbers.len(), 1000);
        let mut guesses = Seed::new([3; 32]).rng();
        assert!((0..100_000).all(|_| all.finish(&guesses.next_u32().to_be_bytes(), to).is_none()));
    }
}
