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

    /// Grows by half if there is no room.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                if self.is_full() {
                    self.0.reserve_exact((self.0.len() / 2).max(LEAST));
                }
                self.0.insert(at, (key, value));
            }
        }
    }

    /// Whether the next entry takes more memory.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }

    /// Forgets what is no longer wanted, and lets go of memory that is not needed soon.
    pub(crate) fn tidy(&mut self, wanted: impl Fn(&V) -> bool) {
        self.0.retain(|(_, value)| wanted(value));
        let room = self.0.len() / 2;
        if self.0.capacity() > self.0.len() + 2 * room.max(LEAST) {
            self.0.shrink_to(self.0.len() + room);
        }
    }

    /// The first entry of which this holds.
    pub(crate) fn find_value(&self, is_it: impl Fn(&V) -> bool) -> Option<(K, &V)> {
        self.0.iter().find(|(_, value)| is_it(value)).map(|(key, value)| (*key, value))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn find(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(key, _)| *key)
    }
}
