//! Question: how many bytes of pieces a second does each way of hashing take on one core?
//!
//! Prints a line for each backend that this CPU has: its name, the lanes, and bytes a CPU second of SHA-1 and SHA-256 with all lanes full.
//! `cargo xtask bench-create` puts OpenSSL beside it.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};
use unchoke_core::hash::{Backend, MAX_LANES, Sha1Lanes, Sha256Lanes};

/// Bytes of each message that are handed over at a time, as `openssl speed -bytes` has them.
const PART: usize = 16 * 1024;
/// How long each figure is measured.
const LONG: Duration = Duration::from_millis(400);

fn main() -> std::io::Result<()> {
    let noise = unchoke_benches::noise(PART * MAX_LANES);
    let mut out = std::io::stdout().lock();
    for backend in Backend::ALL.into_iter().filter(|it| it.is_available()) {
        let parts: Vec<&[u8]> = noise.chunks(PART).take(backend.lanes()).collect();
        let mut sha1 = Sha1Lanes::with(backend, parts.len());
        let mut sha256 = Sha256Lanes::with(backend, parts.len());
        let sha1 = rate(&parts, || sha1.update(black_box(&parts)));
        let sha256 = rate(&parts, || sha256.update(black_box(&parts)));
        writeln!(out, "{backend:?} {} {sha1:.0} {sha256:.0}", backend.lanes())?;
    }
    Ok(())
}

fn rate(parts: &[&[u8]], mut step: impl FnMut()) -> f64 {
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let mut bytes = 0.0;
    while begin.elapsed() < LONG {
        for _ in 0..16 {
            step();
            bytes += parts.len() as f64 * PART as f64;
        }
    }
    let wall = begin.elapsed().as_secs_f64();
    bytes / cpu_seconds().zip(cpu).map_or(wall, |(after, before)| after - before)
}

/// What this thread has used, where the kernel tells: other programs share the core.
fn cpu_seconds() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(told.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
