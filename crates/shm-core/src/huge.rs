//! Huge pages from the kernel's pool: whether to ask for them, and what the pool holds.

use crate::error::Cause;

/// Whether memory is to lie in huge pages of the machine's default size, from the pool that
/// `/proc/sys/vm/nr_hugepages` fills. (Transparent huge pages are another thing, and need no pool.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Ordinary pages.
    #[default]
    No,
    /// Huge pages, or an error that tells what the pool holds.
    Require,
    /// Huge pages if the pool has them and this user may, ordinary ones otherwise.
    Prefer,
}

/// What the pool of huge pages of the default size holds; `None` where the kernel has none, or there is no `/proc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Pages in the pool.
    pub total: Option<u64>,
    /// Pages that nobody has; some may be promised to somebody.
    pub free: Option<u64>,
    /// Bytes in a page.
    pub page_bytes: Option<u64>,
}

/// Looks at the pool. Changed by others at any time.
pub fn pool() -> Pool {
    parse(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// That the pool is to blame, with what it holds.
pub(crate) fn exhausted() -> Cause {
    let Pool { total, free, page_bytes } = pool();
    Cause::HugePool { free, total, page_bytes }
}

fn parse(meminfo: &str) -> Pool {
    let field = |name: &str| -> Option<u64> {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.trim().trim_end_matches(" kB").parse().ok()
    };
    Pool {
        total: field("HugePages_Total"),
        free: field("HugePages_Free"),
        page_bytes: field("Hugepagesize").and_then(|kib| kib.checked_mul(1024)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_read() {
        let text = "MemFree: 1 kB\nHugePages_Total:       5\nHugePages_Free:        2\nHugepagesize:       2048 kB\n";
        let expected = Pool { total: Some(5), free: Some(2), page_bytes: Some(2 << 20) };
        assert_eq!(parse(text), expected);
        assert_eq!(parse("MemFree: 1 kB\n"), Pool::default());
    }
}
