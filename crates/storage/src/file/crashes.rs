//! A scripted download that stops at each of its operations, under every way in which a disk may be left, and goes on.

use super::tests::{content, info_with};
use super::*;
use crate::fs::sim::{Failure, SimFs, Survival};
use crate::run;
use bytes::Bytes;
use unchoke_core::{DiskOutcome, DiskWork, Seed};

pub(super) const PIECES: u32 = 64;
pub(super) const PIECE: u32 = 2048;
/// Pieces after which there is a sync.
const SYNC_EVERY: usize = 9;
/// The piece that comes in two parts, because memory is short.
const SPILLED: PieceIndex = PieceIndex(20);
/// The piece that is wrong at first, and lies in two files.
const WRONG: PieceIndex = PieceIndex(33);

pub(super) fn torrent() -> Arc<Info> {
    let total = u64::from(PIECE) * u64::from(PIECES) - 100;
    info_with("t", &[("a", 30_001), ("d/b", 40_000), ("empty", 0), ("d/e/c", total - 70_001)], PIECE)
}

/// What a client knows of its download.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Told to be verified and written.
    pub(super) verified: BTreeSet<PieceIndex>,
    /// Those that a sync has covered since.
    pub(super) synced: BTreeSet<PieceIndex>,
    /// It was decided that the files which were not wanted at first are.
    pub(super) wants_all: bool,
}

/// Files that are not wanted until everything else is here.
pub(super) type Skipped = &'static [u32];

pub(super) const NOTHING: Skipped = &[];
/// The second file and the empty one: pieces at both ends of the second are wanted.
pub(super) const MIDDLE: Skipped = &[1, 2];

pub(super) struct Download {
    info: Arc<Info>,
    bytes: Vec<u8>,
    pub(super) store: Arc<dyn TorrentStorage>,
    skipped: Skipped,
}

impl Download {
    pub(super) fn open(fs: &SimFs, info: &Arc<Info>, bytes: &[u8], skipped: Skipped) -> Result<Self, StorageError> {
        let store = FileStorage::on(fs.clone()).open(info)?;
        Ok(Self { info: Arc::clone(info), bytes: bytes.to_vec(), store, skipped })
    }

