//! The server's end of one HTTP connection.

use super::message::{Lines, field};
use super::{body, query};
use crate::announce::{AnnounceRequest, AnnounceResponse, ScrapeResponse};
use crate::error::TrackerError;
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};
use unchoke_core::{Block, InfoHash, Outgoing, StreamProtocol};

/// What a client asks. It has to be answered with the `respond_` method of the same name, or with
/// [`HttpServerConnection::respond_failure`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ServerRequest {
    /// An announce.
    Announce(AnnounceRequest),
    /// A scrape of these torrents, at least one and at most 74.
    Scrape(Vec<InfoHash>),
}

/// The server's end of one HTTP connection: takes one request, sends one answer, and is then to be closed.
///
/// The last part of the path decides what is asked: `announce` or `scrape`, below whatever folder. What cannot be understood
/// is answered here and gives no event.
#[derive(Debug)]
pub struct HttpServerConnection {
    lines: Lines,
    target: Option<Vec<u8>>,
    state: State,
    compact: bool,
    event: Option<ServerRequest>,
    answer: Option<Bytes>,
    unsent: usize,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Head,
    Asked,
    Answered,
}

impl HttpServerConnection {
    /// A connection that was accepted just now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            lines: Lines::default(),
            target: None,
            state: State::Head,
            compact: true,
            event: None,
            answer: None,
            unsent: 0,
            deadline: now.checked_add(TIMEOUT),
        }
    }

    /// Answers an announce. Like all answers, it is dropped unless one is due.
    pub fn respond_announce(&mut self, response: &AnnounceResponse) {
        let body = body::write_announce(response, self.compact);
        self.respond("200 OK", &body);
    }

    /// Answers a scrape.
    pub fn respond_scrape(&mut self, response: &ScrapeResponse) {
        self.respond("200 OK", &body::write_scrape(response));
    }

    /// Refuses what was asked; clients show the reason to their user.
    pub fn respond_failure(&mut self, reason: &str) {
        self.respond("200 OK", &body::write_failure(reason));
    }

    /// Whether the answer has left whole, so that the driver can close the connection.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Answered && self.answer.is_none() && self.unsent == 0
    }

    fn respond(&mut self, status: &str, body: &[u8]) {
        if self.state == State::Answered {
            return;
        }
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut answer = head.into_bytes();
        answer.extend_from_slice(body);
        self.unsent = answer.len();
        self.answer = Some(answer.into());
        self.state = State::Answered;
    }

    fn take_line(&mut self, line: &[u8]) {
        match &self.target {
            // RFC 9112, 2.2: an empty line before the request is passed over.
            None if line.is_empty() => {}
            None => {
                let mut words = line.split(|byte| *byte == b' ');
                match (words.next(), words.next(), words.next(), words.next()) {
                    (Some(b"GET"), Some(target), Some(b"HTTP/1.1" | b"HTTP/1.0"), None) => {
                        self.target = Some(target.to_vec());
                    }
                    (Some(_), Some(_), Some(b"HTTP/1.1" | b"HTTP/1.0"), None) => {
                        self.respond("405 Method Not Allowed", b"")
                    }
                    _ => self.respond("400 Bad Request", b""),
                }
            }
            Some(target) if line.is_empty() => {
                let target = target.clone();
                self.take_target(&target);
            }
            Some(_) => {
                if field(line).is_none() {
                    self.respond("400 Bad Request", b"");
                }
            }
        }
    }

    fn take_target(&mut self, target: &[u8]) {
        let at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at_checked(at).unwrap_or((target, &[]));
        let query = query.get(1..).unwrap_or_default();
        let asked = match path.rsplit(|byte| *byte == b'/').next() {
            Some(b"announce") => query::parse_announce(query).map(|parsed| {
                self.compact = parsed.compact;
                ServerRequest::Announce(parsed.request)
            }),
            Some(b"scrape") => query::parse_scrape(query).map(ServerRequest::Scrape),
            _ => return self.respond("404 Not Found", b""),
        };
        match asked {
            Ok(request) => {
                self.state = State::Asked;
                self.event = Some(request);
            }
            Err(reason) => self.respond_failure(reason),
        }
    }
}

