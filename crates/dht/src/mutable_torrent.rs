//! Mutable torrents ([BEP 46]): an item of the DHT (BEP 44) that says which torrent is the newest one of a key.
//!
//! [`MutableTorrent`] says what is to be looked up and stored, and when. It has no node: whoever drives it hands its requests to one, on
//! tokio, on a thread, or in a simulation.
//!
//! [BEP 46]: https://www.bittorrent.org/beps/bep_0046.html

#[cfg(test)]
mod tests;
mod value;

pub use value::{TorrentValueError, read_torrent_value, torrent_value};

use crate::event::Outcome;
use crate::item::{Item, ItemError, MAX_SALT_LEN};
use crate::krpc::ErrorCode;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::keys::{PublicKey, SecretKey};
use unchoke_core::{InfoHash, Rng, Seed};

/// How a [`MutableTorrent`] goes about it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MutableTorrentConfig {
    /// The wait between two questions for a newer version, to which up to a quarter is added. Shorter hears of it sooner and costs a search
    /// of the DHT each time. Default 15 minutes.
    pub ask_every: Duration,
    /// How often the newest version is stored again, so that it does not expire; up to a quarter earlier. Nodes may forget it after two
    /// hours (BEP 44). Default one hour.
    pub store_every: Duration,
    /// The wait after a search that found nothing or an attempt to store that failed; it doubles each time, up to `ask_every`. Default 5 s.
    pub first_retry: Duration,
    /// How often a publication is tried before it is given up. Default 5.
    pub max_attempts: u32,
}

impl Default for MutableTorrentConfig {
    fn default() -> Self {
        Self {
            ask_every: Duration::from_secs(15 * 60),
            store_every: Duration::from_secs(60 * 60),
            first_retry: Duration::from_secs(5),
            max_attempts: 5,
        }
    }
}

/// Follows what a key publishes under a salt and keeps its newest version alive; publishes, too, for whoever has the secret key.
///
/// - It asks for the newest version from time to time. Only a higher sequence number than any known one counts, so that nobody can bring an
///   older version back.
/// - It stores the newest version again each hour. No secret is needed for that.
/// - To publish, it first looks for the newest version, and demands of each node that nobody has replaced that meanwhile. If somebody has,
///   it begins again.
///
/// The owner calls [`poll_request`](Self::poll_request) after every other call, has a [`Node`](crate::Node) do what it says, and answers
/// with [`handle_found`](Self::handle_found) or [`handle_stored`](Self::handle_stored).
pub struct MutableTorrent {
    config: MutableTorrentConfig,
    key: PublicKey,
    salt: Vec<u8>,
    rng: Rng,
    newest: Option<Item>,
    publishing: Option<Publication>,
    stage: Stage,
    ask_at: Instant,
    /// When to store the newest version again, if there is one and it is a torrent.
    store_at: Option<Instant>,
    retry: Duration,
    request: Option<ItemRequest>,
    events: VecDeque<MutableTorrentEvent>,
}

/// What a [`MutableTorrent`] wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ItemRequest {
    /// Look up the newest item of the [key](MutableTorrent::key) and [salt](MutableTorrent::salt).
    Get,
    /// Store an item.
    Put {
        /// The item.
        item: Item,
        /// Only where the stored one has this sequence number.
        cas: Option<i64>,
    },
}

/// What has become of a [`MutableTorrent`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MutableTorrentEvent {
    /// The key has published a version that is newer than what was known.
    Updated {
        /// Its sequence number.
        seq: i64,
        /// The torrent.
        info_hash: InfoHash,
    },
    /// The key has published something that is no torrent.
    NoTorrent {
        /// Its sequence number.
        seq: i64,
        /// Why it is none.
        error: TorrentValueError,
    },
    /// The torrent is published.
    Published {
        /// Its sequence number.
        seq: i64,
        /// The torrent.
        info_hash: InfoHash,
        /// Nodes that have stored it.
        stored: usize,
    },
    /// The torrent could not be published.
    NotPublished {
        /// The torrent.
        info_hash: InfoHash,
        /// Why.
        error: PublishError,
    },
    /// The newest version was stored again.
    StoredAgain {
        /// Its sequence number.
        seq: i64,
        /// Nodes that have stored it.
        stored: usize,
    },
}

/// Why a torrent is not published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The secret key is another one than that of the mutable torrent.
    #[error("the secret key does not belong to {0}")]
    WrongKey(PublicKey),
    /// No node has answered, or none has stored it.
    #[error("no node has stored it")]
    NoNodes,
    /// Others with the same key went on publishing.
    #[error("others have published newer versions meanwhile")]
    Conflict,
    /// Nodes refused it for this reason.
    #[error("nodes refused it: {0:?}")]
    Refused(ErrorCode),
    /// There is no higher sequence number than that of the newest version.
    #[error("no sequence number is left after {}", i64::MAX)]
    NoSeq,
    /// The item cannot be made.
    #[error(transparent)]
    Item(#[from] ItemError),
}

