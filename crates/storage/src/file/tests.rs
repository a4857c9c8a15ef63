use super::*;
use crate::run;
use unchoke_core::hash::sha1;
use unchoke_core::{DiskOutcome, DiskWork};

const PIECE: u32 = 32 * 1024;

pub(super) fn content(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 7) as u8).collect()
}

/// A torrent of these files, with the hashes of `content`.
pub(crate) fn info(name: &str, files: &[(&str, u64)]) -> Arc<Info> {
    info_with(name, files, PIECE)
}

/// The same in pieces of another length.
pub(super) fn info_with(name: &str, files: &[(&str, u64)], piece: u32) -> Arc<Info> {
    let total = files.iter().map(|(_, length)| length).sum();
    let hashes: Vec<u8> = content(total).chunks(piece as usize).flat_map(|piece| *sha1(piece).as_bytes()).collect();
    let raw = unchoke_bencode::encode(|value| {
        value.dict(|info| {
            info.entry("files", |value| {
                value.list(|list| {
                    for (path, length) in files {
                        list.item(|item| {
                            item.dict(|file| {
                                file.int("length", i64::try_from(*length).unwrap());
                                file.entry("path", |path_value| {
                                    path_value.list(|steps| path.split('/').for_each(|step| steps.bytes(step)))
                                });
                            })
                        });
                    }
                })
            });
            info.bytes("name", name);
            info.int("piece length", piece.into());
            info.bytes("pieces", &hashes);
        })
    });
    Arc::new(Info::from_bytes(raw).unwrap())
}

fn store_piece(store: &dyn TorrentStorage, info: &Info, piece: PieceIndex) {
    let geometry = info.geometry();
    let start = geometry.piece_offset(piece).unwrap() as usize;
    let bytes = content(geometry.total_len())[start..start + geometry.piece_len(piece).unwrap() as usize].to_vec();
    let expected = info.piece_hash(piece).unwrap();
    let work = DiskWork::Store { piece, expected, data: vec![bytes.into()], digests: false };
    assert_eq!(run(store, geometry, &work), DiskOutcome::Verified { blocks: Vec::new() });
}

#[test]
fn keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    crate::contract::check(|geometry| {
        count.set(count.get() + 1);
        let info = info("t", &[("a", 40_000), ("d/b", 0), ("d/c", geometry.total_len() - 40_000)]);
        FileStorage::new(root.path().join(count.get().to_string())).open(&info).unwrap()
    });
}

#[test]
fn a_block_is_found_where_it_lies_in_one_file() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 40_000), ("b", 30_000)]);
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    let block = |offset, length| Block { piece: PieceIndex(1), offset, length };
    assert_eq!(store.locate(block(0, 100)).unwrap_err().kind(), StorageErrorKind::Missing);
    info.geometry().pieces().for_each(|piece| store_piece(store.as_ref(), &info, piece));
    let offset = |block| store.locate(block).unwrap().map(|place| place.offset);
    assert_eq!(offset(block(0, 40_000 - PIECE)), Some(PIECE.into()));
    assert_eq!(offset(block(0, 40_001 - PIECE)), None);
    assert_eq!(offset(block(40_000 - PIECE, 100)), Some(0));
    assert_eq!(store.locate(block(PIECE, 1)).unwrap_err().kind(), StorageErrorKind::OutOfRange(block(PIECE, 1)));
}

#[test]
fn whole_files_come_out() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 10), ("empty", 0), ("d/b", 70_000), ("c", 50_000)]);
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    assert_eq!(store.recover().unwrap(), Recovered::default());
    info.geometry().pieces().rev().for_each(|piece| store_piece(store.as_ref(), &info, piece));
    store.sync().unwrap();
    let read = |path: &str| std::fs::read(root.path().join("t").join(path)).unwrap();
    assert!([read("a"), read("d/b"), read("c")].concat() == content(120_010));
    assert!(read("empty").is_empty());
}

