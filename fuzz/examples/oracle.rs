//! Writes generated torrents for a differential test, and tells what we read in each: `oracle SEED FIRST COUNT FILE`. With a file alone it tells
//! what we read in the torrents that are in it.
//!
//! The file holds each torrent with its length before it, four bytes with the highest first. A line of JSON for each goes to standard output.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use unchoke_bencode::{DecodeLimits, Value, decode};
use unchoke_core::Seed;
use unchoke_core::hash::sha256;
use unchoke_fuzz::torrents::torrent;
use unchoke_metainfo::{Metainfo, Version, Warning};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let (seed, first, count, file) = match arguments.as_slice() {
        [seed, first, count, file] => (seed, first, count, file),
        [file] => return read(&std::fs::read(file)?),
        _ => return Err("usage: oracle [SEED FIRST COUNT] FILE".into()),
    };
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(seed.parse::<u64>()?.to_le_bytes()).for_each(|(to, from)| *to = from);
    let (seed, first) = (Seed::new(bytes), first.parse::<u32>()?);
    let mut file = BufWriter::new(File::create(file)?);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for number in first..first.saturating_add(count.parse()?) {
        let torrent = torrent(&seed, number);
        file.write_all(&u32::try_from(torrent.len())?.to_be_bytes())?;
        file.write_all(&torrent)?;
        writeln!(out, "{}", describe(&torrent))?;
    }
    file.flush()?;
    Ok(out.flush()?)
}

/// Tells what we read in each torrent of a file.
fn read(mut batch: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some((length, rest)) = batch.split_first_chunk() {
        let (torrent, rest) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length))?).ok_or("a torrent is cut off")?;
        writeln!(out, "{}", describe(torrent))?;
        batch = rest;
    }
    Ok(out.flush()?)
}

/// What we read, as JSON. Names are in hexadecimal.
fn describe(file: &[u8]) -> String {
    let torrent = match Metainfo::from_bytes(file) {
        Ok(torrent) => torrent,
        Err(error) => return format!(r#"{{"error":"{}"}}"#, format!("{:?}", error.kind()).replace('"', "'")),
    };
    let (info, hashes) = (torrent.info(), torrent.info_hashes());
    let mut raw = Vec::new();
    info.for_each_raw_path(|_, path| raw.push(path.iter().map(|name| hex(name)).collect::<Vec<_>>().join("/")));
    let files = info.layout().files().iter().map(|file| {
        let root = info.pieces_root(file.number()).filter(|_| info.version() != Version::V1);
        format!(
            r#"{{"path":"{}","raw":"{}","offset":{},"size":{},"pad":{},"link":{},"target":"{}","root":"{}","layer":"{}"}}"#,
            hex(file.path().as_bytes()),
            raw.get(file.number()).cloned().unwrap_or_default(),
            file.offset(),
            file.length(),
            file.is_padding(),
            file.is_symlink(),
            hex(file.symlink_target().unwrap_or_default().as_bytes()),
            root.map(|root| hex(root.as_bytes())).unwrap_or_default(),
            info.piece_layer(file.number()).map(|layer| hex(sha256(layer).as_bytes())).unwrap_or_default(),
        )
    });
    let list = |items: &[String]| {
        format!("[{}]", items.iter().map(|it| format!(r#""{}""#, hex(it.as_bytes()))).collect::<Vec<_>>().join(","))
    };
    let tiers = torrent.announce_tiers().iter().map(|tier| list(tier)).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"v1":"{}","v2":"{}","piece_length":{},"root_hash":{},"canonical":{},"odd_links":{},"name":"{}","private":{},"comment":"{}","trackers":[{tiers}],"web_seeds":{},"files":[{}]}}"#,
        hashes.get_v1().map(|hash| hex(hash.as_bytes())).unwrap_or_default(),
        hashes.get_v2().map(|hash| hex(hash.as_bytes())).unwrap_or_default(),
        info.geometry().piece_length(),
        info.root_hash().is_some(),
        !torrent.warnings().contains(&Warning::NotCanonical),
        decode(info.raw(), &DecodeLimits::default()).is_ok_and(|document| has_odd_link(document.root())),
        hex(info.name().as_bytes()),
        info.is_private(),
        hex(torrent.comment().unwrap_or_default().as_bytes()),
        list(torrent.web_seeds()),
        files.collect::<Vec<_>>().join(","),
    )
}

/// Whether a link leads along something that is no name.
fn has_odd_link(value: Value<'_, '_>) -> bool {
    let is_odd =
        |name: Value<'_, '_>| name.as_bytes().is_none_or(|it| matches!(it, b"" | b"." | b"..") || it.contains(&b'/'));
    let leads_oddly = |(key, value): (&[u8], Value<'_, '_>)| {
        key == b"symlink path" && value.as_list().is_some_and(|path| path.iter().any(is_odd)) || has_odd_link(value)
    };
    value.as_dict().is_some_and(|dict| dict.iter().any(leads_oddly))
        || value.as_list().is_some_and(|list| list.iter().any(has_odd_link))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
