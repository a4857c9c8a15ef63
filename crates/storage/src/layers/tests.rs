use super::*;
use crate::file::tests::info;
use crate::store::{Storage, TorrentStorage};
use crate::{MemoryStorage, contract};
use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unchoke_core::PieceIndex;

const PIECE: u32 = 32 * 1024;

/// A torrent of a geometry: one file.
fn of(geometry: &Geometry) -> Arc<unchoke_metainfo::Info> {
    info("t", &[("a", geometry.total_len())])
}

fn bytes(piece: u32, length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(0x9e37_79b9).wrapping_add(piece) >> 7) as u8).collect()
}

/// A store that tells of all that is done to it.
fn watched() -> (impl Storage, Arc<Mutex<Vec<Operation>>>) {
    let seen: Arc<Mutex<Vec<Operation>>> = Arc::default();
    let log = Arc::clone(&seen);
    let store = FaultyStorage::new(MemoryStorage::new(), move |operation| {
        log.lock().unwrap().push(operation);
        None
    });
    (store, seen)
}

#[test]
fn all_layers_keep_the_contract() {
    contract::check(|geometry| CachedStorage::new(MemoryStorage::new(), 80_000).open(&of(&geometry)).unwrap());
    contract::check(|geometry| GatheringStorage::new(MemoryStorage::new(), 80_000).open(&of(&geometry)).unwrap());
    contract::check(|geometry| FaultyStorage::new(MemoryStorage::new(), |_| None).open(&of(&geometry)).unwrap());
    contract::check(|geometry| TimedStorage::new(MemoryStorage::new(), Instant::now).open(&of(&geometry)).unwrap());
}

fn write(store: &dyn TorrentStorage, piece: u32, bytes: &[u8]) {
    store.write(PieceIndex(piece), 0, &[IoSlice::new(bytes)]).unwrap();
    store.commit(PieceIndex(piece)).unwrap();
}

#[test]
fn a_piece_is_read_once_and_the_cache_keeps_within_its_bytes() {
    let (inner, seen) = watched();
    let cached = CachedStorage::new(inner, 3 * PIECE as usize);
    let store = cached.open(&info("t", &[("a", 8 * u64::from(PIECE))])).unwrap();
    (0..8).for_each(|piece| write(store.as_ref(), piece, &bytes(piece, PIECE)));
    seen.lock().unwrap().clear();
    let read = |piece: u32, offset: u32| {
        let mut buf = vec![0; 16_384];
        store.read(Block { piece: PieceIndex(piece), offset, length: 16_384 }, &mut buf).unwrap();
        assert!(buf == bytes(piece, PIECE)[offset as usize..][..16_384]);
        assert!(cached.used() <= 3 * PIECE as usize);
    };
    for piece in [0, 1, 0, 2, 0, 3, 0] {
        read(piece, 0);
        read(piece, 16_384);
    }
    assert_eq!(seen.lock().unwrap().len(), 4, "each was read once");
    read(1, 0);
    assert_eq!(seen.lock().unwrap().len(), 5, "it had to give way");
    store.discard(PieceIndex(1)).unwrap();
    store.write(PieceIndex(1), 0, &[IoSlice::new(&bytes(77, PIECE))]).unwrap();
    store.commit(PieceIndex(1)).unwrap();
    let mut buf = vec![0; PIECE as usize];
    store.read(Block { piece: PieceIndex(1), offset: 0, length: PIECE }, &mut buf).unwrap();
    assert!(buf == bytes(77, PIECE), "what was discarded is not read any more");
    drop(store);
    assert_eq!(cached.used(), 0);
}

