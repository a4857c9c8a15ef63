//! Every request fails, or is the last one, once.

#![allow(clippy::cast_possible_truncation)]

mod faults;

use super::bucket::{Bucket, Requests};
use super::torrent::{Limits, ObjectTorrent};
use super::*;
use faults::{Fault, Faulty, When};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU32, Ordering};
use unchoke_core::{Block, Geometry, PieceIndex};
use unchoke_storage::{StorageErrorKind, contract};

const PIECE: u32 = 2000;
const PIECES: u32 = 17;

/// Six groups of three pieces, the last ones shorter, and room for little more than six pieces in memory.
const LIMITS: Limits = Limits { group: 3 * PIECE as u64, stage: 6 * PIECE as usize + 100, uploads: 2 };

fn geometry() -> Geometry {
    Geometry::new(u64::from(PIECE * (PIECES - 1)) + 700, PIECE.into()).unwrap()
}

fn open(store: Arc<dyn ObjectStore>, limits: Limits) -> ObjectTorrent {
    let bucket = Bucket { store, folder: Path::from("prefix/torrent") };
    ObjectTorrent::new(Arc::new(Requests::new().unwrap()), bucket, geometry(), limits)
}

fn right(piece: u32) -> Vec<u8> {
    let length = geometry().piece_len(PieceIndex(piece)).unwrap();
    (0..length).map(|at| ((at + piece * 77).wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

/// What is done to a store.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A piece comes whole.
    Store(u32),
    /// A part of a piece comes, by thirds; of some bytes it does not say the last word.
    Third(u32, u32, bool),
    /// A piece that came in parts is read, and is right.
    Check(u32),
    Read(u32),
    Sync,
    Discard(u32),
}

/// Out of order, in parts, more than there is room for, some of it discarded.
fn script() -> Vec<Step> {
    use Step::{Check, Discard, Read, Store, Sync, Third};
    let mut steps = vec![Store(1), Store(5), Sync, Read(1), Store(0), Store(2), Read(0)];
    for piece in [6, 7, 8, 3, 11, 12, 13, 14, 15, 16] {
        steps.extend([Third(piece, 2, true), Third(piece, 0, false), Third(piece, 0, true)]);
    }
    steps.extend([Store(9), Sync, Read(9), Discard(9)]);
    for piece in [7, 3, 15, 6, 8, 11, 16, 14, 13, 12] {
        steps.extend([Third(piece, 1, true), Check(piece)]);
    }
    steps.extend([Sync, Store(4), Store(10), Store(9), Sync, Read(4), Discard(4), Read(5), Store(4), Sync]);
    steps
}

fn write(store: &dyn TorrentStorage, piece: u32, offset: usize, bytes: &[u8]) -> Result<(), StorageError> {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    store.write(PieceIndex(piece), offset as u32, &[IoSlice::new(left), IoSlice::new(right)])
}

fn read(store: &dyn TorrentStorage, piece: u32) -> Result<Vec<u8>, StorageError> {
    let length = geometry().piece_len(PieceIndex(piece)).unwrap();
    let mut buf = vec![0; length as usize];
    store.read(Block { piece: PieceIndex(piece), offset: 0, length }, &mut buf)?;
    Ok(buf)
}

fn take(store: &dyn TorrentStorage, step: Step) -> Result<(), StorageError> {
    match step {
        Step::Store(piece) => {
            // A try before may have come so far.
            match write(store, piece, 0, &right(piece)) {
                Err(error) if error.kind() == StorageErrorKind::Committed(PieceIndex(piece)) => {}
                result => result?,
            }
            store.commit(PieceIndex(piece))
        }
        Step::Third(piece, third, is_right) => {
            let bytes = right(piece);
            let cut = |third: u32| bytes.len() * third as usize / 3;
            let part = &bytes[cut(third)..cut(third + 1)];
            let wrong: Vec<u8> = part.iter().map(|byte| !byte).collect();
            write(store, piece, cut(third), if is_right { part } else { &wrong })
        }
        Step::Check(piece) => {
            assert!(read(store, piece)? == right(piece), "{piece}");
            store.commit(PieceIndex(piece))
        }
        Step::Read(piece) => {
            assert!(read(store, piece)? == right(piece), "{piece}");
            Ok(())
        }
        Step::Sync => store.sync(),
        Step::Discard(piece) => store.discard(PieceIndex(piece)),
    }
}

/// What the steps before one have made right, and of that what a sync has covered.
fn promised(steps: &[Step]) -> BTreeSet<u32> {
    let (mut committed, mut synced) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::Store(piece) | Step::Check(piece) => drop(committed.insert(*piece)),
            Step::Discard(piece) => {
                committed.remove(piece);
                synced.remove(piece);
            }
            Step::Sync => synced.clone_from(&committed),
            Step::Third(..) | Step::Read(_) => {}
        }
    }
    synced
}