#[test]
fn after_a_kill_only_what_the_journal_names_is_suspected() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 200_000)]);
    let open = || FileStorage::new(root.path()).open(&info).unwrap();
    let store = open();
    store.recover().unwrap();
    store_piece(store.as_ref(), &info, PieceIndex(0));
    store_piece(store.as_ref(), &info, PieceIndex(3));
    store.sync().unwrap();
    store_piece(store.as_ref(), &info, PieceIndex(5));
    drop(store);
    let recovered = open().recover().unwrap();
    assert_eq!(recovered.verified, [PieceIndex(0), PieceIndex(3)]);
    assert_eq!(recovered.suspects, [PieceIndex(5)]);
}

#[test]
fn after_a_failed_sync_everything_is_written_anew_or_not_vouched_for() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 100_000), ("empty", 0)]);
    let open = || FileStorage::new(root.path()).open(&info).unwrap();
    let store = open();
    info.geometry().pieces().for_each(|piece| store_piece(store.as_ref(), &info, piece));
    let (data, in_the_way) = (root.path().join("t/a"), root.path().join("t/empty"));
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(store.sync().is_err());
    assert!(open().recover().unwrap().verified.is_empty());
    std::fs::remove_dir(&in_the_way).unwrap();
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&data, &bytes).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().write(true).open(&data).unwrap().set_modified(long_ago).unwrap();
    store.sync().unwrap();
    assert!(std::fs::metadata(&data).unwrap().modified().unwrap() > long_ago, "what reads back right is written again");
    let recovered = open().recover().unwrap();
    assert_eq!(recovered.verified, [1, 2, 3].map(PieceIndex), "what does not is not durable");
}

#[test]
fn a_sync_in_the_middle_of_a_check_forgets_nothing() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 200_000)]);
    let open = || FileStorage::new(root.path()).open(&info).unwrap();
    let store = open();
    info.geometry().pieces().for_each(|piece| store_piece(store.as_ref(), &info, piece));
    std::fs::remove_dir_all(root.path().join(state::FOLDER)).unwrap();
    let checking = open();
    assert_eq!(checking.recover().unwrap().suspects.len(), 7);
    for piece in [0, 1].map(PieceIndex) {
        let work = DiskWork::Check { piece, expected: info.piece_hash(piece).unwrap(), digests: false };
        assert!(matches!(run(checking.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. }));
    }
    checking.sync().unwrap();
    let recovered = open().recover().unwrap();
    assert_eq!(recovered.verified, [0, 1].map(PieceIndex));
    assert_eq!(recovered.suspects, [2, 3, 4, 5, 6].map(PieceIndex));
}

#[test]
fn what_somebody_else_changed_is_not_vouched_for_and_what_we_were_writing_is() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 100_000), ("b", 100_000)]);
    let open = || FileStorage::new(root.path()).open(&info).unwrap();
    let store = open();
    (0..3).for_each(|piece| store_piece(store.as_ref(), &info, PieceIndex(piece)));
    store.sync().unwrap();
    assert_eq!(open().recover().unwrap().verified, [0, 1, 2].map(PieceIndex));
    // A process that is killed here has changed the file since.
    store_piece(store.as_ref(), &info, PieceIndex(3));
    let killed = open().recover().unwrap();
    assert_eq!((killed.verified, killed.suspects), ([0, 1, 2].map(PieceIndex).to_vec(), vec![PieceIndex(3)]));
    (4..7).for_each(|piece| store_piece(store.as_ref(), &info, PieceIndex(piece)));
    store.sync().unwrap();
    assert_eq!(open().recover().unwrap().verified.len(), 7);
    let path = root.path().join("t/a");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    for _ in 0..2 {
        let changed = open().recover().unwrap();
        assert_eq!(changed.verified, [4, 5, 6].map(PieceIndex), "the pieces of the other file");
        assert_eq!(changed.suspects, [0, 1, 2, 3].map(PieceIndex));
    }
}

#[test]
fn a_file_that_is_too_long_is_cut() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 100_000)]);
    std::fs::create_dir(root.path().join("t")).unwrap();
    std::fs::write(root.path().join("t/a"), [content(100_000), vec![9; 50_000]].concat()).unwrap();
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    for piece in store.recover().unwrap().suspects {
        let work = DiskWork::Check { piece, expected: info.piece_hash(piece).unwrap(), digests: false };
        assert!(matches!(run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. }));
    }
    store.sync().unwrap();
    assert!(std::fs::read(root.path().join("t/a")).unwrap() == content(100_000));
}

