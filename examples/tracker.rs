//! A tracker for every torrent that is announced, over HTTP and, at the same port, over UDP. Its first two lines tell the URLs.
//!
//! Without arguments it brings together a seed that announces over UDP and a downloader that asks over HTTP.

use std::net::SocketAddr;
use std::process::ExitCode;
use unchoke_core::Seed;
use unchoke_examples::{Failure, address, generate, run, say, unexpected};
use unchoke_storage::FileStorage;
use unchoke_tokio::{AddTorrent, Client, HttpTrackerServer, UdpTrackerServer};

const USAGE: &str = "tracker [--listen ADDR]";

#[tokio::main]
async fn main() -> ExitCode {
    run(USAGE, start().await)
}

async fn start() -> Result<(), Failure> {
    use lexopt::Arg::Long;
    let mut listen = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = Some(address(&parser.value()?)?),
            other => return Err(unexpected(other)),
        }
    }
    let seed = Seed::new(rand::random());
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let http = HttpTrackerServer::bind(listen.unwrap_or(local), seed.derive("table")).await.map_err(failed)?;
    // Made-up content is asked for at any port; a tool is asked for at the one that it was told.
    let at = if listen.is_some() { http.local_addr() } else { local };
    let udp = UdpTrackerServer::beside(&http, at, &seed.derive("connections")).await.map_err(failed)?;
    say(format_args!("{}\n{}", http.url(), udp.url()))?;
    if listen.is_none() {
        return introduce(http.url(), udp.url()).await;
    }
    // Without an answer to Ctrl-C there would be no way to stop, so its failure ends the program, too.
    let _ = tokio::signal::ctrl_c().await;
    Ok(())
}

/// Lets a downloader that knows one URL find a seed that knows the other.
async fn introduce(http: String, udp: String) -> Result<(), Failure> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let (from, to) = (tempfile::tempdir().map_err(failed)?, tempfile::tempdir().map_err(failed)?);
    let content = generate(from.path(), "sample", &[1 << 20, 300_000], |builder| builder).map_err(failed)?;
    let seed = Client::builder().listen(local).build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, FileStorage::read_only(from.path()));
    seed.add(add.trackers([udp])).await.map_err(failed)?;
    let downloader = Client::builder().listen(local).build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, FileStorage::new(to.path()));
    let torrent = downloader.add(add.trackers([http])).await.map_err(failed)?;
    torrent.completed().await.map_err(failed)?;
    say(format_args!("a downloader found the seed and has all {} bytes", content.total))?;
    downloader.shutdown().await.map_err(failed)?;
    seed.shutdown().await.map_err(failed)
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}
