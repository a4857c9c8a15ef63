//! Finds peers of a torrent in the DHT and announces us there ([BEP 5]). Never for a private torrent ([BEP 27]).
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 27]: https://www.bittorrent.org/beps/bep_0027.html

use crate::dht::{Dht, DhtOperation};
use crate::engine::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use unchoke_dht::{Announcement, DhtEvent, Id};
use unchoke_swarm::{Event, PeerOrigin, TorrentKey, TorrentState};

/// The wait between two announces, to which up to as much again is added. Nodes forget a peer after a time that BEP 5 leaves open; clients
/// announce again every 15 to 30 minutes.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The wait after a search that found nobody; it doubles each time, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// One torrent and the DHT.
pub(crate) struct Finder {
    pub(crate) engine: Arc<Engine>,
    pub(crate) torrent: TorrentKey,
    pub(crate) info_hash: Id,
    /// Where peers can connect to us, if anywhere.
    pub(crate) port: Option<u16>,
    pub(crate) dht: Dht,
}

impl Finder {
    /// Searches until the torrent is removed or turns out to be private, or until `stop` says so.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let events = self.engine.read(|core| core.torrents.get(&self.torrent).map(|tasks| tasks.subscribe()));
        let Some(mut events) = events else { return };
        let mut retry = FIRST_RETRY;
        while let Some(state) = self.state() {
            // What is found on disk decides whether we are a seed.
            let wait = if state == TorrentState::Checking {
                None
            } else {
                let search = self.search();
                let found = tokio::select! {
                    found = self.collect(search) => found,
                    () = self.withdrawn(&mut events) => return,
                    _ = stop.changed() => return,
                };
                // A seed is found by others; it need not find anybody.
                let is_content = found || state == TorrentState::Seeding;
                retry = if is_content { FIRST_RETRY } else { retry.saturating_mul(2).min(INTERVAL) };
                Some(if is_content { INTERVAL.saturating_add(rand_below(INTERVAL)) } else { retry })
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = changed(&mut events, state) => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Waits until the torrent is removed, or turns out to be private.
    async fn withdrawn(&self, events: &mut broadcast::Receiver<Arc<Event>>) {
        loop {
            match events.recv().await.as_deref() {
                Err(broadcast::error::RecvError::Closed) => return,
                Ok(Event::Metadata { .. }) | Err(broadcast::error::RecvError::Lagged(_)) if self.state().is_none() => {
                    return;
                }
                _ => {}
            }
        }
    }

    /// What the torrent is doing; `None` if the DHT has nothing to do with it, or no longer.
    fn state(&self) -> Option<TorrentState> {
        self.engine.read(|core| {
            let stats = core.session.stats(self.torrent)?;
            (core.session.is_private(self.torrent) == Some(false)).then_some(stats.state)
        })
    }

    fn is_seed(&self) -> bool {
        self.engine.read(|core| core.session.stats(self.torrent)).is_some_and(|stats| stats.is_seed())
    }

    fn search(&self) -> DhtOperation {
        match self.port {
            Some(port) => {
                let announcement = Announcement::new(port).with_seed(self.is_seed());
                self.dht.announce(self.info_hash, announcement)
            }
            None => self.dht.get_peers(self.info_hash),
        }
    }

    /// Hands the peers to the engine as they are found. Returns whether there were any.
    async fn collect(&self, mut search: DhtOperation) -> bool {
        let mut found = false;
        while let Some(event) = search.next().await {
            if let DhtEvent::Peers { peers, .. } = event {
                found = true;
                self.engine.with(|core, now| core.session.add_peers(now, self.torrent, &peers, PeerOrigin::Dht));
            }
        }
        found
    }
}

/// Waits until something happens after which the torrent may do something else than before.
async fn changed(events: &mut broadcast::Receiver<Arc<Event>>, state: TorrentState) {
    loop {
        match events.recv().await.as_deref() {
            // While the content is being checked, every event may be the last.
            _ if state == TorrentState::Checking => return,
            Ok(Event::Metadata { .. } | Event::Completed { .. }) => return,
            Err(broadcast::error::RecvError::Closed) => return,
            _ => {}
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn rand_below(limit: Duration) -> Duration {
    limit.mul_f64(rand::random::<f64>())
}
