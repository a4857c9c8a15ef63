//! What a world counts.

use std::fmt;
use std::net::IpAddr;

/// What has happened in a world so far. Sizes are bytes of payload, without headers of IP, UDP and TCP.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Calls of hosts by the world: datagrams, timeouts, stream events, starts.
    pub events: u64,
    /// Datagrams that hosts sent.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Datagrams that reached a host.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams that came twice.
    pub duplicated: u64,
    /// Datagrams that a line or route lost.
    pub lost: u64,
    /// Datagrams that met a full queue.
    pub queue_full: u64,
    /// Datagrams that a partition or blackout stopped.
    pub cut: u64,
    /// Datagrams that a NAT or firewall did not let through.
    pub blocked: u64,
    /// Datagrams to a host that was down.
    pub to_down: u64,
    /// Datagrams to an address that nobody has.
    pub to_nobody: u64,
    /// Timeouts that hosts handled.
    pub timeouts: u64,
    /// Timeouts after which the host wanted one at once again; the world makes it wait 1 ms.
    pub stuck_timeouts: u64,
    /// Streams that were accepted.
    pub streams_opened: u64,
    /// Streams that could not be opened.
    pub streams_failed: u64,
    /// Bytes of streams that reached a host.
    pub stream_bytes: u64,
    /// Sessions of hosts that began.
    pub joined: u64,
    /// Sessions of hosts that ended.
    pub left: u64,
}

/// What one host sent and received.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Traffic {
    /// Datagrams sent.
    pub datagrams_sent: u32,
    /// Datagrams received.
    pub datagrams_received: u32,
    /// Bytes sent, of datagrams and streams.
    pub bytes_sent: u64,
    /// Bytes received, of datagrams and streams.
    pub bytes_received: u64,
}

/// A digest over all that was sent: when, from where, to where, and each byte. Equal runs have equal hashes. It is no cryptographic one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceHash(u64);

impl TraceHash {
    pub(crate) const NEW: Self = Self(0x243f_6a88_85a3_08d3);

    /// The digest as a number, to write down.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    pub(crate) const fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }

    pub(crate) fn add_ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.add(ip.to_bits().into()),
            IpAddr::V6(ip) => self.add_bytes(&ip.octets()),
        }
    }

    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}