/// What a store vouches for after a start, all of which must be right.
fn recovered(store: &dyn TorrentStorage) -> BTreeSet<u32> {
    let found = store.recover().unwrap();
    assert!(found.suspects.is_empty());
    for piece in &found.verified {
        assert!(read(store, piece.0).unwrap() == right(piece.0), "{piece:?}");
    }
    found.verified.into_iter().map(|piece| piece.0).collect()
}

fn names(store: &Arc<InMemory>) -> Vec<String> {
    let (requests, bucket) =
        (Requests::new().unwrap(), Bucket { store: store.clone(), folder: Path::from("prefix/torrent") });
    let mut names: Vec<String> =
        requests.wait(async move { bucket.list().await }).unwrap().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

const WHOLE: [&str; 6] = [
    "00000000-00000002",
    "00000003-00000005",
    "00000006-00000008",
    "00000009-0000000b",
    "0000000c-0000000e",
    "0000000f-00000010",
];

#[test]
fn keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicU32::new(0);
    for memory in [64 << 20, 40_000] {
        for url in ["memory://".to_owned(), format!("file://{}", folder.path().display())] {
            contract::check(|geometry| {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let storage = ObjectStorage::builder(&format!("{url}/{number}")).memory(memory).build().unwrap();
                let bucket = Bucket { store: Arc::clone(&storage.store), folder: storage.folder.clone() };
                Arc::new(ObjectTorrent::new(Arc::clone(&storage.requests), bucket, geometry, storage.limits))
            });
        }
    }
}

#[test]
fn after_a_kill_at_any_request_all_that_counts_is_right_and_nothing_synced_is_lost() {
    let steps = script();
    let mut killed = 0;
    for when in [When::Before, When::After] {
        for request in 0.. {
            let memory = Arc::new(InMemory::new());
            let faulty = Arc::new(Faulty::new(memory.clone(), Fault { request, when, lasts: u32::MAX }));
            let store = open(faulty.clone(), LIMITS);
            let end = if store.recover().is_err() {
                Some(0)
            } else {
                steps.iter().position(|step| take(&store, *step).is_err())
            };
            drop(store);
            if !faulty.has_failed() {
                break;
            }
            killed += 1;
            let (before, step) = steps.split_at(end.unwrap_or(steps.len()));
            let mut promised = promised(before);
            if let Some(Step::Discard(piece)) = step.first() {
                promised.remove(piece);
            }
            let store = open(memory.clone(), LIMITS);
            let found = recovered(&store);
            assert!(found.is_superset(&promised), "{request} {when:?} at {step:?}: {promised:?} of {found:?}");
            for piece in (0..PIECES).filter(|piece| !found.contains(piece)) {
                take(&store, Step::Store(piece)).unwrap();
            }
            store.sync().unwrap();
            assert_eq!(names(&memory), WHOLE, "{request} {when:?}");
            assert_eq!(recovered(&open(memory, LIMITS)).len() as u32, PIECES);
        }
    }
    assert!(killed > 60, "{killed}");
}

#[test]
fn a_failure_at_any_request_is_told_or_made_good_and_nothing_is_lost() {
    let steps = script();
    for (when, lasts) in [(When::Before, 1), (When::After, 1), (When::Before, 4), (When::After, 4)] {
        for request in 0.. {
            let memory = Arc::new(InMemory::new());
            let faulty = Arc::new(Faulty::new(memory.clone(), Fault { request, when, lasts }));
            let store = open(faulty.clone(), LIMITS);
            assert!((0..8).any(|_| store.recover().is_ok()), "{request} {when:?}");
            for step in steps.iter().chain(&[Step::Sync]) {
                assert!((0..8).any(|_| take(&store, *step).is_ok()), "{request} {when:?}: {step:?}");
            }
            if !faulty.has_failed() {
                break;
            }
            // What could not be deleted goes with a later sync, or with the first one after a start.
            let found = recovered(&open(memory.clone(), LIMITS));
            assert_eq!(found.len() as u32, PIECES, "{request} {when:?}");
            assert!(WHOLE.iter().all(|name| names(&memory).iter().any(|there| there == name)), "{request} {when:?}");
        }
    }
}

