//! What the program is called with.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unchoke_core::InfoHash;
use unchoke_core::keys::{PublicKey, SecretKey};
use unchoke_dht::item::mutable_target;
use unchoke_dht::{Announcement, Id, Item};
use unchoke_examples::{Failure, address, hex, host_port, port, positive, secret, text, unexpected};
use unchoke_metainfo::{MagnetError, MutableLink};

/// What to do.
pub(crate) enum Command {
    Node,
    GetPeers(Id),
    Scrape(Id),
    Announce(Id, Announcement),
    Put {
        item: Box<Item>,
        cas: Option<i64>,
    },
    Get(Id),
    GetMutable {
        key: PublicKey,
        salt: Vec<u8>,
    },
    Publish {
        secret: Arc<SecretKey>,
        salt: Vec<u8>,
        info_hash: InfoHash,
    },
    Follow(Box<MutableLink>),
    Sample(Option<Id>),
    /// For at most so long.
    Crawl(Option<Duration>),
}

/// How to do it.
pub(crate) struct Options {
    pub(crate) bootstrap: Vec<String>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) read_only: bool,
    pub(crate) json: bool,
}

/// What belongs to one command or another.
#[derive(Default)]
struct Details {
    words: Vec<String>,
    port: Option<u16>,
    seed: bool,
    secret: Option<SecretKey>,
    public: Option<PublicKey>,
    salt: Vec<u8>,
    seq: Option<i64>,
    cas: Option<i64>,
    seconds: Option<u64>,
}

pub(crate) fn parse() -> Result<(Option<Command>, Options), Failure> {
    use lexopt::Arg::{Long, Value};
    let mut options = Options { bootstrap: Vec::new(), listen: Vec::new(), read_only: false, json: false };
    let mut details = Details::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bootstrap") => options.bootstrap.push(host_port(text(parser.value()?)?)?),
            Long("listen") => options.listen.push(address(&parser.value()?)?),
            Long("read-only") => options.read_only = true,
            Long("json") => options.json = true,
            Long("port") => details.port = Some(port(&parser.value()?)?),
            Long("seed") => details.seed = true,
            Long("key") => details.secret = Some(secret(Path::new(&parser.value()?))?),
            Long("public-key") => details.public = Some(PublicKey::new(hex(&text(parser.value()?)?)?)),
            Long("salt") => details.salt = text(parser.value()?)?.into_bytes(),
            Long("seq") => details.seq = Some(number(&parser.value()?)?),
            Long("cas") => details.cas = Some(number(&parser.value()?)?),
            Long("seconds") => details.seconds = Some(positive(&parser.value()?)?),
            Value(word) => details.words.push(text(word)?),
            other => return Err(unexpected(other)),
        }
    }
    if options.listen.is_empty() {
        options.listen.push(SocketAddr::from(([0, 0, 0, 0], 0)));
    }
    Ok((details.command()?, options))
}

impl Details {
    fn command(self) -> Result<Option<Command>, Failure> {
        let missing = |what: &str| Failure::Usage(format!("{what} is missing"));
        let mut words = self.words.iter().map(String::as_str);
        let name = words.next();
        let operand = words.next();
        if let Some(word) = words.next() {
            return Err(Failure::Usage(format!("{word:?} is one word too many")));
        }
        let id = || operand.ok_or_else(|| missing("an info-hash or target")).and_then(|word| hex(word).map(Id::new));
        let command = match name {
            None => return Ok(None),
            Some("node") => Command::Node,
            Some("get-peers") => Command::GetPeers(id()?),
            Some("scrape") => Command::Scrape(id()?),
            Some("announce") => {
                let port = self.port.ok_or_else(|| missing("--port"))?;
                Command::Announce(id()?, Announcement::new(port).with_seed(self.seed))
            }
            Some("put") => {
                let text = operand.ok_or_else(|| missing("the value"))?;
                let value = format!("{}:{text}", text.len()).into_bytes();
                let item = match &self.secret {
                    Some(secret) => Item::sign(secret, &self.salt, self.seq.unwrap_or(1), &value),
                    None => Item::immutable(&value),
                };
                Command::Put { item: Box::new(item.map_err(|error| Failure::usage(&error))?), cas: self.cas }
            }
            Some("get") => match self.public {
                Some(key) => Command::GetMutable { key, salt: self.salt },
                None => Command::Get(id()?),
            },
            Some("publish") => {
                let secret = Arc::new(self.secret.ok_or_else(|| missing("--key"))?);
                Command::Publish { secret, salt: self.salt, info_hash: id()?.into() }
            }
            Some("follow") => {
                let link = operand.ok_or_else(|| missing("the link"))?.parse();
                Command::Follow(Box::new(link.map_err(|error: MagnetError| Failure::usage(&error))?))
            }
            Some("sample") => Command::Sample(operand.map(hex).transpose()?.map(Id::new)),
            Some("crawl") => Command::Crawl(self.seconds.map(Duration::from_secs)),
            Some(other) => return Err(Failure::Usage(format!("there is no command {other:?}"))),
        };
        Ok(Some(command))
    }
}

impl Command {
    /// Where the items of a command lie.
    pub(crate) fn target(&self) -> Option<Id> {
        match self {
            Self::Put { item, .. } => Some(item.target()),
            Self::GetMutable { key, salt } => Some(mutable_target(key, salt)),
            Self::Get(target) => Some(*target),
            _ => None,
        }
    }
}

fn number(argument: &OsStr) -> Result<i64, Failure> {
    let text = argument.to_string_lossy();
    text.parse().map_err(|_| Failure::Usage(format!("{text:?} is not a number")))
}
