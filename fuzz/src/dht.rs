//! The DHT: its messages, and a node that knows others and is at work.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::{DatagramProtocol as _, Handled, Path, Seed};
use unchoke_dht::krpc::{Body, Message};
use unchoke_dht::{Announcement, Config, Id, Node};

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

/// A node that is searching gets datagrams of strangers and of nodes that it has asked. Each is preceded by one byte that tells who sends it, and two
/// that tell its length; in an answer the first four bytes stand for the number of the query, which is put in.
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
