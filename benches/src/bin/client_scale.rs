//! How does the cost of a client grow with the pieces of a torrent, with its peers, and with the torrents that it seeds?
//!
//! `client_scale FOLDER OUT` measures all, each figure in a process of its own, and writes `scale.json` and one SVG for each question into `OUT`.
//! `FOLDER` holds the payload and should be in memory. Linux only: what a process has used is read from `/proc`.
//!
//! `client_scale FOLDER pieces|peers|torrents N` measures one.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use unchoke_core::{InfoHash, Seed};
use unchoke_metainfo::{Builder, Metainfo, Version};
use unchoke_sim::report::{JsonLine, Plot, Scale};
use unchoke_storage::{FileStorage, create};
use unchoke_swarm::SessionConfig;
use unchoke_tokio::{AddTorrent, Client};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured: the name, the unit of the number, the numbers.
const QUESTIONS: [(&str, &[u64]); 3] = [
    ("pieces", &[1, 16, 256, 4096, 16_384, 100_000]),
    ("peers", &[1, 10, 30, 100, 300, 1000]),
    ("torrents", &[1, 10, 100, 1000, 10_000]),
];
const BLOCK: u64 = 16 * 1024;
/// What is downloaded in pieces, at least, and what all peers together are sent.
const PAYLOAD: u64 = 256 << 20;
/// What a torrent with peers consists of.
const SEEDED: u64 = 16 << 20;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [folder, out] => all(folder, Path::new(out)),
        [folder, question, number] => {
            let folder = Path::new(folder).join(format!("scale-{}", std::process::id()));
            fs::create_dir_all(&folder)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let line = runtime.block_on(one(&folder, question, number.parse()?));
            fs::remove_dir_all(&folder)?;
            println!("{}", line?);
            Ok(())
        }
        _ => Err("client_scale FOLDER OUT | FOLDER pieces|peers|torrents N".into()),
    }
}

async fn one(folder: &Path, question: &str, number: u64) -> Outcome<String> {
    match question {
        "pieces" => pieces(folder, number).await,
        "peers" => peers(folder, number).await,
        "torrents" => torrents(folder, number).await,
        _ => Err("pieces, peers or torrents".into()),
    }
}

/// Measures everything and draws it.
fn all(folder: &str, out: &Path) -> Outcome<()> {
    let mut lines = Vec::new();
    for (question, numbers) in QUESTIONS {
        let mut found: Vec<(u64, serde_json::Value)> = Vec::new();
        for number in numbers {
            eprintln!("{question} {number}");
            let child =
                Command::new(std::env::current_exe()?).args([folder, question, &number.to_string()]).output()?;
            if !child.status.success() {
                return Err(format!("{question} {number}: {}", String::from_utf8_lossy(&child.stderr)).into());
            }
            let line = String::from_utf8(child.stdout)?;
            found.push((*number, serde_json::from_str(&line)?));
            lines.push(line);
        }
        let (title, unit, fields): (&str, &str, &[&str]) = match question {
            "pieces" => ("A download by the number of its pieces", "CPU s/GiB of both sides", &["cpu_s_per_gib"]),
            "peers" => ("A seed by the number of its peers", "CPU s/GiB of the seed", &["cpu_s_per_gib"]),
            _ => ("Torrents that are seeded and idle", "KiB of memory each", &["kib_each"]),
        };
        let mut plot = Plot::new(title, question, unit);
        plot.horizontal = Scale::Logarithmic;
        for field in fields {
            let point =
                |(number, value): &(u64, serde_json::Value)| Some((*number as f64, value.get(*field)?.as_f64()?));
            plot.line("unchoke", &found.iter().filter_map(point).collect::<Vec<_>>());
        }
        fs::write(out.join(format!("scale-{question}.svg")), plot.to_svg())?;
    }
    fs::write(out.join("scale.json"), lines.concat())?;
    print!("{}", lines.concat());
    Ok(())
}

/// A payload and its torrent.
fn payload(folder: &Path, length: u64, piece_length: u64) -> Outcome<Metainfo> {
    let mut bytes = vec![0; usize::try_from(length)?];
    Seed::new([7; 32]).rng().fill(&mut bytes);
    let mut hasher =
        Builder::new("payload", u32::try_from(piece_length)?).version(Version::V1).single_file(length).hasher()?;
    hasher.update(&bytes);
    fs::write(folder.join("payload"), bytes)?;
    Ok(hasher.finish()?)
}

fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// One client downloads from another in the same process.
async fn pieces(folder: &Path, pieces: u64) -> Outcome<String> {
    let length = PAYLOAD.max(pieces * BLOCK);
    let piece_length = length.div_ceil(pieces).next_multiple_of(BLOCK);
    let metainfo = payload(folder, length, piece_length)?;
    let seed = Client::builder().listen(local()).build().await?;
    seed.add(AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(folder))).await?.completed().await?;
    let client = Client::builder().build().await?;
    let (begin, cpu) = (Instant::now(), cpu_seconds()?);
    let to = folder.join("to");
    let add = AddTorrent::from_metainfo(&metainfo, FileStorage::new(&to)).peers(seed.local_addr());
    let torrent = client.add(add).await?;
    torrent.completed().await?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = cpu_seconds()? - cpu;
    let peak = status("VmHWM")?;
    let count = metainfo.info().geometry().piece_count();
    client.shutdown().await?;
    seed.shutdown().await?;
    Ok(JsonLine::new()
        .number("pieces", count.into())
        .number("bytes", length)
        .decimal("seconds", seconds)
        .decimal("cpu_s_per_gib", cpu / gib(length))
        .number("peak_rss_kib_with_payload", peak)
        .finish())
}

