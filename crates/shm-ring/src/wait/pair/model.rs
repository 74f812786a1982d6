//! Sleeping and waking between two, explored by loom: a wake-up that is lost is a deadlock, since no sleep
//! ends by itself.

use super::Waiter;
use crate::model::explore;
use crate::wait::vigil::Vigil;
use loom::thread;
use shm_core::model::kernel;
use shm_core::sync::Ordering;
use shm_core::{Deadline, ReadWord, Region, Word};

const WORD_OFFSET: usize = 32;
const PEER: usize = 40;

/// One side publishes twice, the other sleeps until it has seen both.
fn nobody_sleeps_for_ever(name: &str, membarrier: bool) {
    explore(name, 3, move || {
        kernel::set_membarrier(membarrier);
        let region = Region::on_heap(80).unwrap();
        let new = |own, peer| {
            let mut waiter = Waiter::new((&region, own), (&region, peer)).unwrap();
            waiter.light_fence = membarrier; // the process asks once, for all models
            waiter
        };
        let (mut sleeper, mut publisher) = (new(0, PEER), new(PEER, 0));
        let published: Word<u64> = region.word(WORD_OFFSET).unwrap();
        let seen: ReadWord<u64> = published.reader();
        let other = thread::spawn(move || {
            for count in 1..=2 {
                published.store(count, Ordering::Relaxed); // what the fences are to order
                publisher.notify();
            }
        });
        let mut vigil = Vigil::new(false);
        let count = || seen.load(Ordering::Relaxed); // what the fences are to order
        while count() < 2 {
            let armed = sleeper.arm();
            if count() < 2 {
                sleeper.sleep(armed, Deadline::NEVER, &mut vigil).unwrap();
            } else {
                sleeper.disarm();
            }
        }
        other.join().unwrap();
    });
}

#[test]
fn nobody_sleeps_for_ever_with_a_light_fence() {
    nobody_sleeps_for_ever("wait, a pair with membarrier", true);
}

#[test]
fn nobody_sleeps_for_ever_with_a_full_fence() {
    nobody_sleeps_for_ever("wait, a pair without membarrier", false);
}

/// A signal publishes what was stored before it, to whoever sees the count.
#[test]
fn a_count_shows_what_was_stored_before_it() {
    explore("wait, an event", 3, || {
        let region = Region::on_heap(64).unwrap();
        let event = shm_core::Event::new(&region, 0).unwrap();
        let listener = event.listener();
        let stored: Word<u64> = region.word(8).unwrap();
        let seen: ReadWord<u64> = stored.reader();
        let other = thread::spawn(move || {
            stored.store(1, Ordering::Relaxed); // published by R1
            event.signal().unwrap();
        });
        if listener.count() == 1 {
            assert_eq!(seen.load(Ordering::Relaxed), 1); // ordered by A1
        } else {
            listener.wait(0, Deadline::NEVER).unwrap();
        }
        other.join().unwrap();
    });
}
