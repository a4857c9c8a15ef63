//! Many trackers for one torrent ([BEP 12]): which to ask next, when, and what to tell it.
//!
//! [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html

use crate::announce::{AnnounceEvent, AnnounceResponse};
use crate::url::TrackerUrl;
use std::time::{Duration, Instant};
use unchoke_core::Seed;

/// An announce that is due. It ends with [`Tiers::handle_response`] or [`Tiers::handle_failure`]; until then there is no other.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DueAnnounce {
    /// The tracker to ask.
    pub url: TrackerUrl,
    /// The event to tell it.
    pub event: Option<AnnounceEvent>,
    /// What it asked to be told back.
    pub tracker_id: Option<Vec<u8>>,
}

/// The trackers of one torrent. Tiers are asked in their order and trackers within a tier in a shuffled one; the first that
/// answers moves to the front of its tier, and the others rest. One that fails waits 15 s, then twice as long each time, up
/// to an hour; meanwhile the next has its turn.
///
/// Each tracker hears `started` first, `completed` once if the download ends during this run, and, if it has heard
/// `started`, `stopped` last.
#[derive(Debug)]
pub struct Tiers {
    tiers: Vec<Vec<Tracker>>,
    /// Nothing is asked before this; `None` says at once.
    due: Option<Instant>,
    under_way: Option<(TrackerUrl, Option<AnnounceEvent>)>,
    is_completed: bool,
    is_stopping: bool,
}

#[derive(Debug)]
struct Tracker {
    url: TrackerUrl,
    is_started: bool,
    knows_completed: bool,
    failures: u32,
    retry_at: Option<Instant>,
    tracker_id: Option<Vec<u8>>,
}

impl Tiers {
    /// Trackers that have heard nothing. A URL that comes twice is kept where it came first.
    #[must_use]
    pub fn new(tiers: &[Vec<TrackerUrl>], seed: &Seed) -> Self {
        let mut rng = seed.rng();
        let mut seen = std::collections::BTreeSet::new();
        let mut shuffled = Vec::new();
        for tier in tiers {
            let mut tier: Vec<_> = tier.iter().filter(|url| seen.insert(*url)).map(Tracker::new).collect();
            for last in (1..tier.len()).rev() {
                let other = rng.below(u32::try_from(last.saturating_add(1)).unwrap_or(u32::MAX)) as usize;
                tier.swap(last, other);
            }
            shuffled.push(tier);
        }
        Self { tiers: shuffled, due: None, under_way: None, is_completed: false, is_stopping: false }
    }

    /// The announce that is due now, if one is.
    #[must_use]
    pub fn next(&mut self, now: Instant) -> Option<DueAnnounce> {
        if self.under_way.is_some() || self.due.is_some_and(|due| due > now) {
            return None;
        }
        let (is_stopping, is_completed) = (self.is_stopping, self.is_completed);
        let mut ready = self.tiers.iter().flatten();
        let tracker =
            ready.find(
                |tracker| {
                    if is_stopping { tracker.is_started } else { tracker.retry_at.is_none_or(|at| at <= now) }
                },
            )?;
        let event = match tracker {
            _ if is_stopping => Some(AnnounceEvent::Stopped),
            Tracker { is_started: false, .. } => Some(AnnounceEvent::Started),
            Tracker { knows_completed: false, .. } if is_completed => Some(AnnounceEvent::Completed),
            _ => None,
        };
        self.under_way = Some((tracker.url.clone(), event));
        Some(DueAnnounce { url: tracker.url.clone(), event, tracker_id: tracker.tracker_id.clone() })
    }

    /// The tracker answered: it moves to the front of its tier, and the next announce is due after its interval.
    pub fn handle_response(&mut self, now: Instant, url: &TrackerUrl, response: &AnnounceResponse) {
        let Some(event) = self.end(url) else { return };
        let is_completed = self.is_completed;
        let mut is_behind = false;
        for tier in &mut self.tiers {
            let Some(at) = tier.iter().position(|tracker| tracker.url == *url) else { continue };
            if let Some(front) = tier.get_mut(..=at) {
                front.rotate_right(1);
            }
            if let Some(tracker) = tier.first_mut() {
                tracker.heard(event);
                (tracker.failures, tracker.retry_at) = (0, None);
                if response.tracker_id.is_some() {
                    tracker.tracker_id.clone_from(&response.tracker_id);
                }
                is_behind = is_completed && !tracker.knows_completed;
            }
        }
        let wait = response.interval.max(response.min_interval.unwrap_or_default());
        self.due = if self.is_stopping || is_behind { None } else { now.checked_add(wait) };
    }

    /// The tracker did not answer, or refused: the next one has its turn at once.
    pub fn handle_failure(&mut self, now: Instant, url: &TrackerUrl) {
        let Some(event) = self.end(url) else { return };
        self.due = None;
        let Some(tracker) = self.tiers.iter_mut().flatten().find(|tracker| tracker.url == *url) else { return };
        if event == Some(AnnounceEvent::Stopped) {
            // Nobody waits for a tracker in order to leave.
            tracker.heard(event);
        }
        let wait = FIRST_WAIT.saturating_mul(1 << tracker.failures.min(16)).min(LONGEST_WAIT);
        tracker.failures = tracker.failures.saturating_add(1);
        tracker.retry_at = now.checked_add(wait);
    }

    /// The last piece has come: the tracker in use hears of it at once. Not to be called for a torrent that was complete from
    /// the start.
    pub fn handle_completed(&mut self) {
        if !self.is_completed {
            self.is_completed = true;
            self.due = None;
        }
    }

