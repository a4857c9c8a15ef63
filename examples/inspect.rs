//! Tells what is in a torrent file or a magnet link.
//!
//! Without arguments it inspects a torrent of made-up content.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use unchoke_core::InfoHashes;
use unchoke_examples::{Failure, Percent, Source, generate, load, run, say, unexpected};
use unchoke_metainfo::{FileEntry, MagnetLink, Metainfo, MutableLink, Version};
use unchoke_storage::check;
use unchoke_tracker::TrackerUrl;

const USAGE: &str = "inspect <FILE.torrent | magnet:…> [--data DIR] [--json]";

fn main() -> ExitCode {
    run(USAGE, start())
}

fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut source, mut data, mut json) = (None::<OsString>, None::<PathBuf>, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => json = true,
            Long("data") => data = Some(parser.value()?.into()),
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
    let mut told = match &found {
        Source::Torrent(metainfo) => of_torrent(metainfo),
        Source::Magnet(link) => of_magnet(link),
        Source::Mutable(link) => of_mutable(link),
    };
    let mut right = true;
    if let Some(folder) = data {
        let Source::Torrent(metainfo) = &found else {
            return Err(Failure::Usage("only a torrent file tells what data must be".into()));
        };
        let bad = wrong_pieces(metainfo, &folder)?;
        right = bad.is_empty();
        told["wrong_pieces"] = bad.into();
    }
    if json {
        say(&told)?;
    }
    for (name, value) in told.as_object().into_iter().flatten().filter(|_| !json) {
        match value {
            serde_json::Value::Array(items) => {
                say(format_args!("{name}: {}", items.len()))?;
                items.iter().try_for_each(|item| say(format_args!("    {item}")))?;
            }
            serde_json::Value::String(text) => say(format_args!("{name}: {text}"))?,
            other => say(format_args!("{name}: {other}"))?,
        }
    }
    if right { Ok(()) } else { Err(Failure::Failed("the data is not that of the torrent".into())) }
}

/// Hashes the files below a folder, and tells which pieces are missing or wrong.
fn wrong_pieces(metainfo: &Metainfo, folder: &Path) -> Result<Vec<u32>, Failure> {
    let info = metainfo.info();
    let mut percent = Percent::new();
    let right = check(info, folder, |done, total| {
        percent.show(done, total);
        ControlFlow::Continue(())
    });
    let right = right.map_err(|error| Failure::failed(&error))?;
    Ok(info.geometry().pieces().filter(|piece| !right.contains(*piece)).map(|piece| piece.0).collect())
}

fn of_hashes(hashes: InfoHashes) -> serde_json::Value {
    serde_json::json!({
        "v1": hashes.get_v1().map(|hash| hash.to_string()),
        "v2": hashes.get_v2().map(|hash| hash.to_string()),
        "wire": hashes.wire().to_string(),
    })
}

fn of_file(metainfo: &Metainfo, file: FileEntry<'_>) -> serde_json::Value {
    let mut told = serde_json::json!({ "path": file.path(), "length": file.length() });
    let attributes = [
        ("padding", file.is_padding()),
        ("executable", file.is_executable()),
        ("hidden", file.is_hidden()),
        ("symlink", file.is_symlink()),
        ("renamed", file.is_renamed()),
    ];
    let names: Vec<&str> = attributes.iter().filter_map(|(name, is)| is.then_some(*name)).collect();
    if !names.is_empty() {
        told["attributes"] = names.into();
    }
    if let Some(target) = file.symlink_target() {
        told["target"] = target.into();
    }
    if let Some(root) = metainfo.info().pieces_root(file.number()) {
        told["pieces_root"] = root.to_string().into();
    }
    told
}

/// Trackers that cannot be asked.
fn useless<'a>(trackers: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = String> {
    trackers.into_iter().filter_map(|url| Some(format!("tracker {url:?}: {}", TrackerUrl::parse(url).err()?)))
}

fn of_torrent(metainfo: &Metainfo) -> serde_json::Value {
    let info = Arc::clone(metainfo.info());
    let files: Vec<_> = info.layout().files().iter().map(|file| of_file(metainfo, file)).collect();
    let warnings = metainfo.warnings().iter().map(ToString::to_string);
    let warnings: Vec<String> = warnings.chain(useless(metainfo.announce_tiers().iter().flatten())).collect();
    let nodes: Vec<String> = metainfo.nodes().iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
    let signers: Vec<String> =
        metainfo.signatures().iter().map(|it| String::from_utf8_lossy(&it.signer).into_owned()).collect();
    let version = match info.version() {
        Version::V1 => "v1",
        Version::V2 => "v2",
        Version::Hybrid => "hybrid",
    };
    serde_json::json!({
        "info_hash": metainfo.info_hashes().to_string(),
        "info_hashes": of_hashes(metainfo.info_hashes()),
        "version": version,
        "name": info.name(),
        "raw_name": String::from_utf8_lossy(info.raw_name()),
        "length": info.geometry().total_len(),
        "piece_length": info.geometry().piece_length(),
        "pieces": info.geometry().piece_count(),
        "private": info.is_private(),
        "files": files,
        "trackers": metainfo.announce_tiers(),
        "web_seeds": metainfo.web_seeds(),
        "http_seeds": metainfo.http_seeds(),
        "nodes": nodes,
        "comment": metainfo.comment(),
        "created_by": metainfo.created_by(),
        "creation_date": metainfo.creation_date(),
        "similar": metainfo.similar().map(|hash| hash.to_string()).collect::<Vec<_>>(),
        "collections": metainfo.collections().collect::<Vec<_>>(),
        "update_url": info.update_url(),
        "originator_bytes": info.originator().map(|certificate| certificate.len()),
        "signers": signers,
        "magnet": MagnetLink::from_metainfo(metainfo).to_string(),
        "warnings": warnings,
    })
}

fn of_mutable(link: &MutableLink) -> serde_json::Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    serde_json::json!({
        "public_key": hex(link.public_key()),
        "salt": hex(link.salt()),
        "name": link.name(),
        "magnet": link.to_string(),
    })
}

fn of_magnet(link: &MagnetLink) -> serde_json::Value {
    let selected: Vec<String> =
        link.selected().iter().map(|files| format!("{}-{}", files.start(), files.end())).collect();
    let warnings: Vec<String> = useless(link.trackers()).collect();
    serde_json::json!({
        "info_hash": link.info_hashes().to_string(),
        "info_hashes": of_hashes(link.info_hashes()),
        "name": link.name(),
        "trackers": link.trackers(),
        "web_seeds": link.web_seeds(),
        "peers": link.peer_addresses(),
        "selected": selected,
        "magnet": link.to_string(),
        "warnings": warnings,
    })
}
