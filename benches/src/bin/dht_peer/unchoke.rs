//! Nodes of ours.

use crate::{Outcome, Peer};
use serde_json::json;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;
use unchoke_bencode::DecodeLimits;
use unchoke_core::Seed;
use unchoke_core::keys::{PublicKey, SecretKey};
use unchoke_dht::{Announcement, Config, DhtEvent, Id, Item};
use unchoke_tokio::Dht;

pub(crate) struct Ours {
    runtime: Runtime,
    dht: Dht,
}

impl Ours {
    pub(crate) fn start(listen: SocketAddrV4, roots: &[&str]) -> Outcome<Self> {
        let mut config = Config::default();
        // One address asks more than any honest one would.
        config.inbound_per_second = 0;
        let runtime = runtime()?;
        let dht = runtime.block_on(async {
            let dht = Dht::bind(config, &[listen.into()], roots.iter().copied()).await?;
            if !roots.is_empty() {
                dht.bootstrapped().await?;
            }
            for root in roots {
                dht.add_node(root.parse()?);
                // It asks no faster than it allows itself.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Outcome::Ok(dht)
        })?;
        Ok(Self { runtime, dht })
    }
}

impl Peer for Ours {
    fn wait(&self, lines: &mut UnboundedReceiver<String>) -> Option<String> {
        // The node runs meanwhile.
        self.runtime.block_on(lines.recv())
    }

    fn peers(&self, info_hash: [u8; 20], found: &mut dyn FnMut(usize)) -> Outcome<()> {
        self.runtime.block_on(async {
            let mut search = self.dht.get_peers(Id::new(info_hash));
            while let Some(event) = search.next().await {
                if let DhtEvent::Peers { peers, .. } = event {
                    found(peers.len());
                }
            }
        });
        Ok(())
    }

    fn announce(&self, info_hash: [u8; 20], port: u16) -> Outcome<()> {
        let announcement = Announcement::new(port);
        self.runtime.block_on(self.dht.announce(Id::new(info_hash), announcement).finish())?;
        Ok(())
    }

    fn put(&self, value: &[u8]) -> Outcome<String> {
        let item = Item::immutable(&string(value))?;
        let target = item.target();
        self.runtime.block_on(self.dht.put(item, None).finish())?;
        Ok(target.to_string())
    }

    fn put_mutable(&self, seed: [u8; 32], salt: &[u8], value: &[u8]) -> Outcome<()> {
        let item = Item::sign(&SecretKey::from_seed(&Seed::new(seed)), salt, 1, &string(value))?;
        self.runtime.block_on(self.dht.put(item, None).finish())?;
        Ok(())
    }

    fn get(&self, target: [u8; 20]) -> Outcome<Option<Vec<u8>>> {
        let answer = self.runtime.block_on(self.dht.get(Id::new(target)).finish())?;
        Ok(answer.item.and_then(|item| content(item.value())))
    }

    fn get_mutable(&self, key: [u8; 32], salt: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let answer = self.runtime.block_on(self.dht.get_mutable(&PublicKey::new(key), salt).finish())?;
        Ok(answer.item.and_then(|item| content(item.value())))
    }

    fn nodes(&self) -> Outcome<usize> {
        Ok(self.runtime.block_on(self.dht.nodes())?.len())
    }

    fn queries(&self) -> Outcome<Option<u64>> {
        Ok(Some(self.runtime.block_on(self.dht.health())?.queries_out))
    }
}

/// Runs nodes with the default configuration, until the program is ended.
pub(crate) fn network(pattern: &str, count: usize, roots: &[&str]) -> Outcome<()> {
    let addresses = (1..=count).map(|number| pattern.replace("{}", &number.to_string())).collect::<Vec<_>>();
    runtime()?.block_on(async {
        let mut nodes = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let known =
                addresses.first().into_iter().chain(addresses.iter().take(number).skip(number.saturating_sub(3)));
            let known = known.filter(|it| *it != address).cloned().chain(roots.iter().map(|root| (*root).to_owned()));
            nodes.push(Dht::bind(Config::default(), &[address.parse::<SocketAddr>()?], known).await?);
        }
        for node in nodes.iter().skip(1) {
            node.bootstrapped().await?;
        }
        println!("{}", json!({ "nodes": nodes.len() }));
        std::future::pending().await
    })
}

/// A value of an item that is a byte string, encoded.
fn string(text: &[u8]) -> Vec<u8> {
    unchoke_bencode::encode(|value| value.bytes(text))
}

fn content(encoded: &[u8]) -> Option<Vec<u8>> {
    let document = unchoke_bencode::decode(encoded, &DecodeLimits::default()).ok()?;
    document.root().as_bytes().map(<[u8]>::to_vec)
}

fn runtime() -> Outcome<Runtime> {
    // One thread: a node is one state machine, and nothing else is to be done.
    Ok(Builder::new_current_thread().enable_all().build()?)
}
