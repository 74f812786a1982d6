//! A cache line of our own.
//!
//! `crossbeam_utils::CachePadded` has another size on another target, so it can not lay out memory
//! that a program in another language, or built for another target, is to read. [`Line`] is 128 bytes
//! everywhere: two x86-64 lines, because the prefetcher fetches them in pairs, and one line of the
//! larger aarch64 cores.

/// Bytes in a [`Line`]; words that different processes write stand at least this far apart.
pub const LINE_BYTES: usize = 128;

/// A value alone on its cache line, the same on every target.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(128))]
pub struct Line<T>(pub T);

const _: () = assert!(size_of::<Line<u64>>() == LINE_BYTES);
const _: () = assert!(align_of::<Line<u64>>() == LINE_BYTES);
