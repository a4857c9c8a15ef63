//! `cargo xtask interop`: our programs against libtorrent, Transmission and aria2, both ways.
//!
//! Each case has a network of its own, so that several can run at a time: Transmission spends most of one waiting for its own timers
//! (ten seconds until it first unchokes or asks for anything). In it each peer has an address of its own, because
//! Transmission closes connections from the address that it listens on.

mod dht;
mod dht_mixed;
mod s3;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::lab::{
    EmptyFiles, LIMIT, Lab, Needed, Outcome, Running, TICK, fresh, generate, is_inside, raise, run, same, value,
};
use crate::tracker::{self, Protocol, Tracker};
use crate::transmission;

const NEEDED: [Needed; 2] = [
    ("aria2c", &["--version"], "apt-get install --no-install-recommends aria2"),
    // It has no option that prints and ends with success; that it is there is what counts.
    ("sh", &["-c", "command -v opentracker"], "apt-get install --no-install-recommends opentracker"),
];

/// A client that we did not write.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Libtorrent,
    Transmission,
    Aria2,
}

/// Who has the content to begin with.
#[derive(Clone, Copy, PartialEq)]
enum Seed {
    Ours,
    Theirs,
}

/// What the downloading side is given.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    /// A torrent file and the address of the seed.
    Torrent,
    /// A magnet link with the address of the seed, or for those that do not read `x.pe` with our tracker.
    Magnet,
    /// A torrent file that names a tracker, and nothing else. The seed has the same one.
    Tracker(Tracker, Protocol),
}

/// What is downloaded.
struct Content {
    name: &'static str,
    /// The folder that the content is in.
    folder: PathBuf,
    /// How a tracker is asked for it. With one content for each way, every peer goes both.
    protocol: Protocol,
    /// The version of its torrent, if that is not 1.
    version: Option<&'static str>,
}

/// What a case works on.
struct Files {
    /// Everything of the case.
    folder: PathBuf,
    /// What the seed has.
    data: PathBuf,
    /// With the tracker, if there is one.
    torrent: PathBuf,
    info_hash: String,
    /// Where the content is to appear.
    output: PathBuf,
}

struct Case<'a> {
    peer: Peer,
    seed: Seed,
    given: Given,
    content: &'a Content,
}

