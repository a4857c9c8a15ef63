//! One announce, over HTTP, HTTPS or UDP, redirects included.

use crate::error::AnnounceError;
use crate::stream::{self, StreamError};
#[cfg(feature = "https")]
use crate::tls::Tls;
use crate::udp;
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use unchoke_core::Seed;
use unchoke_tracker::http::{HttpEvent, HttpTracker};
use unchoke_tracker::udp::{UdpConfig, UdpTracker};
use unchoke_tracker::{AnnounceRequest, AnnounceResponse, TrackerError, TrackerUrl};

/// How long one announce may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one of a tracker's addresses may take to answer; there may be another.
const CONNECT: Duration = Duration::from_secs(6);
/// Datagrams are sent again at most this often, or the other trackers would wait too long.
const UDP_RETRIES: u32 = 1;
/// Redirects followed per announce.
const MAX_REDIRECTS: usize = 3;

/// How trackers are reached.
#[derive(Clone)]
pub(crate) struct Network {
    /// The address to announce from, if it matters.
    pub(crate) source: Option<SocketAddr>,
    /// Where datagrams go.
    pub(crate) udp: udp::Commands,
    #[cfg(feature = "https")]
    pub(crate) tls: Tls,
}

impl Network {
    pub(crate) async fn announce(
        &self,
        url: &TrackerUrl,
        request: &AnnounceRequest,
        seed: &Seed,
    ) -> Result<AnnounceResponse, AnnounceError> {
        let one = async {
            match url {
                TrackerUrl::Udp { .. } => self.over_udp(url, request, seed).await,
                url => self.over_http(url.clone(), request).await,
            }
        };
        tokio::time::timeout(PATIENCE, one).await.unwrap_or(Err(AnnounceError::TimedOut))
    }

    async fn over_http(
        &self,
        mut url: TrackerUrl,
        request: &AnnounceRequest,
    ) -> Result<AnnounceResponse, AnnounceError> {
        let mut tracker = HttpTracker::announce(&url, request)?;
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&url, &mut tracker).await? {
                HttpEvent::Announced(response) => return Ok(response),
                HttpEvent::Redirect(to) => {
                    let next = TrackerUrl::parse(&to)?;
                    let is_secure = |url: &TrackerUrl| matches!(url, TrackerUrl::Https { .. });
                    if is_secure(&url) && !is_secure(&next) {
                        return Err(AnnounceError::Downgrade(next.to_string()));
                    }
                    tracker = tracker.redirected(&next)?;
                    url = next;
                }
                _ => return Err(TrackerError::Unsupported.into()),
            }
        }
        Err(AnnounceError::TooManyRedirects)
    }

    /// Sends one request and waits for what comes of it.
    async fn ask(&self, url: &TrackerUrl, tracker: &mut HttpTracker) -> Result<HttpEvent, AnnounceError> {
        let mut input = BytesMut::new();
        let event = if matches!(url, TrackerUrl::Https { .. }) {
            #[cfg(not(feature = "https"))]
            return Err(AnnounceError::HttpsDisabled);
            #[cfg(feature = "https")]
            {
                let mut stream = self.tls.connect(url.host(), self.connect(url).await?).await?;
                stream::next_event(tracker, &mut stream, &mut input, |_| false).await
            }
        } else {
            stream::next_event(tracker, &mut self.connect(url).await?, &mut input, |_| false).await
        };
        match event {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(TrackerError::Truncated(0).into()),
            Err(StreamError::Protocol(error)) => Err(error.into()),
            Err(StreamError::Io(error)) => Err(error.into()),
        }
    }

    async fn over_udp(
        &self,
        url: &TrackerUrl,
        request: &AnnounceRequest,
        seed: &Seed,
    ) -> Result<AnnounceResponse, AnnounceError> {
        let remote = first(&lookup(url).await?, url)?;
        let mut config = UdpConfig::default();
        config.max_retries = UDP_RETRIES;
        // Transaction ids must differ from one announce to the next, or an old answer could pass for a new one.
        let seed = seed.derive(&format!("tracker {}", rand::random::<u64>()));
        let mut tracker = UdpTracker::new(url, remote, &seed, config)?;
        tracker.announce(request);
        Ok(udp::announce(&self.udp, tracker).await?)
    }

    async fn connect(&self, url: &TrackerUrl) -> Result<TcpStream, AnnounceError> {
        let addresses = lookup(url).await?;
        let mut address = first(&addresses, url)?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for next in addresses {
            address = next;
            match tokio::time::timeout(CONNECT, stream::connect(address, self.source)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(AnnounceError::Connect { address, source: last })
    }
}

async fn lookup(url: &TrackerUrl) -> Result<Vec<SocketAddr>, AnnounceError> {
    match tokio::net::lookup_host((url.host(), url.port())).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(source) => Err(AnnounceError::Lookup { host: url.host().to_owned(), source }),
    }
}

fn first(addresses: &[SocketAddr], url: &TrackerUrl) -> Result<SocketAddr, AnnounceError> {
    let none = || AnnounceError::Lookup { host: url.host().to_owned(), source: io::ErrorKind::NotFound.into() };
    addresses.first().copied().ok_or_else(none)
}
