//! Write tokens (BEP 5): what a node gives to whoever asks, and wants back from whoever stores.

use crate::id::Id;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use unchoke_core::Rng;
use unchoke_core::hash::sha256;

/// Makes tokens and knows its own.
///
/// A token is a keyed hash of an address and a target. It depends on nothing that is linear in them, so tokens of one address tell nothing about
/// those of another. It is good for five to ten minutes.
#[derive(Debug)]
pub(crate) struct Tokens {
    secrets: [[u8; 16]; 2],
    changed: Instant,
}

/// A token.
pub(crate) type Token = [u8; 8];

const LIFETIME: Duration = Duration::from_secs(300);

impl Tokens {
    pub(crate) fn new(now: Instant, rng: &mut Rng) -> Self {
        let mut secrets = [[0; 16]; 2];
        secrets.iter_mut().for_each(|secret| rng.fill(secret));
        Self { secrets, changed: now }
    }

    /// The token of an address for a target.
    pub(crate) fn make(&self, ip: IpAddr, target: Id) -> Token {
        let [current, _] = &self.secrets;
        token(current, ip, target)
    }

    /// Whether this is a token that was made for the address and the target not long ago.
    pub(crate) fn is_valid(&self, given: &[u8], ip: IpAddr, target: Id) -> bool {
        // Whoever can measure the time of this comparison learns about a token that is his own.
        self.secrets.iter().any(|secret| token(secret, ip, target) == given)
    }

    /// Takes a new secret if it is time for one.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        let age = now.saturating_duration_since(self.changed);
        if age < LIFETIME {
            return;
        }
        let [current, before] = &mut self.secrets;
        *before = *current;
        rng.fill(current);
        if age >= LIFETIME.saturating_mul(2) {
            rng.fill(before);
        }
        self.changed = now;
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.changed.checked_add(LIFETIME).unwrap_or(self.changed)
    }
}

fn token(secret: &[u8; 16], ip: IpAddr, target: Id) -> Token {
    let ip = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    // No longer than what is hashed in one step.
    let mut text = [0; 52];
    let parts = secret.iter().copied().chain(ip.octets()).chain(*target.as_bytes());
    text.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    let [a, b, c, d, e, f, g, h, ..] = *sha256(&text).as_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    const T: Id = Id::new([9; 20]);

    #[test]
    fn a_token_is_good_for_its_address_and_target_and_for_five_to_ten_minutes() {
        let (start, mut rng) = (Instant::now(), Seed::new([1; 32]).rng());
        let mut tokens = Tokens::new(start, &mut rng);
        let [one, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let token = tokens.make(one, T);
        assert!(tokens.is_valid(&token, one, T) && tokens.is_valid(&token, "::ffff:192.0.2.1".parse().unwrap(), T));
        assert!(!tokens.is_valid(&token, other, T) && !tokens.is_valid(&token, one, Id::new([8; 20])));
        assert!(!tokens.is_valid(&token[..7], one, T) && !tokens.is_valid(&[], one, T));
        tokens.handle_timeout(start + LIFETIME - Duration::from_secs(1), &mut rng);
        assert_eq!(tokens.make(one, T), token);
        tokens.handle_timeout(start + LIFETIME, &mut rng);
        assert!(tokens.is_valid(&token, one, T) && tokens.make(one, T) != token);
        tokens.handle_timeout(start + LIFETIME * 2, &mut rng);
        assert!(!tokens.is_valid(&token, one, T));
        let token = tokens.make(one, T);
        tokens.handle_timeout(start + LIFETIME * 9, &mut rng);
        assert!(!tokens.is_valid(&token, one, T));
    }

    /// What a checksum would allow: to compute the token of a third address from those of three others.
    #[test]
    fn tokens_are_not_linear_in_the_address() {
        let tokens = Tokens::new(Instant::now(), &mut Seed::new([2; 32]).rng());
        let of = |ip: u32| u64::from_be_bytes(tokens.make(std::net::Ipv4Addr::from(ip).into(), T));
        let mut rng = Seed::new([3; 32]).rng();
        for _ in 0..10_000 {
            let (a, b, c) = (rng.next_u32(), rng.next_u32(), rng.next_u32());
            assert_ne!(of(a) ^ of(b) ^ of(c), of(a ^ b ^ c));
        }
    }
}
