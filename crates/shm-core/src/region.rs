//! One owned mapping, or a part of one. A region does not know what kind of memory it maps.

#![allow(unsafe_code)] // raw pointers into shared memory: this file, `access` and `copy` only

#[cfg(not(loom))]
mod heap;
mod mapping;
mod options;
mod protect;
mod remap;
mod transfer;
mod upkeep;

use crate::access::{self, Atomic};
use crate::error::{Error, Result};
#[cfg(loom)]
use crate::model::memory::Memory as Heap;
use crate::offset::Span;
use crate::prefetch;
use crate::values::{self, ReadValues, Values};
use crate::word::{ReadWord, Word, Words};
use bytemuck::{AnyBitPattern, CheckedBitPattern, NoUninit};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
#[cfg(not(loom))]
use heap::Heap;
pub(crate) use mapping::{Mapping, Origin};
pub use options::{Advice, Holes, Inheritance, MapOptions};
pub use protect::Protection;
use std::sync::Arc;
pub use upkeep::Flush;

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads only; the processor's memory management refuses stores.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
    /// Nothing, until the region is [protected](Region::protect) otherwise: addresses without rights.
    Nothing,
}

/// What keeps the memory of a region alive. Unmapped when the last region, word or event on it goes.
pub(crate) enum Backing {
    /// A mapping of an object.
    Mapping(Mapping),
    /// Private memory: tests run the very code of the rings over it.
    Heap(Heap),
    /// Memory that is neither mapped from a descriptor nor private, and is given back in its own way. With its bytes.
    Held(Box<dyn Held>, usize),
}

/// Memory that lies at one address until this is dropped, which gives it back.
pub(crate) trait Held: Send + Sync {
    /// The address of the first byte.
    fn base(&self) -> *mut u8;
}

impl Backing {
    fn base(&self) -> *mut u8 {
        match self {
            Self::Mapping(mapping) => mapping.base(),
            Self::Heap(heap) => heap.base(),
            Self::Held(held, _) => held.base(),
        }
    }

    /// How many bytes of address space the kernel knows it by; 0 where it is none of the kernel's business.
    fn mapped_bytes(&self) -> usize {
        match self {
            Self::Mapping(mapping) => mapping.mapped_bytes(),
            Self::Heap(_) => 0,
            Self::Held(_, bytes) => bytes.next_multiple_of(rustix::param::page_size()),
        }
    }

    /// Whether this is the copy, in a forked child, of what children do not get.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Mapping(mapping) if mapping.is_gone())
    }
}

// SAFETY: the memory is reached through atomics and copies only (see the crate's rules), which any
// thread may make; unmapping or freeing it is not tied to a thread either.
unsafe impl Send for Backing {}
// SAFETY: as above; a shared `Backing` offers nothing but its address.
unsafe impl Sync for Backing {}

/// Memory that other processes may read and write while we do.
///
/// Cloning a region, or taking a part of it, is cheap; the memory stays mapped until the last of
/// them, and the last [`Word`] on it, is gone, whatever becomes of the object's name or descriptor.
///
/// Nothing here blocks, and no access is ordered with any other: the bytes that [`copy_in`] stores
/// become visible in any order. Publish them with a [`Word`] or an [`Event`](crate::Event).
///
/// [`copy_in`]: Region::copy_in
#[derive(Clone)]
pub struct Region {
    base: NonNull<u8>,
    bytes: usize,
    /// How many bytes can be reached without a further look: all, or none where something may stand against it.
    reach: usize,
    access: Access,
    backing: Arc<Backing>,
}

// SAFETY: `base` points into `backing`, which is Send and Sync and lives as long as the region.
unsafe impl Send for Region {}
// SAFETY: as above: all access is atomic, or a copy that assumes concurrent writers.
unsafe impl Sync for Region {}

