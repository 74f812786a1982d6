//! Between a region and a file, a pipe or a socket, with no memory of ours in between: one copy instead of two.

#![allow(unsafe_code)] // system calls that read and write our own mapping, which rustix takes slices for

use super::Region;
use crate::offset::Span;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Spans that one call of [`Region::write_to`] writes, at most.
const SPANS_MAX: usize = 64;

impl Region {
    /// Reads from a descriptor into a span, by one `read(2)`: how many bytes came, from the span's beginning on; 0 at
    /// the end of a file. Blocks while there is nothing to read, unless the descriptor is set not to.
    ///
    /// The bytes lie in the region as if [`copy_in`](Self::copy_in) had put them there: unordered, to be published by
    /// other means. Behind those that came, and when the call fails, the span may hold anything.
    ///
    /// # Errors
    /// What the call says: [`Interrupted`](io::ErrorKind::Interrupted) when a signal came first,
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), or what became of the descriptor. `EFAULT`, and no signal, when the
    /// region's memory is gone: its object was truncated, or its file system is full. With an
    /// [`Error`](crate::Error) of this crate inside when the span leaves the region, or the region may not be written.
    ///
    /// ```
    /// use shm_core::{Region, Span};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let region = Region::on_heap(64)?;
    /// let (reader, mut writer) = std::io::pipe()?;
    /// std::io::Write::write_all(&mut writer, b"hello")?;
    /// assert_eq!(region.read_from(Span::new(8, 56), &reader)?, 5);
    /// # let mut found = [0; 5];
    /// # region.copy_out(8, &mut found)?;
    /// # assert_eq!(&found, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_from(&self, span: Span, descriptor: impl AsFd) -> io::Result<usize> {
        self.writable().map_err(io::Error::other)?;
        let start = self.at(span).map_err(io::Error::other)?;
        #[cfg(shmring_hostile)]
        if !crate::hostile::before_store(start.as_ptr(), span.length) {
            return Ok(span.length);
        }
        let descriptor = descriptor.as_fd().as_raw_fd();
        // SAFETY: all of `span.length` bytes at `start` lie in the mapping, writable as checked, which `self` keeps.
        // The kernel writes them; to the compiler the call is one it knows nothing of, and no reference leads there.
        answer(unsafe { libc::read(descriptor, start.as_ptr().cast(), span.length) })
    }

    /// Writes spans, one behind the other, to a descriptor, by one `write(2)` or `writev(2)`: how many bytes were
    /// written, which may be fewer than there are; of more than 64 spans, those behind are left to a further call.
    /// Blocks while there is no room, unless the descriptor is set not to.
    ///
    /// Unordered, as [`copy_out`](Self::copy_out). When somebody writes there meanwhile, what is written may be a
    /// mixture.
    ///
    /// # Errors
    /// What the call says, as [`read_from`](Self::read_from); `EPIPE` raises `SIGPIPE` too, which Rust programs ignore
    /// unless told otherwise. With an [`Error`](crate::Error) of this crate inside when a span leaves the region.
    ///
    /// ```
    /// use shm_core::{Region, Span};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let region = Region::on_heap(64)?;
    /// region.copy_in(0, b"hello")?;
    /// region.copy_in(32, b", world")?;
    /// let (mut reader, writer) = std::io::pipe()?;
    /// assert_eq!(region.write_to(&[Span::new(0, 5), Span::new(32, 7)], &writer)?, 12);
    /// # drop(writer);
    /// # assert_eq!(std::io::read_to_string(&mut reader)?, "hello, world");
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_to(&self, spans: &[Span], descriptor: impl AsFd) -> io::Result<usize> {
        let spans = spans.get(..SPANS_MAX).unwrap_or(spans);
        let mut pieces = [libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 }; SPANS_MAX];
        for (span, piece) in spans.iter().zip(&mut pieces) {
            let start = self.at(*span).map_err(io::Error::other)?;
            #[cfg(shmring_hostile)]
            crate::hostile::before_load(start.as_ptr(), span.length);
            *piece = libc::iovec { iov_base: start.as_ptr().cast(), iov_len: span.length };
        }
        let (descriptor, count) = (descriptor.as_fd().as_raw_fd(), spans.len());
        if let ([_], [piece, ..]) = (spans, &pieces) {
            // SAFETY: all of `iov_len` bytes at `iov_base` lie in the mapping, which `self` keeps. The kernel reads
            // them.
            return answer(unsafe { libc::write(descriptor, piece.iov_base, piece.iov_len) });
        }
        let count = libc::c_int::try_from(count).unwrap_or(0); // at most SPANS_MAX
        // SAFETY: `count` pieces were filled, each of which lies in the mapping, which `self` keeps. The kernel reads
        // them.
        answer(unsafe { libc::writev(descriptor, pieces.as_ptr(), count) })
    }
}

