//! Addresses in pairs: private pages for list entries, and at a fixed distance the objects' pages.

#![allow(unsafe_code)] // mappings at fixed addresses, within a reservation of our own

use super::OBJECT;
use crate::error::{Error, Result};
use crate::huge::huge_page_bytes;
use core::ffi::c_void;
use core::ptr::NonNull;
use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect,
    mremap_fixed, munmap,
};
use std::os::fd::BorrowedFd;

/// Through what an object's page is mapped.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// Its file.
    File(BorrowedFd<'a>),
    /// A shared mapping of it, which begins at this address.
    Mapping(usize),
}

/// Pairs of pages, one for each life word. The kernel follows no more than 2048 entries of a list.
const SLOTS: usize = 2040;
/// Those, and the pair whose first page holds the list's head.
const PAIRS: usize = SLOTS + 1;

/// One range of addresses, reserved for as long as the process lives:
///
/// ```text
///   | head | entry page 1 | ... | entry page SLOTS || unused | word page 1 | ... | word page SLOTS |
///   ^ base                                          ^ base + distance
/// ```
///
/// Nobody else has been told of a single one of these addresses. That makes mapping at fixed ones safe here: what it
/// replaces is always a part of this reservation, which no other thread looks at.
///
/// Forked children do not get it (`MADV_DONTFORK`): they would keep the objects' pages. So a copy there is never
/// dropped.
#[derive(Debug)]
pub(super) struct Window {
    base: NonNull<u8>,
    page_bytes: usize,
    /// Which pairs are taken; the first always is.
    taken: Vec<bool>,
    /// How many of the private pages can be written: as many as were ever in use at once.
    open: usize,
}

// SAFETY: addresses that no thread is tied to.
unsafe impl Send for Window {}

impl Window {
    pub(super) fn reserve() -> Result<Self> {
        let page_bytes = rustix::param::page_size();
        let bytes = 2 * PAIRS * page_bytes;
        // SAFETY: a new mapping where the kernel likes.
        let mapped = unsafe { mmap_anonymous(core::ptr::null_mut(), bytes, ProtFlags::empty(), RESERVED) };
        let failed = |errno| Error::system("mmap", "addresses for life words", errno);
        let mapped = mapped.map_err(failed)?;
        let base = NonNull::new(mapped.cast()).ok_or_else(|| failed(Errno::NOMEM))?;
        // SAFETY: our reservation. Should the kernel not want to, children keep some pages, and nothing else.
        let _ = unsafe { madvise(mapped, bytes, Advice::LinuxDontFork) };
        let mut window = Self { base, page_bytes, taken: vec![false; PAIRS], open: 0 };
        window.open(0).map_err(failed)?;
        window.taken[0] = true;
        Ok(window)
    }

    /// The list's head, at the beginning of a page that can be written and is never unmapped.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// From an entry to its word.
    pub(super) fn distance(&self) -> usize {
        PAIRS * self.page_bytes
    }

    /// Maps the page of the word at `offset` of the object; where its entry belongs, from the base on. Both can be
    /// written.
    pub(super) fn map(&mut self, object: &Source<'_>, offset: u64) -> Result<usize> {
        // Of such a file the kernel maps a whole huge page, however few bytes it is asked for: it would lie over the
        // pairs behind this one, and over what lies behind the reservation.
        if let Source::File(file) = object
            && huge_page_bytes(file, OBJECT)?.is_some()
        {
            let reason = "the object is made of huge pages, and the kernel maps none that is smaller";
            return Err(Error::Unsupported { what: "a life word", reason });
        }
        let full = || Error::System {
            call: "set_robust_list",
            object: OBJECT.to_owned(),
            source: std::io::Error::other(format!("a process has at most {SLOTS} life words")),
        };
        let pair = self.taken.iter().position(|taken| !taken).ok_or_else(full)?;
        self.open(pair).map_err(|errno| Error::system("mprotect", "an entry of a life word", errno))?;
        let in_page = offset % self.page_bytes as u64;
        let mapped = self.map_page(pair, object, offset - in_page);
        mapped.map_err(|errno| {
            // Rights are looked at before anything is changed. After another failure there may be a hole in the
            // reservation, and then somebody else's mapping: this pair is not used again.
            self.taken[pair] = !matches!(errno, Errno::ACCESS | Errno::PERM);
            Error::system("mmap", OBJECT, errno)
        })?;
        self.keep_from_children(pair);
        self.taken[pair] = true;
        #[allow(clippy::cast_possible_truncation)] // less than a page
        Ok(pair * self.page_bytes + in_page as usize)
    }

