//! Doubt in what the store holds: single pieces that cannot be read, and everything anew.

use super::{Settled, Transfer};
use crate::event::Event;
use crate::picker::PieceState;
use crate::shared::Shared;
use bytes::Bytes;
use std::time::Instant;
use unchoke_core::{Bitfield, DiskError, DiskOutcome, DiskWork, PieceIndex};

/// Pieces that are looked at because they could not be read, at a time.
const MAX_DOUBTED: usize = 16;

impl Transfer {
    /// A piece that is here could not be read. It is looked at: if the store fails again, the torrent pauses until it no longer does.
    pub(crate) fn doubt(&mut self, shared: &mut Shared, piece: PieceIndex) {
        let Some(expected) = self.info.piece_hash(piece) else { return };
        let is_new = self.have.contains(piece) && self.disk.error().is_none() && self.doubted.len() < MAX_DOUBTED;
        if is_new && self.doubted.insert(piece) {
            shared.disk(self.torrent, DiskWork::Check { piece, expected, digests: false });
        }
    }

    /// Whether the piece is here as far as is known.
    pub(crate) fn can_serve(&self, piece: PieceIndex) -> bool {
        self.have.contains(piece) && !self.doubted.contains(&piece)
    }

    /// A piece in doubt was looked at. A store that reads what it should not holds what somebody else has put there: nothing is written over
    /// that before the owner has everything looked at anew.
    pub(super) fn handle_doubted(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        work: DiskWork,
        outcome: &DiskOutcome,
    ) -> Option<Settled> {
        let DiskWork::Check { piece, .. } = work else { return None };
        match outcome {
            // Everything is looked at anew.
            _ if !self.have.contains(piece) => drop(self.doubted.remove(&piece)),
            DiskOutcome::Verified { .. } => {
                self.doubted.remove(&piece);
                self.disk.succeed(shared);
            }
            DiskOutcome::Failed(DiskError::Evicted) => {
                self.doubted.remove(&piece);
                self.lose(piece);
                shared.events.push_back(Event::PieceEvicted { torrent: self.torrent, piece });
                return Some(Settled::Lost { piece });
            }
            DiskOutcome::Failed(error) => self.disk.fail(now, shared, work, *error),
            _ => self.disk.fail(now, shared, work, DiskError::Changed),
        }
        None
    }

    /// A bounded store has let a piece go. It is fetched again only when the owner wants it anew, or it would only drive out others.
    fn lose(&mut self, piece: PieceIndex) {
        if self.have.remove(piece) {
            let length = self.info.geometry().piece_len(piece).unwrap_or(0);
            self.verified_bytes = self.verified_bytes.saturating_sub(length.into());
            self.wanted.forget(self.info.geometry(), piece, length.into());
        }
    }

    /// Forgets what is here, and has the store say what may be. Peers must have gone.
    pub(crate) fn recheck(&mut self, shared: &mut Shared) {
        for work in self.disk.take_failed() {
            match work {
                DiskWork::Store { piece, data, .. } | DiskWork::Write { piece, data, .. } => {
                    shared.release(data.iter().map(Bytes::len).sum());
                    self.drop_assembly(shared, piece);
                }
                DiskWork::Check { piece, .. } if self.doubted.remove(&piece) => {}
                work => shared.disk(self.torrent, work),
            }
        }
        let quiet = |piece: &PieceIndex| {
            self.assemblies.get(piece).is_some_and(|assembly| !assembly.settling && assembly.writes == 0)
        };
        let pieces: Vec<PieceIndex> = self.assemblies.keys().copied().filter(quiet).collect();
        pieces.into_iter().for_each(|piece| self.drop_assembly(shared, piece));
        self.have = Bitfield::new(self.have.len());
        self.verified_bytes = 0;
        self.wanted.recount(self.info.geometry(), &self.have);
        self.disk.recover(shared);
    }

    fn drop_assembly(&mut self, shared: &mut Shared, piece: PieceIndex) {
        let Some(assembly) = self.assemblies.remove(&piece) else { return };
        // What settles has been taken off the count when its job left.
        if !assembly.settling {
            shared.release(assembly.buffered());
            shared.waiting = shared.waiting.saturating_sub(assembly.buffered());
        }
        self.picker.handle_piece(piece, PieceState::Missing);
    }

    /// The store has said what may be there: that is hashed, and the rest is fetched.
    pub(super) fn handle_recovered(&mut self, shared: &mut Shared, pieces: &[PieceIndex]) {
        let mut suspects = Bitfield::new(self.have.len());
        for piece in pieces {
            if !self.have.contains(*piece) && !self.assemblies.contains_key(piece) {
                suspects.insert(*piece);
            }
        }
        for piece in self.info.geometry().pieces() {
            if self.have.contains(piece) || self.assemblies.contains_key(&piece) {
                continue;
            }
            let is_missing = !suspects.contains(piece) && self.wanted.contains(piece);
            self.picker.handle_piece(piece, if is_missing { PieceState::Missing } else { PieceState::Settled });
        }
        self.disk.recovered(suspects);
        self.disk.check_more(shared, &self.info);
        self.report_checked(shared);
    }
}
