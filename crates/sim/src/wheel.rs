//! The queue of what will happen: a timing wheel of 16-byte entries. What is due at one nanosecond comes out in the order in which it
//! was put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something due at a nanosecond; what it is, only the caller knows.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    what: u64,
}

/// Entries of one slot, in the order in which they came, and before them those of the chunk `before`.
#[derive(Clone, Debug)]
struct Chunk {
    entries: [Entry; CHUNK],
    length: u32,
    before: u32,
}

/// One row of the wheel: the last chunk of each slot, or `NONE`.
#[derive(Debug)]
struct Row {
    slots: Vec<u32>,
    /// A bit for each slot that holds something.
    used: [u64; SLOTS / 64],
}

impl Row {
    fn new() -> Self {
        Self { slots: vec![NONE; SLOTS], used: [0; SLOTS / 64] }
    }

    /// The first slot from `from` on that holds something.
    fn next(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.used.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.used.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// The memory of all slots. What one gives back another takes, so that it is no more than the most entries at a time need.
#[derive(Debug)]
struct Chunks {
    chunks: Vec<Chunk>,
    free: Vec<u32>,
}

impl Chunks {
    fn push(&mut self, row: &mut Row, slot: usize, entry: Entry) {
        let last = row.slots[slot];
        if let Some(chunk) = self.chunks.get_mut(last as usize)
            && let Some(place) = chunk.entries.get_mut(chunk.length as usize)
        {
            *place = entry;
            chunk.length += 1;
            return;
        }
        let chunk = Chunk { entries: [entry; CHUNK], length: 1, before: last };
        row.slots[slot] = match self.free.pop() {
            Some(number) => {
                self.chunks[number as usize] = chunk;
                number
            }
            None => {
                self.chunks.push(chunk);
                u32::try_from(self.chunks.len() - 1).unwrap_or(NONE)
            }
        };
        row.used[slot / 64] |= 1 << (slot % 64);
    }

    /// Empties a slot into `out`, which is cleared before, in the order in which the entries came.
    fn take(&mut self, row: &mut Row, slot: usize, out: &mut Vec<Entry>) {
        out.clear();
        row.used[slot / 64] &= !(1 << (slot % 64));
        let begin = self.free.len();
        let mut number = std::mem::replace(&mut row.slots[slot], NONE);
        while let Some(chunk) = self.chunks.get(number as usize) {
            self.free.push(number);
            number = chunk.before;
        }
        for number in self.free[begin..].iter().rev() {
            let chunk = &self.chunks[*number as usize];
            out.extend_from_slice(&chunk.entries[..chunk.length as usize]);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Wheel {
    /// The slot that is being emptied, in order, from `done` on.
    due: Vec<Entry>,
    done: usize,
    /// What was put in for a time whose slot has been opened already.
    fresh: BinaryHeap<Reverse<(u64, u64, u64)>>,
    sequence: u64,
    /// The block that `near` covers, and the first of its slots that has not been opened.
    block: u64,
    cursor: usize,
    /// Slots of 2²⁰ ns (1 ms), 4.3 s in all.
    near: Row,
    /// Slots of 2³² ns, 4.9 hours in all.
    far: Row,
    chunks: Chunks,
    beyond: Vec<Entry>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            due: Vec::new(),
            done: 0,
            fresh: BinaryHeap::new(),
            sequence: 0,
            block: 0,
            cursor: 0,
            near: Row::new(),
            far: Row::new(),
            chunks: Chunks { chunks: Vec::new(), free: Vec::new() },
            beyond: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, at: u64, what: u64) {
        let entry = Entry { at, what };
        let block = at >> BLOCK_BITS;
        if block < self.block || (block == self.block && slot(at) < self.cursor) {
            self.sequence += 1;
            self.fresh.push(Reverse((at, self.sequence, what)));
        } else if block == self.block {
            self.chunks.push(&mut self.near, slot(at), entry);
        } else if block >> ROW_BITS == self.block >> ROW_BITS {
            self.chunks.push(&mut self.far, index(block), entry);
        } else {
            self.beyond.push(entry);
        }
    }

    /// The next thing, if it is due at `limit` or before.
    pub(crate) fn pop(&mut self, limit: u64) -> Option<(u64, u64)> {
        loop {
            let due = self.due.get(self.done).copied();
            let fresh = self.fresh.peek().map(|it| it.0);
            match (due, fresh) {
                // Of two at one time, what lay in the slot when it was opened was put in first.
                (Some(due), fresh) if fresh.is_none_or(|(at, ..)| due.at <= at) => {
                    if due.at > limit {
                        return None;
                    }
                    self.done += 1;
                    return Some((due.at, due.what));
                }
                (_, Some((at, _, what))) => {
                    if at > limit {
                        return None;
                    }
                    self.fresh.pop();
                    return Some((at, what));
                }
                _ => {}
            }
            if !self.advance(limit) {
                return None;
            }
        }
    }

    /// Opens the next slot that holds something, unless it begins after `limit`.
    fn advance(&mut self, limit: u64) -> bool {
        if let Some(slot) = self.near.next(self.cursor) {
            if (self.block << BLOCK_BITS) + ((slot as u64) << SLOT_BITS) > limit {
                return false;
            }
            self.chunks.take(&mut self.near, slot, &mut self.due);
            self.due.sort_by_key(|it| it.at);
            self.done = 0;
            self.cursor = slot + 1;
            return true;
        }
        if let Some(slot) = self.far.next(index(self.block) + 1) {
            let block = (self.block >> ROW_BITS << ROW_BITS) + slot as u64;
            if block << BLOCK_BITS > limit {
                return false;
            }
            self.open_block(block);
            let mut entries = Vec::new();
            self.chunks.take(&mut self.far, slot, &mut entries);
            for entry in entries {
                self.push(entry.at, entry.what);
            }
            return true;
        }
        let Some(first) = self.beyond.iter().map(|it| it.at).min() else { return false };
        if first > limit {
            return false;
        }
        self.open_block(first >> BLOCK_BITS);
        for entry in std::mem::take(&mut self.beyond) {
            self.push(entry.at, entry.what);
        }
        true
    }

    fn open_block(&mut self, block: u64) {
        self.block = block;
        self.cursor = 0;
    }
}

fn slot(at: u64) -> usize {
    index(at >> SLOT_BITS)
}

/// The lowest bits of a number, as an index into a row.
fn index(number: u64) -> usize {
    usize::try_from(number & (SLOTS as u64 - 1)).unwrap_or(0)
}

const SLOT_BITS: u32 = 20;
const ROW_BITS: u32 = 12;
const BLOCK_BITS: u32 = SLOT_BITS + ROW_BITS;
const SLOTS: usize = 1 << ROW_BITS;
/// Entries of a chunk, which with them has 120 bytes.
const CHUNK: usize = 7;
/// In place of the number of a chunk.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use std::collections::BTreeMap;

    #[test]
    fn gives_what_a_sorted_map_gives() {
        let mut dice = Dice::new(7);
        let (mut wheel, mut map) = (Wheel::new(), BTreeMap::new());
        let (mut now, mut sequence) = (0, 0);
        for round in 0..60_000_u64 {
            // Delays from none to days, many of them equal.
            let bits = dice.next_u64() % 50;
            let at = now + (dice.next_u64() % 8) * (1 << bits) / 4;
            sequence += 1;
            wheel.push(at, sequence);
            map.insert((at, sequence), ());
            if round % 3 != 0 || round > 40_000 {
                let limit = now + dice.next_u64() % (1 << (dice.next_u64() % 50));
                let wanted = map.first_key_value().map(|(key, ())| *key).filter(|(at, _)| *at <= limit);
                assert_eq!(wheel.pop(limit), wanted);
                if let Some(key) = wanted {
                    map.remove(&key);
                }
                now = wanted.map_or(limit, |(at, _)| at);
            }
        }
        while let Some((key, ())) = map.pop_first() {
            assert_eq!(wheel.pop(u64::MAX), Some(key));
        }
        assert_eq!(wheel.pop(u64::MAX), None);
    }
}
