//! How long a blocking call looks before it sleeps, how often, and whether it lets others run first. Private to a
//! handle.

use crate::wait::WaitStrategy;
use shm_core::system;
use std::time::Duration;

/// Pauses, with a look at the ring behind each few, before sleeping, at most: about as long as going to sleep and being
/// woken takes.
const SPINS_MAX: u32 = 2000;
/// And at least, while spinning did not pay.
const SPINS_MIN: u32 = 8;
/// While spinning does not pay, every so many waits try it in full once more; fewer where yielding pays, because the
/// other side then shares this processor and can not answer meanwhile.
const WAITS_PER_TRIAL: u32 = 64;
const WAITS_PER_TRIAL_BESIDE_YIELDING: u32 = 4096;

/// A yield that takes longer went to somebody else's time slice.
pub(crate) const YIELD_MAX: Duration = Duration::from_micros(100);
/// Waits between two trials of yielding at most: while it finds nothing, and while it takes too long (a time slice is
/// some milliseconds).
const WAITS_PER_IDLE_YIELD: u32 = 64;
const WAITS_PER_LONG_YIELD: u32 = 65_536;

/// Pauses between two looks at the ring, while messages come one by one and while they stream.
const PAUSE_MIN: u32 = 1;
const PAUSE_MAX: u32 = 64;
/// So many times as many are made behind a wait that found more than one message: one such wait may only mean that
/// this side was interrupted; a stream makes many.
const PAUSE_GROWTH: u32 = 4;
/// From so many pauses on it is a stream.
const PAUSE_STREAM: u32 = 16;
/// A stream is suspected behind so many waits that did not find one, and then every so often: a trial takes as long as
/// several round trips, and not one round trip in a thousand is to be slower for it.
const SUSPICIONS: [u32; 5] = [16, 64, 256, 1024, 4096];
const SUSPICIONS_EVERY: u32 = 16_384;

/// The looks of one handle.
#[derive(Debug)]
pub(crate) struct Patience {
    strategy: WaitStrategy,
    /// Looks at the ring before sleeping; 0 for a side that does not spin at all.
    spins: u32,
    /// Waits since spinning paid.
    unpaid: u32,
    pause: u32,
    /// The pauses of the last wait, which may have been a trial.
    last_pause: u32,
    /// Waits since there was a stream.
    singles: u32,
    progress: u64,
    /// Waits from one yield to the next; 0 while yielding pays.
    yield_interval: u32,
    /// Of them, those still to come.
    until_yield: u32,
}

impl Patience {
    pub(crate) fn new(strategy: WaitStrategy) -> Self {
        let adaptive = strategy == WaitStrategy::Adaptive && system::processors() > 1;
        let spins = if adaptive { SPINS_MAX / 4 } else { 0 };
        Self {
            strategy,
            spins,
            unpaid: 0,
            pause: PAUSE_MIN,
            last_pause: PAUSE_MIN,
            singles: 0,
            progress: 0,
            yield_interval: 0,
            until_yield: 0,
        }
    }

    /// How many pauses to make between two looks, given the handle's `progress` so far.
    ///
    /// Each look takes the line that the other side is about to write away from it. Who answers one message with
    /// another loses by looking late; but who takes a stream and is always just behind makes the other side
    /// five times slower by looking often (measured: 15 against 75 million messages of 56 bytes a second with
    /// pauses of 16; where a line takes long, on two dies, pauses of 64 help again: 8 bytes, 44 against 79). The two
    /// are told apart by how many messages are there after a wait: one, or more the longer the wait was. So long
    /// pauses are tried now and then, and kept while they find more than one. (Who takes the first wait that found two
    /// for a stream makes several slow round trips of one that an interrupt made slow: one in a thousand of 64 bytes
    /// took 1.8 µs then, and 0.4 now.)
    pub(crate) fn pause(&mut self, progress: u64) -> u32 {
        let found_many = progress.wrapping_sub(self.progress) > 1;
        self.progress = progress;
        self.pause = if found_many { self.last_pause * PAUSE_GROWTH } else { self.pause / 2 }
            .clamp(PAUSE_MIN, PAUSE_MAX);
        let streams = self.pause >= PAUSE_STREAM;
        self.singles = if streams { 0 } else { self.singles.wrapping_add(1) };
        let due = SUSPICIONS.contains(&self.singles) || self.singles.is_multiple_of(SUSPICIONS_EVERY);
        self.last_pause = if due && !streams { PAUSE_MAX } else { self.pause };
        self.last_pause
    }

