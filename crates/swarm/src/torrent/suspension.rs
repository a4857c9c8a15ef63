//! A torrent at rest, while its owner does something with its data.

use super::Torrent;
use crate::config::Content;
use crate::event::CloseReason;
use crate::ids::PeerKey;
use crate::shared::Shared;
use std::time::Instant;

impl Torrent {
    /// Lets all peers go and forgets what the store holds. The picker, the priorities, the limits and the known peers stay.
    pub(crate) fn suspend(&mut self, now: Instant, shared: &mut Shared) {
        if self.suspended.is_some() {
            return;
        }
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.close(now, shared, key, CloseReason::Suspended);
        }
        self.suspended = Some(self.stats());
        shared.disown(self.key);
        if let Some(transfer) = self.transfer.take() {
            let picker = transfer.into_picker(shared);
            self.picker = Some(Box::new(move |_, _| picker));
        }
    }

    /// Goes on, with what the store holds now.
    pub(crate) fn resume(&mut self, now: Instant, shared: &mut Shared, content: Option<Content>) {
        if self.suspended.take().is_none() {
            return;
        }
        self.list.retry_soon();
        if let Some(content) = content {
            self.handle_content(now, shared, content);
        }
    }

    /// Whether nothing is to be done for it.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }
}