/// What a call that moves bytes answered.
fn answer(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::io::{ErrorKind, Read, Write, pipe};

    fn contents(region: &Region) -> Vec<u8> {
        let mut bytes = Vec::new();
        region.copy_out_to(0, region.bytes(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reading_stays_within_the_span() {
        let region = Region::on_heap(64).unwrap();
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(b"hello, world").unwrap();
        assert_eq!(region.read_from(Span::new(3, 5), &reader).unwrap(), 5);
        assert_eq!(region.read_from(Span::new(20, 44), &reader).unwrap(), 7);
        drop(writer);
        assert_eq!(region.read_from(Span::new(20, 44), &reader).unwrap(), 0);
        let mut expected = [0; 64];
        expected[3..8].copy_from_slice(b"hello");
        expected[20..27].copy_from_slice(b", world");
        assert_eq!(contents(&region), expected);
    }

    #[test]
    fn spans_are_written_in_order_and_no_more_than_go_into_one_call() {
        let region = Region::on_heap(256).unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        region.copy_in(0, &bytes).unwrap();
        let (mut reader, writer) = pipe().unwrap();
        assert_eq!(region.write_to(&[], &writer).unwrap(), 0);
        assert_eq!(region.write_to(&[Span::new(7, 3)], &writer).unwrap(), 3);
        let spans: Vec<_> = (0..100).map(|index| Span::new(200 - 2 * index, 2)).collect();
        assert_eq!(region.write_to(&spans, &writer).unwrap(), 2 * SPANS_MAX);
        drop(writer);
        let mut found = Vec::new();
        reader.read_to_end(&mut found).unwrap();
        let each = spans.iter().take(SPANS_MAX).map(|span| &bytes[span.offset..][..2]);
        assert_eq!(found, [&bytes[7..10]].into_iter().chain(each).collect::<Vec<_>>().concat());
    }

    #[test]
    fn what_stands_against_it_is_told() {
        let _closed = crate::fork::alone::nobody_starts();
        let region = Region::on_heap(64).unwrap();
        let ours = |result: io::Result<usize>| {
            let error = result.unwrap_err();
            assert_eq!(error.raw_os_error(), None);
            error.downcast::<Error>().unwrap()
        };
        let (reader, writer) = pipe().unwrap();
        let outside = Span::new(60, 5);
        assert!(matches!(ours(region.read_from(outside, &reader)), Error::OutOfBounds { .. }));
        assert!(matches!(
            ours(region.write_to(&[Span::new(0, 1), outside], &writer)),
            Error::OutOfBounds { .. }
        ));
        let read_only = region.read_only();
        assert!(matches!(ours(read_only.read_from(Span::new(0, 1), &reader)), Error::ReadOnly));
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let error = region.read_from(Span::new(0, 64), &reader).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(reader);
        let error = read_only.write_to(&[Span::new(0, 64)], &writer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let error = region.read_from(Span::new(0, 64), &writer).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
