//! Networks of our nodes and libtorrent's, and what others do in them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::dialog::{self, Dialog, address};
use crate::lab::{EmptyFiles, Lab, Outcome, Running, TICK, fresh, generate, run, same};
use crate::transmission;

/// The cases. The first takes longest.
pub(crate) const CASES: [&str; 6] = [
    "transmission finds and announces in a DHT of unchoke and libtorrent",
    "libtorrent tells samples of its DHT, unchoke asks",
    "unchoke tells samples, a plain socket asks",
    "unchoke downloads from libtorrent by magnet, which only the DHT brings together",
    "libtorrent downloads from unchoke by magnet, which only the DHT brings together",
    "mainline finds, announces and stores in a DHT of unchoke and libtorrent",
];

/// Runs a case, in a network that the program has to itself.
pub(crate) fn case(lab: &Lab, name: &str) -> Outcome {
    let folder = fresh(lab.work.join("cases").join(name.replace([' ', ','], "-")))?;
    // What the networks print goes there, too.
    let lab = Lab { target: lab.target.clone(), work: folder.clone() };
    match CASES.iter().position(|case| *case == name) {
        Some(0) => transmission_takes_part(&lab, &folder),
        Some(1) => they_tell_samples(&lab),
        Some(2) => we_tell_samples(&lab, &folder),
        Some(3) => we_download(&lab, &folder),
        Some(4) => they_download(&lab, &folder),
        _ => mainline_takes_part(&lab, &folder),
    }
}

/// A network of which one half is ours.
struct Mixed {
    _ours: Dialog,
    _theirs: Dialog,
}

impl Mixed {
    /// So many nodes of each; those of libtorrent announce ten torrents.
    fn start(lab: &Lab, each: u32) -> Outcome<Self> {
        let ours = dialog::our_network(lab, OURS, each, &[])?;
        let known = [address(OURS, 1), address(OURS, 2)];
        Ok(Self { _ours: ours, _theirs: dialog::network(lab, THEIRS, each, 10, &known)? })
    }
}

fn they_tell_samples(lab: &Lab) -> Outcome {
    let _network = dialog::network(lab, THEIRS, 20, 10, &[])?;
    // The way to the torrent leads to the nodes that know it.
    until(LONG, || {
        let mut sample = lab.ours("dht");
        sample.args(["sample", FIRST_TORRENT, "--listen", ASKING, "--bootstrap", &address(THEIRS, 1)]);
        has_line(&run(&mut sample)?, FIRST_TORRENT)
    })
}

fn we_tell_samples(lab: &Lab, folder: &Path) -> Outcome {
    let node = address(OURS, 1);
    let mut command = lab.ours("dht");
    let mut running = Running::start(command.args(["node", "--listen", &node]), &folder.join("node.log"))?;
    running.printed("listening on")?;
    run(lab.script("dht_socket.py").args(["10.77.0.3", &node]))?;
    running.alive()
}

fn we_download(lab: &Lab, folder: &Path) -> Outcome {
    let _network = Mixed::start(lab, 10)?;
    let (torrent, link) = content(lab, folder)?;
    let mut seed = lab.script("libtorrent_peer.py");
    seed.arg("seed").arg(&torrent).arg(folder.join("data")).arg("10.77.0.3:6881");
    let mut seed = Running::start(seed.arg(format!("--dht={}", address(THEIRS, 2))), &folder.join("seed.log"))?;
    seed.printed("ready")?;
    let mut download = lab.ours("download");
    download.arg(link).arg("--output").arg(folder.join("output")).args(["--listen", "10.77.0.2:6881"]);
    let download = download.args(["--dht", &address(OURS, 3)]);
    Running::start(download, &folder.join("download.log"))?.ended()?;
    same(&folder.join("data/made"), &folder.join("output/made"), EmptyFiles::Demanded)
}

fn they_download(lab: &Lab, folder: &Path) -> Outcome {
    let _network = Mixed::start(lab, 10)?;
    let (torrent, link) = content(lab, folder)?;
    let mut seed = lab.ours("seed");
    seed.arg(&torrent).arg("--data").arg(folder.join("data")).args(["--listen", "10.77.0.2:6881"]);
    let mut seed = Running::start(seed.args(["--dht", &address(OURS, 3)]), &folder.join("seed.log"))?;
    seed.printed("listening on")?;
    let mut download = lab.script("libtorrent_peer.py");
    download.args(["leech", &link]).arg(folder.join("output")).arg("10.77.0.3:6881");
    let download = download.arg(format!("--dht={}", address(THEIRS, 2)));
    Running::start(download, &folder.join("download.log"))?.ended()?;
    seed.alive()?;
    same(&folder.join("data/made"), &folder.join("output/made"), EmptyFiles::Demanded)
}

