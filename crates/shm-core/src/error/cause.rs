//! Why the kernel refused memory, as far as its answer and its limits tell.

use crate::huge::{HugePages, pools};
use std::fmt;

/// Why the kernel refused memory that is no file, or something done to it. Its text says which limit or permission
/// it was, and what to do about it.
///
/// Limits are as they were when the error was made; `None` where they can not be read (`/proc` is missing).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No segment has this key or id.
    NoSuchSegment,
    /// A segment has this key, and it was to be created.
    Exists,
    /// The segment's mode does not let this user do that.
    Mode,
    /// Only the owner, the creator and root may do that.
    NotOwner,
    /// The segment is smaller than what was asked for.
    Smaller {
        /// How many bytes it has, where this user may know.
        found_bytes: Option<u64>,
    },
    /// More than one segment may have (SHMMAX).
    TooLarge {
        /// The limit.
        limit_bytes: Option<u64>,
    },
    /// As many segments as there may be exist (SHMMNI).
    TooManySegments {
        /// The limit.
        limit: Option<u64>,
    },
    /// All segments together would have more pages than they may (SHMALL).
    TooManyPages {
        /// The limit.
        limit_pages: Option<u64>,
        /// How many pages all segments have.
        used_pages: Option<u64>,
    },
    /// The kernel does not promise so much memory, or has no address space for it.
    OutOfMemory,
    /// The pool of huge pages of this size holds too few, or there is none.
    HugePool {
        /// Bytes in each page.
        page_bytes: u64,
        /// Free pages in the pool; `None` where there is no pool of that size.
        free_pages: Option<u64>,
    },
    /// This user may not have segments of huge pages.
    HugePagesForbidden,
    /// More than this process may lock in memory (RLIMIT_MEMLOCK).
    LockLimit {
        /// The limit; `None` where there is none.
        limit_bytes: Option<u64>,
    },
    /// Something else; the errno says what.
    Other,
}

impl Cause {
    /// That there are not enough of these huge pages, with what their pool holds now.
    pub(crate) fn huge_pool(wanted: HugePages) -> Self {
        let page_bytes = wanted.page_bytes();
        let pool = pools().into_iter().find(|pool| pool.page_bytes == page_bytes);
        Self::HugePool { page_bytes, free_pages: pool.map(|pool| pool.free_pages) }
    }
}

/// A number that may be unknown.
fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchSegment => f.write_str(
                "there is no such segment; it was removed or never created: create it (ipcs -m shows all)",
            ),
            Self::Exists => f.write_str(
                "a segment has this key; open it, remove it (ipcrm -M KEY), or choose another key",
            ),
            Self::Mode => f.write_str(
                "its mode does not allow it; ask its owner for a mode that does, or run as its owner",
            ),
            Self::NotOwner => f.write_str("only its owner, its creator and root may; run as one of them"),
            Self::Smaller { found_bytes } => write!(
                f,
                "the segment is smaller: {} bytes; open it with size 0, or remove it and create it anew",
                known(*found_bytes)
            ),
            Self::TooLarge { limit_bytes } => write!(
                f,
                "a segment may have SHMMAX = {} bytes; ask for less, or raise it (sysctl kernel.shmmax)",
                known(*limit_bytes)
            ),
            Self::TooManySegments { limit } => write!(
                f,
                "all SHMMNI = {} segments exist; remove stale ones (ipcs -m, ipcrm -m ID), or raise it \
                 (sysctl kernel.shmmni)",
                known(*limit)
            ),
            Self::TooManyPages { limit_pages, used_pages } => write!(
                f,
                "all segments together may have SHMALL = {} pages and have {}; remove stale ones (ipcs -m, \
                 ipcrm -m ID), ask for less, or raise it (sysctl kernel.shmall)",
                known(*limit_pages),
                known(*used_pages)
            ),
            Self::OutOfMemory => f.write_str(
                "the kernel does not promise that much; ask for less, free memory, or see \
                 /proc/sys/vm/overcommit_memory and ulimit -v",
            ),
            Self::HugePool { page_bytes, free_pages: Some(free) } => write!(
                f,
                "{free} huge pages of {page_bytes} bytes are free; enlarge the pool (sysctl vm.nr_hugepages), ask for \
                 less, or let it fall back to ordinary pages"
            ),
            Self::HugePool { page_bytes, free_pages: None } => write!(
                f,
                "this machine has no huge pages of {page_bytes} bytes; choose a size that \
                 /sys/kernel/mm/hugepages shows, or let it fall back to ordinary pages"
            ),
            Self::HugePagesForbidden => f.write_str(
                "this user may not have segments of huge pages; enter a group of theirs in \
                 /proc/sys/vm/hugetlb_shm_group, or let it fall back to ordinary pages",
            ),
            Self::LockLimit { limit_bytes } => write!(
                f,
                "RLIMIT_MEMLOCK is {} bytes; lock less, or raise it (ulimit -l)",
                known(*limit_bytes)
            ),
            Self::Other => f.write_str("see the manual page of the call"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_says_what_to_do() {
        let some = Some(7);
        let causes = [
            (Cause::NoSuchSegment, "create it"),
            (Cause::Exists, "choose another key"),
            (Cause::Mode, "run as its owner"),
            (Cause::NotOwner, "run as one of them"),
            (Cause::Smaller { found_bytes: some }, "7 bytes; open it"),
            (Cause::TooLarge { limit_bytes: None }, "SHMMAX = unknown bytes; ask for less"),
            (Cause::TooManySegments { limit: some }, "SHMMNI = 7 segments exist; remove"),
            (
                Cause::TooManyPages { limit_pages: some, used_pages: some },
                "SHMALL = 7 pages and have 7; remove",
            ),
            (Cause::OutOfMemory, "ask for less"),
            (
                Cause::HugePool { page_bytes: 9, free_pages: some },
                "7 huge pages of 9 bytes are free; enlarge the pool",
            ),
            (Cause::HugePool { page_bytes: 9, free_pages: None }, "no huge pages of 9 bytes; choose a size"),
            (Cause::HugePagesForbidden, "hugetlb_shm_group"),
            (Cause::LockLimit { limit_bytes: some }, "RLIMIT_MEMLOCK is 7 bytes; lock less"),
            (Cause::Other, "manual page"),
        ];
        for (cause, advice) in causes {
            assert!(cause.to_string().contains(advice), "{cause}");
        }
    }
}
