//! Rates: a token bucket that limits, and a meter that measures.

use crate::config::MAX_REQUEST;
use std::time::{Duration, Instant};

/// Lets through so many bytes per second, with a burst of a tenth of a second.
///
/// It may go into debt, because what has been received cannot be sent back; nothing more goes through until the debt is paid.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// Bytes per second; `None` is unlimited.
    rate: Option<u64>,
    tokens: i64,
    filled: Instant,
}

/// Bytes that a limited bucket always holds room for, or it would never let the longest block that is served pass.
const MIN_BURST: u64 = MAX_REQUEST as u64;

/// Bytes that must have gathered before a bucket that ran dry is worth coming back to.
const WORTHWHILE: u64 = unchoke_core::BLOCK_LEN as u64;

impl TokenBucket {
    pub(crate) fn new(now: Instant, rate: Option<u64>) -> Self {
        Self { rate, tokens: 0, filled: now }
    }

    pub(crate) fn set_rate(&mut self, now: Instant, rate: Option<u64>) {
        self.refill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(self.burst());
    }

    fn burst(&self) -> i64 {
        self.rate.map_or(i64::MAX, |rate| i64::try_from((rate / 10).max(MIN_BURST)).unwrap_or(i64::MAX))
    }

    fn refill(&mut self, now: Instant) {
        let Some(rate) = self.rate else { return };
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(3600));
        let gained = u128::from(rate).saturating_mul(elapsed.as_micros()) / 1_000_000;
        // Fractions of a byte are not lost: the clock only moves on when there is something to add.
        if gained > 0 {
            self.filled = now;
            self.tokens = self.tokens.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX)).min(self.burst());
        }
    }

    /// Bytes that may pass now.
    pub(crate) fn available(&mut self, now: Instant) -> usize {
        if self.rate.is_none() {
            return usize::MAX;
        }
        self.refill(now);
        usize::try_from(self.tokens).unwrap_or(0)
    }

    /// Takes bytes, into debt if need be.
    pub(crate) fn take(&mut self, now: Instant, bytes: u64) {
        if self.rate.is_some() {
            self.refill(now);
            self.tokens = self.tokens.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// When a debt is paid and reading may go on; `None` if there is none.
    pub(crate) fn positive_at(&self) -> Option<Instant> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        let debt = u64::try_from(self.tokens.saturating_neg()).ok()?.saturating_add(1);
        let wait = Duration::from_micros(debt.saturating_mul(1_000_000).checked_div(rate).unwrap_or(3_600_000_000));
        self.filled.checked_add(wait.clamp(Duration::from_millis(1), Duration::from_secs(3600)))
    }

    /// When a whole block may pass again; `None` if it may now.
    pub(crate) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        let missing = i64::try_from(WORTHWHILE).unwrap_or(i64::MAX).saturating_sub(self.tokens);
        let missing = u64::try_from(missing).ok().filter(|missing| *missing > 0)?;
        let wait = Duration::from_micros(missing.saturating_mul(1_000_000).checked_div(rate).unwrap_or(3_600_000_000));
        // A limit of nearly nothing must not make a timer that never fires.
        Some(now.max(self.filled.checked_add(wait.clamp(Duration::from_millis(1), Duration::from_secs(3600)))?))
    }
}

/// Bytes per second over roughly the last five seconds, and the total.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    total: u64,
    recent: u64,
    rate: u64,
    since: Instant,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self { total: 0, recent: 0, rate: 0, since: now }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        self.recent = self.recent.saturating_add(bytes);
    }

    /// Folds what came since the last call into the rate; call it about once a second.
    pub(crate) fn tick(&mut self, now: Instant) {
        let millis = u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        if millis < 200 {
            return;
        }
        let sample = self.recent.saturating_mul(1000).checked_div(millis).unwrap_or(0);
        // An average whose weight fades by about a third a second; the first sample counts in full.
        self.rate = if self.rate == 0 { sample } else { self.rate.saturating_mul(2).saturating_add(sample) / 3 };
        self.recent = 0;
        self.since = now;
    }

    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        // The tests' only clock reading; everything after it is virtual.
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    #[test]
    fn a_bucket_lets_its_rate_through_over_any_pattern_of_calls() {
        for step in [1, 7, 50, 333] {
            let (begin, rate) = (start(), 1_000_000);
            let mut bucket = TokenBucket::new(begin, Some(rate));
            let mut passed = 0;
            for milli in (0..10_000).step_by(step) {
                let now = begin + Duration::from_millis(milli);
                let granted = bucket.available(now).min(60_000) as u64;
                bucket.take(now, granted);
                passed += granted;
            }
            let wanted = if step == 333 { 600_000 * 3 } else { rate * 10 };
            assert!(passed <= rate * 10 + 100_000, "{step} ms: {passed}");
            assert!(passed >= wanted / 10 * 9, "{step} ms: {passed}");
        }
    }

    #[test]
    fn debt_is_paid_before_anything_passes() {
        let begin = start();
        let mut bucket = TokenBucket::new(begin, Some(100_000));
        bucket.take(begin, 200_000);
        assert_eq!(bucket.available(begin + Duration::from_secs(1)), 0);
        assert!(bucket.available(begin + Duration::from_secs(3)) > 0);
    }

    #[test]
    fn a_waiting_bucket_names_a_time_at_which_a_block_passes() {
        let begin = start();
        let mut bucket = TokenBucket::new(begin, Some(10_000));
        let ready = bucket.ready_at(begin).unwrap();
        assert!(bucket.available(ready) >= WORTHWHILE as usize);
        assert_eq!(TokenBucket::new(begin, None).ready_at(begin), None);
    }

    #[test]
    fn a_meter_follows_the_rate() {
        let begin = start();
        let mut meter = Meter::new(begin);
        for second in 1..=20 {
            meter.add(5000);
            meter.tick(begin + Duration::from_secs(second));
        }
        assert!((4900..=5000).contains(&meter.rate()), "{}", meter.rate());
        assert_eq!(meter.total(), 100_000);
    }
}
