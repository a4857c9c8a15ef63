//! The form of a log on disk, and what is left of one after a crash.
//!
//! A log begins with a head: `"btpcLOG1"`, the number of the last record that its snapshot stands for (u64), how many records the snapshot has
//! (u32), and a CRC-32C over these. Records follow, those of the snapshot first, numbered from 1, then those after it. A record is its length
//! (u32), the CRC-32C of all that follows, its number (u64), the number of the last record that was known to be durable when it was written
//! (u64), and its bytes. Numbers have the lowest byte first.
//!
//! What nobody was told to be durable may be lost in a crash, so that a log that ends in a torn record is as good as one without it. What a later
//! record vouches for may not: a log that lacks it is damaged.

use crate::ids::UpdateId;
use crc32c::{crc32c, crc32c_append};

/// What a log says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Log {
    /// The last record that the snapshot stands for; 0 if there is none.
    pub at: UpdateId,
    /// The records of the snapshot.
    pub snapshot: Vec<Vec<u8>>,
    /// The records after it. Each has the number after that of the one before, unless the log is damaged.
    pub records: Vec<(UpdateId, Vec<u8>)>,
    /// Whether something is missing that was durable once, and what.
    pub damage: Option<Damage>,
    /// Up to where the bytes are good.
    pub len: u64,
}

/// What is wrong with a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The head is none.
    #[error("the log's head is damaged")]
    Head,
    /// A record of the snapshot cannot be read.
    #[error("record {0} of the log's snapshot is damaged")]
    Snapshot(u32),
    /// A record cannot be read, and later ones say that it was durable.
    #[error("record {0} of the log is damaged")]
    Record(UpdateId),
}

/// A record that no log takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a record has {MAX_RECORD} bytes at most, not {0}")]
pub struct TooLong(usize);

/// A record as it stands in the bytes.
struct Frame<'a> {
    id: UpdateId,
    durable: UpdateId,
    record: &'a [u8],
    end: usize,
}

impl Log {
    /// Reads a log. What was torn off its end is not there; whatever else is missing is told in [`Log::damage`], and what can be read is given.
    ///
    /// It takes memory for what is there, and time that is linear in it.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut log = Self::default();
        if bytes.len() < HEAD {
            // Nothing is durable before the head is.
            return log;
        }
        let head = read_head(bytes);
        let (at, count) = head.unwrap_or_default();
        log.at = at;
        log.damage = head.is_none().then_some(Damage::Head);
        let mut place = HEAD;
        for number in 1..=count {
            match frame(bytes, place).filter(|it| it.id.get() == u64::from(number)) {
                Some(found) => {
                    log.snapshot.push(found.record.to_vec());
                    place = found.end;
                }
                None => {
                    log.damage.get_or_insert(Damage::Snapshot(number));
                    break;
                }
            }
        }
        log.read_records(bytes, place);
        log
    }

    fn read_records(&mut self, bytes: &[u8], mut place: usize) {
        // The records that are read one after the other, and what the last of them all vouches for.
        let (mut last, mut durable, mut first_gap) = (self.at, self.at, None);
        let mut work = bytes.len().saturating_mul(WORK);
        let mut is_whole = self.damage.is_none();
        if is_whole {
            self.len = place as u64;
        }
        while place < bytes.len() {
            let is_next = |it: &Frame<'_>| last.next() == Some(it.id);
            let found = match frame(bytes, place).filter(is_next) {
                Some(found) => found,
                None => {
                    if is_whole {
                        (is_whole, first_gap) = (false, last.next());
                    }
                    let Some(found) = search(bytes, place, last, &mut work) else { break };
                    found
                }
            };
            (last, place, durable) = (found.id, found.end, durable.max(found.durable));
            self.records.push((found.id, found.record.to_vec()));
            if is_whole {
                self.len = place as u64;
            }
        }
        if let Some(gap) = first_gap {
            if durable >= gap || work == 0 {
                self.damage.get_or_insert(Damage::Record(gap));
            } else {
                // Nobody was told that it is there.
                self.records.retain(|(id, _)| *id < gap);
            }
        }
    }

    /// The number of the last record.
    #[must_use]
    pub fn last(&self) -> UpdateId {
        self.records.last().map_or(self.at, |(id, _)| *id)
    }

    /// The bytes of a log that begins with a snapshot, which stands for all records up to one.
    ///
    /// # Errors
    /// If a record is too long, or there are more than 2³² − 1.
    pub fn begin(at: UpdateId, snapshot: &[Vec<u8>]) -> Result<Vec<u8>, TooLong> {
        let count = u32::try_from(snapshot.len()).map_err(|_| TooLong(snapshot.len()))?;
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&at.get().to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        for (number, record) in (1..).zip(snapshot) {
            append(&mut out, UpdateId::new(number), UpdateId::new(0), record)?;
        }
        Ok(out)
    }
}

