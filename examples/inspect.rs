//! Tells what is in a torrent file or a magnet link.
//!
//! Without arguments it inspects a torrent of made-up content.

use std::ffi::OsString;
use std::process::ExitCode;
use unchoke_examples::{Failure, Source, generate, load, run, say, unexpected};
use unchoke_metainfo::{MagnetLink, Metainfo};
use unchoke_tracker::TrackerUrl;

const USAGE: &str = "inspect <FILE.torrent | magnet:…> [--json]";

fn main() -> ExitCode {
    run(USAGE, start())
}

fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut source, mut json) = (None::<OsString>, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => json = true,
            Value(value) if source.is_none() => source = Some(value),
            other => return Err(unexpected(other)),
        }
    }
    let found = match source {
        Some(source) => load(&source)?,
        None => {
            let folder = tempfile::tempdir().map_err(|error| Failure::failed(&error))?;
            let content = generate(folder.path(), "sample", &[1 << 20, 300_000], |builder| builder);
            Source::Torrent(Box::new(content.map_err(|error| Failure::failed(&error))?.metainfo))
        }
    };
    let told = match &found {
        Source::Torrent(metainfo) => of_torrent(metainfo),
        Source::Magnet(link) => of_magnet(link),
    };
    if json {
        return say(told);
    }
    for (name, value) in told.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Array(items) => {
                say(format_args!("{name}: {}", items.len()))?;
                items.iter().try_for_each(|item| say(format_args!("    {item}")))?;
            }
            serde_json::Value::String(text) => say(format_args!("{name}: {text}"))?,
            other => say(format_args!("{name}: {other}"))?,
        }
    }
    Ok(())
}

/// Trackers that cannot be asked.
fn useless<'a>(trackers: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = String> {
    trackers.into_iter().filter_map(|url| Some(format!("tracker {url:?}: {}", TrackerUrl::parse(url).err()?)))
}

fn of_torrent(metainfo: &Metainfo) -> serde_json::Value {
    let info = metainfo.info();
    let files: Vec<_> = info
        .layout()
        .files()
        .iter()
        .map(|file| serde_json::json!({ "path": file.path().join("/"), "length": file.length() }))
        .collect();
    let warnings = metainfo.warnings().iter().map(ToString::to_string);
    let warnings: Vec<String> = warnings.chain(useless(metainfo.announce_tiers().iter().flatten())).collect();
    serde_json::json!({
        "info_hash": metainfo.info_hashes().to_string(),
        "name": info.name(),
        "length": info.geometry().total_len(),
        "piece_length": info.geometry().piece_length(),
        "pieces": info.geometry().piece_count(),
        "private": info.is_private(),
        "files": files,
        "trackers": metainfo.announce_tiers(),
        "web_seeds": metainfo.web_seeds(),
        "warnings": warnings,
    })
}

fn of_magnet(link: &MagnetLink) -> serde_json::Value {
    let warnings: Vec<String> = useless(link.trackers()).collect();
    serde_json::json!({
        "info_hash": link.info_hashes().to_string(),
        "name": link.name(),
        "trackers": link.trackers(),
        "web_seeds": link.web_seeds(),
        "peers": link.peer_addresses(),
        "warnings": warnings,
    })
}
