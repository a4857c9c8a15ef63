//! The allowed-fast set ([BEP 6]): pieces that a newcomer may have while it is choked.
//!
//! [BEP 6]: https://www.bittorrent.org/beps/bep_0006.html

use std::net::{IpAddr, Ipv4Addr};
use unchoke_core::hash::sha1;
use unchoke_core::{InfoHash, PieceIndex};

/// The set of `count` pieces for a peer at `ip`, by the canonical algorithm (BEP 6, "Generating the Allowed Fast Set").
///
/// It depends only on the /24 and the torrent, so coming back from a neighbouring address earns nothing. The algorithm is defined for IPv4;
/// for IPv6 the set is empty. At most half of the pieces are given, which also bounds the work.
pub(crate) fn allowed_fast(ip: IpAddr, info_hash: InfoHash, pieces: u32, count: usize) -> Vec<PieceIndex> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    let count = count.min(pieces as usize / 2);
    let mut set = Vec::with_capacity(count);
    let masked = u32::from(ip) & u32::from(Ipv4Addr::new(255, 255, 255, 0));
    let mut seed = Vec::from(masked.to_be_bytes());
    seed.extend_from_slice(info_hash.as_bytes());
    while set.len() < count {
        let digest = sha1(&seed);
        for chunk in digest.as_bytes().as_chunks::<4>().0 {
            if let Some(index) = u32::from_be_bytes(*chunk).checked_rem(pieces)
                && set.len() < count
                && !set.contains(&PieceIndex(index))
            {
                set.push(PieceIndex(index));
            }
        }
        seed = digest.as_bytes().to_vec();
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BEP 6 gives this example: 80.4.4.200, an info-hash of twenty 0xaa, 1313 pieces.
    #[test]
    fn agrees_with_the_example_of_bep_6() {
        let set = |count| allowed_fast("80.4.4.200".parse().unwrap(), InfoHash::new([0xaa; 20]), 1313, count);
        let wanted = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(set(7), wanted[..7].iter().map(|piece| PieceIndex(*piece)).collect::<Vec<_>>());
        assert_eq!(set(9), wanted.iter().map(|piece| PieceIndex(*piece)).collect::<Vec<_>>());
    }

    #[test]
    fn a_torrent_of_few_pieces_gives_at_most_half() {
        let hash = InfoHash::new([1; 20]);
        assert_eq!(allowed_fast("1.2.3.4".parse().unwrap(), hash, 3, 10).len(), 1);
        assert!(allowed_fast("1.2.3.4".parse().unwrap(), hash, 0, 10).is_empty());
        assert!(allowed_fast("2001:db8::1".parse().unwrap(), hash, 100, 10).is_empty());
    }
}
