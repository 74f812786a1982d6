//! Sleeping until the other side has done something, and waking the other side: no system call while
//! both are awake, and no wake-up is lost.
//!
//! Each side owns three words in its own region: `sleep`, odd while it is arming or asleep and new at
//! every arming; `wake`, on which *the other* sleeps; `notice`.
//!
//! ```text
//! sleeper                                    publisher
//! seen = peer.wake            A1             publish
//! sleep = next odd value                     light fence              F6
//! heavy fence                 F7             z = peer.sleep
//! look again; found: sleep + 1               z not the one I saw last: remember it, and if it is odd
//! sleep while peer.wake == seen                  wake + 1 (R1); FUTEX_WAKE all
//! ```
//!
//! # Why no wake-up is lost
//! By the two fences, either the look sees what was published, or the publisher sees `z`. In the second
//! case `wake` changes after `seen` was read (the sleeper read it before it stored `z`), so either the
//! kernel finds another value and refuses the sleep, or the sleeper is queued and the wake reaches it. `z` is
//! never used again, so remembering it never hides a sleeper, and a sleeper that died costs its publisher one
//! system call, not one per message. A publisher killed before it wakes is answered by its life word, on
//! which the sleeper sleeps as well, by its successor, which wakes unconditionally, or by the slice that bounds
//! every sleep. Model: `docs/crash.md`.
//!
//! A slice that ends without a wake-up ends no arming: `sleep` and `seen` stay as they are, and the sleeper looks, and
//! sleeps again. Who publishes after the fence sees `z` however long ago it was stored, and then changes `wake`, so
//! that the kernel refuses the sleep. At rest nobody pays for fences.
//!
//! # The fences
//! The heavy one is `membarrier(GLOBAL_EXPEDITED)`: it executes a full fence on every processor that runs
//! a registered process, so that registered publishers need only keep the compiler from reordering. A
//! publisher that could not register executes a full fence each time; a sleeper that may not call membarrier can
//! not know which its publisher is, and sleeps in slices of a millisecond. Nobody switches at run time.

use crate::error::Result;
use crate::layout::spsc::{NOTICE_OFFSET, SLEEP_OFFSET, WAKE_OFFSET};
use crate::wait::vigil::Vigil;
use crate::wait::{SLICE_WITHOUT_FENCE, WaitCounts};
use shm_core::sync::{Ordering, fence, light_fence};
use shm_core::{Deadline, Event, Listener, ReadWord, Region, Word, system};
use std::sync::OnceLock;

#[cfg(all(test, loom))]
mod model;

/// One side's part in waiting.
#[derive(Debug)]
pub(crate) struct Waiter {
    sleep: Word<u64>,
    wake: Event,
    peer_sleep: ReadWord<u64>,
    peer_wake: Listener,
    /// Notices the other side, or a remover, left for us.
    peer_notice: ReadWord<u32>,
    notice: Word<u32>,
    /// The last value of `peer_sleep` that was looked at; if it was odd, we woke it.
    seen_sleep: u64,
    light_fence: bool,
    counts: WaitCounts,
}

/// A promise to sleep only if nothing has happened since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    seen: u32,
    /// Where the heavy fence is not to be had, sleeps are short.
    longest: Deadline,
}

impl Waiter {
    /// The wait words at `own` and `peer` offsets of the two regions.
    pub(crate) fn new(own: (&Region, usize), peer: (&Region, usize)) -> Result<Self> {
        Ok(Self {
            sleep: own.0.word(own.1 + SLEEP_OFFSET)?,
            wake: Event::new(own.0, own.1 + WAKE_OFFSET)?,
            notice: own.0.word(own.1 + NOTICE_OFFSET)?,
            peer_sleep: peer.0.read_word(peer.1 + SLEEP_OFFSET)?,
            peer_wake: Listener::new(peer.0, peer.1 + WAKE_OFFSET)?,
            peer_notice: peer.0.read_word(peer.1 + NOTICE_OFFSET)?,
            seen_sleep: 0,
            light_fence: registered(),
            counts: WaitCounts::default(),
        })
    }

    /// Notices left for us; 0 is none.
    #[inline(always)]
    pub(crate) fn peer_notice(&self) -> u32 {
        self.peer_notice.load(Ordering::Relaxed) // a hint: whoever leaves one wakes us as well
    }

    /// All notices, ours included.
    pub(crate) fn notices(&self) -> u32 {
        self.peer_notice() | self.notice.load(Ordering::Relaxed) // as above
    }

    /// Leaves a notice for the other side.
    pub(crate) fn leave_notice(&self, notice: u32) {
        self.notice.fetch_or(notice, Ordering::Relaxed); // a hint, see `peer_notice`
    }

    /// After publishing: wakes the other side if it sleeps.
    #[inline(always)]
    pub(crate) fn notify(&mut self) {
        if self.light_fence {
            light_fence(Ordering::SeqCst); // F6 pairs with F7
        } else {
            fence(Ordering::SeqCst); // F8 pairs with F7
        }
        let sleep = self.peer_sleep.load(Ordering::Relaxed); // ordered by F6 or F8
        if sleep != self.seen_sleep {
            self.wake_sleeper(sleep);
        }
    }