impl Region {
    /// Takes a mapping over.
    pub(crate) fn from_mapping(mapping: impl Into<Mapping>, access: Access) -> Result<Self> {
        let mapping = mapping.into();
        let bytes = mapping.bytes();
        Self::from_backing(Backing::Mapping(mapping), bytes, access)
    }

    /// Takes memory over of which `bytes` bytes may be read, and with `access` written, until it is dropped.
    ///
    /// # Safety
    /// That is so.
    pub(crate) unsafe fn from_held(held: Box<dyn Held>, bytes: usize, access: Access) -> Result<Self> {
        Self::from_backing(Backing::Held(held, bytes), bytes, access)
    }

    /// Zeroed private memory that behaves like a mapping of its own. For tests: it is shared with nobody.
    ///
    /// # Errors
    /// [`Error::ZeroLength`] when `bytes` is zero.
    pub fn on_heap(bytes: usize) -> Result<Self> {
        Self::from_heap(Heap::new(bytes), bytes)
    }

    pub(crate) fn from_heap(heap: Heap, bytes: usize) -> Result<Self> {
        Self::from_backing(Backing::Heap(heap), bytes, Access::ReadWrite)
    }

    fn from_backing(backing: Backing, bytes: usize, access: Access) -> Result<Self> {
        let none = || Error::ZeroLength { object: "a region".to_owned() };
        // In its place before an address is taken of it: moving a box ends what was derived from it.
        let backing = Arc::new(backing);
        let base = NonNull::new(backing.base()).filter(|_| bytes > 0).ok_or_else(none)?;
        #[cfg(shmring_hostile)]
        crate::hostile::mapped(base.as_ptr(), bytes);
        let mut region = Self { base, bytes, reach: 0, access, backing };
        region.set_reach();
        Ok(region)
    }

    fn set_reach(&mut self) {
        let may_be_gone =
            matches!(&*self.backing, Backing::Mapping(mapping) if mapping.is_kept_from_children());
        self.reach = if may_be_gone || self.access == Access::Nothing { 0 } else { self.bytes };
    }

    /// How many bytes the region has.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it may be written.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The address of the first byte in this process. For showing to people and for system calls;
    /// other processes map the same memory elsewhere.
    pub fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// The part of the region that `span` says.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when the span leaves the region.
    pub fn part(&self, span: Span) -> Result<Self> {
        Ok(Self {
            base: self.at(span)?,
            bytes: span.length,
            reach: span.length.min(self.reach),
            access: self.access,
            backing: self.backing.clone(),
        })
    }

