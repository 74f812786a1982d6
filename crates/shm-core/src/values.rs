//! Arrays of plain values in shared memory, checked once and then free to use.

#![allow(unsafe_code)] // calls `access` with pointers that were checked when the array was made

use crate::access;
use crate::prefetch;
use crate::region::Backing;
use bytemuck::{CheckedBitPattern, NoUninit};
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::sync::Arc;

/// An array of values that this side only reads, whose length is a power of two, indexed by a position that wraps.
pub struct ReadValues<T> {
    /// `mask + 1` values from a multiple of 8 on, inside of `backing`, which stays mapped as long as this
    /// lives: what every `unsafe` block of this type relies on. Only `Region` makes one, after checking both.
    base: NonNull<u8>,
    mask: usize,
    _backing: Arc<Backing>,
    _values: PhantomData<fn(T) -> T>,
}

/// An array of values that this side may write. Only a region that is mapped for writing hands one out.
pub struct Values<T> {
    inner: ReadValues<T>,
}

// SAFETY: bytes in memory that lives as long as the value; any thread may copy them in and out.
unsafe impl<T> Send for ReadValues<T> {}
// SAFETY: as above; all methods take `&self` and copy by atomic words.
unsafe impl<T> Sync for ReadValues<T> {}

impl<T> ReadValues<T> {
    /// `mask + 1` is a power of two, and so many values lie at `base`, which is a multiple of 8.
    pub(crate) fn new(base: NonNull<u8>, mask: usize, backing: Arc<Backing>) -> Self {
        Self { base, mask, _backing: backing, _values: PhantomData }
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the mask discards the high bits anyway
    fn index(&self, position: u64) -> usize {
        position as usize & self.mask
    }

    #[inline(always)]
    fn address(&self, position: u64) -> NonNull<u8> {
        // SAFETY: the index is at most the mask, so the value lies within the array.
        unsafe { self.base.add(self.index(position) * size_of::<T>()) }
    }
}

impl<T: CheckedBitPattern> ReadValues<T> {
    /// Copies the value at `position` of the endless stream that wraps around the array, and only then looks whether
    /// the bytes are one: `None` if not. Unordered; each byte is read once.
    #[inline(always)]
    pub fn read(&self, position: u64) -> Option<T> {
        // SAFETY: the array has the bytes of a value there, and begins on a word, so that values of whole words do.
        unsafe { read_checked(self.address(position)) }
    }
}

/// Copies a value out, and only then looks whether the bytes are one.
///
/// # Safety
/// At `source` there are the bytes of a value in shared memory; it is aligned to a word if they are whole words.
#[inline(always)]
pub(crate) unsafe fn read_checked<T: CheckedBitPattern>(source: NonNull<u8>) -> Option<T> {
    // SAFETY: the caller's promise; the trait promises that a `T` and its `Bits` have one layout.
    let bits: MaybeUninit<T::Bits> = unsafe { access::value_from_shared(source.as_ptr()) };
    // SAFETY: every byte was written, and any bit pattern is a `T::Bits`.
    let bits = unsafe { bits.assume_init() };
    if !T::is_valid_bit_pattern(&bits) {
        return None;
    }
    // SAFETY: the trait promises that bits it calls valid are a `T`; they are private, so they are still what was just
    // judged.
    Some(unsafe { core::ptr::from_ref(&bits).cast::<T>().read() })
}

impl<T> Values<T> {
    /// The caller has checked that the memory is writable.
    pub(crate) fn new(inner: ReadValues<T>) -> Self {
        Self { inner }
    }
}

impl<T: NoUninit> Values<T> {
    /// Copies a value to `position`, padding and all bytes as they are in memory. Unordered; each byte is written once.
    #[inline(always)]
    pub fn write(&self, position: u64, value: &T) {
        let target = self.inner.address(position).as_ptr();
        // SAFETY: the array has room for the bytes of a value there, in memory that is mapped for writing. It begins at
        // a word, so that each value does if values are whole words.
        unsafe { access::value_to_shared(value, target) };
    }

    /// Says that the line where the value at `position` begins is going to be written. Changes nothing but how long
    /// that takes.
    #[inline(always)]
    pub fn will_write(&self, position: u64) {
        prefetch::for_writing(self.inner.address(position).as_ptr());
    }

    /// Copies values to `position` and those behind it, around the array's end, in two runs at most. Of more values
    /// than the array is long, the first.
    #[inline]
    pub fn write_run(&self, position: u64, values: &[T]) {
        let length = self.inner.mask + 1;
        let values = values.get(..length).unwrap_or(values);
        let to_end = length - self.inner.index(position);
        let (first, rest) = values.split_at_checked(to_end).unwrap_or((values, &[]));
        for (position, run) in [(position, first), (0, rest)] {
            let bytes: &[u8] = bytemuck::try_cast_slice(run).unwrap_or_default(); // no bytes in values of size 0
            let target = self.inner.address(position).as_ptr();
            // SAFETY: from there to the end of the array there is room for the bytes of the run, in memory that is
            // mapped for writing; `bytes` is private memory that nobody writes meanwhile, since it is borrowed.
            unsafe { access::to_shared(bytes.as_ptr(), target, bytes.len()) };
        }
    }
}

impl<T> fmt::Debug for ReadValues<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadValues").field("length", &(self.mask + 1)).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("length", &(self.inner.mask + 1)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::offset::Span;
    use crate::region::Region;
    use bytemuck::Pod;
    use std::fmt::Debug;