    /// How often to look before sleeping, with so many pauses between two looks; `None` is for ever.
    ///
    /// That the other side answered soon after we slept does not say that it would have answered had we spun:
    /// on a processor that both share it could not run. So only spinning itself tells whether it pays.
    pub(crate) fn looks(&self, pause: u32) -> Option<u32> {
        let per_trial =
            if self.yield_interval == 0 { WAITS_PER_TRIAL_BESIDE_YIELDING } else { WAITS_PER_TRIAL };
        let spins = match self.strategy {
            WaitStrategy::Spin => return None,
            _ if self.unpaid % per_trial == per_trial - 1 && self.spins > 0 => SPINS_MAX,
            _ => self.spins,
        };
        Some(spins.div_ceil(pause.max(1)))
    }

    /// The other side answered after so many looks.
    pub(crate) fn spinning_paid(&mut self, looks: u32, pause: u32) {
        let spins = looks.saturating_mul(pause);
        self.unpaid = 0;
        self.spins = self.spins.max(spins.saturating_mul(2)).min(SPINS_MAX);
    }

    /// It did not answer while we were spinning.
    pub(crate) fn spinning_did_not_pay(&mut self) {
        self.unpaid = self.unpaid.wrapping_add(1);
        if self.spins > 0 {
            self.spins = (self.spins / 2).max(SPINS_MIN);
        }
    }

    /// Whether to let others run on this processor before sleeping.
    ///
    /// If the other side is among them, two yields are a round trip, and both sleeps and both wake-ups are spared
    /// (measured: 2.8 µs for 64 bytes, 6.6 by sleeping, 5.2 over a pipe). If nobody is, it is one short system call
    /// before two long ones. If somebody else is, who wants all the time there is, each yield costs a time slice of
    /// milliseconds, which a sleeper that is woken would not have waited. So it is done while it pays.
    pub(crate) fn yields(&mut self) -> bool {
        if self.strategy != WaitStrategy::Adaptive {
            return false;
        }
        let now = self.until_yield == 0;
        self.until_yield = self.until_yield.saturating_sub(1);
        now
    }

    /// What came of a yield: whether the other side had answered then, and whether it took less than [`YIELD_MAX`].
    pub(crate) fn yielded(&mut self, answered: bool, quickly: bool) {
        let doubled = self.yield_interval.saturating_mul(2).max(1);
        self.yield_interval = match (answered, quickly) {
            (true, true) => 0,
            (false, true) => doubled.min(WAITS_PER_IDLE_YIELD.max(self.yield_interval)),
            (_, false) => doubled.clamp(WAITS_PER_IDLE_YIELD, WAITS_PER_LONG_YIELD),
        };
        self.until_yield = self.yield_interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adaptive() -> Patience {
        Patience { spins: SPINS_MIN, ..Patience::new(WaitStrategy::Adaptive) }
    }

    /// Waits until the next yield, that one not counted.
    fn waits_until_yield(patience: &mut Patience) -> u32 {
        (0..=WAITS_PER_LONG_YIELD).find(|_| patience.yields()).unwrap()
    }

    #[test]
    fn only_adaptive_waits_yield() {
        for strategy in [WaitStrategy::Spin, WaitStrategy::Sleep] {
            assert!(!Patience::new(strategy).yields());
        }
        assert!(adaptive().yields());
    }

    #[test]
    fn who_yields_in_vain_does_it_less_and_less_and_at_once_again_when_it_pays() {
        let mut patience = adaptive();
        for expected in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            patience.yielded(false, true);
            assert_eq!(waits_until_yield(&mut patience), expected);
        }
        patience.yielded(true, true);
        assert_eq!(waits_until_yield(&mut patience), 0);
    }

