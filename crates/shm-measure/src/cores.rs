//! Each process on a processor of its own, where there are two.

use crate::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::OnceLock;

/// Where the two processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On two processors.
    Apart,
    /// On one that they share.
    Same,
}

impl Placement {
    /// The processors of this process and of the other one. `None` leaves them to the scheduler: there is only one.
    pub fn processors(self) -> (Option<usize>, Option<usize>) {
        let all = allowed();
        match (self, all.first(), all.get(1)) {
            (Self::Apart, Some(&ours), Some(&theirs)) => (Some(ours), Some(theirs)),
            (Self::Same, Some(&both), _) => (Some(both), Some(both)),
            _ => (None, None),
        }
    }
}

/// The processors that this process was allowed when it was first asked, before it pinned itself.
pub fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|&number| set.is_set(number)).collect(),
        Err(_) => Vec::new(),
    })
}

/// The first two of them; `None` where there is only one.
pub fn two() -> Option<(usize, usize)> {
    Some((*allowed().first()?, *allowed().get(1)?))
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
