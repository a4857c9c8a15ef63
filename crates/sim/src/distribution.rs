//! Distributions of durations: delays, sessions, pauses.

use crate::dice::{Dice, nanos, whole};
use crate::math;
use std::sync::Arc;
use std::time::Duration;
use unchoke_core::Rng;

/// How a duration varies.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Each between the two as likely as any other.
    Uniform {
        /// The least.
        low: Duration,
        /// The greatest.
        high: Duration,
    },
    /// Memoryless: the time to the next of events that do not depend on one another.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// The logarithm is normal: delays of access lines, with a long tail.
    LogNormal {
        /// Half of the draws are below it.
        median: Duration,
        /// Standard deviation of the natural logarithm; 0.5 puts 95 % within a factor of 2.7.
        sigma: f64,
    },
    /// The lengths of sessions. With a shape below 1, who has been here for long will stay for long.
    Weibull {
        /// The shape k.
        shape: f64,
        /// The scale λ: 63 % of the draws are below it.
        scale: Duration,
    },
    /// Measured durations, one after the other, and again from the first.
    Trace(Arc<[Duration]>),
}

impl Distribution {
    /// No time at all.
    pub const ZERO: Self = Self::Constant(Duration::ZERO);

    /// One draw. A trace gives its `turn`th entry.
    #[must_use]
    pub fn sample(&self, rng: &mut Rng, turn: usize) -> Duration {
        Duration::from_nanos(self.draw(&mut Dice::new(rng.next_u64()), turn))
    }

    /// One draw, in nanoseconds.
    pub(crate) fn draw(&self, dice: &mut Dice, turn: usize) -> u64 {
        match self {
            Self::Constant(duration) => nanos(*duration),
            Self::Uniform { low, high } => {
                let span = nanos(high.saturating_sub(*low));
                nanos(*low).saturating_add(whole(dice.unit() * span as f64))
            }
            Self::Exponential { mean } => whole(nanos(*mean) as f64 * -math::ln(1.0 - dice.unit())),
            Self::LogNormal { median, sigma } => whole(nanos(*median) as f64 * math::exp(sigma * dice.normal())),
            Self::Weibull { shape, scale } => {
                let exponential = -math::ln(1.0 - dice.unit());
                let power = math::exp(math::ln(exponential.max(f64::MIN_POSITIVE)) / shape);
                whole(nanos(*scale) as f64 * power)
            }
            Self::Trace(durations) => {
                let turn = turn.checked_rem(durations.len()).unwrap_or(0);
                durations.get(turn).map_or(0, |it| nanos(*it))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn median(distribution: &Distribution) -> f64 {
        let mut rng = unchoke_core::Seed::new([5; 32]).rng();
        let mut draws: Vec<Duration> = (0..20_001).map(|turn| distribution.sample(&mut rng, turn)).collect();
        draws.sort();
        draws[10_000].as_secs_f64() / HOUR.as_secs_f64()
    }

    #[test]
    fn medians_are_those_of_the_formulas() {
        let weibull = Distribution::Weibull { shape: 0.43, scale: HOUR };
        assert!((median(&weibull) / 2f64.ln().powf(1.0 / 0.43) - 1.0).abs() < 0.05);
        assert!((median(&Distribution::Exponential { mean: HOUR }) / 2f64.ln() - 1.0).abs() < 0.03);
        assert!((median(&Distribution::LogNormal { median: HOUR, sigma: 0.8 }) - 1.0).abs() < 0.03);
        assert!((median(&Distribution::Uniform { low: HOUR, high: HOUR * 3 }) - 2.0).abs() < 0.03);
    }

    #[test]
    fn a_trace_comes_in_order_and_again() {
        let trace = Distribution::Trace(Arc::from([HOUR, HOUR * 2]));
        let mut rng = unchoke_core::Seed::new([5; 32]).rng();
        let drawn: Vec<Duration> = (0..3).map(|turn| trace.sample(&mut rng, turn)).collect();
        assert_eq!(drawn, [HOUR, HOUR * 2, HOUR]);
        assert_eq!(Distribution::Trace(Arc::from([])).sample(&mut rng, 1), Duration::ZERO);
    }
}
