//! The trackers of a lab: ours and Debian's `opentracker`, each over HTTP and UDP.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::{LIMIT, Lab, Outcome, Running, TICK, fresh};

/// Which program tracks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracker {
    /// Our example.
    Ours,
    /// Debian's.
    Opentracker,
}

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Udp,
}

impl Tracker {
    /// Starts it with an empty table and waits until it answers. It knows, or comes to know, the torrent with this hash in hex.
    pub(crate) fn start(self, lab: &Lab, folder: &Path, info_hash: &str) -> Outcome<Running> {
        let log = folder.join("tracker.log");
        let mut command = match self {
            Self::Ours => {
                let mut command = lab.ours("tracker");
                command.args(["--listen", &ADDRESS.to_string()]);
                command
            }
            Self::Opentracker => {
                // Debian builds it so that it serves only what a list names. It takes the list's path from its own folder.
                let folder = fresh(folder.join("opentracker"))?;
                fs::write(folder.join("torrents.txt"), format!("{info_hash}\n"))?;
                let (host, port) = (ADDRESS.ip().to_string(), ADDRESS.port().to_string());
                let mut command = opentracker()?;
                command.args(["-i", &host, "-p", &port, "-P", &port, "-w", "torrents.txt", "-d"]).arg(folder);
                command
            }
        };
        let mut tracker = Running::start(&mut command, &log)?;
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(ADDRESS).is_err() {
            tracker.alive()?;
            if Instant::now() > until {
                return Err(format!("{self} does not listen on {ADDRESS}").into());
            }
            std::thread::sleep(TICK);
        }
        Ok(tracker)
    }
}

/// As root it gives its rights away and moves into its folder, and it refuses to run if it cannot. In a user namespace with one user
/// it cannot, so it goes into one more, where it is nobody to begin with.
fn opentracker() -> Outcome<Command> {
    let is_alone = fs::read_to_string("/proc/self/uid_map")?.split_whitespace().nth(2) == Some("1");
    if is_alone {
        let mut command = Command::new("unshare");
        command.args(["--user", "opentracker"]);
        return Ok(command);
    }
    let mut command = Command::new("opentracker");
    command.args(["-u", "nobody"]);
    Ok(command)
}

/// Where a running tracker is announced to.
pub(crate) fn announce_url(protocol: Protocol) -> String {
    match protocol {
        Protocol::Http => format!("http://{ADDRESS}/announce"),
        Protocol::Udp => format!("udp://{ADDRESS}/announce"),
    }
}

/// Waits until the running tracker has heard of a seed, so that whoever asks from now on is told of it.
pub(crate) fn knows_a_seed(info_hash: &str) -> Outcome {
    let until = Instant::now() + LIMIT;
    while !has_seed(&scrape(info_hash)?) {
        if Instant::now() > until {
            return Err("the seed has not announced itself in time".into());
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Announces a seed at the tracker's own address.
pub(crate) fn announce_seed(info_hash: &str, port: u16) -> Outcome {
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let query = format!(
        "info_hash={}&peer_id=-RW0000-of-many-byte&port={port}&uploaded=0&downloaded=0&left=0&compact=1&event=started",
        escaped(info_hash)
    );
    write!(stream, "GET /announce?{query} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("the tracker refuses the seed".into()) }
}

/// What the running tracker answers to a scrape ([BEP 48]), headers and all.
///
/// [BEP 48]: https://www.bittorrent.org/beps/bep_0048.html
fn scrape(info_hash: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let query = escaped(info_hash);
    write!(stream, "GET /scrape?info_hash={query} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Bytes in hex as a URL has them.
fn escaped(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).flat_map(|pair| std::iter::once('%').chain(pair.iter().copied())).collect()
}

/// Whether a scrape tells of peers that have everything.
fn has_seed(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.split_once("8:completei").is_some_and(|(_, count)| !count.starts_with('0'))
}

impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "our tracker",
            Self::Opentracker => "opentracker",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Udp => "UDP",
        })
    }
}

/// Where a tracker listens.
const ADDRESS: SocketAddrV4 = SocketAddrV4::new(HOST, 6_969);

/// The host that it runs on.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_seen_in_a_scrape() {
        assert!(has_seed(b"HTTP/1.1 200 OK\r\n\r\nd5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:incompletei0eeee"));
        assert!(!has_seed(b"HTTP/1.1 200 OK\r\n\r\nd5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:incompletei2eeee"));
        assert!(!has_seed(b"HTTP/1.1 200 OK\r\n\r\nd5:filesdee"));
    }

    #[test]
    fn a_hash_is_escaped_byte_by_byte() {
        assert_eq!(escaped("00ff7a"), "%00%ff%7a");
    }
}
