//! Record locks, and whether there is a membarrier.
//!
//! A lock is a word that holds its holder. Taking it, or asking who has it, orders nothing by itself, and finds the
//! latest state; letting go of it publishes everything the holder did, and whoever finds it free sees that behind an
//! acquire fence of its own: the promise of `docs/memory-model.md`, and no more.

use crate::sync::Ordering::{Relaxed, Release, SeqCst};
use loom::sync::atomic::AtomicU64;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

thread_local! {
    static LOCKS: RefCell<BTreeMap<u64, Rc<AtomicU64>>> = const { RefCell::new(BTreeMap::new()) };
    static MEMBARRIER: Cell<bool> = const { Cell::new(true) };
}

/// The locks of one model. Made before its threads are; they go with it.
#[derive(Debug)]
pub struct Locks(());

impl Locks {
    /// Locks on these bytes, all free.
    pub fn new(bytes: impl IntoIterator<Item = u64>) -> Self {
        let lock = |byte| (byte, Rc::new(AtomicU64::new(0)));
        LOCKS.set(bytes.into_iter().map(lock).collect());
        Self(())
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        LOCKS.take();
    }
}

fn lock(byte: u64) -> Rc<AtomicU64> {
    let found = LOCKS.with_borrow(|locks| locks.get(&byte).cloned());
    found.unwrap_or_else(|| unreachable!("the model has no lock on byte {byte}"))
}

fn holder(descriptor: i32) -> u64 {
    u64::from(descriptor.unsigned_abs()) + 1
}

pub(crate) fn try_lock(descriptor: i32, byte: u64) -> bool {
    let (success, failure) = (Relaxed, Relaxed); // the kernel's promise, see above
    let taken = lock(byte).compare_exchange(0, holder(descriptor), success, failure);
    taken.map_or_else(|other| other == holder(descriptor), |_| true)
}

pub(crate) fn is_free(descriptor: i32, byte: u64) -> bool {
    let found = lock(byte).fetch_add(0, Relaxed); // the kernel's promise, see above
    found == 0 || found == holder(descriptor)
}

pub(crate) fn unlock(descriptor: i32, byte: u64) {
    let (success, failure) = (Release, Relaxed); // the kernel's promise, see above
    let _ = lock(byte).compare_exchange(holder(descriptor), 0, success, failure);
}

/// The last copy of a descriptor is closed, by a death or otherwise: its locks are free.
pub fn close(file: impl std::os::fd::AsFd) {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file.as_fd());
    let bytes: Vec<u64> = LOCKS.with_borrow(|locks| locks.keys().copied().collect());
    bytes.into_iter().for_each(|byte| unlock(descriptor, byte));
}

/// Whether the machine that the next models run on has a membarrier. At first it has.
pub fn set_membarrier(has: bool) {
    MEMBARRIER.set(has);
}

pub(crate) fn has_membarrier() -> bool {
    MEMBARRIER.get()
}

/// The caller's own part; that of the running publishers is in `sync::light_fence`.
pub(crate) fn membarrier() -> bool {
    if has_membarrier() {
        loom::sync::atomic::fence(SeqCst); // what the kernel promises
    }
    has_membarrier()
}
