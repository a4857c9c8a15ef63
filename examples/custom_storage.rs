//! A store of one's own: a file for each piece, in a folder, which becomes a piece's final name only when the piece is verified.
//!
//! It is held to the contract that the storage crate ships as a test, and then takes a download over loopback.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use unchoke_core::{Block, DiskOutcome, DiskWork, Geometry, PieceIndex};
use unchoke_examples::{Failure, generate, no_arguments, run, say};
use unchoke_metainfo::Info;
use unchoke_storage::{FileStorage, Recovered, Storage, StorageError, StorageErrorKind, TorrentStorage, contract};
use unchoke_tokio::{AddTorrent, Client};

/// Keeps each torrent in a folder of its own, named after its info-hash.
struct PieceFiles {
    root: PathBuf,
}

impl Storage for PieceFiles {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        let folder = self.root.join(info.info_hashes().wire().to_string());
        Ok(Arc::new(PieceFolder::open(folder, info.geometry().clone())?))
    }
}

/// The store of one torrent: `N.part` while a piece is written, `N.piece` once it is verified.
struct PieceFolder {
    folder: PathBuf,
    geometry: Geometry,
    committed: Mutex<HashSet<PieceIndex>>,
}

impl PieceFolder {
    fn open(folder: PathBuf, geometry: Geometry) -> Result<Self, StorageError> {
        fs::create_dir_all(&folder).map_err(|error| StorageError::io(&folder, error))?;
        Ok(Self { folder, geometry, committed: Mutex::new(HashSet::new()) })
    }

    fn committed(&self) -> MutexGuard<'_, HashSet<PieceIndex>> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, piece: PieceIndex) -> PathBuf {
        self.folder.join(format!("{}.part", piece.0))
    }

    fn whole(&self, piece: PieceIndex) -> PathBuf {
        self.folder.join(format!("{}.piece", piece.0))
    }

    fn check(&self, block: Block) -> Result<(), StorageError> {
        let fits = self.geometry.contains(block);
        if fits { Ok(()) } else { Err(StorageError::new(StorageErrorKind::OutOfRange(block))) }
    }
}

fn write_at(path: &Path, offset: u32, data: &[IoSlice<'_>]) -> io::Result<()> {
    let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.seek(SeekFrom::Start(offset.into()))?;
    data.iter().try_for_each(|slice| file.write_all(slice))
}

fn read_at(path: &Path, offset: u32, buf: &mut [u8]) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset.into()))?;
    file.read_exact(buf)
}

impl TorrentStorage for PieceFolder {
    fn recover(&self) -> Result<Recovered, StorageError> {
        let mut found = Recovered::default();
        // Names are not proof: a crash may have kept a name and lost the bytes. So what is there is hashed before it counts.
        found.suspects = self.geometry.pieces().filter(|piece| self.whole(*piece).exists()).collect();
        Ok(found)
    }

    fn read(&self, block: Block, buf: &mut [u8]) -> Result<(), StorageError> {
        self.check(block)?;
        let whole = self.whole(block.piece);
        let path = if whole.exists() { whole } else { self.part(block.piece) };
        read_at(&path, block.offset, buf).map_err(|error| StorageError::io(&path, error))
    }

    fn write(&self, piece: PieceIndex, offset: u32, data: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let length = data.iter().map(|slice| slice.len()).sum::<usize>();
        self.check(Block { piece, offset, length: u32::try_from(length).unwrap_or(u32::MAX) })?;
        // The lock is held while writing, so that a piece cannot be committed under a write.
        let committed = self.committed();
        if committed.contains(&piece) {
            return Err(StorageError::new(StorageErrorKind::Committed(piece)));
        }
        let path = self.part(piece);
        write_at(&path, offset, data).map_err(|error| StorageError::io(&path, error))
    }

    fn commit(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut committed = self.committed();
        let part = self.part(piece);
        if part.exists() {
            fs::rename(&part, self.whole(piece)).map_err(|error| StorageError::io(&part, error))?;
        }
        committed.insert(piece);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        let pieces: Vec<PieceIndex> = self.committed().iter().copied().collect();
        let paths = pieces.into_iter().map(|piece| self.whole(piece)).chain([self.folder.clone()]);
        for path in paths {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|error| StorageError::io(&path, error))?;
        }
        Ok(())
    }

    fn discard(&self, piece: PieceIndex) -> Result<(), StorageError> {
        let mut committed = self.committed();
        committed.remove(&piece);
        for path in [self.part(piece), self.whole(piece)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StorageError::io(&path, error)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}

#[tokio::main]
async fn main() -> ExitCode {
    run("custom_storage", start().await)
}

async fn start() -> Result<(), Failure> {
    no_arguments()?;
    let folder = tempfile::tempdir().map_err(failed)?;
    let opened = std::sync::atomic::AtomicU32::new(0);
    contract::check(|geometry| {
        let number = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = PieceFolder::open(folder.path().join(format!("contract-{number}")), geometry);
        Arc::new(store.expect("a temporary folder can be made"))
    });
    say("the store keeps the contract")?;

    let content = generate(folder.path(), "sample", &[5 << 20, 300_000], |builder| builder).map_err(failed)?;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let seed = Client::builder().listen(local).build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, FileStorage::read_only(folder.path()));
    seed.add(add).await.map_err(failed)?.completed().await.map_err(failed)?;

    let client = Client::builder().build().await.map_err(failed)?;
    let storage = PieceFiles { root: folder.path().join("copy") };
    let add = AddTorrent::from_metainfo(&content.metainfo, storage).peers(seed.local_addr());
    let torrent = client.add(add).await.map_err(failed)?;
    let completed = tokio::time::timeout(Duration::from_secs(60), torrent.completed()).await;
    completed.map_err(|_| Failure::Failed("the download took more than a minute".into()))?.map_err(failed)?;
    client.shutdown().await.map_err(failed)?;

    let info = content.metainfo.info();
    let store = PieceFiles { root: folder.path().join("copy") }.open(info).map_err(failed)?;
    let found = store.recover().map_err(failed)?.suspects;
    let right = found.iter().filter(|piece| {
        info.piece_hash(**piece).is_some_and(|expected| {
            let work = DiskWork::Check { piece: **piece, expected, digests: false };
            matches!(unchoke_storage::run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. })
        })
    });
    let (right, wanted) = (right.count(), info.geometry().piece_count() as usize);
    say(format_args!("{right} of {wanted} pieces lie in files of their own and hash right"))?;
    if right == wanted { Ok(()) } else { Err(Failure::Failed("the copy is not whole".into())) }
}
