//! Huge pages: fewer entries for the processor to look addresses up with, out of a pool that an administrator reserves.
//!
//! The kernel keeps one pool for each size. What is in a pool is lost for everything else, so most machines have empty
//! ones, and then whatever asks for huge pages is told so when it is made: not with a signal when it is touched.

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
}
