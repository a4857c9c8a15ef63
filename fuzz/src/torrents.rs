//! Torrent files for differential tests: sound ones, ones at the edge of what is allowed, and broken ones, each from a seed and a number.

mod mutate;
mod plan;
mod tree;

use unchoke_core::Seed;

/// The torrent file of this number. The same seed and number give the same bytes.
#[must_use]
pub fn torrent(seed: &Seed, number: u32) -> Vec<u8> {
    let mut rng = seed.derive(&format!("torrent {number}")).rng();
    let kind = Kind::pick(rng.below(100));
    let mut file = plan::Plan::random(&mut rng, kind).into_tree();
    match kind {
        Kind::Valid | Kind::Names | Kind::Layout => {}
        Kind::Encoding => mutate::encoding(&mut file, &mut rng),
        Kind::Fields => mutate::fields(&mut file, &mut rng),
        Kind::Bytes => return mutate::bytes(file.encode(), &mut rng),
    }
    let mut bytes = file.encode();
    if kind == Kind::Encoding && rng.below(6) == 0 {
        bytes.extend_from_slice(b"trailing");
    }
    bytes
}

/// What is unusual about a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Nothing.
    Valid,
    /// Its names.
    Names,
    /// Its lengths, attributes, links and padding.
    Layout,
    /// How it is encoded.
    Encoding,
    /// A field is missing, or has another value.
    Fields,
    /// Bytes are changed, missing or too many.
    Bytes,
}

impl Kind {
    fn pick(percent: u32) -> Self {
        match percent {
            0..15 => Self::Valid,
            15..30 => Self::Names,
            30..45 => Self::Layout,
            45..60 => Self::Encoding,
            60..90 => Self::Fields,
            _ => Self::Bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_metainfo::Metainfo;

    #[test]
    fn torrents_depend_on_seed_and_number_alone_and_are_of_every_kind() {
        let seed = Seed::new([7; 32]);
        let all: Vec<_> = (0..500).map(|number| torrent(&seed, number)).collect();
        assert_eq!(all[17], torrent(&seed, 17));
        assert_ne!(all[17], torrent(&Seed::new([8; 32]), 17));
        let loaded = all.iter().filter(|file| Metainfo::from_bytes(file).is_ok()).count();
        assert!((150..450).contains(&loaded), "{loaded}");
    }

    #[test]
    fn torrents_that_are_to_be_valid_are() {
        let seed = Seed::new([9; 32]);
        for number in 0..200 {
            let mut rng = seed.derive(&number.to_string()).rng();
            let file = plan::Plan::random(&mut rng, Kind::Valid).into_tree().encode();
            let read = Metainfo::from_bytes(&file);
            assert!(read.as_ref().is_ok_and(|it| it.to_bytes() == file), "{read:?}");
        }
    }
}
