//! `cargo xtask interop`: our programs against libtorrent, Transmission and aria2, both ways.
//!
//! Each peer has an address of its own, because Transmission closes connections from the address that it listens on.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::lab::{EmptyFiles, LIMIT, Lab, Needed, Outcome, Running, TICK, fresh, generate, run, same};
use crate::tracker;

const NEEDED: [Needed; 3] = [
    ("transmission-daemon", &["--version"], "apt-get install --no-install-recommends transmission-daemon"),
    ("transmission-remote", &["--version"], "apt-get install --no-install-recommends transmission-cli"),
    ("aria2c", &["--version"], "apt-get install --no-install-recommends aria2"),
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
    Torrent,
    Magnet,
}

/// What is downloaded.
struct Content {
    name: &'static str,
    /// The folder that the content is in.
    folder: PathBuf,
    /// Without a tracker.
    torrent: PathBuf,
    /// With the tracker that knows our seed.
    tracked: PathBuf,
    info_hash: String,
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
    if let Some(code) = lab.enter(arguments, &NEEDED)? {
        return Ok(code);
    }
    let only = arguments.iter().skip_while(|it| *it != "--only").nth(1).map_or("", String::as_str);
    fresh(lab.work.clone())?;
    let contents = [single(&lab)?, tree(&lab)?];
    tracker::start(TRACKER)?;
    let mut out = std::io::stdout().lock();
    let (mut ran, mut failed) = (0, 0);
    for peer in [Peer::Libtorrent, Peer::Transmission, Peer::Aria2] {
        for seed in [Seed::Theirs, Seed::Ours] {
            for given in [Given::Torrent, Given::Magnet] {
                for content in &contents {
                    let case = Case { peer, seed, given, content };
                    let name = case.to_string();
                    if !name.contains(only) {
                        continue;
                    }
                    let begin = Instant::now();
                    let result = case.run(&lab);
                    let seconds = begin.elapsed().as_secs_f64();
                    ran += 1;
                    match result {
                        Ok(()) => writeln!(out, "{name:<60} ok     {seconds:5.1} s")?,
                        Err(error) => {
                            failed += 1;
                            writeln!(out, "{name:<60} FAILED {seconds:5.1} s\n  {error}")?;
                        }
                    }
                }
            }
        }
    }
    writeln!(out, "{ran} cases, {failed} failed; trackers of others are not among them")?;
    Ok(if failed == 0 && ran > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One file, with a last piece of odd length.
fn single(lab: &Lab) -> Outcome<Content> {
    let folder = lab.work.join("content/single");
    generate(&folder.join("single.bin"), (64 << 20) + 12_345, 1)?;
    content(lab, "single.bin", folder)
}

/// Folders in folders, an empty file, and a name that is not ASCII.
fn tree(lab: &Lab) -> Outcome<Content> {
    let folder = lab.work.join("content/tree");
    let root = folder.join("tree");
    generate(&root.join("first file.bin"), 5 << 20, 2)?;
    generate(&root.join("inner/deeper/second.bin"), (3 << 20) + 17, 3)?;
    generate(&root.join("inner/empty.txt"), 0, 4)?;
    generate(&root.join("inner/größe.bin"), 1, 5)?;
    content(lab, "tree", folder)
}

fn content(lab: &Lab, name: &'static str, folder: PathBuf) -> Outcome<Content> {
    let torrents = lab.work.join("torrents");
    fs::create_dir_all(&torrents)?;
    let (torrent, tracked) =
        (torrents.join(format!("{name}.torrent")), torrents.join(format!("{name}.tracked.torrent")));
    let info_hash = run(lab.ours("create").arg(folder.join(name)).arg("--output").arg(&torrent))?;
    run(lab.ours("create").arg(folder.join(name)).arg("--output").arg(&tracked).args(["--tracker", &announce_url()]))?;
    Ok(Content { name, folder, torrent, tracked, info_hash: info_hash.trim().to_owned() })
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
            Given::Torrent => "torrent",
            Given::Magnet => "magnet",
        };
        match self.seed {
            Seed::Theirs => write!(f, "{peer} seeds, unchoke downloads {} by {given}", self.content.name),
            Seed::Ours => write!(f, "unchoke seeds, {peer} downloads {} by {given}", self.content.name),
        }
    }
}

