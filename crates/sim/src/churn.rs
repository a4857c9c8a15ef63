//! Hosts that come and go.

use crate::distribution::Distribution;
use crate::host_id::HostId;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::Seed;

/// Names a [`Churn`] of a world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChurnId(pub(crate) u32);

/// How long hosts stay, and how long they stay away.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Churn {
    /// The length of a session.
    pub session: Distribution,
    /// The time between two sessions.
    pub offline: Distribution,
    /// What a host remembers.
    pub memory: Memory,
}

impl Churn {
    /// Sessions and pauses of these lengths; nothing is remembered.
    #[must_use]
    pub const fn new(session: Distribution, offline: Distribution) -> Self {
        Self { session, offline, memory: Memory::Lost }
    }

    /// What was measured among nodes of the DHT: Weibull sessions with k = 0.43 and λ = 473 min, and pauses of the same mean length, so
    /// that in the long run half of the hosts are up.
    #[must_use]
    pub const fn dht() -> Self {
        // λ Γ(1 + 1 / 0.43) = 473 min × 2.756.
        Self::new(
            Distribution::Weibull { shape: 0.43, scale: Duration::from_secs(473 * 60) },
            Distribution::Exponential { mean: Duration::from_secs(1303 * 60) },
        )
    }
}

/// What becomes of a host's state when it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Memory {
    /// It is dropped, and its memory is free while the host is away.
    Lost,
    /// It lies in [`Birth::previous`] when the host comes back.
    Kept,
}

/// What a factory knows of the session that begins.
#[derive(Debug)]
#[non_exhaustive]
pub struct Birth<H> {
    /// The host.
    pub host: HostId,
    /// The time.
    pub now: Instant,
    /// The host's own addresses.
    pub addresses: Vec<SocketAddr>,
    /// 0 for the first session of the host, 1 for the next.
    pub session: u32,
    /// Randomness of this host and session alone.
    pub seed: Seed,
    /// What the host was when it left, if that was kept.
    pub previous: Option<H>,
}
