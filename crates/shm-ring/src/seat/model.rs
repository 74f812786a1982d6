//! Coming, leaving and dying, and what others see of it, explored by loom.

use super::{Presence, Seat, Start, Witness};
use crate::error::{End, Role};
use crate::layout::spsc::{PRODUCER_SEAT_OFFSET, Parts, TAIL_OFFSET, TENURE_OFFSET};
use crate::model::{claim_seat, descriptors, explore, spsc_locks, spsc_parts};
use loom::thread;
use shm_core::model::kernel;
use shm_core::sync::{Ordering, yield_now};
use shm_core::{ReadWord, Word};
use std::sync::Arc;

/// Sits down, does something, and leaves if `closed` says how; then its descriptor is closed, as at a death.
fn live(parts: &Parts, object: usize, closed: Option<bool>) {
    let seat = claim_seat(parts, object, Role::Producer).unwrap();
    seat.sit(Start { position: 0, count: 0 });
    let work: Word<u64> = parts.producer.word(TAIL_OFFSET).unwrap();
    work.store(seat.number(), Ordering::Relaxed); // the seat's words are to publish it
    if let Some(closed) = closed {
        seat.leave(closed);
    }
    kernel::close(&descriptors()[object]);
}

/// Whoever is seen to have gone has done all it did.
fn gone(name: &str, closed: Option<bool>, end: End) {
    explore(name, 3, move || {
        let _locks = spsc_locks();
        let parts = Arc::new(spsc_parts(8));
        let theirs = parts.clone();
        let other = thread::spawn(move || live(&theirs, 0, closed));
        let seat = Seat::of(&parts, Role::Producer).unwrap();
        let work: ReadWord<u64> = parts.producer.read_word(TAIL_OFFSET).unwrap();
        match seat.presence(Some(Witness::Lock(&descriptors()[1]))).unwrap() {
            Presence::Gone(number, how) => {
                // Between leaving and closing only the one, and after a death only the other.
                assert_eq!((number, how), (1, end));
                assert_eq!(work.load(Ordering::Relaxed), 1); // what is asked
            }
            Presence::Sits(number) => assert_eq!(number, 1),
            Presence::NeverCame => {}
        }
        other.join().unwrap();
    });
}

#[test]
fn who_has_left_is_seen_whole() {
    gone("seat, left", Some(true), End::Closed);
    gone("seat, dropped", Some(false), End::Dropped);
}

#[test]
fn who_has_died_is_seen_whole() {
    gone("seat, died", None, End::Died);
}

/// A successor counts on, sees what its predecessor did, and says how that one ended before it sits.
#[test]
fn a_successor_tells_how_its_predecessor_ended() {
    for (closed, end) in [(None, End::Died), (Some(false), End::Dropped), (Some(true), End::Closed)] {
        explore(&format!("seat, the successor of one that {end:?}"), 3, move || {
            let _locks = spsc_locks();
            let parts = Arc::new(spsc_parts(8));
            let theirs = parts.clone();
            let first = thread::spawn(move || live(&theirs, 0, closed));
            let theirs = parts.clone();
            let second = thread::spawn(move || {
                // Not before the other one has sat down. The copy orders nothing.
                while theirs.producer.read_value::<u64>(PRODUCER_SEAT_OFFSET + TENURE_OFFSET).unwrap() == 0 {
                    yield_now();
                }
                let Some(seat) = claim_seat(&theirs, 1, Role::Producer) else { return };
                let work: ReadWord<u64> = theirs.producer.read_word(TAIL_OFFSET).unwrap();
                assert_eq!((seat.number(), work.load(Ordering::Relaxed)), (2, 1)); // what is asked
                seat.sit(Start { position: 0, count: 0 });
            });
            let seat = Seat::of(&parts, Role::Producer).unwrap();
            if seat.tenure().unwrap().number == 2 {
                assert_eq!(seat.worst_end(0, 1), end);
            }
            first.join().unwrap();
            second.join().unwrap();
        });
    }
}
