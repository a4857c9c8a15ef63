//! How many nodes there are, as the distances of the nearest ones tell, and whether a set of nearest nodes fits that.

use crate::id::Id;

/// Estimates from searches of the node's own, whose targets nobody could choose.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkSize {
    /// The latest estimates, in powers of two.
    log2: Vec<f32>,
}

const KEPT: usize = 3;
/// Fewer estimates are none.
const ENOUGH: usize = 3;
/// A network this small, in powers of two, needs no such care.
const SMALL: f32 = 8.0;
/// How far, in powers of two, the nearest nodes of a search may be from what is expected: chance does more in one of fifty searches, where
/// nodes come and go.
const TOLERANCE: f32 = 2.0;

impl NetworkSize {
    /// Counts the outcome of a search for a point that was chosen by us.
    pub(crate) fn add(&mut self, target: Id, closest: impl Iterator<Item = Id>) {
        if let Some(estimate) = estimate(target, closest) {
            if self.log2.len() >= KEPT {
                self.log2.remove(0);
            }
            self.log2.push(estimate);
        }
    }

    /// The number of nodes.
    pub(crate) fn get(&self) -> Option<f64> {
        self.median().map(|log2| f64::from(log2).exp2())
    }

    /// Whether these are nearer to the target, or farther from it, than the nearest of all nodes would be: somebody has put nodes there, or
    /// shows only some of those that there are.
    pub(crate) fn is_suspicious(&self, target: Id, closest: impl Iterator<Item = Id>) -> bool {
        let (Some(expected), Some(found)) = (self.median(), estimate(target, closest)) else { return false };
        // A handful of nodes is known to all of them.
        expected >= SMALL && (expected - found).abs() > TOLERANCE
    }

    fn median(&self) -> Option<f32> {
        let mut sorted = self.log2.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        (sorted.len() >= ENOUGH).then(|| sorted.get(sorted.len() / 2).copied())?
    }
}

/// If so many nodes are within the distance of the farthest of these, how many are there in all? In powers of two; chance moves it by half of one.
#[expect(clippy::cast_possible_truncation, reason = "a rough number is wanted")]
fn estimate(target: Id, closest: impl Iterator<Item = Id>) -> Option<f32> {
    let nearest = closest.take(8).map(|id| id.distance(target).share());
    let (count, farthest) = nearest.fold((0.0, 0.0_f64), |(count, farthest), share| (count + 1.0, farthest.max(share)));
    (count >= 4.0 && farthest > 0.0).then(|| (count / farthest).log2() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    #[test]
    fn the_size_is_found_and_what_does_not_fit_it_is_noticed() {
        let mut rng = Seed::new([5; 32]).rng();
        let ids: Vec<Id> = (0..4000).map(|_| Id::random(&mut rng)).collect();
        let nearest = |target: Id, of: &[Id]| {
            let mut sorted = of.to_vec();
            sorted.sort_unstable_by_key(|id| id.distance(target));
            sorted.truncate(8);
            sorted
        };
        let mut size = NetworkSize::default();
        for _ in 0..3 {
            let target = Id::random(&mut rng);
            size.add(target, nearest(target, &ids).into_iter());
        }
        let found = size.get().unwrap();
        assert!((2500.0..6500.0).contains(&found), "{found}");
        let mut count = |share: usize, planted: u32| {
            let seen = |rng: &mut unchoke_core::Rng| {
                let target = Id::random(rng);
                let mut known = ids[..ids.len() / share].to_vec();
                known.extend((0..planted).map(|_| target.random_beside(24, rng)));
                size.is_suspicious(target, nearest(target, &known).into_iter())
            };
            (0..200).filter(|_| seen(&mut rng)).count()
        };
        assert!(count(1, 0) <= 8, "false alarms");
        assert!(count(1, 20) == 200, "planted nodes");
        assert!(count(8, 0) >= 180, "most nodes hidden");
    }
}
