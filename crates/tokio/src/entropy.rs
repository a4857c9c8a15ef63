//! Randomness of the operating system.

use std::io;
use unchoke_core::Seed;

/// A seed that nobody can guess.
pub(crate) fn entropy() -> io::Result<Seed> {
    use rand::TryRng as _;
    let mut bytes = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(Seed::new(bytes))
}