    #[test]
    fn positions_wrap_and_only_values_are_read() {
        let region = Region::on_heap(64).unwrap();
        let (values, read) =
            (region.values::<[u8; 3]>(4).unwrap(), region.read_values::<[u8; 3]>(4).unwrap());
        for position in 0..8_u8 {
            values.write(position.into(), &[position, 1, 2]);
            assert_eq!(read.read(position.into()), Some([position, 1, 2]));
            assert_eq!(read.read(u64::from(position) + 4), Some([position, 1, 2]));
        }
        assert_eq!(
            region.read_value::<[u8; 16]>(0).unwrap(),
            [4, 1, 2, 5, 1, 2, 6, 1, 2, 7, 1, 2, 0, 0, 0, 0]
        );
        let flags = region.read_values::<bool>(16).unwrap();
        assert_eq!((flags.read(0), flags.read(1)), (None, Some(true)));
        let nothing = region.read_values::<()>(1 << 40).unwrap();
        assert_eq!(nothing.read(77), Some(()));
    }

    /// Behind a beginning that is a multiple of 8 and of nothing more.
    fn takes_its_own_bytes<T: Pod + PartialEq + Debug>() {
        let (bytes, guard) = (size_of::<T>(), 8);
        let whole = Region::on_heap(guard + 4 * bytes + guard).unwrap();
        whole.copy_in(0, &vec![0xEE; guard + 4 * bytes + guard]).unwrap();
        let values = whole.part(Span::new(guard, 4 * bytes)).unwrap().values::<T>(4).unwrap();
        let mut expected = vec![0xEE; guard + 4 * bytes + guard];
        for (position, at) in [(6_u64, 2), (1, 1), (3, 3_u8)] {
            let content = &mut expected[guard + usize::from(at) * bytes..][..bytes];
            content.iter_mut().zip((0..=255).cycle()).for_each(|(byte, number)| *byte = number ^ at << 6);
            let value: T = bytemuck::pod_read_unaligned(content);
            values.write(position, &value);
            assert_eq!(values.inner.read(position), Some(value), "{bytes} bytes");
            let mut found = vec![0; expected.len()];
            whole.copy_out(0, &mut found).unwrap();
            assert_eq!(found, expected, "{bytes} bytes");
        }
    }

    /// Around what is kept in registers, is copied by words, and by strings.
    #[test]
    fn values_of_all_sizes_are_written_where_they_belong_and_nowhere_else() {
        takes_its_own_bytes::<()>();
        takes_its_own_bytes::<[u8; 1]>();
        takes_its_own_bytes::<[u8; 8]>();
        takes_its_own_bytes::<[u8; 12]>();
        takes_its_own_bytes::<[u8; 127]>();
        takes_its_own_bytes::<[u64; 16]>();
        takes_its_own_bytes::<u128>();
        takes_its_own_bytes::<[u8; 129]>();
        takes_its_own_bytes::<[u64; 17]>();
        takes_its_own_bytes::<[u64; 129]>();
    }

    #[test]
    fn runs_go_around_the_end_and_no_further() {
        let region = Region::on_heap(64).unwrap();
        let values = region.values::<u8>(8).unwrap();
        values.write_run(6, &[1, 2, 3]);
        assert_eq!(region.read_value::<[u8; 9]>(0).unwrap(), [3, 0, 0, 0, 0, 0, 1, 2, 0]);
        values.write_run(16, &[7; 20]);
        assert_eq!(region.read_value::<[u8; 9]>(0).unwrap(), [7, 7, 7, 7, 7, 7, 7, 7, 0]);
        values.write_run(3, &[]);
        region.values::<()>(4).unwrap().write_run(3, &[(); 9]);
        assert_eq!(region.read_value::<[u8; 9]>(0).unwrap(), [7, 7, 7, 7, 7, 7, 7, 7, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let region = Region::on_heap(64).unwrap();
        assert!(region.values::<u64>(8).is_ok());
        assert!(matches!(region.values::<u64>(16), Err(Error::OutOfBounds { .. })));
        assert!(matches!(region.read_values::<u64>(1 << 61), Err(Error::OutOfBounds { .. })));
        assert!(matches!(region.read_values::<u64>(u64::MAX), Err(Error::Unaligned { .. })));
        for count in [0, 3, 6] {
            assert!(matches!(region.values::<u64>(count), Err(Error::Unaligned { .. })), "{count}");
        }
    }
}
