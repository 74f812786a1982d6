//! Sleeping on a word that many share: all who wait for messages on one, all who wait for space on another.
//!
//! The word holds a generation and a state. Generations make every value new, so that a sleeper that is late
//! finds another one and does not sleep.
//!
//! ```text
//! sleeper                                    publisher
//! word armed: keep its value                 exchange a slot
//!   else CAS to {g + 1, armed}        X1     full fence                         F10
//! full fence                          F9     word idle: done
//! look again                                   else CAS to {g + 1, waking}      X2
//! futex wait while the word is so            FUTEX_WAKE all
//! from the start; nobody disarms             CAS {g + 1, waking} to {g + 1, idle}   X3
//! ```
//!
//! # Why no wake-up is lost
//! By the two fences, either the look sees what was published, or the publisher finds the word not idle. Then
//! the word changes before the wake-up, so a sleeper either is queued and woken, or fails the kernel's comparison.
//! Idle is only reached from the very value that a publisher installed, after its own wake-up of all, with
//! nobody armed since. A publisher that is killed or stopped anywhere in between leaves the word *not* idle, so the
//! next one wakes. There is no count of sleepers that a dead one could leave behind, and no single one is
//! woken, who could die with the wake-up. The model checker's shorter protocols that lose wake-ups, and the
//! states explored for this one: `docs/crash.md`.
//!
//! A generation has 30 bits: a sleeper that is held up between its look and the kernel's comparison while
//! exactly a multiple of 2^30 wake-ups pass would sleep once to the end of its slice.

use crate::error::Result;
use crate::layout::mpmc::{WAIT_ARMED, WAIT_IDLE, WAIT_STATE_BITS, WAIT_WAKING};
use crate::wait::vigil::Vigil;
use shm_core::sync::{Ordering, compiler_fence, fence};
use shm_core::{Deadline, Listener, Region, Word};

#[cfg(all(test, loom))]
mod model;

const STATE_MASK: u32 = (1 << WAIT_STATE_BITS) - 1;

/// A word that many sleep on and many wake.
#[derive(Debug)]
pub(crate) struct Crowd {
    word: Word<u32>,
    listener: Listener,
}

impl Crowd {
    /// The wait word at `offset`.
    pub(crate) fn new(region: &Region, offset: usize) -> Result<Self> {
        Ok(Self { word: region.word(offset)?, listener: Listener::new(region, offset)? })
    }

    /// After a slot was exchanged: wakes all, if anybody sleeps. Whether it did.
    #[inline(always)]
    pub(crate) fn notify(&self) -> bool {
        if cfg!(all(target_arch = "x86_64", not(loom))) {
            // The exchange was a locked instruction, which is a full fence on this processor.
            compiler_fence(Ordering::SeqCst); // F10 pairs with F9
        } else {
            fence(Ordering::SeqCst); // F11 pairs with F9
        }
        let seen = self.word.load(Ordering::Relaxed); // ordered by F10 or F11
        seen & STATE_MASK != WAIT_IDLE && self.wake(seen)
    }

    /// After anything else that sleepers are to learn of: as [`notify`](Self::notify).
    pub(crate) fn announce(&self) -> bool {
        fence(Ordering::SeqCst); // F12 pairs with F9
        let seen = self.word.load(Ordering::Relaxed); // ordered by F12
        seen & STATE_MASK != WAIT_IDLE && self.wake(seen)
    }

    #[cold]
    fn wake(&self, mut seen: u32) -> bool {
        let waking = loop {
            if seen & STATE_MASK == WAIT_IDLE {
                return false; // somebody else has woken all since
            }
            let waking = next(seen, WAIT_WAKING);
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed); // X2 pairs with X1 X3
            match self.word.compare_exchange(seen, waking, success, failure) {
                Ok(_) => break waking,
                Err(now) => seen = now,
            }
        };
        // FUTEX_WAKE on mapped memory has no way to fail; if it did, the word stays not idle, and the next publisher
        // tries again.
        if self.word.wake_all().is_ok() {
            let idle = (waking & !STATE_MASK) | WAIT_IDLE;
            // Fails when somebody armed, or wakes, meanwhile: then it is theirs.
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed); // X3 pairs with X1 X2
            let _ = self.word.compare_exchange(waking, idle, success, failure);
        }
        true
    }

    /// Says that we are about to sleep. Look again before [`sleep`](Self::sleep).
    pub(crate) fn arm(&self) -> u32 {
        let mut seen = self.word.load(Ordering::Relaxed); // ordered by F9
        while seen & STATE_MASK != WAIT_ARMED {
            let armed = next(seen, WAIT_ARMED);
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed); // X1 pairs with X2 X3
            match self.word.compare_exchange(seen, armed, success, failure) {
                Ok(_) => seen = armed,
                Err(now) => seen = now,
            }
        }
        fence(Ordering::SeqCst); // F9 pairs with F10 F11 F12
        seen
    }

    /// Sleeps until woken, until somebody under `vigil` dies, or until the deadline, unless the word has changed
    /// since it was `armed`. May return early.
    pub(crate) fn sleep(&self, armed: u32, until: Deadline, vigil: &mut Vigil) -> Result<()> {
        if vigil.sleep((self.listener.word(), armed), until)? {
            // The kernel wakes one of those who sleep on a life word: whoever it is wakes the others.
            self.announce();
        }
        Ok(())
    }
}

