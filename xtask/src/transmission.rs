//! A Transmission daemon and how it is spoken to.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::lab::{LIMIT, Needed, Outcome, Running, TICK, run};

/// The programs that this module starts.
pub(crate) const PROGRAMS: [Needed; 2] = [
    ("transmission-daemon", &["--version"], "apt-get install --no-install-recommends transmission-daemon"),
    ("transmission-remote", &["--version"], "apt-get install --no-install-recommends transmission-cli"),
];

/// Starts a daemon with a configuration of its own in `folder` and waits until it takes commands.
pub(crate) fn start(listen: SocketAddrV4, folder: &Path, data: &Path, log: &Path) -> Outcome<Running> {
    let mut daemon = Running::start(&mut command(listen, folder, data), log)?;
    answers(&mut daemon)?;
    Ok(daemon)
}

/// The same with its DHT on, which begins with these nodes. It tells in its log what it finds.
pub(crate) fn start_with_dht(
    listen: SocketAddrV4,
    folder: &Path,
    data: &Path,
    nodes: &[String],
    log: &Path,
) -> Outcome<Running> {
    let config = folder.join("config");
    fs::create_dir_all(&config)?;
    let lines = nodes.iter().map(|node| format!("{}\n", node.replace(':', " ")));
    fs::write(config.join("dht.bootstrap"), lines.collect::<String>())?;
    let mut command = command(listen, folder, data);
    let mut daemon = Running::start(command.args(["--dht", "--log-debug"]), log)?;
    answers(&mut daemon)?;
    Ok(daemon)
}

/// Waits until a daemon that has been started takes commands.
pub(crate) fn answers(daemon: &mut Running) -> Outcome {
    let until = Instant::now() + LIMIT;
    while let Err(error) = remote(&["-si".as_ref()]) {
        daemon.alive()?;
        if Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// The command that runs a daemon.
pub(crate) fn command(listen: SocketAddrV4, folder: &Path, data: &Path) -> Command {
    let mut command = Command::new("transmission-daemon");
    command.args(["--foreground", "--no-auth", "--no-dht", "--no-lpd", "--no-portmap", "--no-utp", "-et"]);
    command.arg("--config-dir").arg(folder.join("config")).arg("--download-dir").arg(data);
    command.args(["--bind-address-ipv4", &listen.ip().to_string(), "--peerport", &listen.port().to_string()]);
    command.args(["--rpc-bind-address", "127.0.0.1", "--port", "9091"]);
    command
}

/// Has it work on a torrent or a magnet link with its data in `folder`.
pub(crate) fn add(source: &OsStr, folder: &Path) -> Outcome {
    remote(&["-w".as_ref(), folder.as_os_str(), "-a".as_ref(), source]).map(drop)
}

/// Waits until it has all of its one torrent.
pub(crate) fn is_complete() -> Outcome {
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

/// Ends it; it writes what it holds in memory before that.
pub(crate) fn exit() -> Outcome {
    remote(&["--exit".as_ref()]).map(drop)
}

fn remote(arguments: &[&OsStr]) -> Outcome<String> {
    run(Command::new("transmission-remote").arg("127.0.0.1:9091").args(arguments))
}
