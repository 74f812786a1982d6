//! Copies between private memory and memory that another process may write at the same time.
//!
//! A plain `memcpy` from bytes that change meanwhile is undefined behaviour in the language's model,
//! and its compiled form is free to read a byte twice. So the shared side is touched by relaxed atomic
//! words, each exactly once; long runs on x86-64 use the processor's string copy, whose effect on
//! memory the compiler does not look into. What arrives may be a mixture of old and new bytes when the
//! other side breaks the protocol; it is always *some* bytes, and they stay as they are once copied.
//!
//! The idea of a byte-wise atomic copy is that of C++ paper P1478. Rust's standard library does not promise what
//! racing atomic accesses of different sizes do; they happen here only when a peer breaks the protocol, or a
//! user of raw regions races with himself at overlapping places. Processors give some mixture of bytes.

#![allow(unsafe_code)] // raw pointers into shared memory: this file, `access` and `region` only

use crate::sync::{AtomicU64, Ordering};
use bytemuck::NoUninit;
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicU8;

const WORD: usize = size_of::<u64>();

/// From here on the string copy of x86-64 is faster than a loop of words (measured on Zen 5).
#[cfg(target_arch = "x86_64")]
const STRING_COPY_BYTES: usize = 1024;

/// Values of whole words and no more bytes may be kept in registers.
const SHORT_BYTES: usize = 128;

/// Copies `length` shared bytes at `source` to private memory at `target`.
///
/// # Safety
/// `source` is valid for atomic reads and `target` for writes of `length` bytes, and they do not overlap.
#[inline(always)]
pub(crate) unsafe fn from_shared(source: *const u8, target: *mut u8, length: usize) {
    #[cfg(shmring_hostile)]
    crate::hostile::before_load(source, length);
    #[cfg(target_arch = "x86_64")]
    if length >= STRING_COPY_BYTES {
        // SAFETY: the caller's promise, unchanged.
        return unsafe { string_copy(source, target, length) };
    }
    if source.cast::<u64>().is_aligned() {
        // SAFETY: the caller's promise, and aligned.
        unsafe { words_from_shared(source, target, length) }
    } else {
        // SAFETY: the caller's promise, unchanged.
        unsafe { unaligned_from_shared(source, target, length) }
    }
}

/// Copies a value's bytes out of shared memory, so that the compiler can keep a short one in registers: nothing takes
/// the address of where whole words arrive. If they lay in memory, whatever copies the value on would load several
/// words at once behind stores of single ones, and a processor waits then until these have left for its cache (64
/// bytes: 43 million a second, and 150 in registers).
///
/// # Safety
/// `source` is valid for atomic reads of the value's bytes, and aligned to a word if the value is whole words.
#[inline(always)]
pub(crate) unsafe fn value_from_shared<T>(source: *const u8) -> MaybeUninit<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let (target, length) = (value.as_mut_ptr().cast(), size_of::<T>());
    if const { size_of::<T>() <= SHORT_BYTES && size_of::<T>().is_multiple_of(WORD) } {
        #[cfg(shmring_hostile)]
        crate::hostile::before_load(source, length);
        // SAFETY: the caller's promise; `value` has room for the bytes.
        unsafe { words_from_shared(source, target, length) };
    } else {
        // SAFETY: the caller's promise; `value` has room for the bytes.
        unsafe { from_shared(source, target, length) };
    }
    value
}

