//! Record locks of open file descriptions: what the kernel knows of who lives.
//!
//! A lock belongs to the descriptor that [`Options::open`](crate::Options::open) returned, is taken on
//! one byte, and goes when the last copy of that descriptor closes: at the latest when its process
//! dies, however it dies. It is the only thing in this project that says that somebody is gone.
//!
//! A lock that says that somebody lives is never taken back by `F_UNLCK`: a forked child could free its parent's
//! that way. Closing the descriptor does it. Probing asks (`F_OFD_GETLK`) and never takes: a prober stopped
//! while it held a lock would make a dead seat look alive.

#![allow(unsafe_code)] // fcntl with a struct flock; rustix has no record locks of descriptions

use crate::error::{Error, Result};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Everybody who uses an object holds this byte of it shared; whoever removes an unused one, exclusively.
pub const PRESENCE_BYTE: u64 = 0;
/// Whoever removes an object's name holds this byte exclusively.
pub const REMOVAL_BYTE: u64 = 1;

/// How a byte is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// Takes a lock without waiting; `false` when somebody else's stands against it.
///
/// # Errors
/// When the file system has no such locks, or the descriptor's access does not allow this one.
pub fn try_lock(file: impl AsFd, byte: u64, lock: Lock) -> Result<bool> {
    #[cfg(loom)]
    return Ok(crate::model::kernel::try_lock(file.as_fd().as_raw_fd(), byte));
    let kind = match lock {
        Lock::Shared => libc::F_RDLCK,
        Lock::Exclusive => libc::F_WRLCK,
    };
    match call(file, libc::F_OFD_SETLK, &mut record(byte, kind)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(source) => {
            Err(Error::System { call: "fcntl(F_OFD_SETLK)", object: format!("byte {byte}"), source })
        }
    }
}

/// Takes a lock back that this very call's caller took a moment ago, for a piece of work that is done. Never call it
/// where a forked child may come along, such as in `Drop`: the lock belongs to the parent as well.
///
/// # Errors
/// When the file system has no such locks.
pub fn unlock(file: impl AsFd, byte: u64) -> Result<()> {
    #[cfg(loom)]
    return Ok(crate::model::kernel::unlock(file.as_fd().as_raw_fd(), byte));
    call(file, libc::F_OFD_SETLK, &mut record(byte, libc::F_UNLCK)).map_err(|source| Error::System {
        call: "fcntl(F_OFD_SETLK)",
        object: format!("byte {byte}"),
        source,
    })
}

/// Whether nobody but this descriptor holds any lock on the byte. Takes nothing. Reading rights are enough.
///
/// # Errors
/// When the file system has no such locks.
pub fn is_free(file: impl AsFd, byte: u64) -> Result<bool> {
    #[cfg(loom)]
    return Ok(crate::model::kernel::is_free(file.as_fd().as_raw_fd(), byte));
    let mut record = record(byte, libc::F_WRLCK);
    match call(file, libc::F_OFD_GETLK, &mut record) {
        Ok(()) => Ok(i32::from(record.l_type) == libc::F_UNLCK),
        Err(source) => {
            Err(Error::System { call: "fcntl(F_OFD_GETLK)", object: format!("byte {byte}"), source })
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // both are small constants of a C header
fn record(byte: u64, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte.cast_signed(),
        l_len: 1,
        l_pid: 0, // must be zero for locks of open file descriptions
    }
}

fn call(file: impl AsFd, command: libc::c_int, record: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open while it is borrowed, and `record` is a valid `struct flock`
        // that the kernel may read and write for the length of the call.
        let result = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, std::ptr::from_mut(record)) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
