//! B16: two messages with one SHA-1 digest, which are published as "SHAttered" (Stevens, Bursztein, Karpman, Albertini, Markov, 2017).
#![allow(clippy::unwrap_used, reason = "a test may")]

use unchoke_core::hash::{sha1, sha256};
use unchoke_core::{PieceHash, PieceRoot};

/// What both begin with.
const START: &str = "\
     255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f\
     4865696768742033203020522f547970652034203020522f537562747970652035203020522f4669\
     6c7465722036203020522f436f6c6f7253706163652037203020522f4c656e677468203820302052\
     2f42697473506572436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d31\
     20697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01";
/// How they go on.
const ENDS: [&str; 2] = [
    "\
     7346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5\
     df45c14f26fedfb3dc38e96ac22fe7bd728f0e45bce046d23c570feb141398bb552ef5a0a82be331\
     fea48037b8b5d71f0e332edf93ac3500eb4ddc0decc1a864790c782c76215660dd309791d06bd0af\
     3f98cda4bc4629b1",
    "\
     7f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c791fe02b3df614f86db1690901c5\
     6b45c1530afedfb76038e972722fe7ad728f0e4904e046c230570fe9d41398abe12ef5bc942be335\
     42a4802d98b5d70f2a332ec37fac3514e74ddc0f2cc1a874cd0c78305a21566461309789606bd0bf\
     3f98cda8044629a1",
];

/// The two messages, with the same bytes behind them.
fn messages() -> [Vec<u8>; 2] {
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    ENDS.map(|end| {
        let digits = format!("{START}{end}");
        let mut bytes: Vec<u8> = digits.as_bytes().as_chunks::<2>().0.iter().map(|digits| byte(digits)).collect();
        bytes.resize(16_384, 0x5a);
        bytes
    })
}

#[test]
fn b16_a_block_made_to_collide_passes_as_v1_and_is_refused_where_there_is_a_merkle_root() {
    let [one, other] = messages();
    assert_ne!(one, other);
    let v1 = sha1(&one);
    assert!(PieceHash::V1(v1).matches(&other), "without the collision this test shows nothing");
    let root = PieceRoot { root: sha256(&one), length: 16_384, leaves: 1 };
    for hash in [PieceHash::V2(root), PieceHash::Hybrid(v1, root)] {
        assert!(hash.matches(&one) && !hash.matches(&other));
    }
}

#[cfg(feature = "collision-detection")]
#[test]
fn b16_blocks_made_to_collide_are_told_from_others() {
    use unchoke_core::hash::is_sha1_collision;
    for message in messages() {
        assert!(is_sha1_collision(&message) && is_sha1_collision(&message[..320]));
        // Before the second of the two blocks that make it the collision is not complete.
        assert!(!is_sha1_collision(&message[..192]));
        let mut changed = message;
        changed[200] ^= 1;
        assert!(!is_sha1_collision(&changed));
    }
    assert!(!is_sha1_collision(b"") && !is_sha1_collision(&[0x5a; 16_384]));
}
