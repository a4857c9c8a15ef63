//! Replays what is checked in, so that a fault once found stays away without libFuzzer.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};
use unchoke_fuzz::{TARGETS, seeds};

fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.ends_with(".gitkeep"));
    files.sort();
    files
}

#[test]
fn every_seed_and_regression_passes() {
    for (name, target) in TARGETS {
        for file in files("seeds", name).into_iter().chain(files("regressions", name)) {
            eprintln!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn a_seed_cut_short_or_with_a_flipped_bit_passes() {
    for (name, target) in TARGETS {
        for file in files("seeds", name) {
            let seed = fs::read(&file).unwrap();
            for at in 0..seed.len() {
                target(&seed[..at]);
                let mut flipped = seed.clone();
                flipped[at] ^= 1 << (at % 8);
                eprintln!("{} with a flipped bit at {at}", file.display());
                target(&flipped);
            }
        }
    }
}

#[test]
fn seeds_are_what_the_generator_makes() {
    let made = seeds::all().unwrap();
    let on_disk: usize = TARGETS.iter().map(|(name, _)| files("seeds", name).len()).sum();
    assert_eq!(on_disk, made.len(), "run the example `seeds`, and remove what it does not make");
    for seed in made {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(seed.target).join(seed.name);
        assert_eq!(fs::read(&file).unwrap(), seed.bytes, "{}", file.display());
    }
}
