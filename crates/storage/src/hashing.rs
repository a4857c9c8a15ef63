//! Hashing all pieces of a torrent side by side: on each thread as many at a time as the CPU hashes best, a portion of each while it is hot.

use crate::fs::os::positioned;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use unchoke_core::hash::{Sha1Lanes, lanes, sha256_each};
use unchoke_core::merkle::{self, LEAF_LEN};
use unchoke_core::{Geometry, PieceIndex, Sha1Hash, Sha256Hash};
use unchoke_metainfo::{Layout, Version};

/// Bytes that a thread reads and hashes at a time, divided among its pieces: it should stay in the cache next to the core.
const PORTIONS: u32 = 256 * 1024;
/// How often progress is told at least.
const TELL: Duration = Duration::from_millis(50);

/// What is to be hashed.
pub(crate) struct Plan<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) geometry: &'a Geometry,
    pub(crate) version: Version,
    /// Opens a file of the layout that is no padding.
    pub(crate) open: &'a (dyn Fn(usize) -> io::Result<File> + Sync),
}

/// What a piece hashes to, as far as the version of the torrent asks for it.
pub(crate) struct Digest {
    pub(crate) sha1: Option<Sha1Hash>,
    pub(crate) root: Option<Sha256Hash>,
}

/// Why a piece could not be hashed: which file, and what is wrong with it.
pub(crate) type Fault = (usize, io::Error);

/// The owner of the progress function wants no more.
pub(crate) struct Cancelled;

/// Hashes all pieces on as many threads as there are cores. Memory is 256 KiB a thread. `piece` is told of each piece, in any order, and
/// `progress` of the bytes hashed so far; either ends the work by breaking.
pub(crate) fn hash_all(
    plan: &Plan<'_>,
    mut piece: impl FnMut(PieceIndex, Result<Digest, Fault>) -> ControlFlow<()>,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Cancelled> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = plan.geometry.piece_count();
    // Few pieces are shared out among the threads rather than hashed on one.
    let most = count.div_ceil(u32::try_from(threads).unwrap_or(u32::MAX)).max(1);
    let lanes = u32::try_from(lanes()).unwrap_or(1).min(most);
    let (next, done, stop) = (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::sync_channel(threads.saturating_mul(4));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, done, stop) = (sender.clone(), &next, &done, &stop);
            scope.spawn(move || {
                let mut worker = Worker::new(plan, done, stop, lanes);
                loop {
                    let first = next.fetch_add(lanes, Ordering::Relaxed);
                    if first >= count || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    for result in worker.hash(first) {
                        if sender.send(result).is_err() {
                            return;
                        }
                    }
                }
            });
        }
        drop(sender);
        let result = loop {
            let flow = match results.recv_timeout(TELL) {
                Ok((number, result)) => piece(number, result),
                Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            };
            if flow.is_break() || progress(done.load(Ordering::Relaxed)).is_break() {
                break Err(Cancelled);
            }
        };
        // The threads end at their next portion, or when they find nobody to send to.
        stop.store(true, Ordering::Relaxed);
        drop(results);
        result
    })
}

struct Worker<'a, 'p> {
    plan: &'a Plan<'p>,
    done: &'a AtomicU64,
    stop: &'a AtomicBool,
    lanes: Vec<Lane>,
    /// Bytes of each piece that are read at a time; a whole number of leaves.
    portion: u32,
    leaves: Vec<Sha256Hash>,
}

/// One of the pieces that are being hashed.
#[derive(Default)]
struct Lane {
    buf: Vec<u8>,
    open: Option<(usize, File)>,
    start: u64,
    length: u32,
    /// Bytes that belong to the file; what follows is padding and no part of its tree.
    own: u32,
    height: u32,
    leaves: Vec<Sha256Hash>,
    fault: Option<Fault>,
}

impl<'a, 'p> Worker<'a, 'p> {
    fn new(plan: &'a Plan<'p>, done: &'a AtomicU64, stop: &'a AtomicBool, lanes: u32) -> Self {
        let portion = (PORTIONS / lanes.max(1)).next_multiple_of(LEAF_LEN);
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Self { plan, done, stop, lanes, portion, leaves: Vec::new() }
    }

