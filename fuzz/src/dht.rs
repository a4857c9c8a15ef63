//! The DHT: its messages, and a node that knows others and is at work.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::keys::SecretKey;
use unchoke_core::{DatagramProtocol as _, Handled, Path, Seed};
use unchoke_dht::krpc::{Body, Message};
use unchoke_dht::mutable_torrent::{read_torrent_value, torrent_value};
use unchoke_dht::{Announcement, Config, Id, Item, Node};

/// Any bytes are read or refused; what is read is written in canonical form, and that reads the same.
pub fn krpc(data: &[u8]) {
    let mut tape = Tape::new();
    let Ok(message) = Message::read(data, &mut tape) else { return };
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    let again = Message::read(&bytes, &mut tape);
    // Arguments that a method does not have are gone, and so may be what made sense only with them.
    let again = again.map(|it| (it.transaction.to_vec(), kind(&it), format!("{it:?}")));
    assert_eq!(again, Ok((message.transaction.to_vec(), kind(&message), format!("{message:?}"))));
}

fn kind(message: &Message<'_>) -> u8 {
    match message.body {
        Body::Query(_) => 0,
        Body::Reply(_) => 1,
        _ => 2,
    }
}

/// A value becomes an item only if it may be stored, and then it is found again as it was and in no other place. The first byte says how much of
/// the rest is a salt, the eight bytes after that are a sequence number, the next two say which byte of the value is changed.
pub fn item(data: &[u8]) {
    let Some((salt_len, rest)) = data.split_first() else { return };
    let Some((seq, rest)) = rest.split_first_chunk::<8>() else { return };
    let Some((place, rest)) = rest.split_first_chunk::<2>() else { return };
    let Some((salt, value)) = rest.split_at_checked(usize::from(*salt_len)) else { return };
    if let Ok(info_hash) = read_torrent_value(value) {
        assert_eq!(read_torrent_value(&torrent_value(info_hash)), Ok(info_hash));
    }
    let immutable = Item::immutable(value);
    let signed = Item::sign(&SecretKey::from_bytes(&[3; 32]), salt, i64::from_be_bytes(*seq), value);
    assert!(immutable.is_err() || !value.is_empty() && value.len() <= 1000);
    assert_eq!(signed.is_ok(), immutable.is_ok() && salt.len() <= 64);
    let mut changed = value.to_vec();
    if let Some(byte) = changed.get_mut(usize::from(u16::from_be_bytes(*place)) % value.len().max(1)) {
        *byte ^= 1;
    }
    if let Ok(item) = immutable {
        assert_eq!(Item::from_found(item.target(), value, b"", None).as_ref(), Ok(&item));
        assert!(Item::from_found(item.target(), &changed, b"", None).is_err());
    }
    if let Ok(item) = signed {
        let found = |value: &[u8], salt: &[u8]| Item::from_found(item.target(), value, salt, item.signed());
        assert_eq!(found(value, salt).as_ref(), Ok(&item));
        assert!(found(&changed, salt).is_err() && found(value, b"another salt").is_err() == (salt != b"another salt"));
    }
}

