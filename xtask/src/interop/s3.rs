//! Our object store at a server that speaks S3, which also is slow and fails.

mod proxy;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::lab::{EmptyFiles, LIMIT, Lab, Outcome, Running, TICK, fresh, generate, run, same};

/// The cases.
pub(crate) const CASES: [&str; 2] = [
    "s3: a download into a bucket is killed and resumed, libtorrent fetches it from there",
    "s3: a bucket that is slow and fails takes a download",
];

/// Runs a case, in a network that the program has to itself.
pub(crate) fn case(lab: &Lab, name: &str) -> Outcome {
    let folder = fresh(lab.work.join("cases").join(name.replace([' ', ',', ':'], "-")))?;
    let _server = server(lab, &folder)?;
    let world = World::new(lab, &folder)?;
    if name == CASES[0] { world.killed_and_resumed() } else { world.slow_and_failing() }
}

/// A seed of libtorrent, and a torrent that it has.
struct World<'a> {
    lab: &'a Lab,
    folder: &'a Path,
    torrent: PathBuf,
    _seed: Running,
}

/// What our program has printed.
#[derive(Default)]
struct Told {
    /// Bytes that it found in the bucket.
    found: u64,
    /// Bytes that it fetched, once it is complete.
    downloaded: Option<u64>,
    /// Pieces that it verified.
    verified: usize,
    /// Those of them that were verified before a sync began that has ended.
    synced: usize,
}

impl<'a> World<'a> {
    fn new(lab: &'a Lab, folder: &'a Path) -> Outcome<Self> {
        let (data, torrent) = (folder.join("data"), folder.join("made.torrent"));
        generate(&data.join(NAME), BYTES, 11)?;
        let mut create = lab.ours("create");
        create.arg(data.join(NAME)).arg("--output").arg(&torrent).args(["--piece-length", &PIECE.to_string()]);
        run(&mut create)?;
        let mut seed = lab.script("libtorrent_peer.py");
        seed.arg("seed").arg(&torrent).arg(&data).arg(SEED.to_string());
        let mut seed = Running::start(&mut seed, &folder.join("seed.log"))?;
        seed.printed("ready")?;
        Ok(Self { lab, folder, torrent, _seed: seed })
    }

    fn killed_and_resumed(&self) -> Outcome {
        let mut slow = self.ours(SERVER);
        slow.args(["--peer", &SEED.to_string(), "--limit-down", &(BYTES / 6).to_string()]);
        let mut running = Running::start(&mut slow, &self.folder.join("killed.log"))?;
        let until = Instant::now() + LIMIT;
        let before = loop {
            let told = told(&running)?;
            if told.synced > 0 && told.verified > told.synced {
                break told;
            }
            running.alive()?;
            if Instant::now() > until {
                return Err("no sync was told of in time".into());
            }
            std::thread::sleep(TICK);
        };
        // This kills it.
        drop(running);
        let mut again = self.ours(SERVER);
        let mut running = Running::start(again.args(["--peer", &SEED.to_string()]), &self.folder.join("resumed.log"))?;
        running.ended()?;
        let after = told(&running)?;
        let (found, synced) = (after.found, u64::try_from(before.synced)?.saturating_mul(PIECE));
        if found < synced || found >= BYTES {
            return Err(format!("{found} bytes were found in the bucket, {synced} had been synced").into());
        }
        if after.downloaded != Some(BYTES.saturating_sub(found)) {
            return Err(format!("{:?} bytes were fetched after {found} had been found", after.downloaded).into());
        }
        self.seeds_from_the_bucket()
    }

