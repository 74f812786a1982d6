//! An open object: what can be asked of it and done to it through its descriptor.

use super::{Stat, allocate, retry, stat};
use crate::error::{Cause, Error, Result};
use crate::fork::Descriptor;
use crate::huge;
use crate::life::Life;
use crate::lock::{self, Lock};
use crate::region::{Access, Region};
use crate::sysv::Segment;
use rustix::fs::{self, Mode};
use std::os::fd::{AsFd, BorrowedFd};

/// An open object: a descriptor of its own (`O_CLOEXEC`), with the name it was opened by.
///
/// Mappings outlive it. Dropping it closes the descriptor, and with it go the locks taken on it: mappings are made
/// through a description of their own, where there is `/proc` and the file may be opened once more. (Otherwise
/// the locks stay until the last mapping is gone, too.)
///
/// It is its process's, and not that of a child which a fork makes: there its descriptor refers to nothing, every call
/// is [`Error::Forked`], and dropping the copy changes nothing for the parent. See [`crate::fork`].
#[derive(Debug)]
pub struct Object {
    pub(super) descriptor: Descriptor,
    pub(super) path: String,
    /// It had no name when it came to us, so the lack of one says nothing.
    pub(super) nameless: bool,
    /// Nobody else has its open file description, so its locks are its own.
    pub(super) own_locks: bool,
    /// Where its bytes are.
    pub(super) body: Body,
}

/// Where an object's bytes are. Name, locks and rights are the file's in any case.
#[derive(Debug)]
pub(super) enum Body {
    /// In the file itself.
    File,
    /// In a System V segment, of which the file is the companion.
    Segment(Segment),
    /// In memory that this process has, or got when it was forked; the file is its companion.
    Memory(Region),
}

impl Object {
    /// One that was opened by its name, or is going to get one.
    pub(super) fn named(descriptor: Descriptor, path: String) -> Self {
        Self { descriptor, path, nameless: false, own_locks: true, body: Body::File }
    }

