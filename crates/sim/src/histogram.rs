//! Samples with exact percentiles.

use std::time::Duration;

/// Keeps every value that it is given, 8 bytes each, and tells any percentile exactly.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Histogram {
    values: Vec<u64>,
    is_sorted: bool,
}

impl Histogram {
    /// No values.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: Vec::new(), is_sorted: true }
    }

    /// Adds a value in whatever unit the others have.
    pub fn record(&mut self, value: u64) {
        self.is_sorted = false;
        self.values.push(value);
    }

    /// Adds a time in microseconds.
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds all values of another one.
    pub fn merge(&mut self, other: &Self) {
        self.is_sorted = false;
        self.values.extend_from_slice(&other.values);
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The least value that `percent` of the values, from 0 to 100, do not exceed; `None` if there are none.
    pub fn percentile(&mut self, percent: f64) -> Option<u64> {
        let rank = crate::dice::whole((percent.clamp(0.0, 100.0) / 100.0 * self.values.len() as f64).ceil());
        let at = usize::try_from(rank.saturating_sub(1)).unwrap_or(usize::MAX);
        self.sorted().get(at).copied()
    }

    /// The sum over the number; `None` if there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.values.iter().map(|it| *it as f64).sum();
        (!self.is_empty()).then(|| sum / self.values.len() as f64)
    }

    /// The values in order.
    pub fn sorted(&mut self) -> &[u64] {
        if !self.is_sorted {
            self.values.sort_unstable();
            self.is_sorted = true;
        }
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_recorded() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(50.0), None);
        for value in (1..=200).rev() {
            histogram.record(value);
        }
        let wanted = [(0.0, 1), (0.5, 1), (50.0, 100), (50.1, 101), (99.0, 198), (100.0, 200)];
        assert!(wanted.iter().all(|(percent, value)| histogram.percentile(*percent) == Some(*value)));
        assert_eq!(histogram.mean(), Some(100.5));
    }
}
