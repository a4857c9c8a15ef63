//! Announces at UDP trackers that are under way.

use tokio::sync::oneshot;
use unchoke_core::{DatagramPart, DatagramProtocol as _};
use unchoke_tracker::udp::{UdpEvent, UdpTracker};
use unchoke_tracker::{AnnounceResponse, TrackerError};

type Answer = Result<AnnounceResponse, TrackerError>;

/// Announces that are under way, each with who waits for its answer.
#[derive(Debug, Default)]
pub(crate) struct Trackers(Vec<(UdpTracker, Option<oneshot::Sender<Answer>>)>);

impl Trackers {
    pub(crate) fn add(&mut self, tracker: UdpTracker, answer: oneshot::Sender<Answer>) {
        self.0.push((tracker, Some(answer)));
    }

    pub(crate) fn protocols(&mut self) -> impl Iterator<Item = &mut dyn DatagramPart> {
        self.0.iter_mut().map(|(tracker, _)| tracker as &mut dyn DatagramPart)
    }

    /// Hands out the answers, and forgets those for which nobody waits.
    pub(crate) fn dispatch(&mut self) {
        self.0.retain_mut(|(tracker, answer)| {
            let told = match tracker.poll_event() {
                Some(UdpEvent::Announced { response, .. }) => Ok(response),
                Some(UdpEvent::Failed { error, .. }) => Err(error),
                _ => return answer.as_ref().is_some_and(|answer| !answer.is_closed()),
            };
            if let Some(answer) = answer.take() {
                // Who has stopped waiting does not need it.
                let _ = answer.send(told);
            }
            false
        });
    }
}
