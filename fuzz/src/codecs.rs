//! Targets of parsers that keep no state.

use bytes::BytesMut;
use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::str::FromStr;
use unchoke_core::Bitfield;
use unchoke_core::compact as peers;
use unchoke_metainfo::magnet::MAX_MAGNET_LEN;
use unchoke_metainfo::{MagnetError, MagnetLink, Metainfo, MutableLink};
use unchoke_wire::{Codec, ExtendedHandshake, Handshake, Message};

/// Torrent files: paths stay below the download folder, the files cover the torrent, and what is written reads the same.
pub fn metainfo(data: &[u8]) {
    let Ok(torrent) = Metainfo::from_bytes(data) else { return };
    let (info, bytes) = (torrent.info(), torrent.to_bytes());
    let total = info.layout().total_len();
    assert_eq!(info.geometry().total_len(), total);
    assert!(info.layout().spans(0, u64::MAX).map(|span| span.len).sum::<u64>() == total, "the files leave a gap");
    for file in info.layout().files() {
        for part in file.components() {
            assert!(!matches!(part, "" | "." | ".."), "{:?} leaves its folder", file.path());
            assert!(!part.contains(['/', '\\', '\0']), "{:?} is no file name", file.path());
        }
    }
    // One hash may stand for four thousand million pieces; others are in the file, piece by piece.
    if info.root_hash().is_none() {
        let missing = info.geometry().pieces().find(|piece| info.piece_hash(*piece).is_none());
        assert_eq!(missing, None, "a piece has no hash");
    }
    match Metainfo::from_bytes(&bytes) {
        Ok(again) => {
            assert_eq!((again.info_hashes(), again.info()), (torrent.info_hashes(), info));
            assert_eq!((again.info().layout(), again.info().geometry()), (info.layout(), info.geometry()));
            assert_eq!(again.parts(), torrent.parts());
            assert_eq!(again.to_bytes(), bytes);
        }
        Err(error) => panic!("what was written does not read: {error}"),
    }
}

/// Magnet links: what is printed reads as the same link, and errors point into the text.
pub fn magnet(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    link::<MagnetLink>(text);
    link::<MutableLink>(text);
}

fn link<L: FromStr<Err = MagnetError> + Display + PartialEq + Debug>(text: &str) {
    let link: L = match text.parse() {
        Ok(link) => link,
        Err(error) => return assert!(error.offset() <= text.len(), "{error} points behind {} bytes", text.len()),
    };
    let printed = link.to_string();
    // Escapes can make a link longer than it came.
    if printed.len() <= MAX_MAGNET_LEN {
        assert_eq!(printed.parse().as_ref(), Ok(&link), "{printed}");
    }
}

/// Peer messages: each encodes to exactly the bytes that it was read from, and handshakes do too.
pub fn wire_codec(data: &[u8]) {
    if let Ok(Some(shake)) = Handshake::decode(data) {
        assert_eq!(shake.encode(), data[..Handshake::LEN]);
    }
    if let Ok(extended) = ExtendedHandshake::decode(data) {
        let mut twice = extended.clone();
        assert!(twice.update(data).is_ok());
        assert_eq!(twice, extended, "an extended handshake that is repeated changes nothing");
    }
    let mut input = BytesMut::from(data);
    let mut at = 0;
    while let Ok(Some(message)) = Codec::new().decode(&mut input) {
        let end = data.len() - input.len();
        assert!(end > at, "a message took no bytes");
        if !matches!(message, Message::Unknown { .. }) {
            let mut encoded = BytesMut::new();
            message.encode(&mut encoded);
            assert_eq!(encoded, data[at..end]);
        }
        at = end;
    }
    assert_eq!(input, data[at..], "what was not taken was changed");
}

/// Compact peer lists and bitfields: what is read is written as the same bytes.
pub fn compact(data: &[u8]) {
    let write = |list: &[SocketAddr]| {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        list.iter().for_each(|peer| peers::encode(*peer, &mut v4, &mut v6));
        (v4, v6)
    };
    assert_eq!(peers::decode_v4(data).is_ok(), data.len().is_multiple_of(peers::V4_LEN));
    assert_eq!(peers::decode_v6(data).is_ok(), data.len().is_multiple_of(peers::V6_LEN));
    if let Ok(list) = peers::decode_v4(data) {
        assert_eq!(write(&list.collect::<Vec<_>>()), (data.to_vec(), Vec::new()));
    }
    if let Ok(list) = peers::decode_v6(data) {
        let list: Vec<_> = list.collect();
        let (v4, v6) = write(&list);
        assert_eq!(v4.len() / peers::V4_LEN + v6.len() / peers::V6_LEN, list.len());
        if v4.is_empty() {
            assert_eq!(v6, data);
        }
    }
    let [spare, bits @ ..] = data else { return };
    let Ok(bytes) = u32::try_from(bits.len()) else { return };
    let len = (bytes * 8).saturating_sub(u32::from(spare % 8));
    if let Ok(field) = Bitfield::from_bytes(bits, len) {
        assert_eq!(field.to_bytes(), bits);
        assert_eq!(field.iter().count(), field.count() as usize);
        assert!(field.iter().all(|piece| piece.0 < len && field.contains(piece)));
    }
}
