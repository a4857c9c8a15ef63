//! Fetching and serving the info dictionary over the wire ([BEP 9]).
//!
//! Each connection fetches the whole dictionary from its one peer, so a peer that lies is known exactly. A few fetch at a time; when
//! one fails, another takes over.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

mod message;
mod shared;

pub use shared::SharedMetadata;

use crate::extended::{ExtendedHandshake, ExtendedHandshakeExtra};
use crate::extension::{Extension, ExtensionError, ExtensionEvent};
use bytes::Bytes;
use message::{Body, PIECE_LEN, decode, encode_data, encode_reject, encode_request, piece_count, piece_range};
use shared::Slot;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// The extension `ut_metadata` on one connection.
#[derive(Debug)]
pub struct UtMetadata {
    shared: SharedMetadata,
    fetch: Fetch,
    /// Times that the peer was too slow or rejected a request.
    failures: u32,
    /// Pieces that the peer has asked for.
    asked: VecDeque<u32>,
    /// Bytes that the peer has been sent.
    served: u64,
    events: VecDeque<ExtensionEvent>,
}

#[derive(Debug)]
enum Fetch {
    /// Nothing is known of what the peer has.
    Idle,
    /// The peer has it; a slot is needed.
    Waiting {
        size: u32,
        retry: Instant,
    },
    Active(Download),
    /// Fetched, or not to be fetched from this peer.
    Done,
}

#[derive(Debug)]
struct Download {
    _slot: Slot,
    size: u32,
    next: u32,
    in_flight: BTreeSet<u32>,
    pieces: BTreeMap<u32, Bytes>,
    /// When the last piece came, or the download began.
    progress: Instant,
    began: Instant,
}

impl UtMetadata {
    /// An extension that fetches the dictionary if `shared` lacks it, and serves it once it is there.
    #[must_use]
    pub fn new(shared: SharedMetadata) -> Self {
        Self { shared, fetch: Fetch::Idle, failures: 0, asked: VecDeque::new(), served: 0, events: VecDeque::new() }
    }

    /// Leaves the dictionary to other connections and comes back later, after ever longer waits.
    fn give_up(&mut self, now: Instant, size: u32) {
        let wait = RETRY.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.fetch = now.checked_add(wait).map_or(Fetch::Done, |retry| Fetch::Waiting { size, retry });
    }

    /// Starts a download if it is time and there is a slot; stops one that is no longer needed.
    fn advance(&mut self, now: Instant) {
        if matches!(self.fetch, Fetch::Done | Fetch::Idle) {
            return;
        }
        if self.shared.get().is_some() {
            self.fetch = Fetch::Done;
        } else if let Fetch::Waiting { size, retry } = &mut self.fetch
            && *retry <= now
        {
            if let Some(slot) = self.shared.try_slot() {
                let size = *size;
                self.fetch = Fetch::Active(Download {
                    _slot: slot,
                    size,
                    next: 0,
                    in_flight: BTreeSet::new(),
                    pieces: BTreeMap::new(),
                    progress: now,
                    began: now,
                });
            } else {
                *retry = now.checked_add(SLOT_RETRY).unwrap_or(now);
            }
        }
    }

    fn handle_data(
        &mut self,
        now: Instant,
        piece: u32,
        total: Option<i64>,
        data: &Bytes,
    ) -> Result<(), ExtensionError> {
        // What was not asked for, or given up on, does not count.
        let Fetch::Active(download) = &mut self.fetch else { return Ok(()) };
        if !download.in_flight.remove(&piece) {
            return Ok(());
        }
        if total.is_some_and(|total| total != i64::from(download.size)) {
            return Err(ExtensionError::Key { key: "total_size" });
        }
        if piece_range(download.size, piece).is_none_or(|range| range.len() != data.len()) {
            return Err(ExtensionError::Length { length: data.len() });
        }
        // A copy, since the slice would keep the whole read buffer alive.
        download.pieces.insert(piece, Bytes::copy_from_slice(data));
        download.progress = now;
        if download.pieces.len() as u64 == u64::from(piece_count(download.size)) {
            let whole: Bytes =
                download.pieces.values().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>().into();
            self.fetch = Fetch::Done;
            if !self.shared.matches(&whole) {
                self.events.push_back(ExtensionEvent::MetadataFailed);
            } else if self.shared.offer(&whole) {
                self.events.push_back(ExtensionEvent::Metadata(whole));
            }
        }
        Ok(())
    }

