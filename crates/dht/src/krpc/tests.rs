use super::*;
use proptest::prelude::*;
use unchoke_bencode::Tape;

fn read(bytes: &[u8]) -> Result<Message<'_>, Malformed<'_>> {
    Message::read(bytes, &mut Tape::new())
}

fn written(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out);
    out
}

const A: Id = Id::new(*b"abcdefghij0123456789");
const M: Id = Id::new(*b"mnopqrstuvwxyz123456");

/// The examples of BEP 5.
#[test]
fn reads_and_writes_the_examples_of_bep_5() {
    let query = |method| Body::Query(Query::new(A, method));
    let announce = Announce { info_hash: M, port: 6881, implied_port: true, seed: false, token: b"aoeusnth" };
    let table: Vec<(&[u8], Body<'_>)> = vec![
        (b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", query(Method::Ping)),
        (
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            query(Method::FindNode { target: M }),
        ),
        (
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            query(Method::GetPeers { info_hash: M, scrape: false, no_seed: false }),
        ),
        (
            b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            query(Method::AnnouncePeer(announce)),
        ),
        (b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", Body::Reply(Reply::new(M))),
        (
            b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
            Body::Reply(Reply {
                token: Some(b"aoeusnth"),
                values: Some(Values::new(b"6:axje.u6:idhtnm")),
                ..Reply::new(A)
            }),
        ),
        (
            b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
            Body::Refusal(Refusal { code: ErrorCode::GENERIC, text: b"A Generic Error Ocurred" }),
        ),
    ];
    for (bytes, body) in table {
        let message = Message::new(b"aa", body);
        assert_eq!(read(bytes).as_ref(), Ok(&message), "{}", bytes.escape_ascii());
        assert_eq!(written(&message), bytes, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_wrong_is_named_and_queries_can_be_refused() {
    use MessageError::{Missing, NotADictionary, Wrong};
    type Row = (&'static [u8], MessageError, Option<&'static [u8]>);
    let table: [Row; 10] = [
        (b"le", NotADictionary, None),
        (b"de", Missing("t"), None),
        (b"d1:t1:ae", Missing("y"), None),
        (b"d1:t1:a1:y1:xe", Wrong("y"), None),
        (b"d1:t1:a1:y1:re", Missing("r"), None),
        (b"d1:rde1:t1:a1:y1:re", Missing("id"), None),
        (b"d1:t1:a1:y1:qe", Missing("q"), Some(b"a")),
        (b"d1:q4:ping1:t1:a1:y1:qe", Missing("a"), Some(b"a")),
        (b"d1:ad2:id3:abce1:q4:ping1:t1:a1:y1:qe", Wrong("id"), Some(b"a")),
        (b"d1:ad2:id20:abcdefghij0123456789e1:q9:find_node1:t1:a1:y1:qe", Missing("target"), Some(b"a")),
    ];
    for (bytes, error, transaction) in table {
        assert_eq!(read(bytes), Err(Malformed { error, transaction }), "{}", bytes.escape_ascii());
    }
    assert!(matches!(read(b"d1:t").unwrap_err().error, MessageError::Bencode(_)));
}

#[test]
fn any_transaction_id_and_version_comes_back() {
    for length in 0..=1400 {
        let id = vec![0xfe; length];
        let message = Message { version: Some(&id), ..Message::new(&id, Body::Query(Query::new(A, Method::Ping))) };
        assert_eq!(read(&written(&message)), Ok(message.clone()));
    }
}

#[test]
fn an_unknown_method_keeps_its_target() {
    let bytes = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234563:xyzi1ee1:q4:vote1:t1:a1:y1:qe";
    let Ok(Message { body: Body::Query(query), .. }) = read(bytes) else { panic!("no query") };
    assert_eq!(query.method, Method::Unknown { name: b"vote", target: Some(M) });
}

#[test]
fn peers_that_are_no_addresses_are_passed_over() {
    let values = Values::new(b"6:abcdef3:abc18:0123456789abcdef\x1a\xe16:ABCDEFi1e6:abcdef");
    let found: Vec<String> = values.iter().map(|it| it.to_string()).collect();
    assert_eq!(found, ["97.98.99.100:25958", "[3031:3233:3435:3637:3839:6162:6364:6566]:6881", "65.66.67.68:17734"]);
}

fn ids() -> impl Strategy<Value = Id> {
    any::<[u8; 20]>().prop_map(Id::new)
}

/// Everything that a message can hold, as values of its own.
#[derive(Clone, Debug)]
struct Parts {
    id: Id,
    other: Id,
    text: Vec<u8>,
    key: [u8; 32],
    signature: Vec<u8>,
    seq: Option<i64>,
    numbers: (u32, u32, u16),
    flags: [bool; 4],
    peers: Vec<SocketAddr>,
    external: Option<SocketAddr>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let address = || any::<SocketAddr>().prop_map(|it| SocketAddr::new(it.ip().to_canonical(), it.port()));
    let peers = prop::collection::vec(address(), 0..5);
    let bytes = |length| prop::collection::vec(any::<u8>(), length);
    let first = (ids(), ids(), bytes(0..40), any::<[u8; 32]>(), bytes(64..65), any::<Option<i64>>());
    let second = (any::<(u32, u32, u16)>(), any::<[bool; 4]>(), peers, prop::option::of(address()));
    (first, second).prop_map(|((id, other, text, key, signature, seq), (numbers, flags, peers, external))| Parts {
        id,
        other,
        text,
        key,
        signature,
        seq,
        numbers,
        flags,
        peers,
        external,
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(parts in parts(), which in 0..9) {
        let [a, b, c, d] = parts.flags;
        let signature: &[u8; 64] = parts.signature[..].try_into().unwrap();
        let signed = parts.seq.map(|seq| Signed { key: &parts.key, signature, seq });
        let value = unchoke_bencode::encode(|v| v.bytes(&parts.text));
        let salt = if a { &parts.text[..] } else { &[] };
        let (total, interval, port) = parts.numbers;
        let filter = [7; 256];
        let hashes = parts.other.as_bytes().repeat(3);
        let mut items = Vec::new();
        parts.peers.iter().for_each(|peer| Values::push(&mut items, *peer));
        let method = match which {
            0 => Some(Method::Ping),
            1 => Some(Method::FindNode { target: parts.other }),
            2 => Some(Method::GetPeers { info_hash: parts.other, scrape: a, no_seed: b }),
            3 => Some(Method::AnnouncePeer(Announce {
                info_hash: parts.other, port: port.max(1), implied_port: a, seed: b, token: &parts.text,
            })),
            4 => Some(Method::Get { target: parts.other, newer_than: parts.seq }),
            5 => Some(Method::Put(Put { token: &parts.text, value: &value, signed, salt, cas: parts.seq })),
            6 => Some(Method::SampleInfohashes { target: parts.other }),
            _ => None,
        };
        let body = match method {
            Some(method) => Body::Query(Query {
                read_only: c,
                want: d.then_some(Want { v4: a, v6: b }),
                ..Query::new(parts.id, method)
            }),
            None if which == 7 => Body::Refusal(Refusal { code: ErrorCode(total.into()), text: &parts.text }),
            None => Body::Reply(Reply {
                nodes: a.then_some(&parts.text),
                nodes6: b.then_some(&parts.text),
                token: c.then_some(&parts.text),
                values: d.then_some(Values::new(&items)),
                seeds: a.then_some(&filter),
                downloaders: b.then_some(&filter),
                value: c.then_some(&value),
                signed,
                seq: parts.seq,
                samples: d.then_some(Samples { info_hashes: &hashes, total, interval }),
                ..Reply::new(parts.id)
            }),
        };
        let message = Message { version: b.then_some(b"UC01"), external: parts.external, ..Message::new(&parts.text, body) };
        let bytes = written(&message);
        prop_assert_eq!(read(&bytes), Ok(message));
        let document = unchoke_bencode::decode(&bytes, &unchoke_bencode::DecodeLimits::strict());
        prop_assert!(document.is_ok());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop::sample::select(&b"dlei0123456789:aqrtyv"[..]), 0..80)) {
        let _ = read(&bytes);
    }
}
