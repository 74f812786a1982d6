//! Rulings beside others at work, explored by loom.

use super::rule;
use crate::layout::mpmc::HAND_OFFSET;
use crate::model::{Ring, explore};
use crate::mpmc::exchange::{Attempt, Exchange};
use crate::mpmc::hand::Hand;
use crate::mpmc::seat::seat_offset;
use loom::thread;
use shm_core::model::mortal;

fn exchange(ring: &Ring, seat: u64, sends: bool) -> Exchange {
    Exchange::new(&ring.parts, ring.format, seat, sends).unwrap()
}

/// What an unsettled hand says of its own block is no older than what a slot says of it, whoever brought the block to
/// that seat: a receiver took it, left, and a sender on its seat stops with it in hand, about to exchange it for the
/// dead one's.
#[test]
fn a_block_is_not_seen_where_it_was_before_an_unsettled_hand_had_it() {
    explore("reclaim, a seat that changed its role", 3, || {
        let ring = Ring::new(3, false);
        let mut dead = exchange(&ring, 0, true);
        assert_eq!(dead.attempt().unwrap(), Attempt::Exchanged);
        let theirs = ring.clone();
        let other = thread::spawn(move || {
            // Before the compare-and-exchange of the sender.
            mortal::run(5, || {
                let mut receiver = exchange(&theirs, 1, false);
                assert_eq!(receiver.attempt().unwrap(), Attempt::Exchanged);
                receiver.let_go();
                let _ = exchange(&theirs, 1, true).attempt();
            });
        });
        let (mine, expected) = (dead.block(), 1);
        assert_eq!(dead.attempt().unwrap(), Attempt::Exchanged);
        assert_eq!(dead.block(), expected);
        // Killed before it settled.
        let intent = Hand::intent(mine, expected, false).pack();
        ring.parts.seats.write_value(seat_offset(0) + HAND_OFFSET, &intent).unwrap();
        assert_eq!(rule(&ring.parts, ring.format, 3, 0).unwrap(), Some(Hand::spare(expected)));
        other.join().unwrap();
    });
}
