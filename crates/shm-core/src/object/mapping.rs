//! How an object comes into the address space, and to another length there.

use super::handle::Body;
use super::{Object, retry, without_locks};
use crate::error::{Error, Result};
use crate::huge;
use crate::offset::Span;
use crate::region::{Access, Holes, Inheritance, MapOptions, Mapping, Origin, Region};
use crate::system;
use rustix::fs::{self, FallocateFlags, SeekFrom};
use rustix::io::Errno;
use std::os::fd::AsFd;

#[cfg(test)]
mod tests;

/// How [`Object::remap`] gives a region another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remap {
    /// By `mremap`, which changes page tables only. It may move to other addresses.
    Move,
    /// By a new mapping, after which the old one is unmapped. Always at other addresses, and the pages are looked up
    /// anew when they are touched.
    Anew,
}

impl Object {
    /// Maps all of it, as long as it is now.
    ///
    /// # Errors
    /// [`Error::ZeroLength`], [`Error::Truncated`] when there is not enough memory behind it, or what the
    /// system says.
    pub fn map(&self, access: Access) -> Result<Region> {
        self.map_with(&MapOptions::new(access))
    }

    /// Maps `bytes` bytes at `offset`, a multiple of the page size.
    ///
    /// # Errors
    /// [`Error::Unaligned`], [`Error::OutOfBounds`] when the object is shorter, and as [`map`](Self::map).
    pub fn map_part(&self, access: Access, offset: u64, bytes: u64) -> Result<Region> {
        self.map_with(&MapOptions::new(access).part(offset, bytes))
    }

