//! A node of `mainline`.

#![allow(
    deprecated,
    reason = "its blocking half is at hand without a stream library, and its actor does the same for both"
)]

use crate::{Outcome, Peer};
use mainline::{Dht, DhtBuilder, Id, MutableItem, SigningKey};
use std::net::SocketAddrV4;

pub(crate) struct Mainline(Dht);

impl Mainline {
    /// A node that answers queries.
    pub(crate) fn serve(listen: SocketAddrV4, roots: &[&str]) -> Outcome<Self> {
        let mut builder = Dht::builder();
        builder.server_mode();
        Self::start(&mut builder, listen, roots)
    }

    /// A node that only asks.
    pub(crate) fn join(listen: SocketAddrV4, roots: &[&str]) -> Outcome<Self> {
        Self::start(&mut Dht::builder(), listen, roots)
    }

    fn start(builder: &mut DhtBuilder, listen: SocketAddrV4, roots: &[&str]) -> Outcome<Self> {
        let dht = builder.bind_address(*listen.ip()).port(listen.port()).bootstrap(roots).build()?;
        if !roots.is_empty() && !dht.bootstrapped() {
            return Err("mainline has not joined".into());
        }
        Ok(Self(dht))
    }
}

impl Peer for Mainline {
    fn peers(&self, info_hash: [u8; 20], found: &mut dyn FnMut(usize)) -> Outcome<()> {
        self.0.get_peers(Id::from(info_hash)).for_each(|peers| found(peers.len()));
        Ok(())
    }

    fn announce(&self, info_hash: [u8; 20], port: u16) -> Outcome<()> {
        self.0.announce_peer(Id::from(info_hash), Some(port))?;
        Ok(())
    }

    fn put(&self, value: &[u8]) -> Outcome<String> {
        Ok(self.0.put_immutable(value)?.to_string())
    }

    fn put_mutable(&self, seed: [u8; 32], salt: &[u8], value: &[u8]) -> Outcome<()> {
        self.0.put_mutable(MutableItem::new(SigningKey::from_bytes(&seed), value, 1, Some(salt)), None)?;
        Ok(())
    }

    fn get(&self, target: [u8; 20]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.0.get_immutable(Id::from(target)).map(Vec::from))
    }

    fn get_mutable(&self, key: [u8; 32], salt: &[u8]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.0.get_mutable_most_recent(&key, Some(salt)).map(|item| item.value().to_vec()))
    }

    fn nodes(&self) -> Outcome<usize> {
        Ok(self.0.to_bootstrap().len())
    }

    fn queries(&self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}
