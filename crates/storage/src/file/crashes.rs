//! A scripted download that stops at each of its operations, under every way in which a disk may be left, and goes on.

use super::tests::{content, info_with};
use super::*;
use crate::fs::sim::{Failure, SimFs, Survival};
use crate::run;
use bytes::Bytes;
use unchoke_core::{DiskOutcome, DiskWork, Seed};

const PIECES: u32 = 64;
const PIECE: u32 = 2048;
/// Pieces after which there is a sync.
const SYNC_EVERY: usize = 9;
/// The piece that comes in two parts, because memory is short.
const SPILLED: PieceIndex = PieceIndex(20);
/// The piece that is wrong at first, and lies in two files.
const WRONG: PieceIndex = PieceIndex(33);

fn torrent() -> Arc<Info> {
    let total = u64::from(PIECE) * u64::from(PIECES) - 100;
    info_with("t", &[("a", 30_001), ("d/b", 40_000), ("empty", 0), ("d/e/c", total - 70_001)], PIECE)
}

/// What a client knows of its download.
#[derive(Clone, Default)]
struct Progress {
    /// Told to be verified and written.
    verified: BTreeSet<PieceIndex>,
    /// Those that a sync has covered since.
    synced: BTreeSet<PieceIndex>,
}

struct Download {
    info: Arc<Info>,
    bytes: Vec<u8>,
    store: Arc<dyn TorrentStorage>,
}

impl Download {
    fn open(fs: &SimFs, info: &Arc<Info>, bytes: &[u8]) -> Result<Self, StorageError> {
        let store = FileStorage::on(fs.clone()).open(info)?;
        Ok(Self { info: Arc::clone(info), bytes: bytes.to_vec(), store })
    }

    fn piece(&self, piece: PieceIndex) -> &[u8] {
        let geometry = self.info.geometry();
        let start = geometry.piece_offset(piece).unwrap() as usize;
        &self.bytes[start..start + geometry.piece_len(piece).unwrap() as usize]
    }

    fn run(&self, work: &DiskWork) -> DiskOutcome {
        run(self.store.as_ref(), self.info.geometry(), work)
    }

    fn store_piece(&self, piece: PieceIndex, bytes: &[u8]) -> DiskOutcome {
        let (left, right) = bytes.split_at(bytes.len() / 3);
        let data = [left, right].map(Bytes::copy_from_slice).to_vec();
        let expected = self.info.piece_hash(piece).unwrap();
        self.run(&DiskWork::Store { piece, expected, data, digests: false })
    }

    fn check(&self, piece: PieceIndex) -> DiskOutcome {
        self.run(&DiskWork::Check { piece, expected: self.info.piece_hash(piece).unwrap(), digests: false })
    }

    /// Gets a piece the way that the script has for it. `Err` is what the disk said.
    fn get(&self, piece: PieceIndex) -> Result<(), DiskOutcome> {
        let bytes = self.piece(piece).to_vec();
        let verified = |outcome| match outcome {
            DiskOutcome::Verified { .. } => Ok(()),
            other => Err(other),
        };
        if piece == SPILLED {
            let (left, right) = bytes.split_at(1000);
            for (offset, part) in [(1000, right), (0, left)] {
                let work = DiskWork::Write { piece, offset, data: vec![Bytes::copy_from_slice(part)] };
                match self.run(&work) {
                    DiskOutcome::Written => {}
                    other => return Err(other),
                }
            }
            return verified(self.check(piece));
        }
        if piece == WRONG {
            let mut wrong = bytes.clone();
            wrong[5] ^= 1;
            match self.store_piece(piece, &wrong) {
                DiskOutcome::Mismatch { .. } => {}
                other => return Err(other),
            }
            match self.run(&DiskWork::Discard { piece }) {
                DiskOutcome::Discarded => {}
                other => return Err(other),
            }
        }
        verified(self.store_piece(piece, &bytes))
    }

    /// Downloads what is missing in `progress`, in an order that goes back and forth, until the disk fails.
    fn go_on(&self, progress: &mut Progress) -> Result<(), DiskOutcome> {
        let order = (0..PIECES).map(|number| PieceIndex(number * 29 % PIECES));
        let missing: Vec<PieceIndex> = order.filter(|piece| !progress.verified.contains(piece)).collect();
        for (number, piece) in missing.iter().enumerate() {
            self.get(*piece)?;
            progress.verified.insert(*piece);
            if number % SYNC_EVERY == SYNC_EVERY - 1 {
                self.sync(progress)?;
            }
        }
        self.sync(progress)
    }

    fn sync(&self, progress: &mut Progress) -> Result<(), DiskOutcome> {
        match self.run(&DiskWork::Sync) {
            DiskOutcome::Synced => {
                progress.synced = progress.verified.clone();
                Ok(())
            }
            other => Err(other),
        }
    }
}

