//! The extensions of one connection: their numbers on both sides, their messages and events.

use crate::config::LocalInfo;
use crate::extended::{ExtendedHandshake, ExtendedHandshakeError, ExtendedHandshakeExtra};
use crate::extension::{Extension, ExtensionError, ExtensionEvent, SwarmChange};
use crate::message::Message;
use bytes::{Bytes, BytesMut};
use std::time::Instant;
use unchoke_core::Block;

#[derive(Default)]
pub(super) struct Registry {
    /// The one at position `n` has our number `n + 1`.
    entries: Vec<Entry>,
    peer: Option<ExtendedHandshake>,
}

struct Entry {
    extension: Box<dyn Extension>,
    /// The peer's number, if it speaks this extension.
    theirs: Option<u8>,
}

impl Registry {
    pub(super) fn new(extensions: Vec<Box<dyn Extension>>) -> Self {
        let entries = extensions.into_iter().take(usize::from(u8::MAX));
        Self { entries: entries.map(|extension| Entry { extension, theirs: None }).collect(), peer: None }
    }

    pub(super) fn local_handshake(&self, local: &LocalInfo) -> Bytes {
        let mut extra = ExtendedHandshakeExtra::default();
        for entry in &self.entries {
            entry.extension.fill_handshake(&mut extra);
        }
        let names = self.entries.iter().zip(1..=u8::MAX).map(|(entry, id)| (entry.extension.name(), id));
        extra.encode(local, names).into()
    }

    pub(super) fn handle_handshake(&mut self, now: Instant, payload: &[u8]) -> Result<(), ExtendedHandshakeError> {
        let peer = self.peer.get_or_insert_default();
        peer.update(payload)?;
        for entry in &mut self.entries {
            entry.theirs = peer.id(entry.extension.name());
            entry.extension.handle_handshake(now, peer);
        }
        Ok(())
    }

    /// Passes a message to the extension with our number `id`; gives it back if there is none.
    pub(super) fn handle_input(
        &mut self,
        now: Instant,
        id: u8,
        payload: Bytes,
    ) -> Result<Option<Bytes>, (&'static str, ExtensionError)> {
        match usize::from(id).checked_sub(1).and_then(|at| self.entries.get_mut(at)) {
            Some(Entry { extension, .. }) => {
                extension.handle_input(now, payload).map(|()| None).map_err(|error| (extension.name(), error))
            }
            None => Ok(Some(payload)),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.each(|extension| extension.handle_timeout(now));
    }

    pub(super) fn handle_transfer(&mut self, now: Instant, sent: u64, received: u64) {
        self.each(|extension| extension.handle_transfer(now, sent, received));
    }

    pub(super) fn handle_verified(&mut self, now: Instant, block: Block) {
        self.each(|extension| extension.handle_verified(now, block));
    }

    pub(super) fn handle_change(&mut self, now: Instant, change: &SwarmChange) {
        self.each(|extension| extension.handle_change(now, change));
    }

    /// Appends messages of the extensions until they have no more or `out` has grown past `limit`.
    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut BytesMut, limit: usize) {
        for Entry { extension, theirs } in &mut self.entries {
            let Some(id) = *theirs else { continue };
            while out.len() < limit
                && let Some(payload) = extension.poll_transmit(now)
            {
                Message::Extended { id, payload }.encode(out);
            }
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<(&'static str, ExtensionEvent)> {
        self.entries.iter_mut().find_map(|Entry { extension, .. }| Some((extension.name(), extension.poll_event()?)))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.extension.poll_timeout()).min()
    }

    pub(super) fn peer(&self) -> Option<&ExtendedHandshake> {
        self.peer.as_ref()
    }

    fn each(&mut self, mut tell: impl FnMut(&mut dyn Extension)) {
        for entry in &mut self.entries {
            tell(&mut *entry.extension);
        }
    }
}