    fn map_page(&self, pair: usize, object: &Source<'_>, offset: u64) -> rustix::io::Result<()> {
        let (place, rights) = (self.word_page(pair), ProtFlags::READ | ProtFlags::WRITE);
        match *object {
            Source::File(file) => {
                let flags = MapFlags::SHARED | MapFlags::FIXED;
                // SAFETY: a page of our reservation, which no entry on the list belongs to; and no more than that page,
                // as the file is of ordinary ones.
                unsafe { mmap(place, self.page_bytes, rights, flags, file, offset) }.map(drop)
            }
            Source::Mapping(address) => {
                #[allow(clippy::cast_possible_truncation)] // in the mapping
                let page = core::ptr::without_provenance_mut(address + offset as usize);
                let flags = MremapFlags::MAYMOVE;
                // SAFETY: an old size of 0 leaves a shared mapping as it is and maps the same page once more, here:
                // a page of our reservation, which no entry on the list belongs to. Of huge pages the kernel refuses
                // that, as it would be more than there was.
                unsafe { mremap_fixed(page, 0, self.page_bytes, flags, place) }.map(drop)
            }
        }
    }

    /// Takes the page of a word away whose entry is not on the list any more.
    pub(super) fn unmap(&mut self, entry: usize) {
        let pair = entry / self.page_bytes;
        let (place, flags) = (self.word_page(pair), RESERVED | MapFlags::FIXED);
        // SAFETY: a page of our reservation, which no entry on the list belongs to.
        let blank = unsafe { mmap_anonymous(place, self.page_bytes, ProtFlags::empty(), flags) };
        // If that failed, the pair is not used again, for the reason given in `map`.
        if blank.is_ok() {
            self.keep_from_children(pair);
            self.taken[pair] = false;
        }
    }

    /// Makes the private page of a pair writable. The lowest free pair is always taken, so it is at most the next.
    fn open(&mut self, pair: usize) -> rustix::io::Result<()> {
        if pair < self.open {
            return Ok(());
        }
        let rights = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: private pages of our reservation.
        unsafe { mprotect(self.page(pair), self.page_bytes, rights) }?;
        self.open = pair + 1;
        Ok(())
    }

    fn keep_from_children(&self, pair: usize) {
        // SAFETY: a page of our reservation. Should the kernel not want to, children keep it, and nothing else.
        let _ = unsafe { madvise(self.word_page(pair), self.page_bytes, Advice::LinuxDontFork) };
    }

    fn page(&self, pair: usize) -> *mut c_void {
        // SAFETY: the result lies in the reservation: the pages of words are followed up to `2 * PAIRS`.
        unsafe { self.base.add(pair * self.page_bytes) }.as_ptr().cast()
    }

    fn word_page(&self, pair: usize) -> *mut c_void {
        self.page(PAIRS + pair)
    }
}

/// When there is no helper: one that lives keeps its window.
impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: our reservation, all of it; no thread has a list there.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), 2 * self.distance()) };
    }
}

/// Addresses without memory.
const RESERVED: MapFlags = MapFlags::PRIVATE.union(MapFlags::NORESERVE);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn pairs_are_used_again_and_run_out() {
        let mut window = Window::reserve().unwrap();
        let file = rustix::fs::memfd_create("window", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 3 * window.page_bytes as u64).unwrap();
        let at = 2 * window.page_bytes as u64 + 24;
        let entries: Vec<usize> =
            (0..SLOTS).map(|_| window.map(&Source::File(file.as_fd()), at).unwrap()).collect();
        assert!(
            entries.iter().enumerate().all(|(slot, entry)| *entry == (slot + 1) * window.page_bytes + 24)
        );
        assert!(window.map(&Source::File(file.as_fd()), at).unwrap_err().to_string().contains("at most"));
        window.unmap(entries[1000]);
        assert_eq!(window.map(&Source::File(file.as_fd()), 8).unwrap(), 1001 * window.page_bytes + 8);
    }
}
