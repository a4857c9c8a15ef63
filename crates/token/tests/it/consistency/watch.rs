//! A watcher beside the payees. It is never away, starts anew often, and sees the ledger as late as they do.

use super::*;
use std::sync::Arc;
use unchoke_token::Address;
use unchoke_token::channel::{ChannelStore as _, Client, Durable, MemoryChannelStore, Output, Watcher, WatcherConfig};

pub(super) struct Watch {
    pub(super) watcher: Watcher,
    log: MemoryChannelStore,
    address: Address,
    /// What it held when there was time enough to claim it.
    promised: BTreeMap<ChannelId, Units>,
}

fn config() -> WatcherConfig {
    let mut config = WatcherConfig::default();
    (config.min_life, config.open_window) = (5, 12);
    config
}

impl Watch {
    pub(super) fn new(address: Address) -> Self {
        let watcher = Watcher::new(config(), address, Arc::new(keys::schemes()));
        Self { watcher, log: MemoryChannelStore::default(), address, promised: BTreeMap::new() }
    }
}

impl Run {
    /// Payees that are there bring what they hold, and the watcher sees a block.
    pub(super) fn watch(&mut self) {
        let Some(mut watch) = self.watch.take() else { return };
        let (view, next) = (self.chain.settled_view(), self.chain.height().saturating_add(1));
        for (node, it) in self.nodes.iter().enumerate().filter(|(_, it)| !it.is_away) {
            for id in it.payee.channels() {
                let (client, channel) = (Client::new(node as u64), view.channels.get(&id));
                let _ = watch.watcher.handle_claims(view.height, client, id, channel, &it.payee.claims(&id));
            }
        }
        for id in watch.watcher.channels().collect::<Vec<_>>() {
            let channel = view.channels.get(&id);
            let limit = channel.map_or(Units::ZERO, |it| self.limit(&view, it));
            watch.watcher.handle_channel(view.height, id, channel, limit).unwrap();
            let is_known = channel.is_some_and(|it| matches!(it.phase(), Phase::Closing { .. }));
            let now = self.chain.ledger.channel(&id).map(unchoke_token::channel::Channel::phase);
            if is_known
                && matches!(now, Some(Phase::Closing { deadline, .. }) if next.saturating_add(DEPTH) <= deadline)
            {
                watch.promised.insert(id, watch.watcher.held(&id));
            }
        }
        while let Some(output) = watch.watcher.poll_output() {
            match output {
                Output::Persist { id, record } => watch.log.append(id, &record).unwrap(),
                Output::Build { request, contract } => {
                    let transaction = self.chain.sign(2, *contract);
                    watch.watcher.handle_built(request, transaction).unwrap();
                }
                Output::Submit(transaction) => {
                    self.chain.submit(&transaction.open(Durable::default()).unwrap());
                }
                _ => {}
            }
        }
        watch.log.sync().unwrap();
        if next.get() % 3 == 0 {
            let log = watch.log.load().unwrap();
            watch.watcher = Watcher::restore(config(), watch.address, Arc::new(keys::schemes()), &log).unwrap();
        }
        for (id, channel) in std::mem::take(&mut self.chain.finished) {
            let promised = watch.promised.get(&id).copied().unwrap_or_default();
            let due = channel.deposit().map_or(promised, |it| it.min(promised));
            assert!(channel.claimed() >= due, "the watcher held {promised}, {} are claimed", channel.claimed());
        }
        self.watch = Some(watch);
    }
}
