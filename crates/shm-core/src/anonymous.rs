//! Shared memory without a name: a process and the children that it forks afterwards have it in common, and nobody
//! else.
//!
//! What is stored in it by parent or child is seen by the other: the mapping is shared (`MAP_SHARED`), which forks
//! leave as it is, and nothing in this crate wipes it or keeps it from children (see [`crate::fork`] for what is).
//! It lies at the same address in all of them. An exec ends it for the process that executes; the end of the last
//! process that has it, killed or not, ends it for good. Nothing can be left over.
//!
//! The kernel promises the memory when it is mapped, as far as `/proc/sys/vm/overcommit_memory` demands, and gives it
//! page by page at the first touch. By default it promises more than it has: then a touch may end this or another
//! process as out of memory. Huge pages are set aside when they are mapped.
//!
//! ```
//! let region = shm_core::anonymous::map(5000)?;
//! region.copy_in(4995, b"hello")?;
//! // A child that is forked now reads it there.
//! assert_eq!(region.read_value::<[u8; 5]>(4995)?, *b"hello");
//! # Ok::<(), shm_core::Error>(())
//! ```

#![allow(unsafe_code)] // mappings that memmap2 does not make: its anonymous ones are private

use crate::error::{Cause, Error, Result};
use crate::fork::Descriptor;
use crate::huge::HugePages;
use crate::region::{Access, Held, Region};
use crate::system::page_bytes;
use core::ptr::NonNull;
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Maps `bytes` zero bytes that this process shares with the children it forks from now on.
///
/// # Errors
/// [`Error::ZeroLength`]; [`Error::Refused`] when the kernel does not promise so much memory.
pub fn map(bytes: u64) -> Result<Region> {
    map_in(bytes, None)
}

/// The same, in huge pages; with the bytes in each page that it got.
///
/// # Errors
/// As [`map`], and [`Error::Refused`] with what the pool holds when it has too few and ordinary ones will not do.
///
/// ```
/// use shm_core::{HugePages, anonymous};
/// let (region, page_bytes) = anonymous::map_huge(4096, HugePages::of(2 << 20).or_ordinary())?;
/// assert!(region.bytes() == 4096 && page_bytes >= 4096);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn map_huge(bytes: u64, huge_pages: HugePages) -> Result<(Region, u64)> {
    match map_in(bytes, Some(huge_pages)) {
        Err(Error::Refused { .. }) if huge_pages.falls_back() => {}
        mapped => return mapped.map(|region| (region, huge_pages.page_bytes())),
    }
    map(bytes).map(|region| (region, page_bytes() as u64))
}

/// Maps `bytes` zero bytes through `/dev/zero`: the same memory by an older way, for systems that refuse
/// `MAP_ANONYMOUS`.
///
/// # Errors
/// As [`map`]; [`Error::Refused`] when there is no `/dev/zero` that can be opened, and [`Error::NotAnObject`] when
/// what has that name is something else, as it may be in a root directory of somebody's making.
pub fn dev_zero(bytes: u64) -> Result<Region> {
    const PATH: &str = "/dev/zero";
    if bytes == 0 {
        return Err(Error::ZeroLength { object: PATH.to_owned() });
    }
    let refused = |call, errno: Errno| refused(call, PATH, bytes, cause(errno, None), errno);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file =
        Descriptor::open(|| fs::open(PATH, flags, Mode::empty())).map_err(|errno| refused("open", errno))?;
    let stat = fs::fstat(&file).map_err(|errno| refused("fstat", errno))?;
    let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || device != (1, 5) {
        return Err(Error::NotAnObject { object: PATH.to_owned(), found: "not the device of zeros" });
    }
    let length = usize::try_from(bytes).map_err(|_| refused("mmap(MAP_SHARED)", Errno::NOMEM))?;
    let mapped = memmap2::MmapOptions::new().len(length).map_raw(&std::os::fd::AsFd::as_fd(&file));
    let mapping = mapped.map_err(|source| {
        // Lengths that fit in no address space are refused without a system call, and without an errno.
        refused("mmap(MAP_SHARED)", Errno::from_io_error(&source).unwrap_or(Errno::NOMEM))
    })?;
    Region::from_mapping(mapping, Access::ReadWrite)
}

fn map_in(bytes: u64, huge_pages: Option<HugePages>) -> Result<Region> {
    const MEMORY: &str = "anonymous memory";
    if bytes == 0 {
        return Err(Error::ZeroLength { object: MEMORY.to_owned() });
    }
    let call = match huge_pages {
        None => "mmap(MAP_SHARED|MAP_ANONYMOUS)",
        Some(_) => "mmap(MAP_SHARED|MAP_ANONYMOUS|MAP_HUGETLB)",
    };
    let refused = |errno: Errno| refused(call, MEMORY, bytes, cause(errno, huge_pages), errno);
    let (page, flags) = match huge_pages {
        None => (page_bytes() as u64, MapFlags::SHARED),
        // Of sizes that are none there are no pages: the kernel's own answer for those.
        Some(wanted) => {
            let size = wanted.size_flag().ok_or_else(|| refused(Errno::INVAL))?;
            (wanted.page_bytes(), MapFlags::SHARED | MapFlags::HUGETLB | MapFlags::from_bits_retain(size))
        }
    };
    // Whole pages: what is not, can not be unmapped where pages are huge.
    let whole = bytes.checked_next_multiple_of(page).and_then(|whole| isize::try_from(whole).ok());
    let whole = whole.ok_or_else(|| refused(Errno::NOMEM))?.unsigned_abs();
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping where the kernel likes.
    let base = unsafe { mmap_anonymous(core::ptr::null_mut(), whole, rights, flags) }.map_err(refused)?;
    let base = NonNull::new(base.cast()).ok_or_else(|| refused(Errno::NOMEM))?;
    let length = usize::try_from(bytes).map_err(|_| refused(Errno::NOMEM))?;
    // SAFETY: at least `length` bytes are mapped there for reading and writing, until this is dropped.
    unsafe { Region::from_held(Box::new(Mapping { base, bytes: whole }), length, Access::ReadWrite) }
}