/// Makes content and its torrent, and returns that and a link that names no peer and no tracker.
fn content(lab: &Lab, folder: &Path) -> Outcome<(std::path::PathBuf, String)> {
    let torrent = folder.join("made.torrent");
    generate(&folder.join("data/made"), 1_000_003, 1)?;
    let printed = run(lab.ours("create").arg(folder.join("data/made")).arg("--output").arg(&torrent))?;
    Ok((torrent, format!("magnet:?xt=urn:btih:{}", printed.lines().next().unwrap_or_default())))
}

/// `mainline` asks only; nobody has to know it.
fn mainline_takes_part(lab: &Lab, folder: &Path) -> Outcome {
    let _network = Mixed::start(lab, 10)?;
    let known = [address(OURS, 2), address(THEIRS, 3)];
    let mut peer = Dialog::node(lab, "mainline-client", "10.77.0.3:6881", &known, &folder.join("mainline.log"))?;
    let ask = |arguments: &[&str]| {
        let mut command = lab.ours("dht");
        command.args(arguments).args(["--listen", ASKING, "--bootstrap", &address(OURS, 4)]);
        run(&mut command)
    };
    until(LONG, || match peer.ask(&format!("peers {FIRST_TORRENT}"))?["peers"].as_u64() {
        Some(1..) => Ok(()),
        _ => Err("mainline finds no peers".into()),
    })?;
    peer.ask(&format!("announce {TORRENT} 4711"))?;
    until(LONG, || has_line(&ask(&["get-peers", TORRENT])?, "10.77.0.3:4711"))?;
    let stored = peer.ask("put theirs")?;
    let target = stored["target"].as_str().ok_or("mainline tells no target")?;
    until(LONG, || has_line(&ask(&["get", target])?, "theirs"))?;
    peer.ask(&format!("put-mutable {SEED} salt signed"))?;
    until(LONG, || has_line(&ask(&["get", "--public-key", PUBLIC, "--salt", "salt"])?, "signed"))?;
    let target = ask(&["put", "ours"])?;
    until(LONG, || is_value(&mut peer, &format!("get {}", target.trim()), "ours"))?;
    let key = folder.join("key");
    std::fs::write(&key, super::dht::bytes(SEED)?)?;
    ask(&["put", "signed again", "--key", &key.display().to_string(), "--salt", "pepper"])?;
    until(LONG, || is_value(&mut peer, &format!("get-mutable {PUBLIC} pepper"), "signed again"))
}

fn is_value(peer: &mut Dialog, command: &str, wanted: &str) -> Outcome {
    let answer = peer.ask(command)?;
    if answer["value"] == wanted { Ok(()) } else { Err(format!("{command:?} gave {answer}").into()) }
}

/// Transmission does not take part where it knows eight nodes or fewer.
fn transmission_takes_part(lab: &Lab, folder: &Path) -> Outcome {
    let _network = Mixed::start(lab, 12)?;
    let known = (1..=12).flat_map(|number| [address(OURS, number), address(THEIRS, number)]).collect::<Vec<_>>();
    let data = fresh(folder.join("data"))?;
    let mut daemon =
        transmission::start_with_dht(TRANSMISSION, folder, &data, &known, &folder.join("transmission.log"))?;
    transmission::add(format!("magnet:?xt=urn:btih:{FIRST_TORRENT}").as_ref(), &data)?;
    until(LONG, || {
        daemon.alive()?;
        let log = daemon.output()?;
        let told = log.lines().any(|line| line.contains("Learned") && line.contains("peers from DHT"));
        if told { Ok(()) } else { Err("transmission has learned of no peers".into()) }
    })?;
    for node in [address(OURS, 5), address(THEIRS, 5)] {
        until(LONG, || {
            let mut ask = lab.ours("dht");
            ask.args(["get-peers", FIRST_TORRENT, "--listen", ASKING, "--bootstrap", &node]);
            has_line(&run(&mut ask)?, &TRANSMISSION.to_string())
        })?;
    }
    daemon.alive()
}

fn has_line(output: &str, line: &str) -> Outcome {
    if output.lines().any(|it| it == line) { Ok(()) } else { Err(format!("no {line:?} in {output:?}").into()) }
}

/// Tries again until it succeeds.
fn until(time: Duration, mut attempt: impl FnMut() -> Outcome) -> Outcome {
    let end = Instant::now() + time;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(TICK * 5),
        }
    }
}

/// How long anything may take; Transmission waits for its own timers.
const LONG: Duration = Duration::from_secs(120);

/// Where the nodes are: one in each network of 256 addresses.
const OURS: &str = "10.77.1{}.1:6881";
const THEIRS: &str = "10.77.2{}.1:6881";

/// Our node for one question.
const ASKING: &str = "10.77.0.4:0";

const TRANSMISSION: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 6), 6_900);

/// What libtorrent's nodes announce first: the SHA-1 of "0".
const FIRST_TORRENT: &str = "b6589fc6ab0dc82cf12099d1c2d40ab994e8410c";
const TORRENT: &str = "00112233445566778899aabbccddeeff00112233";
/// The first test vector of RFC 8032 §7.1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
