//! The one place that says where atomics come from, so that a model checker can put its own in.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize};
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
