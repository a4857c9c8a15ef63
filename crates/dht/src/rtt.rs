//! How long answers take: a histogram that forgets, and the patience that follows from it.

use std::time::Duration;

/// Round-trip times in buckets of a quarter of an octave, from one millisecond to half a minute.
#[derive(Clone, Debug)]
pub(crate) struct RoundTrips {
    counts: [u8; BUCKETS],
    total: u16,
    /// In milliseconds.
    patience: u16,
}

const BUCKETS: usize = 60;
/// Fewer samples than this say nothing.
const MIN_SAMPLES: u16 = 8;
/// When so many have been counted, each count is halved.
const MAX_SAMPLES: u16 = 250;

/// Patience before there are samples, and its limits, in milliseconds.
const UNKNOWN: u16 = 800;
const SHORTEST: u64 = 60;
const LONGEST: u64 = 2500;

impl RoundTrips {
    pub(crate) const fn new() -> Self {
        Self { counts: [0; BUCKETS], total: 0, patience: UNKNOWN }
    }

    /// Counts an answer that took so long.
    pub(crate) fn add(&mut self, time: Duration) {
        if self.total >= MAX_SAMPLES {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u16::from(*count)).sum();
        }
        if let Some(count) = self.counts.get_mut(bucket(time)) {
            *count = count.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
        if self.total >= MIN_SAMPLES {
            let fast = self.quantile(10).saturating_add(100);
            let patience = fast.max(self.quantile(85)).clamp(SHORTEST, LONGEST);
            self.patience = u16::try_from(patience).unwrap_or(UNKNOWN);
        }
    }

    /// How long to wait for an answer before somebody else is asked as well: as long as 85 of a hundred take, and no less than a tenth of a
    /// second longer than the fastest.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.into())
    }

    /// What so many percent of the answers took at most, in milliseconds.
    fn quantile(&self, percent: u32) -> u64 {
        let wanted = u32::from(self.total).saturating_mul(percent).div_ceil(100);
        let mut before = 0_u32;
        for (number, count) in self.counts.iter().enumerate() {
            let count = u32::from(*count);
            let within = wanted.saturating_sub(before);
            if within <= count {
                // As if the times of a bucket were spread evenly over it.
                let lower = number.checked_sub(1).map_or(0, upper);
                let part = upper(number).saturating_sub(lower).saturating_mul(within.into());
                return lower.saturating_add(part.checked_div(count.into()).unwrap_or(0));
            }
            before = before.saturating_add(count);
        }
        upper(BUCKETS)
    }
}

fn bucket(time: Duration) -> usize {
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
    let octave = millis.ilog2();
    let quarter = (millis.wrapping_shl(2) >> octave) & 3;
    let number = octave.saturating_mul(4).saturating_add(quarter) as usize;
    number.min(BUCKETS.saturating_sub(1))
}

/// The longest time that falls into a bucket, about, in milliseconds.
fn upper(number: usize) -> u64 {
    let number = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
    let octave = 1_u64.checked_shl(number / 4).unwrap_or(u64::MAX);
    octave.saturating_mul(u64::from(4_u32.saturating_add(number % 4))) / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_slow_tenth_of_the_answers() {
        let mut times = RoundTrips::new();
        assert_eq!(times.patience().as_millis(), UNKNOWN.into());
        for n in 0..200_u64 {
            times.add(Duration::from_millis(100 + n % 100));
        }
        let patience = times.patience().as_millis();
        assert!((190..=260).contains(&patience), "{patience}");
        for _ in 0..2000 {
            times.add(Duration::from_millis(2));
        }
        let patience = times.patience().as_millis();
        assert!((100..=110).contains(&patience), "{patience}");
        for _ in 0..2000 {
            times.add(Duration::from_secs(20));
        }
        assert_eq!(times.patience().as_millis(), LONGEST.into());
    }

    #[test]
    fn every_time_is_below_the_end_of_its_bucket() {
        for millis in 1..40_000 {
            let time = Duration::from_millis(millis);
            assert!(upper(bucket(time)) >= millis.min(20_000), "{millis}");
        }
    }
}
