//! Mappings that a forked child does not get, and whose addresses nobody else gets there either.
//!
//! The kernel leaves a hole in the child's address space (`MADV_DONTFORK`). Copies of handles in the child still point
//! there; were the addresses given to something else, an access would be to memory of others. So a fork handler
//! fills each hole with pages that have no rights, before anything else runs in the child.

#![allow(unsafe_code)] // advice on mappings, and mappings at fixed addresses in a fork handler

use super::Section;
use core::ffi::c_void;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Address and length of all such mappings. Changed in sections only, so that no child finds it half changed.
static KEPT: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// That a mapping is kept from children.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: usize,
    bytes: usize,
}

impl Reservation {
    /// Keeps a mapping from all children from now on. Its owner unmaps it in [`end`](Self::end) only.
    pub(crate) fn keep(base: *mut u8, bytes: usize) -> rustix::io::Result<Self> {
        let _section = Section::enter();
        // SAFETY: the advice changes nothing in this process, and in children the fork handler fills the hole.
        unsafe { madvise(base.cast::<c_void>(), bytes, Advice::LinuxDontFork) }?;
        let (base, whole) = (base as usize, bytes.next_multiple_of(rustix::param::page_size()));
        kept().push((base, whole));
        Ok(Self { base, bytes: whole })
    }

    /// Lets `unmap` give the addresses up.
    pub(crate) fn end(self, unmap: impl FnOnce()) {
        let _section = Section::enter();
        kept().retain(|&entry| entry != (self.base, self.bytes));
        unmap();
    }

    /// Lets `remap` move the mapping; it says where to. The kernel goes on keeping it from children.
    pub(crate) fn moved<E>(&mut self, remap: impl FnOnce() -> Result<(*mut u8, usize), E>) -> Result<(), E> {
        let _section = Section::enter();
        let (base, bytes) = remap()?;
        let mut kept = kept();
        kept.retain(|&entry| entry != (self.base, self.bytes));
        (self.base, self.bytes) = (base as usize, bytes.next_multiple_of(rustix::param::page_size()));
        kept.push((self.base, self.bytes));
        Ok(())
    }
}

fn kept() -> MutexGuard<'static, Vec<(usize, usize)>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a child, in its fork handler: fills the holes. Makes system calls only.
pub(super) fn fill_holes() {
    // Taken by nobody but the thread that forked, and by that one only if it did so in the middle of a change.
    let Ok(kept) = KEPT.try_lock() else { return };
    for &(base, bytes) in kept.iter() {
        let place = core::ptr::with_exposed_provenance_mut(base);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: replaces nothing. Should it fail, there is something already: a reservation of this child's parent.
        let _ = unsafe { mmap_anonymous(place, bytes, ProtFlags::empty(), flags) };
    }
}
