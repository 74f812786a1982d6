//! Deadlines: absolute, on the monotonic clock, so that a wait that is interrupted and repeated
//! still ends when it should.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The moment at which a wait gives up.
///
/// ```
/// use shm_core::Deadline;
/// use std::time::Duration;
/// assert!(!Deadline::NEVER.has_passed());
/// assert!(Deadline::after(Duration::ZERO).has_passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Nanoseconds of the monotonic clock; `i64::MAX` (292 years) stands for never.
    monotonic_ns: i64,
}

impl Deadline {
    /// A deadline that never passes.
    pub const NEVER: Self = Self { monotonic_ns: i64::MAX };

    /// The present moment.
    pub fn now() -> Self {
        Self::read(ClockId::Monotonic)
    }

    /// The present moment, or one up to some milliseconds before it: as of the clock's last tick, which costs less.
    pub fn about_now() -> Self {
        Self::read(ClockId::MonotonicCoarse)
    }

    /// `timeout` from now. Longer than the clock can count is never.
    pub fn after(timeout: Duration) -> Self {
        Self::now().plus(timeout)
    }

    /// `timeout` after this moment.
    #[must_use]
    pub fn plus(self, timeout: Duration) -> Self {
        let nanos = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
        Self { monotonic_ns: self.monotonic_ns.saturating_add(nanos) }
    }

    /// Whether the moment has passed.
    pub fn has_passed(self) -> bool {
        self != Self::NEVER && Self::now() >= self
    }

    /// Whether the moment has passed, to within some milliseconds: it may say so that much late, and costs less.
    pub fn has_about_passed(self) -> bool {
        self != Self::NEVER && Self::about_now() >= self
    }

    fn read(clock: ClockId) -> Self {
        let now = clock_gettime(clock);
        Self { monotonic_ns: now.tv_sec.saturating_mul(NANOS_PER_SECOND).saturating_add(now.tv_nsec) }
    }

    /// Time left until the moment, zero when it has passed.
    pub fn remaining(self) -> Duration {
        let left = self.monotonic_ns.saturating_sub(Self::now().monotonic_ns);
        Duration::from_nanos(u64::try_from(left).unwrap_or(0))
    }

    /// As the kernel takes it: an absolute time, or `None` for never.
    pub(crate) fn timespec(self) -> Option<Timespec> {
        (self != Self::NEVER).then_some(Timespec {
            tv_sec: self.monotonic_ns / NANOS_PER_SECOND,
            tv_nsec: self.monotonic_ns % NANOS_PER_SECOND,
        })
    }
}
