//! The client's end: announces and scrapes at one tracker address.

use super::packet::{self, Reader};
use crate::announce::{AnnounceRequest, AnnounceResponse, MAX_SCRAPE, ScrapeResponse};
use crate::error::TrackerError;
use crate::url::TrackerUrl;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{DatagramProtocol, Handled, InfoHash, Path, Rng, Seed, Transmit};

/// How patient a client is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UdpConfig {
    /// How long to wait for the first answer; each further wait is twice as long.
    pub first_wait: Duration,
    /// How often to ask again before giving up. BEP 15 says 8, with which the last wait alone takes more than an hour; fewer
    /// give the next tracker its turn sooner.
    pub max_retries: u32,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self { first_wait: Duration::from_secs(15), max_retries: 8 }
    }
}

/// Which request an event answers; unique within one [`UdpTracker`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(u64);

/// What came of a request: exactly one event for each.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UdpEvent {
    /// The tracker answered an announce.
    Announced {
        /// The request.
        id: RequestId,
        /// The answer.
        response: AnnounceResponse,
    },
    /// The tracker answered a scrape.
    Scraped {
        /// The request.
        id: RequestId,
        /// The answer.
        response: ScrapeResponse,
    },
    /// The tracker refused or did not answer.
    Failed {
        /// The request.
        id: RequestId,
        /// Why.
        error: TrackerError,
    },
}

/// A UDP tracker at one address. Believed is only what comes from that address with a transaction id that is under way.
#[derive(Debug)]
pub struct UdpTracker {
    remote: SocketAddr,
    url_data: String,
    config: UdpConfig,
    rng: Rng,
    connection: Option<Connection>,
    connecting: Option<Connecting>,
    jobs: VecDeque<Job>,
    next_id: u64,
    events: VecDeque<UdpEvent>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    id: u64,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Connecting {
    transaction: u32,
    due: Instant,
}

#[derive(Debug)]
struct Job {
    id: RequestId,
    what: What,
    transaction: u32,
    retries: u32,
    /// When to give up waiting for the answer; `None` while it has to be sent.
    due: Option<Instant>,
}

#[derive(Debug)]
enum What {
    Announce(AnnounceRequest),
    Scrape(Vec<InfoHash>),
}

impl UdpTracker {
    /// A tracker that `url` names and that was found at `remote`.
    ///
    /// # Errors
    /// [`TrackerError::Unsupported`] if the URL is not a UDP one.
    pub fn new(url: &TrackerUrl, remote: SocketAddr, seed: &Seed, config: UdpConfig) -> Result<Self, TrackerError> {
        let TrackerUrl::Udp { url_data, .. } = url else { return Err(TrackerError::Unsupported) };
        Ok(Self {
            remote,
            url_data: url_data.clone(),
            config,
            rng: seed.rng(),
            connection: None,
            connecting: None,
            jobs: VecDeque::new(),
            next_id: 0,
            events: VecDeque::new(),
        })
    }

    /// Queues an announce. Poll for datagrams afterwards.
    pub fn announce(&mut self, request: &AnnounceRequest) -> RequestId {
        self.push(What::Announce(request.clone()))
    }

    /// Queues a scrape of up to 74 torrents. Poll for datagrams afterwards.
    ///
    /// # Errors
    /// [`TrackerError::TooManyHashes`]
    pub fn scrape(&mut self, hashes: &[InfoHash]) -> Result<RequestId, TrackerError> {
        if hashes.is_empty() || hashes.len() > MAX_SCRAPE {
            return Err(TrackerError::TooManyHashes(hashes.len()));
        }
        Ok(self.push(What::Scrape(hashes.to_vec())))
    }

    fn push(&mut self, what: What) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.jobs.push_back(Job { id, what, transaction: self.rng.next_u32(), retries: 0, due: None });
        id
    }

    fn wait(&self, now: Instant, retries: u32) -> Instant {
        let wait = self.config.first_wait.saturating_mul(1 << retries.min(16));
        now.checked_add(wait).unwrap_or(now)
    }

    /// Fails all jobs for which `fails` says so.
    fn fail(&mut self, error: &TrackerError, fails: impl Fn(&Job) -> bool) {
        let events = &mut self.events;
        self.jobs.retain(|job| {
            let is_failed = fails(job);
            if is_failed {
                events.push_back(UdpEvent::Failed { id: job.id, error: error.clone() });
            }
            !is_failed
        });
    }

    /// Whether a datagram has the transaction id of a request of this client. On a shared socket there may be another client of the same
    /// tracker. What is too short to have one is nobody's, and refused here.
    fn has_asked(&self, datagram: &[u8]) -> bool {
        let mut reader = Reader::new(datagram);
        let (Ok(_), Ok(transaction)) = (reader.u32(), reader.u32()) else { return true };
        self.connecting.is_some_and(|connecting| connecting.transaction == transaction)
            || self.jobs.iter().any(|job| job.transaction == transaction)
    }