    #[test]
    fn time_slices_of_others_are_waited_for_rarely_even_if_there_is_an_answer_then() {
        let mut patience = adaptive();
        let mut expected = WAITS_PER_IDLE_YIELD;
        while expected < WAITS_PER_LONG_YIELD {
            patience.yielded(true, false);
            assert_eq!(waits_until_yield(&mut patience), expected);
            expected *= 2;
        }
        for (answered, quickly) in [(false, false), (true, false), (false, true)] {
            patience.yielded(answered, quickly);
            assert_eq!(waits_until_yield(&mut patience), WAITS_PER_LONG_YIELD);
        }
    }

    /// The pauses of so many waits that find so many messages each.
    fn pauses(patience: &mut Patience, waits: u32, messages: u64) -> Vec<u32> {
        (0..waits).map(|_| patience.pause(patience.progress + messages)).collect()
    }

    #[test]
    fn long_pauses_are_kept_while_they_find_more_than_one_message() {
        let mut patience = adaptive();
        let pauses_before = pauses(&mut patience, 16, 1);
        assert_eq!(pauses_before, [vec![1; 15], vec![64]].concat(), "the first trial");
        assert_eq!(pauses(&mut patience, 100, 2), [64; 100]);
        assert_eq!(pauses(&mut patience, 8, 1), [32, 16, 8, 4, 2, 1, 1, 1]);
        // It is suspected again as soon as at first.
        assert_eq!(pauses(&mut patience, 10, 1), [vec![1; 9], vec![64]].concat());
        assert_eq!(pauses(&mut patience, 3, 1), [1; 3], "that one found one");
    }

    #[test]
    fn who_was_held_up_once_hardly_waits_longer() {
        let mut patience = adaptive();
        pauses(&mut patience, 20_000, 1);
        let mut after = pauses(&mut patience, 1, 2);
        after.extend(pauses(&mut patience, 5000, 1));
        assert_eq!(after[..4], [4, 2, 1, 1]);
        assert!(after[4..].iter().all(|&pause| pause == 1));
        // Who is held up again and again takes a stream.
        assert_eq!(pauses(&mut patience, 4, 3), [4, 16, 64, 64]);
    }

    #[test]
    fn not_one_wait_in_a_thousand_is_a_trial() {
        let mut patience = adaptive();
        let trials = |waits: Vec<u32>| waits.iter().filter(|&&pause| pause == PAUSE_MAX).count();
        assert_eq!(trials(pauses(&mut patience, 16_383, 1)), 5);
        assert_eq!(trials(pauses(&mut patience, 160_000, 1)), 10);
    }

    /// The more pauses between two looks, the fewer looks.
    #[test]
    fn spinning_takes_the_same_time_however_long_the_pauses_are() {
        let mut patience = adaptive();
        patience.spins = SPINS_MAX;
        assert_eq!(patience.looks(1), Some(SPINS_MAX));
        assert_eq!(patience.looks(16), Some(SPINS_MAX / 16));
        patience.spins = SPINS_MIN;
        assert_eq!(patience.looks(16), Some(1));
        patience.spinning_paid(3, 16);
        assert_eq!(patience.spins, 96);
        assert_eq!(Patience::new(WaitStrategy::Spin).looks(1), None);
        assert_eq!(Patience::new(WaitStrategy::Sleep).looks(1), Some(0));
    }

    #[test]
    fn spinning_is_tried_in_full_now_and_then_and_rarely_where_yielding_pays() {
        let trials = |yielding_pays: bool| {
            let mut patience = adaptive();
            patience.yielded(yielding_pays, true);
            let waits = 0..WAITS_PER_TRIAL_BESIDE_YIELDING;
            let full = waits.filter(|_| {
                let full = patience.looks(1) == Some(SPINS_MAX);
                patience.spinning_did_not_pay();
                full
            });
            full.count()
        };
        assert_eq!(trials(true), 1);
        assert_eq!(trials(false), 64);
    }
}
