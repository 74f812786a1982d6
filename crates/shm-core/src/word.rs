//! Atomic words in shared memory, checked once and then free to use.

#![allow(unsafe_code)] // calls `access` with pointers that were checked when the word was made

use crate::access::{self, Atomic};
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::prefetch;
use crate::region::{Access, Backing};
use crate::sync::{AtomicU64, Ordering};
use core::fmt;
use core::ptr::NonNull;
use rustix::io::Errno;
use rustix::thread::futex;
use std::sync::Arc;

/// A shared word that this side only reads: one that its peer owns, or one in a read-only mapping.
#[allow(private_bounds)]
pub struct ReadWord<W: Atomic> {
    /// Aligned, and inside of `backing`, which stays mapped as long as this word lives: what every
    /// `unsafe` block of this type relies on. Only `Region` makes one, after checking both.
    cell: NonNull<W::Cell>,
    backing: Arc<Backing>,
}

/// A shared word that this side may write. Only a region that is mapped for writing hands one out.
#[allow(private_bounds)]
pub struct Word<W: Atomic> {
    inner: ReadWord<W>,
}

// SAFETY: an atomic word in memory that lives as long as the value; any thread may use it.
unsafe impl<W: Atomic> Send for ReadWord<W> {}
// SAFETY: as above; all methods take `&self` and are atomic.
unsafe impl<W: Atomic> Sync for ReadWord<W> {}

impl<W: Atomic> Clone for ReadWord<W> {
    fn clone(&self) -> Self {
        Self { cell: self.cell, backing: self.backing.clone() }
    }
}

#[allow(private_bounds)]
impl<W: Atomic> ReadWord<W> {
    pub(crate) fn new(cell: NonNull<W::Cell>, backing: Arc<Backing>) -> Self {
        Self { cell, backing }
    }

    /// Loads the word.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn load(&self, ordering: Ordering) -> W {
        // SAFETY: see `cell`.
        unsafe { W::load(self.cell, ordering) }
    }
}

#[allow(private_bounds)]
impl<W: Atomic> Word<W> {
    pub(crate) fn new(inner: ReadWord<W>) -> Self {
        Self { inner }
    }

    /// The word, for reading only.
    pub fn reader(&self) -> ReadWord<W> {
        ReadWord { cell: self.inner.cell, backing: self.inner.backing.clone() }
    }

    /// Loads the word.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn load(&self, ordering: Ordering) -> W {
        self.inner.load(ordering)
    }

    /// Stores the word.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn store(&self, value: W, ordering: Ordering) {
        // SAFETY: see `ReadWord::cell`; the mapping is writable, or there would be no `Word`.
        unsafe { W::store(self.inner.cell, value, ordering) }
    }

    /// Adds, wrapping around, and returns what was there.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn fetch_add(&self, value: W, ordering: Ordering) -> W {
        // SAFETY: as in `store`.
        unsafe { W::fetch_add(self.inner.cell, value, ordering) }
    }

    /// Sets bits and returns what was there.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn fetch_or(&self, value: W, ordering: Ordering) -> W {
        // SAFETY: as in `store`.
        unsafe { W::fetch_or(self.inner.cell, value, ordering) }
    }

    /// Stores `new` if the word holds `current`; returns what was there, as `Err` if it was another value.
    ///
    /// # Errors
    /// The value that was there instead of `current`.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn compare_exchange(
        &self,
        current: W,
        new: W,
        success: Ordering,
        failure: Ordering,
    ) -> core::result::Result<W, W> {
        // SAFETY: as in `store`.
        unsafe { W::compare_exchange(self.inner.cell, current, new, success, failure) }
    }
}

impl ReadWord<u32> {
    /// Sleeps while the word holds `expected`; `true` when the deadline ended it.
    ///
    /// May return early: after a signal, a wake-up meant for another reason, or because the word had
    /// changed. The caller looks at its own condition again.
    pub(crate) fn sleep_while(&self, expected: u32, deadline: Deadline) -> Result<bool> {
        // SAFETY: see `cell`.
        match unsafe { access::futex_wait(self.cell, expected, deadline.timespec().as_ref()) } {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(Errno::TIMEDOUT) => Ok(true),
            Err(errno) => Err(Error::system("futex(FUTEX_WAIT_BITSET)", "a shared word", errno)),
        }
    }

