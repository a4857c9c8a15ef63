//! Content that is made up on the spot, the same every time.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use unchoke_core::Seed;
use unchoke_metainfo::{Builder, Metainfo};
use unchoke_storage::create;

/// Generated files and their torrent.
#[derive(Debug)]
pub struct Content {
    /// The torrent.
    pub metainfo: Metainfo,
    /// Bytes in all.
    pub total: u64,
}

/// Writes files of these lengths into `folder/name` and makes a torrent of them.
///
/// # Errors
/// If they cannot be written or read.
pub fn generate(
    folder: &Path,
    name: &str,
    lengths: &[u64],
    options: impl FnOnce(Builder) -> Builder,
) -> io::Result<Content> {
    let root = folder.join(name);
    std::fs::create_dir_all(&root)?;
    let mut rng = Seed::new([7; 32]).rng();
    for (number, length) in lengths.iter().enumerate() {
        let mut file = BufWriter::new(File::create(root.join(format!("part-{number:02}.bin")))?);
        let mut chunk = [0; 4096];
        let mut left = *length;
        while left > 0 {
            rng.fill(&mut chunk);
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            file.write_all(chunk.get(..take).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
        }
        file.flush()?;
    }
    let metainfo = create(&root, 0, options, |_, _| ControlFlow::Continue(())).map_err(io::Error::other)?;
    Ok(Content { total: metainfo.info().geometry().total_len(), metainfo })
}
