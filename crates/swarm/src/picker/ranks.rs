//! Which pieces come before others.

use super::Priority;
use unchoke_core::PieceIndex;

/// The priorities of pieces. Takes no memory while all are normal.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    pieces: Vec<Priority>,
    /// How many are high.
    high: usize,
    /// How many are not normal.
    unusual: usize,
}

impl Ranks {
    pub(super) fn set(&mut self, piece: PieceIndex, priority: Priority) {
        let at = piece.0 as usize;
        if at >= self.pieces.len() {
            if priority == Priority::Normal {
                return;
            }
            self.pieces.resize(at.saturating_add(1), Priority::Normal);
        }
        let Some(known) = self.pieces.get_mut(at) else { return };
        let was = std::mem::replace(known, priority);
        let count = |count: usize, is: fn(Priority) -> bool| {
            count.saturating_add(is(priority).into()).saturating_sub(is(was).into())
        };
        self.high = count(self.high, |priority| priority == Priority::High);
        self.unusual = count(self.unusual, |priority| priority != Priority::Normal);
        if self.unusual == 0 {
            self.pieces = Vec::new();
        }
    }

    /// The first of the highest priority that there is among `pieces`.
    pub(super) fn first(&self, mut pieces: impl Iterator<Item = PieceIndex>) -> Option<PieceIndex> {
        if self.unusual == 0 {
            return pieces.next();
        }
        let highest = if self.high > 0 { Priority::High } else { Priority::Normal };
        let mut best: Option<(Priority, PieceIndex)> = None;
        for piece in pieces {
            let priority = self.pieces.get(piece.0 as usize).copied().unwrap_or_default();
            if best.is_none_or(|(known, _)| priority > known) {
                best = Some((priority, piece));
            }
            if priority >= highest {
                break;
            }
        }
        best.map(|(_, piece)| piece)
    }
}
