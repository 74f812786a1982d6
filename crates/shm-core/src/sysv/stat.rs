//! What the kernel says of a segment.

use super::Key;
use crate::system::page_bytes;
use libc::shmid_ds;
use rustix::process::{Pid, test_kill_process};
use std::time::{Duration, SystemTime};

/// Mode bits by which the kernel tells something else (`SHM_DEST`, `SHM_LOCKED`).
const MARKED_FOR_REMOVAL: u32 = 0o1000;
const LOCKED: u32 = 0o2000;

/// What the kernel says of a segment, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its id, by which everybody in this IPC namespace may mean it.
    pub id: i32,
    /// Its key; `None` when it is private or marked for removal, which takes the key from it.
    pub key: Option<Key>,
    /// Its size in bytes, as it was asked for.
    pub bytes: u64,
    /// The bytes that it takes: whole pages. Those of huge pages are counted in such only by the handle that created
    /// it, for the kernel does not tell; see [`Segment::page_bytes`](super::Segment::page_bytes).
    pub rounded_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// The user who owns it.
    pub owner_uid: u32,
    /// The group that owns it.
    pub owner_gid: u32,
    /// The user who created it, and keeps an owner's rights.
    pub creator_uid: u32,
    /// The group of the process that created it.
    pub creator_gid: u32,
    /// The process that created it, which may be gone, and whose number may be another process's by now. `None`
    /// when it lives or lived in a pid namespace of which this process sees nothing.
    pub creator_pid: Option<u32>,
    /// The process that attached or detached it last; `None` when there was none, and as above.
    pub last_pid: Option<u32>,
    /// How often it is attached, in all processes.
    pub attach_count: u64,
    /// When it was attached last, in whole seconds; `None` when it never was.
    pub attached: Option<SystemTime>,
    /// When it was detached last, in whole seconds; `None` when it never was.
    pub detached: Option<SystemTime>,
    /// When it was created, or its owner, group or mode was set last, in whole seconds.
    pub changed: Option<SystemTime>,
    /// Whether it goes when it is no longer attached.
    pub marked_for_removal: bool,
    /// Whether its pages stay in memory.
    pub locked: bool,
}

impl Stat {
    #[allow(clippy::unnecessary_cast)] // field widths differ between targets
    pub(super) fn new(id: i32, raw: &shmid_ds, segment_page_bytes: Option<u64>) -> Self {
        let mode = raw.shm_perm.mode as u32;
        let bytes = raw.shm_segsz as u64;
        let page = segment_page_bytes.unwrap_or(page_bytes() as u64);
        Self {
            id,
            key: Key::checked(raw.shm_perm.__key),
            bytes,
            rounded_bytes: bytes.checked_next_multiple_of(page).unwrap_or(u64::MAX),
            mode: mode & 0o777,
            owner_uid: raw.shm_perm.uid,
            owner_gid: raw.shm_perm.gid,
            creator_uid: raw.shm_perm.cuid,
            creator_gid: raw.shm_perm.cgid,
            creator_pid: pid(raw.shm_cpid),
            last_pid: pid(raw.shm_lpid),
            attach_count: raw.shm_nattch as u64,
            attached: time(raw.shm_atime as i64),
            detached: time(raw.shm_dtime as i64),
            changed: time(raw.shm_ctime as i64),
            marked_for_removal: mode & MARKED_FOR_REMOVAL != 0,
            locked: mode & LOCKED != 0,
        }
    }

    /// Whether the process that created it is certainly gone: no process has its number. `false` proves nothing, as
    /// the number may be another process's by now, or be unknown here.
    pub fn creator_is_gone(&self) -> bool {
        let pid = self.creator_pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }

    /// Whether nobody has it attached and its creator is gone: probably what a killed program left. A program may
    /// leave a segment for others on purpose, so this is for showing to people who know theirs.
    pub fn is_stale(&self) -> bool {
        self.attach_count == 0 && self.creator_is_gone()
    }
}

fn pid(raw: libc::pid_t) -> Option<u32> {
    u32::try_from(raw).ok().filter(|&pid| pid > 0)
}

fn time(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
