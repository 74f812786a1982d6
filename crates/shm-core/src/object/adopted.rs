//! Objects that came as a descriptor, not by a name.

use super::handle::Body;
use super::{Object, stat, without_locks};
use crate::error::{Error, Result};
use crate::fork::Descriptor;
use crate::region::{Access, Region};
use rustix::fs::{self, OFlags};
use std::os::fd::{AsFd, OwnedFd};

impl Object {
    /// An object of a descriptor that another process sent (see [`crate::pass`]), or that was opened by other means: a
    /// memfd, a file. `label` stands for its name in errors.
    ///
    /// The object gets an open file description of its own, by way of `/proc`, so that the locks on it are its own, and
    /// not also those of whoever sent the descriptor. Where that can not be, because the mode does not let this user
    /// open it or there is no `/proc`, the descriptor is used itself: [`has_own_locks`](Self::has_own_locks)
    /// says so, and [`attend`](Self::attend) and [`resize`](Self::resize) are refused.
    ///
    /// Nothing is said about whether its sender can be trusted: look with
    /// [`seal::Expectation`](crate::seal::Expectation) before mapping what a stranger sent.
    ///
    /// # Errors
    /// [`Error::WrongDescriptor`] when nothing can be mapped through it.
    pub fn from_descriptor(descriptor: OwnedFd, label: &str) -> Result<Self> {
        let wrong =
            |found: &str| Error::WrongDescriptor { object: label.to_owned(), found: found.to_owned() };
        let stat = stat::of(&descriptor, label)?;
        if let Some(found) = stat.not_a_regular_file {
            return Err(wrong(found));
        }
        let flags =
            fs::fcntl_getfl(&descriptor).map_err(|errno| Error::system("fcntl(F_GETFL)", label, errno))?;
        // Opened anew, it would give rights that it does not have now.
        if flags.contains(OFlags::PATH) {
            return Err(wrong("a descriptor opened with O_PATH, through which nothing can be mapped"));
        }
        let access = match flags & OFlags::ACCMODE {
            OFlags::RDWR => Access::ReadWrite,
            OFlags::WRONLY => {
                return Err(wrong("a descriptor for writing only, through which nothing can be mapped"));
            }
            _ => Access::ReadOnly,
        };
        let mut own_locks = true;
        let descriptor = Descriptor::open(|| match without_locks(descriptor.as_fd(), access) {
            Some(again) => Ok(again),
            None => {
                own_locks = false;
                rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
                Ok(descriptor)
            }
        });
        let descriptor =
            descriptor.map_err(|errno: rustix::io::Errno| Error::system("fcntl(F_SETFD)", label, errno))?;
        Ok(Self {
            descriptor,
            path: label.to_owned(),
            nameless: stat.links == 0,
            own_locks,
            body: Body::File,
        })
    }

    /// One that has no name, and whose description nobody else has.
    pub(crate) fn without_name(descriptor: Descriptor, label: String) -> Self {
        Self { descriptor, path: label, nameless: true, own_locks: true, body: Body::File }
    }

    /// One of memory without a name; `file` is that memory, or the companion of `memory`.
    pub(crate) fn unnamed(file: Self, label: &str, memory: Option<Region>) -> Self {
        let body = memory.map_or(Body::File, Body::Memory);
        Self { path: label.to_owned(), body, ..file }
    }

    /// Whether locks on this object are nobody else's: always, but for some that came
    /// [as a descriptor](Self::from_descriptor).
    pub fn has_own_locks(&self) -> bool {
        self.own_locks
    }
}

#[cfg(test)]
mod tests {
    use crate::lock::{self, Lock};
    use crate::{Access, Error, Memfd, Object};
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    fn copy(file: impl AsFd) -> OwnedFd {
        file.as_fd().try_clone_to_owned().unwrap()
    }

    #[test]
    fn an_adopted_object_has_locks_of_its_own() {
        let _closed = crate::fork::alone::nobody_starts();
        let made = Memfd::new("adopted").create(4096).unwrap();
        let adopted = Object::from_descriptor(copy(&made), "what came").unwrap();
        assert!(adopted.has_own_locks() && made.has_own_locks());
        assert_eq!(adopted.stat().unwrap().inode, made.stat().unwrap().inode);
        assert!(lock::try_lock(&made, 7, Lock::Exclusive).unwrap());
        assert!(!lock::is_free(&adopted, 7).unwrap());
        assert!(!lock::try_lock(&adopted, 7, Lock::Shared).unwrap());
        adopted.attend().unwrap();
        assert!(matches!(made.resize(8192).unwrap_err(), Error::InUse { .. }));
        drop(adopted);
        made.resize(8192).unwrap();
    }

    #[test]
    fn rights_do_not_grow() {
        let made = Memfd::new("rights").create(4096).unwrap();
        let path = format!("/proc/self/fd/{}", made.descriptor().as_raw_fd());
        let open = |flags| openat(CWD, &path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let reader = Object::from_descriptor(open(OFlags::RDONLY), "a reader").unwrap();
        assert!(reader.map(Access::ReadOnly).is_ok() && reader.map(Access::ReadWrite).is_err());
        for (flags, found) in [(OFlags::WRONLY, "for writing only"), (OFlags::PATH, "O_PATH")] {
            let error = Object::from_descriptor(open(flags), "it").unwrap_err();
            assert!(
                matches!(&error, Error::WrongDescriptor { found: told, .. } if told.contains(found)),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let directory = std::fs::File::open("/").unwrap();
        for (descriptor, found) in [
            (OwnedFd::from(one), "a socket"),
            (reader.into(), "a FIFO"),
            (null.into(), "a device"),
            (directory.into(), "a directory"),
        ] {
            let error = Object::from_descriptor(descriptor, "it").unwrap_err();
            assert!(matches!(&error, Error::WrongDescriptor { found: told, .. } if told == found), "{error}");
        }
    }
}
