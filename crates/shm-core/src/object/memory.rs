//! Memory behind an object, now instead of at the first touch; and what mappings of it are made through.

use super::stat;
use crate::error::{Error, Result};
use crate::region::Access;
use rustix::fs::{self, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Gives `[from, to)` of the file memory and length. Leaves the length as it was when there is no room.
pub(crate) fn allocate(descriptor: BorrowedFd<'_>, from: u64, to: u64, path: &str) -> Result<()> {
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

/// The same file, opened once more.
///
/// A mapping keeps what it was made through open, and so all locks that are held on it: beyond the closing of the
/// descriptor, and in every forked child, which gets the mappings too. What this returns has no locks.
///
/// `None` where there is no `/proc`, or where the file may not be opened (any more): its locks then go
/// when descriptor and mappings are gone, in children as well. `None` also where the descriptor does not allow
/// the access.
pub(crate) fn without_locks(file: BorrowedFd<'_>, access: Access) -> Option<OwnedFd> {
    let rights = if access == Access::ReadWrite { OFlags::RDWR } else { OFlags::RDONLY };
    // Nobody gets rights by this that the descriptor does not give.
    let given = fs::fcntl_getfl(file).ok()? & OFlags::ACCMODE;
    if given != OFlags::RDWR && given != rights {
        return None;
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = rights | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let again = fs::open(&path, flags, Mode::empty()).ok()?;
    let inode = |file| Some(stat::of(file, &path).ok()?.inode);
    (inode(file)? == inode(std::os::fd::AsFd::as_fd(&again))?).then_some(again)
}

/// Makes a call again for as long as signals interrupt it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lock::{self, Lock};
    use crate::{Access, Name, Options};

    #[test]
    fn a_mapping_holds_no_lock() {
        let _closed = crate::fork::alone::nobody_starts();
        let name = Name::new(&format!("shm-core-unlocked-{}", std::process::id())).unwrap();
        let object = Options::new().create(&name, 4096).unwrap();
        let another = Options::new().open(&name, Access::ReadWrite).unwrap();
        Options::new().unlink(&name).unwrap();
        let regions = [Access::ReadOnly, Access::ReadWrite].map(|access| object.map(access).unwrap());
        assert!(lock::try_lock(&object, 7, Lock::Exclusive).unwrap());
        assert!(!lock::is_free(&another, 7).unwrap());
        drop(object);
        assert!(lock::is_free(&another, 7).unwrap());
        drop(regions);
    }
}
