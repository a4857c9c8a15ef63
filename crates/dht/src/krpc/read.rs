//! From datagrams to messages.

use super::{
    Announce, Body, ErrorCode, Malformed, Message, MessageError, Method, Put, Query, Refusal, Reply, Samples, Signed,
    Values, Want,
};
use crate::id::Id;
use std::net::SocketAddr;
use unchoke_bencode::{DecodeLimits, Dict, Tape, Value};
use unchoke_core::compact::{decode_v4, decode_v6};

impl<'a> Message<'a> {
    /// Reads a datagram. The tape is memory that can be used again.
    ///
    /// # Errors
    /// If it is no message, [`Malformed`] tells why, and whether there is somebody to refuse it to.
    pub fn read(datagram: &'a [u8], tape: &mut Tape) -> Result<Self, Malformed<'a>> {
        let fail = |error: MessageError| Malformed { error, transaction: None };
        let document = tape.decode(datagram, &limits()).map_err(|error| fail(error.into()))?;
        let dict = document.root().as_dict().ok_or_else(|| fail(MessageError::NotADictionary))?;
        let Envelope { transaction, kind, method, arguments, reply, refusal, version, external, read_only } =
            Envelope::open(dict);
        let transaction = transaction.ok_or_else(|| fail(MessageError::Missing("t")))?;
        let body = match kind {
            Some(b"q") => query(method, arguments, read_only)
                .map(Body::Query)
                .map_err(|error| Malformed { error, transaction: Some(transaction) })?,
            Some(b"r") => {
                let reply = reply.and_then(Value::as_dict).ok_or_else(|| fail(MessageError::Missing("r")))?;
                Body::Reply(read_reply(reply).map_err(fail)?)
            }
            Some(b"e") => Body::Refusal(read_refusal(refusal)),
            Some(_) => return Err(fail(MessageError::Wrong("y"))),
            None => return Err(fail(MessageError::Missing("y"))),
        };
        Ok(Self { transaction, version, external, body })
    }
}

/// Messages have few levels; what is not canonical is put up with, because it comes.
fn limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    (limits.max_len, limits.max_tokens, limits.max_depth) = (Message::MAX_LEN, 2048, 100);
    limits
}

/// The outer dictionary.
#[derive(Default)]
struct Envelope<'a, 't> {
    transaction: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    arguments: Option<Value<'a, 't>>,
    reply: Option<Value<'a, 't>>,
    refusal: Option<Value<'a, 't>>,
    version: Option<&'a [u8]>,
    external: Option<SocketAddr>,
    read_only: bool,
}

impl<'a, 't> Envelope<'a, 't> {
    fn open(dict: Dict<'a, 't>) -> Self {
        let mut found = Self::default();
        for (key, value) in dict {
            match key {
                b"t" => found.transaction = value.as_bytes(),
                b"y" => found.kind = value.as_bytes(),
                b"q" => found.method = value.as_bytes(),
                b"a" => found.arguments = Some(value),
                b"r" => found.reply = Some(value),
                b"e" => found.refusal = Some(value),
                b"v" => found.version = value.as_bytes(),
                b"ip" => found.external = value.as_bytes().and_then(address),
                b"ro" => found.read_only = value.as_int() == Some(1),
                _ => {}
            }
        }
        found
    }
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    match bytes.len() {
        6 => decode_v4(bytes).ok()?.next(),
        18 => decode_v6(bytes).ok()?.next(),
        _ => None,
    }
}

/// The arguments of all methods.
#[derive(Default)]
struct Arguments<'a, 't> {
    id: Option<Value<'a, 't>>,
    target: Option<Value<'a, 't>>,
    info_hash: Option<Value<'a, 't>>,
    want: Option<Want>,
    token: Option<Value<'a, 't>>,
    port: Option<Value<'a, 't>>,
    implied_port: bool,
    seed: bool,
    scrape: bool,
    no_seed: bool,
    value: Option<Value<'a, 't>>,
    key: Option<Value<'a, 't>>,
    signature: Option<Value<'a, 't>>,
    seq: Option<Value<'a, 't>>,
    cas: Option<Value<'a, 't>>,
    salt: Option<Value<'a, 't>>,
}

