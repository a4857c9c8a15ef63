//! Which pieces are wanted, and how much.

use crate::picker::Priority;
use crate::priorities::FilePriorities;
use unchoke_core::{Bitfield, Geometry, PieceIndex};
use unchoke_metainfo::Info;

#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Of each piece; empty while all are normal.
    pieces: Vec<Priority>,
    /// Files that nobody wants.
    skipped: Vec<u32>,
    /// Bytes of the pieces that are wanted.
    bytes: u64,
    /// Bytes of those that are missing.
    missing: u64,
}

impl Wanted {
    /// All of a torrent.
    pub(super) fn all(geometry: &Geometry, have: &Bitfield) -> Self {
        let mut wanted = Self::default();
        wanted.recount(geometry, have);
        wanted
    }

    /// Sets the priorities of files. A piece that is part of several files is as important as the most
    /// important of them. Pieces that `begun` names are finished, whatever they are part of. Returns the pieces whose
    /// priority has changed, with what it was.
    pub(super) fn set(
        &mut self,
        info: &Info,
        have: &Bitfield,
        files: &FilePriorities,
        begun: impl Fn(PieceIndex) -> bool,
    ) -> Vec<(PieceIndex, Priority)> {
        let geometry = info.geometry();
        let piece_at = |offset: u64| usize::try_from(offset.checked_div(geometry.piece_length().into())?).ok();
        let mut pieces = vec![Priority::Skip; geometry.piece_count() as usize];
        self.skipped.clear();
        for (number, entry) in (0..).zip(info.layout().files().iter()) {
            let priority = files.of(number);
            if priority == Priority::Skip {
                self.skipped.push(number);
            }
            if entry.is_padding() || entry.length() == 0 {
                continue;
            }
            let last = piece_at(entry.offset().saturating_add(entry.length()).saturating_sub(1));
            let touched = piece_at(entry.offset()).zip(last).and_then(|(first, last)| pieces.get_mut(first..=last));
            touched.unwrap_or_default().iter_mut().for_each(|piece| *piece = (*piece).max(priority));
        }
        for (piece, priority) in geometry.pieces().zip(&mut pieces) {
            if *priority == Priority::Skip && begun(piece) {
                *priority = Priority::Low;
            }
        }
        let changed = geometry.pieces().zip(&pieces).map(|(piece, new)| (piece, self.of(piece), *new));
        let changed: Vec<(PieceIndex, Priority)> =
            changed.filter(|(_, was, new)| was != new).map(|(piece, was, _)| (piece, was)).collect();
        self.pieces = if pieces.iter().all(|piece| *piece == Priority::Normal) { Vec::new() } else { pieces };
        self.recount(geometry, have);
        changed
    }

    /// Counts anew what is missing.
    pub(super) fn recount(&mut self, geometry: &Geometry, have: &Bitfield) {
        let wanted = |piece: &PieceIndex| self.of(*piece) != Priority::Skip;
        let (mut bytes, mut missing) = (0_u64, 0_u64);
        for piece in geometry.pieces().filter(wanted) {
            let length = u64::from(geometry.piece_len(piece).unwrap_or(0));
            bytes = bytes.saturating_add(length);
            if !have.contains(piece) {
                missing = missing.saturating_add(length);
            }
        }
        (self.bytes, self.missing) = (bytes, missing);
    }

    /// A piece that was here is not wanted any more.
    pub(super) fn forget(&mut self, geometry: &Geometry, piece: PieceIndex, length: u64) {
        if !self.contains(piece) {
            return;
        }
        if self.pieces.is_empty() {
            self.pieces = vec![Priority::Normal; geometry.piece_count() as usize];
        }
        if let Some(priority) = self.pieces.get_mut(piece.0 as usize) {
            *priority = Priority::Skip;
            self.bytes = self.bytes.saturating_sub(length);
        }
    }

    /// A piece that was missing is here.
    pub(super) fn verified(&mut self, piece: PieceIndex, length: u64) {
        if self.contains(piece) {
            self.missing = self.missing.saturating_sub(length);
        }
    }

    pub(super) fn of(&self, piece: PieceIndex) -> Priority {
        self.pieces.get(piece.0 as usize).copied().unwrap_or_default()
    }

    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.of(piece) != Priority::Skip
    }

    pub(super) fn skipped(&self) -> &[u32] {
        &self.skipped
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing
    }
}