/// Peers that throw away what they ask for take a share each from one client.
async fn peers(folder: &Path, count: u64) -> Outcome<String> {
    let metainfo = payload(folder, SEEDED, 256 * 1024)?;
    let hash = metainfo.info_hashes().wire();
    let mut config = SessionConfig::default();
    let room = usize::try_from(count)?.saturating_mul(2);
    (config.max_connections, config.max_connections_per_torrent) = (room, room);
    (config.max_connections_per_address, config.upload_slots) = (room, room);
    let client = Client::builder().config(config).listen(local()).build().await?;
    let torrent = client.add(AddTorrent::from_metainfo(&metainfo, FileStorage::read_only(folder))).await?;
    torrent.completed().await?;
    let address = client.local_addr().ok_or("it does not listen")?;
    let before = status("RssAnon")?;
    // The peers are threads of this process, so what they take is measured apart and taken off.
    let (begin, cpu) = (Instant::now(), cpu_seconds()?);
    let (each, sinks) = ((PAYLOAD / count).next_multiple_of(BLOCK), tokio::runtime::Builder::new_multi_thread());
    let sinks = { sinks }.worker_threads(1).thread_name("sink").enable_all().build()?;
    let running: Vec<_> = (0..count).map(|number| sinks.spawn(sink(address, hash, number, each))).collect();
    let mut most = before;
    for peer in running {
        peer.await?.map_err(|error| format!("a peer: {error}"))?;
        most = most.max(status("RssAnon")?);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let spent = cpu_seconds()? - cpu - threads_cpu_seconds("sink")?;
    sinks.shutdown_background();
    client.shutdown().await?;
    let sent = each * count;
    Ok(JsonLine::new()
        .number("peers", count)
        .number("bytes", sent)
        .decimal("seconds", seconds)
        .decimal("cpu_s_per_gib", spent / gib(sent))
        .number("more_rss_kib", most.saturating_sub(before))
        .finish())
}

/// Shakes hands, asks for so many bytes, and reads them.
async fn sink(address: SocketAddr, hash: InfoHash, number: u64, bytes: u64) -> Result<(), std::io::Error> {
    let mut stream = TcpStream::connect(address).await?;
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    hello.extend(hash.as_bytes());
    hello.extend(format!("-XX0000-{number:012}").as_bytes());
    hello.extend([0, 0, 0, 1, 2]);
    stream.write_all(&hello).await?;
    let mut skip = [0; 68];
    stream.read_exact(&mut skip).await?;
    let (mut asked, mut got) = (0, 0);
    let mut frame = vec![0; 64 * 1024];
    let mut unchoked = false;
    while got < bytes {
        while unchoked && asked < bytes && asked < got + 32 * BLOCK {
            let at = (number * 37 * BLOCK + asked) % SEEDED;
            let mut request = vec![0, 0, 0, 13, 6];
            for field in [at / (256 * 1024), at % (256 * 1024), BLOCK] {
                request.extend(u32::try_from(field).unwrap_or(0).to_be_bytes());
            }
            stream.write_all(&request).await?;
            asked += BLOCK;
        }
        let length = stream.read_u32().await? as usize;
        let Some(part) = frame.get_mut(..length) else { return Err(std::io::ErrorKind::InvalidData.into()) };
        stream.read_exact(part).await?;
        match part.first() {
            Some(1) => unchoked = true,
            Some(7) => got += (length as u64).saturating_sub(9),
            _ => {}
        }
    }
    Ok(())
}

/// Small torrents that are complete and that nobody asks for.
async fn torrents(folder: &Path, count: u64) -> Outcome<String> {
    let mut made = Vec::new();
    for number in 0..count {
        let path = folder.join(format!("file {number}"));
        fs::write(&path, [number.to_be_bytes().repeat(2048), vec![1; 16_384]].concat())?;
        made.push(create(&path, 16_384, |builder| builder, |_, _| ControlFlow::Continue(()))?);
    }
    let client = Client::builder().listen(local()).build().await?;
    let (before, files) = (status("RssAnon")?, fs::read_dir("/proc/self/fd")?.count());
    let begin = Instant::now();
    let mut handles = Vec::new();
    for metainfo in &made {
        handles.push(client.add(AddTorrent::from_metainfo(metainfo, FileStorage::new(folder))).await?);
    }
    for torrent in &handles {
        torrent.completed().await?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (memory, files_then) = (status("RssAnon")?.saturating_sub(before), fs::read_dir("/proc/self/fd")?.count());
    // What is made durable soon after the start is over by then.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (cpu, idle) = (cpu_seconds()?, Duration::from_secs(10));
    tokio::time::sleep(idle).await;
    let idle_cpu = (cpu_seconds()? - cpu) / idle.as_secs_f64();
    client.shutdown().await?;
    Ok(JsonLine::new()
        .number("torrents", count)
        .decimal("seconds_until_all_seed", seconds)
        .decimal("kib_each", memory as f64 / count as f64)
        .number("more_descriptors", files_then.saturating_sub(files) as u64)
        .decimal("idle_cpu_share", idle_cpu)
        .finish())
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// A figure of this process in KiB.
fn status(name: &str) -> Outcome<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no such figure")?.parse()?)
}

fn cpu_seconds() -> Outcome<f64> {
    ticks(&fs::read_to_string("/proc/self/stat")?)
}

/// What the threads of this name have used.
fn threads_cpu_seconds(name: &str) -> Outcome<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("stat"))?;
        if text.contains(&format!("({name}")) {
            sum += ticks(&text)?;
        }
    }
    Ok(sum)
}

fn ticks(text: &str) -> Outcome<f64> {
    let (_, fields) = text.rsplit_once(')').ok_or("a line of /proc that is none")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
