//! Every load, store and read-modify-write of a shared word happens here, and (through [`crate::copy`])
//! every copy of shared bytes: one place to read, to instrument, and to hold to the rule that no
//! reference to shared memory lives longer than the expression that makes it.

#![allow(unsafe_code)] // raw pointers into shared memory: this file, `copy` and `region` only

#[cfg(not(loom))]
pub(crate) use crate::copy::{from_shared, to_shared, value_from_shared, value_to_shared};
#[cfg(loom)]
pub(crate) use crate::model::memory::{from_shared, to_shared, value_from_shared, value_to_shared};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use core::ptr::NonNull;
use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::Timespec;

/// An integer that shared memory holds as one atomic word.
pub(crate) trait Atomic: Copy + Eq + core::fmt::Debug + 'static {
    /// The atomic type of the same size.
    type Cell;
    /// # Safety
    /// `cell` is aligned and valid for atomic reads.
    unsafe fn load(cell: NonNull<Self::Cell>, ordering: Ordering) -> Self;
    /// # Safety
    /// `cell` is aligned and valid for atomic writes.
    unsafe fn store(cell: NonNull<Self::Cell>, value: Self, ordering: Ordering);
    /// # Safety
    /// `cell` is aligned and valid for atomic reads and writes.
    unsafe fn fetch_add(cell: NonNull<Self::Cell>, value: Self, ordering: Ordering) -> Self;
    /// # Safety
    /// `cell` is aligned and valid for atomic reads and writes.
    unsafe fn fetch_or(cell: NonNull<Self::Cell>, value: Self, ordering: Ordering) -> Self;
    /// # Safety
    /// `cell` is aligned and valid for atomic reads and writes.
    unsafe fn compare_exchange(
        cell: NonNull<Self::Cell>,
        current: Self,
        new: Self,
        success: Ordering,
        failure: Ordering,
    ) -> Result<Self, Self>;
}

/// The word at a pointer: behind a reference that lives for the expression only, or a model's.
macro_rules! word {
    ($cell:expr) => {{
        #[cfg(not(loom))]
        let word = $cell.as_ref();
        #[cfg(loom)]
        let word = crate::model::memory::word::<_, Self>($cell);
        word
    }};
}

macro_rules! atomic {
    ($integer:ty, $cell:ty) => {
        impl Atomic for $integer {
            type Cell = $cell;
            #[inline(always)]
            #[cfg_attr(loom, track_caller)] // see `model::weaken`
            unsafe fn load(cell: NonNull<$cell>, ordering: Ordering) -> Self {
                #[cfg(shmring_hostile)]
                crate::hostile::before_load(cell.as_ptr().cast(), size_of::<Self>());
                // SAFETY: the caller's promise; the reference lives for this expression only.
                unsafe { word!(cell) }.load(ordering)
            }
            #[inline(always)]
            #[cfg_attr(loom, track_caller)] // see `model::weaken`
            unsafe fn store(cell: NonNull<$cell>, value: Self, ordering: Ordering) {
                #[cfg(shmring_hostile)]
                if !crate::hostile::before_store(cell.as_ptr().cast(), size_of::<Self>()) {
                    return;
                }
                // SAFETY: the caller's promise; the reference lives for this expression only.
                unsafe { word!(cell) }.store(value, ordering)
            }
            #[inline(always)]
            #[cfg_attr(loom, track_caller)] // see `model::weaken`
            unsafe fn fetch_add(cell: NonNull<$cell>, value: Self, ordering: Ordering) -> Self {
                #[cfg(shmring_hostile)]
                if !crate::hostile::before_exchange(cell.as_ptr().cast(), size_of::<Self>()) {
                    // SAFETY: the caller's promise.
                    return unsafe { Self::load(cell, Ordering::Relaxed) }; // what the dead see is nothing to anybody
                }
                // SAFETY: the caller's promise; the reference lives for this expression only.
                unsafe { word!(cell) }.fetch_add(value, ordering)
            }
            #[inline(always)]
            #[cfg_attr(loom, track_caller)] // see `model::weaken`
            unsafe fn fetch_or(cell: NonNull<$cell>, value: Self, ordering: Ordering) -> Self {
                #[cfg(shmring_hostile)]
                if !crate::hostile::before_exchange(cell.as_ptr().cast(), size_of::<Self>()) {
                    // SAFETY: the caller's promise.
                    return unsafe { Self::load(cell, Ordering::Relaxed) }; // what the dead see is nothing to anybody
                }
                // SAFETY: the caller's promise; the reference lives for this expression only.
                unsafe { word!(cell) }.fetch_or(value, ordering)
            }
            #[inline(always)]
            #[cfg_attr(loom, track_caller)] // see `model::weaken`
            unsafe fn compare_exchange(
                cell: NonNull<$cell>,
                current: Self,
                new: Self,
                success: Ordering,
                failure: Ordering,
            ) -> Result<Self, Self> {
                #[cfg(shmring_hostile)]
                if !crate::hostile::before_exchange(cell.as_ptr().cast(), size_of::<Self>()) {
                    return Ok(current); // what the dead see is nothing to anybody
                }
                // SAFETY: the caller's promise; the reference lives for this expression only.
                unsafe { word!(cell) }.compare_exchange(current, new, success, failure)
            }
        }
    };
}

atomic!(u32, AtomicU32);
atomic!(u64, AtomicU64);

/// Sleeps while the word holds `expected`, until `deadline` (absolute, monotonic; `None`: for ever).
///
/// The futex is shared between processes: its key is the object and the offset, not the address.
///
/// # Safety
/// `cell` is aligned and mapped.
pub(crate) unsafe fn futex_wait(
    cell: NonNull<AtomicU32>,
    expected: u32,
    deadline: Option<&Timespec>,
) -> Result<(), Errno> {
    #[cfg(shmring_hostile)]
    crate::hostile::before_load(cell.as_ptr().cast(), size_of::<u32>());
    #[cfg(loom)]
    // SAFETY: the caller's promise.
    return unsafe { crate::model::memory::futex_wait(cell, expected) };
    // SAFETY: the caller's promise; the kernel reads the word atomically.
    let word = unsafe { cell.as_ref() };
    futex::wait_bitset(word, futex::Flags::empty(), expected, deadline, core::num::NonZeroU32::MAX)
}

/// What [`futex::waitv`] takes for one word: sleep while it holds `expected`. Shared between processes.
pub(crate) fn futex_waiter(cell: NonNull<AtomicU32>, expected: u32) -> futex::Wait {
    let mut waiter = futex::Wait::new();
    waiter.val = u64::from(expected);
    waiter.uaddr = futex::WaitPtr::new(cell.as_ptr().cast());
    waiter.flags = futex::WaitFlags::SIZE_U32;
    waiter
}

/// Wakes all who sleep on the word.
///
/// # Safety
/// `cell` is aligned and mapped.
pub(crate) unsafe fn futex_wake_all(cell: NonNull<AtomicU32>) -> Result<usize, Errno> {
    #[cfg(loom)]
    // SAFETY: the caller's promise.
    return Ok(unsafe { crate::model::memory::futex_wake_all(cell) });
    // SAFETY: the caller's promise; the kernel only looks the word's page up.
    let word = unsafe { cell.as_ref() };
    futex::wake(word, futex::Flags::empty(), i32::MAX as u32)
}
