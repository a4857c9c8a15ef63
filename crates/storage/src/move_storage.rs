//! Moves what is held of a torrent from one store to another.

use crate::error::{StorageError, StorageErrorKind};
use crate::file::moving::{self, Ground};
use crate::store::{Recovered, TorrentStorage};
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::ops::ControlFlow;
use unchoke_core::{Block, PieceIndex, PieceVerifier};
use unchoke_metainfo::Info;

/// The longest part of a piece that is read and written at a time.
const PART: u32 = 4 << 20;
/// Bytes after which what has come over is made durable.
const GROUP: u64 = 256 << 20;

/// What came of a move: the torrent is at its new place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Moved {
    /// What the new store holds now; it can be used as it is.
    pub recovered: Recovered,
    /// Why something was left at the old place, where nothing is needed any more.
    pub left: Option<StorageError>,
}

/// Moves what is held of a torrent to another store: first all of it is there and durable, and only then it is removed here. Whenever that is
/// cut off, by a crash or for want of room, one of the two stores holds everything, and it can be done again.
///
/// Between two [`FileStorage`](crate::FileStorage)s on one file system nothing is copied: files get a second name (a hard link) and then lose
/// the first. Renamed files keep their names. Everything else goes piece by piece, and each piece is hashed on its way.
///
/// Nobody may use either store meanwhile. What was committed and not synced before is hashed once more, here or later. A store that keeps files makes those that the new one was not told to
/// [skip](TorrentStorage::skip_files). `progress` is told the bytes that are over and the bytes in all; it ends the move by breaking. `settle`
/// is called when all is durable at the new place, and before anything is removed at the old one: to note where the torrent is from now on.
///
/// # Errors
/// If the move cannot be done; then everything is where it was, and as far as possible nothing at the new place.
/// [`Occupied`](StorageErrorKind::Occupied) if other files are in the way, [`Full`](StorageErrorKind::Full) also if the new store has let
/// something go again, [`Cancelled`](StorageErrorKind::Cancelled) if `progress` breaks.
pub fn move_storage(
    info: &Info,
    from: &dyn TorrentStorage,
    to: &dyn TorrentStorage,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    settle: impl FnOnce() -> Result<(), StorageError>,
) -> Result<Moved, StorageError> {
    let (source, target) = (moving::of(from), moving::of(to));
    let is_same = source.zip(target).is_some_and(|(source, target)| std::ptr::eq(source, target));
    let held = from.recover()?;
    if is_same {
        settle()?;
        return Ok(Moved { recovered: held, left: None });
    }
    let found = to.recover()?;
    let ground = target.map(|target| target.begin_move(source)).transpose()?;
    if ground == Some(Ground::Same) {
        settle()?;
        return Ok(Moved { recovered: held, left: None });
    }
    let is_new = ground == Some(Ground::New);
    let mut transfer = Transfer::new(info, from, to, held, &found, &mut progress);
    let brought = match source.zip(target) {
        Some((source, target)) => to.skip_files(&source.skipped()).and_then(|()| {
            if is_new && found.verified.is_empty() {
                target.take_names(source)?;
                if target.link_all(source, &mut |bytes| transfer.tell(bytes))? {
                    return transfer.finish();
                }
            }
            transfer.copy()
        }),
        None => transfer.copy(),
    };
    match brought.and_then(|recovered| settle().map(|()| recovered)) {
        Ok(recovered) => {
            // Once the note is gone, nothing takes what is here for leftovers any more. Until then the old place is needed.
            let removed = target.map_or(Ok(()), |target| target.end_move()).and_then(|()| from.delete());
            Ok(Moved { recovered, left: removed.err() })
        }
        Err(error) => {
            if let Some(target) = target {
                // What stays behind all the same is taken up by the next try.
                let cleared = if is_new { to.delete() } else { Ok(()) };
                let _ = cleared.and_then(|()| target.end_move());
            }
            Err(error)
        }
    }
}

