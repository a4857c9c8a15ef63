#![doc = include_str!("../README.md")]

pub mod corpora;
pub mod pings;

use unchoke_core::{Seed, Sha1Hash};
use unchoke_metainfo::{BuildError, Builder};

/// The piece length of the torrent, in bytes.
const PIECE: u32 = 1 << 18;
/// Piece hashes of the torrent: 1.6 MB of the torrent file, in one string.
const PIECES: u32 = 80_000;
/// Files of the torrent: the rest, in many small values.
const FILES: u32 = 6_000;

/// Bytes that look random and are the same each time.
#[must_use]
pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Seed::new([42; 32]).rng().fill(&mut bytes);
    bytes
}

/// A torrent file of about 2 MB: 6,000 files in 80,000 pieces, with hashes of nothing.
///
/// # Errors
/// If the builder refuses it.
pub fn torrent() -> Result<Vec<u8>, BuildError> {
    let (total, files) = (u64::from(PIECE) * u64::from(PIECES), u64::from(FILES));
    let mut builder = Builder::new("collection", PIECE).tracker("http://tracker.test/announce");
    for number in 0..files {
        let length = if number == 0 { total - (files - 1) * (total / files) } else { total / files };
        let folder = format!("folder {}", number / 100);
        builder = builder.add_file([folder, format!("a file with a name of usual length {number:05}.bin")], length);
    }
    let noise = noise(PIECES as usize * 20);
    Ok(builder
        .finish_with_hashes(noise.chunks_exact(20).filter_map(Sha1Hash::from_slice).collect::<Vec<_>>())?
        .to_bytes())
}
