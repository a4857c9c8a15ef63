//! What has been written and is not in the bucket yet, in memory.

use bytes::Bytes;
use std::collections::BTreeMap;
use unchoke_core::PieceIndex;

/// Pieces in memory, and how many bytes they are.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pieces: BTreeMap<PieceIndex, Staged>,
    used: usize,
}

/// What is staged of a piece.
#[derive(Debug, Default)]
struct Staged {
    state: StageState,
    /// What was put out of memory, in the order of writing.
    parts: Vec<Part>,
    /// What is in memory, by its offset, in the order of writing: of two that overlap the later one counts, and it is later than all parts.
    segments: Vec<(u32, Bytes)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum StageState {
    /// Not known to be right.
    #[default]
    Open,
    /// Right, and not in the bucket.
    Dirty,
    /// Right, and in the bucket; kept for the object of its group.
    Clean,
}

/// An object with bytes of a piece that is not known to be right.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    /// Offset and length of each piece of it.
    pub(super) segments: Vec<(u32, u32)>,
}

/// How much of a range is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// All, in memory.
    Here,
    /// All, but not in memory.
    Parted,
    /// Not all.
    Missing,
}

impl Stage {
    /// Bytes in memory.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    pub(super) fn state(&self, piece: PieceIndex) -> Option<StageState> {
        self.pieces.get(&piece).map(|staged| staged.state)
    }

    pub(super) fn put(&mut self, piece: PieceIndex, offset: u32, bytes: Bytes) {
        let staged = self.pieces.entry(piece).or_default();
        let (start, end) = span(offset, &bytes);
        let before = staged.size();
        staged.segments.retain(|(at, old)| {
            let (at, old_end) = span(*at, old);
            at < start || old_end > end
        });
        staged.segments.push((offset, bytes));
        self.used = self.used.saturating_sub(before).saturating_add(staged.size());
    }

    /// How much of some bytes of a piece is there.
    pub(super) fn presence(&self, piece: PieceIndex, offset: u32, length: u32) -> Presence {
        let Some(staged) = self.pieces.get(&piece) else { return Presence::Missing };
        let here = staged.segments.iter().map(|(at, bytes)| span(*at, bytes));
        let parted = staged.parts.iter().flat_map(|part| &part.segments);
        let parted = parted.map(|(at, length)| (u64::from(*at), u64::from(*at).saturating_add((*length).into())));
        let (start, end) = (u64::from(offset), u64::from(offset).saturating_add(length.into()));
        if covers(here.clone().collect(), start, end) {
            Presence::Here
        } else if covers(here.chain(parted).collect(), start, end) {
            Presence::Parted
        } else {
            Presence::Missing
        }
    }

    /// Copies bytes of a piece that are [`Here`](Presence::Here).
    pub(super) fn copy(&self, piece: PieceIndex, offset: u32, buf: &mut [u8]) {
        let Some(staged) = self.pieces.get(&piece) else { return };
        for (at, bytes) in &staged.segments {
            // Where the two meet, as offsets in each.
            let (into, from) = (at.saturating_sub(offset) as usize, offset.saturating_sub(*at) as usize);
            let length = buf.len().saturating_sub(into).min(bytes.len().saturating_sub(from));
            let to = buf.get_mut(into..into.saturating_add(length));
            if let (Some(to), Some(part)) = (to, bytes.get(from..from.saturating_add(length))) {
                to.copy_from_slice(part);
            }
        }
    }

    /// The piece is right: all of it is [`Here`](Presence::Here), and from now on it is one part.
    pub(super) fn seal(&mut self, piece: PieceIndex, length: u32) {
        if self.pieces.get(&piece).is_none_or(|staged| staged.segments.len() != 1) {
            let mut whole = vec![0; length as usize];
            self.copy(piece, 0, &mut whole);
            self.put(piece, 0, whole.into());
        }
        if let Some(staged) = self.pieces.get_mut(&piece) {
            staged.state = StageState::Dirty;
        }
    }

    /// All bytes of a piece that is right.
    pub(super) fn sealed(&self, piece: PieceIndex) -> Option<Bytes> {
        let staged = self.pieces.get(&piece).filter(|staged| staged.state != StageState::Open)?;
        staged.segments.first().map(|(_, bytes)| bytes.clone())
    }

    /// The piece is in the bucket; it is kept as long as there is room.
    pub(super) fn keep(&mut self, piece: PieceIndex) {
        if let Some(staged) = self.pieces.get_mut(&piece).filter(|staged| staged.state == StageState::Dirty) {
            staged.state = StageState::Clean;
        }
    }

    /// Forgets a piece. Returns the objects that it had parts in.
    pub(super) fn remove(&mut self, piece: PieceIndex) -> Vec<String> {
        let Some(staged) = self.pieces.remove(&piece) else { return Vec::new() };
        self.used = self.used.saturating_sub(staged.size());
        staged.parts.into_iter().map(|part| part.name).collect()
    }

    /// Lets go of what is in the bucket until there are at most so many bytes.
    pub(super) fn shed(&mut self, limit: usize) {
        while self.used > limit
            && let Some(piece) =
                self.pieces.iter().find(|(_, it)| it.state == StageState::Clean).map(|(piece, _)| *piece)
        {
            self.remove(piece);
        }
    }

    /// Lets go of all that is in the bucket.
    pub(super) fn shed_clean(&mut self) {
        let clean: Vec<PieceIndex> = self.of(StageState::Clean).collect();
        clean.into_iter().for_each(|piece| drop(self.remove(piece)));
    }

    /// The pieces that are right and not in the bucket.
    pub(super) fn dirty(&self) -> impl Iterator<Item = PieceIndex> {
        self.of(StageState::Dirty)
    }

    fn of(&self, state: StageState) -> impl Iterator<Item = PieceIndex> {
        self.pieces.iter().filter(move |(_, staged)| staged.state == state).map(|(piece, _)| *piece)
    }

    /// The piece not known to be right that has most bytes in memory, with these bytes.
    pub(super) fn largest(&self, except: Option<PieceIndex>) -> Option<(PieceIndex, Vec<(u32, Bytes)>)> {
        let open = self.pieces.iter().filter(|(piece, staged)| {
            staged.state == StageState::Open && !staged.segments.is_empty() && Some(**piece) != except
        });
        open.max_by_key(|(_, staged)| staged.size()).map(|(piece, staged)| (*piece, staged.segments.clone()))
    }

    /// These bytes of a piece are in an object now. False if the piece is gone, or known to be right by now, and they are of no use there.
    pub(super) fn part(&mut self, piece: PieceIndex, out: &[(u32, Bytes)], name: String) -> bool {
        let open = self.pieces.get_mut(&piece).filter(|staged| staged.state == StageState::Open);
        let Some(staged) = open else { return false };
        let before = staged.size();
        staged.segments.retain(|(at, bytes)| {
            !out.iter()
                .any(|(offset, gone)| offset == at && gone.as_ptr() == bytes.as_ptr() && gone.len() == bytes.len())
        });
        let length = |bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let segments = out.iter().map(|(offset, bytes)| (*offset, length(bytes))).collect();
        staged.parts.push(Part { name, segments });
        self.used = self.used.saturating_sub(before).saturating_add(staged.size());
        true
    }

    pub(super) fn parts(&self, piece: PieceIndex) -> Vec<Part> {
        self.pieces.get(&piece).map(|staged| staged.parts.clone()).unwrap_or_default()
    }

    /// Forgets parts that are no longer needed. Returns their objects.
    pub(super) fn forget_parts(&mut self, piece: PieceIndex) -> Vec<String> {
        let parts = self.pieces.get_mut(&piece).map(|staged| std::mem::take(&mut staged.parts)).unwrap_or_default();
        parts.into_iter().map(|part| part.name).collect()
    }

    /// Takes parts back into memory, with the bytes of each. Returns the objects that are no longer needed.
    pub(super) fn load(&mut self, piece: PieceIndex, loaded: Vec<(Part, Bytes)>) -> Vec<String> {
        let Some(staged) = self.pieces.get_mut(&piece) else { return Vec::new() };
        let later = std::mem::take(&mut staged.segments);
        self.used = self.used.saturating_sub(later.iter().map(|(_, bytes)| bytes.len()).sum());
        let mut done = Vec::new();
        let mut earlier = Vec::new();
        for (part, bytes) in loaded {
            let mut at = 0_usize;
            for (offset, length) in part.segments {
                let end = at.saturating_add(length as usize);
                earlier.push((offset, bytes.slice(at.min(bytes.len())..end.min(bytes.len()))));
                at = end;
            }
            staged.parts.retain(|known| known.name != part.name);
            done.push(part.name);
        }
        for (offset, bytes) in earlier.into_iter().chain(later) {
            self.put(piece, offset, bytes);
        }
        done
    }
}

