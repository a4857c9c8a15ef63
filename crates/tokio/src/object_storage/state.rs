//! What is known of a torrent: which pieces are right, which objects hold them, and what has to be put.

use super::run::Run;
use super::stage::{Stage, StageState};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use unchoke_core::{Bitfield, Geometry, PieceIndex};
use unchoke_storage::Recovered;

#[derive(Debug)]
pub(super) struct State {
    geometry: Geometry,
    /// Pieces of a group.
    per_group: u32,
    /// Pieces that are right.
    pub(super) committed: Bitfield,
    pub(super) stage: Stage,
    /// The objects that count, by their first piece. They do not overlap.
    runs: BTreeMap<u32, Run>,
    /// Groups of which something is right and that are not one object.
    open: BTreeSet<u32>,
    /// Objects that are not needed: whatever they hold is in others, too, or is no longer wanted.
    pub(super) garbage: BTreeSet<String>,
    /// The number of the next part.
    next: u64,
    /// Whether the listing has been looked at before.
    is_known: bool,
}

/// What is worth an upload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Scope {
    /// Groups that are whole in memory.
    Groups,
    /// All that is right and not in the bucket.
    Dirty,
    /// That, and what is whole in several objects becomes one.
    All,
}

/// An object to put.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) run: Run,
    /// Its bytes, in order.
    pub(super) sources: Vec<Source>,
}

/// Where bytes come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Memory(Bytes),
    Object { name: String, range: Range<u64> },
}

impl State {
    pub(super) fn new(geometry: Geometry, group_len: u64) -> Self {
        let per_group = group_len / u64::from(geometry.piece_length().max(1));
        let committed = Bitfield::new(geometry.piece_count());
        Self {
            geometry,
            per_group: u32::try_from(per_group).unwrap_or(u32::MAX).max(1),
            committed,
            stage: Stage::default(),
            runs: BTreeMap::new(),
            open: BTreeSet::new(),
            garbage: BTreeSet::new(),
            next: 0,
            is_known: false,
        }
    }

    /// Takes over what is listed. The first time names and lengths are believed; later it is wanted that all is looked at anew, so nothing of it
    /// is right before it is committed again.
    pub(super) fn adopt(&mut self, listed: Vec<(String, u64)>) -> Recovered {
        let is_new = !std::mem::replace(&mut self.is_known, true);
        let mut runs = Vec::new();
        for (name, length) in listed {
            match Run::parse(&name, &self.geometry) {
                Some(run) if run.len(&self.geometry) == length => runs.push(run),
                // What has our name and a wrong length will be overwritten.
                Some(_) => {}
                None if name.ends_with(PART) => drop(self.garbage.insert(name)),
                None => {}
            }
        }
        runs.sort_by_key(|run| (u32::MAX - (run.last() - run.first()), *run));
        self.runs.clear();
        self.stage.shed_clean();
        self.committed = Bitfield::new(self.geometry.piece_count());
        for piece in self.stage.dirty() {
            self.committed.insert(piece);
        }
        let mut recovered = Recovered::default();
        for run in runs {
            if self.met(run).any(|known| known.contains(run)) {
                // An upload came so far and no further.
                self.garbage.insert(run.to_string());
            } else if self.met(run).next().is_none() {
                self.garbage.remove(&run.to_string());
                self.runs.insert(run.first(), run);
                for piece in run.pieces() {
                    self.open.insert(self.number(piece));
                    if is_new {
                        self.committed.insert(piece);
                    } else if !self.committed.contains(piece) {
                        recovered.suspects.push(piece);
                    }
                }
            }
        }
        recovered.suspects.sort_unstable();
        recovered.verified = self.committed.iter().collect();
        recovered
    }

    /// The object that holds a piece, and where its bytes are in it.
    pub(super) fn place(&self, piece: PieceIndex) -> Option<(Run, Range<u64>)> {
        let run = self.met(Run::of(piece)).next()?;
        Some((run, run.range(Run::of(piece), &self.geometry)))
    }

