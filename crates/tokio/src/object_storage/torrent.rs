//! The store of one torrent.

use super::bucket::{Bucket, Requests};
use super::stage::{Presence, StageState};
use super::state::{Put, Scope, Source, State};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unchoke_core::{Block, Geometry, PieceIndex};
use unchoke_storage::{Recovered, StorageError, StorageErrorKind, TorrentStorage};

/// How much is done at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a group.
    pub(super) group: u64,
    /// Bytes in memory.
    pub(super) stage: usize,
    /// Uploads at a time.
    pub(super) uploads: usize,
}

pub(super) struct ObjectTorrent {
    requests: Arc<Requests>,
    torrent: Arc<Inner>,
}

struct Inner {
    bucket: Bucket,
    limits: Limits,
    state: Mutex<State>,
    /// Held by whoever changes what is in the bucket, so that nothing is deleted that somebody has just put.
    changes: tokio::sync::Mutex<()>,
    /// An upload of whole groups has been asked for.
    asked: AtomicBool,
}

impl ObjectTorrent {
    pub(super) fn new(requests: Arc<Requests>, bucket: Bucket, geometry: Geometry, limits: Limits) -> Self {
        // Groups must become whole in memory.
        let group = limits.group.min(u64::try_from(limits.stage / 2).unwrap_or(u64::MAX));
        let state = Mutex::new(State::new(geometry, group));
        let (changes, asked) = (tokio::sync::Mutex::new(()), AtomicBool::new(false));
        Self { requests, torrent: Arc::new(Inner { bucket, limits, state, changes, asked }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.torrent.state()
    }

    /// Waits for something that the torrent does.
    fn wait<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StorageError>> + Send + 'static,
    {
        self.requests.wait(work(Arc::clone(&self.torrent)))
    }

    /// Bytes in memory.
    #[cfg(test)]
    pub(super) fn staged(&self) -> usize {
        self.state().stage.used()
    }

    /// Takes into memory what was put out of it of a piece.
    fn load(&self, piece: PieceIndex) -> Result<(), StorageError> {
        self.wait(|torrent| async move { torrent.load(piece).await })
    }

    /// Has whole groups uploaded while the program goes on. What fails is tried again later.
    fn upload_groups(&self) {
        if !self.torrent.asked.swap(true, Ordering::SeqCst) {
            let torrent = Arc::clone(&self.torrent);
            self.requests.spawn(async move {
                let _changes = torrent.changes.lock().await;
                torrent.asked.store(false, Ordering::SeqCst);
                let _ = torrent.upload(Scope::Groups).await;
            });
        }
    }
}

impl TorrentStorage for ObjectTorrent {
    fn recover(&self) -> Result<Recovered, StorageError> {
        self.wait(|torrent| async move {
            let _changes = torrent.changes.lock().await;
            let listed = torrent.list().await?;
            Ok(torrent.state().adopt(listed))
        })
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        let mut seen = None;
        loop {
            let state = self.state();
            if !state.geometry().contains(block) || buf.len() != block.length as usize {
                return Err(StorageError::new(StorageErrorKind::OutOfRange(block)));
            }
            let presence = state.stage.presence(block.piece, block.offset, block.length);
            let place = state.place(block.piece);
            match (presence, place) {
                (Presence::Here, _) => {
                    state.stage.copy(block.piece, block.offset, buf);
                    return Ok(());
                }
                (Presence::Parted, _) => {
                    drop(state);
                    self.load(block.piece)?;
                }
                (Presence::Missing, None) => return Err(StorageError::new(StorageErrorKind::Missing)),
                (Presence::Missing, Some((run, range))) => {
                    drop(state);
                    let start = range.start.saturating_add(block.offset.into());
                    let range = start..start.saturating_add(block.length.into());
                    let got = self.wait(|torrent| async move { torrent.bucket.get(&run.to_string(), range).await });
                    match got {
                        // It may have become part of a larger object meanwhile.
                        Err(error) if error.kind() == StorageErrorKind::Missing && seen != Some(run) => {
                            seen = Some(run);
                        }
                        got => {
                            buf.copy_from_slice(&got?);
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let length: usize = data.iter().map(|slice| slice.len()).sum();
        let block = Block { piece, offset, length: u32::try_from(length).unwrap_or(u32::MAX) };
        if !self.state().geometry().contains(block) {
            return Err(StorageError::new(StorageErrorKind::OutOfRange(block)));
        }
        let mut bytes = None;
        loop {
            {
                let mut state = self.state();
                if state.committed.contains(piece) {
                    return Err(StorageError::new(StorageErrorKind::Committed(piece)));
                }
                let is_wrong = state.place(piece).is_some();
                if !is_wrong && self.torrent.fits(&mut state, length) {
                    let bytes = bytes.get_or_insert_with(|| {
                        let mut bytes = Vec::with_capacity(length);
                        data.iter().for_each(|slice| bytes.extend_from_slice(slice));
                        Bytes::from(bytes)
                    });
                    state.stage.put(piece, offset, bytes.clone());
                    return Ok(());
                }
                drop(state);
                if is_wrong {
                    // What the bucket has of it was looked at anew, and found wrong.
                    self.wait(|torrent| async move { torrent.discard(piece).await })?;
                    continue;
                }
            }
            self.wait(|torrent| async move {
                let _changes = torrent.changes.lock().await;
                torrent.make_room(length, None).await
            })?;
        }
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        loop {
            let mut state = self.state();
            if state.committed.contains(piece) {
                return Ok(());
            }
            let length = state.geometry().piece_len(piece).unwrap_or(0);
            match state.stage.presence(piece, 0, length) {
                Presence::Here => {
                    let is_whole = state.commit(piece);
                    let parts = state.stage.forget_parts(piece);
                    state.garbage.extend(parts);
                    drop(state);
                    if is_whole {
                        self.upload_groups();
                    }
                    return Ok(());
                }
                Presence::Parted => {
                    drop(state);
                    self.load(piece)?;
                }
                // It was looked at anew, and is right.
                Presence::Missing if state.place(piece).is_some() => {
                    state.committed.insert(piece);
                    return Ok(());
                }
                Presence::Missing => return Err(StorageError::new(StorageErrorKind::Missing)),
            }
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.wait(|torrent| async move {
            let _changes = torrent.changes.lock().await;
            torrent.upload(Scope::All).await?;
            // What cannot be deleted costs room and nothing else; it is tried again.
            let _ = torrent.sweep().await;
            Ok(())
        })
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        if self.state().stage.state(piece) == Some(StageState::Open) {
            self.state().discard(piece);
            return Ok(());
        }
        self.wait(|torrent| async move { torrent.discard(piece).await })
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.wait(|torrent| async move {
            let _changes = torrent.changes.lock().await;
            // What waits to be uploaded must not come back.
            torrent.state().clear();
            let mut names: Vec<String> = torrent.list().await?.into_iter().map(|(name, _)| name).collect();
            names.retain(|name| torrent.state().is_ours(name));
            torrent.bucket.delete(names).await.1
        })
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is; nothing if there is no folder.
    async fn list(&self) -> Result<Vec<(String, u64)>, StorageError> {
        match self.bucket.list().await {
            Err(error) if error.kind() == StorageErrorKind::Missing => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Whether there is room for more bytes. A write of more than the limit needs all of it.
    fn fits(&self, state: &mut State, more: usize) -> bool {
        state.stage.shed(self.limits.stage.saturating_sub(more));
        state.stage.used() == 0 || state.stage.used().saturating_add(more) <= self.limits.stage
    }

    /// Makes room for more bytes: what is right is uploaded, and of the rest goes out whatever is largest.
    async fn make_room(&self, more: usize, except: Option<PieceIndex>) -> Result<(), StorageError> {
        for scope in [Scope::Groups, Scope::Dirty] {
            if self.fits(&mut self.state(), more) {
                return Ok(());
            }
            self.upload(scope).await?;
        }
        loop {
            let (piece, bytes, name) = {
                let mut state = self.state();
                if self.fits(&mut state, more) {
                    return Ok(());
                }
                let Some((piece, bytes)) = state.stage.largest(except) else { return Ok(()) };
                (piece, bytes, state.part_name())
            };
            let put = self.bucket.put(&name, bytes.iter().map(|(_, bytes)| bytes.clone()).collect()).await;
            let mut state = self.state();
            if put.is_err() || !state.stage.part(piece, &bytes, name.clone()) {
                // It may be there in spite of the failure.
                state.garbage.insert(name);
            }
            put?;
        }
    }

    /// Takes into memory what was put out of it of a piece.
    async fn load(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let _changes = self.changes.lock().await;
        let length = |lengths: &[(u32, u32)]| lengths.iter().map(|(_, length)| u64::from(*length)).sum::<u64>();
        let parts = self.state().stage.parts(piece);
        let more = parts.iter().map(|part| length(&part.segments)).sum::<u64>();
        self.make_room(usize::try_from(more).unwrap_or(usize::MAX), Some(piece)).await?;
        let mut loaded = Vec::new();
        for part in parts {
            let bytes = self.bucket.get(&part.name, 0..length(&part.segments)).await?;
            loaded.push((part, bytes));
        }
        let mut state = self.state();
        let done = state.stage.load(piece, loaded);
        state.garbage.extend(done);
        Ok(())
    }

    /// Puts what is worth it. All that succeeds counts; after the first failure, which is told, nothing more is begun.
    async fn upload(&self, scope: Scope) -> Result<(), StorageError> {
        let plan = self.state().plan(scope);
        let is_staged = |put: &Put| put.sources.iter().all(|source| matches!(source, Source::Memory(_)));
        let (from_memory, from_objects): (Vec<Put>, Vec<Put>) = plan.into_iter().partition(is_staged);
        let mut result = Ok(());
        // Those that take memory come one at a time.
        for (puts, at_a_time) in [(from_memory, self.limits.uploads.max(1)), (from_objects, 1)] {
            let failed = AtomicBool::new(result.is_err());
            let mut uploads = stream::iter(puts)
                .map(|put| async {
                    if failed.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    let run = put.run;
                    self.put(put).await.map(|()| self.state().stored(run))
                })
                .buffer_unordered(at_a_time);
            while let Some(upload) = uploads.next().await {
                failed.fetch_or(upload.is_err(), Ordering::SeqCst);
                result = result.and(upload);
            }
        }
        result
    }

    async fn put(&self, put: Put) -> Result<(), StorageError> {
        let mut bytes = Vec::with_capacity(put.sources.len());
        for source in put.sources {
            bytes.push(match source {
                Source::Memory(bytes) => bytes,
                Source::Object { name, range } => self.bucket.get(&name, range).await?,
            });
        }
        self.bucket.put(&put.run.to_string(), bytes).await
    }

    async fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let _changes = self.changes.lock().await;
        // Leftovers may hold the piece, too.
        self.sweep().await?;
        let rest = self.state().rest(piece);
        for put in rest {
            self.put(put).await?;
        }
        self.state().discard(piece);
        self.sweep().await
    }

    /// Deletes what is not needed.
    async fn sweep(&self) -> Result<(), StorageError> {
        let garbage: Vec<String> = self.state().garbage.iter().cloned().collect();
        let (gone, result) = self.bucket.delete(garbage).await;
        let mut state = self.state();
        state.garbage.retain(|name| !gone.contains(name));
        result
    }
}
