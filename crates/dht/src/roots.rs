//! Addresses to begin with when no node is known.

use crate::endpoint::{Endpoint as _, V4, V6};
use std::net::SocketAddr;

/// A few addresses of each family, as short as they can be kept.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    pub(crate) v4: Vec<V4>,
    pub(crate) v6: Vec<V6>,
}

impl Roots {
    /// Adds an address unless there are enough.
    pub(crate) fn add(&mut self, address: SocketAddr) {
        if self.len() >= MAX_ROOTS {
            return;
        }
        if let Some(endpoint) = V4::new(address)
            && !self.v4.contains(&endpoint)
        {
            self.v4.push(endpoint);
        } else if let Some(endpoint) = V6::new(address)
            && !self.v6.contains(&endpoint)
        {
            self.v6.push(endpoint);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.len().saturating_add(self.v6.len())
    }
}

/// Addresses that are kept to begin with.
pub(crate) const MAX_ROOTS: usize = 64;
