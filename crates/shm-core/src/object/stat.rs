//! What the kernel says of an object.

use crate::error::{Error, Result};
use rustix::fs::{self, FileType};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

/// What the kernel says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub bytes: u64,
    /// How many bytes have memory behind them; less than the length where it has holes.
    pub allocated_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// The user who owns it.
    pub owner_uid: u32,
    /// The group that owns it.
    pub group_gid: u32,
    /// How many names it has; 0 after its removal.
    pub links: u64,
    /// Device and inode number: the same for everybody who has the same object open.
    pub inode: (u64, u64),
    /// Last read through a descriptor.
    pub accessed: SystemTime,
    /// Last write through a descriptor; stores through a mapping need not show here.
    pub modified: SystemTime,
    /// Last change of mode, owner, size or names.
    pub changed: SystemTime,
    /// Set when it is not a regular file: what it is instead.
    pub(crate) not_a_regular_file: Option<&'static str>,
}

pub(crate) fn of(file: impl AsFd, path: &str) -> Result<Stat> {
    let stat = fs::fstat(file).map_err(|errno| Error::system("fstat", path, errno))?;
    Ok(from_raw(&stat))
}

#[allow(clippy::unnecessary_cast)] // field widths differ between targets
pub(super) fn from_raw(stat: &fs::Stat) -> Stat {
    Stat {
        bytes: u64::try_from(stat.st_size).unwrap_or(0),
        allocated_bytes: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        mode: stat.st_mode as u32 & 0o7777,
        owner_uid: stat.st_uid,
        group_gid: stat.st_gid,
        links: stat.st_nlink as u64,
        inode: (stat.st_dev as u64, stat.st_ino as u64),
        accessed: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        not_a_regular_file: not_a_regular_file(stat.st_mode),
    }
}

fn time(seconds: i64, nanos: u64) -> SystemTime {
    let since = Duration::from_nanos(nanos);
    match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + since,
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}

/// What a file is, unless it is a regular one.
pub(super) fn not_a_regular_file(mode: rustix::fs::RawMode) -> Option<&'static str> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        FileType::Unknown => Some("something of an unknown kind"),
    }
}

/// Whether a file is on a file system that is memory, and gone when the machine stops.
pub(crate) fn lives_in_memory(file: impl AsFd, label: &str) -> Result<bool> {
    // TMPFS_MAGIC, RAMFS_MAGIC, HUGETLBFS_MAGIC of linux/magic.h
    const IN_MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];
    let found = fs::fstatfs(file).map_err(|errno| Error::system("fstatfs", label, errno))?;
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the field's type differs between targets
    Ok(IN_MEMORY.contains(&(found.f_type as u64 & 0xffff_ffff)))
}