    /// The same memory, through which nothing can be written.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let access = if self.access == Access::Nothing { Access::Nothing } else { Access::ReadOnly };
        Self { access, ..self.clone() }
    }

    /// The word at `offset`, for reading and writing.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::Unaligned`] (a word's offset is a multiple of its size), or
    /// [`Error::ReadOnly`].
    #[allow(private_bounds)]
    pub fn word<W: Atomic>(&self, offset: usize) -> Result<Word<W>> {
        self.writable()?;
        Ok(Word::new(self.read_word(offset)?))
    }

    /// The word at `offset`, for reading.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], or [`Error::Unaligned`] (a word's offset is a multiple of its size).
    #[allow(private_bounds)]
    pub fn read_word<W: Atomic>(&self, offset: usize) -> Result<ReadWord<W>> {
        let cell = self.at(Span::new(offset, size_of::<W>()))?.cast::<W::Cell>();
        self.aligned(offset, size_of::<W>())?;
        Ok(ReadWord::new(cell, self.backing.clone()))
    }

    /// The whole region as an array of 64-bit words, indexed by positions that wrap around.
    ///
    /// # Errors
    /// [`Error::Unaligned`] when the region does not begin on a multiple of 8, or its length is not a
    /// power of two of at least 8.
    pub fn words(&self) -> Result<Words> {
        self.aligned(0, size_of::<u64>())?;
        if !self.bytes.is_power_of_two() || self.bytes < size_of::<u64>() {
            return Err(Error::Unaligned {
                offset: self.bytes as u64,
                alignment: self.bytes.next_power_of_two() as u64,
            });
        }
        let base = self.at(Span::new(0, self.bytes))?;
        Ok(Words::new(base.cast(), self.bytes / size_of::<u64>() - 1, self.access, self.backing.clone()))
    }

    /// Copies `bytes` into the region at `offset`. Unordered; each byte is written once.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] or [`Error::ReadOnly`]; nothing is written then.
    #[inline]
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.writable()?;
        let target = self.at(Span::new(offset, bytes.len()))?;
        // SAFETY: `target` lies in the mapping with all of `bytes.len()`, writable as checked; `bytes` is
        // memory that nobody writes meanwhile, since it is borrowed (a slice over a mapping can only come from
        // somebody's unsafe promise of just that).
        unsafe { access::to_shared(bytes.as_ptr(), target.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies bytes at `offset` out of the region. Unordered; each byte is read once, so what arrives
    /// does not change any more, though it may be a mixture if somebody writes meanwhile.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`]; `bytes` is untouched then.
    #[inline]
    pub fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let source = self.at(Span::new(offset, bytes.len()))?;
        // SAFETY: `source` lies in the mapping with all of `bytes.len()`; `bytes` is private memory.
        unsafe { access::from_shared(source.as_ptr(), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies `length` bytes at `offset` to the end of `bytes`, which grows without being zeroed first.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`]; `bytes` is untouched then.
    #[inline]
    pub fn copy_out_to(&self, offset: usize, length: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let source = self.at(Span::new(offset, length))?;
        bytes.reserve(length);
        let spare = bytes.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: `source` lies in the mapping with all of `length`; `reserve` made as much room at `spare`.
        unsafe { access::from_shared(source.as_ptr(), spare, length) };
        // SAFETY: the `length` bytes behind the old end were just written.
        unsafe { bytes.set_len(bytes.len() + length) };
        Ok(())
    }

    /// Copies a plain value in, padding and all bytes as they are in memory.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] or [`Error::ReadOnly`].
    #[inline]
    pub fn write_value<T: NoUninit>(&self, offset: usize, value: &T) -> Result<()> {
        self.copy_in(offset, bytemuck::bytes_of(value))
    }

    /// Copies a plain value out; any bytes are one.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    #[inline]
    pub fn read_value<T: AnyBitPattern>(&self, offset: usize) -> Result<T> {
        let source = self.at(Span::new(offset, size_of::<T>()))?;
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `source` lies in the mapping with all bytes of a T, and `value` has room for them.
        unsafe { access::from_shared(source.as_ptr(), value.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: every byte was written, and any bit pattern is a T.
        Ok(unsafe { value.assume_init() })
    }

    /// The region's first `count` values of a type as an array, indexed by positions that wrap around, for reading.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], or [`Error::Unaligned`] when the region does not begin on a multiple of 8, or `count` is
    /// no power of two.
    pub fn read_values<T>(&self, count: u64) -> Result<ReadValues<T>> {
        self.aligned(0, size_of::<u64>())?;
        if !count.is_power_of_two() {
            let alignment = count.checked_next_power_of_two().unwrap_or(0);
            return Err(Error::Unaligned { offset: count, alignment });
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let base = self.at(Span::new(0, count.saturating_mul(size_of::<T>())))?;
        Ok(ReadValues::new(base, count - 1, self.backing.clone()))
    }

    /// The same, for reading and writing.
    ///
    /// # Errors
    /// As [`read_values`](Self::read_values), or [`Error::ReadOnly`].
    pub fn values<T>(&self, count: u64) -> Result<Values<T>> {
        self.writable()?;
        Ok(Values::new(self.read_values(count)?))
    }

    /// Copies a plain value out, and only then looks whether the bytes are one: `None` if not.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], or [`Error::Unaligned`] (the offset is a multiple of 8).
    #[inline]
    pub fn read_checked<T: CheckedBitPattern>(&self, offset: usize) -> Result<Option<T>> {
        let source = self.at(Span::new(offset, size_of::<T>()))?;
        self.aligned(offset, size_of::<u64>())?; // below the end, so that the sum does not overflow
        // SAFETY: `source` is aligned to a word, and lies in the mapping with all bytes of a `T`.
        Ok(unsafe { values::read_checked(source) })
    }

    /// Says that the line at `offset` is going to be written. Changes nothing but how long that takes.
    #[inline(always)]
    pub fn will_write(&self, offset: usize) {
        prefetch::for_writing(self.base.as_ptr().wrapping_add(offset));
    }

    /// The address of a span of the region, for those who take a slice over it (see the ring's views)
    /// or pass it to a system call.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when the span leaves the region.
    #[inline]
    pub fn pointer(&self, span: Span) -> Result<NonNull<u8>> {
        self.at(span)
    }

    #[inline]
    fn at(&self, span: Span) -> Result<NonNull<u8>> {
        if span.check(self.reach).is_err() {
            self.look_further(span)?;
        }
        // SAFETY: `offset <= bytes`, and the mapping of `bytes` bytes at `base` is one allocation.
        Ok(unsafe { self.base.add(span.offset) })
    }

    /// For spans that do not lie within reach: because they leave the region, or because something stands against it.
    #[cold]
    fn look_further(&self, span: Span) -> Result<()> {
        span.check(self.bytes)?;
        if self.backing.is_gone() {
            return Err(Error::Forked { object: "a region that children do not get".to_owned() });
        }
        if self.access == Access::Nothing { Err(Error::NoAccess) } else { Ok(()) }
    }

    #[inline]
    fn writable(&self) -> Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::ReadOnly),
            Access::Nothing => Err(Error::NoAccess),
        }
    }

    fn aligned(&self, offset: usize, alignment: usize) -> Result<()> {
        if (self.address() + offset).is_multiple_of(alignment) {
            Ok(())
        } else {
            Err(Error::Unaligned { offset: offset as u64, alignment: alignment as u64 })
        }
    }
}

impl core::fmt::Debug for Region {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Region")
            .field("bytes", &self.bytes)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn accesses_are_checked() {
        let region = Region::on_heap(64).unwrap();
        assert!(region.copy_in(60, b"12345").is_err());
        assert!(region.copy_out(usize::MAX, &mut [0]).is_err());
        assert!(region.word::<u64>(4).is_err());
        assert!(region.word::<u32>(64).is_err());
        assert!(region.read_only().word::<u32>(0).is_err());
        assert!(region.read_only().copy_in(0, b"1").is_err());
        assert!(region.part(Span::new(32, 33)).is_err());
        assert!(Region::on_heap(0).is_err());
        assert!(region.part(Span::new(0, 24)).unwrap().words().is_err());
        for offset in [64, usize::MAX - 7, usize::MAX] {
            let beyond = region.read_checked::<u64>(offset);
            assert!(matches!(beyond, Err(Error::OutOfBounds { .. })), "{offset}");
        }
        assert!(matches!(region.read_checked::<bool>(1), Err(Error::Unaligned { .. })));
    }

    #[test]
    fn values_and_parts_agree() {
        let region = Region::on_heap(64).unwrap();
        let part = region.part(Span::new(8, 56)).unwrap();
        part.write_value(0, &0x0807_0605_0403_0201_u64).unwrap();
        assert_eq!(region.read_value::<u32>(12).unwrap(), 0x0807_0605);
        let word = region.read_word::<u64>(8).unwrap();
        assert_eq!(word.load(Ordering::Relaxed), 0x0807_0605_0403_0201); // test
        let mut bytes = vec![9];
        region.copy_out_to(8, 3, &mut bytes).unwrap();
        assert_eq!(bytes, [9, 1, 2, 3]);
    }
}
