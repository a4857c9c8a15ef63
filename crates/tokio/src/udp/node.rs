//! The node of the DHT in an endpoint, or one for each address, and who waits for what it finds.

use std::collections::HashMap;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use unchoke_core::{DatagramPart, DatagramProtocol as _};
use unchoke_dht::{DhtEvent, MultiHomed, OpId};

/// Something to be done with the node, between datagrams.
pub(crate) type Work = Box<dyn FnOnce(&mut NodePart, Instant) + Send>;

/// A node and the operations that somebody waits for.
pub(crate) struct NodePart {
    pub(crate) node: MultiHomed,
    running: HashMap<OpId, mpsc::UnboundedSender<DhtEvent>>,
    bootstrapped: watch::Sender<bool>,
    /// Roots are being looked up for the first time, so many times over.
    lookups: usize,
    /// What waits for that, as it could ask nobody before.
    held: Vec<Work>,
}

impl NodePart {
    pub(crate) fn new(node: MultiHomed) -> (Self, watch::Receiver<bool>) {
        let (bootstrapped, is_bootstrapped) = watch::channel(false);
        (Self { node, running: HashMap::new(), bootstrapped, lookups: 0, held: Vec::new() }, is_bootstrapped)
    }

    pub(crate) fn protocol(&mut self) -> &mut dyn DatagramPart {
        &mut self.node
    }

    /// Roots are looked up from now on.
    pub(crate) fn handle_lookup(&mut self) {
        self.lookups = self.lookups.saturating_add(1);
    }

    /// A lookup has ended, perhaps without success.
    pub(crate) fn handle_looked_up(&mut self, now: Instant) {
        self.lookups = self.lookups.saturating_sub(1);
        if self.lookups == 0 {
            std::mem::take(&mut self.held).into_iter().for_each(|work| work(self, now));
        }
    }

    /// Begins an operation as soon as there may be somebody to ask.
    pub(crate) fn begin(&mut self, now: Instant, work: Work) {
        if self.lookups == 0 { work(self, now) } else { self.held.push(work) }
    }

    /// The events of an operation go to `events` from now on. What it tells is bounded by the queries that a search may take.
    pub(crate) fn watch(&mut self, op: OpId, events: mpsc::UnboundedSender<DhtEvent>) {
        self.running.insert(op, events);
    }

    /// Hands out what the node has to tell.
    pub(crate) fn dispatch(&mut self) {
        while let Some(event) = self.node.poll_event() {
            let (op, is_last) = match &event {
                DhtEvent::Peers { op, .. }
                | DhtEvent::Item { op, .. }
                | DhtEvent::Samples { op, .. }
                | DhtEvent::Nodes { op, .. } => (*op, false),
                DhtEvent::Done { op, .. } => (*op, true),
                DhtEvent::Bootstrapped => {
                    self.bootstrapped.send_replace(true);
                    continue;
                }
                _ => continue,
            };
            let events = if is_last { self.running.remove(&op) } else { self.running.get(&op).cloned() };
            if let Some(events) = events {
                // An operation for which nobody waits is cancelled by who waited.
                let _ = events.send(event);
            }
        }
    }
}
