//! Secret keys in files: 32 bytes, from which an Ed25519 key is derived (RFC 8032).

use crate::failure::Failure;
use rand::TryRng as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use unchoke_core::keys::SecretKey;

/// Reads a key.
///
/// # Errors
/// If the file cannot be read or is no key.
pub fn secret(path: &Path) -> Result<SecretKey, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    let no_key = || Failure::Usage(format!("{} has {} bytes instead of 32", path.display(), bytes.len()));
    Ok(SecretKey::from_bytes(bytes.as_slice().try_into().map_err(|_| no_key())?))
}

/// Reads a key, or makes one if there is no such file. Only the owner may read the file.
///
/// # Errors
/// If the file cannot be read or made, or is no key.
pub fn secret_or_new(path: &Path) -> Result<SecretKey, Failure> {
    match make(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => secret(path),
        Err(error) => Err(Failure::Failed(format!("cannot make the key {}: {error}", path.display()))),
        Ok(key) => Ok(key),
    }
}

fn make(path: &Path) -> io::Result<SecretKey> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut bytes = [0; 32];
    let written = rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other);
    match written.and_then(|()| file.write_all(&bytes)).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(SecretKey::from_bytes(&bytes)),
        Err(error) => {
            // Half a key would be in the way of the next attempt.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}
