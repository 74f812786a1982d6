//! What this kernel and this machine offer.

use crate::error::{Error, Result};
use crate::object::Directory;
use crate::region::Region;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, futex, membarrier, membarrier_query};
use std::sync::OnceLock;

/// Room in the file system of named objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes in the file system; 0 where it sets no limit.
    pub total_bytes: u64,
    /// Bytes still free.
    pub free_bytes: u64,
    /// Objects that may still be created.
    pub free_objects: u64,
}

/// Total and free room for named objects.
///
/// # Errors
/// When the directory can not be asked.
pub fn room(directory: &Directory) -> Result<Room> {
    let path = directory.path();
    let stat = fs::statvfs(path).map_err(|errno| Error::system("statvfs", path.display(), errno))?;
    Ok(Room {
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        free_objects: stat.f_favail,
    })
}

/// Whether the directory's file system makes files without a name, the best way to atomic birth.
pub fn has_unnamed_files(directory: &Directory) -> bool {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    fs::open(directory.path(), flags, Mode::RUSR | Mode::WUSR).is_ok()
}

/// Which run of the machine this is: a random number that the kernel makes when it starts. `None` where `/proc` can
/// not be read.
pub fn boot_id() -> Option<[u8; 16]> {
    static BOOT_ID: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    *BOOT_ID.get_or_init(|| parse_boot_id(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?))
}

/// Thirty-two hexadecimal digits, with dashes between them.
fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&character| character != '-').collect();
    let is_one = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_one.then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(number.to_be_bytes())
}

/// Whether one thread can wait on several futexes (`futex_waitv`, Linux 5.16). A container's filter that
/// forbids it counts as absence.
pub fn has_futex_waitv() -> bool {
    // An empty list is refused with EINVAL by a kernel that knows the call, with ENOSYS or EPERM otherwise.
    match futex::waitv(&[], futex::WaitvFlags::empty(), None, rustix::thread::ClockId::Monotonic) {
        Err(Errno::INVAL) | Ok(_) => true,
        Err(_) => false,
    }
}

/// Whether a sleeper can have its fence executed by publishers that run (`membarrier`, Linux 4.16).
pub fn has_membarrier() -> bool {
    let commands = membarrier_query();
    commands.contains_command(MembarrierCommand::GlobalExpedited)
        && commands.contains_command(MembarrierCommand::RegisterGlobalExpedited)
}

/// Registers this process as a publisher whose running threads a sleeper's [`heavy_fence`] reaches;
/// `false` when the kernel has no such thing.
pub fn register_for_heavy_fences() -> bool {
    #[cfg(loom)]
    return crate::model::kernel::has_membarrier();
    #[cfg(not(loom))]
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// A full fence here and on every processor that runs a registered process; `false` when the kernel
/// refuses, in which case not even a fence here was executed.
pub fn heavy_fence() -> bool {
    #[cfg(loom)]
    return crate::model::kernel::membarrier();
    #[cfg(not(loom))]
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

/// Processors that are online, whether or not this process may run on all of them; at least 1.
pub fn processors() -> usize {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let count = |range: &str| -> Option<usize> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    let counted: Option<usize> = online.trim().split(',').map(count).sum();
    counted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Bytes in a page.
pub fn page_bytes() -> usize {
    rustix::param::page_size()
}

/// Touches every page of a region for reading, so that later loads do not fault.
///
/// # Errors
/// [`Error::OutOfBounds`] never; the signature is that of the copies it makes.
pub fn touch(region: &Region) -> Result<()> {
    (0..region.bytes()).step_by(page_bytes()).try_for_each(|offset| region.read_value::<u8>(offset).map(drop))
}
