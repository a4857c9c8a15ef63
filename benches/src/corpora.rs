//! Bencoded inputs as indexers and DHT crawlers meet them, the same in every run.

use std::path::Path;
use unchoke_bencode::{Encoder, encode};
use unchoke_core::Seed;

/// Names and bytes of all inputs.
#[must_use]
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("torrent100k", torrent(100_000, 100_000)),
        ("dht50mb", dht(50_000_000)),
        ("find_node", find_node(1)),
        ("get_peers", get_peers(2)),
        ("values", values(3)),
    ]
}

/// Writes all inputs into a folder, a file each.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write_to(folder: &Path) -> std::io::Result<()> {
    all().into_iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))
}

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut bytes = vec![0; length];
    Seed::new(key).rng().fill(&mut bytes);
    bytes
}

/// A torrent file: about 70 bytes a file and 20 a piece.
#[must_use]
pub fn torrent(files: u32, pieces: u32) -> Vec<u8> {
    encode(|value| {
        value.dict(|torrent| {
            torrent.bytes("announce", "udp://tracker.example.org:6969/announce");
            torrent.int("creation date", 1_700_000_000);
            torrent.entry("info", |value| {
                value.dict(|info| {
                    info.entry("files", |value| {
                        value.list(|list| {
                            for number in 0..files {
                                list.item(|value| {
                                    value.dict(|file| {
                                        file.int("length", 1_048_576);
                                        file.entry("path", |value| {
                                            value.list(|path| {
                                                path.bytes(format!("dir{:03}", number / 1000));
                                                path.bytes(format!("sub{:02}", number / 10 % 100));
                                                path.bytes(format!("some file name {number:06}.dat"));
                                            })
                                        });
                                    })
                                });
                            }
                        })
                    });
                    info.bytes("name", "bench");
                    info.int("piece length", 1 << 20);
                    info.bytes("pieces", bytes(1, pieces as usize * 20));
                })
            });
        })
    })
}

/// What a node answers to `find_node` (BEP 5).
#[must_use]
pub fn find_node(seed: u64) -> Vec<u8> {
    let random = bytes(seed, 230);
    let (id, nodes, transaction) = (&random[..20], &random[20..228], &random[228..]);
    encode(|value| {
        value.dict(|reply| {
            reply.entry("r", |value| {
                value.dict(|r| {
                    r.bytes("id", id);
                    r.bytes("nodes", nodes);
                })
            });
            reply.bytes("t", transaction);
            reply.bytes("v", b"LT\x02\x01");
            reply.bytes("y", "r");
        })
    })
}

/// A query `get_peers` (BEP 5).
#[must_use]
pub fn get_peers(seed: u64) -> Vec<u8> {
    let random = bytes(seed, 42);
    encode(|value| {
        value.dict(|query| {
            query.entry("a", |value| {
                value.dict(|a| {
                    a.bytes("id", &random[..20]);
                    a.bytes("info_hash", &random[20..40]);
                })
            });
            query.bytes("q", "get_peers");
            query.bytes("t", &random[40..]);
            query.bytes("y", "q");
        })
    })
}

/// What a node answers to `get_peers` that knows thirty peers.
#[must_use]
pub fn values(seed: u64) -> Vec<u8> {
    let random = bytes(seed, 418);
    encode(|value| {
        value.dict(|reply| {
            reply.entry("r", |value| {
                value.dict(|r| {
                    r.bytes("id", &random[..20]);
                    r.bytes("nodes", &random[20..228]);
                    r.bytes("token", &random[228..236]);
                    r.entry("values", |value| {
                        value.list(|list| random[236..416].chunks(6).for_each(|peer| list.bytes(peer)))
                    });
                })
            });
            reply.bytes("t", &random[416..]);
            reply.bytes("y", "r");
        })
    })
}

/// A list of messages, about `length` bytes in all: two queries to one reply of each kind.
#[must_use]
pub fn dht(length: usize) -> Vec<u8> {
    let mut encoder = Encoder::append_to(b"l".to_vec());
    let mut seed = 10;
    while encoder.as_bytes().len() < length {
        seed += 1;
        let message = match seed % 4 {
            0 | 1 => get_peers(seed),
            2 => find_node(seed),
            _ => values(seed),
        };
        encoder.value().raw(&message);
    }
    let mut list = encoder.finish();
    list.push(b'e');
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_bencode::{DecodeLimits, decode};

    #[test]
    fn every_input_is_canonical() {
        for (name, bytes) in all() {
            let mut limits = DecodeLimits::strict();
            (limits.max_len, limits.max_tokens) = (bytes.len(), usize::MAX);
            assert!(decode(&bytes, &limits).is_ok(), "{name}");
        }
    }
}