impl<'a, 't> Arguments<'a, 't> {
    fn read(dict: Dict<'a, 't>) -> Self {
        let is_set = |value: Value<'_, '_>| value.as_int() == Some(1);
        let mut found = Self::default();
        for (key, value) in dict {
            match key {
                b"id" => found.id = Some(value),
                b"target" => found.target = Some(value),
                b"info_hash" => found.info_hash = Some(value),
                b"want" => found.want = value.as_list().map(want),
                b"token" => found.token = Some(value),
                b"port" => found.port = Some(value),
                b"implied_port" => found.implied_port = value.as_int().is_some_and(|it| it != 0),
                b"seed" => found.seed = is_set(value),
                b"scrape" => found.scrape = is_set(value),
                b"noseed" => found.no_seed = is_set(value),
                b"v" => found.value = Some(value),
                b"k" => found.key = Some(value),
                b"sig" => found.signature = Some(value),
                b"seq" => found.seq = Some(value),
                b"cas" => found.cas = Some(value),
                b"salt" => found.salt = Some(value),
                _ => {}
            }
        }
        found
    }

    fn token(&self) -> Result<&'a [u8], MessageError> {
        let token = self.token.ok_or(MessageError::Missing("token"))?;
        token.as_bytes().ok_or(MessageError::Wrong("token"))
    }

    fn announce(&self) -> Result<Announce<'a>, MessageError> {
        let port = self.port.map(|port| port.as_int().and_then(|port| u16::try_from(port).ok()));
        let port = match port {
            Some(Some(port)) if port > 0 || self.implied_port => port,
            // With an implied port it may be missing or anything.
            _ if self.implied_port => 0,
            Some(_) => return Err(MessageError::Wrong("port")),
            None => return Err(MessageError::Missing("port")),
        };
        Ok(Announce {
            info_hash: point(self.info_hash, "info_hash")?,
            port,
            implied_port: self.implied_port,
            seed: self.seed,
            token: self.token()?,
        })
    }

    fn put(&self) -> Result<Put<'a>, MessageError> {
        let salt = match self.salt {
            Some(salt) => salt.as_bytes().ok_or(MessageError::Wrong("salt"))?,
            None => &[],
        };
        let cas = match self.cas {
            Some(cas) => Some(cas.as_int().ok_or(MessageError::Wrong("cas"))?),
            None => None,
        };
        let value = self.value.ok_or(MessageError::Missing("v"))?.raw();
        let signed = signed(self.key, self.signature, self.seq)?;
        if signed.is_none() && self.key.is_some() {
            return Err(MessageError::Missing(if self.seq.is_none() { "seq" } else { "sig" }));
        }
        Ok(Put { token: self.token()?, value, signed, salt, cas })
    }
}

fn query<'a>(
    method: Option<&'a [u8]>,
    arguments: Option<Value<'a, '_>>,
    read_only: bool,
) -> Result<Query<'a>, MessageError> {
    let name = method.ok_or(MessageError::Missing("q"))?;
    let arguments = arguments.and_then(Value::as_dict).ok_or(MessageError::Missing("a"))?;
    let arguments = Arguments::read(arguments);
    let id = point(arguments.id, "id")?;
    let method = match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: point(arguments.target, "target")? },
        b"get_peers" => Method::GetPeers {
            info_hash: point(arguments.info_hash, "info_hash")?,
            scrape: arguments.scrape,
            no_seed: arguments.no_seed,
        },
        b"announce_peer" => Method::AnnouncePeer(arguments.announce()?),
        b"get" => Method::Get {
            target: point(arguments.target, "target")?,
            newer_than: arguments.seq.and_then(Value::as_int),
        },
        b"put" => Method::Put(arguments.put()?),
        b"sample_infohashes" => Method::SampleInfohashes { target: point(arguments.target, "target")? },
        name => {
            let target = arguments.target.or(arguments.info_hash).and_then(Value::as_bytes);
            Method::Unknown { name, target: target.and_then(Id::from_slice) }
        }
    };
    Ok(Query { id, read_only, want: arguments.want, method })
}

