//! What goes out on one connection, put together for as few system calls as possible.

#[cfg(all(feature = "mmap", target_os = "linux"))]
use crate::mapped::Run;
#[cfg(all(feature = "mmap", target_os = "linux"))]
pub(crate) use crate::mapped::Windows;
use bytes::{Bytes, BytesMut};
use std::io::IoSlice;
use unchoke_core::{Block, Outgoing};
use unchoke_storage::TorrentStorage;

/// Elsewhere blocks are always read.
#[cfg(not(all(feature = "mmap", target_os = "linux")))]
#[derive(Debug, Default)]
pub(crate) struct Windows(());

#[cfg(not(all(feature = "mmap", target_os = "linux")))]
impl Windows {
    pub(crate) fn clear(&self) {}
}

/// Slices handed to the system at a time; it takes 1,024 at most.
const SLICES: usize = 256;

enum Segment {
    Bytes(Bytes),
    Header([u8; 13]),
    #[cfg(all(feature = "mmap", target_os = "linux"))]
    Mapped(Run),
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Header(header) => header.len(),
            #[cfg(all(feature = "mmap", target_os = "linux"))]
            Self::Mapped(run) => run.len(),
        }
    }

    fn slice(&self, start: usize) -> IoSlice<'_> {
        match self {
            Self::Bytes(bytes) => IoSlice::new(bytes.get(start..).unwrap_or_default()),
            Self::Header(header) => IoSlice::new(header.get(start..).unwrap_or_default()),
            #[cfg(all(feature = "mmap", target_os = "linux"))]
            Self::Mapped(run) => run.to_send(start),
        }
    }
}

/// What is to be sent, from where it lies.
#[derive(Default)]
pub(crate) struct Outbox {
    segments: Vec<Segment>,
    /// The first segment that is not sent.
    next: usize,
    /// Bytes of it that are.
    sent: usize,
    /// Blocks that could not be had.
    pub(crate) unreadable: Vec<Block>,
}

impl Outbox {
    /// What needs no store.
    pub(crate) fn of_bytes(batch: Vec<Outgoing>) -> Self {
        Self::gather(batch, None, &Windows::default())
    }

    /// Puts a batch together. Blocks come from the store, which may block: mapped where that is possible, else read.
    pub(crate) fn gather(batch: Vec<Outgoing>, store: Option<&dyn TorrentStorage>, windows: &Windows) -> Self {
        let mut outbox = Self { segments: Vec::with_capacity(batch.len().saturating_mul(2)), ..Self::default() };
        let mut row: Vec<([u8; 13], Block)> = Vec::new();
        for outgoing in batch {
            match outgoing {
                Outgoing::Piece { header, block } => {
                    if row.last().is_some_and(|(_, last)| !follows(*last, block)) {
                        outbox.put_row(&row, store, windows);
                        row.clear();
                    }
                    row.push((header, block));
                }
                Outgoing::Bytes(bytes) => {
                    outbox.put_row(&row, store, windows);
                    row.clear();
                    outbox.segments.push(Segment::Bytes(bytes));
                }
                _ => {}
            }
        }
        outbox.put_row(&row, store, windows);
        outbox
    }

    /// Puts in blocks that lie behind one another in one piece.
    fn put_row(&mut self, row: &[([u8; 13], Block)], store: Option<&dyn TorrentStorage>, windows: &Windows) {
        let Some((_, first)) = row.first() else { return };
        let length = row.iter().fold(0_u32, |sum, (_, block)| sum.saturating_add(block.length));
        let whole = Block { length, ..*first };
        if let Some(store) = store {
            #[cfg(all(feature = "mmap", target_os = "linux"))]
            if self.put_mapped(row, whole, store, windows) {
                return;
            }
            #[cfg(not(all(feature = "mmap", target_os = "linux")))]
            let _ = windows;
            let mut bytes = BytesMut::zeroed(whole.length as usize);
            if store.read(whole, &mut bytes).is_ok() {
                for (header, block) in row {
                    self.segments.push(Segment::Header(*header));
                    self.segments.push(Segment::Bytes(bytes.split_to(block.length as usize).freeze()));
                }
                return;
            }
        }
        if let [(_, block)] = row {
            self.unreadable.push(*block);
        } else {
            // Which of them cannot be had is seen one by one.
            row.chunks(1).for_each(|one| self.put_row(one, store, windows));
        }
    }

    #[cfg(all(feature = "mmap", target_os = "linux"))]
    fn put_mapped(
        &mut self,
        row: &[([u8; 13], Block)],
        whole: Block,
        store: &dyn TorrentStorage,
        windows: &Windows,
    ) -> bool {
        let Ok(Some(place)) = store.locate(whole) else { return false };
        let Some(runs) = windows.map(&place, whole.length as usize) else { return false };
        let (mut runs, mut used) = (runs.iter().peekable(), 0);
        for (header, block) in row {
            self.segments.push(Segment::Header(*header));
            let mut rest = block.length as usize;
            while rest > 0
                && let Some(run) = runs.peek()
            {
                let part = run.part(used, rest);
                rest = rest.saturating_sub(part.len());
                used = used.saturating_add(part.len());
                if used >= run.len() {
                    runs.next();
                    used = 0;
                }
                self.segments.push(Segment::Mapped(part));
            }
        }
        true
    }

    /// What comes next, for one call. Empty once all is sent.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let rest = self.segments.get(self.next..).unwrap_or_default().iter();
        rest.take(SLICES).enumerate().map(|(at, segment)| segment.slice(if at == 0 { self.sent } else { 0 })).collect()
    }

    /// So many more bytes are sent.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
        while let Some(segment) = self.segments.get(self.next)
            && self.sent >= segment.len()
        {
            self.sent = self.sent.saturating_sub(segment.len());
            self.next = self.next.saturating_add(1);
        }
    }
}

fn follows(first: Block, second: Block) -> bool {
    first.piece == second.piece && first.offset.checked_add(first.length) == Some(second.offset)
}
