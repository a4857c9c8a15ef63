//! The client's end: one announce or one scrape.

use super::message::Response;
use super::{body, query};
use crate::announce::{AnnounceRequest, AnnounceResponse, MAX_SCRAPE, ScrapeResponse};
use crate::error::TrackerError;
use crate::url::TrackerUrl;
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};
use unchoke_core::{Block, InfoHash, Outgoing, StreamProtocol};

/// What came of the request. There is one such event, and nothing comes after it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HttpEvent {
    /// The tracker answered an announce.
    Announced(AnnounceResponse),
    /// The tracker answered a scrape.
    Scraped(ScrapeResponse),
    /// The tracker sends us elsewhere: an absolute URL, which holds the request already, to be sent with
    /// [`HttpTracker::redirected`]. How many times to follow is for the caller to say.
    Redirect(String),
}

/// One announce or scrape over one HTTP connection, which the driver opens to [`TrackerUrl::host`] and
/// [`TrackerUrl::port`], inside TLS if the URL says so, and closes once there is an event or an error.
#[derive(Debug)]
pub struct HttpTracker {
    what: What,
    url: TrackerUrl,
    request: Option<Bytes>,
    response: Response,
    event: Option<HttpEvent>,
    deadline: Option<Instant>,
    is_done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Announce,
    Scrape,
}

impl HttpTracker {
    /// An announce.
    ///
    /// # Errors
    /// [`TrackerError::Unsupported`] if the URL is not an HTTP one.
    pub fn announce(url: &TrackerUrl, request: &AnnounceRequest) -> Result<Self, TrackerError> {
        let target = query::announce_target(path_query(url)?, request);
        Ok(Self::new(What::Announce, url, &target))
    }

    /// A scrape of up to 74 torrents; `url` is the announce URL.
    ///
    /// # Errors
    /// [`TrackerError::Unsupported`] if no scrape address follows from the URL, [`TrackerError::TooManyHashes`].
    pub fn scrape(url: &TrackerUrl, hashes: &[InfoHash]) -> Result<Self, TrackerError> {
        if hashes.is_empty() || hashes.len() > MAX_SCRAPE {
            return Err(TrackerError::TooManyHashes(hashes.len()));
        }
        let url = url.scrape().ok_or(TrackerError::Unsupported)?;
        let target = query::scrape_target(path_query(&url)?, hashes);
        Ok(Self::new(What::Scrape, &url, &target))
    }

    /// The same request again at the place that [`HttpEvent::Redirect`] named.
    ///
    /// # Errors
    /// [`TrackerError::Unsupported`] if that is not an HTTP URL.
    pub fn redirected(&self, url: &TrackerUrl) -> Result<Self, TrackerError> {
        Ok(Self::new(self.what, url, path_query(url)?))
    }

    fn new(what: What, url: &TrackerUrl, target: &str) -> Self {
        let host = url.authority();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept-Encoding: identity\r\n\
             Connection: close\r\n\r\n"
        );
        Self {
            what,
            url: url.clone(),
            request: Some(request.into()),
            response: Response::new(),
            event: None,
            deadline: None,
            is_done: false,
        }
    }

    /// Whether the answer has come and the connection can be closed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    fn finish(&mut self) -> Result<(), TrackerError> {
        self.is_done = true;
        self.deadline = None;
        let body = std::mem::take(&mut self.response.body);
        let event = match (self.response.status, self.what) {
            (200..=299, What::Announce) => HttpEvent::Announced(body::read_announce(&body)?),
            (200..=299, What::Scrape) => HttpEvent::Scraped(body::read_scrape(&body)?),
            (301 | 302 | 303 | 307 | 308, _) => {
                let location = self.response.location.take().ok_or(TrackerError::Status(self.response.status))?;
                HttpEvent::Redirect(self.resolve(location))
            }
            // Some trackers put their reason under another status than 200.
            (status, _) => {
                return Err(match body::read_announce(&body) {
                    Err(reason @ TrackerError::FailureReason(_)) => reason,
                    _ => TrackerError::Status(status),
                });
            }
        };
        self.event = Some(event);
        Ok(())
    }

    /// A location without scheme and host is on the same server.
    fn resolve(&self, location: String) -> String {
        let scheme = if matches!(self.url, TrackerUrl::Https { .. }) { "https" } else { "http" };
        match location.as_bytes() {
            [b'/', b'/', ..] => format!("{scheme}:{location}"),
            [b'/', ..] => format!("{scheme}://{}{location}", self.url.authority()),
            _ => location,
        }
    }
}

impl StreamProtocol for HttpTracker {
    type Event = HttpEvent;
    type Error = TrackerError;

    fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) -> Result<(), TrackerError> {
        if self.is_done {
            input.clear();
            return Ok(());
        }
        if self.response.take(input)? { self.finish() } else { Ok(()) }
    }

    fn handle_end(&mut self, _now: Instant) -> Result<(), TrackerError> {
        if self.is_done {
            return Ok(());
        }
        self.response.end()?;
        self.finish()
    }

    fn handle_sent(&mut self, _now: Instant, _bytes: usize) {}

    fn handle_unreadable(&mut self, _now: Instant, _block: Block) {}

    fn handle_timeout(&mut self, now: Instant) -> Result<(), TrackerError> {
        match self.deadline {
            Some(deadline) if deadline <= now => {
                self.is_done = true;
                self.deadline = None;
                Err(TrackerError::TimedOut)
            }
            _ => Ok(()),
        }
    }

    fn poll_transmit(&mut self, now: Instant, _piece_budget: usize) -> Option<Outgoing> {
        let request = self.request.take()?;
        self.deadline = now.checked_add(TIMEOUT);
        Some(Outgoing::Bytes(request))
    }

    fn poll_event(&mut self) -> Option<HttpEvent> {
        self.event.take()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

fn path_query(url: &TrackerUrl) -> Result<&str, TrackerError> {
    match url {
        TrackerUrl::Http { path_query, .. } | TrackerUrl::Https { path_query, .. } => Ok(path_query),
        TrackerUrl::Udp { .. } => Err(TrackerError::Unsupported),
    }
}

const USER_AGENT: &str = concat!("unchoke/", env!("CARGO_PKG_VERSION"));
/// From the request to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::PeerId;

    fn client() -> HttpTracker {
        let url = TrackerUrl::parse("http://tracker.example/announce").unwrap();
        HttpTracker::announce(&url, &AnnounceRequest::new(InfoHash::new([1; 20]), PeerId::new([b'x'; 20]), 6881))
            .unwrap()
    }

    /// Feeds an answer in parts of `step` bytes, then its end.
    fn answer(bytes: &[u8], step: usize) -> Result<Option<HttpEvent>, TrackerError> {
        let (mut client, now) = (client(), Instant::now());
        let mut input = BytesMut::new();
        for part in bytes.chunks(step) {
            input.extend_from_slice(part);
            client.handle_input(now, &mut input)?;
        }
        client.handle_end(now)?;
        Ok(client.poll_event())
    }

    #[test]
    fn the_request_is_one_get() {
        let mut client = client();
        let Some(Outgoing::Bytes(bytes)) = client.poll_transmit(Instant::now(), 0) else { panic!("no request") };
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("GET /announce?info_hash=%01%01"), "{text}");
        assert!(text.contains("\r\nHost: tracker.example\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert_eq!(client.poll_transmit(Instant::now(), 0), None);
    }

    #[test]
    fn bodies_of_every_framing_are_read_however_they_are_split() {
        let wanted = AnnounceResponse::new(Duration::from_secs(60));
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nd8:intervali60ee"[..],
            b"HTTP/1.0 200 OK\r\n\r\nd8:intervali60ee",
            b"HTTP/1.1 200\nContent-Type: text/plain\n\nd8:intervali60ee",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nd8:\r\nD\r\nintervali60ee\r\n0\r\nA: b\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:16\r\n\r\nd8:intervali60ee",
        ] {
            for step in [1, 2, 3, 7, 1000] {
                assert_eq!(answer(bytes, step), Ok(Some(HttpEvent::Announced(wanted.clone()))), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn redirects_are_told_and_resolved() {
        let redirect =
            |location: &str| answer(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n").as_bytes(), 5);
        let told = |url: &str| Ok(Some(HttpEvent::Redirect(url.to_owned())));
        assert_eq!(redirect("https://b/x"), told("https://b/x"));
        assert_eq!(redirect("/y?z"), told("http://tracker.example/y?z"));
        assert_eq!(redirect("//c/y"), told("http://c/y"));
    }

    #[test]
    fn bad_answers_are_refused() {
        let head = "HTTP/1.1 200 OK\r\n";
        let long = format!("{head}X: {}\r\n", "y".repeat(20_000));
        for (bytes, error) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", TrackerError::Status(404)),
            ("HTTP/1.1 400 Bad\r\n\r\nd14:failure reason2:noe", TrackerError::FailureReason("no".into())),
            ("SSH-2.0-x\r\n", TrackerError::malformed("status line", 0)),
            ("HTTP/1.1 2000 OK\r\n", TrackerError::malformed("status line", 0)),
            ("HTTP/1.1 200 OK\r\nno colon\r\n", TrackerError::malformed("header field", 17)),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n", TrackerError::malformed("content-length", 17)),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", TrackerError::malformed("content-encoding", 17)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", TrackerError::malformed("chunk size", 47)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n",
                TrackerError::TooLarge { what: "body", limit: 1 << 20 },
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nde", TrackerError::Truncated(40)),
            (&long, TrackerError::TooLarge { what: "head", limit: 16384 }),
        ] {
            assert_eq!(answer(bytes.as_bytes(), 11), Err(error), "{bytes}");
        }
    }

    #[test]
    fn silence_times_out_after_thirty_seconds() {
        let (mut client, now) = (client(), Instant::now());
        assert_eq!(client.poll_timeout(), None);
        assert!(client.poll_transmit(now, 0).is_some());
        assert_eq!(client.poll_timeout(), Some(now + TIMEOUT));
        assert_eq!(client.handle_timeout(now), Ok(()));
        assert_eq!(client.handle_timeout(now + TIMEOUT), Err(TrackerError::TimedOut));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused_alike_however_it_is_split(
            start in "(HTTP/1\\.1 [0-9]{3} OK\r\n)?((content-length: [0-9]{1,3}|transfer-encoding: chunked|a: b)\r\n){0,3}(\r\n)?",
            tail in prop::collection::vec(any::<u8>(), 0..100), step in 1usize..20,
        ) {
            let mut bytes = start.into_bytes();
            bytes.extend(tail);
            prop_assert_eq!(answer(&bytes, step), answer(&bytes, 1000));
        }
    }
}
