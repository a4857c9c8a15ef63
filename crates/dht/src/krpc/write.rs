//! From messages to datagrams.

use super::{Announce, Body, Message, Method, Put, Query, Refusal, Reply, Signed, Want};
use crate::id::Id;
use std::net::SocketAddr;
use unchoke_bencode::{DictEncoder, Encoder};

impl Message<'_> {
    /// Appends the message to `out`, in canonical bencode.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::append_to(std::mem::take(out));
        encoder.dict(|message| {
            match &self.body {
                Body::Query(query) => {
                    message.entry("a", |v| v.dict(|arguments| query.write(arguments)));
                    self.write_external(message);
                    message.bytes("q", query.method.name());
                    if query.read_only {
                        message.int("ro", 1);
                    }
                }
                Body::Reply(reply) => {
                    self.write_external(message);
                    message.entry("r", |v| v.dict(|r| reply.write(r)));
                }
                Body::Refusal(Refusal { code, text }) => {
                    message.entry("e", |v| {
                        v.list(|list| {
                            list.int(code.0);
                            list.bytes(text);
                        })
                    });
                    self.write_external(message);
                }
            }
            message.bytes("t", self.transaction);
            if let Some(version) = self.version {
                message.bytes("v", version);
            }
            message.bytes("y", self.body.kind());
        });
        *out = encoder.finish();
    }

    fn write_external(&self, message: &mut DictEncoder<'_>) {
        match self.external {
            Some(SocketAddr::V4(address)) => {
                let ([a, b, c, d], [high, low]) = (address.ip().octets(), address.port().to_be_bytes());
                message.bytes("ip", [a, b, c, d, high, low]);
            }
            Some(SocketAddr::V6(address)) => {
                let mut bytes = [0; 18];
                let parts = address.ip().octets().into_iter().chain(address.port().to_be_bytes());
                bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
                message.bytes("ip", bytes);
            }
            None => {}
        }
    }
}

impl Body<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Query(_) => "q",
            Self::Reply(_) => "r",
            Self::Refusal(_) => "e",
        }
    }
}

impl Method<'_> {
    /// The name of the method on the wire.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Ping => b"ping",
            Self::FindNode { .. } => b"find_node",
            Self::GetPeers { .. } => b"get_peers",
            Self::AnnouncePeer(_) => b"announce_peer",
            Self::Get { .. } => b"get",
            Self::Put(_) => b"put",
            Self::SampleInfohashes { .. } => b"sample_infohashes",
            Self::Unknown { name, .. } => name,
        }
    }
}

impl Query<'_> {
    /// Keys go in in their order.
    fn write(&self, a: &mut DictEncoder<'_>) {
        let id = |a: &mut DictEncoder<'_>| a.bytes("id", self.id.as_bytes());
        let flag = |a: &mut DictEncoder<'_>, key: &str, is_set: bool| {
            if is_set {
                a.int(key, 1);
            }
        };
        let target = |a: &mut DictEncoder<'_>, target: &Id| a.bytes("target", target.as_bytes());
        match &self.method {
            Method::Ping => id(a),
            Method::FindNode { target: point } | Method::SampleInfohashes { target: point } => {
                id(a);
                target(a, point);
            }
            Method::GetPeers { info_hash, scrape, no_seed } => {
                id(a);
                a.bytes("info_hash", info_hash.as_bytes());
                flag(a, "noseed", *no_seed);
                flag(a, "scrape", *scrape);
            }
            Method::AnnouncePeer(Announce { info_hash, port, implied_port, seed, token }) => {
                id(a);
                flag(a, "implied_port", *implied_port);
                a.bytes("info_hash", info_hash.as_bytes());
                a.int("port", (*port).into());
                flag(a, "seed", *seed);
                a.bytes("token", token);
            }
            Method::Get { target: point, newer_than } => {
                id(a);
                if let Some(seq) = newer_than {
                    a.int("seq", *seq);
                }
                target(a, point);
            }
            Method::Put(Put { token, value, signed, salt, cas }) => {
                if let Some(cas) = cas {
                    a.int("cas", *cas);
                }
                id(a);
                if let Some(Signed { key, .. }) = signed {
                    a.bytes("k", key);
                }
                if !salt.is_empty() {
                    a.bytes("salt", salt);
                }
                if let Some(Signed { signature, seq, .. }) = signed {
                    a.int("seq", *seq);
                    a.bytes("sig", signature);
                }
                a.bytes("token", token);
                a.entry("v", |v| v.raw(value));
            }
            Method::Unknown { target: point, .. } => {
                id(a);
                if let Some(point) = point {
                    target(a, point);
                }
            }
        }
        if let Some(Want { v4, v6 }) = self.want {
            a.entry("want", |v| {
                v.list(|list| {
                    if v4 {
                        list.bytes("n4");
                    }
                    if v6 {
                        list.bytes("n6");
                    }
                })
            });
        }
    }
}

impl Reply<'_> {
    /// Keys go in in their order.
    fn write(&self, r: &mut DictEncoder<'_>) {
        if let Some(filter) = self.downloaders {
            r.bytes("BFpe", filter);
        }
        if let Some(filter) = self.seeds {
            r.bytes("BFsd", filter);
        }
        r.bytes("id", self.id.as_bytes());
        if let Some(samples) = self.samples {
            r.int("interval", samples.interval.into());
        }
        if let Some(Signed { key, .. }) = self.signed {
            r.bytes("k", key);
        }
        if let Some(nodes) = self.nodes {
            r.bytes("nodes", nodes);
        }
        if let Some(nodes) = self.nodes6 {
            r.bytes("nodes6", nodes);
        }
        if let Some(samples) = self.samples {
            r.int("num", samples.total.into());
            r.bytes("samples", samples.info_hashes);
        }
        if let Some(seq) = self.seq {
            r.int("seq", seq);
        }
        if let Some(Signed { signature, .. }) = self.signed {
            r.bytes("sig", signature);
        }
        if let Some(token) = self.token {
            r.bytes("token", token);
        }
        if let Some(value) = self.value {
            r.entry("v", |v| v.raw(value));
        }
        if let Some(values) = self.values {
            r.entry("values", |v| v.list(|list| values.strings().for_each(|peer| list.bytes(peer))));
        }
    }
}
