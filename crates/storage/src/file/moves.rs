//! Torrents on their way to another place, and whatever may happen to them there.

use super::crashes::{Download, MIDDLE, NOTHING, PIECES, Progress, assert_finished, torrent};
use super::tests::{content, info};
use super::*;
use crate::fs::sim::{Failure, SimFs, Survival};
use crate::{MemoryStorage, Moved, move_storage};
use std::ops::ControlFlow;
use unchoke_core::DiskOutcome;

/// Where the last file of the torrent goes by another name.
const RENAMED: &[&str] = &["elsewhere", "c"];
const LAST: u32 = 3;

/// A machine with two places, at the first of which a torrent is half downloaded.
struct Rig {
    fs: SimFs,
    info: Arc<Info>,
    bytes: Vec<u8>,
    /// Pieces that a sync has covered.
    synced: BTreeSet<PieceIndex>,
    download: Download,
}

fn open(fs: &SimFs, place: &str, info: &Arc<Info>) -> Arc<dyn TorrentStorage> {
    let store = FileStorage::on(fs.below(place)).open(info).unwrap();
    store.skip_files(MIDDLE).unwrap();
    store
}

impl Rig {
    fn new(links: bool) -> Self {
        let (fs, info) = (SimFs::new(), torrent());
        if !links {
            fs.refuse_links();
        }
        let bytes = content(info.geometry().total_len());
        let download = Download::open(&fs.below("old"), &info, &bytes, MIDDLE).unwrap();
        download.store.recover().unwrap();
        download.skip(MIDDLE).unwrap();
        let wanted = (0..PIECES).map(PieceIndex).filter(|piece| download.is_wanted_first(*piece));
        let (synced, others): (Vec<_>, Vec<_>) = wanted.filter(|piece| piece.0 % 4 != 1).partition(|it| it.0 % 4 != 3);
        synced.iter().for_each(|piece| download.get(*piece).unwrap());
        download.store.rename_file(LAST, RENAMED).unwrap();
        download.sync(&mut Progress::default()).unwrap();
        // These are committed and nothing more.
        others.iter().take(5).for_each(|piece| download.get(*piece).unwrap());
        Self { fs, info, bytes, synced: synced.into_iter().collect(), download }
    }

    fn go(&self) -> Result<Moved, StorageError> {
        // It may be the full disk that one moves away from.
        let _ = self.download.store.sync();
        let to = open(&self.fs, "new", &self.info);
        move_storage(&self.info, self.download.store.as_ref(), to.as_ref(), |_, _| ControlFlow::Continue(()), || Ok(()))
    }

    /// The pieces that are right at a place, for whoever looks there. What it vouches for must be.
    fn held(&self, fs: &SimFs, place: &str, what: &str) -> BTreeSet<PieceIndex> {
        let store = open(fs, place, &self.info);
        let found = store.recover().unwrap_or_else(|error| panic!("{what}: {error}"));
        let is_right = |piece: &PieceIndex| {
            let length = self.info.geometry().piece_len(*piece).unwrap();
            let mut read = vec![0; length as usize];
            store.read(Block { piece: *piece, offset: 0, length }, &mut read).is_ok()
                && read == self.download.piece(*piece)
        };
        assert!(found.verified.iter().all(is_right), "{what}: {place} vouches for what is wrong");
        found.verified.iter().chain(&found.suspects).copied().filter(is_right).collect()
    }

    /// At least one of the two places holds everything.
    fn assert_kept(&self, fs: &SimFs, what: &str) {
        let (old, new) = (self.held(fs, "old", what), self.held(fs, "new", what));
        assert!(
            self.synced.is_subset(&old) || self.synced.is_subset(&new),
            "{what}: {:?} are not at the old place, {:?} not at the new one",
            self.synced.difference(&old).collect::<Vec<_>>(),
            self.synced.difference(&new).collect::<Vec<_>>()
        );
    }

    /// The move is made from what there is, and the download goes on at the new place until it is finished.
    fn assert_ends_well(&self, fs: &SimFs, what: &str) {
        let (from, to) = (open(fs, "old", &self.info), open(fs, "new", &self.info));
        let moved = move_storage(&self.info, from.as_ref(), to.as_ref(), |_, _| ControlFlow::Continue(()), || Ok(()))
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(moved.left.is_none(), "{what}: {:?}", moved.left);
        self.assert_over(fs, what);
    }