/// Adds a record.
///
/// # Errors
/// If it is too long. Then nothing was added.
pub fn append(out: &mut Vec<u8>, id: UpdateId, durable: UpdateId, record: &[u8]) -> Result<(), TooLong> {
    let len = u32::try_from(record.len()).ok().filter(|_| record.len() <= MAX_RECORD);
    let len = len.ok_or(TooLong(record.len()))?.to_le_bytes();
    let (id, durable) = (id.get().to_le_bytes(), durable.get().to_le_bytes());
    let crc = [&len[..], &id, &durable, record].iter().fold(0, |crc, part| crc32c_append(crc, part));
    out.extend_from_slice(&len);
    out.extend_from_slice(&crc.to_le_bytes());
    for part in [&id[..], &durable, record] {
        out.extend_from_slice(part);
    }
    Ok(())
}

fn read_head(bytes: &[u8]) -> Option<(UpdateId, u32)> {
    let (head, _) = bytes.split_first_chunk::<HEAD>()?;
    let (fields, crc) = head.split_last_chunk::<4>()?;
    let rest = fields.strip_prefix(MAGIC).filter(|_| crc32c(fields) == u32::from_le_bytes(*crc))?;
    let (at, count) = rest.split_first_chunk()?;
    Some((UpdateId::new(u64::from_le_bytes(*at)), u32::from_le_bytes(count.try_into().ok()?)))
}

/// The record at a place, if there is a whole one.
fn frame(bytes: &[u8], place: usize) -> Option<Frame<'_>> {
    let frame = bytes.get(place..)?;
    let (fields, rest) = frame.split_first_chunk::<FRAME>()?;
    let number = |at: usize| fields.get(at..)?.first_chunk().map(|it| u64::from_le_bytes(*it));
    let len = usize::try_from(number(0)? & u64::from(u32::MAX)).ok().filter(|len| *len <= MAX_RECORD)?;
    let crc = u32::try_from(number(0)? >> 32).ok()?;
    let record = rest.get(..len)?;
    let found = crc32c_append(crc32c_append(crc32c(fields.get(..4)?), fields.get(8..)?), record);
    let end = place.checked_add(FRAME)?.checked_add(len)?;
    let (id, durable) = (UpdateId::new(number(8)?), UpdateId::new(number(16)?));
    (found == crc && durable < id).then_some(Frame { id, durable, record, end })
}

/// The next record in damaged bytes that may follow `last`. Looking at lengths is cheap; how many bytes are checked is limited by `work`, which
/// is 0 when there was too much.
fn search<'a>(bytes: &'a [u8], from: usize, last: UpdateId, work: &mut usize) -> Option<Frame<'a>> {
    let most = last.get().saturating_add(bytes.len() as u64);
    for place in from..bytes.len() {
        let fields = bytes.get(place..).and_then(|it| it.first_chunk::<FRAME>())?;
        let number =
            |at: usize| fields.get(at..).and_then(|it| it.first_chunk()).map_or(0, |it| u64::from_le_bytes(*it));
        let (id, durable) = (number(8), number(16));
        if id <= last.get() || id > most || durable >= id {
            continue;
        }
        let len = usize::try_from(number(0) & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        let cost = len.saturating_add(FRAME);
        if len > MAX_RECORD || cost > bytes.len() {
            continue;
        }
        *work = work.saturating_sub(cost);
        if *work == 0 {
            return None;
        }
        if let Some(found) = frame(bytes, place) {
            return Some(found);
        }
    }
    None
}

