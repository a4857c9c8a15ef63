//! Asks the DHT, and takes part in it.
//!
//! Without arguments it runs 50 nodes on loopback, lets them announce, store and find, and prints how long that took.

mod arguments;
mod command;
mod crawl;
mod network;

use arguments::{Command, Options};
use std::process::ExitCode;
use unchoke_dht::Config;
use unchoke_examples::{Failure, run, tell};
use unchoke_tokio::Dht;

const USAGE: &str = "dht [COMMAND] [--bootstrap HOST:PORT]… [--listen ADDR]… [--read-only] [--json]\n\
                     node                                  takes part until Ctrl-C\n\
                     get-peers INFO_HASH                   finds peers\n\
                     scrape INFO_HASH                      counts peers and seeds\n\
                     announce INFO_HASH --port PORT [--seed]   finds peers and announces one\n\
                     put VALUE [--key FILE [--salt TEXT] [--seq N] [--cas N]]   stores text; with a key of 32 bytes, a mutable item\n\
                     get TARGET | get --public-key HEX [--salt TEXT]   finds an item\n\
                     publish INFO_HASH --key FILE [--salt TEXT]   publishes a torrent under a key, as a version after the newest one\n\
                     follow magnet:?xs=urn:btpk:…          tells which torrent a key publishes, now and later, and keeps it alive\n\
                     sample [TARGET]                       asks nodes on the way to a point for info-hashes\n\
                     crawl [--seconds N]                   asks every node for the nodes and info-hashes that it knows";

#[tokio::main]
async fn main() -> ExitCode {
    let result = match arguments::parse() {
        Ok((None, options)) => network::run(options.json).await,
        Ok((Some(command), options)) => start(command, options).await,
        Err(failure) => Err(failure),
    };
    run(USAGE, result)
}

async fn start(command: Command, options: Options) -> Result<(), Failure> {
    let mut config = Config::default();
    config.read_only = options.read_only;
    let failed = |error: unchoke_tokio::DhtError| Failure::failed(&error);
    let dht = Dht::bind(config, &options.listen, options.bootstrap.clone()).await.map_err(failed)?;
    if options.bootstrap.is_empty() && !matches!(command, Command::Node) {
        return Err(Failure::Usage("there is nobody to ask: --bootstrap is missing".into()));
    }
    let asked = command::run(&dht, command, options.json);
    tokio::select! {
        result = asked => result,
        _ = tokio::signal::ctrl_c() => {
            tell("interrupted");
            Ok(())
        }
    }
}