    /// The answer to the oldest request of the peer.
    fn answer(&mut self) -> Option<Bytes> {
        let piece = self.asked.pop_front()?;
        let known = self.shared.get();
        let part = known.as_ref().and_then(|whole| {
            let size = u32::try_from(whole.len()).ok()?;
            let range = piece_range(size, piece)?;
            let served = self.served.saturating_add(range.len() as u64);
            (served <= u64::from(size).saturating_mul(MAX_SERVED)).then(|| (size, served, whole.slice(range)))
        });
        Some(match part {
            Some((size, served, data)) => {
                self.served = served;
                encode_data(piece, size, &data)
            }
            None => encode_reject(piece),
        })
    }
}

impl Extension for UtMetadata {
    fn name(&self) -> &'static str {
        "ut_metadata"
    }

    fn fill_handshake(&self, extra: &mut ExtendedHandshakeExtra) {
        if let Some(size) = self.shared.get().and_then(|whole| i64::try_from(whole.len()).ok()) {
            extra.int("metadata_size", size);
        }
    }

    fn handle_handshake(&mut self, now: Instant, theirs: &ExtendedHandshake) {
        if let (Fetch::Idle, Some(_), Some(size @ 1..=MAX_SIZE)) =
            (&self.fetch, theirs.id(self.name()), theirs.metadata_size)
        {
            self.fetch = Fetch::Waiting { size, retry: now };
        }
    }

    fn handle_input(&mut self, now: Instant, payload: Bytes) -> Result<(), ExtensionError> {
        let Some(message) = decode(&payload)? else { return Ok(()) };
        match message.body {
            Body::Request => {
                if self.asked.len() < MAX_ASKED {
                    self.asked.push_back(message.piece);
                }
            }
            Body::Data { total, data } => self.handle_data(now, message.piece, total, &data)?,
            Body::Reject => {
                if let Fetch::Active(download) = &self.fetch
                    && download.in_flight.contains(&message.piece)
                {
                    let size = download.size;
                    self.give_up(now, size);
                }
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Fetch::Active(download) = &self.fetch
            && download.is_overdue(now)
        {
            let size = download.size;
            self.give_up(now, size);
        }
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.advance(now);
        if let Fetch::Active(download) = &mut self.fetch
            && let Some(piece) = download.request()
        {
            return Some(encode_request(piece));
        }
        self.answer()
    }

    fn poll_event(&mut self) -> Option<ExtensionEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.fetch {
            Fetch::Idle | Fetch::Done => None,
            Fetch::Waiting { .. } | Fetch::Active(_) if self.shared.get().is_some() => None,
            Fetch::Waiting { retry, .. } => Some(*retry),
            Fetch::Active(download) => download.deadline(),
        }
    }
}

impl Download {
    /// The next piece to ask for, if more may be in flight.
    fn request(&mut self) -> Option<u32> {
        let piece = self.next;
        if self.in_flight.len() >= MAX_IN_FLIGHT || piece >= piece_count(self.size) {
            return None;
        }
        self.next = piece.saturating_add(1);
        self.in_flight.insert(piece);
        Some(piece)
    }

    /// A piece is due within its time, and all of them within theirs, lest a peer that trickles holds a slot for hours.
    fn deadline(&self) -> Option<Instant> {
        let whole = Duration::from_secs(u64::from(piece_count(self.size) / 4)).saturating_add(WHOLE_TIMEOUT);
        Some(self.progress.checked_add(PIECE_TIMEOUT)?.min(self.began.checked_add(whole)?))
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_none_or(|deadline| deadline <= now)
    }
}

/// The longest dictionary that is fetched, in bytes.
const MAX_SIZE: u32 = 64 << 20;
/// Requests outstanding to one peer.
const MAX_IN_FLIGHT: usize = 4;
/// Requests of one peer that are kept: one for each piece of the longest dictionary.
const MAX_ASKED: usize = (MAX_SIZE / PIECE_LEN) as usize;
/// How many times the dictionary's length one connection is served.
const MAX_SERVED: u64 = 3;
/// The time for a piece to come.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for all pieces to come, beside a quarter of a second for each.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The wait after the first failure; it doubles with each.
const RETRY: Duration = Duration::from_secs(30);
/// How often a connection looks for a free slot.
const SLOT_RETRY: Duration = Duration::from_secs(1);
