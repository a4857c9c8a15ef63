//! A map in one sorted vector: nothing but its entries in memory, and the same order in every run.

#[derive(Debug)]
pub(crate) struct Sorted<K, V>(Vec<(K, V)>);

/// Entries that there is room for at least.
const LEAST: usize = 4;

impl<K: Ord + Copy, V> Sorted<K, V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// Forgets what is no longer wanted, each time when half as much again has come, and lets go of the memory.
    pub(crate) fn tidy(&mut self, wanted: impl Fn(&V) -> bool) {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|(_, value)| wanted(value));
            let room = (self.0.len() / 2).max(LEAST);
            self.0.shrink_to(self.0.len() + room);
            self.0.reserve_exact(room);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn find(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(key, _)| *key)
    }
}
