//! Descriptors that do not follow into a forked child.

#![allow(unsafe_code)] // replacing and closing descriptors by number, in a fork handler

use super::{Guard, Section};
use crate::sync::{AtomicI32, Ordering};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// In a slot: it belongs to no descriptor.
const FREE: i32 = -1;
/// In a slot, in a child: the descriptor was closed, and its number may mean another file.
const CLOSED: i32 = -2;

/// The numbers of all descriptors there are, in a list that only grows: a fork handler can walk it.
struct Chunk {
    slots: [AtomicI32; 64],
    /// Made in a section, so that no child finds it half made.
    next: OnceLock<Box<Chunk>>,
}

static FIRST: Chunk = Chunk::new();

impl Chunk {
    const fn new() -> Self {
        Self { slots: [const { AtomicI32::new(FREE) }; 64], next: OnceLock::new() }
    }
}

/// A descriptor that a forked child does not get: one that a fork takes no lock along with.
///
/// In the child the copy of this value refers to a file of which nothing can be done: whatever is tried with it
/// fails with `EBADF`. The number stays taken until the copy is dropped, so it never means
/// another file by accident.
#[derive(Debug)]
pub struct Descriptor {
    file: ManuallyDrop<OwnedFd>,
    /// Holds the number of `file` for as long as it is ours to close.
    slot: &'static AtomicI32,
    guard: Guard,
}

impl Descriptor {
    /// What `open` opens. Forks by other threads wait until it returns: a child must not get a descriptor
    /// that is not on the list yet. It should not take long, therefore.
    ///
    /// # Errors
    /// What `open` returns.
    pub fn open<E>(open: impl FnOnce() -> Result<OwnedFd, E>) -> Result<Self, E> {
        let _section = Section::enter();
        let file = ManuallyDrop::new(open()?);
        let slot = free_slot();
        slot.store(file.as_raw_fd(), Ordering::Relaxed); // read and written in sections
        Ok(Self { file, slot, guard: Guard::new() })
    }

    /// Whether this is the copy in a forked child, which refers to nothing.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.guard.is_forked()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Were a fork possible in between, the child would keep a copy that nobody closes, or close a number
        // that means another file by now.
        let _section = Section::enter();
        let number = self.slot.swap(FREE, Ordering::Relaxed); // read and written in sections
        if number != CLOSED {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// In a child, in its fork handler: gives all copies of the parent's descriptors up. Makes system calls only.
pub(super) fn let_all_go() {
    let taken = || slots().filter(|slot| slot.load(Ordering::Relaxed) >= 0); // the child has no other thread yet
    if taken().next().is_none() {
        return;
    }
    let mut nothing = open_nothing();
    let mut is_owned = false;
    for slot in taken() {
        let number = slot.load(Ordering::Relaxed); // as above
        // SAFETY: the number is that of a descriptor on the list, ours, and becomes one that its copy owns;
        // should it fail, nothing has changed.
        let replaced = nothing >= 0 && unsafe { libc::dup3(nothing, number, libc::O_CLOEXEC) } == number;
        if replaced {
            continue;
        }
        // SAFETY: the number is that of a descriptor on the list, whose copy is told below what became of it.
        unsafe { libc::close(number) };
        if nothing < 0 {
            // A full table has room for one now: for this very number.
            nothing = open_nothing();
            is_owned = nothing == number;
        }
        if nothing != number {
            slot.store(CLOSED, Ordering::Relaxed); // as above
        }
    }
    if nothing >= 0 && !is_owned {
        // SAFETY: opened above, and not on the list.
        unsafe { libc::close(nothing) };
    }
}

/// A file of which nothing but its identity is to be had: no bytes, no locks, no mapping. Negative if there is none.
fn open_nothing() -> i32 {
    // SAFETY: the path is a string that ends with a zero byte.
    unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) }
}

fn chunks() -> impl Iterator<Item = &'static Chunk> {
    core::iter::successors(Some(&FIRST), |chunk| chunk.next.get().map(|next| -> &'static Chunk { next }))
}

fn slots() -> impl Iterator<Item = &'static AtomicI32> {
    chunks().flat_map(|chunk| &chunk.slots)
}

/// A slot that is free; in a section.
fn free_slot() -> &'static AtomicI32 {
    let mut chunk = &FIRST;
    loop {
        let is_free = |slot: &&AtomicI32| slot.load(Ordering::Relaxed) == FREE; // read and written in sections
        if let Some(slot) = chunk.slots.iter().find(is_free) {
            return slot;
        }
        chunk = chunk.next.get_or_init(|| Box::new(Chunk::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn open() -> Descriptor {
        Descriptor::open(|| std::fs::File::open("/dev/null").map(OwnedFd::from)).unwrap()
    }

    fn is_listed(number: i32) -> bool {
        slots().any(|slot| slot.load(Ordering::Relaxed) == number) // test
    }

    #[test]
    fn every_living_descriptor_is_listed() {
        let _section = Section::enter(); // other tests would use the slots and numbers again
        let many: Vec<Descriptor> = (0..200).map(|_| open()).collect();
        let numbers: Vec<i32> = many.iter().map(|one| one.as_fd().as_raw_fd()).collect();
        assert!(numbers.iter().all(|&number| is_listed(number)));
        assert!(!many[0].is_forked());
        let (dropped, kept) = (many[100].slot, many[101].as_fd().as_raw_fd());
        let mut many = many;
        drop(many.remove(100));
        assert_ne!(dropped.load(Ordering::Relaxed), numbers[100]); // test
        assert!(is_listed(kept));
    }

    #[test]
    fn what_does_not_open_is_not_listed() {
        let listed = || slots().filter(|slot| slot.load(Ordering::Relaxed) == i32::MAX).count(); // test
        let refused = Descriptor::open(|| Err::<OwnedFd, _>(io::Error::other("no")));
        assert!(refused.is_err() && listed() == 0);
    }
}
