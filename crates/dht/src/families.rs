//! The two address families side by side ([BEP 32]): a node has a table for each, and a search runs in both.
//!
//! [BEP 32]: https://www.bittorrent.org/beps/bep_0032.html

use crate::endpoint::{Endpoint, V4, V6};
use crate::id::Id;
use crate::lookup::Lookup;
use crate::roots::Roots;
use crate::table::Table;
use std::net::SocketAddr;
use std::time::Instant;

/// The routing tables.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) v4: Table<V4>,
    pub(crate) v6: Table<V6>,
}

/// The parts of a search.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) v4: Option<Lookup<V4>>,
    pub(crate) v6: Option<Lookup<V6>>,
}

/// An address family, as far as it decides what belongs to it.
pub(crate) trait Family: Endpoint {
    fn table(tables: &Tables) -> &Table<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
    fn lookup(lookups: &mut Lookups) -> &mut Option<Lookup<Self>>;
    fn roots(roots: &Roots) -> &[Self];
}

impl Family for V4 {
    fn table(tables: &Tables) -> &Table<Self> {
        &tables.v4
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.v4
    }

    fn lookup(lookups: &mut Lookups) -> &mut Option<Lookup<Self>> {
        &mut lookups.v4
    }

    fn roots(roots: &Roots) -> &[Self] {
        &roots.v4
    }
}

impl Family for V6 {
    fn table(tables: &Tables) -> &Table<Self> {
        &tables.v6
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.v6
    }

    fn lookup(lookups: &mut Lookups) -> &mut Option<Lookup<Self>> {
        &mut lookups.v6
    }

    fn roots(roots: &Roots) -> &[Self] {
        &roots.v6
    }
}

impl Tables {
    /// Our id in the family of an address.
    pub(crate) fn own(&self, address: SocketAddr) -> Id {
        if address.is_ipv4() { self.v4.own() } else { self.v6.own() }
    }

    /// Whether this node has answered us and not failed since.
    pub(crate) fn knows(&self, id: Id, address: SocketAddr) -> bool {
        V4::new(address).is_some_and(|endpoint| self.v4.knows(id, endpoint))
            || V6::new(address).is_some_and(|endpoint| self.v6.knows(id, endpoint))
    }

    /// Whether this node is in a table, or beside it.
    pub(crate) fn holds(&self, id: Id, address: SocketAddr) -> bool {
        V4::new(address).is_some_and(|endpoint| self.v4.holds(id, endpoint))
            || V6::new(address).is_some_and(|endpoint| self.v6.holds(id, endpoint))
    }

    /// Our own way to the nodes was broken: that they have not answered says nothing.
    pub(crate) fn forgive(&mut self) {
        self.v4.forgive();
        self.v6.forgive();
    }

    /// A node has answered a query of ours. If it is new, `may_add` says whether it may come in.
    pub(crate) fn handle_reply(&mut self, now: Instant, id: Id, address: SocketAddr, may_add: bool) {
        match (V4::new(address), V6::new(address)) {
            (Some(endpoint), _) => self.v4.handle_reply(now, id, endpoint, may_add),
            (None, Some(endpoint)) => self.v6.handle_reply(now, id, endpoint, may_add),
            (None, None) => {}
        }
    }

    /// A node has asked us something.
    pub(crate) fn handle_query(&mut self, now: Instant, id: Id, address: SocketAddr) {
        match (V4::new(address), V6::new(address)) {
            (Some(endpoint), _) => self.v4.handle_query(now, id, endpoint),
            (None, Some(endpoint)) => self.v6.handle_query(now, id, endpoint),
            (None, None) => {}
        }
    }

    /// A node has not answered.
    pub(crate) fn handle_failure(&mut self, id: Id, address: SocketAddr) {
        match (V4::new(address), V6::new(address)) {
            (Some(endpoint), _) => self.v4.handle_failure(id, endpoint),
            (None, Some(endpoint)) => self.v6.handle_failure(id, endpoint),
            (None, None) => {}
        }
    }

    /// Lets go of whoever is at an address.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        match (V4::new(address), V6::new(address)) {
            (Some(endpoint), _) => self.v4.forget_others_at(endpoint, None),
            (None, Some(endpoint)) => self.v6.forget_others_at(endpoint, None),
            (None, None) => {}
        }
    }

    /// Appends the nodes nearest to a target, as they stand in a reply.
    pub(crate) fn write_closest<E: Family>(&self, target: Id, count: usize, out: &mut Vec<u8>) {
        out.reserve_exact(count.saturating_mul(E::NODE_LEN));
        for node in E::table(self).closest(target, count) {
            out.extend_from_slice(node.id.as_bytes());
            out.extend_from_slice(node.endpoint.as_bytes());
        }
    }
}
