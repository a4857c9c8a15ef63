//! Parts of files where the system keeps them in memory, to be sent from there.
//!
//! Only the kernel touches these pages. Where a file has become shorter a system call on them fails, while a program that reads them is
//! killed; so nothing here is ever handed out as bytes but to the call that sends it.
#![expect(unsafe_code, reason = "memory of the system's can only be mapped and named so")]

use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::fs::File;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use unchoke_storage::FilePlace;

/// Bytes of a window.
const WINDOW: u64 = 2 * 1024 * 1024;
/// Windows kept over all files. Address space is plentiful, but what is mapped counts as resident.
const KEPT: usize = 8;

/// The windows that were looked through last.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<VecDeque<Arc<Window>>>);

/// A mapped part of a file.
#[derive(Debug)]
struct Window {
    /// It tells the file apart from any other, and keeps it no longer open than others do.
    file: Weak<File>,
    number: u64,
    start: *mut c_void,
}

// SAFETY: the pages are only read, and only by the kernel, to which threads make no difference.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: `start` is what `mmap` gave for so many bytes, and whoever refers to them holds this window. It cannot fail for such a
        // range, and if it did there would be nothing to be done.
        let _ = unsafe { rustix::mm::munmap(self.start, LENGTH) };
    }
}

/// [`WINDOW`] as the type of sizes in memory.
#[expect(clippy::cast_possible_truncation, reason = "two million fit")]
const LENGTH: usize = WINDOW as usize;

/// Bytes within one window.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    window: Arc<Window>,
    start: usize,
    length: usize,
}

impl Run {
    /// So many bytes from `start` of it on, fewer if it ends before that.
    pub(crate) fn part(&self, start: usize, length: usize) -> Self {
        let start = start.min(self.length);
        let length = length.min(self.length.saturating_sub(start));
        Self { window: Arc::clone(&self.window), start: self.start.saturating_add(start), length }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The bytes from `start` on, for a call that sends them, and for nothing else.
    pub(crate) fn to_send(&self, start: usize) -> IoSlice<'_> {
        let rest = self.part(start, self.length);
        // SAFETY: the range is within the window (`Windows::map` and `part` see to that), which is mapped for as long as `self` lives. Nothing
        // in this process writes there or reads it: the slice goes to a system call, which copes with pages that are gone.
        IoSlice::new(unsafe {
            std::slice::from_raw_parts(self.window.start.cast::<u8>().cast_const().add(rest.start), rest.length)
        })
    }

    /// Has the system bring the pages into memory. False if it cannot: the file has become shorter, the disk fails, or it knows no such call.
    fn populate(&self) -> bool {
        const PAGE: usize = 4096;
        // Larger pages are brought in as a whole if the call begins at one; the window does.
        let begin = self.start.saturating_sub(self.start % (16 * PAGE));
        let length = self.start.saturating_add(self.length).saturating_sub(begin);
        // SAFETY: the range is within the window, and the advice changes nothing that can be seen.
        unsafe {
            rustix::mm::madvise(self.window.start.cast::<u8>().add(begin).cast(), length, Advice::LinuxPopulateRead)
        }
        .is_ok()
    }
}

impl Windows {
    /// So many bytes of a file, in memory. `None` if they have to be read; an attempt to do so tells why.
    pub(crate) fn map(&self, place: &FilePlace, length: usize) -> Option<Vec<Run>> {
        let mut runs = Vec::with_capacity(2);
        let (mut offset, mut rest) = (place.offset, length);
        while rest > 0 {
            let start = usize::try_from(offset % WINDOW).ok()?;
            let step = rest.min(LENGTH.checked_sub(start)?);
            let run = Run { window: self.window(&place.file, offset / WINDOW)?, start, length: step };
            if !run.populate() {
                return None;
            }
            runs.push(run);
            offset = offset.checked_add(u64::try_from(step).ok()?)?;
            rest = rest.checked_sub(step)?;
        }
        Some(runs)
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn window(&self, file: &Arc<File>, number: u64) -> Option<Arc<Window>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |window: &Arc<Window>| window.number == number && window.file.as_ptr() == Arc::as_ptr(file);
        let window = match kept.iter().position(is_it).and_then(|at| kept.remove(at)) {
            Some(window) => window,
            None => Arc::new(open(file, number)?),
        };
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&window));
        Some(window)
    }
}

fn open(file: &Arc<File>, number: u64) -> Option<Window> {
    let offset = number.checked_mul(WINDOW)?;
    // SAFETY: a new range, wherever the system likes, of pages that are never written through it. It may reach over the end of the file.
    let start = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), LENGTH, ProtFlags::READ, MapFlags::SHARED, file.as_ref(), offset)
    }
    .ok()?;
    Some(Window { file: Arc::downgrade(file), number, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    fn sent(runs: &[Run]) -> std::io::Result<Vec<u8>> {
        let (mut to, mut from) = UnixStream::pair()?;
        let total = runs.iter().map(Run::len).sum();
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; total];
            from.read_exact(&mut bytes).map(|()| bytes)
        });
        for run in runs {
            let mut at = 0;
            while at < run.len() {
                at += to.write_vectored(&[run.to_send(at)])?;
            }
        }
        drop(to);
        reader.join().unwrap()
    }

    #[test]
    fn what_is_mapped_is_sent_as_it_is_in_the_file_over_the_ends_of_windows() {
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[1]).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let file = Arc::new(file);
        let windows = Windows::default();
        for (offset, length) in [(0, 16_384), (2_097_152 - 5, 10), (4_999_000, 1000), (1, 4_500_000)] {
            let place = FilePlace { file: Arc::clone(&file), offset };
            let runs = windows.map(&place, length).unwrap();
            let offset = usize::try_from(offset).unwrap();
            assert!(sent(&runs).unwrap() == bytes[offset..offset + length]);
            let last = runs.last().unwrap();
            assert_eq!(last.part(3, usize::MAX).len(), last.len() - 3);
        }
        assert_eq!(windows.0.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_file_that_becomes_shorter_fails_a_call_and_kills_nobody() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(1_000_000).unwrap();
        let windows = Windows::default();
        let place = FilePlace { file: Arc::clone(&file), offset: 0 };
        let runs = windows.map(&place, 500_000).unwrap();
        file.set_len(100).unwrap();
        assert!(sent(&[runs[0].part(8192, 1000)]).is_err());
        assert!(windows.map(&place, 500_000).is_none());
    }

    #[test]
    fn few_windows_are_kept() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(100 * WINDOW).unwrap();
        let windows = Windows::default();
        let place = |number: u64| FilePlace { file: Arc::clone(&file), offset: number * WINDOW };
        assert!((0..100).all(|number| windows.map(&place(number), 1000).is_some()));
        assert_eq!(windows.0.lock().unwrap().len(), KEPT);
        windows.clear();
        assert_eq!(Arc::weak_count(&file), 0);
    }
}
