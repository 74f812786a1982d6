//! Each process on a processor of its own, where there are two.

use crate::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::OnceLock;

/// The processors for the two processes: the first two that this one was allowed when it was first asked,
/// before it pinned itself. `None` where there is only one: then the scheduler knows better.
pub fn two() -> Option<(usize, usize)> {
    static TWO: OnceLock<Option<(usize, usize)>> = OnceLock::new();
    *TWO.get_or_init(|| {
        let allowed = sched_getaffinity(None).ok()?;
        let mut processors = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
        Some((processors.next()?, processors.next()?))
    })
}

/// Pins the calling thread, and whatever it starts, to a processor.
///
/// # Errors
/// When the kernel refuses.
pub fn pin_to(processor: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(processor);
    Ok(sched_setaffinity(None, &one)?)
}