    fn slow_and_failing(&self) -> Outcome {
        let proxy = proxy::start(PROXY, SERVER)?;
        let mut command = self.ours(PROXY);
        let mut running =
            Running::start(command.args(["--peer", &SEED.to_string()]), &self.folder.join("download.log"))?;
        running.ended()?;
        if told(&running)?.downloaded != Some(BYTES) || !running.output()?.contains("the bucket fails, waiting") {
            return Err("the failures of the bucket were not told".into());
        }
        if proxy.refused() == 0 || proxy.cut() == 0 || proxy.delayed() == 0 {
            return Err("the proxy has not failed in every way".into());
        }
        self.seeds_from_the_bucket()
    }

    /// Has libtorrent fetch everything from a client of ours that has nothing but the bucket.
    fn seeds_from_the_bucket(&self) -> Outcome {
        let mut seed = self.ours(SERVER);
        let mut seed =
            Running::start(seed.args(["--seed", "--listen", &OURS.to_string()]), &self.folder.join("bucket.log"))?;
        seed.printed("complete")?;
        if told(&seed)?.found != BYTES {
            return Err("the bucket is not whole".into());
        }
        let output = fresh(self.folder.join("output"))?;
        let mut leech = self.lab.script("libtorrent_peer.py");
        leech.arg("leech").arg(&self.torrent).arg(&output).arg(LEECH.to_string()).arg(OURS.to_string());
        Running::start(&mut leech, &self.folder.join("leech.log"))?.ended()?;
        seed.alive()?;
        same(&self.folder.join("data").join(NAME), &output.join(NAME), EmptyFiles::Demanded)?;
        Ok(fs::remove_dir_all(output)?)
    }

    /// Our program with the bucket, reached through `endpoint`.
    fn ours(&self, endpoint: SocketAddrV4) -> Command {
        let mut command = self.lab.ours("bucket");
        command.arg(&self.torrent).args(["--url", "s3://unchoke/torrents", "--group", &(4 * PIECE).to_string()]);
        command.args([
            "--option",
            "region=us-east-1",
            "--option",
            "allow_http=true",
            "--option",
            &format!("endpoint=http://{endpoint}"),
        ]);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        command
    }
}

/// Reads the lines that our program prints.
fn told(running: &Running) -> Outcome<Told> {
    let mut told = Told::default();
    let mut at_sync = 0;
    for line in running.output()?.lines() {
        // A line may be half written, and others are for people.
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if let Some(found) = line["found"].as_u64() {
            told.found = found;
        }
        told.downloaded = line["downloaded"].as_u64().or(told.downloaded);
        if line["verified"].is_u64() {
            told.verified += 1;
        }
        if line["synced"].is_boolean() {
            // The next sync begins after this one has ended, so it covers all that has been verified so far.
            told.synced = std::mem::replace(&mut at_sync, told.verified);
        }
    }
    Ok(told)
}

/// Starts the server and makes a bucket.
fn server(lab: &Lab, folder: &Path) -> Outcome<Running> {
    let mut command = Command::new(lab.python().with_file_name("moto_server"));
    command.args(["-H", &SERVER.ip().to_string(), "-p", &SERVER.port().to_string()]);
    let mut server = Running::start(&mut command, &folder.join("server.log"))?;
    let until = Instant::now() + LIMIT;
    let mut stream = loop {
        match TcpStream::connect(SERVER) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > until => return Err(format!("nobody listens on {SERVER}: {error}").into()),
            Err(_) => std::thread::sleep(TICK),
        }
        server.alive()?;
    };
    write!(stream, "PUT /unchoke HTTP/1.1\r\nHost: {SERVER}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.split(' ').nth(1) == Some("200") { Ok(server) } else { Err(format!("no bucket: {answer}").into()) }
}

/// The file in the torrent.
const NAME: &str = "made.bin";
/// Its length, which is no multiple of that of a piece.
const BYTES: u64 = (40 << 20) + 12_345;
const PIECE: u64 = 256 << 10;

/// Where libtorrent seeds.
const SEED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 3), 6_900);
/// Where libtorrent downloads.
const LEECH: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 4), 6_900);
/// Where we seed.
const OURS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 6_881);
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 8), 5_000);
const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 9), 5_000);
