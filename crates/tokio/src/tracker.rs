//! Announces a torrent to its trackers, tier by tier ([BEP 12]).
//!
//! [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html

use crate::announce::Network;
use crate::engine::Engine;
use crate::tracker_report::TrackerReport;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{broadcast, watch};
use unchoke_core::Seed;
use unchoke_swarm::{Event, PeerOrigin, TorrentKey, TorrentState};
use unchoke_tracker::AnnounceRequest;
use unchoke_tracker::tiers::{DueAnnounce, Tiers};

/// One torrent and its trackers.
pub(crate) struct Announcer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) torrent: TorrentKey,
    pub(crate) request: AnnounceRequest,
    pub(crate) tiers: Tiers,
    pub(crate) seed: Seed,
    pub(crate) network: Network,
    /// Where the user sees what comes of it.
    pub(crate) report: watch::Sender<TrackerReport>,
}

impl Announcer {
    /// Announces until the torrent is removed, or until `stop` says so and every tracker that knows of us has been told.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let events = self.engine.read(|core| core.torrents.get(&self.torrent).map(|tasks| tasks.subscribe()));
        let Some(mut events) = events else { return };
        // What is found on disk belongs into the first announce, or a seed would be counted as a downloader.
        while self.is_checking() {
            tokio::select! {
                _ = stop.changed() => return,
                happened = events.recv() => if matches!(happened, Err(broadcast::error::RecvError::Closed)) {
                    return;
                },
            }
        }
        while !self.tiers.is_stopped() {
            if let Some(due) = self.tiers.next(Instant::now()) {
                // The announce under way is ended before anything else; its own limits bound it.
                self.announce(due).await;
                continue;
            }
            let deadline = self.tiers.poll_timeout(Instant::now());
            self.report.send_if_modified(|report| std::mem::replace(&mut report.next_announce, deadline) != deadline);
            let sleep = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                // Without a client there is nobody to announce for.
                _ = stop.changed() => self.tiers.handle_stop(),
                happened = events.recv() => match happened.as_deref() {
                    Ok(Event::Completed { .. }) if self.is_completed() => self.tiers.handle_completed(),
                    Err(broadcast::error::RecvError::Closed) => self.tiers.handle_stop(),
                    _ => {}
                },
            }
        }
    }

    fn is_checking(&self) -> bool {
        let stats = self.engine.read(|core| core.session.stats(self.torrent));
        stats.is_some_and(|stats| stats.state == TorrentState::Checking)
    }

    /// Whether there is news for trackers: all is here, and not from the start (BEP 3). Having all that is wanted is none.
    fn is_completed(&self) -> bool {
        let stats = self.engine.read(|core| core.session.stats(self.torrent));
        stats.is_some_and(|stats| stats.downloaded > 0 && stats.is_seed())
    }

    async fn announce(&mut self, due: DueAnnounce) {
        self.report.send_if_modified(|report| report.next_announce.take().is_some());
        if let Some(stats) = self.engine.read(|core| core.session.stats(self.torrent)) {
            (self.request.uploaded, self.request.downloaded) = (stats.uploaded, stats.downloaded);
            self.request.left = stats.left().unwrap_or(self.request.left);
        }
        (self.request.event, self.request.tracker_id) = (due.event, due.tracker_id);
        let result = self.network.announce(&due.url, &self.request, &self.seed).await.map_err(Arc::new);
        let now = Instant::now();
        match &result {
            Ok(response) => self.tiers.handle_response(now, &due.url, response),
            Err(_) => self.tiers.handle_failure(now, &due.url),
        }
        self.report.send_modify(|report| {
            report.next_announce = self.tiers.poll_timeout(now);
            report.record(now, &due.url, result.as_ref().map_err(Arc::clone));
        });
        if let Ok(response) = result {
            self.engine.with(|core, now| {
                core.session.add_peers(now, self.torrent, &response.peers, PeerOrigin::Tracker);
            });
        }
    }
}