#[test]
fn what_was_deleted_is_not_vouched_for() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 65_536), ("b", 65_536)]);
    let open = || FileStorage::new(root.path()).open(&info).unwrap();
    let store = open();
    store.recover().unwrap();
    info.geometry().pieces().for_each(|piece| store_piece(store.as_ref(), &info, piece));
    store.sync().unwrap();
    std::fs::remove_file(root.path().join("t/b")).unwrap();
    let again = open();
    assert_eq!(again.recover().unwrap().verified, [PieceIndex(0), PieceIndex(1)]);
    // The file comes back with holes; a kill before the next sync must not make the old resume data vouch for them.
    store_piece(again.as_ref(), &info, PieceIndex(2));
    drop(again);
    let recovered = open().recover().unwrap();
    assert_eq!(recovered.verified, [PieceIndex(0), PieceIndex(1)]);
    assert_eq!(recovered.suspects, [PieceIndex(2)]);
}

#[test]
fn files_without_state_are_suspected_where_they_reach() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 100_000)]);
    std::fs::create_dir(root.path().join("t")).unwrap();
    std::fs::write(root.path().join("t/a"), &content(100_000)[..70_000]).unwrap();
    for storage in [FileStorage::new(root.path()), FileStorage::read_only(root.path())] {
        let recovered = storage.open(&info).unwrap().recover().unwrap();
        assert_eq!((recovered.verified.len(), recovered.suspects.len()), (0, 2));
    }
    let store = FileStorage::read_only(root.path()).open(&info).unwrap();
    let before = std::fs::read_dir(root.path()).unwrap().count();
    store.commit(PieceIndex(0)).unwrap();
    store.sync().unwrap();
    assert!(store.write(PieceIndex(1), 0, &[IoSlice::new(b"x")]).is_err());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), before);
}

#[test]
fn no_torrent_may_pose_as_the_state_folder() {
    let root = tempfile::tempdir().unwrap();
    for name in [".unchoke", ".UNCHOKE"] {
        let opened = FileStorage::new(root.path()).open(&info(name, &[("x.resume", 10)]));
        assert_eq!(opened.err().map(|error| error.kind()), Some(StorageErrorKind::Escapes));
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_below_the_folder_is_not_followed() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), root.path().join("t")).unwrap();
    let info = info("t", &[("a", 100)]);
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    let error = store.write(PieceIndex(0), 0, &[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Escapes);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_reported_as_full() {
    let file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = crate::fs::os::positioned::write(&file, 0, &mut [IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(StorageError::io(Path::new("x"), error).kind(), StorageErrorKind::Full);
}

#[test]
fn a_file_that_nobody_wants_is_not_made_and_comes_whole_when_it_is_wanted() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 40_000), ("d/b", 100_000), ("empty", 0), ("c", 60_000)]);
    let open = || FileStorage::new(root.path()).open(&info).unwrap();
    let is_there = |path: &str| root.path().join("t").join(path).exists();
    let part = root.path().join(state::FOLDER).join(format!("{}.part", info.info_hashes()));
    let store = open();
    store.recover().unwrap();
    store.skip_files(&[1, 2]).unwrap();
    // Pieces 1 and 4 belong to two files each, 2 and 3 to the one in the middle alone.
    for piece in [0, 1, 4, 5, 6] {
        store_piece(store.as_ref(), &info, PieceIndex(piece));
    }
    store.sync().unwrap();
    assert!(is_there("a") && is_there("c") && !is_there("d/b") && !is_there("empty") && part.exists());
    drop(store);

    let store = open();
    let recovered = store.recover().unwrap();
    assert_eq!((recovered.verified.len(), recovered.suspects.len()), (5, 0), "the part file is believed");
    store.skip_files(&[1, 2]).unwrap();
    for piece in [0, 1, 4, 5, 6].map(PieceIndex) {
        let length = info.geometry().piece_len(piece).unwrap();
        let mut read = vec![0; length as usize];
        store.read(Block { piece, offset: 0, length }, &mut read).unwrap();
        assert!(info.piece_hash(piece).unwrap().matches(&read), "piece {piece} is read from both files");
    }
    store.skip_files(&[]).unwrap();
    assert!(is_there("d/b") && !part.exists(), "what was there of it is in its place");
    for piece in [2, 3] {
        store_piece(store.as_ref(), &info, PieceIndex(piece));
    }
    store.sync().unwrap();
    let read = |path: &str| std::fs::read(root.path().join("t").join(path)).unwrap();
    assert!([read("a"), read("d/b"), read("c")].concat() == content(200_000));
    assert!(read("empty").is_empty());
    drop(store);
    assert_eq!(open().recover().unwrap().verified.len(), 7);
}

