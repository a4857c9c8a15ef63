//! Mutable torrents ([BEP 46]) of a client.
//!
//! [BEP 46]: https://www.bittorrent.org/beps/bep_0046.html

use super::{Client, ClientError};
use crate::torrent::{AddTorrent, Torrent};
use crate::torrent_feed::TorrentFeed;
use unchoke_core::{InfoHashes, Sha1Hash};
use unchoke_dht::MutableTorrentEvent;
use unchoke_metainfo::MutableLink;

impl Client {
    /// Looks up which torrent a link leads to now, waiting until that is known, and adds it. `make` says how: where it is stored, which
    /// trackers it has.
    ///
    /// The feed goes on following the key. What it tells of newer versions is for the caller to act upon: to add them, to remove the old
    /// one, or to leave things as they are. Nothing is added, removed or deleted by itself.
    ///
    /// # Errors
    /// If the client has no node of the DHT, the key publishes something that is no torrent, or the torrent cannot be added.
    pub async fn add_mutable(
        &self,
        link: &MutableLink,
        make: impl FnOnce(InfoHashes) -> AddTorrent,
    ) -> Result<(Torrent, TorrentFeed), ClientError> {
        let mut feed = self.dht().ok_or(ClientError::NoDht)?.follow_torrent(link)?;
        loop {
            match feed.next().await.ok_or(ClientError::ShuttingDown)? {
                MutableTorrentEvent::Updated { info_hash, .. } => {
                    // The item has room for 20 bytes and does not say of what; BEP 46 knows torrents of version 1 only.
                    let name = InfoHashes::v1(Sha1Hash::new(*info_hash.as_bytes()));
                    return Ok((self.add(make(name)).await?, feed));
                }
                MutableTorrentEvent::NoTorrent { seq, error: source } => {
                    return Err(ClientError::NoTorrent { seq, source });
                }
                _ => {}
            }
        }
    }
}