    #[cold]
    fn wake_sleeper(&mut self, sleep: u64) {
        self.seen_sleep = sleep;
        if sleep & 1 == 1 {
            self.wake();
        }
    }

    /// Wakes the other side whether it sleeps or not: what a newcomer does once, for a predecessor that was
    /// killed between publishing and waking.
    pub(crate) fn wake(&mut self) {
        self.counts.wakes += 1;
        // FUTEX_WAKE on mapped memory has no way to fail; if it did, the sleeper would look again within a slice,
        // and that what was published is published would still be true.
        let _ = self.wake.signal();
    }

    /// Says that we are about to sleep. Look again before [`sleep`](Self::sleep), and [`disarm`](Self::disarm)
    /// when something was there.
    pub(crate) fn arm(&mut self) -> Armed {
        let seen = self.peer_wake.count();
        let sleep = self.sleep.load(Ordering::Relaxed); // own
        self.sleep.store(sleep.wrapping_add(1) | 1, Ordering::Relaxed); // ordered by F7
        let longest =
            if system::heavy_fence() { Deadline::NEVER } else { Deadline::after(SLICE_WITHOUT_FENCE) };
        fence(Ordering::SeqCst); // F7 pairs with F6 F8
        Armed { seen, longest }
    }

    /// Takes the arming back.
    pub(crate) fn disarm(&mut self) {
        let sleep = self.sleep.load(Ordering::Relaxed); // own
        self.sleep.store((sleep | 1).wrapping_add(1), Ordering::Relaxed); // a hint: spares a wake-up
    }

    /// Sleeps until woken, until somebody under `vigil` dies, or until `until`. May return early.
    pub(crate) fn sleep(&mut self, armed: Armed, until: Deadline, vigil: &mut Vigil) -> Result<()> {
        self.counts.sleeps += 1;
        vigil.sleep((self.peer_wake.word(), armed.seen), until.min(armed.longest))?;
        Ok(())
    }

    pub(crate) fn counts(&self) -> WaitCounts {
        self.counts
    }
}

/// Registers this process as a publisher, once; whether light fences are enough for it.
fn registered() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(system::register_for_heavy_fences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Waiter, Waiter) {
        let region = Region::on_heap(256).unwrap();
        let new = |own, peer| Waiter::new((&region, own), (&region, peer)).unwrap();
        (new(0, 128), new(128, 0))
    }

    #[test]
    fn only_a_sleeper_is_woken_and_once_for_each_arming() {
        let (mut sleeper, mut publisher) = pair();
        publisher.notify();
        assert_eq!(publisher.counts().wakes, 0);
        for arming in 1..4 {
            sleeper.arm();
            for _ in 0..3 {
                publisher.notify();
            }
            assert_eq!(publisher.counts().wakes, arming);
        }
        sleeper.disarm();
        publisher.notify();
        assert_eq!(publisher.counts().wakes, 3);
    }

    #[test]
    fn a_publication_between_arming_and_sleeping_refuses_the_sleep() {
        let (mut sleeper, mut publisher) = pair();
        let armed = sleeper.arm();
        publisher.notify();
        sleeper.sleep(armed, Deadline::NEVER, &mut Vigil::new(false)).unwrap(); // for ever otherwise
        assert_ne!(sleeper.peer_wake.count(), armed.seen);
    }
    #[test]
    fn each_arming_is_odd_and_new_whatever_stood_there() {
        for before in [0, 1, 2, 7, u64::MAX - 1, u64::MAX] {
            let (mut sleeper, _) = pair();
            sleeper.sleep.store(before, Ordering::Relaxed); // one thread
            sleeper.arm();
            let armed = sleeper.sleep.load(Ordering::Relaxed); // one thread
            assert_eq!(armed & 1, 1, "{before}");
            assert_ne!(armed, before, "{before}");
            sleeper.disarm();
            let disarmed = sleeper.sleep.load(Ordering::Relaxed); // one thread
            assert_eq!(disarmed, armed.wrapping_add(1));
            sleeper.disarm();
            let again = sleeper.sleep.load(Ordering::Relaxed); // one thread
            assert_eq!(again & 1, 0);
        }
    }

    #[test]
    fn notices_stay_and_are_seen_by_both() {
        let (one, other) = pair();
        assert_eq!((one.peer_notice(), one.notices()), (0, 0));
        one.leave_notice(1);
        one.leave_notice(1);
        assert_eq!((one.peer_notice(), one.notices()), (0, 1));
        assert_eq!((other.peer_notice(), other.notices()), (1, 1));
        other.leave_notice(2);
        assert_eq!((one.peer_notice(), one.notices(), other.notices()), (2, 3, 3));
        one.leave_notice(2);
        assert_eq!((one.notices(), other.notices()), (3, 3));
    }

    /// Sleeps and wake-ups are counted, wake-ups of a newcomer too.
    #[test]
    fn system_calls_are_counted() {
        let (mut sleeper, mut publisher) = pair();
        publisher.wake();
        let armed = sleeper.arm();
        publisher.wake();
        sleeper.sleep(armed, Deadline::NEVER, &mut Vigil::new(false)).unwrap(); // for ever otherwise
        assert_eq!(sleeper.counts(), WaitCounts { sleeps: 1, wakes: 0 });
        assert_eq!(publisher.counts(), WaitCounts { sleeps: 0, wakes: 2 });
    }
}
