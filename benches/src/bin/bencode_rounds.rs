//! Decodes files with one tape, again and again, and prints the CPU time of one decode: `bencode_rounds FILE…`, or `--write FOLDER` to make the
//! inputs. Run by `cargo xtask bench-bencode` beside the same loop in C++.

use std::path::Path;
use std::time::{Duration, Instant};
use unchoke_bencode::{DecodeLimits, Tape};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, folder] = &arguments[..]
        && flag == "--write"
    {
        return Ok(unchoke_benches::corpora::write_to(Path::new(folder))?);
    }
    for path in &arguments {
        let input = std::fs::read(path)?;
        let mut limits = DecodeLimits::default();
        (limits.max_len, limits.max_tokens) = (input.len(), usize::MAX);
        let mut tape = Tape::new();
        let mut decode = |times: u32| -> Result<Duration, unchoke_bencode::Error> {
            let start = Instant::now();
            for _ in 0..times {
                std::hint::black_box(tape.decode(std::hint::black_box(&input), &limits)?);
            }
            Ok(start.elapsed())
        };
        let mut times = 1;
        while decode(times)? < Duration::from_millis(100) {
            times *= 2;
        }
        let mut samples = [0.0; 5];
        for sample in &mut samples {
            *sample = decode(times)?.as_secs_f64() * 1e9 / f64::from(times);
        }
        samples.sort_by(f64::total_cmp);
        println!("{path} {:.1}", samples[2]);
    }
    Ok(())
}