    fn assert_over(&self, fs: &SimFs, what: &str) {
        let left = fs.below("old").files();
        assert!(left.iter().all(|file| file == ".unchoke/lock"), "{what}: {left:?} is left");
        let download = Download::open(&fs.below("new"), &self.info, &self.bytes, MIDDLE).unwrap();
        let found = download.store.recover().unwrap();
        let is_right = |piece: &PieceIndex| matches!(download.check(*piece), DiskOutcome::Verified { .. });
        let suspects = found.suspects.iter().copied().filter(is_right);
        let verified: BTreeSet<PieceIndex> = found.verified.iter().copied().chain(suspects).collect();
        assert!(self.synced.is_subset(&verified), "{what}: {verified:?} is over of {:?}", self.synced);
        assert!(fs.below("new").read(RENAMED).is_some(), "{what}: the name is lost");
        assert!(fs.below("new").read(&["t", "d", "b"]).is_none(), "{what}: what nobody wants is not made");
        download.store.rename_file(LAST, &["t", "d", "e", "c"]).unwrap();
        let mut progress = Progress { verified, ..Progress::default() };
        download.go_on(&mut progress).unwrap();
        assert_finished(&fs.below("new"), &self.info, &self.bytes, what);
        let others: Vec<String> = fs.below("new").files().into_iter().filter(|file| file.ends_with(".move")).collect();
        assert!(others.is_empty(), "{what}: {others:?} is left");
    }
}

#[test]
fn a_torrent_goes_to_another_place_as_it_is() {
    for links in [true, false] {
        let rig = Rig::new(links);
        let moved = rig.go().unwrap();
        assert!(moved.left.is_none());
        let all: BTreeSet<PieceIndex> = moved.recovered.verified.iter().copied().collect();
        assert!(rig.synced.is_subset(&all) && all.len() == rig.synced.len() + 5, "what is committed goes, too");
        rig.assert_over(&rig.fs, if links { "linked" } else { "copied" });
    }
}

#[test]
fn a_crash_at_any_moment_of_a_move_leaves_one_place_with_everything() {
    for links in [true, false] {
        for at in 0.. {
            let (mut is_over, seed) = (false, at + if links { 0 } else { 1_000_000 });
            for survival in [Survival::All, Survival::Nothing, Survival::Random(seed), Survival::Torn(seed)] {
                let what = format!("links {links}, crash at {at}, {survival:?}");
                let rig = Rig::new(links);
                let begin = rig.fs.operations();
                rig.fs.fail_at(begin + at, Failure::Crash);
                drop(rig.go());
                is_over = rig.fs.operations() < begin + at;
                let fs = rig.fs.crash(survival);
                rig.assert_kept(&fs, &what);
                // And once more, somewhere on the second way.
                fs.fail_at(fs.operations() + at * 7 % 90, Failure::Crash);
                let (from, to) = (open(&fs, "old", &rig.info), open(&fs, "new", &rig.info));
                drop(move_storage(&rig.info, from.as_ref(), to.as_ref(), |_, _| ControlFlow::Continue(()), || Ok(())));
                let fs = fs.crash(survival);
                rig.assert_kept(&fs, &what);
                rig.assert_ends_well(&fs, &what);
            }
            if is_over {
                assert!(at > 60, "{at} operations are too few");
                break;
            }
        }
    }
}

