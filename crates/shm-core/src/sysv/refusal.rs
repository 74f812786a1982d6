//! What the kernel's answers mean: which limit, which permission.

use super::{Key, call};
use crate::error::{Cause, Error};
use crate::huge::HugePages;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// What `shmget` was asked for.
#[derive(Clone, Copy)]
pub(super) struct Get {
    pub(super) key: Option<Key>,
    pub(super) bytes: u64,
    pub(super) creating: bool,
    pub(super) huge: Option<HugePages>,
}

impl Get {
    pub(super) fn refused(self, errno: Errno) -> Error {
        let cause = match errno {
            Errno::NOENT => Cause::NoSuchSegment,
            Errno::EXIST => Cause::Exists,
            Errno::ACCESS => Cause::Mode,
            Errno::INVAL if !self.creating => Cause::Smaller { found_bytes: self.found_bytes() },
            Errno::INVAL if limit("shmmax").is_some_and(|limit| self.bytes > limit) => too_large(),
            Errno::PERM if self.huge.is_some() => Cause::HugePagesForbidden,
            Errno::NOMEM | Errno::INVAL | Errno::NOSYS if self.huge.is_some() => {
                self.huge.map_or(Cause::Other, Cause::huge_pool)
            }
            Errno::INVAL => too_large(),
            Errno::NOMEM => Cause::OutOfMemory,
            Errno::NOSPC => out_of_space(),
            _ => Cause::Other,
        };
        let object = self.key.map_or_else(|| "a private System V segment".to_owned(), show_key);
        Error::Refused { call: "shmget", object, bytes: self.bytes, cause, source: errno.into() }
    }

    /// The size of the segment that was too small, if it still is and this user may know.
    fn found_bytes(self) -> Option<u64> {
        let id = call::get(self.key?.as_raw(), 0, 0).ok()?;
        let (_, raw) = call::stat(id, libc::IPC_STAT).ok()?;
        Some(raw.shm_segsz as u64)
    }
}

/// A call on a segment whose id was known.
pub(super) fn on_segment(call: &'static str, object: String, bytes: u64, errno: Errno) -> Error {
    let is_lock = call == super::segment::LOCK;
    let cause = match errno {
        Errno::INVAL | Errno::IDRM => Cause::NoSuchSegment,
        Errno::ACCESS => Cause::Mode,
        // Where nothing may be locked, the kernel does not even ask who owns the segment.
        Errno::PERM if is_lock && lock_limit() == Some(0) => Cause::LockLimit { limit_bytes: Some(0) },
        Errno::PERM => Cause::NotOwner,
        Errno::NOMEM if is_lock => Cause::LockLimit { limit_bytes: lock_limit() },
        Errno::NOMEM => Cause::OutOfMemory,
        _ => Cause::Other,
    };
    Error::Refused { call, object, bytes, cause, source: errno.into() }
}

/// A segment's name for people.
pub(super) fn show_key(key: Key) -> String {
    format!("the System V segment of key {key}")
}

fn too_large() -> Cause {
    Cause::TooLarge { limit_bytes: limit("shmmax") }
}

/// The kernel has one answer for two limits; the one that is reached was it.
fn out_of_space() -> Cause {
    let usage = call::usage().ok().map(|(_, usage)| usage);
    let segments = usage.and_then(|usage| u64::try_from(usage.segments).ok());
    match (limit("shmmni"), segments) {
        (Some(limit), Some(segments)) if segments >= limit => Cause::TooManySegments { limit: Some(limit) },
        _ => Cause::TooManyPages { limit_pages: limit("shmall"), used_pages: usage.map(|usage| usage.pages) },
    }
}

/// One of the limits of System V segments in this IPC namespace.
fn limit(name: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
}

fn lock_limit() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}
