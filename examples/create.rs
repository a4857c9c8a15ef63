//! Makes a torrent of a file or a folder.
//!
//! Without arguments it makes one of made-up content and prints its info-hash.

use std::path::PathBuf;
use std::process::ExitCode;
use unchoke_examples::{Failure, generate, positive, run, say, text, tracker_url, unexpected};
use unchoke_metainfo::Builder;
use unchoke_storage::{CreateError, create};

const USAGE: &str = "create <PATH> --output FILE [--tracker URL]… [--piece-length N] [--private] [--web-seed URL]…";

fn main() -> ExitCode {
    run(USAGE, start())
}

fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut path, mut output, mut piece_length, mut private) = (None::<PathBuf>, None::<PathBuf>, 0, false);
    let (mut trackers, mut web_seeds) = (Vec::new(), Vec::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("output") => output = Some(parser.value()?.into()),
            Long("tracker") => trackers.push(tracker_url(parser.value()?)?),
            Long("web-seed") => web_seeds.push(text(parser.value()?)?),
            Long("piece-length") => {
                let length = positive(&parser.value()?)?;
                piece_length =
                    u32::try_from(length).map_err(|_| Failure::Usage(format!("{length} is no piece length")))?;
            }
            Long("private") => private = true,
            Value(value) if path.is_none() => path = Some(value.into()),
            other => return Err(unexpected(other)),
        }
    }
    let options = |builder: Builder| {
        let builder = trackers.iter().fold(builder, |builder, tracker| builder.tracker(tracker));
        let builder = web_seeds.iter().fold(builder, |builder, seed| builder.web_seed(seed));
        if private { builder.private() } else { builder }
    };
    let metainfo = match (&path, &output) {
        (None, None) => {
            let io = |error: std::io::Error| Failure::failed(&error);
            let folder = tempfile::tempdir().map_err(io)?;
            generate(folder.path(), "sample", &[1 << 20, 300_000], options).map_err(io)?.metainfo
        }
        (Some(path), Some(_)) => create(path, piece_length, options, |_, _| {}).map_err(refused)?,
        _ => return Err(Failure::Usage("a path and --output are needed".into())),
    };
    if let Some(output) = output {
        std::fs::write(&output, metainfo.to_bytes())
            .map_err(|error| Failure::Failed(format!("{}: {error}", output.display())))?;
    }
    say(metainfo.info_hashes())
}

/// What makes no torrent was the wrong thing to ask for; what cannot be read may be readable tomorrow.
fn refused(error: CreateError) -> Failure {
    match error {
        CreateError::Build(_) | CreateError::Name(_) => Failure::usage(&error),
        error => Failure::failed(&error),
    }
}