    /// Maps all of it for reading and writing, with changes that stay in this process; see [`MapOptions::private`].
    /// The object need not be writable.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_private(&self) -> Result<Region> {
        self.map_with(&MapOptions::new(Access::ReadWrite).private(true))
    }

    /// Maps it as the options say. Objects and plain files of any length but zero can be mapped; the region is
    /// just as long, not rounded up. What the last page holds beyond it reads as zero to whoever looks there, and
    /// is never written to the file.
    ///
    /// Should somebody shorten the file afterwards, what is touched behind its new end faults (SIGBUS): see
    /// [`Object::attend`], and [`seal`](crate::seal) for what others can not shorten.
    ///
    /// # Errors
    /// As [`map_part`](Self::map_part), and: [`Error::LockLimit`], [`Error::OutOfSpace`] when pages that were to be
    /// looked up or allocated can not be had, [`Error::OutOfHugePages`], [`Error::Forbidden`] where holes of what
    /// is open for reading only were to be filled, [`Error::Unsupported`] for [`Inheritance::Zeros`].
    pub fn map_with(&self, options: &MapOptions) -> Result<Region> {
        self.here()?;
        if options.inheritance == Inheritance::Zeros {
            let reason = "the kernel wipes nothing in children but private anonymous memory";
            return Err(Error::Unsupported { what: "zeros for children", reason });
        }
        let page_bytes = self.page_bytes()?;
        let (offset, length) = self.extent(options, page_bytes)?;
        match &self.body {
            Body::File => {}
            Body::Segment(segment) => {
                return map_held(&segment.attach(options.access)?, options, offset, length);
            }
            Body::Memory(region) => return map_held(region, options, offset, length),
        }
        let reopen = |rights| without_locks(self.descriptor(), rights);
        let unlocked = match options.access {
            // To write a private copy, reading is enough.
            Access::ReadWrite if !options.private => reopen(Access::ReadWrite),
            // All rights that there are, for when the region is protected otherwise.
            Access::Nothing => reopen(Access::ReadWrite).or_else(|| reopen(Access::ReadOnly)),
            _ => reopen(Access::ReadOnly),
        };
        let through = unlocked.as_ref().map_or(self.descriptor(), AsFd::as_fd);
        let origin = Origin {
            label: self.path.clone(),
            inode: self.stat()?.inode,
            offset,
            page_bytes: usize::try_from(page_bytes).unwrap_or(usize::MAX),
            options: *options,
        };
        let mut mapping = Mapping::of_file(through, length, origin).map_err(|source| {
            let is_huge = page_bytes > system::page_bytes() as u64;
            match source.raw_os_error() {
                Some(errno) if is_huge && errno == Errno::NOMEM.raw_os_error() => {
                    huge::out_of(&self.path, page_bytes, length as u64)
                }
                _ => Error::System { call: "mmap", object: self.path.clone(), source },
            }
        })?;
        if options.inheritance == Inheritance::Nothing {
            mapping
                .keep_from_children()
                .map_err(|errno| Error::system("madvise(MADV_DONTFORK)", &self.path, errno))?;
        }
        // Mapped for reading first: the kernel does not look anything up where there are no rights.
        let access = if options.access == Access::Nothing { Access::ReadOnly } else { options.access };
        let mut region = Region::from_mapping(mapping, access)?;
        region.settle(options)?;
        if options.access == Access::Nothing {
            region.protect(crate::region::Protection::Nothing)?;
        }
        Ok(region)
    }

    /// Gives a region of this object another length, after the object [changed its own](Self::resize) or before. The
    /// region must be the only one on its mapping, whole, without words, events and copies: they would be left
    /// behind. What it begins with stays; where it grows, it shows what the object has there, which is zeros
    /// where the object itself has just grown. Other mappings, here and in other processes, are not touched.
    ///
    /// The rights are those that the region has; those to execute are lost by [`Remap::Anew`]. After an error the
    /// region is what it was, unless its new pages were to be populated and could not be.
    ///
    /// # Errors
    /// [`Error::RegionInUse`], [`Error::OutOfBounds`] when the object is shorter, [`Error::Unsupported`] when the
    /// region is not one of this object, for [`Remap::Anew`] when it is private (what was changed in it would be
    /// lost), and for [`Remap::Move`] where huge pages can not grow; and as [`map_with`](Self::map_with).
    pub fn remap(&self, region: &mut Region, bytes: u64, how: Remap) -> Result<()> {
        let refuse = |reason| Err(Error::Unsupported { what: "remapping", reason });
        let origin = region.sole_origin()?;
        if origin.inode != self.stat()?.inode {
            return refuse("the region maps another object");
        }
        let options = MapOptions { access: region.access(), ..origin.options.part(origin.offset, bytes) };
        match how {
            Remap::Anew if options.private => refuse("the region is private, and its changes would be lost"),
            Remap::Anew => {
                *region = self.map_with(&options)?;
                Ok(())
            }
            Remap::Move => {
                let (_, length) = self.extent(&options, origin.page_bytes as u64)?;
                region.move_to(length)?;
                region.settle(&MapOptions { lock: false, ..options })
            }
        }
    }

    /// Offset and length of what is to be mapped, when all of it is there.
    fn extent(&self, options: &MapOptions, page_bytes: u64) -> Result<(u64, usize)> {
        let none = || Error::ZeroLength { object: self.path.clone() };
        let stat = self.stat()?;
        let (offset, bytes) = match options.part {
            Some(part) => part,
            None if stat.bytes == 0 => return Err(none()),
            None => (0, stat.bytes),
        };
        if !offset.is_multiple_of(page_bytes) {
            return Err(Error::Unaligned { offset, alignment: page_bytes });
        }
        if bytes == 0 {
            return Err(none());
        }
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= stat.bytes);
        let (Ok(length), true) = (usize::try_from(bytes), fits) else {
            return Err(Error::OutOfBounds {
                offset: usize::try_from(offset).unwrap_or(usize::MAX),
                length: usize::try_from(bytes).unwrap_or(usize::MAX),
                region_bytes: usize::try_from(stat.bytes).unwrap_or(usize::MAX),
            });
        };
        match options.holes {
            Holes::Allow => {}
            Holes::Allocate => self.fill_holes(offset, bytes)?,
            // A hole would be filled at the first touch, with a signal instead of an error if it can not be.
            Holes::Refuse if stat.allocated_bytes < stat.bytes && !self.has_no_hole(stat.bytes) => {
                return Err(Error::Truncated {
                    object: self.path.clone(),
                    expected_bytes: stat.bytes,
                    found_bytes: stat.allocated_bytes,
                });
            }
            Holes::Refuse => {}
        }
        Ok((offset, length))
    }

    /// Whether the file system says that there is none, where the count of blocks does not: it keeps small files
    /// elsewhere, or packs them.
    fn has_no_hole(&self, bytes: u64) -> bool {
        // Not on our own descriptor, whose place others may rely on.
        let Some(another) = without_locks(self.descriptor(), Access::ReadOnly) else { return false };
        fs::seek(another, SeekFrom::Hole(0)).is_ok_and(|first| first >= bytes)
    }

    fn fill_holes(&self, offset: u64, bytes: u64) -> Result<()> {
        let path = &self.path;
        retry(|| fs::fallocate(self.descriptor(), FallocateFlags::KEEP_SIZE, offset, bytes)).map_err(
            |errno| {
                match errno {
                    Errno::NOSPC | Errno::DQUOT => Error::OutOfSpace { object: path.clone(), bytes },
                    Errno::BADF => Error::Forbidden { object: path.clone() }, // open for reading only
                    errno => Error::system("fallocate", path, errno),
                }
            },
        )
    }
}

/// A part of memory that is there as it is; a private one is a copy as it is now.
fn map_held(memory: &Region, options: &MapOptions, at: u64, length: usize) -> Result<Region> {
    let refuse = |what| {
        let reason = "the object lies in a System V segment or in anonymous memory, which is there as it is";
        Err(Error::Unsupported { what, reason })
    };
    let span = Span::new(usize::try_from(at).unwrap_or(usize::MAX), length);
    if options.private {
        let (copy, mut bytes) = (Region::on_heap(length)?, vec![0; length]);
        memory.copy_out(span.offset, &mut bytes)?;
        copy.copy_in(0, &bytes)?;
        return Ok(copy);
    }
    if options.inheritance != Inheritance::Inherit {
        return refuse("keeping it from children");
    }
    let part = memory.part(span)?;
    let region = match options.access {
        Access::ReadWrite => part,
        Access::ReadOnly => part.read_only(),
        Access::Nothing => return refuse("a mapping without access"),
    };
    region.settle(options)?;
    Ok(region)
}
