//! Arguments and exit codes: 0 done, 1 failed, 2 bad arguments or input.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::process::ExitCode;
use unchoke_metainfo::{MagnetLink, Metainfo};

/// Why a program ends without success.
#[derive(Debug)]
pub enum Failure {
    /// It was called wrongly, or its input is no torrent.
    Usage(String),
    /// It could not do what it was asked to.
    Failed(String),
}

impl Failure {
    /// A failure with all its causes.
    #[must_use]
    pub fn failed(error: &dyn Error) -> Self {
        Self::Failed(chain(error))
    }

    /// Bad input, with all its causes.
    #[must_use]
    pub fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

/// Turns a program's result into its exit code, and says on standard error what went wrong.
#[must_use]
pub fn run(usage: &str, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            if matches!(failure, Failure::Usage(_)) {
                eprintln!("usage: {usage}");
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

/// What to download.
#[derive(Debug)]
pub enum Source {
    /// A torrent file.
    Torrent(Box<Metainfo>),
    /// A magnet link.
    Magnet(Box<MagnetLink>),
}

/// Reads a torrent file or a magnet link.
///
/// # Errors
/// If it is neither; the text has the kind of the error and its byte offset.
pub fn load(argument: &OsString) -> Result<Source, Failure> {
    if let Some(text) = argument.to_str()
        && text.starts_with("magnet:")
    {
        let link: MagnetLink = text.parse().map_err(|error| Failure::usage(&error))?;
        return Ok(Source::Magnet(Box::new(link)));
    }
    // The error's own text names the kind and the byte offset.
    let not_a_torrent = |error: unchoke_metainfo::MetainfoError| {
        Failure::Usage(format!("{} is not a torrent: {}", Path::new(argument).display(), chain(&error)))
    };
    let metainfo = Metainfo::from_bytes(&bytes(argument)?).map_err(not_a_torrent)?;
    Ok(Source::Torrent(Box::new(metainfo)))
}

/// Resolves `HOST:PORT`.
///
/// # Errors
/// If it is no such thing or the host is unknown.
pub fn address(argument: &OsString) -> Result<SocketAddr, Failure> {
    let text = argument.to_str().unwrap_or_default();
    let found = text.to_socket_addrs().map_err(|error| Failure::Usage(format!("{text}: {error}")))?.next();
    found.ok_or_else(|| Failure::Usage(format!("{text} has no address")))
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read.
pub fn bytes(argument: &OsString) -> Result<Vec<u8>, Failure> {
    let path = Path::new(argument);
    std::fs::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// Parses a number.
///
/// # Errors
/// If it is none.
pub fn number(argument: &OsString) -> Result<u64, Failure> {
    let text = argument.to_str().unwrap_or_default();
    text.parse().map_err(|_| Failure::Usage(format!("{text:?} is not a number")))
}
