//! Announces a torrent to its trackers, tier by tier ([BEP 12]).
//!
//! [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html

use crate::engine::Engine;
use crate::stream;
use bytes::BytesMut;
use rand::seq::SliceRandom as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use unchoke_swarm::{Event, PeerOrigin, TorrentKey};
use unchoke_tracker::http::{HttpEvent, HttpTracker};
use unchoke_tracker::{AnnounceEvent, AnnounceRequest, AnnounceResponse, TrackerUrl};

/// How long one announce may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// The wait after all trackers failed; it doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(1800);
/// Redirections followed per announce.
const MAX_REDIRECTS: usize = 3;

/// One torrent and its trackers.
pub(crate) struct Announcer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) torrent: TorrentKey,
    pub(crate) request: AnnounceRequest,
    pub(crate) tiers: Vec<Vec<String>>,
    /// The address to announce from, if it matters.
    pub(crate) source: Option<SocketAddr>,
}

impl Announcer {
    /// Announces until the torrent is removed or `stop` says so, and says goodbye then.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.tiers.iter_mut().for_each(|tier| tier.shuffle(&mut rand::rng()));
        let events = self.engine.read(|core| core.torrents.get(&self.torrent).map(|tasks| tasks.events.subscribe()));
        let Some(mut events) = events else { return };
        let mut retry = FIRST_RETRY;
        let mut event = Some(AnnounceEvent::Started);
        let mut announced = false;
        while self.refresh() {
            self.request.event = event;
            let wait = match self.announce_somewhere().await {
                Some(response) => {
                    (event, announced, retry) = (None, true, FIRST_RETRY);
                    self.engine.with(|core, now| {
                        core.session.add_peers(now, self.torrent, &response.peers, PeerOrigin::Tracker);
                    });
                    response.interval
                }
                None => {
                    let wait = retry;
                    retry = retry.saturating_mul(2).min(LAST_RETRY);
                    wait
                }
            };
            let sleep = tokio::time::sleep(wait);
            tokio::pin!(sleep);
            loop {
                tokio::select! {
                    () = &mut sleep => break,
                    _ = stop.changed() => {
                        self.farewell(announced).await;
                        return;
                    }
                    happened = events.recv() => match happened.as_deref() {
                        Ok(Event::Completed { .. }) if announced => {
                            event = Some(AnnounceEvent::Completed);
                            break;
                        }
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                        _ => {}
                    },
                }
            }
        }
    }

    /// Fills in the figures. False if the torrent is gone.
    fn refresh(&mut self) -> bool {
        let Some(stats) = self.engine.read(|core| core.session.stats(self.torrent)) else { return false };
        (self.request.uploaded, self.request.downloaded) = (stats.uploaded, stats.downloaded);
        if let Some(left) = stats.left() {
            self.request.left = left;
        }
        true
    }

    async fn farewell(&mut self, announced: bool) {
        if announced {
            self.request.event = Some(AnnounceEvent::Stopped);
            // Whether the tracker hears it or not, we leave.
            let _ = tokio::time::timeout(FAREWELL, self.announce_somewhere()).await;
        }
    }

    /// Tries the trackers in order. The one that answers moves to the front of its tier.
    async fn announce_somewhere(&mut self) -> Option<AnnounceResponse> {
        for tier in 0..self.tiers.len() {
            for number in 0..self.tiers.get(tier).map_or(0, Vec::len) {
                let Some(url) = self.tiers.get(tier).and_then(|urls| urls.get(number)).cloned() else { continue };
                let answer = tokio::time::timeout(PATIENCE, announce(&url, &self.request, self.source)).await;
                if let Ok(Ok(response)) = answer {
                    if let Some(urls) = self.tiers.get_mut(tier) {
                        let working = urls.remove(number);
                        urls.insert(0, working);
                    }
                    return Some(response);
                }
            }
        }
        None
    }
}

/// One announce to one tracker.
async fn announce(url: &str, request: &AnnounceRequest, source: Option<SocketAddr>) -> io::Result<AnnounceResponse> {
    let mut url = TrackerUrl::parse(url).map_err(io::Error::other)?;
    let mut tracker = HttpTracker::announce(&url, request).map_err(io::Error::other)?;
    for _ in 0..=MAX_REDIRECTS {
        if !matches!(url, TrackerUrl::Http { .. }) {
            return Err(io::Error::other("only trackers over plain HTTP are spoken to"));
        }
        let mut stream = connect(&url, source).await?;
        match stream::next_event(&mut tracker, &mut stream, &mut BytesMut::new()).await? {
            Some(HttpEvent::Announced(response)) => return Ok(response),
            Some(HttpEvent::Redirect(to)) => {
                url = TrackerUrl::parse(&to).map_err(io::Error::other)?;
                tracker = tracker.redirected(&url).map_err(io::Error::other)?;
            }
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Err(io::Error::other("too many redirections"))
}

async fn connect(url: &TrackerUrl, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let host = url.host().trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in tokio::net::lookup_host((host, url.port())).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let from = source.filter(|from| from.is_ipv4() == address.is_ipv4() && !from.ip().is_unspecified());
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from.ip(), 0))?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
