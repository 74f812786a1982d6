//! Hints to the processor that a cache line is going to be needed. A hint never faults, whatever the address, and
//! changes nothing but how long a later access takes.

#![allow(unsafe_code)] // one instruction

/// The line is going to be read.
#[inline(always)]
pub(crate) fn for_reading(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which any address may be given.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which any address may be given; it changes no register and no flag.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// The line is going to be written: no other processor keeps a copy.
#[inline(always)]
pub(crate) fn for_writing(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // The compiler's own hint becomes one for reading, unless it is told that all processors have PREFETCHW. Those that
    // have not take it for no operation.
    // SAFETY: a hint, which any address may be given; it changes no register and no flag.
    unsafe {
        core::arch::asm!("prefetchw [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which any address may be given; it changes no register and no flag.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
