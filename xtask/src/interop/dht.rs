//! Our nodes in a network of libtorrent's.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::lab::{LIMIT, Lab, Outcome, Running, TICK, fresh, generate, run};

/// The cases.
pub(crate) const CASES: [&str; 4] = [
    "libtorrent tells its DHT, unchoke finds",
    "unchoke tells the DHT of libtorrent, libtorrent finds",
    "unchoke publishes torrents in the DHT of libtorrent, both follow",
    "libtorrent and unchoke hear of one another's DHT nodes as peers",
];

/// Runs a case, in a network that the program has to itself.
pub(crate) fn case(lab: &Lab, name: &str) -> Outcome {
    let folder = fresh(lab.work.join("cases").join(name.replace([' ', ',', '\''], "-")))?;
    if name == CASES[2] {
        return both_follow(lab, &folder);
    }
    if name == CASES[3] {
        return peers_tell(lab, &folder);
    }
    // One node of ours takes part all the time, so that some of what is told lies there.
    let mut node = lab.ours("dht");
    node.args(["node", "--listen", &OURS.to_string(), "--bootstrap", &THEIRS.to_string()]);
    let mut node = Running::start(&mut node, &folder.join("node.log"))?;
    node.printed("listening on")?;
    let result = if name == CASES[0] { we_find(lab, &folder) } else { they_find(lab, &folder) };
    node.alive()?;
    result
}

fn we_find(lab: &Lab, folder: &Path) -> Outcome {
    let mut network = Running::start(&mut theirs(lab, "tell"), &folder.join("network.log"))?;
    network.printed("ready")?;
    let peer = format!("127.11.21.1:{PORT}");
    finds(&mut ask(lab, &["get-peers", TORRENT]), &peer)?;
    finds(&mut ask(lab, &["get", TARGET]), VALUE)?;
    finds(&mut ask(lab, &["get", "--public-key", PUBLIC, "--salt", SALT]), VALUE)?;
    let mut blocking = lab.ours("dht_blocking");
    blocking.args([TORRENT, "--listen", "127.9.7.1:0", "--bootstrap", &THEIRS.to_string()]);
    finds(&mut blocking, &peer)?;
    network.alive()
}

fn they_find(lab: &Lab, folder: &Path) -> Outcome {
    let mut network = Running::start(&mut theirs(lab, "find"), &folder.join("network.log"))?;
    network.printed("ready")?;
    let key = folder.join("key");
    fs::write(&key, bytes(SEED)?)?;
    let key = key.display().to_string();
    run(&mut ask(lab, &["announce", TORRENT, "--port", &PORT.to_string()]))?;
    let target = run(&mut ask(lab, &["put", VALUE]))?;
    if target.trim() != TARGET {
        return Err(format!("the item is at {target} instead of {TARGET}").into());
    }
    run(&mut ask(lab, &["put", VALUE, "--key", &key, "--salt", SALT]))?;
    network.ended()
}

/// What we publish lies at nodes of libtorrent alone.
fn both_follow(lab: &Lab, folder: &Path) -> Outcome {
    let mut network = Running::start(&mut network(lab, "follow", TORRENT), &folder.join("network.log"))?;
    network.printed("ready")?;
    let key = folder.join("key");
    fs::write(&key, bytes(SEED)?)?;
    let key = key.display().to_string();
    let publish = |torrent| run(&mut ask(lab, &["publish", torrent, "--key", &key, "--salt", SALT]));
    let link = publish(TORRENT)?;
    if link.trim() != LINK {
        return Err(format!("the link is {link} instead of {LINK}").into());
    }
    network.printed(&format!("version 1: {TORRENT}"))?;
    let mut follow = Running::start(&mut ask(lab, &["follow", LINK]), &folder.join("follow.log"))?;
    follow.printed(TORRENT)?;
    publish(NEXT)?;
    network.printed(&format!("version 2: {NEXT}"))?;
    let mut follow = Running::start(&mut ask(lab, &["follow", LINK]), &folder.join("follow-next.log"))?;
    follow.printed(NEXT)?;
    network.alive()
}

/// Our seed knows nobody but a root that is not there, until a peer tells of its node; then it publishes.
fn peers_tell(lab: &Lab, folder: &Path) -> Outcome {
    let (data, torrent, key) = (folder.join("data"), folder.join("made.torrent"), folder.join("key"));
    generate(&data.join("made"), 100_000, 1)?;
    fs::write(&key, bytes(SEED)?)?;
    run(lab.ours("create").arg(data.join("made")).arg("--output").arg(&torrent))?;
    let mut seed = lab.ours("seed");
    seed.arg(&torrent).arg("--data").arg(&data).args(["--json", "--listen", &OURS.to_string(), "--dht", NOBODY]);
    seed.arg("--publish").arg(&key).args(["--salt", SALT]);
    let mut seed = Running::start(&mut seed, &folder.join("seed.log"))?;
    seed.printed("listen")?;
    let told = seed.output()?;
    let told: serde_json::Value = serde_json::from_str(told.lines().next().unwrap_or_default())?;
    let info_hash = told["info_hash"].as_str().ok_or("the seed tells no info-hash")?;
    let mut command = network(lab, "port", info_hash);
    let mut network = Running::start(command.arg(OURS.to_string()), &folder.join("network.log"))?;
    network.printed("told by its peer")?;
    seed.printed(LINK)?;
    network.printed(&format!("version 1: {info_hash}"))?;
    seed.alive()
}

/// A network of libtorrent's nodes that knows our node.
fn theirs(lab: &Lab, mode: &str) -> Command {
    let mut command = network(lab, mode, TORRENT);
    command.arg(OURS.to_string());
    command
}

/// A network of libtorrent's nodes.
fn network(lab: &Lab, mode: &str, torrent: &str) -> Command {
    let mut command = lab.script("libtorrent_dht.py");
    command.args([mode, "20", torrent, &PORT.to_string(), VALUE, SEED, PUBLIC, SALT]);
    command
}

/// Our program with a node of its own for one question, which knows one of their nodes.
fn ask(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = lab.ours("dht");
    command.args(arguments).args(["--listen", "127.9.8.1:0", "--bootstrap", &THEIRS.to_string()]);
    command
}

/// Demands that a program prints a line, be it not at the first attempt: the network may still be spreading it.
fn finds(command: &mut Command, line: &str) -> Outcome {
    let until = Instant::now() + LIMIT;
    loop {
        let found = run(command);
        if found.as_ref().is_ok_and(|output| output.lines().any(|it| it == line)) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("{line:?} was not found; the last answer was {found:?}").into());
        }
        std::thread::sleep(TICK);
    }
}

/// The bytes that hex digits stand for.
pub(crate) fn bytes(hex: &str) -> Outcome<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

/// Our node that takes part all the time.
const OURS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 9, 9, 1), 6881);

/// The first of theirs.
const THEIRS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 10, 20, 1), 6881);

const TORRENT: &str = "00112233445566778899aabbccddeeff00112233";
const NEXT: &str = "44556677445566774455667744556677445566aa";
/// An address at which there is nothing.
const NOBODY: &str = "127.9.7.7:1";
const PORT: u16 = 4711;
const VALUE: &str = "Hello World!";
/// The SHA-1 of the value as BEP 44 gives it.
const TARGET: &str = "e5f96f6f38320f0f33959cb4d3d656452117aadb";
const SALT: &str = "foobar";
/// The first test vector of RFC 8032 §7.1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// The link of the key and the salt (BEP 46).
const LINK: &str =
    "magnet:?xs=urn:btpk:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a&s=666f6f626172";
