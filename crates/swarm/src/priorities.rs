//! How much each file of a torrent is wanted.

use crate::picker::Priority;
use std::ops::RangeInclusive;

/// How much each file of a torrent is wanted, by its number. Unless told otherwise, all are [`Priority::Normal`]. It can be made before the
/// number of files is known, as magnet links want (BEP 53).
///
/// ```
/// use unchoke_swarm::{FilePriorities, Priority};
/// let some = FilePriorities::only([0..=0, 3..=5]).with(4..=4, Priority::High);
/// assert_eq!([1, 3, 4].map(|file| some.of(file)), [Priority::Skip, Priority::Normal, Priority::High]);
/// let listed: FilePriorities = [Priority::Low, Priority::Skip].into_iter().collect();
/// assert_eq!(listed.of(2), Priority::Normal);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FilePriorities {
    /// The last one that holds a file counts.
    rules: Vec<(RangeInclusive<u32>, Priority)>,
    others: Priority,
}

impl FilePriorities {
    /// These files are normal, all others are skipped.
    #[must_use]
    pub fn only(files: impl IntoIterator<Item = RangeInclusive<u32>>) -> Self {
        let rules = files.into_iter().map(|files| (files, Priority::Normal)).collect();
        Self { rules, others: Priority::Skip }
    }

    /// The same with another priority for some files.
    #[must_use]
    pub fn with(mut self, files: RangeInclusive<u32>, priority: Priority) -> Self {
        self.rules.push((files, priority));
        self
    }

    /// How much a file is wanted.
    #[must_use]
    pub fn of(&self, file: u32) -> Priority {
        self.rules.iter().rev().find(|(files, _)| files.contains(&file)).map_or(self.others, |(_, priority)| *priority)
    }

    /// What leads from files to priorities: the last rule that holds a file counts, and a file that none holds is normal.
    pub fn rules(&self) -> impl Iterator<Item = (RangeInclusive<u32>, Priority)> + '_ {
        let others = Some((0..=u32::MAX, self.others)).filter(|(_, priority)| *priority != Priority::Normal);
        others.into_iter().chain(self.rules.iter().cloned())
    }

    pub(crate) fn are_normal(&self) -> bool {
        self.others == Priority::Normal && self.rules.iter().all(|(_, priority)| *priority == Priority::Normal)
    }
}

/// The priorities of the first files, in order.
impl FromIterator<Priority> for FilePriorities {
    fn from_iter<T: IntoIterator<Item = Priority>>(priorities: T) -> Self {
        let mut rules: Vec<(RangeInclusive<u32>, Priority)> = Vec::new();
        for (file, priority) in (0..=u32::MAX).zip(priorities) {
            match rules.last_mut() {
                Some((files, last)) if *last == priority => *files = *files.start()..=file,
                _ => rules.push((file..=file, priority)),
            }
        }
        Self { rules, others: Priority::Normal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_lead_to_the_same_priorities() {
        let some = FilePriorities::only([2..=4, 7..=7]).with(3..=9, Priority::High).with(4..=4, Priority::Low);
        let again = some.rules().fold(FilePriorities::default(), |made, (files, priority)| made.with(files, priority));
        assert!((0..20).all(|file| again.of(file) == some.of(file)));
        assert_eq!(FilePriorities::default().rules().count(), 0);
    }
}