#[test]
fn a_file_that_is_there_stays_in_its_place_when_it_is_not_wanted() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 40_000), ("b", 60_000)]);
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    store.recover().unwrap();
    store_piece(store.as_ref(), &info, PieceIndex(3));
    store.skip_files(&[1]).unwrap();
    (0..3).for_each(|piece| store_piece(store.as_ref(), &info, PieceIndex(piece)));
    store.sync().unwrap();
    assert_eq!(std::fs::read(root.path().join("t/b")).unwrap(), content(100_000)[40_000..]);
    assert!(!root.path().join(state::FOLDER).join(format!("{}.part", info.info_hashes())).exists());
}

fn read(store: &dyn TorrentStorage, piece: u32) -> Result<(), StorageErrorKind> {
    let block = Block { piece: PieceIndex(piece), offset: 0, length: 16_384 };
    store.read(block, &mut vec![0; 16_384]).map_err(|error| error.kind())
}

/// A torrent of two files that is complete and durable.
fn complete(root: &Path) -> (Arc<Info>, Arc<dyn TorrentStorage>) {
    let info = info("t", &[("a", 98_304), ("b", 98_304)]);
    let store = FileStorage::new(root).open(&info).unwrap();
    store.recover().unwrap();
    info.geometry().pieces().for_each(|piece| store_piece(store.as_ref(), &info, piece));
    store.sync().unwrap();
    (info, store)
}

#[test]
fn s3_what_is_done_to_a_file_under_us_is_seen_within_some_reads() {
    type Change = fn(&Path);
    let changes: [(Change, StorageErrorKind); 4] = [
        (
            |file| std::fs::File::options().write(true).open(file).unwrap().set_len(10).unwrap(),
            StorageErrorKind::Missing,
        ),
        (|file| std::fs::remove_file(file).unwrap(), StorageErrorKind::Missing),
        (
            |file| {
                std::fs::write(file.with_extension("new"), vec![7; 98_304]).unwrap();
                std::fs::rename(file.with_extension("new"), file).unwrap();
            },
            StorageErrorKind::Changed,
        ),
        (|file| std::fs::write(file, vec![8; 98_304]).unwrap(), StorageErrorKind::Changed),
    ];
    for (change, expected) in changes {
        let root = tempfile::tempdir().unwrap();
        let (info, store) = complete(root.path());
        read(store.as_ref(), 0).unwrap();
        change(&root.path().join("t/a"));
        let told = (0..READS).find_map(|_| read(store.as_ref(), 0).err());
        assert_eq!(told, Some(expected));
        assert_eq!(read(store.as_ref(), 0), Err(expected), "it stays so");
        read(store.as_ref(), 4).unwrap();
        let again = store.recover().unwrap();
        assert_eq!(again.verified, [3, 4, 5].map(PieceIndex), "the other file is as it was left");
        assert!(again.suspects.iter().all(|piece| piece.0 < 3));
        for piece in again.suspects {
            let work = DiskWork::Check { piece, expected: info.piece_hash(piece).unwrap(), digests: false };
            assert!(matches!(run(store.as_ref(), info.geometry(), &work), DiskOutcome::Mismatch { .. }));
        }
        (0..3).for_each(|piece| store_piece(store.as_ref(), &info, PieceIndex(piece)));
        store.sync().unwrap();
        read(store.as_ref(), 0).unwrap();
    }
}