    fn take(&mut self, now: Instant, datagram: &[u8]) -> Result<(), TrackerError> {
        let mut reader = Reader::new(datagram);
        let (action, transaction) = (reader.u32()?, reader.u32()?);
        if self.connecting.is_some_and(|connecting| connecting.transaction == transaction) {
            match action {
                packet::CONNECT => {
                    let id = reader.u64()?;
                    self.connecting = None;
                    self.connection = now.checked_add(CONNECTION_LIFE).map(|until| Connection { id, until });
                }
                packet::ERROR => {
                    self.connecting = None;
                    self.fail(&TrackerError::failure(reader.rest()), |job| job.due.is_none());
                }
                _ => return Err(TrackerError::malformed("unexpected action", 0)),
            }
            return Ok(());
        }
        let remote = self.remote;
        let sent = |job: &Job| job.transaction == transaction && (job.due.is_some() || job.retries > 0);
        let at = self.jobs.iter().position(sent).ok_or(TrackerError::malformed("unknown transaction id", 4))?;
        let job = self.jobs.get(at).ok_or(TrackerError::malformed("unknown transaction id", 4))?;
        let id = job.id;
        let event = match (&job.what, action) {
            (What::Announce(_), packet::ANNOUNCE) => {
                UdpEvent::Announced { id, response: packet::read_announced(&mut reader, remote)? }
            }
            (What::Scrape(hashes), packet::SCRAPE) => {
                UdpEvent::Scraped { id, response: ScrapeResponse::new(packet::read_scraped(&mut reader, hashes)?) }
            }
            (_, packet::ERROR) => {
                // The reason may be a connection id that the tracker has forgotten.
                self.connection = None;
                UdpEvent::Failed { id, error: TrackerError::failure(reader.rest()) }
            }
            _ => return Err(TrackerError::malformed("unexpected action", 0)),
        };
        self.jobs.remove(at);
        self.events.push_back(event);
        Ok(())
    }
}

impl DatagramProtocol for UdpTracker {
    type Event = UdpEvent;

    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled {
        if path.remote != self.remote || !self.has_asked(datagram) {
            return Handled::NotMine;
        }
        // A malformed answer fails nothing: the true one may still come, or else the time runs out.
        if self.take(now, datagram).is_ok() { Handled::Taken } else { Handled::Refused }
    }

    fn handle_unreachable(&mut self, _now: Instant, to: SocketAddr) {
        if to == self.remote {
            self.connecting = None;
            self.fail(&TrackerError::Unreachable, |_| true);
        }
    }

    fn handle_network_change(&mut self, _now: Instant) {
        // A connection id stands for the address that it was given to.
        self.connection = None;
        self.connecting = None;
    }

    fn handle_timeout(&mut self, now: Instant) {
        let is_connect_late = self.connecting.is_some_and(|connecting| connecting.due <= now);
        for job in &mut self.jobs {
            let is_late = job.due.map_or(is_connect_late, |due| due <= now);
            if is_late {
                job.due = None;
                job.retries = job.retries.saturating_add(1);
            }
        }
        if is_connect_late {
            self.connecting = None;
        }
        let max_retries = self.config.max_retries;
        self.fail(&TrackerError::TimedOut, |job| job.retries > max_retries);
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        let at = self.jobs.iter().position(|job| job.due.is_none())?;
        let retries = self.jobs.get(at)?.retries;
        let due = self.wait(now, retries);
        let before = buf.len();
        match self.connection.filter(|connection| connection.until > now) {
            Some(connection) => {
                let job = self.jobs.get_mut(at)?;
                job.due = Some(due);
                match &job.what {
                    What::Announce(request) => {
                        packet::put_header(buf, connection.id, packet::ANNOUNCE, job.transaction);
                        packet::put_announce(buf, request, &self.url_data);
                    }
                    What::Scrape(hashes) => {
                        packet::put_header(buf, connection.id, packet::SCRAPE, job.transaction);
                        hashes.iter().for_each(|hash| buf.extend_from_slice(hash.as_bytes()));
                    }
                }
            }
            None if self.connecting.is_some() => return None,
            None => {
                let transaction = self.rng.next_u32();
                self.connecting = Some(Connecting { transaction, due });
                packet::put_header(buf, packet::MAGIC, packet::CONNECT, transaction);
            }
        }
        Some(Transmit::new(self.remote, buf.len().saturating_sub(before)))
    }

    fn poll_event(&mut self) -> Option<UdpEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let jobs = self.jobs.iter().filter_map(|job| job.due);
        jobs.chain(self.connecting.map(|connecting| connecting.due)).min()
    }
}

/// How long a client may use a connection id (BEP 15).
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
