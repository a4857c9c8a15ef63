//! What programs are called with.

use crate::failure::Failure;
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use unchoke_metainfo::{MagnetErrorKind, MagnetLink, Metainfo, MutableLink};
use unchoke_tracker::TrackerUrl;

/// What magnet links begin with, in letters of either case.
const SCHEME: &str = "magnet:";

/// What to download.
#[derive(Debug)]
pub enum Source {
    /// A torrent file.
    Torrent(Box<Metainfo>),
    /// A magnet link.
    Magnet(Box<MagnetLink>),
    /// A link to whatever torrent a key publishes (BEP 46).
    Mutable(Box<MutableLink>),
}

/// Reads a torrent file or a magnet link.
///
/// # Errors
/// If it is neither; the text has the kind of the error and its byte offset.
pub fn load(argument: &OsStr) -> Result<Source, Failure> {
    if let Some(text) = argument.to_str()
        && text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    {
        return match text.parse::<MagnetLink>() {
            Ok(link) => Ok(Source::Magnet(Box::new(link))),
            Err(error) if *error.kind() == MagnetErrorKind::Mutable => {
                let link = text.parse().map_err(|error| Failure::usage(&error))?;
                Ok(Source::Mutable(Box::new(link)))
            }
            Err(error) => Err(Failure::usage(&error)),
        };
    }
    // The error's own text names the kind and the byte offset.
    let not_a_torrent = |error: unchoke_metainfo::MetainfoError| {
        Failure::Usage(format!("{} is not a torrent: {}", Path::new(argument).display(), Failure::usage(&error)))
    };
    let metainfo = Metainfo::from_bytes(&bytes(argument)?).map_err(not_a_torrent)?;
    Ok(Source::Torrent(Box::new(metainfo)))
}

/// Resolves `HOST:PORT` to all its addresses, of which there is at least one.
///
/// # Errors
/// If it is no such thing or the host is unknown.
pub fn addresses(argument: &OsStr) -> Result<Vec<SocketAddr>, Failure> {
    let text = argument.to_string_lossy();
    let found = text.to_socket_addrs().map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(Failure::Usage(format!("{text} has no address"))) } else { Ok(found) }
}

/// Resolves `HOST:PORT` to its first address.
///
/// # Errors
/// As [`addresses`].
pub fn address(argument: &OsStr) -> Result<SocketAddr, Failure> {
    let found = addresses(argument)?.into_iter().next();
    found.ok_or_else(|| Failure::Usage(format!("{} has no address", argument.display())))
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read.
pub fn bytes(argument: &OsStr) -> Result<Vec<u8>, Failure> {
    let path = Path::new(argument);
    std::fs::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// Parses a number that is not 0: a limit, a length.
///
/// # Errors
/// If it is none.
pub fn positive(argument: &OsStr) -> Result<u64, Failure> {
    let text = argument.to_string_lossy();
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Failure::Usage(format!("{text:?} is not a number above 0")))
}

/// Takes `HOST:PORT` as it is, for a node that looks the name up again and again if need be.
///
/// # Errors
/// If it is no such thing.
pub fn host_port(root: String) -> Result<String, Failure> {
    let port = root.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match port {
        Some((host, 1..)) if !host.is_empty() => Ok(root),
        _ => Err(Failure::Usage(format!("{root:?} is not HOST:PORT"))),
    }
}

/// Parses a port.
///
/// # Errors
/// If it is none.
pub fn port(argument: &OsStr) -> Result<u16, Failure> {
    let number = positive(argument)?;
    u16::try_from(number).map_err(|_| Failure::Usage(format!("{number} is no port")))
}

/// Parses bytes in hex, two digits for each.
///
/// # Errors
/// If it is anything else, or not so many bytes.
pub fn hex<const N: usize>(text: &str) -> Result<[u8; N], Failure> {
    let wrong = || Failure::Usage(format!("{text:?} is not {} digits of hex", N.saturating_mul(2)));
    let mut bytes = [0; N];
    if text.len() != N.saturating_mul(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

/// Takes text as it is.
///
/// # Errors
/// If it is not UTF-8.
pub fn text(argument: OsString) -> Result<String, Failure> {
    argument.into_string().map_err(|argument| Failure::Usage(format!("{} is not UTF-8", argument.display())))
}

/// Takes the URL of a tracker.
///
/// # Errors
/// If no tracker can be asked at it.
pub fn tracker_url(argument: OsString) -> Result<String, Failure> {
    let url = text(argument)?;
    match TrackerUrl::parse(&url) {
        Ok(_) => Ok(url),
        Err(error) => Err(Failure::Usage(format!("{url} is not the URL of a tracker: {error}"))),
    }
}

/// For an argument that a program does not know: [`Failure::Help`] if it asks for help.
#[must_use]
pub fn unexpected(argument: lexopt::Arg<'_>) -> Failure {
    match argument {
        lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => Failure::Help,
        other => other.unexpected().into(),
    }
}

/// For a program that takes no arguments.
///
/// # Errors
/// If there are any.
pub fn no_arguments() -> Result<(), Failure> {
    match lexopt::Parser::from_env().next()? {
        None => Ok(()),
        Some(argument) => Err(unexpected(argument)),
    }
}