fn read_reply<'a>(dict: Dict<'a, '_>) -> Result<Reply<'a>, MessageError> {
    let (mut id, mut key, mut signature, mut seq) = (None, None, None, None);
    let (mut samples, mut total, mut interval) = (None, None, None);
    let mut reply = Reply::new(Id::new([0; 20]));
    for (name, value) in dict {
        match name {
            b"id" => id = Some(value),
            b"nodes" => reply.nodes = value.as_bytes(),
            b"nodes6" => reply.nodes6 = value.as_bytes(),
            b"token" => reply.token = value.as_bytes(),
            b"values" => reply.values = value.as_list().and_then(|_| items(value.raw())).map(Values::new),
            b"BFsd" => reply.seeds = value.as_bytes().and_then(|filter| filter.try_into().ok()),
            b"BFpe" => reply.downloaders = value.as_bytes().and_then(|filter| filter.try_into().ok()),
            b"v" => reply.value = Some(value.raw()),
            b"k" => key = Some(value),
            b"sig" => signature = Some(value),
            b"seq" => seq = Some(value),
            b"samples" => samples = value.as_bytes().filter(|all| all.len().is_multiple_of(Id::LEN)),
            b"num" => total = value.as_int(),
            b"interval" => interval = value.as_int(),
            _ => {}
        }
    }
    reply.id = point(id, "id")?;
    reply.seq = seq.and_then(Value::as_int);
    // A malformed signature makes the item worthless, and not the nodes that come with it.
    reply.signed = signed(key, signature, seq).unwrap_or_default();
    reply.samples = samples.map(|info_hashes| {
        let number = |value: Option<i64>| value.map_or(0, |it| u32::try_from(it.max(0)).unwrap_or(u32::MAX));
        Samples { info_hashes, total: number(total), interval: number(interval) }
    });
    Ok(reply)
}

/// An error is a code and a text; whatever is missing, it is one all the same.
fn read_refusal<'a>(value: Option<Value<'a, '_>>) -> Refusal<'a> {
    let mut items = value.and_then(Value::as_list).into_iter().flatten();
    let code = items.next().and_then(Value::as_int).map_or(ErrorCode::GENERIC, ErrorCode);
    Refusal { code, text: items.next().and_then(Value::as_bytes).unwrap_or_default() }
}

fn signed<'a>(
    key: Option<Value<'a, '_>>,
    signature: Option<Value<'a, '_>>,
    seq: Option<Value<'a, '_>>,
) -> Result<Option<Signed<'a>>, MessageError> {
    let (Some(key), Some(signature), Some(seq)) = (key, signature, seq) else { return Ok(None) };
    Ok(Some(Signed {
        key: key.as_bytes().and_then(|key| key.try_into().ok()).ok_or(MessageError::Wrong("k"))?,
        signature: signature.as_bytes().and_then(|it| it.try_into().ok()).ok_or(MessageError::Wrong("sig"))?,
        seq: seq.as_int().ok_or(MessageError::Wrong("seq"))?,
    }))
}

fn point(value: Option<Value<'_, '_>>, name: &'static str) -> Result<Id, MessageError> {
    let value = value.ok_or(MessageError::Missing(name))?;
    value.as_bytes().and_then(Id::from_slice).ok_or(MessageError::Wrong(name))
}

fn want(list: unchoke_bencode::List<'_, '_>) -> Want {
    let mut want = Want { v4: false, v6: false };
    for item in list.iter().take(8) {
        match item.as_bytes() {
            Some(b"n4") => want.v4 = true,
            Some(b"n6") => want.v6 = true,
            _ => {}
        }
    }
    want
}

/// What is between the first and the last byte.
fn items(list: &[u8]) -> Option<&[u8]> {
    list.strip_prefix(b"l")?.strip_suffix(b"e")
}
