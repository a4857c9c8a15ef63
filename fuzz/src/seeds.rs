//! The inputs that fuzzing starts from, made by our own encoders.

use bytes::{Bytes, BytesMut};
use unchoke_bencode::encode;
use unchoke_core::{Block, InfoHash, InfoHashes, PeerId, PieceIndex, Sha1Hash, Sha256Hash};
use unchoke_dht::krpc;
use unchoke_metainfo::{BuildError, Builder, MagnetLink, Metainfo, MutableLink, Version};
use unchoke_token::contract::Transfer;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{SignedVoucher, Voucher};
use unchoke_token::{ChannelId, Lane, Seq, Timestamp, Transaction, Units, UpdateId, channel};
use unchoke_wire::{Handshake, Message, Reserved};

/// One input.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Seed {
    /// The target that it is for.
    pub target: &'static str,
    /// The file's name.
    pub name: &'static str,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// All seeds.
///
/// # Errors
/// If a torrent cannot be built.
pub fn all() -> Result<Vec<Seed>, BuildError> {
    let (one, many) = (one_file()?, many_files(Version::V1)?);
    let (v2, both) = (many_files(Version::V2)?, many_files(Version::Hybrid)?);
    let announce = encode(|v| {
        v.dict(|d| {
            d.int("interval", 1800);
            d.int("complete", 3);
            d.bytes("peers", b"\x7f\0\0\x01\x1a\xe1\x0a\0\0\x02\x1a\xe2");
        })
    });
    let scrape = encode(|v| {
        v.dict(|d| d.entry("files", |v| v.dict(|d| d.entry([1; 20], |v| v.dict(|d| d.int("complete", 2))))))
    });
    let message = |body| {
        let mut out = Vec::new();
        krpc::Message::new(b"TTTT", body).write(&mut out);
        out
    };
    let (id, target) = (unchoke_dht::Id::new([5; 20]), unchoke_dht::Id::new([7; 20]));
    let query = |method| message(krpc::Body::Query(krpc::Query::new(id, method)));
    let nodes: Vec<u8> =
        (1..9).flat_map(|number| [[number; 20].as_slice(), &[40, number, 1, 1, 26, 225]].concat()).collect();
    let mut reply = krpc::Reply::new(id);
    reply.nodes = Some(&nodes);
    reply.token = Some(b"tokentok");
    reply.values = Some(krpc::Values::new(b"6:abcdef"));
    let reply = message(krpc::Body::Reply(reply));
    let get_peers = query(krpc::Method::GetPeers { info_hash: target, scrape: true, no_seed: false });
    let framed = |who: u8, datagram: &[u8]| {
        let [high, low] = u16::try_from(datagram.len()).unwrap_or(0).to_be_bytes();
        [&[who, high, low], datagram].concat()
    };
    let mut seeds = vec![
        ("dht_node", "answers", [framed(0, &reply), framed(2, &reply), framed(4, &reply)].concat()),
        (
            "dht_node",
            "questions",
            [framed(1, &get_peers), framed(3, &query(krpc::Method::Ping)), framed(5, &get_peers)].concat(),
        ),
        ("item", "torrent", [&[4; 1][..], &[0; 8], &[0; 2], b"salt", b"d2:ih20:aaaaaaaaaaaaaaaaaaaae"].concat()),
        ("krpc", "find_node", query(krpc::Method::FindNode { target })),
        ("krpc", "get_peers", get_peers),
        ("krpc", "reply", reply),
        ("krpc", "refusal", b"d1:eli203e5:wronge1:t2:aa1:y1:ee".to_vec()),
        (
            "krpc",
            "put",
            b"d1:ad3:casi1e2:id20:abcdefghij01234567895:token8:aoeusnth1:v5:helloe1:q3:put1:t2:aa1:y1:qe".to_vec(),
        ),
        ("bencode", "canonical", encode(|v| v.list(|l| [-1, 0, i64::MAX].into_iter().for_each(|n| l.int(n))))),
        ("bencode", "torrent", one.to_bytes()),
        ("bencode", "unsorted", b"d1:bi1e1:ale0:ee".to_vec()),
        ("bencode_reference", "faults", b"d1:bi-0e1:ali007ei18446744073709551615ee1:a03:abce ".to_vec()),
        ("bencode_reference", "limited", b"ld2:abl2:cdee2:efi-12ee4:abcdef".to_vec()),
        ("bencode_reference", "torrent", one.to_bytes()),
        (
            "bencode_strict",
            "canonical",
            encode(|v| v.list(|l| [i64::MIN, -1, 0, i64::MAX].into_iter().for_each(|n| l.int(n)))),
        ),
        ("bencode_strict", "torrent", one.to_bytes()),
        ("compact", "bitfield", vec![3, 0xff, 0x80, 0x08]),
        ("compact", "both", vec![0x11; 36]),
        ("connection", "early", [&[0b0000, 16][..], &shake().encode(), &messages()].concat()),
        ("connection", "extended", [&[0b1111, 255][..], &extended()].concat()),
        ("connection", "messages", [&[0b0111, 7][..], &messages()].concat()),
        ("connection", "metadata", [&[0b0001, 200][..], &extended()].concat()),
        ("layout", "hybrid", lengths(2, 0, &[16_385, 0, 5, 70_000])),
        ("layout", "v1", lengths(0, 14, &[1, 0, 16_384, 50_000])),
        ("layout", "v2", lengths(1, 1, &[40_000, 0, 32_768, 1])),
        ("magnet", "full", full_link(&many).into_bytes()),
        ("magnet", "hybrid", MagnetLink::new(hybrid()).to_string().into_bytes()),
        ("magnet", "mutable", MutableLink::new([0x56; 32]).with_salt(b"n").with_name("x y").to_string().into_bytes()),
        ("metainfo", "hybrid", both.to_bytes()),
        ("metainfo", "many_files", many.to_bytes()),
        ("metainfo", "one_file", one.to_bytes()),
        ("metainfo", "v2", v2.to_bytes()),
        ("path", "clashes", b"d\xffa\xfeb\xffA\xfeb\xffa\xfeB.txt\xffa".to_vec()),
        (
            "path",
            "odd",
            "../x\0y".bytes().chain(*b"\xffCON\xfe..\xfe\x80\xff").chain("é\u{202e}gpj. ".bytes()).collect(),
        ),
        ("tracker_http", "announce", [&[0, 64][..], &response(&announce)].concat()),
        ("tracker_http", "chunked", [&[0, 9][..], &chunked(&announce)].concat()),
        (
            "tracker_http",
            "redirect",
            b"\x00\x20HTTP/1.1 302 Found\r\nLocation: /other?a=b\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
        ("tracker_http", "request", [&[2, 40][..], REQUEST].concat()),
        ("tracker_http", "scrape", [&[1, 255][..], &response(&scrape)].concat()),
        ("tracker_http", "url", b"\x03\x01https://[2001:db8::1]:8443/announce?passkey=abc".to_vec()),
        ("wire_codec", "extended", extended()),
        ("wire_codec", "handshake", shake().encode().to_vec()),
        ("wire_codec", "messages", messages()),
    ];
    seeds.append(&mut token_seeds());
    Ok(seeds.into_iter().map(|(target, name, bytes)| Seed { target, name, bytes }).collect())
}

/// Inputs of the targets about channels.
fn token_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (id, seed) = (ChannelId::new([9; 32]), unchoke_core::Seed::new([3; 32]));
    let chain = TickChain::new(id, &seed, 20);
    let voucher = Voucher::new(id, Lane::new(1), Seq::new(2), Units::ZERO);
    let voucher = voucher.with_ticks(*chain.anchor(), Units::try_from(3_u64).unwrap_or_default(), 20);
    let signed = SignedVoucher::new(voucher, vec![7; 64]);
    let tick = chain.tick(5);
    let link = tick.map(|it| it.preimage.to_vec()).unwrap_or_default();
    let said = |message: channel::Message| message.encode();
    let transfer = Transfer { owner_address: vec![0x41; 21], to_address: vec![0x41; 21], amount: 5 };
    let transaction = Transaction::new(transfer, 1, &[1; 32], Timestamp::new(5), Timestamp::new(9))
        .with_signatures(vec![vec![7; 64]]);
    let mut bytes = channel::Log::begin(UpdateId::new(3), &[b"snapshot".to_vec()]).unwrap_or_default();
    for number in 4..8 {
        // Short records are not too long.
        let _ = channel::log::append(&mut bytes, UpdateId::new(number), UpdateId::new(number - 2), b"record");
    }
    let mut actions = vec![0; 300];
    seed.rng().fill(&mut actions);
    vec![
        ("channel_consistency", "anything", actions),
        ("channel_consistency", "pay", [[10, 0, 0], [3, 0, 0], [13, 0, 8], [3, 0, 0], [22, 0, 1], [20, 0, 9]].concat()),
        ("channel_log", "records", b"R\x08\x01\n\x08\x02".to_vec()),
        ("channel_log", "log", bytes),
        ("channel_message", "held", said(channel::Message::Held { voucher: signed.clone(), tick })),
        ("channel_message", "reestablish", said(channel::Message::Reestablish { channel: id, lanes: Vec::new() })),
        ("channel_message", "voucher", said(channel::Message::Voucher { alias: 1, voucher: signed })),
        ("transaction", "transfer", transaction.encode()),
        ("voucher", "tick", [&voucher.to_bytes()[..], &[0, 0, 0, 5], &link].concat()),
    ]
}