/// Starts again, holds what is found against what was known, and returns the download and what it has.
fn restart(
    fs: &SimFs,
    info: &Arc<Info>,
    bytes: &[u8],
    before: &Progress,
    survival: Survival,
    what: &str,
) -> (Download, Progress) {
    let download = Download::open(fs, info, bytes).unwrap();
    let recovered = download.store.recover().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut found = Progress::default();
    for piece in recovered.verified {
        let length = info.geometry().piece_len(piece).unwrap();
        let mut read = vec![0; length as usize];
        download.store.read(Block { piece, offset: 0, length }, &mut read).unwrap();
        assert!(read == download.piece(piece), "{what}: piece {piece} is vouched for and wrong");
        found.verified.insert(piece);
    }
    found.synced = found.verified.clone();
    for piece in recovered.suspects {
        if let DiskOutcome::Verified { .. } = download.check(piece) {
            found.verified.insert(piece);
        }
    }
    let promised = if survival == Survival::All { &before.verified } else { &before.synced };
    let lost: Vec<_> = promised.difference(&found.verified).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} have to be fetched again");
    (download, found)
}

fn assert_finished(fs: &SimFs, info: &Arc<Info>, bytes: &[u8], what: &str) {
    let whole: Vec<u8> = ["a", "d/b", "d/e/c"]
        .iter()
        .flat_map(|path| fs.read(&[&["t"][..], &path.split('/').collect::<Vec<_>>()].concat()).unwrap())
        .collect();
    assert!(whole == bytes, "{what}: the files are not what they should be");
    assert_eq!(fs.read(&["t", "empty"]), Some(Vec::new()), "{what}");
    // What a complete download is worth after a power cut.
    let left = fs.crash(Survival::Nothing);
    let all =
        Progress { verified: (0..PIECES).map(PieceIndex).collect(), synced: (0..PIECES).map(PieceIndex).collect() };
    restart(&left, info, bytes, &all, Survival::Nothing, what);
}

/// What is done to a download, and how often its operations can fail.
fn operations(info: &Arc<Info>, bytes: &[u8]) -> u64 {
    let fs = SimFs::new();
    let download = Download::open(&fs, info, bytes).unwrap();
    download.store.recover().unwrap();
    download.go_on(&mut Progress::default()).unwrap();
    let count = fs.operations();
    assert_finished(&fs, info, bytes, "without a crash");
    count
}

/// S1, S5: a crash at every operation under every survival, a second one while the download goes on, and then the whole file.
#[test]
fn s1_s5_a_crash_at_any_operation_loses_nothing_that_was_promised() {
    let info = torrent();
    let bytes = content(info.geometry().total_len());
    let count = operations(&info, &bytes);
    assert!(count > 250, "{count}");
    let mut rng = Seed::new([6; 32]).rng();
    for at in 0..count {
        let seed = || Survival::Random(at);
        for survival in [Survival::All, Survival::Nothing, seed(), Survival::Random(at + 1_000_000), Survival::Torn(at)]
        {
            let what = format!("crash at {at}, {survival:?}");
            let fs = SimFs::new();
            fs.fail_at(at, Failure::Crash);
            let mut progress = Progress::default();
            if let Ok(download) = Download::open(&fs, &info, &bytes) {
                download.store.recover().unwrap();
                assert!(download.go_on(&mut progress).is_err(), "{what}");
            }
            let fs = fs.crash(survival);
            let (download, mut progress) = restart(&fs, &info, &bytes, &progress, survival, &what);
            fs.fail_at(fs.operations() + u64::from(rng.below(200)), Failure::Crash);
            if download.go_on(&mut progress).is_ok() {
                assert_finished(&fs, &info, &bytes, &what);
                continue;
            }
            let second = if rng.below(2) == 0 { Survival::All } else { Survival::Torn(rng.next_u64()) };
            let what = format!("{what}, then {second:?}");
            let fs = fs.crash(second);
            let (download, mut progress) = restart(&fs, &info, &bytes, &progress, second, &what);
            download.go_on(&mut progress).unwrap();
            assert_finished(&fs, &info, &bytes, &what);
        }
    }
}

/// S2, S3: the disk is full or broken at any operation, once or until it heals.
#[test]
fn s2_s3_a_full_or_broken_disk_at_any_operation_heals() {
    let info = torrent();
    let bytes = content(info.geometry().total_len());
    let count = operations(&info, &bytes);
    for at in 0..count {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            for failure in [Failure::Once(kind), Failure::Forever(kind)] {
                let what = format!("{failure:?} at {at}");
                let fs = SimFs::new();
                let mut progress = Progress::default();
                fs.fail_at(at, failure);
                let download = Download::open(&fs, &info, &bytes).unwrap();
                download.store.recover().unwrap();
                // The engine tries again what has failed.
                let mut failures = 0;
                while let Err(outcome) = download.go_on(&mut progress) {
                    assert!(matches!(outcome, DiskOutcome::Failed(_)), "{what}: {outcome:?}");
                    failures += 1;
                    assert!(failures < 10, "{what}: it does not heal");
                    if failures == 3 {
                        fs.heal();
                    }
                }
                fs.heal();
                assert_finished(&fs, &info, &bytes, &what);
            }
        }
    }
}