#[test]
fn memory_stays_within_its_limit_whatever_comes_in_parts() {
    let memory = Arc::new(InMemory::new());
    let store = open(memory.clone(), LIMITS);
    for third in [2, 0, 1] {
        for piece in 0..PIECES {
            take(&store, Step::Third(piece, third, true)).unwrap();
            assert!(store.staged() <= LIMITS.stage);
        }
    }
    assert!(names(&memory).iter().any(|name| name.ends_with(".part")));
    for piece in 0..PIECES {
        take(&store, Step::Check(piece)).unwrap();
        assert!(store.staged() <= LIMITS.stage);
    }
    store.sync().unwrap();
    assert_eq!(names(&memory), WHOLE);
    assert_eq!(store.staged(), 0);
    // While a store is out of order, writes fail; memory does not grow.
    let down = Faulty::new(memory, Fault { request: 0, when: When::Before, lasts: u32::MAX });
    let store = open(Arc::new(down), LIMITS);
    let taken = (0..PIECES).filter(|piece| take(&store, Step::Store(*piece)).is_ok()).count();
    assert!(taken < PIECES as usize && store.staged() <= LIMITS.stage);
}

#[test]
fn objects_of_groups_of_another_length_are_used_as_they_are() {
    let memory = Arc::new(InMemory::new());
    let store = open(memory.clone(), LIMITS);
    (0..7).for_each(|piece| take(&store, Step::Store(piece)).unwrap());
    store.sync().unwrap();
    let store = open(memory.clone(), Limits { group: 5 * u64::from(PIECE), stage: 1 << 20, uploads: 2 });
    assert_eq!(recovered(&store), (0..7).collect());
    (7..PIECES).for_each(|piece| take(&store, Step::Store(piece)).unwrap());
    store.sync().unwrap();
    assert_eq!(recovered(&open(memory, LIMITS)).len() as u32, PIECES);
}

#[test]
fn of_what_somebody_has_cut_or_taken_away_nothing_is_vouched_for() {
    let memory = Arc::new(InMemory::new());
    let store = open(memory.clone(), LIMITS);
    (0..PIECES).for_each(|piece| take(&store, Step::Store(piece)).unwrap());
    store.sync().unwrap();
    let (requests, other) = (Requests::new().unwrap(), memory.clone());
    let changed = requests.wait(async move {
        let path = |name: &str| Path::from("prefix/torrent").join(name);
        other.put(&path(WHOLE[0]), vec![7; 5999].into()).await.unwrap();
        other.delete(&path(WHOLE[2])).await.unwrap();
        Ok(())
    });
    changed.unwrap();
    assert_eq!(read(&store, 8).unwrap_err().kind(), StorageErrorKind::Missing);
    assert_eq!(recovered(&open(memory, LIMITS)), [3, 4, 5].into_iter().chain(9..PIECES).collect());
}

#[test]
fn what_is_found_wrong_when_all_is_looked_at_anew_is_written_again_and_the_rest_stays() {
    let memory = Arc::new(InMemory::new());
    let store = open(memory.clone(), LIMITS);
    assert!(recovered(&store).is_empty());
    (0..PIECES).for_each(|piece| take(&store, Step::Store(piece)).unwrap());
    store.sync().unwrap();
    let (requests, other) = (Requests::new().unwrap(), memory.clone());
    let spoilt = [right(3), vec![7; PIECE as usize], right(5)].concat();
    let put = async move {
        other.put(&Path::from("prefix/torrent").join(WHOLE[1]), spoilt.into()).await.unwrap();
        Ok(())
    };
    requests.wait(put).unwrap();
    let found = store.recover().unwrap();
    assert_eq!((found.verified.len(), found.suspects.len()), (0, PIECES as usize));
    for piece in (0..PIECES).filter(|piece| *piece != 4) {
        take(&store, Step::Check(piece)).unwrap();
    }
    assert!(read(&store, 4).unwrap() != right(4));
    take(&store, Step::Store(4)).unwrap();
    assert!(read(&store, 4).unwrap() == right(4));
    store.sync().unwrap();
    assert_eq!(names(&memory), WHOLE);
    assert_eq!(recovered(&open(memory, LIMITS)).len() as u32, PIECES);
}

#[test]
fn of_a_deleted_torrent_nothing_is_left_and_what_is_not_ours_stays() {
    let memory = Arc::new(InMemory::new());
    for request in 0.. {
        let store = open(memory.clone(), LIMITS);
        (0..PIECES).for_each(|piece| drop(take(&store, Step::Store(piece))));
        store.sync().unwrap();
        let (requests, other) = (Requests::new().unwrap(), memory.clone());
        let put = async move {
            other.put(&Path::from("prefix/torrent/notes"), vec![7].into()).await.unwrap();
            Ok(())
        };
        requests.wait(put).unwrap();
        let faulty = Arc::new(Faulty::new(memory.clone(), Fault { request, when: When::Before, lasts: 1 }));
        let store = open(faulty.clone(), LIMITS);
        let failed = store.delete().is_err();
        assert_eq!(failed, faulty.has_failed());
        if !failed {
            break;
        }
        store.delete().unwrap();
        assert_eq!(names(&memory), ["notes"]);
    }
    assert_eq!(names(&memory), ["notes"]);
}