#[test]
fn s3_nothing_is_written_where_the_disk_of_a_torrent_was_mounted() {
    let place = tempfile::tempdir().unwrap();
    let (root, away) = (place.path().join("mount"), place.path().join("away"));
    let info = info("t", &[("a", 98_304), ("b", 98_304)]);
    let store = FileStorage::new(&root).open(&info).unwrap();
    store.recover().unwrap();
    store_piece(store.as_ref(), &info, PieceIndex(0));
    store.sync().unwrap();
    std::fs::rename(&root, &away).unwrap();
    std::fs::create_dir(&root).unwrap();
    let bytes = content(196_608);
    let write = || store.write(PieceIndex(4), 0, &[IoSlice::new(&bytes[131_072..163_840])]);
    assert_eq!(write().map_err(|error| error.kind()), Err(StorageErrorKind::Missing));
    assert!(store.commit(PieceIndex(4)).is_err() && store.sync().is_err());
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is made");
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    write().unwrap();
    store.commit(PieceIndex(4)).unwrap();
    store.sync().unwrap();
    drop(store);
    let found = FileStorage::new(&root).open(&info).unwrap().recover().unwrap();
    assert_eq!(found.verified, [0, 4].map(PieceIndex));
}

#[test]
fn s6_zeros_are_hashed_like_anything_else() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 100_000)]);
    std::fs::create_dir(root.path().join("t")).unwrap();
    std::fs::File::create(root.path().join("t/a")).unwrap().set_len(100_000).unwrap();
    let found = FileStorage::new(root.path()).open(&info).unwrap().recover().unwrap();
    assert_eq!((found.verified.len(), found.suspects.len()), (0, 4));
}

#[test]
fn s7_a_file_that_was_there_keeps_what_no_verified_piece_replaces() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 98_304), ("b", 98_304)]);
    std::fs::create_dir(root.path().join("t")).unwrap();
    let (long, short) = (root.path().join("t/a"), root.path().join("t/b"));
    std::fs::write(&long, vec![9; 200_000]).unwrap();
    std::fs::write(&short, vec![9; 40_000]).unwrap();
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    store.recover().unwrap();
    store.skip_files(&[1]).unwrap();
    store_piece(store.as_ref(), &info, PieceIndex(1));
    store.sync().unwrap();
    let now = std::fs::read(&long).unwrap();
    assert!(now.len() == 200_000 && now[..32_768].iter().chain(&now[65_536..]).all(|byte| *byte == 9));
    assert!(std::fs::read(&short).unwrap() == vec![9; 40_000]);
    [0, 2].into_iter().for_each(|piece| store_piece(store.as_ref(), &info, PieceIndex(piece)));
    store.sync().unwrap();
    assert_eq!(std::fs::read(&long).unwrap(), content(196_608)[..98_304], "what is whole is cut to its length");
}

#[cfg(all(unix, feature = "openat"))]
#[test]
fn s8_the_folder_of_another_process_is_locked() {
    use rustix::fs::{FlockOperation, flock};
    let root = tempfile::tempdir().unwrap();
    let (info, store) = complete(root.path());
    let lock = || std::fs::File::options().write(true).open(root.path().join(".unchoke/lock")).unwrap();
    let other = lock();
    assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err(), "others are kept out");
    // A second store of this process is let in.
    FileStorage::new(root.path()).open(&info).unwrap().recover().unwrap();
    drop(store);
    flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    assert_eq!(store.recover().unwrap_err().kind(), StorageErrorKind::Locked);
    let written = store.write(PieceIndex(0), 0, &[IoSlice::new(b"x")]);
    assert_eq!(written.unwrap_err().kind(), StorageErrorKind::Locked);
    drop(other);
    store.recover().unwrap();
}