/// The next generation, in a state.
fn next(word: u32, state: u32) -> u32 {
    ((word >> WAIT_STATE_BITS).wrapping_add(1) << WAIT_STATE_BITS) | state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> Crowd {
        Crowd::new(&Region::on_heap(64).unwrap(), 0).unwrap()
    }

    #[test]
    fn one_arming_is_woken_once_and_leaves_the_word_idle() {
        let crowd = crowd();
        assert!(!crowd.notify());
        for _ in 0..3 {
            crowd.arm();
            assert!(crowd.notify());
            assert!(!crowd.notify());
        }
    }

    #[test]
    fn a_second_sleeper_keeps_the_first_ones_value() {
        let crowd = crowd();
        assert_eq!(crowd.arm(), crowd.arm());
    }

    #[test]
    fn a_wake_between_arming_and_sleeping_refuses_the_sleep() {
        let crowd = crowd();
        let armed = crowd.arm();
        assert!(crowd.announce());
        crowd.sleep(armed, Deadline::NEVER, &mut Vigil::new(false)).unwrap(); // for ever otherwise
    }

    /// One publication, many sleepers, and nobody who looks around: whoever is not woken sleeps for ever.
    #[test]
    fn one_wake_wakes_all() {
        let region = Region::on_heap(64).unwrap();
        let (asleep, is_asleep) = std::sync::mpsc::channel();
        let sleepers = [0; 4].map(|_| {
            let (region, asleep) = (region.clone(), asleep.clone());
            std::thread::spawn(move || {
                let crowd = Crowd::new(&region, 0).unwrap();
                let armed = crowd.arm();
                let itself = std::fs::read_link("/proc/thread-self").unwrap();
                asleep.send(std::path::Path::new("/proc").join(itself).join("syscall")).unwrap();
                crowd
                    .sleep(armed, Deadline::after(std::time::Duration::from_secs(60)), &mut Vigil::new(false))
                    .unwrap();
                armed != crowd.arm()
            })
        });
        // In the system call, which the kernel tells of those who sleep.
        for path in is_asleep.iter().take(sleepers.len()) {
            let begun = std::time::Instant::now();
            let sleeps = || std::fs::read_to_string(&path).is_ok_and(|call| !call.starts_with("running"));
            while !sleeps() && begun.elapsed() < std::time::Duration::from_secs(1) {
                std::thread::yield_now();
            }
        }
        let begun = std::time::Instant::now();
        assert!(Crowd::new(&region, 0).unwrap().notify());
        assert!(sleepers.into_iter().all(|sleeper| sleeper.join().unwrap()));
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "some slept until their deadline");
    }

    /// As a publisher killed after its first step leaves it.
    #[test]
    fn a_wake_that_was_begun_is_done_by_the_next_publisher() {
        let crowd = crowd();
        let armed = crowd.arm();
        crowd.word.store(next(armed, WAIT_WAKING), Ordering::Relaxed); // one thread
        assert!(crowd.notify());
        assert!(!crowd.notify());
    }
    /// Every value that the word ever has is new, for as many generations as it has bits.
    #[test]
    fn each_step_begins_a_generation() {
        assert_eq!(next(0, WAIT_ARMED), 1 << WAIT_STATE_BITS | WAIT_ARMED);
        assert_eq!(next(5 << WAIT_STATE_BITS | WAIT_ARMED, WAIT_WAKING), 6 << WAIT_STATE_BITS | WAIT_WAKING);
        assert_eq!(next(u32::MAX, WAIT_ARMED), WAIT_ARMED);
        let crowd = crowd();
        assert_eq!(crowd.arm(), 1 << WAIT_STATE_BITS | WAIT_ARMED);
        crowd.notify();
        let idle = crowd.word.load(Ordering::Relaxed); // one thread
        assert_eq!(idle, 2 << WAIT_STATE_BITS | WAIT_IDLE);
        assert_eq!(crowd.arm(), 3 << WAIT_STATE_BITS | WAIT_ARMED);
        assert!(crowd.announce());
        assert!(!crowd.announce());
        assert!(!crowd.wake(0), "somebody else has woken all");
    }

    /// Whoever learns of a death wakes the others, who sleep on the word only.
    #[test]
    fn whoever_learns_of_a_death_wakes_the_others() {
        let region = Region::on_heap(128).unwrap();
        let crowd = Crowd::new(&region, 0).unwrap();
        let life = region.word::<u32>(64).unwrap();
        let mut vigil = Vigil::new(false);
        vigil.watch([life.reader()]);
        let armed = crowd.arm();
        life.store(0xC000_0000, Ordering::Relaxed); // one thread
        crowd.sleep(armed, Deadline::NEVER, &mut vigil).unwrap(); // for ever otherwise
        let word = crowd.word.load(Ordering::Relaxed); // one thread
        assert_eq!(word & STATE_MASK, WAIT_IDLE);
        let armed = crowd.arm();
        crowd.sleep(armed, Deadline::after(std::time::Duration::from_millis(1)), &mut vigil).unwrap();
        let word = crowd.word.load(Ordering::Relaxed); // one thread
        assert_eq!(word, armed, "the same mark is no news");
    }
}
