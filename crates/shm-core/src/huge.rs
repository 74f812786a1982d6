//! Huge pages: fewer entries for the processor to look addresses up with, out of a pool that an administrator reserves.
//!
//! The kernel keeps one pool for each size. What is in a pool is lost for everything else, so most machines have empty
//! ones, and then whatever asks for huge pages is told [`Error::OutOfHugePages`] when it is made: not
//! with a signal when it is touched.

use crate::error::{Error, Result};
use rustix::fs;
use std::os::fd::AsFd;

/// `HUGETLBFS_MAGIC` of the kernel's `linux/magic.h`.
const HUGETLBFS: u64 = 0x9584_58f6;

/// Pages of which size something is made, and what happens when there are none.
///
/// ```
/// use shm_core::HugePages;
/// let wanted = HugePages::of(2 << 20).or_ordinary();
/// assert_eq!(wanted.page_bytes(), 2 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    page_bytes: u64,
    ordinary_will_do: bool,
}

impl HugePages {
    /// Pages of `page_bytes` bytes, a power of two that this machine [offers](pools). Fewer free ones
    /// than needed are an error.
    pub const fn of(page_bytes: u64) -> Self {
        Self { page_bytes, ordinary_will_do: false }
    }

    /// Take ordinary pages where there are no, or too few, huge ones.
    #[must_use]
    pub const fn or_ordinary(self) -> Self {
        Self { ordinary_will_do: true, ..self }
    }

    /// Bytes in one page.
    pub const fn page_bytes(self) -> u64 {
        self.page_bytes
    }

    /// Whether ordinary pages will do instead.
    pub const fn falls_back(self) -> bool {
        self.ordinary_will_do
    }

    /// What `memfd_create`, `mmap` and `shmget` take for the size; `None` when it is not a power of two.
    pub(crate) fn size_flag(self) -> Option<u32> {
        /// `MFD_HUGE_SHIFT`, `MAP_HUGE_SHIFT` and `SHM_HUGE_SHIFT` are the same.
        const SHIFT: u32 = 26;
        self.page_bytes.is_power_of_two().then(|| self.page_bytes.trailing_zeros() << SHIFT)
    }
}

/// The pool of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pool {
    /// Bytes in one page.
    pub page_bytes: u64,
    /// Pages in the pool.
    pub pages: u64,
    /// Pages of it that are free and not promised to anybody.
    pub free_pages: u64,
}

/// The pools of this machine, the smallest pages first; none where the kernel has no huge pages, or `/sys` is missing.
pub fn pools() -> Vec<Pool> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut pools: Vec<Pool> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let kib: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let count = |file: &str| -> Option<u64> {
                std::fs::read_to_string(entry.path().join(file)).ok()?.trim().parse().ok()
            };
            let free_pages = count("free_hugepages")?.saturating_sub(count("resv_hugepages")?);
            Some(Pool { page_bytes: kib.checked_mul(1024)?, pages: count("nr_hugepages")?, free_pages })
        })
        .collect();
    pools.sort_unstable();
    pools
}

/// The error of `object`, which takes `bytes` bytes of pages of which too few are free.
pub(crate) fn out_of(object: &str, page_bytes: u64, bytes: u64) -> Error {
    let free_pages =
        pools().iter().find(|pool| pool.page_bytes == page_bytes).map_or(0, |pool| pool.free_pages);
    Error::OutOfHugePages { object: object.to_owned(), page_bytes, bytes, free_pages }
}

/// The error of `object`, which asks for pages of a size that there is not.
pub(crate) fn no_such_size(object: &str, page_bytes: u64) -> Error {
    let sizes: Vec<String> = pools().iter().map(|pool| format!("{} bytes", pool.page_bytes)).collect();
    let offered = if sizes.is_empty() { "no size".to_owned() } else { sizes.join(", ") };
    Error::NoSuchPageSize { object: object.to_owned(), page_bytes, offered }
}

/// Bytes in a page of an open file.
pub(crate) fn page_bytes(file: impl AsFd, path: &str) -> Result<u64> {
    Ok(huge_page_bytes(file, path)?.unwrap_or(rustix::param::page_size() as u64))
}

/// Bytes in a page of an open file, if it is made of huge pages.
pub(crate) fn huge_page_bytes(file: impl AsFd, path: &str) -> Result<Option<u64>> {
    let found = fs::fstatfs(file).map_err(|errno| Error::system("fstatfs", path, errno))?;
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the fields' types differ between targets
    Ok((found.f_type as u64 & 0xffff_ffff == HUGETLBFS).then_some(found.f_bsize as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(HugePages::of(2 << 20).size_flag(), Some(21 << 26));
        assert_eq!(HugePages::of(1 << 30).size_flag(), Some(30 << 26));
        assert_eq!(HugePages::of(0).size_flag(), None);
        assert_eq!(HugePages::of(3 << 20).size_flag(), None);
    }

    #[test]
    fn errors_say_what_there_is() {
        let error = out_of("it", 3, 6).to_string();
        assert!(error.contains("0 pages of 3 bytes are free"), "{error}");
        let sizes = pools();
        let error = no_such_size("it", 3).to_string();
        assert!(sizes.iter().all(|pool| error.contains(&pool.page_bytes.to_string())), "{error}");
    }
}