impl StreamProtocol for HttpServerConnection {
    type Event = ServerRequest;
    type Error = TrackerError;

    fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) -> Result<(), TrackerError> {
        while self.state == State::Head {
            let Some(line) = self.lines.next(input)? else { return Ok(()) };
            self.take_line(&line);
        }
        // One request is all that a connection is for.
        input.clear();
        Ok(())
    }

    fn handle_end(&mut self, _now: Instant) -> Result<(), TrackerError> {
        if self.state == State::Head { Err(TrackerError::Truncated(self.lines.taken)) } else { Ok(()) }
    }

    fn handle_sent(&mut self, _now: Instant, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
    }

    fn handle_unreadable(&mut self, _now: Instant, _block: Block) {}

    fn handle_timeout(&mut self, now: Instant) -> Result<(), TrackerError> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            return Err(TrackerError::TimedOut);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, _now: Instant, _piece_budget: usize) -> Option<Outgoing> {
        self.answer.take().map(Outgoing::Bytes)
    }

    fn poll_event(&mut self) -> Option<ServerRequest> {
        self.event.take()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

/// From the connection to the end of the answer: a client that dawdles holds a place that others want.
const TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(request: &[u8], step: usize) -> (HttpServerConnection, Result<(), TrackerError>) {
        let now = Instant::now();
        let mut connection = HttpServerConnection::new(now);
        let mut input = BytesMut::new();
        for part in request.chunks(step) {
            input.extend_from_slice(part);
            if let Err(error) = connection.handle_input(now, &mut input) {
                return (connection, Err(error));
            }
        }
        (connection, Ok(()))
    }

    fn status(request: &str) -> String {
        let (mut connection, _) = ask(request.as_bytes(), 7);
        assert_eq!(connection.poll_event(), None);
        let Some(Outgoing::Bytes(bytes)) = connection.poll_transmit(Instant::now(), 0) else { return String::new() };
        assert!(!connection.is_done());
        connection.handle_sent(Instant::now(), bytes.len());
        assert!(connection.is_done());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn what_is_not_understood_is_answered_and_gives_no_event() {
        assert!(status("POST /announce HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(status("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(status("GET /announce\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(status("GET /announce HTTP/1.1\r\nbad\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(
            status("GET /announce?port=1 HTTP/1.1\r\n\r\n").ends_with("d14:failure reason20:info_hash is missinge")
        );
        assert!(status("GET /announce?port=1 HTTP/1.1\r\n").is_empty());
    }

    #[test]
    fn a_scrape_is_read_and_answered() {
        let request = format!("GET /x/scrape?info_hash={0}&info_hash={0} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20));
        let (mut connection, result) = ask(request.as_bytes(), 3);
        assert_eq!(result, Ok(()));
        assert_eq!(connection.poll_event(), Some(ServerRequest::Scrape(vec![InfoHash::new([b'a'; 20]); 2])));
        connection.respond_failure("closed today");
        connection.respond_failure("and not twice");
        assert!(connection.poll_transmit(Instant::now(), 0).is_some());
        assert_eq!(connection.poll_transmit(Instant::now(), 0), None);
    }

    #[test]
    fn an_endless_head_is_refused() {
        let (_, result) = ask(&[b'a'; 20_000], 999);
        assert_eq!(result, Err(TrackerError::TooLarge { what: "head", limit: 16384 }));
    }

    proptest! {
        #[test]
        fn any_request_is_read_or_refused(start in "(GET /(announce|scrape)\\?)?", tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = start.into_bytes();
            bytes.extend(tail);
            let _ = ask(&bytes, 10);
        }
    }
}