    /// The torrent stops: every tracker that has heard `started` hears `stopped`, and nothing else is due.
    pub fn handle_stop(&mut self) {
        self.is_stopping = true;
        self.due = None;
    }

    /// Whether the torrent has stopped and every tracker that had to hear of it was asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let is_owed = self.tiers.iter().flatten().any(|tracker| tracker.is_started);
        self.is_stopping && self.under_way.is_none() && !is_owed
    }

    /// When to call [`next`](Self::next) again, asked after any other call at `now`; `None` while an announce is under way or
    /// nobody is left to ask.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.under_way.is_some() || self.is_stopped() {
            return None;
        }
        if self.is_stopping {
            return Some(now);
        }
        let ready = self.tiers.iter().flatten().map(|tracker| tracker.retry_at.unwrap_or(now)).min()?;
        Some(self.due.map_or(ready, |due| due.max(ready)))
    }

    /// The event of the announce that ends, if it is the one that is under way.
    fn end(&mut self, url: &TrackerUrl) -> Option<Option<AnnounceEvent>> {
        let (_, event) = self.under_way.take_if(|(under_way, _)| under_way == url)?;
        Some(event)
    }
}

impl Tracker {
    fn new(url: &TrackerUrl) -> Self {
        let url = url.clone();
        Self { url, is_started: false, knows_completed: false, failures: 0, retry_at: None, tracker_id: None }
    }

    fn heard(&mut self, event: Option<AnnounceEvent>) {
        match event {
            Some(AnnounceEvent::Started) => self.is_started = true,
            Some(AnnounceEvent::Stopped) => self.is_started = false,
            Some(AnnounceEvent::Completed) => self.knows_completed = true,
            None => {}
        }
    }
}

const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn url(name: &str) -> TrackerUrl {
        TrackerUrl::parse(&format!("http://{name}/announce")).unwrap()
    }

    fn tiers(names: &[&[&str]]) -> Tiers {
        let urls: Vec<Vec<_>> = names.iter().map(|tier| tier.iter().map(|name| url(name)).collect()).collect();
        Tiers::new(&urls, &Seed::new([5; 32]))
    }

    fn asked(tiers: &mut Tiers, now: Instant) -> Option<(String, Option<AnnounceEvent>)> {
        tiers.next(now).map(|due| (due.url.host().to_owned(), due.event))
    }

    fn answer() -> AnnounceResponse {
        AnnounceResponse::new(Duration::from_secs(900))
    }

    #[test]
    fn a_torrent_starts_completes_and_stops() {
        let (mut tiers, start) = (tiers(&[&["a"]]), Instant::now());
        assert_eq!(asked(&mut tiers, start), Some(("a".into(), Some(AnnounceEvent::Started))));
        assert_eq!(asked(&mut tiers, start), None, "one at a time");
        tiers.handle_response(start, &url("a"), &answer());
        assert_eq!(asked(&mut tiers, start), None);
        let later = start + Duration::from_secs(900);
        assert_eq!(tiers.poll_timeout(start), Some(later));
        assert_eq!(asked(&mut tiers, later), Some(("a".into(), None)));
        tiers.handle_completed();
        tiers.handle_response(later, &url("a"), &answer());
        assert_eq!(asked(&mut tiers, later), Some(("a".into(), Some(AnnounceEvent::Completed))));
        tiers.handle_response(later, &url("a"), &answer());
        tiers.handle_stop();
        assert_eq!(tiers.poll_timeout(later), Some(later));
        assert_eq!(asked(&mut tiers, later), Some(("a".into(), Some(AnnounceEvent::Stopped))));
        tiers.handle_failure(later, &url("a"));
        assert!(tiers.is_stopped());
        assert_eq!((asked(&mut tiers, later), tiers.poll_timeout(later)), (None, None));
    }

    #[test]
    fn the_next_tier_serves_while_the_first_backs_off() {
        let (mut tiers, start) = (tiers(&[&["a"], &["b"]]), Instant::now());
        let mut now = start;
        for wait in [15, 30, 60, 120] {
            assert_eq!(asked(&mut tiers, now).unwrap().0, "a");
            tiers.handle_failure(now, &url("a"));
            assert_eq!(asked(&mut tiers, now).unwrap().0, "b");
            tiers.handle_failure(now, &url("b"));
            assert_eq!(asked(&mut tiers, now), None);
            assert_eq!(tiers.poll_timeout(now), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
    }

    #[test]
    fn the_tracker_that_answers_is_asked_first_from_then_on() {
        let (mut tiers, now) = (tiers(&[&["a", "b", "c", "d"]]), Instant::now());
        let mut order = Vec::new();
        for _ in 0..3 {
            let (name, _) = asked(&mut tiers, now).unwrap();
            tiers.handle_failure(now, &url(&name));
            order.push(name);
        }
        let (last, _) = asked(&mut tiers, now).unwrap();
        assert!(!order.contains(&last));
        tiers.handle_response(now, &url(&last), &answer());
        assert_eq!(asked(&mut tiers, now + Duration::from_secs(4000)).unwrap().0, last);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_changes_nothing() {
        let (mut tiers, now) = (tiers(&[&["a"], &["a", "b"]]), Instant::now());
        tiers.handle_response(now, &url("b"), &answer());
        assert_eq!(asked(&mut tiers, now).unwrap().0, "a");
        tiers.handle_failure(now, &url("b"));
        assert_eq!(asked(&mut tiers, now), None);
    }
}