struct Transfer<'a> {
    info: &'a Info,
    from: &'a dyn TorrentStorage,
    to: &'a dyn TorrentStorage,
    /// Pieces that are to go over, and whether the old store vouches for them.
    pieces: Vec<(PieceIndex, bool)>,
    /// Pieces that the new store must vouch for at the end.
    owed: BTreeSet<PieceIndex>,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>,
}

impl<'a> Transfer<'a> {
    fn new(
        info: &'a Info,
        from: &'a dyn TorrentStorage,
        to: &'a dyn TorrentStorage,
        held: Recovered,
        found: &Recovered,
        progress: &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Self {
        let there: BTreeSet<PieceIndex> = found.verified.iter().copied().collect();
        let verified = held.verified.into_iter().map(|piece| (piece, true));
        let mut pieces: Vec<(PieceIndex, bool)> =
            verified.chain(held.suspects.into_iter().map(|piece| (piece, false))).collect();
        pieces.sort_unstable();
        let total = pieces.iter().fold(0, |sum: u64, (piece, _)| sum.saturating_add(length(info, *piece).into()));
        let (over, pieces): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|(piece, _)| there.contains(piece));
        let done = over.iter().fold(0, |sum: u64, (piece, _)| sum.saturating_add(length(info, *piece).into()));
        let owed = over.into_iter().map(|(piece, _)| piece).collect();
        Self { info, from, to, pieces, owed, done, total, progress }
    }

    /// So many bytes more are over, or need not go.
    fn tell(&mut self, bytes: u64) -> ControlFlow<()> {
        self.done = self.done.saturating_add(bytes).min(self.total);
        (self.progress)(self.done, self.total)
    }

    fn copy(&mut self) -> Result<Recovered, StorageError> {
        let mut buf = vec![0; self.info.geometry().piece_length().min(PART) as usize];
        let mut unsynced = 0_u64;
        for (piece, is_vouched) in std::mem::take(&mut self.pieces) {
            if self.copy_piece(piece, is_vouched, &mut buf)? {
                self.owed.insert(piece);
                unsynced = unsynced.saturating_add(length(self.info, piece).into());
            }
            if unsynced >= GROUP {
                self.to.sync()?;
                unsynced = 0;
            }
            if self.tell(length(self.info, piece).into()).is_break() {
                return Err(StorageError::new(StorageErrorKind::Cancelled));
            }
        }
        self.to.sync()?;
        self.finish()
    }

    /// Copies a piece. False if it is not there, or not right.
    fn copy_piece(&self, piece: PieceIndex, is_vouched: bool, buf: &mut [u8]) -> Result<bool, StorageError> {
        let Some(expected) = self.info.piece_hash(piece) else { return Ok(false) };
        let mut verifier = PieceVerifier::new(expected);
        let (mut offset, end) = (0, length(self.info, piece));
        while offset < end {
            let step = (end - offset).min(PART);
            let part = buf.get_mut(..step as usize).unwrap_or_default();
            match self.from.read(Block { piece, offset, length: step }, part) {
                Err(error) if error.kind() == StorageErrorKind::Evicted => return Ok(false),
                Err(error) if error.kind() == StorageErrorKind::Missing && !is_vouched => return Ok(false),
                read => read?,
            }
            verifier.update(part);
            self.to.write(piece, offset, &[IoSlice::new(part)])?;
            offset += step;
        }
        if verifier.finish() {
            self.to.commit(piece)?;
            return Ok(true);
        }
        self.to.discard(piece)?;
        Ok(false)
    }

    /// All is over: the new store must know it.
    fn finish(&mut self) -> Result<Recovered, StorageError> {
        let vouched = self.pieces.drain(..).filter(|(_, is_vouched)| *is_vouched);
        self.owed.extend(vouched.map(|(piece, _)| piece));
        let recovered = self.to.recover()?;
        let there: BTreeSet<PieceIndex> = recovered.verified.iter().copied().collect();
        if !self.owed.is_subset(&there) {
            return Err(StorageError::new(StorageErrorKind::Full));
        }
        let _ = (self.progress)(self.total, self.total);
        Ok(recovered)
    }
}

fn length(info: &Info, piece: PieceIndex) -> u32 {
    info.geometry().piece_len(piece).unwrap_or(0)
}
