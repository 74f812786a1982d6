//! How long a blocking call looks before it sleeps, and how often. Private to a handle.

use crate::wait::WaitStrategy;
use shm_core::system;

/// Looks at the ring before sleeping, at most: about as long as going to sleep and being woken takes, and up to
/// [`PAUSE_MAX`] times that where a stream keeps the pauses long.
const SPINS_MAX: u32 = 2000;
/// And at least, while spinning did not pay.
const SPINS_MIN: u32 = 8;
/// While spinning does not pay, every so many waits try it in full once more.
const WAITS_PER_TRIAL: u32 = 64;

/// Pauses between two looks at the ring, while messages come one by one and while they stream.
const PAUSE_MIN: u32 = 1;
const PAUSE_MAX: u32 = 16;
/// A stream is suspected behind so many waits that found one message each, and then every so often: less than once
/// in a thousand waits on both sides together.
const SUSPICIONS: [u32; 4] = [16, 64, 256, 1024];
const SUSPICIONS_EVERY: u32 = 4096;

/// The looks of one handle.
#[derive(Debug)]
pub(crate) struct Patience {
    strategy: WaitStrategy,
    /// Looks at the ring before sleeping; 0 for a side that does not spin at all.
    spins: u32,
    /// Waits since spinning paid.
    unpaid: u32,
    pause: u32,
    /// Waits since one found more than one message.
    singles: u32,
    progress: u64,
}

impl Patience {
    pub(crate) fn new(strategy: WaitStrategy) -> Self {
        let adaptive = strategy == WaitStrategy::Adaptive && system::processors() > 1;
        let spins = if adaptive { SPINS_MAX / 4 } else { 0 };
        Self { strategy, spins, unpaid: 0, pause: PAUSE_MIN, singles: 0, progress: 0 }
    }

    /// How many pauses to make between two looks, given the handle's `progress` so far.
    ///
    /// Each look takes the line that the other side is about to write away from it. Who answers one message with
    /// another loses by looking late; but who takes a stream and is always just behind makes the other side
    /// five times slower by looking often (measured: 15 against 75 million messages of 56 bytes a second). The two
    /// are told apart by how many messages are there after a wait: one, or more the longer the wait was. So long
    /// pauses are tried now and then, and kept while they find more than one.
    pub(crate) fn pause(&mut self, progress: u64) -> u32 {
        let since_last_wait = progress.wrapping_sub(self.progress);
        self.progress = progress;
        if since_last_wait > 1 {
            self.singles = 0;
            self.pause = PAUSE_MAX;
            return PAUSE_MAX;
        }
        self.singles = self.singles.wrapping_add(1);
        self.pause = (self.pause / 2).max(PAUSE_MIN);
        let suspected = SUSPICIONS.contains(&self.singles) || self.singles.is_multiple_of(SUSPICIONS_EVERY);
        if suspected { PAUSE_MAX } else { self.pause }
    }

    /// How often to look before sleeping; `None` is for ever.
    ///
    /// That the other side answered soon after we slept does not say that it would have answered had we spun:
    /// on a processor that both share it could not run. So only spinning itself tells whether it pays.
    pub(crate) fn spins(&self) -> Option<u32> {
        match self.strategy {
            WaitStrategy::Spin => None,
            _ if self.unpaid % WAITS_PER_TRIAL == WAITS_PER_TRIAL - 1 && self.spins > 0 => Some(SPINS_MAX),
            _ => Some(self.spins),
        }
    }

    /// The other side answered after `spins` looks.
    pub(crate) fn spinning_paid(&mut self, spins: u32) {
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
}