/// Something to be published.
struct Publication {
    secret: Arc<SecretKey>,
    info_hash: InfoHash,
    attempts: u32,
    /// The sequence number on which the last attempt was to follow, if that was refused.
    refused: Option<i64>,
}

enum Stage {
    Idle,
    Getting,
    Putting(Item),
}

impl MutableTorrent {
    /// Begins to follow what a key publishes.
    ///
    /// # Errors
    /// If the salt is too long.
    pub fn new(
        now: Instant,
        config: MutableTorrentConfig,
        key: PublicKey,
        salt: &[u8],
        seed: &Seed,
    ) -> Result<Self, ItemError> {
        if salt.len() > MAX_SALT_LEN {
            return Err(ItemError::SaltTooLong(salt.len()));
        }
        Ok(Self {
            key,
            salt: salt.to_vec(),
            rng: seed.derive("mutable torrent").rng(),
            newest: None,
            publishing: None,
            stage: Stage::Idle,
            ask_at: now,
            store_at: None,
            retry: config.first_retry,
            request: None,
            events: VecDeque::new(),
            config,
        })
    }

    /// Tells of a version that was known before, say in an earlier run: no older one is believed, and it is kept alive. Items of another
    /// key or salt are passed over.
    pub fn handle_known(&mut self, now: Instant, item: Item) {
        let is_news = item.seq() > self.newest.as_ref().and_then(Item::seq);
        if is_news && item.mutable().is_some_and(|it| it.key == self.key && it.salt == self.salt) {
            // Not at once, or all who follow would store what they have just found.
            let store_at = self.store_at.or_else(|| now.checked_add(self.part_of(self.config.store_every)));
            self.store_at = store_at.filter(|_| read_torrent_value(item.value()).is_ok());
            self.newest = Some(item);
        }
    }

    /// Publishes a torrent as the newest version. One that is being published already is given up for it.
    ///
    /// # Errors
    /// If the secret key is another one's.
    pub fn publish(&mut self, now: Instant, secret: Arc<SecretKey>, info_hash: InfoHash) -> Result<(), PublishError> {
        if secret.public_key() != self.key {
            return Err(PublishError::WrongKey(self.key));
        }
        self.publishing = Some(Publication { secret, info_hash, attempts: 0, refused: None });
        self.ask_at = now;
        self.handle_timeout(now);
        Ok(())
    }

    /// A search for the newest item has ended.
    pub fn handle_found(&mut self, now: Instant, item: Option<Item>, outcome: &Outcome) {
        if !matches!(self.stage, Stage::Getting) {
            return;
        }
        self.stage = Stage::Idle;
        let before = self.newest.as_ref().and_then(Item::seq);
        item.into_iter().for_each(|item| self.handle_known(now, item));
        let newest = self.newest.as_ref().and_then(|it| Some((it.seq()?, read_torrent_value(it.value()))));
        if let Some((seq, torrent)) = newest.filter(|(seq, _)| Some(*seq) > before) {
            self.events.push_back(match torrent {
                Ok(info_hash) => MutableTorrentEvent::Updated { seq, info_hash },
                Err(error) => MutableTorrentEvent::NoTorrent { seq, error },
            });
        }
        if self.publishing.is_some() {
            match outcome {
                Outcome::Finished { .. } => self.store_next(now),
                _ => self.handle_failed(now, PublishError::NoNodes),
            }
        } else if self.store_at.is_some_and(|at| at <= now)
            && let Some(item) = self.newest.clone()
        {
            self.put(item, None);
        } else {
            self.rest(now);
        }
    }

