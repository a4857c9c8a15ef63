//! When a silent connection needs a word or an end.

use crate::config::ConnectionConfig;
use std::time::{Duration, Instant};

/// The last signs of life of either side.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    opened: Instant,
    heard: Instant,
    spoke: Instant,
    shaken: bool,
    handshake: Duration,
    idle: Duration,
    keep_alive: Duration,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    KeepAlive,
    HandshakeOverdue,
    Idle,
}

impl Timers {
    pub(super) fn new(now: Instant, config: &ConnectionConfig) -> Self {
        Self {
            opened: now,
            heard: now,
            spoke: now,
            shaken: false,
            handshake: config.handshake_timeout,
            idle: config.idle_timeout,
            keep_alive: config.keep_alive,
        }
    }

    pub(super) fn handle_shaken(&mut self, now: Instant) {
        self.shaken = true;
        self.heard = now;
    }

    pub(super) fn handle_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn handle_spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        let since = |then| now.saturating_duration_since(then);
        match self.shaken {
            false if since(self.opened) >= self.handshake => Due::HandshakeOverdue,
            true if since(self.heard) >= self.idle => Due::Idle,
            true if since(self.spoke) >= self.keep_alive => Due::KeepAlive,
            _ => Due::Nothing,
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        if !self.shaken {
            return self.opened.checked_add(self.handshake);
        }
        [self.heard.checked_add(self.idle), self.spoke.checked_add(self.keep_alive)].into_iter().flatten().min()
    }
}