/// What a log begins with.
const MAGIC: &[u8; 8] = b"btpcLOG1";
/// Bytes of a log's head.
pub const HEAD: usize = 24;
/// Bytes of a record besides its own.
pub const FRAME: usize = 24;
/// Bytes of a record, at most.
pub const MAX_RECORD: usize = 1 << 20;
/// How often the bytes of a damaged log may be gone through.
const WORK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log of `count` records of which each knows that all but the last two before it are durable, and where each begins.
    fn log(count: u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Log::begin(UpdateId::new(0), &[]).unwrap();
        let mut places = Vec::new();
        for id in 1..=count {
            places.push(bytes.len());
            let durable = UpdateId::new(id.saturating_sub(3));
            append(&mut bytes, UpdateId::new(id), durable, &id.to_be_bytes()).unwrap();
        }
        places.push(bytes.len());
        (bytes, places)
    }

    fn ids(log: &Log) -> Vec<u64> {
        log.records.iter().map(|(id, _)| id.get()).collect()
    }

    #[test]
    fn a_log_reads_as_it_was_written_after_its_snapshot() {
        let snapshot = [b"one".to_vec(), b"two".to_vec()];
        let mut bytes = Log::begin(UpdateId::new(9), &snapshot).unwrap();
        append(&mut bytes, UpdateId::new(10), UpdateId::new(9), b"ten").unwrap();
        let log = Log::read(&bytes);
        assert_eq!((&log.snapshot[..], log.at, log.last()), (&snapshot[..], UpdateId::new(9), UpdateId::new(10)));
        assert_eq!((log.records, log.damage), (vec![(UpdateId::new(10), b"ten".to_vec())], None));
        assert_eq!(log.len, bytes.len() as u64);
        let long = vec![0; MAX_RECORD + 1];
        assert_eq!(append(&mut bytes, UpdateId::new(11), UpdateId::new(9), &long), Err(TooLong(MAX_RECORD + 1)));
    }

    #[test]
    fn whatever_is_cut_off_leaves_the_records_before() {
        let (bytes, places) = log(8);
        for len in 0..=bytes.len() {
            let whole = places.iter().filter(|place| **place <= len).count().saturating_sub(1);
            let log = Log::read(&bytes[..len]);
            assert_eq!((log.records.len(), log.damage), (whole, None), "{len} bytes");
            assert_eq!(log.len, if len < HEAD { 0 } else { places[whole] as u64 });
        }
    }

    #[test]
    fn a_bad_record_is_damage_if_a_later_one_knows_that_it_was_durable_and_torn_otherwise() {
        let (bytes, places) = log(8);
        for at in HEAD..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 0x10;
            let hit = places.iter().filter(|place| **place <= at).count() as u64;
            let log = Log::read(&bent);
            // The last record knows that the fifth is durable, and so does the seventh of the fourth.
            let known = if hit == 8 { 4 } else { 5 };
            if hit <= known {
                assert_eq!(log.damage, Some(Damage::Record(UpdateId::new(hit))), "byte {at}");
                assert_eq!(ids(&log), (1..=8).filter(|id| *id != hit).collect::<Vec<_>>(), "byte {at}");
            } else {
                assert_eq!((ids(&log), log.damage), ((1..hit).collect(), None), "byte {at}");
            }
            assert_eq!(log.len, places[usize::try_from(hit).unwrap() - 1] as u64);
        }
    }

    #[test]
    fn a_hole_and_a_bad_head_or_snapshot_are_damage() {
        let (bytes, places) = log(8);
        let hole = [&bytes[..places[2]], &bytes[places[3]..]].concat();
        assert_eq!(Log::read(&hole).damage, Some(Damage::Record(UpdateId::new(3))));
        assert_eq!(ids(&Log::read(&hole)), [1, 2, 4, 5, 6, 7, 8]);
        let mut bent = bytes;
        bent[3] ^= 1;
        assert_eq!((Log::read(&bent).damage, Log::read(&bent).records.len()), (Some(Damage::Head), 8));
        let mut bytes = Log::begin(UpdateId::new(9), &[b"one".to_vec(), b"two".to_vec()]).unwrap();
        let snapshot = bytes.len();
        append(&mut bytes, UpdateId::new(10), UpdateId::new(9), b"ten").unwrap();
        bytes[snapshot - 1] ^= 1;
        let log = Log::read(&bytes);
        assert_eq!((log.damage, log.snapshot.len(), ids(&log)), (Some(Damage::Snapshot(2)), 1, vec![10]));
        assert_eq!(Log::read(&bytes[..snapshot]).damage, Some(Damage::Snapshot(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_log(bytes in proptest::collection::vec(any::<u8>(), 0..400), has_head: bool) {
            let head = if has_head { Log::begin(UpdateId::new(3), &[]).unwrap() } else { Vec::new() };
            let bytes = [head, bytes].concat();
            let log = Log::read(&bytes);
            prop_assert!(log.len <= bytes.len() as u64);
            prop_assert!(log.records.iter().map(|(_, it)| it.len()).sum::<usize>() <= bytes.len());
        }
    }
}