/// Copies `length` private bytes at `source` to shared memory at `target`.
///
/// # Safety
/// `source` is valid for reads and `target` for atomic writes of `length` bytes, and they do not overlap.
#[inline(always)]
pub(crate) unsafe fn to_shared(source: *const u8, target: *mut u8, length: usize) {
    #[cfg(shmring_hostile)]
    if !crate::hostile::before_store(target, length) {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if length >= STRING_COPY_BYTES {
        // SAFETY: the caller's promise, unchanged.
        return unsafe { string_copy(source, target, length) };
    }
    if target.cast::<u64>().is_aligned() {
        // SAFETY: the caller's promise, and aligned.
        unsafe { words_to_shared(source, target, length) }
    } else {
        // SAFETY: the caller's promise, unchanged.
        unsafe { unaligned_to_shared(source, target, length) }
    }
}

/// Copies a value's bytes into shared memory. Of a short one of whole words the compiler makes a store for each.
///
/// # Safety
/// `target` is valid for atomic writes of the value's bytes, and aligned to a word if the value is whole words.
#[inline(always)]
pub(crate) unsafe fn value_to_shared<T: NoUninit>(value: &T, target: *mut u8) {
    let bytes = bytemuck::bytes_of(value);
    if const { size_of::<T>() <= SHORT_BYTES && size_of::<T>().is_multiple_of(WORD) } {
        #[cfg(shmring_hostile)]
        if !crate::hostile::before_store(target, bytes.len()) {
            return;
        }
        // SAFETY: the caller's promise; `bytes` is private memory that nobody writes meanwhile, since it is borrowed.
        unsafe { words_to_shared(bytes.as_ptr(), target, bytes.len()) };
    } else {
        // SAFETY: as above.
        unsafe { to_shared(bytes.as_ptr(), target, bytes.len()) };
    }
}

/// Words, and the bytes behind the last of them.
///
/// # Safety
/// As [`from_shared`], and `source` is aligned to a word.
#[inline(always)]
unsafe fn words_from_shared(source: *const u8, target: *mut u8, length: usize) {
    let mut done = 0;
    while length - done >= WORD {
        let word = source.wrapping_add(done).cast::<AtomicU64>();
        // SAFETY: a multiple of eight behind an aligned address, and its eight bytes lie below `length`. The reference
        // to an atomic lives for this expression only.
        let value = unsafe { &*word }.load(Ordering::Relaxed); // payload
        // SAFETY: eight bytes below `length` of the caller's private target; alignment is not needed.
        unsafe { target.wrapping_add(done).cast::<u64>().write_unaligned(value) };
        done += WORD;
    }
    while done < length {
        // SAFETY: `done < length`, within what the caller promised.
        unsafe { byte_from_shared(source, target, done) };
        done += 1;
    }
}

/// As [`words_from_shared`], the other way.
///
/// # Safety
/// As [`to_shared`], and `target` is aligned to a word.
#[inline(always)]
unsafe fn words_to_shared(source: *const u8, target: *mut u8, length: usize) {
    let mut done = 0;
    while length - done >= WORD {
        // SAFETY: eight bytes below `length` of the caller's private source; alignment is not needed.
        let value = unsafe { source.wrapping_add(done).cast::<u64>().read_unaligned() };
        let word = target.wrapping_add(done).cast::<AtomicU64>();
        // SAFETY: a multiple of eight behind an aligned address, and its eight bytes lie below `length`. The reference
        // to an atomic lives for this expression only.
        unsafe { &*word }.store(value, Ordering::Relaxed); // payload
        done += WORD;
    }
    while done < length {
        // SAFETY: `done < length`, within what the caller promised.
        unsafe { byte_to_shared(source, target, done) };
        done += 1;
    }
}

/// Bytes up to the first word, then words. Not inlined, because what the rings carry is aligned.
///
/// # Safety
/// As [`from_shared`].
#[inline(never)]
unsafe fn unaligned_from_shared(source: *const u8, target: *mut u8, length: usize) {
    let head = source.align_offset(WORD).min(length);
    for index in 0..head {
        // SAFETY: `index < head <= length`, within what the caller promised.
        unsafe { byte_from_shared(source, target, index) };
    }
    let (source, target) = (source.wrapping_add(head), target.wrapping_add(head));
    // SAFETY: what is left of what the caller promised; aligned, or nothing is left.
    unsafe { words_from_shared(source, target, length - head) };
}

/// As [`unaligned_from_shared`], the other way.
///
/// # Safety
/// As [`to_shared`].
#[inline(never)]
unsafe fn unaligned_to_shared(source: *const u8, target: *mut u8, length: usize) {
    let head = target.align_offset(WORD).min(length);
    for index in 0..head {
        // SAFETY: `index < head <= length`, within what the caller promised.
        unsafe { byte_to_shared(source, target, index) };
    }
    let (source, target) = (source.wrapping_add(head), target.wrapping_add(head));
    // SAFETY: what is left of what the caller promised; aligned, or nothing is left.
    unsafe { words_to_shared(source, target, length - head) };
}

/// One byte out of shared memory.
///
/// # Safety
/// `index` lies within two valid runs of bytes, the first of them shared.
#[inline]
unsafe fn byte_from_shared(source: *const u8, target: *mut u8, index: usize) {
    // SAFETY: valid for an atomic read by the caller's promise; a byte is always aligned.
    let value = unsafe { &*source.wrapping_add(index).cast::<AtomicU8>() }.load(Ordering::Relaxed); // payload
    // SAFETY: valid for a write by the caller's promise.
    unsafe { target.wrapping_add(index).write(value) };
}

/// One byte into shared memory.
///
/// # Safety
/// `index` lies within two valid runs of bytes, the second of them shared.
#[inline]
unsafe fn byte_to_shared(source: *const u8, target: *mut u8, index: usize) {
    // SAFETY: valid for a read by the caller's promise.
    let value = unsafe { source.wrapping_add(index).read() };
    // SAFETY: valid for an atomic write by the caller's promise; a byte is always aligned.
    unsafe { &*target.wrapping_add(index).cast::<AtomicU8>() }.store(value, Ordering::Relaxed); // payload
}

/// `rep movsb`. To the compiler an assembly block that reads and writes memory is a call it knows
/// nothing of, so the bytes may change meanwhile without undefined behaviour.
///
/// # Safety
/// `source` is valid for reads and `target` for writes of `length` bytes, and they do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn string_copy(source: *const u8, target: *mut u8, length: usize) {
    // SAFETY: reads and writes just the bytes the caller promised; the direction flag is clear on entry
    // to any assembly block, and all three registers it changes are declared.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") length => _,
            inout("rsi") source => _,
            inout("rdi") target => _,
            options(nostack, preserves_flags)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All alignments and lengths around the word and string-copy borders, with guard bytes outside.
    #[test]
    fn copies_exactly_what_was_asked() {
        let source: Vec<u8> = (0..4096u32).map(|i| (i * 7 + i / 256).to_le_bytes()[0]).collect();
        for length in (0..40).chain(1000..1048).chain([4000]) {
            for skew in 0..9 {
                for copy in [to_shared, from_shared] {
                    let mut target = vec![0xEE_u8; 4200];
                    let from = source.as_ptr().wrapping_add(skew);
                    let at = target.as_mut_ptr().wrapping_add(16 - skew);
                    // SAFETY: both runs lie within their vectors: 8 + 4000 <= 4096 and 16 + 4000 <= 4200.
                    unsafe { copy(from, at, length) };
                    let start = 16 - skew;
                    assert!(target[..start].iter().all(|&b| b == 0xEE));
                    assert_eq!(&target[start..start + length], &source[skew..skew + length]);
                    assert!(target[start + length..].iter().all(|&b| b == 0xEE));
                }
            }
        }
    }
}
