//! Writes `fuzz/seeds/` again.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for seed in unchoke_fuzz::seeds::all()? {
        let folder = root.join(seed.target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(seed.name), &seed.bytes)?;
    }
    Ok(())
}
