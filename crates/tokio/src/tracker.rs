//! Announces a torrent to its trackers, tier by tier ([BEP 12]).
//!
//! [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html

use crate::engine::Engine;
use crate::stream;
use bytes::BytesMut;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{broadcast, watch};
use unchoke_core::{DatagramProtocol as _, Path, Seed};
use unchoke_swarm::{Event, PeerOrigin, TorrentKey, TorrentState};
use unchoke_tracker::http::{HttpEvent, HttpTracker};
use unchoke_tracker::tiers::{DueAnnounce, Tiers};
use unchoke_tracker::udp::{UdpConfig, UdpEvent, UdpTracker};
use unchoke_tracker::{AnnounceRequest, AnnounceResponse, TrackerUrl};

/// How long one announce may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Datagrams are sent again at most this often, or the other trackers would wait too long.
const UDP_RETRIES: u32 = 1;
/// Redirections followed per announce.
const MAX_REDIRECTS: usize = 3;
/// The longest datagram that a tracker sends: a full list of peers.
const DATAGRAM: usize = 64 * 1024;

/// One torrent and its trackers.
pub(crate) struct Announcer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) torrent: TorrentKey,
    pub(crate) request: AnnounceRequest,
    pub(crate) tiers: Tiers,
    pub(crate) seed: Seed,
    /// The address to announce from, if it matters.
    pub(crate) source: Option<SocketAddr>,
}

impl Announcer {
    /// Announces until the torrent is removed, or until `stop` says so and every tracker that knows of us has been told.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let events = self.engine.read(|core| core.torrents.get(&self.torrent).map(|tasks| tasks.events.subscribe()));
        let Some(mut events) = events else { return };
        // Before the check a seed would be announced as one who needs everything, and not corrected until the next interval.
        while self.is_checking() && !self.tiers.is_stopped() {
            tokio::select! {
                _ = stop.changed() => self.tiers.handle_stop(),
                happened = events.recv() => {
                    if matches!(happened, Err(broadcast::error::RecvError::Closed)) {
                        self.tiers.handle_stop();
                    }
                }
            }
        }
        while !self.tiers.is_stopped() {
            if let Some(due) = self.tiers.next(Instant::now()) {
                // The announce under way is ended before anything else; its own limits bound it.
                self.announce(due).await;
                continue;
            }
            let deadline = self.tiers.poll_timeout(Instant::now());
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
                    Ok(Event::Completed { .. }) if self.downloaded_something() => self.tiers.handle_completed(),
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

    /// Whether completing is news: a seed that has just been started has not completed anything (BEP 3).
    fn downloaded_something(&self) -> bool {
        self.engine.read(|core| core.session.stats(self.torrent)).is_some_and(|stats| stats.downloaded > 0)
    }

    async fn announce(&mut self, due: DueAnnounce) {
        if let Some(stats) = self.engine.read(|core| core.session.stats(self.torrent)) {
            (self.request.uploaded, self.request.downloaded) = (stats.uploaded, stats.downloaded);
            self.request.left = stats.left().unwrap_or(self.request.left);
        }
        (self.request.event, self.request.tracker_id) = (due.event, due.tracker_id);
        let one = async {
            match &due.url {
                TrackerUrl::Udp { .. } => over_udp(&due.url, &self.request, self.source, &self.seed).await,
                url => over_http(url.clone(), &self.request, self.source).await,
            }
        };
        match tokio::time::timeout(PATIENCE, one).await {
            Ok(Ok(response)) => {
                self.tiers.handle_response(Instant::now(), &due.url, &response);
                self.engine.with(|core, now| {
                    core.session.add_peers(now, self.torrent, &response.peers, PeerOrigin::Tracker);
                });
            }
            _ => self.tiers.handle_failure(Instant::now(), &due.url),
        }
    }
}

/// One announce over HTTP.
async fn over_http(
    mut url: TrackerUrl,
    request: &AnnounceRequest,
    source: Option<SocketAddr>,
) -> io::Result<AnnounceResponse> {
    let mut tracker = HttpTracker::announce(&url, request).map_err(io::Error::other)?;
    for _ in 0..=MAX_REDIRECTS {
        if !matches!(url, TrackerUrl::Http { .. }) {
            return Err(io::Error::other("only trackers over plain HTTP and UDP are spoken to"));
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

/// One announce over UDP.
async fn over_udp(
    url: &TrackerUrl,
    request: &AnnounceRequest,
    source: Option<SocketAddr>,
    seed: &Seed,
) -> io::Result<AnnounceResponse> {
    let remote = lookup(url).await?.next().ok_or(io::ErrorKind::NotFound)?;
    let any = if remote.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let from = source.map(|source| source.ip()).filter(|from| from.is_ipv4() == remote.is_ipv4()).unwrap_or(any);
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
    let mut config = UdpConfig::default();
    config.max_retries = UDP_RETRIES;
    // Transaction ids must differ from one announce to the next, or an old answer could pass for a new one.
    let seed = seed.derive(&format!("tracker {}", rand::random::<u64>()));
    let mut tracker = UdpTracker::new(url, remote, &seed, config).map_err(io::Error::other)?;
    tracker.announce(request);
    let (mut datagram, mut answer) = (Vec::new(), vec![0; DATAGRAM]);
    loop {
        datagram.clear();
        while let Some(transmit) = tracker.poll_transmit(Instant::now(), &mut datagram) {
            socket.send_to(datagram.get(..transmit.size).unwrap_or_default(), transmit.destination).await?;
            datagram.clear();
        }
        match tracker.poll_event() {
            Some(UdpEvent::Announced { response, .. }) => return Ok(response),
            Some(UdpEvent::Failed { error, .. }) => return Err(io::Error::other(error)),
            _ => {}
        }
        let at = tracker.poll_timeout().ok_or(io::ErrorKind::TimedOut)?;
        tokio::select! {
            received = socket.recv_from(&mut answer) => {
                let (length, sender) = received?;
                let bytes = answer.get(..length).unwrap_or_default();
                // What is not from the tracker is counted there and otherwise passed over.
                let _ = tracker.handle_input(Instant::now(), Path::from_remote(sender), bytes);
            }
            () = tokio::time::sleep_until(at.into()) => tracker.handle_timeout(Instant::now()),
        }
    }
}

async fn lookup(url: &TrackerUrl) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let host = url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(tokio::net::lookup_host((host, url.port())).await?.collect::<Vec<_>>().into_iter())
}

async fn connect(url: &TrackerUrl, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup(url).await? {
        match stream::connect(address, source).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