impl Staged {
    fn size(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

/// Where bytes begin and end in their piece.
fn span(offset: u32, bytes: &Bytes) -> (u64, u64) {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    (offset.into(), u64::from(offset).saturating_add(length))
}

/// Whether spans leave no gap between two offsets.
fn covers(mut spans: Vec<(u64, u64)>, start: u64, end: u64) -> bool {
    spans.sort_unstable();
    let reached =
        spans.into_iter().fold(start, |reached, (from, to)| if from <= reached { reached.max(to) } else { reached });
    reached >= end
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: PieceIndex = PieceIndex(3);

    fn segment(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    #[test]
    fn of_bytes_that_were_written_twice_the_later_count_wherever_the_earlier_lie() {
        let mut stage = Stage::default();
        stage.put(PIECE, 0, segment(1, 60));
        stage.put(PIECE, 50, segment(2, 50));
        assert_eq!((stage.used(), stage.presence(PIECE, 0, 100)), (110, Presence::Here));
        let (piece, out) = stage.largest(None).unwrap();
        assert!(stage.largest(Some(piece)).is_none());
        // Something is written while the rest is on its way out.
        stage.put(PIECE, 40, segment(3, 15));
        assert!(stage.part(piece, &out, "a".into()));
        assert_eq!((stage.used(), stage.presence(PIECE, 0, 100)), (15, Presence::Parted));
        assert_eq!(stage.presence(PIECE, 41, 5), Presence::Here);
        assert_eq!(stage.presence(PIECE, 41, 60), Presence::Missing);
        let whole: Vec<u8> = out.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        let part = stage.parts(PIECE).remove(0);
        assert_eq!(stage.load(PIECE, vec![(part, whole.into())]), ["a"]);
        assert_eq!(stage.presence(PIECE, 0, 100), Presence::Here);
        let (_, out) = stage.largest(None).unwrap();
        stage.seal(PIECE, 100);
        assert!(
            !stage.part(PIECE, &out, "b".into()),
            "what is right stays in memory until it is in the bucket as such"
        );
        let expected = [vec![1; 40], vec![3; 15], vec![2; 45]].concat();
        assert_eq!(stage.sealed(PIECE).unwrap(), expected);
        assert_eq!(stage.used(), 100);
        let mut buf = [0; 20];
        stage.copy(PIECE, 45, &mut buf);
        assert_eq!(buf[..], expected[45..65]);
    }

    #[test]
    fn what_is_in_the_bucket_goes_first() {
        let mut stage = Stage::default();
        for piece in 0..3 {
            stage.put(PieceIndex(piece), 0, segment(1, 10));
        }
        stage.seal(PieceIndex(1), 10);
        stage.shed(0);
        assert_eq!(stage.used(), 30);
        stage.keep(PieceIndex(1));
        stage.keep(PieceIndex(2));
        stage.shed(0);
        assert_eq!(
            (stage.used(), stage.state(PieceIndex(1)), stage.state(PieceIndex(2))),
            (20, None, Some(StageState::Open))
        );
    }
}