    /// An attempt to store has ended.
    pub fn handle_stored(&mut self, now: Instant, outcome: &Outcome) {
        let item = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Putting(item) => item,
            other => {
                self.stage = other;
                return;
            }
        };
        match outcome {
            Outcome::Finished { stored, .. } if *stored > 0 => self.handle_success(now, item, *stored),
            Outcome::Refused(code @ (ErrorCode::CAS_MISMATCH | ErrorCode::SEQ_TOO_LOW)) => {
                if let Some(publication) = &mut self.publishing {
                    let follows = self.newest.as_ref().and_then(Item::seq);
                    publication.refused = follows.filter(|_| *code == ErrorCode::CAS_MISMATCH);
                }
                self.handle_failed(now, PublishError::Conflict);
            }
            Outcome::Refused(code) => self.handle_failed(now, PublishError::Refused(*code)),
            _ => self.handle_failed(now, PublishError::NoNodes),
        }
    }

    /// Time has passed. A spurious call is a no-op.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            // What is stored again is looked up before, too: it may have been replaced.
            self.stage = Stage::Getting;
            self.request = Some(ItemRequest::Get);
        }
    }

    /// What a node is to do now. Poll again after every `handle_*` call and after [`publish`](Self::publish).
    #[must_use]
    pub fn poll_request(&mut self) -> Option<ItemRequest> {
        self.request.take()
    }

    /// What has happened. Poll again until `None` after every `handle_*` call.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<MutableTorrentEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None` while a request is under way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let store_at = self.store_at.filter(|_| self.publishing.is_none());
        matches!(self.stage, Stage::Idle).then(|| store_at.map_or(self.ask_at, |at| at.min(self.ask_at)))
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What tells apart what the key publishes; may be empty.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The newest version that is known.
    #[must_use]
    pub fn newest(&self) -> Option<&Item> {
        self.newest.as_ref()
    }

    /// Stores the version that is to be published.
    fn store_next(&mut self, now: Instant) {
        let Some(publication) = &self.publishing else { return };
        let known = self.newest.as_ref().and_then(Item::seq);
        let is_newest = |item: &&Item| read_torrent_value(item.value()) == Ok(publication.info_hash);
        if let Some(item) = self.newest.as_ref().filter(is_newest).cloned() {
            self.put(item, None);
            return;
        }
        let Some(seq) = known.map_or(Some(1), |seq| seq.checked_add(1)) else {
            self.give_up(now, PublishError::NoSeq);
            return;
        };
        // A node that has missed the newest version refuses what is to follow on it. If the network knows no newer one than before, it is
        // such nodes that have refused.
        let cas = known.filter(|_| known != publication.refused);
        match Item::sign(&publication.secret, &self.salt, seq, &torrent_value(publication.info_hash)) {
            Ok(item) => self.put(item, cas),
            Err(error) => self.give_up(now, error.into()),
        }
    }

    fn put(&mut self, item: Item, cas: Option<i64>) {
        self.stage = Stage::Putting(item.clone());
        self.request = Some(ItemRequest::Put { item, cas });
    }

    fn handle_success(&mut self, now: Instant, item: Item, stored: usize) {
        let (Some(seq), Ok(info_hash)) = (item.seq(), read_torrent_value(item.value())) else { return };
        if Some(seq) > self.newest.as_ref().and_then(Item::seq) {
            self.newest = Some(item);
        }
        let is_published = self.publishing.take_if(|it| it.info_hash == info_hash).is_some();
        self.events.push_back(if is_published {
            MutableTorrentEvent::Published { seq, info_hash, stored }
        } else {
            MutableTorrentEvent::StoredAgain { seq, stored }
        });
        self.store_at = now.checked_add(self.config.store_every.saturating_sub(self.quarter(self.config.store_every)));
        if self.publishing.is_none() {
            self.rest(now);
        }
    }

    /// A search or an attempt to store has failed.
    fn handle_failed(&mut self, now: Instant, error: PublishError) {
        let wait = self.back_off();
        if let Some(publication) = &mut self.publishing {
            publication.attempts = publication.attempts.saturating_add(1);
            if publication.attempts >= self.config.max_attempts {
                self.give_up(now, error);
                return;
            }
            // Two that publish at once must not get in one another's way each time, so these wait as well.
            self.ask_at = now.checked_add(wait).unwrap_or(now);
        } else {
            self.store_at = now.checked_add(wait);
            self.ask_at = now.checked_add(wait).unwrap_or(now);
        }
    }

    fn give_up(&mut self, now: Instant, error: PublishError) {
        if let Some(Publication { info_hash, .. }) = self.publishing.take() {
            self.events.push_back(MutableTorrentEvent::NotPublished { info_hash, error });
        }
        self.rest(now);
    }

    /// Waits until it is time to ask again.
    fn rest(&mut self, now: Instant) {
        let wait = if self.newest.is_some() {
            self.retry = self.config.first_retry;
            self.config.ask_every.saturating_add(self.quarter(self.config.ask_every))
        } else {
            self.back_off()
        };
        self.ask_at = now.checked_add(wait).unwrap_or(now);
    }

    fn back_off(&mut self) -> Duration {
        let wait = self.retry;
        self.retry = wait.saturating_mul(2).min(self.config.ask_every);
        wait.saturating_add(self.quarter(wait))
    }

    fn quarter(&mut self, whole: Duration) -> Duration {
        self.part_of(whole).mul_f64(0.25)
    }

    /// Any part of a time.
    fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }
}

impl fmt::Debug for MutableTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutableTorrent")
            .field("key", &self.key)
            .field("salt", &self.salt)
            .field("seq", &self.newest.as_ref().and_then(Item::seq))
            .finish_non_exhaustive()
    }
}