/// A node that is searching gets datagrams of strangers and of nodes that it has asked. Each is preceded by one byte that tells who sends it, and two
/// that tell its length; in an answer the first four bytes stand for the number of the query, which is put in. Between them its owner asks it to do
/// things, as the first byte says.
pub fn dht_node(data: &[u8]) {
    let start = Instant::now();
    let mut now = start;
    let mut node = Node::new(Config::default(), &Seed::new([1; 32]), now);
    let root: SocketAddr = ([20, 0, 0, 1], 6881).into();
    node.bootstrap(now, &[root]);
    node.get_peers(now, Id::new([7; 20]), Some(Announcement::new(1)));
    let mut rest = data;
    let mut asked: Vec<(SocketAddr, [u8; 4])> = Vec::new();
    let mut out = Vec::new();
    let mut steps = 0;
    while let [who, high, low, more @ ..] = rest {
        steps += 1;
        if steps > 64 {
            break;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (datagram, left) = more.split_at(length);
        rest = left;
        let mut datagram = datagram.to_vec();
        // An odd number is a stranger, an even one somebody whose answer is waited for.
        let from = if who % 2 == 0 && !asked.is_empty() {
            let (to, number) = asked.remove(usize::from(who / 2) % asked.len());
            if let Some(at) = datagram.windows(7).position(|bytes| bytes == b"1:t4:TT") {
                datagram.get_mut(at + 5..at + 9).into_iter().for_each(|place| place.copy_from_slice(&number));
            }
            to
        } else {
            SocketAddr::from(([30, *who, 1, 1], 6881))
        };
        operate(&mut node, now, *who);
        let is_stranger = !asked.iter().any(|(to, _)| *to == from) && from.ip() != root.ip();
        let handled = node.handle_input(now, Path::from_remote(from), &datagram);
        let mut answered = 0;
        while let Some(transmit) = node.poll_transmit(now, &mut out) {
            assert_eq!(transmit.size, out.len());
            let mut tape = Tape::new();
            match Message::read(&out, &mut tape) {
                Ok(Message { transaction, body: Body::Query(_), .. }) => {
                    if let Ok(number) = transaction.try_into() {
                        asked.push((transmit.destination, number));
                    }
                }
                Ok(_) => answered += if transmit.destination == from { out.len() } else { 0 },
                Err(error) => panic!("the node has sent {}: {error:?}", out.escape_ascii()),
            }
            assert_ne!(transmit.destination.port(), 0);
            out.clear();
        }
        if is_stranger && who % 2 == 1 {
            assert!(answered <= 3 * datagram.len().max(20), "{} bytes for {}", answered, datagram.len());
            assert!(handled != Handled::NotMine || answered == 0);
        }
        while node.poll_event().is_some() {}
        check_tables(&node, root);
        now += Duration::from_millis(u64::from(*who) * 4);
        if node.poll_timeout().is_some_and(|at| at <= now) {
            node.handle_timeout(now);
        }
    }
    let health = node.health();
    assert!(health.nodes_v4 + health.nodes_v6 <= steps && asked.len() < 1000);
    let state = node.save();
    assert!(Node::restore(Config::default(), &state, &Seed::new([2; 32]), now).is_ok());
}

/// What the owner of a node may want of it.
fn operate(node: &mut Node, now: Instant, what: u8) {
    let target = Id::new([what; 20]);
    match what {
        200 => drop(node.find_node(now, target)),
        201 => drop(node.get_peers(now, target, None)),
        202 => drop(node.scrape(now, target)),
        203 => drop(node.sample_infohashes(now, target)),
        204 => drop(node.get_immutable(now, target)),
        205 => drop(Item::immutable(b"4:item").map(|item| node.put(now, item, None))),
        206 => {
            let op = node.find_node(now, target);
            node.cancel(now, op);
        }
        207 => node.add_node(now, SocketAddr::from(([40, what, 1, 1], 6881))),
        208 => node.handle_network_change(now),
        209 => node.handle_unreachable(now, SocketAddr::from(([20, 0, 0, 1], 6881))),
        210 => drop(node.find_node_at(now, SocketAddr::from(([40, what, 1, 1], 6881)), target)),
        211 => drop(node.sample_infohashes_at(now, SocketAddr::from(([20, 0, 0, 1], 6881)), target)),
        _ => {}
    }
}

/// No id and no host is in a table twice, nobody has our id, and none is there that cannot be reached.
fn check_tables(node: &Node, root: SocketAddr) {
    let nodes = node.nodes();
    let ids: BTreeSet<Id> = nodes.iter().map(|(id, _)| *id).collect();
    let hosts: BTreeSet<_> = nodes.iter().map(|(_, address)| address.ip()).collect();
    assert!(ids.len() == nodes.len() && hosts.len() == nodes.len(), "{nodes:?}");
    assert!(!ids.contains(&node.id(root)) && nodes.iter().all(|(_, address)| address.port() != 0));
    assert_eq!(node.health().nodes_v4 + node.health().nodes_v6, nodes.len());
}