#[test]
fn small_writes_become_large_ones() {
    let (inner, seen) = watched();
    let gathering = GatheringStorage::new(inner, 2 * PIECE as usize);
    let store = gathering.open(&info("t", &[("a", 8 * u64::from(PIECE))])).unwrap();
    let whole = bytes(1, PIECE);
    let part = |piece: u32, from: usize, to: usize| {
        store.write(PieceIndex(piece), from as u32, &[IoSlice::new(&whole[from..to])]).unwrap();
    };
    for from in [8192, 0, 16_384, 24_576, 4096] {
        part(0, from, from + 8192);
    }
    store.commit(PieceIndex(0)).unwrap();
    let written = |seen: &[Operation]| seen.iter().filter(|it| matches!(it, Operation::Write { .. })).count();
    assert_eq!(written(&seen.lock().unwrap()), 1);
    let mut buf = vec![0; PIECE as usize];
    store.read(Block { piece: PieceIndex(0), offset: 0, length: PIECE }, &mut buf).unwrap();
    assert!(buf == whole);
    // The limit: of three pieces that wait the one with most has to go.
    part(1, 0, 30_000);
    part(2, 0, 20_000);
    part(3, 100, 20_000);
    let first = seen.lock().unwrap().iter().filter(|it| matches!(it, Operation::Write { .. })).nth(1).copied();
    assert_eq!(first, Some(Operation::Write { piece: PieceIndex(1), offset: 0 }));
    assert_eq!(written(&seen.lock().unwrap()), 2);
    assert!(store.write(PieceIndex(0), 0, &[IoSlice::new(b"x")]).is_err(), "it is committed");
}

#[test]
fn what_could_not_be_written_waits_on() {
    let is_full = Arc::new(Mutex::new(true));
    let full = Arc::clone(&is_full);
    let faulty = FaultyStorage::new(MemoryStorage::new(), move |operation| {
        let fails = matches!(operation, Operation::Write { .. }) && *full.lock().unwrap();
        fails.then_some(StorageErrorKind::Full)
    });
    let store = GatheringStorage::new(faulty, 100_000).open(&info("t", &[("a", u64::from(PIECE))])).unwrap();
    let whole = bytes(1, PIECE);
    for from in [0, 20_000] {
        let to = (from + 20_000).min(PIECE as usize);
        store.write(PieceIndex(0), from as u32, &[IoSlice::new(&whole[from..to])]).unwrap();
    }
    assert_eq!(store.commit(PieceIndex(0)).unwrap_err().kind(), StorageErrorKind::Full);
    *is_full.lock().unwrap() = false;
    store.commit(PieceIndex(0)).unwrap();
    let mut buf = vec![0; PIECE as usize];
    store.read(Block { piece: PieceIndex(0), offset: 0, length: PIECE }, &mut buf).unwrap();
    assert!(buf == whole);
}

#[test]
fn times_are_those_of_the_clock() {
    let now = Arc::new(Mutex::new(Instant::now()));
    let clock = Arc::clone(&now);
    let slow = FaultyStorage::new(MemoryStorage::new(), move |operation| {
        *now.lock().unwrap() += Duration::from_millis(if operation == Operation::Sync { 50 } else { 2 });
        (operation == Operation::Discard(PieceIndex(0))).then_some(StorageErrorKind::Io)
    });
    let timed = TimedStorage::new(slow, move || *clock.lock().unwrap());
    let (timings, store) = (timed.timings(), timed.open(&info("t", &[("a", 100_000)])).unwrap());
    for piece in 0..3 {
        write(store.as_ref(), piece, &bytes(piece, PIECE));
    }
    store.sync().unwrap();
    assert!(store.discard(PieceIndex(0)).is_err());
    let wrote = timings.get(OperationKind::Write);
    assert_eq!((wrote.count, wrote.bytes, wrote.total), (3, 3 * u64::from(PIECE), Duration::from_millis(6)));
    assert_eq!(timings.get(OperationKind::Sync).longest, Duration::from_millis(50));
    let discarded = timings.get(OperationKind::Discard);
    assert_eq!((discarded.count, discarded.failed), (1, 1));
    assert_eq!(timings.get(OperationKind::Read), Timing::default());
}
