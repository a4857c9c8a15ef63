//! Both ends of an HTTP tracker, and its address.

use bytes::BytesMut;
use std::time::Instant;
use unchoke_core::{InfoHash, Outgoing, PeerId, StreamProtocol};
use unchoke_tracker::announce::{MAX_INTERVAL, MAX_PEERS, MAX_SCRAPE, MIN_INTERVAL};
use unchoke_tracker::http::{HttpEvent, HttpServerConnection, HttpTracker, ServerRequest};
use unchoke_tracker::{AnnounceRequest, AnnounceResponse, TrackerUrl};

/// The first byte chooses who gets the bytes, the second the size of a portion.
///
/// A client believes no interval, peer or count beyond its limits, and what it believes survives a server of ours; a server asks its owner
/// only what can be answered; an address that is read is printed as itself.
pub fn tracker_http(data: &[u8]) {
    let [choice, portion, input @ ..] = data else { return };
    let now = Instant::now();
    let portion = usize::from(*portion).max(1);
    match choice % 4 {
        0 => client(now, input, portion, HttpTracker::announce(&address(), &request())),
        1 => client(now, input, portion, HttpTracker::scrape(&address(), &[InfoHash::new([1; 20])])),
        2 => server(now, input, portion),
        _ => url(input),
    }
}

fn address() -> TrackerUrl {
    match "http://tracker.test/announce".parse() {
        Ok(url) => url,
        Err(error) => panic!("a plain address is refused: {error:?}"),
    }
}

fn request() -> AnnounceRequest {
    AnnounceRequest::new(InfoHash::new([1; 20]), PeerId::new([2; 20]), 6881)
}

fn client(now: Instant, input: &[u8], portion: usize, tracker: Result<HttpTracker, unchoke_tracker::TrackerError>) {
    let Ok(mut tracker) = tracker else { panic!("a plain address is good for every request") };
    match feed(&mut tracker, now, input, portion) {
        Some(HttpEvent::Announced(response)) => {
            check(&response);
            let mut server = HttpServerConnection::new(now);
            let head = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1&uploaded=0&downloaded=0&left=0&compact=1 HTTP/1.1\r\nHost: x\r\n\r\n";
            assert!(matches!(feed(&mut server, now, head, head.len()), Some(ServerRequest::Announce(_))));
            server.respond_announce(&response);
            let answer = output(&mut server, now);
            let Ok(mut reader) = HttpTracker::announce(&address(), &request()) else { return };
            match feed(&mut reader, now, &answer, answer.len()) {
                Some(HttpEvent::Announced(again)) => {
                    check(&again);
                    assert_eq!(again.interval, response.interval);
                    assert!(again.peers.len() <= response.peers.len());
                }
                other => panic!("an answer of ours reads as {other:?}"),
            }
        }
        Some(HttpEvent::Scraped(response)) => assert!(response.entries.len() <= MAX_SCRAPE),
        Some(HttpEvent::Redirect(location)) => {
            if let Ok(url) = location.parse::<TrackerUrl>() {
                // A redirect to a UDP tracker is refused; both answers are fine.
                let _ = tracker.redirected(&url);
            }
        }
        _ => {}
    }
}

fn check(response: &AnnounceResponse) {
    assert!((MIN_INTERVAL..=MAX_INTERVAL).contains(&response.interval));
    assert!(response.peers.len() <= MAX_PEERS);
    assert!(response.peers.iter().all(|peer| peer.port() != 0 && !peer.ip().is_unspecified()));
}

fn server(now: Instant, input: &[u8], portion: usize) {
    let mut server = HttpServerConnection::new(now);
    match feed(&mut server, now, input, portion) {
        Some(ServerRequest::Announce(request)) => {
            server.respond_announce(&AnnounceResponse::new(MIN_INTERVAL));
            // Both ends agree on what was asked: our client asks the same again.
            let Ok(mut client) = HttpTracker::announce(&address(), &request) else { panic!("a plain address is good") };
            let question = output(&mut client, now);
            let mut second = HttpServerConnection::new(now);
            let Some(ServerRequest::Announce(again)) = feed(&mut second, now, &question, question.len()) else {
                panic!("a question of ours is not understood: {request:?}")
            };
            assert_eq!(
                (again.info_hash, again.peer_id, again.port),
                (request.info_hash, request.peer_id, request.port)
            );
            assert_eq!((again.left, again.event), (request.left, request.event));
            assert!(!output(&mut server, now).is_empty());
        }
        Some(ServerRequest::Scrape(hashes)) => assert!((1..=MAX_SCRAPE).contains(&hashes.len())),
        _ => {}
    }
}

fn url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<TrackerUrl>() {
        Ok(url) => {
            assert!(url.port() != 0 && !url.host().is_empty());
            // The path may have gained a slash, and with it the text a byte.
            if let Ok(again) = url.to_string().parse::<TrackerUrl>() {
                assert_eq!(again.to_string(), url.to_string());
            } else {
                assert!(url.to_string().len() > text.len(), "{url} does not read");
            }
        }
        Err(error) => assert!(error.offset <= text.len(), "{error:?} points behind the text"),
    }
}

/// Puts all bytes in and takes the event out.
fn feed<P: StreamProtocol>(to: &mut P, now: Instant, input: &[u8], portion: usize) -> Option<P::Event> {
    let mut buffer = BytesMut::new();
    for chunk in input.chunks(portion) {
        buffer.extend_from_slice(chunk);
        to.handle_input(now, &mut buffer).ok()?;
    }
    let event = to.poll_event();
    if event.is_none() {
        to.handle_end(now).ok()?;
    }
    event.or_else(|| to.poll_event())
}

fn output<P: StreamProtocol>(from: &mut P, now: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Outgoing::Bytes(bytes)) = from.poll_transmit(now, 0) {
        all.extend_from_slice(&bytes);
        from.handle_sent(now, bytes.len());
    }
    all
}
