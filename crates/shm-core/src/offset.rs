//! Checked offsets into a region. Nothing that is stored in shared memory is ever an address.

use crate::error::{Error, Result};

/// `length` bytes at `offset` from the beginning of a region.
///
/// A span is two numbers; it is checked against a region by whoever uses it with one.
///
/// ```
/// use shm_core::Span;
/// let span = Span::new(128, 64);
/// assert!(span.check(192).is_ok());
/// assert!(span.check(191).is_err());
/// assert!(Span::new(usize::MAX, 2).check(4096).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the beginning of the region.
    pub offset: usize,
    /// Bytes in the span.
    pub length: usize,
}

impl Span {
    /// `length` bytes at `offset`.
    pub const fn new(offset: usize, length: usize) -> Self {
        Self { offset, length }
    }

    /// Whether the span lies within a region of `region_bytes`.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when it does not; sums that overflow count as outside.
    #[inline]
    pub const fn check(self, region_bytes: usize) -> Result<()> {
        // Written so that no sum can overflow.
        if self.offset <= region_bytes && self.length <= region_bytes - self.offset {
            Ok(())
        } else {
            Err(Error::OutOfBounds { offset: self.offset, length: self.length, region_bytes })
        }
    }
}