    /// Hashes a piece and those after it, one in each lane.
    fn hash(&mut self, first: u32) -> Vec<(PieceIndex, Result<Digest, Fault>)> {
        let Self { plan, done, stop, lanes, portion, leaves } = self;
        let pieces = (first..plan.geometry.piece_count()).map(PieceIndex);
        let count = lanes.iter_mut().zip(pieces.clone()).map(|(lane, piece)| lane.begin(plan, piece)).count();
        let lanes = lanes.get_mut(..count).unwrap_or_default();
        let length = lanes.iter().map(|lane| lane.length).max().unwrap_or(0);
        let (with_v1, with_v2) = (plan.version != Version::V2, plan.version != Version::V1);
        let mut sums = Sha1Lanes::new(if with_v1 { count } else { 0 });
        let mut at = 0;
        while at < length && !stop.load(Ordering::Relaxed) {
            for lane in &mut *lanes {
                lane.read(plan, at, *portion);
                done.fetch_add(lane.buf.len() as u64, Ordering::Relaxed);
            }
            if with_v1 {
                sums.update(&lanes.iter().map(|lane| lane.buf.as_slice()).collect::<Vec<_>>());
            }
            if with_v2 {
                leaves.clear();
                sha256_each(lanes.iter().flat_map(|lane| lane.own_leaves(at)), leaves);
                let mut found = leaves.drain(..);
                for lane in &mut *lanes {
                    let count = lane.own_leaves(at).len();
                    lane.leaves.extend(found.by_ref().take(count));
                }
            }
            at = at.saturating_add(*portion);
        }
        let sums = sums.finish().into_iter().map(Some).chain(std::iter::repeat(None));
        let results = pieces.zip(lanes).zip(sums);
        results.map(|((piece, lane), sha1)| (piece, lane.finish(plan, sha1))).collect()
    }
}

impl Lane {
    fn begin(&mut self, plan: &Plan<'_>, piece: PieceIndex) {
        self.leaves.clear();
        self.fault = None;
        (self.start, self.length) =
            (plan.geometry.piece_offset(piece).unwrap_or(0), plan.geometry.piece_len(piece).unwrap_or(0));
        let file = plan.layout.file_at(self.start).and_then(|number| plan.layout.files().get(number));
        let (offset, length) = file.map_or((0, 0), |file| (file.offset(), file.length()));
        let left = offset.saturating_add(length).saturating_sub(self.start);
        self.own = u32::try_from(left).unwrap_or(u32::MAX).min(self.length);
        let whole = length.min(plan.geometry.piece_length().into());
        self.height = merkle::height(whole.div_ceil(LEAF_LEN.into()));
    }

    /// Reads the portion at `at` of the piece; it is empty behind the end.
    fn read(&mut self, plan: &Plan<'_>, at: u32, portion: u32) {
        let length = self.length.saturating_sub(at).min(portion);
        self.buf.resize(length as usize, 0);
        if self.fault.is_some() {
            return;
        }
        let mut filled = 0;
        for span in plan.layout.spans(self.start.saturating_add(at.into()), length.into()) {
            let end = usize::try_from(span.len).unwrap_or(usize::MAX).saturating_add(filled);
            let Some(part) = self.buf.get_mut(filled..end) else { return };
            filled = end;
            if plan.layout.files().get(span.file).is_none_or(|file| file.is_padding()) {
                part.fill(0);
                continue;
            }
            if self.open.as_ref().is_none_or(|(open, _)| *open != span.file) {
                match (plan.open)(span.file) {
                    Ok(file) => self.open = Some((span.file, file)),
                    Err(error) => {
                        self.fault = Some((span.file, error));
                        return;
                    }
                }
            }
            let read = self.open.as_ref().map_or(Ok(()), |(_, file)| positioned::read(file, span.offset, part));
            if let Err(error) = read {
                self.fault = Some((span.file, error));
                return;
            }
        }
    }

    /// The leaves of what belongs to the file in the portion at `at`.
    fn own_leaves(&self, at: u32) -> std::slice::Chunks<'_, u8> {
        let length = (self.own.saturating_sub(at) as usize).min(self.buf.len());
        self.buf.get(..length).unwrap_or_default().chunks(LEAF_LEN as usize)
    }

    fn finish(&mut self, plan: &Plan<'_>, sha1: Option<Sha1Hash>) -> Result<Digest, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let root = || merkle::root(self.leaves.iter().copied(), 0, self.height);
        Ok(Digest { sha1, root: (plan.version != Version::V1).then(root) })
    }
}
