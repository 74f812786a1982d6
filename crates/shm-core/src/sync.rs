//! The one place that says where atomics and fences come from, so that a model checker can put its own in.
//!
//! Under `--cfg loom` fences are loom's; the words of regions are as well, which `access` sees to. What stays in
//! private memory is never part of a model.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize};
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
pub use core::sync::atomic::{compiler_fence, fence};
#[cfg(not(loom))]
pub use std::thread::yield_now;

#[cfg(loom)]
pub use loom::thread::yield_now;

/// The publisher's half of an asymmetric fence: keeps the compiler from reordering, where the other side, or the
/// instruction before it, makes the processor keep the order too. In a model, which has no processor, a full fence.
#[inline(always)]
#[cfg_attr(loom, track_caller)]
pub fn light_fence(ordering: Ordering) {
    #[cfg(not(loom))]
    compiler_fence(ordering);
    #[cfg(loom)]
    fence(ordering);
}

/// Crash order concerns compiled programs; a model's threads run in the order of their source.
#[cfg(loom)]
pub fn compiler_fence(_: Ordering) {}

/// A model's fence.
#[cfg(loom)]
#[track_caller]
pub fn fence(ordering: Ordering) {
    if !crate::model::weaken::leaves_out() {
        loom::sync::atomic::fence(ordering);
    }
}
