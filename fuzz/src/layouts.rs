//! The target of what lies where: files, pieces and blocks.

use std::cell::RefCell;
use unchoke_bencode::Encoder;
use unchoke_core::piece::MAX_PIECE_LEN;
use unchoke_core::{Geometry, PieceIndex};
use unchoke_metainfo::{Info, Layout, Version};

/// A file as the input asks for it.
#[derive(Clone, Copy)]
struct Asked {
    length: u64,
    padding: bool,
}

/// Layouts: every byte of a torrent lies in exactly one file and one piece, and both ways lead back; files of v2 and hybrid torrents begin at a piece.
///
/// The first byte chooses the version, the second the piece length, and each nine after them give a file.
pub fn layout(data: &[u8]) {
    let [kind, step, rest @ ..] = data else { return };
    let version = [Version::V1, Version::V2, Version::Hybrid][usize::from(kind % 3)];
    let piece_length = match version {
        // Odd ones are allowed in v1.
        Version::V1 => (1 << (step % 30)) + u64::from(step / 30) * u64::from(kind / 3 % 2 == 1),
        _ => 1 << (14 + step % 16),
    };
    FILES.with_borrow_mut(|files| {
        files.clear();
        ask(rest, version, piece_length, files);
        let torrent = write(files, version, piece_length);
        let info = match Info::from_bytes(torrent) {
            Ok(info) => info,
            Err(error) => return assert!(is_refused(files, piece_length), "{error}"),
        };
        assert_eq!(info.version(), version);
        let layout = info.layout();
        assert_eq!(layout.files().len(), files.len());
        let total: u64 = files.iter().map(|file| file.length).sum();
        assert_eq!((layout.total_len(), info.geometry().total_len()), (total, total));
        let mut next = 0_u64;
        for (file, asked) in layout.files().iter().zip(files.iter()) {
            assert_eq!((file.length(), file.is_padding()), (asked.length, asked.padding));
            if version == Version::V2 {
                next = next.next_multiple_of(piece_length);
            }
            assert_eq!(file.offset(), next);
            assert!(version == Version::V1 || asked.padding || asked.length == 0 || next.is_multiple_of(piece_length));
            next += asked.length;
            ends(layout, info.geometry(), file.number(), file.offset(), file.length());
        }
        assert_eq!(layout.file_at(next), None);
        assert_eq!(layout.spans(next, u64::MAX).next(), None);
        pieces(layout, info.geometry(), version == Version::V2);
    });
}

/// Reads the files, and adds the padding that a hybrid needs.
fn ask(data: &[u8], version: Version, piece_length: u64, files: &mut Vec<Asked>) {
    let (each, _) = data.as_chunks::<9>();
    let mut total = 0_u64;
    for [kind, number @ ..] in each.iter().take(MOST_FILES) {
        let number = u64::from_le_bytes(*number);
        let length = match kind % 4 {
            0 => number % (4 * piece_length),
            1 => piece_length * (number % 5),
            2 => number % 3,
            // Far beyond what is real, but for hybrids, which need a hash for each piece.
            _ if version == Version::Hybrid => number % (64 * piece_length),
            _ => number % (1 << (kind >> 2)),
        };
        let padding = version == Version::V1 && kind / 4 % 8 == 7;
        if version == Version::Hybrid && length > 0 && !total.is_multiple_of(piece_length) {
            let gap = piece_length - total % piece_length;
            files.push(Asked { length: gap, padding: true });
            total += gap;
        }
        total = total.saturating_add(length);
        files.push(Asked { length, padding });
    }
}

/// Whether a piece or the files are too long for a torrent, or it has more pieces than can be counted.
fn is_refused(files: &[Asked], piece_length: u64) -> bool {
    let total: u128 = files.iter().map(|file| u128::from(file.length)).sum();
    let aligned: u128 = files.iter().map(|file| u128::from(file.length.div_ceil(piece_length))).sum();
    let pieces = aligned.max(total.div_ceil(piece_length.into()));
    files.is_empty() || piece_length > MAX_PIECE_LEN.into() || i64::try_from(total).is_err() || pieces > u32::MAX.into()
}

/// The first and the last byte of a file lead to it.
fn ends(layout: &Layout, geometry: &Geometry, file: usize, offset: u64, length: u64) {
    let Some(last) = length.checked_sub(1) else { return };
    for at in [0, last / 2, last] {
        assert_eq!(layout.file_at(offset + at), Some(file));
        let mut spans = layout.spans(offset + at, 1);
        let span = spans.next();
        assert_eq!(span.map(|it| (it.file, it.offset, it.len)), Some((file, at, 1)));
        assert_eq!(spans.next(), None);
        let piece = u32::try_from((offset + at) / u64::from(geometry.piece_length())).map(PieceIndex);
        let within = piece.ok().and_then(|piece| Some((geometry.piece_offset(piece)?, geometry.piece_len(piece)?)));
        assert!(within.is_some_and(|(start, len)| (start..start + u64::from(len)).contains(&(offset + at))));
    }
}