impl Case<'_> {
    fn run(&self, lab: &Lab) -> Outcome {
        let folder = fresh(lab.work.join("cases").join(self.to_string().replace([' ', ','], "-")))?;
        let output = folder.join("output");
        fs::create_dir(&output)?;
        match self.seed {
            Seed::Theirs => {
                let _seed = self.their_seed(lab, &folder)?;
                self.our_download(lab, &folder, &output)?;
            }
            Seed::Ours => {
                let mut command = lab.ours("seed");
                command.arg(&self.content.torrent).arg("--data").arg(&self.content.folder);
                command.args(["--listen", &OURS.to_string()]);
                let mut seed = Running::start(&mut command, &folder.join("seed.log"))?;
                seed.printed("listening on")?;
                self.their_download(lab, &folder, &output)?;
            }
        }
        // Transmission 3.00 makes no file that nothing is written to.
        let empty = match (self.seed, self.peer) {
            (Seed::Ours, Peer::Transmission) => EmptyFiles::MayLack,
            _ => EmptyFiles::Demanded,
        };
        same(&self.content.folder.join(self.content.name), &output.join(self.content.name), empty)?;
        fs::remove_dir_all(output)?;
        Ok(())
    }

    /// Starts a peer with the content and waits until it listens.
    fn their_seed(&self, lab: &Lab, folder: &Path) -> Outcome<Running> {
        let (log, data) = (folder.join("seed.log"), &self.content.folder);
        let listen = self.peer.address();
        let mut seed = match self.peer {
            Peer::Libtorrent => {
                let mut command = lab.script("libtorrent_peer.py");
                command.arg("seed").arg(&self.content.torrent).arg(data).arg(listen.to_string());
                let mut seed = Running::start(&mut command, &log)?;
                seed.printed("ready")?;
                seed
            }
            Peer::Transmission => {
                let seed = transmission(folder, data, &log)?;
                remote(&["-w".as_ref(), data.as_os_str(), "-a".as_ref(), self.content.torrent.as_os_str()])?;
                transmission_is_complete()?;
                seed
            }
            Peer::Aria2 => {
                let mut command = aria2(data);
                command.args(["--check-integrity=true", "--seed-ratio=0.0", "--seed-time=10"]);
                let mut seed = Running::start(command.arg(&self.content.torrent), &log)?;
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

    /// Downloads with nothing but the address of the peer.
    fn our_download(&self, lab: &Lab, folder: &Path, output: &Path) -> Outcome {
        let peer = self.peer.address();
        let mut command = lab.ours("download");
        match self.given {
            Given::Torrent => command.arg(&self.content.torrent).args(["--peer", &peer.to_string()]),
            Given::Magnet => command.arg(format!("{}&x.pe={peer}", self.link())),
        };
        command.arg("--output").arg(output).arg("--json");
        command.args(["--listen", &SocketAddrV4::new(*OURS.ip(), 0).to_string()]);
        Running::start(&mut command, &folder.join("download.log"))?.ended()
    }

    /// Has the peer download from our seed: libtorrent by its address, the others by a tracker that names it.
    fn their_download(&self, lab: &Lab, folder: &Path, output: &Path) -> Outcome {
        let log = folder.join("download.log");
        let source = match (self.given, self.peer) {
            (Given::Torrent, Peer::Libtorrent) => self.content.torrent.clone().into_os_string(),
            (Given::Torrent, _) => self.content.tracked.clone().into_os_string(),
            (Given::Magnet, Peer::Libtorrent) => format!("{}&x.pe={OURS}", self.link()).into(),
            (Given::Magnet, _) => format!("{}&tr={}", self.link(), announce_url()).into(),
        };
        match self.peer {
            Peer::Libtorrent => {
                let mut command = lab.script("libtorrent_peer.py");
                command.arg("leech").arg(source).arg(output).arg(self.peer.address().to_string());
                if self.given == Given::Torrent {
                    command.arg(OURS.to_string());
                }
                Running::start(&mut command, &log)?.ended()
            }
            Peer::Transmission => {
                let mut daemon = transmission(folder, output, &log)?;
                remote(&["-w".as_ref(), output.as_os_str(), "-a".as_ref(), &source])?;
                transmission_is_complete()?;
                // It writes what it holds in memory before it ends.
                remote(&["--exit".as_ref()])?;
                daemon.ended()
            }
            Peer::Aria2 => {
                let mut command = aria2(output);
                Running::start(command.arg("--seed-time=0").arg(source), &log)?.ended()
            }
        }
    }

    fn link(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.content.info_hash)
    }
}

/// Starts a Transmission daemon with a configuration of its own and waits until it takes commands.
fn transmission(folder: &Path, data: &Path, log: &Path) -> Outcome<Running> {
    let listen = Peer::Transmission.address();
    let mut command = Command::new("transmission-daemon");
    command.args(["--foreground", "--no-auth", "--no-dht", "--no-lpd", "--no-portmap", "--no-utp", "-et"]);
    command.arg("--config-dir").arg(folder.join("config")).arg("--download-dir").arg(data);
    command.args(["--bind-address-ipv4", &listen.ip().to_string(), "--peerport", &listen.port().to_string()]);
    command.args(["--rpc-bind-address", "127.0.0.1", "--port", "9091"]);
    let mut daemon = Running::start(&mut command, log)?;
    let until = Instant::now() + LIMIT;
    while let Err(error) = remote(&["-si".as_ref()]) {
        daemon.alive()?;
        if Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(TICK);
    }
    Ok(daemon)
}

fn transmission_is_complete() -> Outcome {
    let until = Instant::now() + LIMIT;
    loop {
        let status = remote(&["-t".as_ref(), "1".as_ref(), "-i".as_ref()])?;
        if status.contains("Percent Done: 100%") {
            return Ok(());
        }
        if Instant::now() > until {
            let told = status.lines().map(str::trim).filter(|it| it.contains("State:") || it.contains("Percent"));
            let told = told.collect::<Vec<_>>().join(", ");
            return Err(format!("transmission is not complete in time: {told}").into());
        }
        std::thread::sleep(TICK * 5);
    }
}

fn remote(arguments: &[&std::ffi::OsStr]) -> Outcome<String> {
    run(Command::new("transmission-remote").arg("127.0.0.1:9091").args(arguments))
}

fn aria2(folder: &Path) -> Command {
    let listen = Peer::Aria2.address();
    let mut command = Command::new("aria2c");
    command.args(["--no-conf=true", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--disable-ipv6=true", "--allow-overwrite=true"]);
    command.args(["--summary-interval=0", "--enable-color=false", "--console-log-level=notice"]);
    command.arg(format!("--interface={}", listen.ip())).arg(format!("--listen-port={}", listen.port()));
    command.arg("--dir").arg(folder);
    command
}

fn announce_url() -> String {
    format!("http://{TRACKER}/{OURS}/announce")
}

/// Where our programs listen, and what they connect from.
const OURS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 6_881);

/// Where the tracker listens.
const TRACKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 6_969);