/// An input of the target `layout`.
fn lengths(version: u8, step: u8, files: &[u64]) -> Vec<u8> {
    let files = files.iter().flat_map(|length| [0].into_iter().chain(length.to_le_bytes()));
    [version, step].into_iter().chain(files).collect()
}

fn one_file() -> Result<Metainfo, BuildError> {
    let mut hasher =
        Builder::new("a.bin", 16_384).single_file(20_000).tracker("http://tracker.test/announce").hasher()?;
    hasher.update(&[0x5a; 20_000]);
    hasher.finish()
}

fn many_files(version: Version) -> Result<Metainfo, BuildError> {
    let mut hasher = Builder::new("folder", 16_384)
        .version(version)
        .add_file(["a", "b.txt"], 10)
        .add_file(["c.txt"], 20_000)
        .tracker_tier(["http://one.test/announce", "udp://two.test:6969/announce"])
        .tracker_tier(["http://three.test/announce"])
        .web_seed("http://seed.test/")
        .comment("a comment")
        .created_by("unchoke")
        .creation_date(1_700_000_000)
        .private()
        .hasher()?;
    hasher.update(&[0xa5; 20_010]);
    hasher.finish()
}

fn full_link(torrent: &Metainfo) -> String {
    MagnetLink::from_metainfo(torrent)
        .with_peer(([127, 0, 0, 1], 6881).into())
        .with_peer((std::net::Ipv6Addr::LOCALHOST, 6882).into())
        .with_selected(0..=1)
        .with_selected(4..=4)
        .to_string()
}

