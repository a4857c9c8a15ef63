//! Torrents of a client that go to another store.

use super::{Client, ClientError, blocking};
use crate::engine::{Engine, Jobs};
use crate::torrent::Torrent;
use std::ops::ControlFlow;
use std::sync::Arc;
use unchoke_core::InfoHashes;
use unchoke_metainfo::Info;
use unchoke_storage::{ListError, Recovered, Storage, StorageError, StorageErrorKind, TorrentStorage, move_storage};
use unchoke_swarm::{Content, FilePriorities, Priority, TorrentKey};

impl Client {
    /// Moves the data of a torrent to another store. The torrent rests meanwhile, and goes on there with all its settings; handles stay good.
    /// Between folders of one file system nothing is copied. `progress` is told the bytes that are over and the bytes in all; it ends the
    /// move by breaking, and so does [`shutdown`](Self::shutdown). The move goes on if the future is dropped.
    ///
    /// Returns why something was left at the old place, where nothing is needed any more.
    ///
    /// # Errors
    /// If the data cannot be moved. It is where it was then, and the torrent goes on there.
    pub async fn move_storage(
        &self,
        torrent: &Torrent,
        storage: impl Storage + 'static,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Option<StorageError>, ClientError> {
        let stop = self.stop.subscribe();
        let ends = move |done, total| {
            let is_stopped = *stop.borrow() || stop.has_changed().is_err();
            if is_stopped { ControlFlow::Break(()) } else { progress(done, total) }
        };
        let jobs = self.engine.jobs_of(torrent.key).ok_or(ClientError::Removed)?;
        let (engine, key, info_hashes) = (Arc::clone(&self.engine), torrent.key, torrent.info_hashes);
        let mover = Arc::new(Mover { engine, key, info_hashes, jobs, storage: Arc::new(storage) });
        tokio::spawn(mover.run(ends)).await.map_err(|_| ClientError::ShuttingDown)?
    }
}

/// What a move needs.
struct Mover {
    engine: Arc<Engine>,
    key: TorrentKey,
    info_hashes: InfoHashes,
    jobs: Arc<Jobs>,
    storage: Arc<dyn Storage>,
}

/// What became of a move: the store to go on with, and what it holds; or why the old one cannot be gone on with.
type Outcome = (Arc<dyn TorrentStorage>, Result<Recovered, StorageError>, Result<Option<StorageError>, StorageError>);

impl Mover {
    async fn run(
        self: Arc<Self>,
        progress: impl FnMut(u64, u64) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Option<StorageError>, ClientError> {
        let _alone = self.jobs.place.lock().await;
        let resting = self.engine.with(|core, now| {
            core.session.suspend(now, self.key);
            let priorities = core.session.file_priorities(self.key).cloned().unwrap_or_default();
            core.torrents.get_mut(&self.key).map(|tasks| (tasks.store.take(), priorities))
        });
        let Some((store, priorities)) = resting else { return Err(ClientError::Removed) };
        self.jobs.settle().await;
        let Some((store, info)) = store else {
            // Nothing is stored yet.
            let mover = Arc::clone(&self);
            let settled = blocking(move || mover.settle()).await?;
            self.engine.with(|core, now| core.session.resume(now, self.key, None));
            return Ok(settled.map(|()| None)?);
        };
        let (mover, of, skipped) = (Arc::clone(&self), Arc::clone(&info), skipped(&info, &priorities));
        let (store, held, result) = blocking(move || mover.go(&of, store, &skipped, progress)).await?;
        self.engine.with(|core, now| {
            let Some(tasks) = core.torrents.get_mut(&self.key) else { return };
            tasks.store = Some((store, Arc::clone(&info)));
            let mut content = Content::new(info);
            let is_known = held.is_ok();
            if let Ok(held) = held {
                (content.verified, content.suspects) = (held.verified, held.suspects);
            }
            core.session.resume(now, self.key, Some(content));
            if !is_known {
                // It is asked again until it answers.
                core.session.recheck(now, self.key);
            }
            if let Some(by_now) =
                core.session.file_priorities(self.key).filter(|by_now| **by_now != priorities).cloned()
            {
                core.session.set_file_priorities(now, self.key, by_now);
            }
        });
        Ok(result?)
    }

    /// Moves the data, on a thread that may block.
    fn go(
        &self,
        info: &Arc<Info>,
        from: Arc<dyn TorrentStorage>,
        skipped: &[u32],
        progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Outcome {
        // It may be the full disk that the torrent is to leave. What is not durable is hashed once more then.
        let _ = from.sync();
        let moved = self.storage.open(info).and_then(|to| {
            to.recover()?;
            to.skip_files(skipped)?;
            Ok((move_storage(info, from.as_ref(), to.as_ref(), progress, || self.settle())?, to))
        });
        match moved {
            Ok((moved, to)) => (to, Ok(moved.recovered), Ok(moved.left)),
            Err(error) => {
                let held = from.recover();
                (from, held, Err(error))
            }
        }
    }

    /// From now on the torrent is at the new place, and the list says so: after a kill that is where it is looked for.
    fn settle(&self) -> Result<(), StorageError> {
        let put = |storage: Arc<dyn Storage>| {
            self.engine.with(|core, _| {
                core.torrents.get_mut(&self.key).map(|tasks| std::mem::replace(&mut tasks.storage, storage))
            })
        };
        let before = put(Arc::clone(&self.storage));
        self.engine.write_down_now(self.info_hashes).map_err(|error| {
            before.into_iter().for_each(|before| drop(put(before)));
            // The new entry may have come to be in place all the same.
            let _ = self.engine.write_down_now(self.info_hashes);
            match error {
                ListError::Io { path, source } => StorageError::io(&path, source),
                _ => StorageError::new(StorageErrorKind::Io),
            }
        })
    }
}

/// The files that nobody wants.
fn skipped(info: &Info, priorities: &FilePriorities) -> Vec<u32> {
    let files = info.layout().files().iter().filter_map(|entry| u32::try_from(entry.number()).ok());
    files.filter(|file| priorities.of(*file) == Priority::Skip).collect()
}
