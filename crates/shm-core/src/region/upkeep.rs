//! What can be asked of the kernel for a mapped region: writing back, advice, locking, looking up.

#![allow(unsafe_code)] // system calls on ranges of our own mapping

use super::{Access, Advice, Backing, MapOptions, Region};
use crate::error::{Error, Result};
use crate::offset::Span;
use core::ffi::c_void;
use rustix::io::Errno;
use rustix::mm::{self, MsyncFlags, madvise, mlock, msync, munlock};
use rustix::process::{Resource, getrlimit};

/// When [`Region::flush`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When the bytes are on the disk.
    Sync,
    /// At once; the kernel writes them when it likes to.
    Async,
}

impl Region {
    /// Has the kernel write a span back to the file it maps (`msync`), in whole pages.
    ///
    /// Other processes see stores at once, through mappings and through `read(2)`, without this: it is for the disk
    /// only, and does nothing where there is none. Nor does its absence keep anything from the disk: the
    /// kernel may write back what was stored, or a part of it, at any time, not only at the end of the mapping.
    ///
    /// With `invalidate`, other mappings of the file are to see the same afterwards. On Linux they always do; but the
    /// kernel refuses it (`EBUSY`) for memory that is locked.
    ///
    /// Blocks while the disk writes, with [`Flush::Sync`]; an error is then the disk's.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], or what the system says.
    pub fn flush(&self, span: Span, flush: Flush, invalidate: bool) -> Result<()> {
        let Some((start, bytes)) = self.pages(span)? else { return Ok(()) };
        let mut flags = match flush {
            Flush::Sync => MsyncFlags::SYNC,
            Flush::Async => MsyncFlags::ASYNC,
        };
        flags.set(MsyncFlags::INVALIDATE, invalidate);
        // SAFETY: whole pages of our mapping, which lives as long as `self`.
        unsafe { msync(start, bytes, flags) }.map_err(|errno| self.failed("msync", errno))
    }

    /// Tells the kernel how a span, in whole pages, is going to be used.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::Unsupported`] for [`Advice::DontNeed`] on what nobody else keeps, or what the
    /// system says: for instance `EINVAL` for huge pages, where the kernel has none.
    pub fn advise(&self, span: Span, advice: Advice) -> Result<()> {
        let Some((start, bytes)) = self.pages(span)? else { return Ok(()) };
        if advice == Advice::DontNeed && !self.is_kept_by_an_object() {
            let reason = "the region is private, or maps no object, and what was changed in it would be lost";
            return Err(Error::Unsupported { what: "forgetting pages", reason });
        }
        let advice = match advice {
            Advice::Normal => mm::Advice::Normal,
            Advice::Random => mm::Advice::Random,
            Advice::Sequential => mm::Advice::Sequential,
            Advice::WillNeed => mm::Advice::WillNeed,
            Advice::HugePage => mm::Advice::LinuxHugepage,
            Advice::NoHugePage => mm::Advice::LinuxNoHugepage,
            Advice::DontNeed => mm::Advice::LinuxDontNeed,
        };
        // SAFETY: whole pages of our mapping. None of these changes what is read there: pages that are forgotten come
        // back from the object, as just checked.
        unsafe { madvise(start, bytes, advice) }.map_err(|errno| self.failed("madvise", errno))
    }

    /// Keeps all pages of the region in memory from now on, until it is [unlocked](Self::unlock) or unmapped.
    ///
    /// # Errors
    /// [`Error::LockLimit`], with the limit, or what the system says.
    pub fn lock(&self) -> Result<()> {
        let Some((start, bytes)) = self.pages(Span::new(0, self.bytes))? else { return Ok(()) };
        // SAFETY: whole pages of our mapping; nothing changes but whether they may be paged out.
        unsafe { mlock(start, bytes) }.map_err(|errno| self.not_locked("mlock", errno))
    }

    /// Lets the pages of the region be paged out again. Locks do not nest.
    ///
    /// # Errors
    /// What the system says.
    pub fn unlock(&self) -> Result<()> {
        let Some((start, bytes)) = self.pages(Span::new(0, self.bytes))? else { return Ok(()) };
        // SAFETY: as in `lock`.
        unsafe { munlock(start, bytes) }.map_err(|errno| self.failed("munlock", errno))
    }

    /// The error of a lock that the kernel refused.
    pub(super) fn not_locked(&self, call: &'static str, errno: Errno) -> Error {
        match (errno, getrlimit(Resource::Memlock).current) {
            // Each kind of call says it in a way of its own.
            (Errno::NOMEM | Errno::PERM | Errno::AGAIN, Some(limit_bytes)) => {
                Error::LockLimit { object: self.label(), bytes: self.bytes as u64, limit_bytes }
            }
            (errno, _) => self.failed(call, errno),
        }
    }

    /// Does what the options of a new mapping ask for besides the mapping.
    pub(crate) fn settle(&self, options: &MapOptions) -> Result<()> {
        let all = Span::new(0, self.bytes);
        if let Some(advice) = options.advice {
            self.advise(all, advice)?;
        }
        if options.populate && self.access != Access::Nothing {
            self.populate()?;
        }
        if options.lock { self.lock() } else { Ok(()) }
    }

    /// Looks all pages up, and says if that can not be. The mapping was made with `MAP_POPULATE`, which does not say.
    fn populate(&self) -> Result<()> {
        let Some((start, bytes)) = self.pages(Span::new(0, self.bytes))? else { return Ok(()) };
        let advice = match self.access {
            Access::ReadWrite => mm::Advice::LinuxPopulateWrite,
            Access::ReadOnly | Access::Nothing => mm::Advice::LinuxPopulateRead,
        };
        // SAFETY: whole pages of our mapping, touched in the way it was mapped for.
        match unsafe { madvise(start, bytes, advice) } {
            Ok(()) | Err(Errno::INVAL) => Ok(()), // the latter before Linux 5.14
            // What a touch would answer with SIGBUS.
            Err(Errno::FAULT | Errno::NOMEM) => {
                Err(Error::OutOfSpace { object: self.label(), bytes: self.bytes as u64 })
            }
            Err(errno) => Err(self.failed("madvise(MADV_POPULATE)", errno)),
        }
    }

    /// The whole pages around a span, as system calls take them; `None` where there is nothing to call for.
    fn pages(&self, span: Span) -> Result<Option<(*mut c_void, usize)>> {
        span.check(self.bytes)?;
        if self.backing.is_gone() {
            return Err(Error::Forked { object: self.label() });
        }
        if span.length == 0 || self.backing.mapped_bytes() == 0 {
            return Ok(None);
        }
        let first = self.base.as_ptr().wrapping_add(span.offset);
        // Mappings begin on a page, so this does not leave the mapping; its last page is all its own.
        let before = first as usize % rustix::param::page_size();
        Ok(Some((first.wrapping_sub(before).cast(), span.length + before)))
    }

    /// Whether what is stored is kept elsewhere when this process forgets its pages.
    fn is_kept_by_an_object(&self) -> bool {
        match &*self.backing {
            Backing::Mapping(mapping) => mapping.origin().is_some_and(|origin| !origin.options.private),
            _ => false,
        }
    }

    /// What the region maps; for showing to people.
    pub(super) fn label(&self) -> String {
        match &*self.backing {
            Backing::Mapping(mapping) => {
                mapping.origin().map_or("a region".to_owned(), |origin| origin.label.clone())
            }
            _ => "a region".to_owned(),
        }
    }

    pub(super) fn failed(&self, call: &'static str, errno: Errno) -> Error {
        Error::system(call, self.label(), errno)
    }
}