    /// The word's part in a sleep on several. Points at the word, so it is not to outlive it.
    pub(crate) fn waiter(&self, expected: u32) -> futex::Wait {
        access::futex_waiter(self.cell, expected)
    }

    /// Wakes every sleeper on the word; returns how many slept.
    pub(crate) fn wake_all(&self) -> Result<usize> {
        // SAFETY: see `cell`.
        unsafe { access::futex_wake_all(self.cell) }
            .map_err(|errno| Error::system("futex(FUTEX_WAKE)", "a shared word", errno))
    }
}

impl Word<u32> {
    /// Wakes every [listener](crate::Listener) that sleeps on the word, in all processes; returns how many slept.
    ///
    /// # Errors
    /// When the kernel refuses the wake-up, which it has no known reason to.
    pub fn wake_all(&self) -> Result<usize> {
        self.inner.wake_all()
    }
}

/// An array of 64-bit words whose length is a power of two, indexed by a byte position that wraps.
pub struct Words {
    /// `mask + 1` aligned words, inside of `_backing`, which stays mapped as long as this lives.
    base: NonNull<AtomicU64>,
    mask: usize,
    access: Access,
    _backing: Arc<Backing>,
}

// SAFETY: atomic words in memory that lives as long as the value; any thread may use them.
unsafe impl Send for Words {}
// SAFETY: as above; all methods take `&self` and are atomic.
unsafe impl Sync for Words {}

impl Words {
    pub(crate) fn new(base: NonNull<AtomicU64>, mask: usize, access: Access, backing: Arc<Backing>) -> Self {
        Self { base, mask, access, _backing: backing }
    }

    /// Loads the word that holds byte `position` of the endless stream that wraps around the array.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn load(&self, position: u64, ordering: Ordering) -> u64 {
        // SAFETY: `cell` is one of the array's words.
        unsafe { u64::load(self.cell(position), ordering) }
    }

    /// Stores the word that holds byte `position`.
    ///
    /// # Errors
    /// [`Error::ReadOnly`].
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn store(&self, position: u64, value: u64, ordering: Ordering) -> Result<()> {
        if self.access != Access::ReadWrite {
            return Err(Error::ReadOnly);
        }
        // SAFETY: `cell` is one of the array's words, writable as just checked.
        unsafe { u64::store(self.cell(position), value, ordering) };
        Ok(())
    }

    /// Stores `new` in the word that holds byte `position` if it holds `current`; returns what was there, as `Err`
    /// if it was another value. Fails as well when the words are only read.
    ///
    /// # Errors
    /// The value that was there instead of `current`.
    #[inline(always)]
    #[cfg_attr(loom, track_caller)] // see `model::weaken`
    pub fn compare_exchange(
        &self,
        position: u64,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> core::result::Result<u64, u64> {
        if self.access != Access::ReadWrite {
            return Err(self.load(position, failure));
        }
        // SAFETY: `cell` is one of the array's words, writable as just checked.
        unsafe { u64::compare_exchange(self.cell(position), current, new, success, failure) }
    }

    /// Says that the line of byte `position` is going to be read. Changes nothing but how long that takes.
    #[inline(always)]
    pub fn will_read(&self, position: u64) {
        prefetch::for_reading(self.cell(position).as_ptr().cast());
    }

    /// Says that the line of byte `position` is going to be written. Changes nothing but how long that takes.
    #[inline(always)]
    pub fn will_write(&self, position: u64) {
        prefetch::for_writing(self.cell(position).as_ptr().cast());
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the mask discards the high bits anyway
    fn cell(&self, position: u64) -> NonNull<AtomicU64> {
        let index = (position / size_of::<u64>() as u64) as usize & self.mask;
        // SAFETY: `index <= mask`, so the word lies within the array.
        unsafe { self.base.add(index) }
    }
}

impl<W: Atomic> fmt::Debug for ReadWord<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadWord({:?})", self.load(Ordering::Relaxed)) // shown to people
    }
}

impl<W: Atomic> fmt::Debug for Word<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({:?})", self.load(Ordering::Relaxed)) // shown to people
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("length", &(self.mask + 1)).finish_non_exhaustive()
    }
}
