//! Hashing all pieces of a torrent side by side: two at a time on each thread, a portion of each after the other while it is hot.

use crate::file::positioned;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use unchoke_core::hash::{Sha1Pair, sha256_each};
use unchoke_core::merkle::{self, LEAF_LEN};
use unchoke_core::{Geometry, PieceIndex, Sha1Hash, Sha256Hash};
use unchoke_metainfo::{Layout, Version};

/// Bytes of a piece that are read and hashed at a time; a whole number of leaves.
const PORTION: u32 = 128 * 1024;
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

/// Hashes all pieces on as many threads as there are cores. Memory is two portions a thread. `piece` is told of each piece, in any order, and
/// `progress` of the bytes hashed so far; either ends the work by breaking.
pub(crate) fn hash_all(
    plan: &Plan<'_>,
    mut piece: impl FnMut(PieceIndex, Result<Digest, Fault>) -> ControlFlow<()>,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Cancelled> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, done, stop) = (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::sync_channel(threads.saturating_mul(4));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, done, stop) = (sender.clone(), &next, &done, &stop);
            scope.spawn(move || {
                let mut worker = Worker::new(plan, done, stop);
                loop {
                    let first = next.fetch_add(2, Ordering::Relaxed);
                    if first >= plan.geometry.piece_count() || stop.load(Ordering::Relaxed) {
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
    lanes: [Lane; 2],
    leaves: Vec<Sha256Hash>,
}

/// One of the two pieces that are being hashed.
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
    fn new(plan: &'a Plan<'p>, done: &'a AtomicU64, stop: &'a AtomicBool) -> Self {
        Self { plan, done, stop, lanes: Default::default(), leaves: Vec::new() }
    }

    /// Hashes a piece and the one after it.
    fn hash(&mut self, first: u32) -> Vec<(PieceIndex, Result<Digest, Fault>)> {
        let Self { plan, done, stop, lanes, leaves } = self;
        let pieces = [PieceIndex(first), PieceIndex(first.saturating_add(1))];
        for (lane, piece) in lanes.iter_mut().zip(pieces) {
            lane.begin(plan, piece);
        }
        let [one, other] = lanes;
        let mut sums = Sha1Pair::new();
        let mut at = 0;
        while at < one.length.max(other.length) && !stop.load(Ordering::Relaxed) {
            one.read(plan, at);
            other.read(plan, at);
            done.fetch_add((one.buf.len() as u64).saturating_add(other.buf.len() as u64), Ordering::Relaxed);
            if plan.version != Version::V2 {
                sums.update(&one.buf, &other.buf);
            }
            if plan.version != Version::V1 {
                leaves.clear();
                let (first, second) = (one.own_part(at), other.own_part(at));
                let count = first.len().div_ceil(LEAF_LEN as usize);
                let parts = first.chunks(LEAF_LEN as usize).chain(second.chunks(LEAF_LEN as usize));
                sha256_each(parts, leaves);
                other.leaves.extend(leaves.drain(count.min(leaves.len())..));
                one.leaves.append(leaves);
            }
            at = at.saturating_add(PORTION);
        }
        let (first, second) = sums.finish();
        let mut results = vec![(pieces[0], one.finish(plan, first))];
        if pieces[1].0 < plan.geometry.piece_count() {
            results.push((pieces[1], other.finish(plan, second)));
        }
        results
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
    fn read(&mut self, plan: &Plan<'_>, at: u32) {
        let length = self.length.saturating_sub(at).min(PORTION);
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

    /// What of the portion at `at` belongs to the file.
    fn own_part(&self, at: u32) -> &[u8] {
        let length = (self.own.saturating_sub(at) as usize).min(self.buf.len());
        self.buf.get(..length).unwrap_or_default()
    }

    fn finish(&mut self, plan: &Plan<'_>, sha1: Sha1Hash) -> Result<Digest, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let root = || merkle::root(self.leaves.iter().copied(), 0, self.height);
        Ok(Digest {
            sha1: (plan.version != Version::V2).then_some(sha1),
            root: (plan.version != Version::V1).then(root),
        })
    }
}