    /// The piece, which is whole in memory, is right. True if its group has become whole in memory.
    pub(super) fn commit(&mut self, piece: PieceIndex) -> bool {
        self.stage.seal(piece, self.geometry.piece_len(piece).unwrap_or(0));
        self.committed.insert(piece);
        let number = self.number(piece);
        self.open.insert(number);
        self.group(number).is_some_and(|group| group.pieces().all(|piece| self.is_sealed(piece)))
    }

    /// What has to be put.
    pub(super) fn plan(&mut self, scope: Scope) -> Vec<Put> {
        let mut puts = Vec::new();
        for number in self.open.clone() {
            let Some(group) = self.group(number) else { continue };
            if self.runs.get(&group.first()) == Some(&group) {
                self.open.remove(&number);
                continue;
            }
            let mut sources = self.sources(group);
            if scope < Scope::All {
                sources.take_if(|sources| sources.iter().any(|source| matches!(source, Source::Object { .. })));
            }
            match sources {
                Some(sources) => puts.push(Put { run: group, sources }),
                None if scope > Scope::Groups => puts.extend(self.dirty(group)),
                None => {}
            }
        }
        puts
    }

    /// An object is in the bucket.
    pub(super) fn stored(&mut self, run: Run) {
        self.garbage.remove(&run.to_string());
        let inner: Vec<Run> = self.met(run).filter(|known| run.contains(*known) && *known != run).collect();
        for known in inner {
            self.runs.remove(&known.first());
            self.garbage.insert(known.to_string());
        }
        self.runs.insert(run.first(), run);
        let is_group = self.group(self.number(PieceIndex(run.first()))) == Some(run);
        for piece in run.pieces() {
            if is_group {
                self.stage.remove(piece);
            } else {
                self.stage.keep(piece);
            }
        }
    }

    /// The piece is not wanted any more, and the rest of its object is in others now.
    pub(super) fn discard(&mut self, piece: PieceIndex) {
        let parts = self.stage.remove(piece);
        self.garbage.extend(parts);
        self.committed.remove(piece);
        if let Some((run, _)) = self.place(piece) {
            self.runs.remove(&run.first());
            self.garbage.insert(run.to_string());
            let rest: Vec<Run> = run.without(piece).collect();
            rest.into_iter().for_each(|rest| self.stored(rest));
            self.open.insert(self.number(piece));
        }
    }

    /// What is left of the object of a piece without it.
    pub(super) fn rest(&self, piece: PieceIndex) -> Vec<Put> {
        let Some((run, _)) = self.place(piece) else { return Vec::new() };
        let source = |part: Run| Source::Object { name: run.to_string(), range: run.range(part, &self.geometry) };
        run.without(piece).map(|part| Put { run: part, sources: vec![source(part)] }).collect()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.committed = Bitfield::new(self.geometry.piece_count());
        self.stage = Stage::default();
        self.runs.clear();
        self.open.clear();
        self.garbage.clear();
    }

