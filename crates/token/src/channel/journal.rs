//! What payer, payee and watcher have in common: a log in which each change comes first, and what they ask their owner for.

use super::fault::Fault;
use super::gate::Gated;
use super::log::Log;
use super::message::Message;
use super::output::{Event, Output, Request, Session};
use crate::ids::UpdateId;
use crate::proto::DecodeError;
use crate::voucher::VoucherError;
use std::collections::{HashMap, VecDeque};

/// A log that does not say what a machine's log says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A record cannot be read.
    #[error("bad record: {0}")]
    Decode(#[from] DecodeError),
    /// A voucher cannot be read.
    #[error("bad voucher in a record: {0}")]
    Voucher(#[from] VoucherError),
    /// A record does not follow from those before.
    #[error("a record contradicts those before")]
    Inconsistent,
}

/// The end of a machine's log, its questions, each with what it was asked for, and what it has to say.
pub(super) struct Journal<A> {
    /// The number of the last record.
    last: UpdateId,
    /// The log cannot be written.
    pub(super) is_frozen: bool,
    /// The log is damaged: nothing is issued or taken, and nothing is written.
    is_corrupt: bool,
    pub(super) asked: HashMap<Request, A>,
    next_request: u64,
    outputs: VecDeque<Output>,
}

/// A record that gets its number, and goes into the log when the machine has taken it.
pub(super) struct Entry {
    pub(super) id: UpdateId,
    record: Vec<u8>,
}

impl<A> Journal<A> {
    /// The journal of a machine that has taken all records of a log. If the log is damaged, those that do not fit are left out.
    pub(super) fn restore(
        log: &Log,
        mut replay: impl FnMut(UpdateId, &[u8]) -> Result<(), RecordError>,
    ) -> Result<Self, RecordError> {
        let is_corrupt = log.damage.is_some();
        let snapshot = log.snapshot.iter().map(|record| (log.at, record));
        for (id, record) in snapshot.chain(log.records.iter().map(|(id, record)| (*id, record))) {
            replay(id, record).or_else(|error| if is_corrupt { Ok(()) } else { Err(error) })?;
        }
        Ok(Self { last: log.last(), is_corrupt, ..Self::default() })
    }

    /// Begins to write a record.
    pub(super) fn begin(&self, record: Vec<u8>) -> Result<Entry, Fault> {
        let id = if self.is_corrupt { Some(self.last) } else { self.last.next() };
        Ok(Entry { id: id.ok_or(Fault::Amount)?, record })
    }

    /// The machine has taken the record. What is left of a damaged log is for people to look at.
    pub(super) fn write(&mut self, Entry { id, record }: Entry) -> UpdateId {
        if !self.is_corrupt {
            self.last = id;
            self.push(Output::Persist { id, record });
        }
        id
    }

    pub(super) fn request(&mut self, asked: A) -> Request {
        let request = Request::new(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        self.asked.insert(request, asked);
        request
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(super) fn send(&mut self, session: Session, after: UpdateId, message: Message) {
        self.push(Output::Send { session, message: Gated::new(after, message) });
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether something new may be issued or taken.
    pub(super) const fn check(&self) -> Result<(), Fault> {
        match (self.is_corrupt, self.is_frozen) {
            (true, _) => Err(Fault::Corrupt),
            (_, true) => Err(Fault::Frozen),
            _ => Ok(()),
        }
    }

    pub(super) const fn last(&self) -> UpdateId {
        self.last
    }

    pub(super) fn is_silent(&self) -> bool {
        self.outputs.is_empty()
    }
}

impl<A> Default for Journal<A> {
    fn default() -> Self {
        let (last, asked, outputs) = (UpdateId::new(0), HashMap::new(), VecDeque::new());
        Self { last, is_frozen: false, is_corrupt: false, asked, next_request: 0, outputs }
    }
}