    pub(super) fn piece(&self, piece: PieceIndex) -> &[u8] {
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

    pub(super) fn check(&self, piece: PieceIndex) -> DiskOutcome {
        self.run(&DiskWork::Check { piece, expected: self.info.piece_hash(piece).unwrap(), digests: false })
    }

    /// Gets a piece the way that the script has for it. `Err` is what the disk said.
    pub(super) fn get(&self, piece: PieceIndex) -> Result<(), DiskOutcome> {
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
    pub(super) fn go_on(&self, progress: &mut Progress) -> Result<(), DiskOutcome> {
        if !progress.wants_all {
            self.skip(self.skipped)?;
            self.get_missing(progress, |piece| self.is_wanted_first(piece))?;
            progress.wants_all = true;
        }
        self.skip(NOTHING)?;
        self.get_missing(progress, |_| true)
    }

    /// Whether the piece is part of a file that is wanted from the start.
    pub(super) fn is_wanted_first(&self, piece: PieceIndex) -> bool {
        let geometry = self.info.geometry();
        let (start, length) = (geometry.piece_offset(piece).unwrap(), geometry.piece_len(piece).unwrap());
        let mut spans = self.info.layout().spans(start, length.into());
        spans.any(|span| !self.skipped.contains(&(span.file as u32)))
    }

    pub(super) fn skip(&self, files: Skipped) -> Result<(), DiskOutcome> {
        match self.run(&DiskWork::SkipFiles { files: files.to_vec() }) {
            DiskOutcome::FilesSkipped => Ok(()),
            other => Err(other),
        }
    }

    fn get_missing(&self, progress: &mut Progress, wanted: impl Fn(PieceIndex) -> bool) -> Result<(), DiskOutcome> {
        let order = (0..PIECES).map(|number| PieceIndex(number * 29 % PIECES));
        let missing: Vec<PieceIndex> =
            order.filter(|piece| wanted(*piece) && !progress.verified.contains(piece)).collect();
        for (number, piece) in missing.iter().enumerate() {
            self.get(*piece)?;
            progress.verified.insert(*piece);
            if number % SYNC_EVERY == SYNC_EVERY - 1 {
                self.sync(progress)?;
            }
        }
        self.sync(progress)
    }

    pub(super) fn sync(&self, progress: &mut Progress) -> Result<(), DiskOutcome> {
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
    skipped: Skipped,
) -> (Download, Progress) {
    let download = Download::open(fs, info, bytes, skipped).unwrap();
    let recovered = download.store.recover().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut found = Progress { wants_all: before.wants_all, ..Progress::default() };
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

pub(super) fn assert_finished(fs: &SimFs, info: &Arc<Info>, bytes: &[u8], what: &str) {
    let whole: Vec<u8> = ["a", "d/b", "d/e/c"]
        .iter()
        .flat_map(|path| fs.read(&[&["t"][..], &path.split('/').collect::<Vec<_>>()].concat()).unwrap())
        .collect();
    assert!(whole == bytes, "{what}: the files are not what they should be");
    assert_eq!(fs.read(&["t", "empty"]), Some(Vec::new()), "{what}");
    // What a complete download is worth after a power cut.
    let left = fs.crash(Survival::Nothing);
    let pieces: BTreeSet<PieceIndex> = (0..PIECES).map(PieceIndex).collect();
    let all = Progress { verified: pieces.clone(), synced: pieces, wants_all: true };
    restart(&left, info, bytes, &all, Survival::Nothing, what, NOTHING);
    assert!(
        fs.read(&[state::FOLDER, &format!("{}.part", info.info_hashes())]).is_none(),
        "{what}: a part file is left"
    );
}

/// What is done to a download, and how often its operations can fail.
fn operations(info: &Arc<Info>, bytes: &[u8], skipped: Skipped) -> u64 {
    let fs = SimFs::new();
    let download = Download::open(&fs, info, bytes, skipped).unwrap();
    download.store.recover().unwrap();
    download.go_on(&mut Progress::default()).unwrap();
    let count = fs.operations();
    assert_finished(&fs, info, bytes, "without a crash");
    count
}

/// S1, S5: a crash at every operation under every survival, a second one while the download goes on, and then the whole file.
#[test]
fn s1_s5_a_crash_at_any_operation_loses_nothing_that_was_promised() {
    crash_everywhere(NOTHING);
}

/// The same while pieces lie in the part file in part, and while it is emptied.
#[test]
fn s1_s5_a_crash_loses_nothing_of_the_part_file() {
    crash_everywhere(MIDDLE);
}

fn crash_everywhere(skipped: Skipped) {
    let info = torrent();
    let bytes = content(info.geometry().total_len());
    let count = operations(&info, &bytes, skipped);
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
            if let Ok(download) = Download::open(&fs, &info, &bytes, skipped) {
                download.store.recover().unwrap();
                assert!(download.go_on(&mut progress).is_err(), "{what}");
            }
            let fs = fs.crash(survival);
            let (download, mut progress) = restart(&fs, &info, &bytes, &progress, survival, &what, skipped);
            fs.fail_at(fs.operations() + u64::from(rng.below(200)), Failure::Crash);
            if download.go_on(&mut progress).is_ok() {
                assert_finished(&fs, &info, &bytes, &what);
                continue;
            }
            let second = if rng.below(2) == 0 { Survival::All } else { Survival::Torn(rng.next_u64()) };
            let what = format!("{what}, then {second:?}");
            let fs = fs.crash(second);
            let (download, mut progress) = restart(&fs, &info, &bytes, &progress, second, &what, skipped);
            download.go_on(&mut progress).unwrap();
            assert_finished(&fs, &info, &bytes, &what);
        }
    }
}

/// S2, S3: the disk is full or broken at any operation, once or until it heals.
#[test]
fn s2_s3_a_full_or_broken_disk_at_any_operation_heals() {
    [NOTHING, MIDDLE].into_iter().for_each(fail_everywhere);
}

fn fail_everywhere(skipped: Skipped) {
    let info = torrent();
    let bytes = content(info.geometry().total_len());
    let count = operations(&info, &bytes, skipped);
    for at in 0..count {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            for failure in [Failure::Once(kind), Failure::Forever(kind)] {
                let what = format!("{failure:?} at {at}");
                let fs = SimFs::new();
                let mut progress = Progress::default();
                fs.fail_at(at, failure);
                let download = Download::open(&fs, &info, &bytes, skipped).unwrap();
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

/// A complete torrent in a simulated file system.
fn complete(fs: &SimFs, info: &Arc<Info>, bytes: &[u8]) -> Download {
    let download = Download::open(fs, info, bytes, NOTHING).unwrap();
    download.store.recover().unwrap();
    download.go_on(&mut Progress::default()).unwrap();
    download
}

/// A file is renamed, and there is a crash on the way: it goes by one of both names, all is here, and it can be renamed again.
#[test]
fn a_crash_while_a_file_is_renamed_loses_nothing() {
    let info = torrent();
    let bytes = content(info.geometry().total_len());
    let pieces: BTreeSet<PieceIndex> = (0..PIECES).map(PieceIndex).collect();
    let all = Progress { verified: pieces.clone(), synced: pieces, wants_all: true };
    let (old, new) = (["t", "d", "b"], ["t", "other", "name"]);
    for at in 0.. {
        for survival in [Survival::All, Survival::Nothing, Survival::Random(at), Survival::Torn(at)] {
            let what = format!("crash at {at}, {survival:?}");
            let fs = SimFs::new();
            let download = complete(&fs, &info, &bytes);
            let begin = fs.operations();
            fs.fail_at(begin + at, Failure::Crash);
            let renamed = download.store.rename_file(1, &new);
            if fs.operations() < begin + at {
                return;
            }
            let fs = fs.crash(survival);
            let (download, _) = restart(&fs, &info, &bytes, &all, survival, &what, NOTHING);
            assert!(fs.read(&old).is_some() != fs.read(&new).is_some(), "{what}: it has one name");
            if renamed.is_ok() {
                assert!(fs.read(&new).is_some(), "{what}: what was told to be done is done");
            }
            download.store.rename_file(1, &new).unwrap();
            assert!(fs.read(&new).is_some_and(|found| found == bytes[30_001..70_001]), "{what}");
            download.store.rename_file(1, &old).unwrap();
            assert_finished(&fs, &info, &bytes, &what);
        }
    }
}

#[test]
fn a_disk_that_fails_while_a_file_is_renamed_leaves_all_as_it_was_or_as_it_should_be() {
    let info = torrent();
    let bytes = content(info.geometry().total_len());
    for at in 0.. {
        let fs = SimFs::new();
        let download = complete(&fs, &info, &bytes);
        let begin = fs.operations();
        fs.fail_at(begin + at, Failure::Once(io::ErrorKind::Other));
        let renamed = download.store.rename_file(1, &["new"]);
        let piece = PieceIndex(20);
        assert!(matches!(download.check(piece), DiskOutcome::Verified { .. }), "at {at}");
        assert!(matches!(download.check(PieceIndex(60)), DiskOutcome::Verified { .. }), "at {at}");
        if renamed.is_err() {
            download.store.rename_file(1, &["new"]).unwrap();
        }
        assert!(fs.read(&["new"]).is_some_and(|found| found == bytes[30_001..70_001]), "at {at}");
        if fs.operations() < begin + at {
            return;
        }
    }
}
