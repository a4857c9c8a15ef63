//! Partial seeds ([BEP 21]): a peer that wants nothing more says so, and says so again when that changes.
//!
//! [BEP 21]: https://www.bittorrent.org/beps/bep_0021.html

use crate::extended::ExtendedHandshake;
use crate::extension::{Extension, ExtensionError, ExtensionEvent, SwarmChange};
use bytes::Bytes;
use std::time::Instant;

/// The extension `upload_only` on one connection.
#[derive(Debug, Default)]
pub struct UploadOnly {
    /// What is to be told.
    news: Option<bool>,
    theirs: bool,
    event: Option<bool>,
}

impl UploadOnly {
    /// An extension that has nothing to tell. What holds when the connection opens goes into the handshake, by
    /// [`LocalInfo::upload_only`](crate::LocalInfo::upload_only).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn learn(&mut self, upload_only: bool) {
        if self.theirs != upload_only {
            self.theirs = upload_only;
            self.event = Some(upload_only);
        }
    }
}

impl Extension for UploadOnly {
    fn name(&self) -> &'static str {
        "upload_only"
    }

    fn handle_handshake(&mut self, _now: Instant, theirs: &ExtendedHandshake) {
        self.learn(theirs.upload_only);
    }

    fn handle_input(&mut self, _now: Instant, payload: Bytes) -> Result<(), ExtensionError> {
        let &[flag] = &payload[..] else { return Err(ExtensionError::Length { length: payload.len() }) };
        self.learn(flag != 0);
        Ok(())
    }

    fn handle_change(&mut self, _now: Instant, change: &SwarmChange) {
        if let SwarmChange::UploadOnly(upload_only) = change {
            self.news = Some(*upload_only);
        }
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Bytes> {
        self.news.take().map(|upload_only| Bytes::copy_from_slice(&[u8::from(upload_only)]))
    }

    fn poll_event(&mut self) -> Option<ExtensionEvent> {
        self.event.take().map(ExtensionEvent::UploadOnly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn a_change_is_told_once() {
        let (now, mut here, mut there) = (Instant::now(), UploadOnly::new(), UploadOnly::new());
        here.handle_change(now, &SwarmChange::UploadOnly(true));
        there.handle_input(now, here.poll_transmit(now).unwrap()).unwrap();
        assert_eq!(there.poll_event(), Some(ExtensionEvent::UploadOnly(true)));
        assert_eq!((there.poll_event(), here.poll_transmit(now)), (None, None));
        there.handle_input(now, Bytes::from_static(&[1])).unwrap();
        assert_eq!(there.poll_event(), None);
        assert!(there.handle_input(now, Bytes::from_static(&[1, 1])).is_err());
    }
}
