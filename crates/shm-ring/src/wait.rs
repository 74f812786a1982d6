//! Waiting until somebody else has done something: `patience` says how long to look before going to sleep,
//! `pair` how one side of an SPSC ring sleeps and is woken, `crowd` how many do on one word, `vigil` how a sleeper
//! learns of a death.
//!
//! No wait depends on a count that a dead process can leave behind, and nobody is woken alone: a single woken
//! process may be killed before it runs, and the wake-up would go with it.

pub(crate) mod crowd;
pub(crate) mod pair;
pub(crate) mod patience;
pub(crate) mod sparse;
pub(crate) mod vigil;

use std::time::Duration;

/// The longest sleep between two looks at whether the other side still lives.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
/// The longest sleep where the heavy fence is not to be had.
pub(crate) const SLICE_WITHOUT_FENCE: Duration = Duration::from_millis(1);

/// How a blocking call spends the time until the other side has done something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Looks again and again. The shortest latency; takes a whole processor.
    Spin,
    /// Looks again for a while (as long as that has paid lately; not at all on a machine with one processor), lets
    /// others run on its processor once (while that pays), then sleeps.
    #[default]
    Adaptive,
    /// Sleeps at once.
    Sleep,
}

/// System calls made for waiting, since the handle was made. Private to this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitCounts {
    /// How often this side slept.
    pub sleeps: u64,
    /// How often this side woke the other.
    pub wakes: u64,
}
