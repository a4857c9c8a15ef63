//! What every store must do, as a test that anybody can run on a store of their own.

use crate::error::StorageErrorKind;
use crate::fs::os::positioned;
use crate::store::TorrentStorage;
use std::io::IoSlice;
use std::sync::Arc;
use unchoke_core::{Block, Geometry, PieceIndex};

/// Runs a store through the contract. `open` gives an empty store of the geometry that it is asked for.
///
/// # Panics
/// If the store breaks the contract; the message says how.
pub fn check(open: impl Fn(Geometry) -> Arc<dyn TorrentStorage>) {
    let Ok(geometry) = Geometry::new(100_000, 32 * 1024) else { return };
    written_blocks_are_read_back(open(geometry.clone()).as_ref(), &geometry);
    committed_pieces_are_never_overwritten(open(geometry.clone()).as_ref());
    what_lies_outside_is_refused(open(geometry.clone()).as_ref());
    discarded_pieces_can_be_written_again(open(geometry.clone()).as_ref());
}

fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap_or(0) ^ salt).collect()
}

fn written_blocks_are_read_back(store: &dyn TorrentStorage, geometry: &Geometry) {
    assert_eq!(store.recover().ok(), Some(crate::Recovered::default()), "an empty store holds nothing");
    for piece in geometry.pieces() {
        let length = geometry.piece_len(piece).unwrap_or(0) as usize;
        let bytes = pattern(length, u8::try_from(piece.0).unwrap_or(0));
        let (left, right) = bytes.split_at(length / 3);
        let written = store.write(piece, 0, &[IoSlice::new(left), IoSlice::new(right)]);
        assert!(written.is_ok(), "two slices are written: {written:?}");
        assert!(store.commit(piece).is_ok(), "a written piece can be committed");
    }
    assert!(store.sync().is_ok(), "the store can be synced");
    for piece in geometry.pieces() {
        let length = geometry.piece_len(piece).unwrap_or(0);
        let bytes = pattern(length as usize, u8::try_from(piece.0).unwrap_or(0));
        let mut buf = vec![0; length as usize];
        let block = Block { piece, offset: 0, length };
        let read = store.read(block, &mut buf);
        assert!(read.is_ok(), "a whole piece is read: {read:?}");
        assert!(buf == bytes, "piece {piece} reads as it was written");
        let place = store.locate(block);
        assert!(place.is_ok(), "what can be read can be looked for: {place:?}");
        if let Ok(Some(place)) = place {
            let read = positioned::read(&place.file, place.offset, &mut buf);
            assert!(read.is_ok() && buf == bytes, "piece {piece} is where the store says it is: {read:?}");
        }
    }
}

fn committed_pieces_are_never_overwritten(store: &dyn TorrentStorage) {
    let bytes = pattern(32 * 1024, 1);
    assert!(store.write(PieceIndex(0), 0, &[IoSlice::new(&bytes)]).is_ok(), "a piece is written");
    assert!(store.commit(PieceIndex(0)).is_ok(), "and committed");
    let again = store.write(PieceIndex(0), 5, &[IoSlice::new(b"x")]);
    let kind = again.err().map(|error| error.kind());
    assert_eq!(kind, Some(StorageErrorKind::Committed(PieceIndex(0))), "a committed piece refuses writes");
}

fn what_lies_outside_is_refused(store: &dyn TorrentStorage) {
    let long = vec![0; 32 * 1024 + 1];
    assert!(store.write(PieceIndex(0), 0, &[IoSlice::new(&long)]).is_err(), "a piece has an end");
    assert!(store.write(PieceIndex(9), 0, &[IoSlice::new(b"x")]).is_err(), "a torrent has an end");
    assert!(store.write(PieceIndex(0), u32::MAX, &[IoSlice::new(b"x")]).is_err(), "offsets do not wrap");
    let block = Block { piece: PieceIndex(3), offset: 0, length: 32 * 1024 };
    assert!(store.read(block, &mut vec![0; 32 * 1024]).is_err(), "the last piece is shorter");
}

fn discarded_pieces_can_be_written_again(store: &dyn TorrentStorage) {
    let bytes = pattern(32 * 1024, 2);
    assert!(store.write(PieceIndex(1), 0, &[IoSlice::new(&bytes)]).is_ok(), "a piece is written");
    assert!(store.commit(PieceIndex(1)).is_ok(), "and committed");
    assert!(store.discard(PieceIndex(1)).is_ok(), "and discarded");
    assert!(store.write(PieceIndex(1), 0, &[IoSlice::new(&bytes)]).is_ok(), "and written again");
}