    /// Whether we have given an object its name.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        name.ends_with(PART) || Run::parse(name, &self.geometry).is_some()
    }

    /// A name for bytes of pieces that are not known to be right.
    pub(super) fn part_name(&mut self) -> String {
        self.next = self.next.saturating_add(1);
        format!("{:08x}{PART}", self.next)
    }

    pub(super) const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The objects that count and have pieces in common with a run.
    fn met(&self, run: Run) -> impl Iterator<Item = Run> {
        let before = self.runs.range(..run.first()).next_back();
        let others = self.runs.range(run.first()..=run.last());
        before.into_iter().chain(others).map(|(_, known)| *known).filter(move |known| known.meets(run))
    }

    fn number(&self, piece: PieceIndex) -> u32 {
        piece.0.checked_div(self.per_group).unwrap_or(0)
    }

    fn group(&self, number: u32) -> Option<Run> {
        let first = number.checked_mul(self.per_group)?;
        let last = first.saturating_add(self.per_group - 1).min(self.geometry.piece_count().checked_sub(1)?);
        Run::new(first, last)
    }

    fn is_sealed(&self, piece: PieceIndex) -> bool {
        matches!(self.stage.state(piece), Some(StageState::Dirty | StageState::Clean))
    }

    /// Where all bytes of a group come from. `None` if not all of it is right, or an object reaches beyond it.
    fn sources(&self, group: Run) -> Option<Vec<Source>> {
        if self.met(group).any(|known| !group.contains(known)) {
            return None;
        }
        let mut sources: Vec<Source> = Vec::new();
        for piece in group.pieces() {
            if !self.committed.contains(piece) {
                return None;
            }
            if let Some(bytes) = self.stage.sealed(piece) {
                sources.push(Source::Memory(bytes));
                continue;
            }
            let (run, next) = self.place(piece)?;
            match sources.last_mut() {
                Some(Source::Object { name, range }) if range.end == next.start && *name == run.to_string() => {
                    range.end = next.end;
                }
                _ => sources.push(Source::Object { name: run.to_string(), range: next }),
            }
        }
        Some(sources)
    }

    /// What is right in a group and not in the bucket, neighbours together.
    fn dirty(&self, group: Run) -> Vec<Put> {
        let mut puts: Vec<Put> = Vec::new();
        for piece in group.pieces().filter(|piece| self.stage.state(*piece) == Some(StageState::Dirty)) {
            let Some(bytes) = self.stage.sealed(piece) else { continue };
            let grown = puts.last().filter(|put| put.run.last().checked_add(1) == Some(piece.0));
            match grown.and_then(|put| Run::new(put.run.first(), piece.0)) {
                Some(run) => {
                    if let Some(put) = puts.last_mut() {
                        put.run = run;
                        put.sources.push(Source::Memory(bytes));
                    }
                }
                None => puts.push(Put { run: Run::of(piece), sources: vec![Source::Memory(bytes)] }),
            }
        }
        puts
    }
}

