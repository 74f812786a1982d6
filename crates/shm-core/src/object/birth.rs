//! How an object comes to its name without ever being seen half-made.
//!
//! The usual way is an unnamed file, linked when it is complete. `AT_EMPTY_PATH` would need a
//! capability on older kernels, so the link goes through `/proc/self/fd`.
//!
//! Without `O_TMPFILE` or `/proc` the file is made under a temporary name, `.shmring-birth-PID-RANDOM`,
//! completed, and renamed to its own name without replacing anything; where the file system has no such
//! rename, it is linked to its own name and the temporary name unlinked. A creator killed on this way
//! leaves the temporary name, or on the last one an object with two names. Such a name is told from one
//! in use by a lock: its creator holds the removal byte for as long as it works. The next creator on
//! this way, and everybody who meets an object with two names, sweeps up what nobody holds.

use super::{Directory, Object, Options, allocate, retry, stat};
use crate::error::{Error, Result};
use crate::fork::Descriptor;
use crate::header::Identity;
use crate::lock::{self, Lock};
use crate::name::{BIRTH_PREFIX, Name};
use crate::region::{Access, Region};
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const MODE_UNTIL_COMPLETE: Mode = Mode::RUSR.union(Mode::WUSR);
pub(super) const MODE_DEFAULT: u32 = 0o600;

/// The unnamed file of a new object, with the temporary name it may need.
struct Unborn {
    object: Object,
    temporary: Option<Temporary>,
}

/// A temporary name; unlinked when this goes out of scope.
struct Temporary {
    directory: OwnedFd,
    name: String,
    /// A second descriptor, whose removal lock says that the name's creator lives.
    birth: Option<Descriptor>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Should this fail, the name is swept up by the next creator.
        let _ = fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
    }
}

pub(super) fn create_file(
    options: &Options,
    name: &Name,
    bytes: u64,
    initialise: impl FnOnce(&Region) -> Result<()>,
) -> Result<Object> {
    let path = options.directory.show(name);
    if bytes == 0 {
        return Err(Error::ZeroLength { object: path });
    }
    let directory = options.directory.open()?;
    // Spares the work when the name is taken; the answer that counts is linkat's.
    if fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(Error::AlreadyExists { object: path });
    }
    let unborn = conceive(options, directory.as_fd(), path)?;
    let object = &unborn.object;
    // Not `open`'s mode argument: the umask would cut it.
    object.chmod(options.mode.unwrap_or(MODE_DEFAULT))?;
    allocate(object.as_fd(), 0, bytes, &object.path)?;
    initialise(&object.map(Access::ReadWrite)?)?;
    // Nobody else can hold it yet; taken before the name exists, so that no remover sees it unused.
    lock::try_lock(object, lock::PRESENCE_BYTE, Lock::Shared)?;
    link(&unborn, directory.as_fd(), name)?;
    Ok(unborn.object)
}

fn conceive(options: &Options, directory: BorrowedFd<'_>, path: String) -> Result<Unborn> {
    if !options.temporary_name && std::path::Path::new("/proc/self/fd").exists() {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match Descriptor::open(|| fs::openat(directory, ".", flags, MODE_UNTIL_COMPLETE)) {
            Ok(descriptor) => {
                return Ok(Unborn { object: Object::named(descriptor, path), temporary: None });
            }
            // Each of these is how a kernel or file system says that it has no O_TMPFILE.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(refused(path, errno)),
        }
    }
    sweep(&options.directory)?;
    loop {
        let directory = options.directory.open()?;
        let name = format!("{BIRTH_PREFIX}{}-{}", std::process::id(), Identity::random()?);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor = Descriptor::open(|| fs::openat(&directory, &name, flags, MODE_UNTIL_COMPLETE))
            .map_err(|errno| refused(path.clone(), errno))?;
        // From here on every way out unlinks the name.
        let mut temporary = Temporary { directory, name, birth: None };
        let object = Object::named(descriptor, path.clone());
        // The umask may have cut the mode, and then even its creator could not open the file again.
        object.chmod(MODE_UNTIL_COMPLETE.bits())?;
        let again = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let reopen = || fs::openat(&temporary.directory, &temporary.name, again, Mode::empty());
        let birth = match Descriptor::open(reopen) {
            Err(Errno::NOENT) => continue, // swept up before it was locked: once more
            opened => opened.map_err(|errno| refused(path.clone(), errno))?,
        };
        let birth = temporary.birth.insert(birth);
        let locked = lock::try_lock(birth, lock::REMOVAL_BYTE, Lock::Exclusive)?;
        // A sweeper may have been here between the two opens, or before the lock.
        if locked && object.stat()?.links > 0 {
            return Ok(Unborn { object, temporary: Some(temporary) });
        }
    }
}

fn refused(path: String, errno: Errno) -> Error {
    match errno {
        Errno::NOSPC | Errno::DQUOT => Error::OutOfSpace { object: path, bytes: 0 },
        errno => Error::system("open(O_TMPFILE)", path, errno),
    }
}

fn link(unborn: &Unborn, directory: BorrowedFd<'_>, name: &Name) -> Result<()> {
    let object = &unborn.object;
    let linked = retry(|| match &unborn.temporary {
        None => {
            let itself = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
            fs::linkat(fs::CWD, itself, directory, name.as_str(), AtFlags::SYMLINK_FOLLOW)
        }
        Some(temporary) => {
            // A rename has no moment with two names, in which an opener would refuse the object.
            let (old, new) = (temporary.name.as_str(), name.as_str());
            match fs::renameat_with(directory, old, directory, new, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => {
                    fs::linkat(directory, old, directory, new, AtFlags::empty())
                }
                renamed => renamed,
            }
        }
    });
    linked.map_err(|errno| match errno {
        Errno::EXIST => Error::AlreadyExists { object: object.path.clone() },
        Errno::NOSPC | Errno::DQUOT => Error::OutOfSpace { object: object.path.clone(), bytes: 0 },
        errno => Error::system("linkat", &object.path, errno),
    })
}

/// Unlinks temporary names whose creators are gone.
pub(super) fn sweep(directory: &Directory) -> Result<()> {
    let handle = directory.open()?;
    let entries = fs::Dir::read_from(&handle)
        .map_err(|errno| Error::system("readdir", directory.path().display(), errno))?;
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().ok().filter(|name| name.starts_with(BIRTH_PREFIX)) else {
            continue;
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = Descriptor::open(|| fs::openat(&handle, name, flags, Mode::empty())) else {
            continue; // somebody else's, or gone already
        };
        // Whoever gets the lock knows that the creator is gone, and that nobody else is sweeping this.
        if lock::try_lock(&file, lock::REMOVAL_BYTE, Lock::Exclusive)? {
            let same = fs::statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
                stat::of(&file, name).is_ok_and(|open| open.inode == stat::from_raw(&found).inode)
            });
            if same {
                let _ = fs::unlinkat(&handle, name, AtFlags::empty());
            }
        }
    }
    Ok(())
}
