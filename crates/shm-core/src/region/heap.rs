//! Private memory that behaves like a mapping.

use crate::line::{LINE_BYTES, Line};
use core::cell::UnsafeCell;

/// A line of private memory that is written through raw pointers.
type HeapLine = Line<UnsafeCell<[u8; LINE_BYTES]>>;

/// Zeroed lines. In models, `model::memory` takes their place.
pub(crate) struct Heap(Box<[HeapLine]>);

impl Heap {
    pub(crate) fn new(bytes: usize) -> Self {
        Self((0..bytes.div_ceil(LINE_BYTES)).map(|_| Line(UnsafeCell::new([0; LINE_BYTES]))).collect())
    }

    pub(crate) fn base(&self) -> *mut u8 {
        UnsafeCell::raw_get(self.0.as_ptr().cast())
    }
}
