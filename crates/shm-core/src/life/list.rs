//! The list that the kernel follows when the helper dies.

#![allow(unsafe_code)] // memory of a layout that the kernel prescribes

use super::WAITERS;
use super::window::Window;
use crate::access::Atomic;
use crate::error::{Error, Result};
use crate::sync::{AtomicU32, AtomicUsize, Ordering};
use core::ptr::NonNull;

/// Addresses in the head: of the next entry, from an entry to its word, of an entry that is about to change.
const HEAD_WORDS: usize = 3;

/// The list's memory as the helper sees it. An entry is one address, that of the next; the last one's is the head's.
///
/// Only the helper reads and writes it, and the kernel when the helper dies.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// Of the window, which stays mapped as long as the process lives. The head lies there.
    base: NonNull<u8>,
    distance: usize,
}

// SAFETY: addresses that no thread is tied to; that only the helper uses them is what its desk is for.
unsafe impl Send for List {}

impl List {
    /// An empty list in a fresh window.
    pub(super) fn new(window: &Window) -> Self {
        let list = Self { base: window.base(), distance: window.distance() };
        list.link_at(0).store(list.address(0), Ordering::Relaxed); // nobody was told of it yet
        // The kernel finds an entry's word at the entry's address plus this.
        list.link_at(size_of::<usize>()).store(list.distance, Ordering::Relaxed); // as above
        list
    }

    /// Tells the kernel to follow this list when the calling thread ends.
    ///
    /// The C library has told it of a list of its own, of the robust mutexes that the thread holds. The helper takes no
    /// such mutex, so that list is not missed.
    pub(super) fn follow(self) -> Result<()> {
        let (head, bytes) = (self.base.as_ptr(), HEAD_WORDS * size_of::<usize>());
        // SAFETY: the head is laid out as the kernel wants it, and stays mapped as long as the thread lives.
        let result = unsafe { libc::syscall(libc::SYS_set_robust_list, head, bytes) };
        if result == 0 {
            return Ok(());
        }
        let source = std::io::Error::last_os_error();
        Err(Error::System { call: "set_robust_list", object: "the helper of life words".to_owned(), source })
    }

    /// Puts an entry at the front, then says in its word that thread `tid` lives.
    pub(super) fn link(self, entry: usize, tid: u32) {
        let first = self.link_at(0).load(Ordering::Relaxed); // own
        self.link_at(entry).store(first, Ordering::Relaxed); // ordered by R30
        self.link_at(0).store(self.address(entry), Ordering::Release); // R30 pairs with A32: crash order
        // SAFETY: see `word`.
        unsafe { u32::store(self.word(entry), tid | WAITERS, Ordering::Release) }; // R31 pairs with A31
    }

    /// Says in an entry's word that nobody lives there, then takes the entry out.
    pub(super) fn unlink(self, entry: usize) {
        // SAFETY: see `word`.
        unsafe { u32::store(self.word(entry), 0, Ordering::Relaxed) }; // ordered by R32
        let mut before = 0;
        // As the kernel follows it.
        loop {
            let next = self.link_at(before).load(Ordering::Acquire); // A32 pairs with R30 R32
            if next == self.address(entry) {
                break;
            }
            if next == self.address(0) {
                return; // not on the list
            }
            before = next.wrapping_sub(self.address(0));
        }
        let next = self.link_at(entry).load(Ordering::Relaxed); // own
        self.link_at(before).store(next, Ordering::Release); // R32 pairs with A32: crash order
    }

    fn address(self, offset: usize) -> usize {
        self.base.as_ptr() as usize + offset
    }

    /// The link at an offset of the private pages: the head's first or second word, or an entry, placed by the
    /// window.
    fn link_at(&self, offset: usize) -> &AtomicUsize {
        debug_assert!(offset < self.distance && offset.is_multiple_of(size_of::<usize>()));
        // SAFETY: an offset within the private half of the window.
        let link = unsafe { self.base.add(offset) };
        // SAFETY: aligned, private memory that is mapped for good and written through atomics only, never by the
        // kernel.
        unsafe { AtomicUsize::from_ptr(link.cast().as_ptr()) }
    }

    /// The word of an entry: aligned, and mapped for writing for as long as the entry's pair is taken.
    fn word(self, entry: usize) -> NonNull<AtomicU32> {
        // SAFETY: an offset within the shared half of the window.
        unsafe { self.base.add(entry + self.distance) }.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::window::Source;
    use std::os::fd::AsFd;

    /// What the kernel would find.
    fn followed(list: &List) -> Vec<usize> {
        let next = |offset: &usize| {
            let next = list.link_at(*offset).load(Ordering::Relaxed) - list.address(0); // test
            (next != 0).then_some(next)
        };
        std::iter::successors(next(&0), next).collect()
    }

    #[test]
    fn entries_come_to_the_front_and_go_from_anywhere() {
        let mut window = Window::reserve().unwrap();
        let list = List::new(&window);
        let file = rustix::fs::memfd_create("list", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 65536).unwrap();
        let mut entry = || window.map(&Source::File(file.as_fd()), 40).unwrap();
        let (a, b, c) = (entry(), entry(), entry());
        assert_eq!(followed(&list), [0; 0]);
        [a, b, c].into_iter().for_each(|entry| list.link(entry, 1));
        assert_eq!(followed(&list), [c, b, a]);
        list.unlink(b);
        assert_eq!(followed(&list), [c, a]);
        list.unlink(b);
        list.unlink(c);
        assert_eq!(followed(&list), [a]);
        list.link(b, 1);
        list.unlink(a);
        assert_eq!(followed(&list), [b]);
        list.unlink(b);
        assert_eq!(followed(&list), [0; 0]);
    }
}
