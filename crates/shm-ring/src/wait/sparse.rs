//! When to look at the clock in calls that cost less than a look.

use shm_core::Deadline;

/// Says in which calls to look at the clock: in all while they are slow, and in ever fewer while many fit between two
/// ticks of the coarse clock. So what is due is late by a few fast calls, or one slow one, but for the first few
/// after a change of pace: as many as go without a look at most.
#[derive(Debug)]
pub(crate) struct SparseLooks {
    left: u32,
    skips: u32,
    skips_max: u32,
    looked: Deadline,
}

impl SparseLooks {
    /// At most so many calls go without a look.
    pub(crate) fn new(skips_max: u32) -> Self {
        Self { left: 0, skips: 0, skips_max, looked: Deadline::NEVER }
    }

    /// Whether this call goes without a look. [`looked`](Self::looked) follows if not.
    #[inline(always)]
    pub(crate) fn skip(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// The next call looks, whatever the pace.
    pub(crate) fn look_next(&mut self) {
        self.left = 0;
    }

    /// Decides how many calls the next look is away, now that there is one.
    pub(crate) fn looked(&mut self) {
        self.looked_at(Deadline::about_now());
    }

    fn looked_at(&mut self, now: Deadline) {
        self.skips = if now == self.looked { (2 * self.skips + 1).min(self.skips_max) } else { 0 };
        self.looked = now;
        self.left = self.skips;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_fast_calls_go_without_a_look() {
        let mut looks = SparseLooks::new(15);
        let mut tick = Deadline::now();
        let mut calls_per_look = |fast: bool| {
            if !fast {
                tick = tick.plus(Duration::from_millis(4));
            }
            let skipped = (0..1000).take_while(|_| looks.skip()).count();
            looks.looked_at(tick);
            skipped
        };
        let slow: Vec<_> = (0..3).map(|_| calls_per_look(false)).collect();
        assert_eq!(slow, [0, 0, 0]);
        let fast: Vec<_> = (0..7).map(|_| calls_per_look(true)).collect();
        assert_eq!(fast, [0, 1, 3, 7, 15, 15, 15]);
        assert_eq!(calls_per_look(false), 15);
        assert_eq!(calls_per_look(false), 0);
        let mut looks = SparseLooks::new(15);
        (0..6).for_each(|_| looks.looked_at(tick));
        assert!(looks.skip());
        looks.look_next();
        assert!(!looks.skip());
    }
}