/// What the names of parts end with.
const PART: &str = ".part";

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    fn state() -> State {
        // Ten pieces of 1000 bytes, the last of 500; three to a group.
        State::new(Geometry::new(9_500, 1000).unwrap(), 3_999)
    }

    fn commit(state: &mut State, pieces: impl IntoIterator<Item = u32>) -> bool {
        let mut whole = false;
        for piece in pieces {
            let length = state.geometry().piece_len(PieceIndex(piece)).unwrap();
            state.stage.put(PieceIndex(piece), 0, vec![piece as u8; length as usize].into());
            whole = state.commit(PieceIndex(piece));
        }
        whole
    }

    fn runs(puts: &[Put]) -> Vec<String> {
        puts.iter().map(|put| format!("{}-{}", put.run.first(), put.run.last())).collect()
    }

    fn object(first: u32, last: u32, range: Range<u64>) -> Source {
        Source::Object { name: Run::new(first, last).unwrap().to_string(), range }
    }

    #[test]
    fn whole_groups_are_one_object_and_others_are_runs_until_they_are_whole() {
        let mut state = state();
        assert!(!commit(&mut state, [0, 1, 3, 5]));
        assert!(commit(&mut state, [9, 2]));
        assert_eq!(runs(&state.plan(Scope::Groups)), ["0-2", "9-9"]);
        let puts = state.plan(Scope::Dirty);
        assert_eq!(runs(&puts), ["0-2", "3-3", "5-5", "9-9"]);
        puts.iter().for_each(|put| state.stored(put.run));
        assert!(state.plan(Scope::All).is_empty() && state.garbage.is_empty());
        // Of a group there is nothing left in memory; of the others as long as there is room.
        assert_eq!(state.stage.used(), 2000);
        state.stage.shed(1000);
        assert!(!commit(&mut state, [4]));
        assert_eq!(runs(&state.plan(Scope::Dirty)), ["4-4"]);
        let fold = state.plan(Scope::All);
        assert_eq!(runs(&fold), ["3-5"]);
        let bytes = |piece: u32| Source::Memory(vec![piece as u8; 1000].into());
        assert_eq!(fold[0].sources, [object(3, 3, 0..1000), bytes(4), bytes(5)]);
        state.stored(fold[0].run);
        assert_eq!(
            state.garbage.iter().map(String::as_str).collect::<Vec<_>>(),
            ["00000003-00000003", "00000005-00000005"]
        );
        assert_eq!(state.place(PieceIndex(5)), Some((Run::new(3, 5).unwrap(), 2000..3000)));
        assert_eq!(state.stage.used(), 0);
    }

    #[test]
    fn what_is_listed_counts_if_its_length_is_right_and_the_larger_object_counts() {
        let mut state = state();
        let listed = [
            ("00000001-00000001", 1000),
            ("00000000-00000002", 3000),
            ("00000005-00000005", 999),
            ("00000006-00000006", 1000),
            ("00000007-00000008", 2000),
            ("00000002-00000003", 2000),
            ("00000009-00000009", 500),
            ("0000000a-0000000a", 500),
            ("00000007.part", 77),
            ("README", 5),
        ];
        let listed = || listed.map(|(name, length)| (name.to_owned(), length)).into();
        let found = state.adopt(listed());
        assert_eq!(found.verified, [0, 1, 2, 6, 7, 8, 9].map(PieceIndex));
        assert_eq!(
            state.garbage.iter().map(String::as_str).collect::<Vec<_>>(),
            ["00000001-00000001", "00000007.part"]
        );
        let puts = state.plan(Scope::All);
        assert_eq!(runs(&puts), ["6-8"]);
        assert_eq!(puts[0].sources, [object(6, 6, 0..1000), object(7, 8, 0..2000)]);
        // When all is looked at anew, nothing is put together of what has not been looked at.
        commit(&mut state, [4]);
        let again = state.adopt(listed());
        assert_eq!((again.verified, again.suspects), (vec![PieceIndex(4)], found.verified));
        assert_eq!(runs(&state.plan(Scope::All)), ["4-4"]);
    }

    #[test]
    fn an_object_that_reaches_into_another_group_stays_as_it_is() {
        let mut state = state();
        let listed = [("00000002-00000003", 2000), ("00000000-00000001", 2000)];
        state.adopt(listed.map(|(name, length)| (name.to_owned(), length)).into());
        commit(&mut state, [4, 5]);
        assert_eq!(runs(&state.plan(Scope::All)), ["4-5"]);
    }

    #[test]
    fn what_is_put_again_is_not_garbage_and_a_discarded_piece_leaves_its_neighbours() {
        let mut state = state();
        commit(&mut state, [0, 1, 2]);
        state.plan(Scope::All).iter().for_each(|put| state.stored(put.run));
        let rest = state.rest(PieceIndex(1));
        assert_eq!(runs(&rest), ["0-0", "2-2"]);
        assert_eq!(rest[1].sources, [object(0, 2, 2000..3000)]);
        state.discard(PieceIndex(1));
        assert!(!state.committed.contains(PieceIndex(1)) && state.place(PieceIndex(1)).is_none());
        assert_eq!(state.place(PieceIndex(2)), Some((Run::of(PieceIndex(2)), 0..1000)));
        assert!(state.garbage.contains("00000000-00000002"));
        commit(&mut state, [1]);
        let fold = state.plan(Scope::All);
        assert_eq!(runs(&fold), ["0-2"]);
        state.stored(fold[0].run);
        assert!(!state.garbage.contains("00000000-00000002") && state.garbage.contains("00000000-00000000"));
        // The object that a piece was taken out of is still listed when everything is looked at anew.
        state.discard(PieceIndex(1));
        state.adopt(vec![("00000000-00000002".to_owned(), 3000), ("00000000-00000000".to_owned(), 1000)]);
        assert_eq!(state.place(PieceIndex(0)), Some((Run::new(0, 2).unwrap(), 0..1000)));
        assert!(!state.garbage.contains("00000000-00000002") && state.garbage.contains("00000000-00000000"));
    }
}