/// Runs all cases, or with `--only TEXT` those whose name contains it.
pub(crate) fn interop(arguments: &[String]) -> Outcome<ExitCode> {
    let lab = Lab::new("interop")?;
    if is_inside(arguments) {
        return one(&lab, value(arguments, CASE).unwrap_or_default());
    }
    lab.prepare(&[&transmission::PROGRAMS[..], &NEEDED].concat())?;
    lab.prepare_nodes()?;
    let only = value(arguments, "--only").unwrap_or_default();
    fresh(lab.work.clone())?;
    generate_single(&lab)?;
    generate_tree(&lab)?;
    let contents = contents(&lab);
    // Those of the DHT begin: one of them takes longest.
    let names = dht_mixed::CASES.into_iter().chain(dht::CASES).chain(s3::CASES).map(str::to_owned);
    let of_contents = cases(&contents);
    let names = names.chain(of_contents.iter().map(Case::to_string)).filter(|name| name.contains(only));
    let names = names.collect::<Vec<_>>();
    if names.iter().any(|name| s3::CASES.contains(&name.as_str())) {
        lab.prepare_buckets()?;
    }
    let (next, failed, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let work = || -> io::Result<()> {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let result = apart(name);
            let seconds = begin.elapsed().as_secs_f64();
            let mut out = io::stdout().lock();
            match result {
                Ok(()) => writeln!(out, "{name:<75} ok     {seconds:5.1} s")?,
                Err(error) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    writeln!(out, "{name:<75} FAILED {seconds:5.1} s\n  {error}")?;
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let lanes = [(); LANES].map(|()| scope.spawn(work));
        lanes.into_iter().try_for_each(|lane| lane.join().unwrap_or_else(|_| Err(io::Error::other("a lane panicked"))))
    })?;
    let (ran, failed) = (names.len(), failed.into_inner());
    writeln!(io::stdout(), "{ran} cases, {failed} failed, {:.0} s", start.elapsed().as_secs_f64())?;
    Ok(if failed == 0 && ran > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a case in a network of its own.
fn apart(name: &str) -> Result<(), String> {
    let arguments = ["interop", CASE, name].map(str::to_owned);
    let mut command = Lab::inside(&arguments).map_err(|error| error.to_string())?;
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// Runs a case in the network that the program is in.
fn one(lab: &Lab, name: &str) -> Outcome<ExitCode> {
    raise()?;
    if dht::CASES.contains(&name) {
        dht::case(lab, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    if dht_mixed::CASES.contains(&name) {
        dht_mixed::case(lab, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    if s3::CASES.contains(&name) {
        s3::case(lab, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let contents = contents(lab);
    let case = cases(&contents).into_iter().find(|case| case.to_string() == name);
    case.ok_or_else(|| format!("there is no case {name:?}"))?.run(lab)?;
    Ok(ExitCode::SUCCESS)
}

/// Every peer in both directions with all that it can be given.
fn cases(contents: &[Content]) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for peer in [Peer::Libtorrent, Peer::Transmission, Peer::Aria2] {
        for seed in [Seed::Theirs, Seed::Ours] {
            for content in contents {
                if content.version.is_some() {
                    if peer == Peer::Libtorrent {
                        cases.push(Case { peer, seed, given: Given::Torrent, content });
                    }
                    continue;
                }
                // Only libtorrent can be told the address of a peer.
                if seed == Seed::Theirs || peer == Peer::Libtorrent {
                    cases.push(Case { peer, seed, given: Given::Torrent, content });
                }
                cases.push(Case { peer, seed, given: Given::Magnet, content });
                for tracker in [Tracker::Ours, Tracker::Opentracker] {
                    cases.push(Case { peer, seed, given: Given::Tracker(tracker, content.protocol), content });
                }
            }
        }
    }
    cases
}

/// One file, with a last piece of odd length.
fn generate_single(lab: &Lab) -> io::Result<()> {
    generate(&lab.work.join("content/single/single.bin"), (64 << 20) + 12_345, 1)
}

/// Folders in folders, an empty file, and a name that is not ASCII.
fn generate_tree(lab: &Lab) -> io::Result<()> {
    let root = lab.work.join("content/tree/tree");
    generate(&root.join("first file.bin"), 5 << 20, 2)?;
    generate(&root.join("inner/deeper/second.bin"), (3 << 20) + 17, 3)?;
    generate(&root.join("inner/empty.txt"), 0, 4)?;
    generate(&root.join("inner/größe.bin"), 1, 5)
}

/// Only libtorrent reads other versions than 1.
fn contents(lab: &Lab) -> Vec<Content> {
    let content = |name: &'static str, folder: &str, protocol, version| Content {
        name,
        folder: lab.work.join("content").join(folder),
        protocol,
        version,
    };
    let mut contents = Vec::new();
    for version in [None, Some("v2"), Some("hybrid")] {
        contents.push(content("single.bin", "single", Protocol::Http, version));
        contents.push(content("tree", "tree", Protocol::Udp, version));
    }
    contents
}

impl Peer {
    fn address(self) -> SocketAddrV4 {
        SocketAddrV4::new(
            match self {
                Self::Libtorrent => Ipv4Addr::new(10, 77, 0, 3),
                Self::Transmission => Ipv4Addr::new(10, 77, 0, 4),
                Self::Aria2 => Ipv4Addr::new(10, 77, 0, 5),
            },
            6_900,
        )
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = match self.peer {
            Peer::Libtorrent => "libtorrent",
            Peer::Transmission => "transmission",
            Peer::Aria2 => "aria2",
        };
        let given = match self.given {
            Given::Torrent => "torrent".to_owned(),
            Given::Magnet => "magnet".to_owned(),
            Given::Tracker(tracker, protocol) => format!("{tracker} over {protocol}"),
        };
        let (name, version) = (self.content.name, self.content.version.map(|version| format!("{version} ")));
        let given = format!("{}{given}", version.unwrap_or_default());
        match self.seed {
            Seed::Theirs => write!(f, "{peer} seeds, unchoke downloads {name} by {given}"),
            Seed::Ours => write!(f, "unchoke seeds, {peer} downloads {name} by {given}"),
        }
    }
}

impl Case<'_> {
    fn run(&self, lab: &Lab) -> Outcome {
        let folder = fresh(lab.work.join("cases").join(self.to_string().replace([' ', ','], "-")))?;
        let (torrent, output) = (folder.join("case.torrent"), fresh(folder.join("output"))?);
        // A seed keeps its state beside its data, and another case may be seeding the same content.
        let data = folder.join("data");
        link(&self.content.folder, &data)?;
        let tracked = self.tracked();
        let mut create = lab.ours("create");
        create.arg(self.content.folder.join(self.content.name)).arg("--output").arg(&torrent);
        if let Some(version) = self.content.version {
            create.arg(format!("--{version}"));
        }
        if let Some((_, protocol)) = tracked {
            create.args(["--tracker", &tracker::announce_url(protocol)]);
        }
        let info_hash = run(&mut create)?.lines().next().unwrap_or_default().to_owned();
        let files = Files { folder, data, torrent, info_hash, output };
        let _tracker = match tracked {
            Some((tracker, _)) => Some(tracker.start(lab, &files.folder, &files.info_hash)?),
            None => None,
        };
        let _seed = match self.seed {
            Seed::Theirs => self.their_seed(lab, &files)?,
            Seed::Ours => {
                let mut command = lab.ours("seed");
                command.arg(&files.torrent).arg("--data").arg(&files.data);
                command.args(["--listen", &OURS.to_string()]);
                let mut seed = Running::start(&mut command, &files.folder.join("seed.log"))?;
                seed.printed("listening on")?;
                seed
            }
        };
        if tracked.is_some() {
            // Whoever asks before the seed has announced itself is told of nobody, and to ask again in half an hour.
            tracker::knows_a_seed(&files.info_hash)?;
        }
        match self.seed {
            Seed::Theirs => self.our_download(lab, &files)?,
            Seed::Ours => self.their_download(lab, &files)?,
        }
        // Transmission 3.00 makes no file that nothing is written to.
        let empty = match (self.seed, self.peer) {
            (Seed::Ours, Peer::Transmission) => EmptyFiles::MayLack,
            _ => EmptyFiles::Demanded,
        };
        same(&self.content.folder.join(self.content.name), &files.output.join(self.content.name), empty)?;
        fs::remove_dir_all(files.output)?;
        fs::remove_dir_all(files.data)?;
        Ok(())
    }

    /// The tracker that brings the two together, if one does.
    fn tracked(&self) -> Option<(Tracker, Protocol)> {
        match self.given {
            Given::Tracker(tracker, protocol) => Some((tracker, protocol)),
            Given::Magnet if self.seed == Seed::Ours && self.peer != Peer::Libtorrent => {
                Some((Tracker::Ours, Protocol::Http))
            }
            Given::Magnet | Given::Torrent => None,
        }
    }

    /// Starts a peer with the content and waits until it listens.
    fn their_seed(&self, lab: &Lab, files: &Files) -> Outcome<Running> {
        let (log, data, torrent) = (files.folder.join("seed.log"), &files.data, &files.torrent);
        let listen = self.peer.address();
        let mut seed = match self.peer {
            Peer::Libtorrent => {
                let mut command = lab.script("libtorrent_peer.py");
                command.arg("seed").arg(torrent).arg(data).arg(listen.to_string());
                let mut seed = Running::start(&mut command, &log)?;
                seed.printed("ready")?;
                seed
            }
            Peer::Transmission => {
                let seed = transmission::start(listen, &files.folder, data, &log)?;
                transmission::add(torrent.as_os_str(), data)?;
                transmission::is_complete()?;
                seed
            }
            Peer::Aria2 => {
                let mut command = aria2(&files.folder, data);
                command.args(["--check-integrity=true", "--seed-ratio=0.0", "--seed-time=10"]);
                let mut seed = Running::start(command.arg(torrent), &log)?;
                seed.printed("Verification finished successfully")?;
                seed
            }
        };
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(listen).is_err() {
            if Instant::now() > until {
                return Err(format!("nobody listens on {listen}").into());
            }
            std::thread::sleep(TICK);
        }
        seed.alive()?;
        Ok(seed)
    }

    /// Downloads with nothing but the address of the peer or of the tracker.
    fn our_download(&self, lab: &Lab, files: &Files) -> Outcome {
        let peer = self.peer.address();
        let mut command = lab.ours("download");
        match self.given {
            Given::Torrent => command.arg(&files.torrent).args(["--peer", &peer.to_string()]),
            Given::Magnet => command.arg(format!("{}&x.pe={peer}", files.link())),
            Given::Tracker(..) => command.arg(&files.torrent),
        };
        command.arg("--output").arg(&files.output).arg("--json");
        command.args(["--listen", &SocketAddrV4::new(*OURS.ip(), 0).to_string()]);
        Running::start(&mut command, &files.folder.join("download.log"))?.ended()
    }

    /// Has the peer download from our seed.
    fn their_download(&self, lab: &Lab, files: &Files) -> Outcome {
        let (log, listen, output) = (files.folder.join("download.log"), self.peer.address(), &files.output);
        let source: OsString = match (self.given, self.tracked()) {
            (Given::Magnet, Some((_, protocol))) => {
                format!("{}&tr={}", files.link(), tracker::announce_url(protocol)).into()
            }
            (Given::Magnet, None) => format!("{}&x.pe={OURS}", files.link()).into(),
            (Given::Torrent | Given::Tracker(..), _) => files.torrent.clone().into(),
        };
        match self.peer {
            Peer::Libtorrent => {
                let mut command = lab.script("libtorrent_peer.py");
                command.arg("leech").arg(source).arg(output).arg(listen.to_string());
                if self.given == Given::Torrent {
                    command.arg(OURS.to_string());
                }
                Running::start(&mut command, &log)?.ended()
            }
            Peer::Transmission => {
                let mut daemon = transmission::start(listen, &files.folder, output, &log)?;
                transmission::add(&source, output)?;
                transmission::is_complete()?;
                transmission::exit()?;
                daemon.ended()
            }
            Peer::Aria2 => {
                let mut command = aria2(&files.folder, output);
                Running::start(command.arg("--seed-time=0").arg(source), &log)?.ended()
            }
        }
    }
}

impl Files {
    fn link(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.info_hash)
    }
}

/// Makes a folder with the same files.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { link(&path, &to)? } else { fs::hard_link(&path, &to)? }
    }
    Ok(())
}

fn aria2(folder: &Path, data: &Path) -> Command {
    let listen = Peer::Aria2.address();
    let mut command = Command::new("aria2c");
    // It speaks to trackers over UDP only with its DHT on, which knows nobody in here.
    command.args(["--enable-dht=true", "--dht-listen-port=6901"]);
    command.arg(format!("--dht-file-path={}", folder.join("dht.dat").display()));
    command.args(["--no-conf=true", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--disable-ipv6=true", "--allow-overwrite=true"]);
    command.args(["--summary-interval=0", "--enable-color=false", "--console-log-level=notice"]);
    command.arg(format!("--interface={}", listen.ip())).arg(format!("--listen-port={}", listen.port()));
    command.arg("--dir").arg(data);
    command
}

/// Where our programs listen, and what they connect from.
const OURS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 6_881);

/// Cases that run at a time.
const LANES: usize = 4;

/// The argument before the name of the case that runs in its own network.
const CASE: &str = "--case";
