//! How much is taken from one address, and how fast queries go out.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Counts what comes from each address in a table of fixed size, so that no flood makes it grow.
///
/// An address shares its place with others that fall into the same one; a flood from very many addresses slows itself down and a few others.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// By a keyed hash of the address. Empty while nothing has come.
    places: Vec<Place>,
    key: u64,
    start: Instant,
    burst: u16,
    per_second: u16,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Who it is about, in short.
    tag: u16,
    /// What may still come.
    left: u16,
    /// Seconds since the start.
    since: u32,
}

const PLACES: usize = 64;
const WAYS: usize = 4;
/// The first place of any four.
const PLACES_MASK: u64 = 0x3c;

impl Inbound {
    /// `per_second` datagrams from an address, and `burst` at once.
    pub(crate) fn new(now: Instant, key: u64, per_second: u16, burst: u16) -> Self {
        Self { places: Vec::new(), key, start: now, burst, per_second }
    }

    /// Whether another datagram from this address is welcome.
    pub(crate) fn take(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.per_second == 0 {
            return true;
        }
        if self.places.is_empty() {
            self.places = vec![Place { tag: 0, left: self.burst, since: 0 }; PLACES];
        }
        let hash = hash(self.key, ip);
        let tag = u16::try_from(hash >> 48).unwrap_or(0);
        let first = usize::try_from(hash & PLACES_MASK).unwrap_or(0);
        let seconds = u32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(u32::MAX);
        let (burst, per_second) = (self.burst, self.per_second);
        let Some(ways) = self.places.get_mut(first..first.saturating_add(WAYS)) else { return true };
        ways.iter_mut().for_each(|place| place.refill(seconds, per_second, burst));
        if let Some(known) = ways.iter_mut().find(|place| place.tag == tag) {
            let has_left = known.left > 0;
            known.left = known.left.saturating_sub(1);
            return has_left;
        }
        // The one that has used least of its share has least to lose.
        if let Some(place) = ways.iter_mut().max_by_key(|place| place.left) {
            let left = if place.left == burst { burst } else { place.left / 2 };
            *place = Place { tag, left: left.saturating_sub(1), since: seconds };
            return left > 0;
        }
        true
    }
}

impl Place {
    fn refill(&mut self, seconds: u32, per_second: u16, burst: u16) {
        let passed = seconds.saturating_sub(self.since);
        let more = u16::try_from(passed).unwrap_or(u16::MAX).saturating_mul(per_second);
        self.left = self.left.saturating_add(more).min(burst);
        self.since = seconds;
    }
}

/// Mixes an address with a key that nobody else knows.
fn hash(key: u64, ip: IpAddr) -> u64 {
    let number = match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        // All addresses of a network belong to one owner.
        IpAddr::V6(ip) => u64::try_from(u128::from(ip) >> 64).unwrap_or(0) | 1 << 63,
    };
    let mut hash = key ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93).wrapping_add(key.rotate_left(17));
    }
    hash ^ hash >> 32
}

/// Lets so many things happen a second, and a few more at once.
#[derive(Debug)]
pub(crate) struct Pacer {
    per_second: u32,
    burst: u32,
    /// In thousandths.
    left: u64,
    since: Instant,
}

impl Pacer {
    pub(crate) fn new(now: Instant, per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, left: u64::from(burst).saturating_mul(1000), since: now }
    }

    /// Lets one happen if it may.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.has_left(now) {
            self.left = self.left.saturating_sub(1000);
            return true;
        }
        false
    }

    /// Whether one more may happen now.
    pub(crate) fn has_left(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let more = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).saturating_mul(self.per_second.into());
        if more > 0 {
            self.left = self.left.saturating_add(more).min(u64::from(self.burst).saturating_mul(1000));
            self.since = now;
        }
        !self.is_empty()
    }

    /// Whether nothing was left when it was last looked.
    pub(crate) fn is_empty(&self) -> bool {
        self.left < 1000
    }

    /// When one more may happen.
    pub(crate) fn ready_at(&self) -> Instant {
        let missing = 1000_u64.saturating_sub(self.left);
        let wait = missing.div_ceil(u64::from(self.per_second).max(1)).max(1);
        self.since.checked_add(Duration::from_millis(wait)).unwrap_or(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// D8, in part: a flood from one address does not keep others out, and takes no memory.
    #[test]
    fn d8_who_floods_is_not_heard_and_others_are() {
        let now = Instant::now();
        let mut inbound = Inbound::new(now, 77, 10, 20);
        let flooder = IpAddr::from([6, 6, 6, 6]);
        let (mut heard, mut honest) = (0, 0);
        for milli in 0..10_000_u64 {
            let now = now + Duration::from_millis(milli);
            heard += (0..10).filter(|_| inbound.take(now, flooder)).count();
            if milli % 10 == 0 {
                honest += usize::from(inbound.take(now, Ipv4Addr::from(milli as u32 * 7919).into()));
            }
        }
        assert!((20..=130).contains(&heard), "{heard}");
        assert!(honest >= 900, "{honest}");
        assert_eq!(inbound.places.len(), PLACES);
    }

    #[test]
    fn a_pace_is_kept_over_time() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 50, 10);
        let taken = (0..5000).filter(|milli| pacer.take(start + Duration::from_millis(*milli))).count();
        assert!((255..=260).contains(&taken), "{taken}");
        while pacer.take(start + Duration::from_millis(5000)) {}
        assert!(pacer.take(pacer.ready_at()));
    }
}
