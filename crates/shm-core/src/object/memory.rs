//! Memory behind an object, now instead of at the first touch.

use crate::error::{Error, Result};
use rustix::fs::{self, FallocateFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::os::fd::BorrowedFd;

/// Gives `[from, to)` of the file memory and length. Leaves the length as it was when there is no room.
pub(super) fn allocate(descriptor: BorrowedFd<'_>, from: u64, to: u64, path: &str) -> Result<()> {
    /// A signal interrupts the call and undoes all of it: in pieces, even a large one comes to an end.
    const PIECE_BYTES: u64 = 256 << 20;
    let full = || Error::OutOfSpace { object: path.to_owned(), bytes: to };
    // Beyond this limit the kernel does not only refuse, it sends SIGXFSZ.
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| to > limit) {
        return Err(full());
    }
    let mut at = from;
    while at < to {
        let piece = PIECE_BYTES.min(to - at);
        if let Err(errno) = retry(|| fs::fallocate(descriptor, FallocateFlags::empty(), at, piece)) {
            // What was allocated so far goes back; the caller hears of the first failure only.
            let _ = retry(|| fs::ftruncate(descriptor, from));
            return Err(match errno {
                Errno::NOSPC | Errno::FBIG | Errno::DQUOT => full(),
                errno => Error::system("fallocate", path, errno),
            });
        }
        at += piece;
    }
    Ok(())
}

/// Makes a call again for as long as signals interrupt it.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