fn hybrid() -> InfoHashes {
    InfoHashes::hybrid(Sha1Hash::new([0x12; 20]), Sha256Hash::new([0x34; 32]))
}

fn shake() -> Handshake {
    Handshake {
        info_hash: InfoHash::new([7; 20]),
        peer_id: PeerId::new(*b"-UC0100-lkjihgfedcba"),
        reserved: Reserved::new().with_fast().with_extension_protocol().with_dht(),
    }
}

fn messages() -> Vec<u8> {
    let block = Block { piece: PieceIndex(1), offset: 16_384, length: 16 };
    let mut out = BytesMut::new();
    for message in [
        Message::Bitfield(Bytes::from_static(&[0b1010_0000])),
        Message::Interested,
        Message::Have(PieceIndex(1)),
        Message::Request(block),
        Message::Cancel(block),
        Message::Piece { block, data: Bytes::from_static(&[9; 16]) },
        Message::Unchoke,
        Message::Port(6881),
        Message::KeepAlive,
        Message::SuggestPiece(PieceIndex(2)),
        Message::AllowedFast(PieceIndex(0)),
        Message::RejectRequest(block),
        Message::NotInterested,
        Message::Choke,
    ] {
        message.encode(&mut out);
    }
    out.to_vec()
}

/// An extended handshake that names every extension, and a message of two of them.
fn extended() -> Vec<u8> {
    let hello = encode(|v| {
        v.dict(|d| {
            d.entry("m", |v| {
                v.dict(|d| {
                    d.int("lt_donthave", 4);
                    d.int("upload_only", 3);
                    d.int("ut_metadata", 1);
                    d.int("ut_pex", 2);
                })
            });
            d.int("metadata_size", 20_000);
            d.int("reqq", 250);
            d.bytes("v", "unchoke");
        })
    });
    let ask = encode(|v| {
        v.dict(|d| {
            d.int("msg_type", 0);
            d.int("piece", 1);
        })
    });
    let pex = encode(|v| {
        v.dict(|d| {
            d.bytes("added", b"\x7f\0\0\x01\x1a\xe1");
            d.bytes("added.f", [2]);
        })
    });
    let mut out = BytesMut::new();
    for (id, payload) in [(0, hello), (1, ask), (2, pex), (3, vec![1]), (4, vec![0, 0, 0, 1])] {
        Message::Extended { id, payload: payload.into() }.encode(&mut out);
    }
    out.to_vec()
}

fn response(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
    [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

const REQUEST: &[u8] =
    b"GET /announce?info_hash=%01%02aaaaaaaaaaaaaaaaaa&peer_id=-UC0100-abcdefghijkl&port=6881&uploaded=1\
&downloaded=2&left=3&event=started&numwant=50&compact=1&key=0000002a HTTP/1.1\r\nHost: tracker.test\r\n\r\n";
