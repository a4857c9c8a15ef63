//! How long hostile torrents take for each megabyte: the figures of `docs/reliability.md`. More than 100 ms fail.
//!
//! `cargo run --release -p unchoke-fuzz --example hostile`

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use unchoke_bencode::{DecodeLimits, decode};
use unchoke_core::Seed;
use unchoke_metainfo::Metainfo;

fn main() -> io::Result<ExitCode> {
    let (mut worst, mut out) = (0.0_f64, io::stdout().lock());
    writeln!(out, "{:<44} {:>9} {:>14} {:>14}", "", "bytes", "decode ms/MB", "torrent ms/MB")?;
    for (name, file) in large().into_iter().chain([("the slowest of 10,000 generated torrents", slowest())]) {
        let decoded = per_megabyte(&file, |file| drop(decode(file, &DecodeLimits::default())));
        let read = per_megabyte(&file, |file| drop(Metainfo::from_bytes(file)));
        writeln!(out, "{name:<44} {:>9} {decoded:>14.1} {read:>14.1}", file.len())?;
        worst = worst.max(decoded).max(read);
    }
    writeln!(out, "the worst: {worst:.1} ms/MB")?;
    Ok(if worst <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const MOST: f64 = 100.0;

/// The best of five, in milliseconds.
fn per_megabyte(file: &[u8], work: impl Fn(&[u8])) -> f64 {
    let time = |_| {
        let begin = Instant::now();
        work(file);
        begin.elapsed()
    };
    let best = (0..5).map(time).min().unwrap_or(Duration::MAX);
    best.as_secs_f64() * 1e9 / file.len() as f64
}

/// The generated torrent that takes the longest for its length. Short ones are left out: they cost what any file costs.
fn slowest() -> Vec<u8> {
    let seed = Seed::new([1; 32]);
    let mut slowest = (0.0, Vec::new());
    for number in 0..10_000 {
        let file = unchoke_fuzz::torrents::torrent(&seed, number);
        if file.len() < 4096 {
            continue;
        }
        let cost = per_megabyte(&file, |file| drop(Metainfo::from_bytes(file)));
        if cost > slowest.0 {
            slowest = (cost, file);
        }
    }
    slowest.1
}

/// Files of about two megabytes that are made of whatever takes the longest.
fn large() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |name: &str| format!("d6:lengthi0e4:pathl{}:{name}ee", name.len());
    let v1 =
        |files: String| format!("d4:infod5:filesl{files}e4:name1:d12:piece lengthi16384e6:pieces0:ee").into_bytes();
    let around = |more: String| format!("d4:info{SMALL}1:z{more}e").into_bytes();
    let tree = |tree: String| {
        let info = format!("d9:file treed{tree}e12:meta versioni2e4:name1:d12:piece lengthi16384ee");
        format!("d4:info{info}12:piece layersdee").into_bytes()
    };
    let keys = |key: fn(u32) -> u32| -> String {
        (0..180_000).map(|number| format!("7:{:07}0:", key(number) % 10_000_000)).collect()
    };
    let files = |name: fn(u32) -> String| v1((0..70_000).map(|number| entry(&name(number))).collect());
    let long = |number: u32| format!("{}{number:06}0:", "k".repeat(993));
    vec![
        ("empty strings", around(format!("l{}e", "0:".repeat(1_000_000)))),
        ("empty lists", around(format!("l{}e", "le".repeat(1_000_000)))),
        ("numbers", around(format!("l{}e", "i0e".repeat(700_000)))),
        ("long numbers", around(format!("l{}e", format!("i{}e", "9".repeat(60)).repeat(32_000)))),
        ("a number of two million digits", around(format!("i{}e", "0".repeat(2_000_000)))),
        ("a length of two million digits", around(format!("{}:", "0".repeat(2_000_000)))),
        ("one key over and over", around(format!("d1:b0:{}e", "0:0:".repeat(500_000)))),
        ("keys in the opposite order", around(format!("d{}e", keys(|number| 9_999_999 - number)))),
        ("keys in any order", around(format!("d{}e", keys(|number| number.wrapping_mul(2_654_435_761) >> 8)))),
        (
            "long keys that differ at their end",
            around(format!("d{}e", (0..2_000).rev().map(|number| format!("999:{}", long(number))).collect::<String>())),
        ),
        ("files of one name", files(|_| "a".into())),
        (
            "files whose new names are taken",
            files(|number| if number % 2 == 0 { "a".into() } else { format!("a.{}", number / 2) }),
        ),
        ("files that differ by case", files(|number| if number % 2 == 0 { "Aa" } else { "aA" }.into())),
        ("files of bad names", files(|_| "\u{202e}CON:.".into())),
        ("files of long names", v1(entry(&"é/".repeat(3_000)).repeat(200))),
        ("deep paths", v1(format!("d6:lengthi0e4:pathl{}ee", "1:a".repeat(100)).repeat(6_000))),
        ("padding without a path", v1("d4:attr1:p6:lengthi0ee".repeat(90_000))),
        ("links to themselves", v1("d4:attr1:l4:pathl1:le12:symlink pathl1:lee".repeat(45_000))),
        ("a tree of empty files", tree((0..75_000).map(|number| format!("7:{number:07}d0:d6:lengthi0eee")).collect())),
        ("a tree of empty folders", tree((0..180_000).map(|number| format!("7:{number:07}de")).collect())),
        ("trackers", format!("d13:announce-listl{}e4:info{SMALL}e", "l1:ae".repeat(400_000)).into_bytes()),
        ("nodes", format!("d4:info{SMALL}5:nodesl{}ee", "l1:hi1ee".repeat(250_000)).into_bytes()),
    ]
}

const SMALL: &str = "d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:e";