#[test]
fn a_renamed_file_keeps_its_name_and_nothing_takes_another_files_name() {
    let root = tempfile::tempdir().unwrap();
    let (info, store) = complete(root.path());
    std::fs::write(root.path().join("mine"), b"1").unwrap();
    let kind = |path: &[&str]| store.rename_file(0, path).unwrap_err().kind();
    assert_eq!(kind(&["mine"]), StorageErrorKind::Occupied);
    assert_eq!(kind(&["t", "B"]), StorageErrorKind::Occupied);
    for path in [&["..", "x"][..], &["a/b"], &[], &[""], &[".unchoke", "x"]] {
        assert_eq!(kind(path), StorageErrorKind::Escapes, "{path:?}");
    }
    store.rename_file(0, &["new", "deep", "a.txt"]).unwrap();
    assert!(!root.path().join("t/a").exists());
    drop(store);
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    assert_eq!(store.recover().unwrap().verified.len(), 6);
    read(store.as_ref(), 0).unwrap();
    assert_eq!(std::fs::read(root.path().join("new/deep/a.txt")).unwrap(), content(196_608)[..98_304]);
    store.rename_file(0, &["t", "a"]).unwrap();
    assert!(root.path().join("t/a").exists() && !root.path().join("new").exists(), "folders that are empty go");
}

#[test]
fn a_torrent_is_deleted_with_its_state_and_nothing_else_is() {
    let root = tempfile::tempdir().unwrap();
    let (info, store) = complete(root.path());
    std::fs::write(root.path().join("t/mine"), b"1").unwrap();
    store.delete().unwrap();
    let left = |folder: &str| -> Vec<String> {
        let names = std::fs::read_dir(root.path().join(folder)).unwrap();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!((left("t"), left(".unchoke")), (vec!["mine".to_owned()], vec!["lock".to_owned()]));
    store.delete().unwrap();
    drop(store);
    std::fs::remove_file(root.path().join("t/mine")).unwrap();
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    assert_eq!(store.recover().unwrap(), Recovered::default());
    store.delete().unwrap();
    assert_eq!(left(""), [".unchoke"], "folders that are empty go");
    assert!(FileStorage::read_only(root.path()).open(&info).unwrap().delete().is_err());
}

#[cfg(all(target_os = "linux", feature = "openat"))]
#[test]
fn room_for_a_file_is_taken_when_it_is_made_if_that_is_wanted() {
    use std::os::unix::fs::MetadataExt as _;
    let info = info("t", &[("a", 10_000_000)]);
    let blocks = |storage: FileStorage, root: &Path| {
        let store = storage.open(&info).unwrap();
        store.recover().unwrap();
        store_piece(store.as_ref(), &info, PieceIndex(3));
        let metadata = std::fs::metadata(root.join("t/a")).unwrap();
        assert_eq!(metadata.len(), 10_000_000);
        metadata.blocks() * 512
    };
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    assert!(blocks(FileStorage::new(roots[0].path()), roots[0].path()) < 1_000_000, "files are sparse");
    assert!(blocks(FileStorage::new(roots[1].path()).preallocate(), roots[1].path()) >= 10_000_000);
}

#[test]
fn what_another_client_downloaded_is_taken_in_by_hashing_it() {
    let root = tempfile::tempdir().unwrap();
    let info = info("t", &[("a", 98_304), ("b", 98_304)]);
    std::fs::create_dir(root.path().join("t")).unwrap();
    let mut bytes = content(196_608);
    bytes[140_000] ^= 1;
    std::fs::write(root.path().join("t/a"), &bytes[..98_304]).unwrap();
    std::fs::write(root.path().join("t/b"), &bytes[98_304..]).unwrap();
    let store = FileStorage::new(root.path()).open(&info).unwrap();
    let found = store.recover().unwrap();
    assert_eq!((found.verified.len(), found.suspects.len()), (0, 6));
    let right = found.suspects.into_iter().filter(|piece| {
        let work = DiskWork::Check { piece: *piece, expected: info.piece_hash(*piece).unwrap(), digests: false };
        matches!(run(store.as_ref(), info.geometry(), &work), DiskOutcome::Verified { .. })
    });
    assert_eq!(right.collect::<Vec<_>>(), [0, 1, 2, 3, 5].map(PieceIndex));
    store.sync().unwrap();
    drop(store);
    let again = FileStorage::new(root.path()).open(&info).unwrap().recover().unwrap();
    assert_eq!((again.verified.len(), again.suspects), (5, vec![PieceIndex(4)]), "what is right is hashed once");
}
