//! Reading and writing at a position, without moving anything that threads share.

use std::fs::File;
use std::io::{self, IoSlice};

/// Fills `buf` from `offset` of the file.
pub(crate) fn read(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, buf, offset);
    #[cfg(not(unix))]
    return portable::read(file, offset, buf);
}

/// Writes all slices from `offset` of the file on.
pub(crate) fn write(file: &File, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    #[cfg(all(unix, feature = "openat"))]
    return vectored::write(file, offset, slices);
    #[cfg(not(all(unix, feature = "openat")))]
    return portable::write(file, offset, slices);
}

#[cfg(all(unix, feature = "openat"))]
mod vectored {
    use std::fs::File;
    use std::io::{self, IoSlice};

    /// Slices given to the kernel at a time; it takes no more than 1024.
    const BATCH: usize = 1024;

    pub(super) fn write(file: &File, mut offset: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let batch = slices.len().min(BATCH);
            let written = match rustix::io::pwritev(file, slices.get(..batch).unwrap_or_default(), offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            offset = offset.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }
}

#[cfg(any(not(all(unix, feature = "openat")), test))]
mod portable {
    use std::fs::File;
    use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
    use std::sync::{Mutex, PoisonError};

    /// The position of a file is shared by all who use it.
    static POSITION: Mutex<()> = Mutex::new(());

    #[cfg(any(not(unix), test))]
    pub(super) fn read(mut file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let _held = POSITION.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        io::Read::read_exact(&mut file, buf)
    }

    pub(super) fn write(mut file: &File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let _held = POSITION.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        slices.iter().try_for_each(|slice| file.write_all(slice))
    }
}

#[cfg(all(test, unix, feature = "openat"))]
mod tests {
    use super::*;

    #[test]
    fn both_ways_write_and_read_the_same() {
        let parts: Vec<Vec<u8>> = (0..3000_u32).map(|n| vec![(n % 256) as u8; (n % 7) as usize]).collect();
        let all = parts.concat();
        let slices = || parts.iter().map(|part| IoSlice::new(part)).collect::<Vec<_>>();
        let (one, two) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        write(&one, 10, &mut slices()).unwrap();
        portable::write(&two, 10, &slices()).unwrap();
        for file in [&one, &two] {
            let (mut left, mut right) = (vec![0; all.len()], vec![0; all.len()]);
            read(file, 10, &mut left).unwrap();
            portable::read(file, 10, &mut right).unwrap();
            assert!(left == all && right == all);
            assert_eq!(read(file, 11, &mut left).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
