//! What a key publishes in the DHT ([BEP 46]), followed by a task of its own.
//!
//! [BEP 46]: https://www.bittorrent.org/beps/bep_0046.html

use crate::dht::{Dht, DhtError};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use unchoke_core::keys::{PublicKey, SecretKey};
use unchoke_core::{InfoHash, Seed};
use unchoke_dht::item::ItemError;
use unchoke_dht::mutable_torrent::{ItemRequest, PublishError};
use unchoke_dht::{Item, MutableTorrent, MutableTorrentConfig, MutableTorrentEvent};
use unchoke_metainfo::MutableLink;

/// A mutable torrent (BEP 46) that is followed and kept alive in the DHT. Dropping it ends that.
#[derive(Debug)]
pub struct TorrentFeed {
    key: PublicKey,
    salt: Vec<u8>,
    events: mpsc::UnboundedReceiver<MutableTorrentEvent>,
    publications: mpsc::UnboundedSender<Publication>,
    newest: watch::Receiver<Option<Item>>,
    _task: JoinSet<()>,
}

/// A torrent to be published.
struct Publication {
    secret: Arc<SecretKey>,
    info_hash: InfoHash,
}

impl Dht {
    /// Follows a mutable torrent and keeps its newest version alive, without being able to change it. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If the salt is too long.
    pub fn follow_torrent(&self, link: &MutableLink) -> Result<TorrentFeed, ItemError> {
        let key = PublicKey::new(*link.public_key());
        let (config, seed) = (MutableTorrentConfig::default(), Seed::new(rand::random()));
        Ok(self.keep_torrent(MutableTorrent::new(Instant::now(), config, key, link.salt(), &seed)?))
    }

    /// Publishes a torrent under a key and a salt, which may be empty, and keeps it alive. Whether it could be published is told by the
    /// events. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If the salt is too long.
    pub fn publish_torrent(
        &self,
        secret: Arc<SecretKey>,
        salt: &[u8],
        info_hash: InfoHash,
    ) -> Result<TorrentFeed, ItemError> {
        let (config, seed) = (MutableTorrentConfig::default(), Seed::new(rand::random()));
        let mut machine = MutableTorrent::new(Instant::now(), config, secret.public_key(), salt, &seed)?;
        // It is the key that the machine has been given.
        let _ = machine.publish(Instant::now(), secret, info_hash);
        Ok(self.keep_torrent(machine))
    }

    /// Runs a mutable torrent with settings of its own, or with a version that is known from an earlier run. Call it within a tokio runtime.
    #[must_use]
    pub fn keep_torrent(&self, torrent: MutableTorrent) -> TorrentFeed {
        TorrentFeed::start(self.clone(), torrent)
    }
}

impl TorrentFeed {
    /// Runs a machine on a node.
    fn start(dht: Dht, machine: MutableTorrent) -> Self {
        let (key, salt) = (*machine.key(), machine.salt().to_vec());
        let (sender, events) = mpsc::unbounded_channel();
        let (publications, inbox) = mpsc::unbounded_channel();
        let (known, newest) = watch::channel(machine.newest().cloned());
        let mut task = JoinSet::new();
        task.spawn(run(dht, machine, inbox, sender, known));
        Self { key, salt, events, publications, newest, _task: task }
    }

    /// What happens next; `None` when the node has ended.
    pub async fn next(&mut self) -> Option<MutableTorrentEvent> {
        self.events.recv().await
    }

    /// Publishes a torrent as the newest version. [`MutableTorrentEvent::Published`] or [`MutableTorrentEvent::NotPublished`] tells what
    /// has come of it.
    ///
    /// # Errors
    /// If the secret key is another one's.
    pub fn publish(&self, secret: Arc<SecretKey>, info_hash: InfoHash) -> Result<(), PublishError> {
        if secret.public_key() != self.key {
            return Err(PublishError::WrongKey(self.key));
        }
        // A task that has ended tells so by the end of the events.
        let _ = self.publications.send(Publication { secret, info_hash });
        Ok(())
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

    /// The newest version that is known. Kept over a restart and given to [`MutableTorrent::handle_known`], it sees to it that no older one
    /// is believed later.
    #[must_use]
    pub fn newest(&self) -> Option<Item> {
        self.newest.borrow().clone()
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}

/// Carries out what the machine wants until nobody listens any more, or the node has ended.
async fn run(
    dht: Dht,
    mut machine: MutableTorrent,
    mut inbox: mpsc::UnboundedReceiver<Publication>,
    events: mpsc::UnboundedSender<MutableTorrentEvent>,
    known: watch::Sender<Option<Item>>,
) {
    loop {
        while let Some(request) = machine.poll_request() {
            if carry_out(&dht, &mut machine, request).await.is_err() {
                return;
            }
        }
        known.send_if_modified(|known| {
            let is_news = known.as_ref() != machine.newest();
            if is_news {
                *known = machine.newest().cloned();
            }
            is_news
        });
        while let Some(event) = machine.poll_event() {
            if events.send(event).is_err() {
                return;
            }
        }
        let Some(at) = machine.poll_timeout() else { return };
        tokio::select! {
            publication = inbox.recv() => match publication {
                // The key was compared when it was handed in.
                Some(Publication { secret, info_hash }) => drop(machine.publish(Instant::now(), secret, info_hash)),
                None => return,
            },
            () = dht.ended() => return,
            () = tokio::time::sleep_until(at.into()) => machine.handle_timeout(Instant::now()),
        }
    }
}

async fn carry_out(dht: &Dht, machine: &mut MutableTorrent, request: ItemRequest) -> Result<(), DhtError> {
    match request {
        ItemRequest::Put { item, cas } => {
            let answer = dht.put(item, cas).finish().await?;
            machine.handle_stored(Instant::now(), &answer.outcome);
        }
        ItemRequest::Get => {
            let answer = dht.get_mutable(machine.key(), machine.salt()).finish().await?;
            machine.handle_found(Instant::now(), answer.item, &answer.outcome);
        }
        _ => {}
    }
    Ok(())
}
