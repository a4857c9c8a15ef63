//! Makes a torrent of a file or a folder.
//!
//! Without arguments it makes one of made-up content and prints its info-hash.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use unchoke_core::InfoHash;
use unchoke_examples::{Failure, Percent, bytes, generate, positive, run, say, text, tracker_url, unexpected};
use unchoke_metainfo::{Builder, MagnetLink, Node, Version};
use unchoke_storage::{CreateError, create};

const USAGE: &str = "create <PATH> --output FILE [--v1 | --v2 | --hybrid] [--piece-length N] [--private] [--tracker URL[,URL]…]… \
[--web-seed URL]… [--http-seed URL]… [--node HOST:PORT]… [--comment TEXT] [--created-by TEXT] [--creation-date SECONDS] [--source TEXT] \
[--similar INFO_HASH]… [--collection NAME]… [--update-url URL] [--originator FILE]";

fn main() -> ExitCode {
    run(USAGE, start())
}

fn node(text: &str) -> Result<Node, Failure> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| Failure::Usage(format!("{text} is no HOST:PORT")))?;
    Ok(Node { host: host.trim_matches(['[', ']']).to_owned(), port })
}

fn info_hash(text: &str) -> Result<InfoHash, Failure> {
    let link: Result<MagnetLink, _> = format!("magnet:?xt=urn:btih:{text}").parse();
    link.map(|link| link.info_hashes().wire()).map_err(|_| Failure::Usage(format!("{text} is no info-hash")))
}

/// What makes of a builder what the arguments ask for, one step each.
type Steps = Vec<Box<dyn Fn(Builder) -> Builder>>;

fn start() -> Result<(), Failure> {
    use lexopt::Arg::{Long, Value};
    let (mut path, mut output, mut piece_length) = (None::<PathBuf>, None::<PathBuf>, 0);
    let (mut similar, mut collections) = (Vec::new(), Vec::new());
    let mut steps: Steps = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        let mut step = |step: Box<dyn Fn(Builder) -> Builder>| steps.push(step);
        match argument {
            Long("output") => output = Some(parser.value()?.into()),
            Long("v1") => step(Box::new(|builder| builder.version(Version::V1))),
            Long("v2") => step(Box::new(|builder| builder.version(Version::V2))),
            Long("hybrid") => step(Box::new(|builder| builder.version(Version::Hybrid))),
            Long("private") => step(Box::new(Builder::private)),
            Long("piece-length") => {
                let length = positive(&parser.value()?)?;
                piece_length =
                    u32::try_from(length).map_err(|_| Failure::Usage(format!("{length} is no piece length")))?;
            }
            Long("tracker") => {
                let tier = text(parser.value()?)?;
                let tier = tier.split(',').map(|url| tracker_url(url.into())).collect::<Result<Vec<_>, _>>()?;
                step(Box::new(move |builder| builder.tracker_tier(tier.clone())));
            }
            Long("web-seed") => {
                let address = text(parser.value()?)?;
                step(Box::new(move |builder| builder.web_seed(address.clone())));
            }
            Long("http-seed") => {
                let address = text(parser.value()?)?;
                step(Box::new(move |builder| builder.http_seed(address.clone())));
            }
            Long("node") => {
                let node = node(&text(parser.value()?)?)?;
                step(Box::new(move |builder| builder.node(node.clone())));
            }
            Long("comment") => {
                let comment = text(parser.value()?)?;
                step(Box::new(move |builder| builder.comment(comment.clone())));
            }
            Long("created-by") => {
                let program = text(parser.value()?)?;
                step(Box::new(move |builder| builder.created_by(program.clone())));
            }
            Long("creation-date") => {
                let seconds = positive(&parser.value()?)?;
                step(Box::new(move |builder| builder.creation_date(seconds)));
            }
            Long("source") => {
                let source = text(parser.value()?)?;
                step(Box::new(move |builder| builder.source(source.clone())));
            }
            Long("update-url") => {
                let address = text(parser.value()?)?;
                step(Box::new(move |builder| builder.update_url(address.clone())));
            }
            Long("originator") => {
                let certificate = bytes(&parser.value()?)?;
                step(Box::new(move |builder| builder.originator(certificate.clone())));
            }
            Long("similar") => similar.push(info_hash(&text(parser.value()?)?)?),
            Long("collection") => collections.push(text(parser.value()?)?),
            Value(value) if path.is_none() => path = Some(value.into()),
            other => return Err(unexpected(other)),
        }
    }
    let options = |builder: Builder| {
        let builder = steps.iter().fold(builder, |builder, step| step(builder));
        let builder = if similar.is_empty() { builder } else { builder.similar(similar) };
        if collections.is_empty() { builder } else { builder.collections(collections) }
    };
    let metainfo = match (&path, &output) {
        (None, None) => {
            let io = |error: std::io::Error| Failure::failed(&error);
            let folder = tempfile::tempdir().map_err(io)?;
            generate(folder.path(), "sample", &[1 << 20, 300_000], options).map_err(io)?.metainfo
        }
        (Some(path), Some(_)) => {
            let mut percent = Percent::new();
            let made = create(path, piece_length, options, |done, total| {
                percent.show(done, total);
                ControlFlow::Continue(())
            });
            made.map_err(refused)?
        }
        _ => return Err(Failure::Usage("a path and --output are needed".into())),
    };
    if let Some(output) = output {
        std::fs::write(&output, metainfo.to_bytes())
            .map_err(|error| Failure::Failed(format!("{}: {error}", output.display())))?;
    }
    let hashes = metainfo.info_hashes();
    hashes.get_v1().into_iter().try_for_each(say)?;
    hashes.get_v2().into_iter().try_for_each(say)
}

/// What makes no torrent was the wrong thing to ask for; what cannot be read may be readable tomorrow.
fn refused(error: CreateError) -> Failure {
    match error {
        CreateError::Build(_) | CreateError::Name(_) => Failure::usage(&error),
        error => Failure::failed(&error),
    }
}