#[test]
fn a_move_that_fails_at_any_operation_leaves_the_old_place_as_it_was_and_nothing_at_the_new_one() {
    for links in [true, false] {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            for forever in [false, true] {
                for at in 0.. {
                    let what = format!("links {links}, {kind:?}, forever {forever}, at {at}");
                    let rig = Rig::new(links);
                    let begin = rig.fs.operations();
                    let failure = if forever { Failure::Forever(kind) } else { Failure::Once(kind) };
                    rig.fs.fail_at(begin + at, failure);
                    let moved = rig.go();
                    if rig.fs.operations() <= begin + at {
                        moved.unwrap();
                        break;
                    }
                    rig.fs.heal();
                    if moved.is_err() {
                        for piece in &rig.synced {
                            let outcome = rig.download.check(*piece);
                            assert!(matches!(outcome, DiskOutcome::Verified { .. }), "{what}: {piece} is {outcome:?}");
                        }
                        let left = rig.fs.below("new").files();
                        assert!(forever || left.iter().all(|file| file == ".unchoke/lock"), "{what}: {left:?}");
                        let moved = rig.go().unwrap_or_else(|error| panic!("{what}: {error:?}"));
                        assert!(moved.left.is_none(), "{what}");
                        rig.assert_over(&rig.fs, &what);
                    } else {
                        // What could not be removed is removed by whoever moves it again.
                        rig.assert_kept(&rig.fs, &what);
                        rig.assert_ends_well(&rig.fs, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn a_disk_that_is_too_small_gets_nothing() {
    let rig = Rig::new(true);
    let small = SimFs::new();
    small.set_capacity(Some(60_000));
    let go = || {
        let to = FileStorage::on(small.clone()).open(&rig.info).unwrap();
        move_storage(&rig.info, rig.download.store.as_ref(), to.as_ref(), |_, _| ControlFlow::Continue(()), || Ok(()))
    };
    assert_eq!(go().unwrap_err().kind(), StorageErrorKind::Full);
    assert_eq!(small.files(), [] as [&str; 0]);
    rig.synced.iter().for_each(|piece| assert!(matches!(rig.download.check(*piece), DiskOutcome::Verified { .. })));
    small.set_capacity(None);
    assert!(go().unwrap().left.is_none());
    assert!(small.read(RENAMED).is_some());
}

#[test]
fn a_move_can_be_ended_and_then_nothing_has_happened() {
    for links in [true, false] {
        let rig = Rig::new(links);
        let to = open(&rig.fs, "new", &rig.info);
        let mut told = Vec::new();
        let ended = move_storage(
            &rig.info,
            rig.download.store.as_ref(),
            to.as_ref(),
            |done, total| {
                told.push((done, total));
                if told.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
            || Ok(()),
        );
        assert_eq!(ended.unwrap_err().kind(), StorageErrorKind::Cancelled);
        assert!(told.len() == 2 && told.iter().all(|(done, total)| done <= total), "{told:?}");
        assert_eq!(rig.fs.below("new").files(), [".unchoke/lock"; 0]);
        let moved = move_storage(
            &rig.info,
            rig.download.store.as_ref(),
            to.as_ref(),
            |done, total| {
                told.push((done, total));
                ControlFlow::Continue(())
            },
            || Ok(()),
        );
        moved.unwrap();
        let (done, total) = told.last().copied().unwrap();
        assert_eq!((done, total), (total, (rig.synced.len() as u64 + 5) * 2048));
    }
}

#[test]
fn the_old_place_is_whole_until_it_is_noted_where_the_torrent_is() {
    for links in [true, false] {
        let rig = Rig::new(links);
        let go = |settle: &dyn Fn() -> Result<(), StorageError>| {
            let to = open(&rig.fs, "new", &rig.info);
            move_storage(&rig.info, rig.download.store.as_ref(), to.as_ref(), |_, _| ControlFlow::Continue(()), settle)
        };
        let failed = go(&|| Err(StorageError::new(StorageErrorKind::Full)));
        assert_eq!(failed.unwrap_err().kind(), StorageErrorKind::Full);
        assert_eq!(rig.fs.below("new").files(), [".unchoke/lock"; 0]);
        go(&|| {
            for place in ["old", "new"] {
                assert!(rig.synced.is_subset(&rig.held(&rig.fs, place, "when it settles")), "{place}");
            }
            Ok(())
        })
        .unwrap();
        rig.assert_over(&rig.fs, "settled");
    }
}

#[test]
fn what_is_known_at_the_new_place_stays_and_is_not_copied_again() {
    let rig = Rig::new(true);
    let there = Download::open(&rig.fs.below("new"), &rig.info, &rig.bytes, NOTHING).unwrap();
    there.store.recover().unwrap();
    // One that the old place has, and one that it does not.
    [PieceIndex(0), PieceIndex(1)].into_iter().for_each(|piece| there.get(piece).unwrap());
    there.sync(&mut Progress::default()).unwrap();
    drop(there);
    let moved = rig.go().unwrap();
    let held: BTreeSet<PieceIndex> = moved.recovered.verified.into_iter().collect();
    assert!(rig.synced.is_subset(&held) && held.contains(&PieceIndex(1)) && held.len() == rig.synced.len() + 6);
    assert_eq!(rig.fs.below("old").files(), [".unchoke/lock"; 0]);
}

#[test]
fn a_place_at_which_the_torrent_has_settled_after_all_is_not_taken_for_a_leftover() {
    let rig = Rig::new(true);
    // The move ends when the first file is over.
    let fs = std::cell::OnceCell::new();
    let to = open(&rig.fs, "new", &rig.info);
    let ended = move_storage(
        &rig.info,
        rig.download.store.as_ref(),
        to.as_ref(),
        |_, _| {
            fs.set(rig.fs.crash(Survival::All)).unwrap();
            ControlFlow::Break(())
        },
        || Ok(()),
    );
    assert_eq!(ended.unwrap_err().kind(), StorageErrorKind::Cancelled);
    let fs = fs.into_inner().unwrap();
    let left = fs.below("new").files();
    assert!(left.iter().any(|file| file.ends_with(".move")) && left.contains(&"t/a".to_owned()), "{left:?}");
    let there = Download::open(&fs.below("new"), &rig.info, &rig.bytes, NOTHING).unwrap();
    there.store.recover().unwrap();
    there.get(PieceIndex(1)).unwrap();
    there.sync(&mut Progress::default()).unwrap();
    drop(there);
    let (from, to) = (open(&fs, "old", &rig.info), open(&fs, "new", &rig.info));
    let moved =
        move_storage(&rig.info, from.as_ref(), to.as_ref(), |_, _| ControlFlow::Continue(()), || Ok(())).unwrap();
    assert!(moved.recovered.verified.contains(&PieceIndex(1)), "{:?}", moved.recovered);
}

/// A torrent of two files of which all is there but one piece, and its store.
fn on_disk(root: &Path) -> (Arc<Info>, Arc<dyn TorrentStorage>) {
    let info = info("t", &[("a", 98_304), ("d/b", 98_304)]);
    let store = FileStorage::new(root).open(&info).unwrap();
    fill(&info, store.as_ref());
    (info, store)
}

fn fill(info: &Info, store: &dyn TorrentStorage) {
    store.recover().unwrap();
    let bytes = content(196_608);
    for (piece, bytes) in info.geometry().pieces().zip(bytes.chunks(32_768)).filter(|(piece, _)| piece.0 != 4) {
        store.write(piece, 0, &[IoSlice::new(bytes)]).unwrap();
        store.commit(piece).unwrap();
    }
    store.sync().unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn go(info: &Info, from: &dyn TorrentStorage, to: &dyn TorrentStorage) -> Result<Moved, StorageErrorKind> {
    move_storage(info, from, to, |_, _| ControlFlow::Continue(()), || Ok(())).map_err(|error| error.kind())
}

#[cfg(unix)]
#[test]
fn nothing_is_copied_within_one_file_system() {
    use std::os::unix::fs::MetadataExt as _;
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (info, store) = on_disk(old.path());
    let number = std::fs::metadata(old.path().join("t/a")).unwrap().ino();
    let to = FileStorage::new(new.path().join("deep/er")).open(&info).unwrap();
    let moved = go(&info, store.as_ref(), to.as_ref()).unwrap();
    assert_eq!((moved.recovered.verified.len(), moved.left.is_none()), (5, true));
    assert_eq!(std::fs::metadata(new.path().join("deep/er/t/a")).unwrap().ino(), number);
    assert_eq!(
        (names(old.path()), names(&old.path().join(".unchoke"))),
        (vec![".unchoke".into()], vec!["lock".into()])
    );
    let mut read = vec![0; 32_768];
    to.read(Block { piece: PieceIndex(3), offset: 0, length: 32_768 }, &mut read).unwrap();
    assert!(read == content(196_608)[98_304..131_072]);
}

#[cfg(unix)]
#[test]
fn one_place_under_two_names_is_one_place() {
    let (old, links) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (info, store) = on_disk(old.path());
    std::os::unix::fs::symlink(old.path(), links.path().join("new")).unwrap();
    let before = (names(&old.path().join("t")), names(&old.path().join(".unchoke")));
    for root in [old.path(), &links.path().join("new")] {
        let to = FileStorage::new(root).open(&info).unwrap();
        assert_eq!(go(&info, store.as_ref(), to.as_ref()).unwrap().recovered.verified.len(), 5);
    }
    assert_eq!(go(&info, store.as_ref(), store.as_ref()).unwrap().recovered.verified.len(), 5);
    assert_eq!((names(&old.path().join("t")), names(&old.path().join(".unchoke"))), before);
}

#[test]
fn a_file_of_somebody_else_is_not_replaced() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (info, store) = on_disk(old.path());
    std::fs::create_dir_all(new.path().join("t/d")).unwrap();
    std::fs::write(new.path().join("t/d/b"), b"mine").unwrap();
    for _ in 0..2 {
        let to = FileStorage::new(new.path()).open(&info).unwrap();
        assert_eq!(go(&info, store.as_ref(), to.as_ref()).unwrap_err(), StorageErrorKind::Occupied);
        assert_eq!(std::fs::read(new.path().join("t/d/b")).unwrap(), b"mine");
        assert_eq!(names(&new.path().join("t")), ["d"]);
    }
    assert_eq!(store.recover().unwrap().verified.len(), 5);
    let to = FileStorage::read_only(new.path()).open(&info).unwrap();
    assert_eq!(go(&info, store.as_ref(), to.as_ref()).unwrap_err(), StorageErrorKind::Denied);
    std::fs::remove_file(new.path().join("t/d/b")).unwrap();
    let to = FileStorage::new(new.path()).open(&info).unwrap();
    go(&info, store.as_ref(), to.as_ref()).unwrap();
}

#[test]
fn pieces_go_from_memory_to_files_and_back() {
    let new = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 98_304), ("d/b", 98_304)]);
    let memory = MemoryStorage::new();
    let store = memory.open(&info).unwrap();
    fill(&info, store.as_ref());
    let files = FileStorage::new(new.path()).open(&info).unwrap();
    let moved = go(&info, store.as_ref(), files.as_ref()).unwrap();
    assert_eq!((moved.recovered.verified.len(), moved.left.is_none()), (5, true));
    assert_eq!(memory.open(&info).unwrap().recover().unwrap(), Recovered::default());
    assert!(std::fs::read(new.path().join("t/a")).unwrap() == content(196_608)[..98_304]);
    // What somebody has changed without a trace is wrong, and stays behind.
    let path = new.path().join("t/a");
    let stamp = std::fs::metadata(&path).unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    crate::fs::os::positioned::write(&file, 40_000, &mut [IoSlice::new(b"x")]).unwrap();
    file.set_modified(stamp).unwrap();
    let moved = go(&info, files.as_ref(), memory.open(&info).unwrap().as_ref()).unwrap();
    assert_eq!(moved.recovered.verified, [0, 2, 3, 5].map(PieceIndex));
    assert!(!path.exists());
}

#[test]
fn a_store_that_lets_things_go_again_gets_nothing_for_good() {
    let old = tempfile::tempdir().unwrap();
    let (info, store) = on_disk(old.path());
    let memory = MemoryStorage::with_capacity(3 * 32_768);
    let to = memory.open(&info).unwrap();
    assert_eq!(go(&info, store.as_ref(), to.as_ref()).unwrap_err(), StorageErrorKind::Full);
    assert_eq!(store.recover().unwrap().verified.len(), 5);
}

#[test]
fn what_only_looks_after_files_leaves_them_and_has_them_copied() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (info, store) = on_disk(old.path());
    drop(store);
    let store = FileStorage::read_only(old.path()).open(&info).unwrap();
    let to = FileStorage::new(new.path()).open(&info).unwrap();
    let moved = go(&info, store.as_ref(), to.as_ref()).unwrap();
    assert_eq!(moved.recovered.verified.len(), 5);
    assert_eq!(moved.left.map(|error| error.kind()), Some(StorageErrorKind::Denied));
    std::fs::write(new.path().join("t/a"), b"changed").unwrap();
    assert!(std::fs::read(old.path().join("t/a")).unwrap() == content(196_608)[..98_304]);
}