/// Pieces lie end to end in the files; if there are many, only the first and the last are looked at.
fn pieces(layout: &Layout, geometry: &Geometry, is_aligned: bool) {
    let count = geometry.piece_count();
    assert_eq!(geometry.piece_len(PieceIndex(count)), None);
    let mut covered = 0;
    for number in (0..count.min(MOST_PIECES)).chain(count.saturating_sub(MOST_PIECES).max(MOST_PIECES)..count) {
        let piece = PieceIndex(number);
        let (Some(start), Some(length)) = (geometry.piece_offset(piece), geometry.piece_len(piece)) else {
            panic!("piece {number} of {count} is missing")
        };
        assert_eq!(start, u64::from(number) * u64::from(geometry.piece_length()));
        let mut at = start;
        let mut files = 0;
        for span in layout.spans(start, length.into()) {
            let Some(file) = layout.files().get(span.file) else { panic!("file {} is missing", span.file) };
            assert!(span.len > 0 && span.offset + span.len <= file.length());
            assert_eq!((file.offset() + span.offset, layout.file_at(at)), (at, Some(span.file)));
            at += span.len;
            files += 1;
        }
        assert_eq!(at, start + u64::from(length), "piece {number} is not full");
        assert!(files == 1 || !is_aligned);
        covered += u64::from(length);
        let blocks = geometry.block_count(piece).unwrap_or_default();
        for number in [0, blocks / 2, blocks - 1] {
            let block = geometry.block(piece, number);
            assert!(block.is_some_and(|it| it.number() == number && geometry.contains(it)));
            let offset = block.and_then(|block| geometry.block_offset(block));
            assert_eq!(offset, Some(start + u64::from(number) * 16_384));
        }
        assert_eq!(geometry.block(piece, blocks), None);
    }
    assert!(count > 2 * MOST_PIECES || covered == layout.total_len());
}

/// Writes the info dictionary.
fn write(files: &[Asked], version: Version, piece_length: u64) -> Vec<u8> {
    let total = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.length));
    let mut encoder = Encoder::append_to(Vec::with_capacity(4096));
    encoder.dict(|d| {
        if version != Version::V2 {
            d.entry("files", |v| {
                v.list(|l| {
                    for (number, file) in files.iter().enumerate() {
                        l.item(|v| {
                            v.dict(|d| {
                                if file.padding {
                                    d.bytes("attr", "p");
                                }
                                d.entry("length", |v| v.uint(file.length));
                                d.entry("path", |v| v.list(|l| l.bytes(name(number))));
                            })
                        });
                    }
                })
            });
        }
        if version != Version::V1 {
            d.entry("file tree", |v| {
                v.dict(|d| {
                    for (number, file) in files.iter().enumerate().filter(|(_, file)| !file.padding) {
                        d.entry(name(number), |v| {
                            v.dict(|d| {
                                d.entry("", |v| {
                                    v.dict(|d| {
                                        d.entry("length", |v| v.uint(file.length));
                                        if file.length > 0 {
                                            d.bytes("pieces root", [7; 32]);
                                        }
                                    })
                                })
                            })
                        });
                    }
                })
            });
            d.int("meta version", 2);
        }
        d.bytes("name", "n");
        d.entry("piece length", |v| v.uint(piece_length));
        match version {
            // One hash for all, so that the torrent may be as long as it likes (BEP 30).
            Version::V1 => d.bytes("root hash", [7; 20]),
            Version::V2 => {}
            Version::Hybrid => {
                let hashes = usize::try_from(total.div_ceil(piece_length) * 20).unwrap_or(usize::MAX);
                d.bytes("pieces", HASHES.get(..hashes).unwrap_or_default());
            }
        }
    });
    encoder.finish()
}

/// Names in the order of numbers, as a tree wants it.
fn name(number: usize) -> [u8; 2] {
    let digit = |number: usize| b'a' + u8::try_from(number % 26).unwrap_or_default();
    [digit(number / 26), digit(number)]
}

const MOST_FILES: usize = 40;
/// Looked at from each end.
const MOST_PIECES: u32 = 24;
/// As many as 40 hybrid files of 64 pieces need.
static HASHES: [u8; 20 * 64 * 41] = [1; 20 * 64 * 41];

thread_local! {
    static FILES: RefCell<Vec<Asked>> = const { RefCell::new(Vec::new()) };
}