fn cause(errno: Errno, huge_pages: Option<HugePages>) -> Cause {
    match (errno, huge_pages) {
        (Errno::NOMEM | Errno::INVAL, Some(wanted)) => Cause::huge_pool(wanted),
        (Errno::NOMEM, None) => Cause::OutOfMemory,
        _ => Cause::Other,
    }
}

fn refused(call: &'static str, memory: &str, bytes: u64, cause: Cause, errno: Errno) -> Error {
    Error::Refused { call, object: memory.to_owned(), bytes, cause, source: errno.into() }
}

/// Unmapped when dropped; by a forked child its own copy, which changes nothing for others.
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: an address, which any thread may unmap; the memory is reached as every region's is.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Held for Mapping {
    fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped there by us in this length, and the region, words and events on it are gone.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of this process's map that begins at the address.
    fn line_of(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().find(|line| line.starts_with(&format!("{address:x}-"))).map(str::to_owned)
    }

    #[test]
    fn both_ways_map_shared_zeros_of_any_length() {
        for way in [map as fn(u64) -> Result<Region>, dev_zero] {
            for bytes in [1, 4095, 4096, 4097, 1_000_000] {
                let region = way(bytes).unwrap();
                assert_eq!((region.bytes() as u64, region.access()), (bytes, Access::ReadWrite));
                let last = region.bytes() - 1;
                assert_eq!(region.read_value::<u8>(last).unwrap(), 0);
                region.write_value(last, &7_u8).unwrap();
                assert_eq!(region.read_value::<u8>(last).unwrap(), 7);
                assert!(region.write_value(last + 1, &7_u8).is_err());
                let line = line_of(region.address()).unwrap();
                assert!(line.contains(" rw-s "), "not shared: {line}");
            }
            assert!(matches!(way(0), Err(Error::ZeroLength { .. })));
        }
    }

    #[test]
    fn the_last_region_or_word_unmaps() {
        for way in [map as fn(u64) -> Result<Region>, dev_zero] {
            // Of this length nothing else is mapped: other tests map at the same time.
            let region = way(777 * page_bytes() as u64).unwrap();
            let address = region.address();
            let length = |line: &str| -> Option<usize> {
                let (from, to) = line.split_once(' ')?.0.split_once('-')?;
                Some(usize::from_str_radix(to, 16).ok()? - usize::from_str_radix(from, 16).ok()?)
            };
            let is_mapped = || line_of(address).is_some_and(|line| length(&line) == Some(777 * page_bytes()));
            let word = region.word::<u64>(8).unwrap();
            drop(region);
            assert!(is_mapped());
            word.store(1, crate::sync::Ordering::Relaxed); // test
            drop(word);
            assert!(!is_mapped());
        }
    }

    #[test]
    fn too_much_is_an_error_that_says_so() {
        for bytes in [1 << 60, u64::MAX - 1, u64::MAX] {
            for (way, call) in [
                (
                    map as fn(u64) -> Result<Region>,
                    "mmap(MAP_SHARED|MAP_ANONYMOUS) failed on anonymous memory of ",
                ),
                (dev_zero, "mmap(MAP_SHARED) failed on /dev/zero of "),
            ] {
                let error = way(bytes).unwrap_err();
                let expected = format!("{call}{bytes} bytes: Cannot allocate memory (os error 12): ");
                assert!(error.to_string().starts_with(&expected), "{error}");
                assert!(matches!(error, Error::Refused { cause: Cause::OutOfMemory, .. }), "{error}");
            }
        }
    }

    #[test]
    fn huge_pages_are_had_or_told() {
        // More than any pool holds, and a size that there is not.
        for (bytes, page_bytes) in [(1 << 46, 2 << 20), (1, 3 << 20), (1, 1 << 13)] {
            let error = map_huge(bytes, HugePages::of(page_bytes)).unwrap_err();
            let Error::Refused { cause: Cause::HugePool { page_bytes: told, .. }, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(told, page_bytes);
            assert!(error.to_string().contains("fall back to ordinary pages"), "{error}");
        }
        // In ordinary ones, where there is no pool.
        let (region, page) = map_huge(5000, HugePages::of(2 << 20).or_ordinary()).unwrap();
        assert_eq!(region.bytes(), 5000);
        assert!(page == page_bytes() as u64 || page == 2 << 20, "{page}");
        region.write_value(4999, &1_u8).unwrap();
    }
}
