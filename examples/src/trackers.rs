//! Trackers that fail, told to the user.

use crate::failure::Failure;
use crate::output::tell;
use std::collections::BTreeMap;
use unchoke_tokio::Torrent;

/// Says on standard error why a tracker fails, once for each reason, until the torrent is gone.
pub async fn tell_tracker_failures(torrent: Torrent) {
    let Some(mut report) = torrent.trackers() else { return };
    let mut told = BTreeMap::new();
    loop {
        for tracker in &report.borrow_and_update().trackers {
            let reason = match &tracker.last {
                Some(outcome) => outcome.result.as_ref().err().map(|error| Failure::failed(error).to_string()),
                None => continue,
            };
            if told.insert(tracker.url.clone(), reason.clone()) != Some(reason.clone())
                && let Some(reason) = reason
            {
                // The path may hold the user's key, which does not belong in a log.
                let server: Vec<&str> = tracker.url.splitn(4, '/').take(3).collect();
                tell(format_args!("tracker {}: {reason}", server.join("/")));
            }
        }
        if report.changed().await.is_err() {
            return;
        }
    }
}