    /// The path it was opened by; for showing to people.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Size, memory, mode, owner, names and times, as they are now.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stat(&self) -> Result<Stat> {
        let file = stat::of(self.here()?, &self.path)?;
        match &self.body {
            Body::File => Ok(file),
            Body::Memory(region) => {
                let bytes = region.bytes() as u64;
                Ok(Stat { bytes, allocated_bytes: bytes, ..file })
            }
            Body::Segment(segment) => {
                let stat = segment.stat()?;
                Ok(Stat { bytes: stat.bytes, allocated_bytes: stat.rounded_bytes, ..file })
            }
        }
    }

    /// Declares that this descriptor uses the object: as long as it is open, the object is not removed
    /// as unused, resized, or truncated. Never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody removes it, [`Error::Detached`] when it has lost its name,
    /// [`Error::SharedLocks`].
    pub fn attend(&self) -> Result<()> {
        self.locks_are_ours()?;
        if !lock::try_lock(self.here()?, lock::PRESENCE_BYTE, Lock::Shared)? {
            return Err(Error::Busy { object: self.path.clone() });
        }
        // Looked at under the lock: from now on nobody removes it as unused.
        self.still_named()
    }

    /// Whether the object still has its name. One that never had any, such as a memfd, does not lose it.
    ///
    /// # Errors
    /// [`Error::Detached`] when it was removed.
    pub fn still_named(&self) -> Result<()> {
        let file = stat::of(self.here()?, &self.path)?;
        let segment_is_gone = match &self.body {
            Body::Segment(segment) => match segment.stat() {
                Ok(stat) => stat.marked_for_removal,
                Err(Error::Refused { cause: Cause::NoSuchSegment, .. }) => true,
                Err(error) => return Err(error),
            },
            Body::File | Body::Memory(_) => false,
        };
        if file.links == 0 && !self.nameless || segment_is_gone {
            Err(Error::Detached { object: self.path.clone() })
        } else {
            Ok(())
        }
    }

    /// Changes the permission bits.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn chmod(&self, mode: u32) -> Result<()> {
        if let Body::Segment(segment) = &self.body {
            segment.set(None, None, Some(mode & 0o777))?;
        }
        fs::fchmod(self.here()?, Mode::from_raw_mode(mode & 0o777))
            .map_err(|errno| Error::system("fchmod", &self.path, errno))
    }

    /// Changes owner and group; `None` leaves one as it is.
    ///
    /// # Errors
    /// When the system refuses, as it does for everybody but root in most cases.
    pub fn chown(&self, user: Option<u32>, group: Option<u32>) -> Result<()> {
        if let Body::Segment(segment) = &self.body {
            segment.set(user, group, None)?;
        }
        let user = user.map(rustix::process::Uid::from_raw);
        let group = group.map(rustix::process::Gid::from_raw);
        fs::fchown(self.here()?, user, group).map_err(|errno| Error::system("fchown", &self.path, errno))
    }

    /// Changes the size. New bytes are zero and backed by memory. Mappings keep the length they were
    /// made with; the part of one that lies beyond a smaller size faults when touched, which is why
    /// this is refused while anybody else [attends](Self::attend) the object. From then on this descriptor
    /// attends it.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::OutOfSpace`] (the size is then what it was), [`Error::SharedLocks`],
    /// [`Error::Unsupported`] for what lies in a System V segment or in anonymous memory, or what the system says.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        self.locks_are_ours()?;
        if !matches!(self.body, Body::File) {
            let reason = "only files, POSIX objects and memfds change their size; make another one";
            return Err(Error::Unsupported { what: "resizing", reason });
        }
        // Held, not only asked for: nobody comes to the object while it changes.
        if !lock::try_lock(self.here()?, lock::PRESENCE_BYTE, Lock::Exclusive)? {
            return Err(Error::InUse { object: self.path.clone() });
        }
        let resized = self.resize_alone(bytes);
        lock::try_lock(&self.descriptor, lock::PRESENCE_BYTE, Lock::Shared)?; // makes less of our own lock
        resized
    }

    fn resize_alone(&self, bytes: u64) -> Result<()> {
        let old = self.stat()?.bytes;
        // Huge pages are whole or not there.
        let bytes = match huge::huge_page_bytes(&self.descriptor, &self.path)? {
            Some(page) => bytes.checked_next_multiple_of(page).unwrap_or(u64::MAX),
            None => bytes,
        };
        if bytes > old {
            allocate(self.descriptor.as_fd(), old, bytes, &self.path)?;
            return self.clear(old, bytes);
        }
        retry(|| fs::ftruncate(&self.descriptor, bytes))
            .map_err(|errno| Error::system("ftruncate", &self.path, errno))
    }

    /// Zeros from the old end to the end of its page: somebody may have stored there through a mapping, and not
    /// every kernel forgets that when the object grows.
    fn clear(&self, old: u64, bytes: u64) -> Result<()> {
        let page = rustix::param::page_size() as u64;
        let rest = bytes.min(old.next_multiple_of(page)) - old;
        let zeros = vec![0; usize::try_from(rest).unwrap_or(0)];
        let mut rest = zeros.as_slice();
        while !rest.is_empty() {
            let at = old + (zeros.len() - rest.len()) as u64;
            let written = retry(|| rustix::io::pwrite(&self.descriptor, rest, at))
                .map_err(|errno| Error::system("pwrite", &self.path, errno))?;
            rest = rest.get(written.max(1)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads bytes through the descriptor, as `pread` does, at most up to the end; how many that were. Works
    /// where a mapping would fault.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let descriptor = self.here()?;
        if !matches!(self.body, Body::File) {
            let region = self.map(Access::ReadOnly)?;
            let first = usize::try_from(offset).map_or(region.bytes(), |offset| offset.min(region.bytes()));
            let length = bytes.len().min(region.bytes() - first);
            region.copy_out(first, &mut bytes[..length])?;
            return Ok(length);
        }
        retry(|| rustix::io::pread(descriptor, &mut *bytes, offset))
            .map_err(|errno| Error::system("pread", &self.path, errno))
    }

    /// Whether its bytes are there again after the machine was switched off: they are in a file on a disk, or on
    /// whatever does not say that it is memory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn outlives_restarts(&self) -> Result<bool> {
        if !matches!(self.body, Body::File) || self.nameless {
            return Ok(false);
        }
        Ok(!stat::lives_in_memory(self.here()?, &self.path)?)
    }

    /// Waits until everything that any process has stored in it is on the disk (`fsync`). For memory there is nothing
    /// to wait for.
    ///
    /// # Errors
    /// The disk's, for instance that it is full or broken; then nothing is known of what is on it.
    pub fn sync(&self) -> Result<()> {
        if !matches!(self.body, Body::File) {
            return Ok(());
        }
        let descriptor = self.here()?;
        retry(|| fs::fsync(descriptor)).map_err(|errno| Error::system("fsync", &self.path, errno))
    }

    /// Registers a [life word](crate::life) of this process at `offset`.
    ///
    /// # Errors
    /// As [`Life::register`].
    pub fn register_life(&self, offset: u64) -> Result<Life> {
        match &self.body {
            Body::File => Life::register(self, offset),
            Body::Memory(region) => Life::register_in(region, offset),
            Body::Segment(segment) => Life::register_in(&segment.attach(Access::ReadWrite)?, offset),
        }
    }

    /// The segment in which the bytes are, if they are in one.
    pub(crate) fn segment(&self) -> Option<&Segment> {
        match &self.body {
            Body::File | Body::Memory(_) => None,
            Body::Segment(segment) => Some(segment),
        }
    }

    /// Removes the segment in which the bytes are, if they are in one. Who has attached it keeps it.
    pub(super) fn remove_segment(&self) -> Result<()> {
        match &self.body {
            Body::File | Body::Memory(_) => Ok(()),
            Body::Segment(segment) => match segment.remove() {
                Err(Error::Refused { cause: Cause::NoSuchSegment, .. }) => Ok(()),
                removed => removed,
            },
        }
    }

    /// The descriptor, for locks and for passing on. In a forked child it refers to nothing.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Bytes in a page of the object: more than [`system::page_bytes`](crate::system::page_bytes) where it is made
    /// of huge pages.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn page_bytes(&self) -> Result<u64> {
        crate::huge::page_bytes(self.here()?, &self.path)
    }

    fn locks_are_ours(&self) -> Result<()> {
        if self.own_locks { Ok(()) } else { Err(Error::SharedLocks { object: self.path.clone() }) }
    }

    /// The descriptor, unless it is a forked child's copy.
    pub(super) fn here(&self) -> Result<BorrowedFd<'_>> {
        if self.descriptor.is_forked() {
            return Err(Error::Forked { object: self.path.clone() });
        }
        Ok(self.descriptor())
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor()
    }
}
