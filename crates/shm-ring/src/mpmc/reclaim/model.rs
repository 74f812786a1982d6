//! Rulings beside others at work, explored by loom.

use super::rule;
use crate::layout::mpmc::HAND_OFFSET;
use crate::model::{Ring, explore};
use crate::mpmc::exchange::{Attempt, Exchange};
use crate::mpmc::hand::Hand;
use crate::mpmc::seat::seat_offset;
use crate::mpmc::slot::Slot;
use loom::thread;
use shm_core::model::mortal;

fn exchange(ring: &Ring, seat: u64, sends: bool) -> Exchange {
    Exchange::new(&ring.parts, ring.format, seat, sends).unwrap()
}

fn set_hand(ring: &Ring, seat: u64, hand: Hand) {
    ring.parts.seats.write_value(seat_offset(seat) + HAND_OFFSET, &hand.pack()).unwrap();
}

/// What an unsettled hand says of its own block is no older than what a slot says of it, whoever brought the block to
/// that seat: a receiver took it, left, and a sender on its seat stops with it in hand, about to exchange it for the
/// dead one's.
#[test]
fn a_block_is_not_seen_where_it_was_before_an_unsettled_hand_had_it() {
    explore("reclaim, a seat that changed its role", 2, || {
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
        set_hand(&ring, 0, Hand::intent(mine, expected, false));
        assert_eq!(rule(&ring.parts, ring.format, 3, 0).unwrap(), Some(Hand::spare(expected)));
        other.join().unwrap();
    });
}

/// A block that is seen in somebody's hand is not believed to be still on its way from whoever had it before.
///
/// A sender (seat 2) has sent block 3, got block 4 for it, and was stopped before it settled. A receiver (seat 1) has
/// received block 3, and was stopped about to exchange it for block 2, which the dead one (seat 0) has got by then.
#[test]
fn a_block_in_a_hand_has_left_the_one_it_came_from() {
    explore("reclaim, a chain", 2, || {
        let ring = Ring::new(4, false);
        for (index, block) in [(0, 0), (1, 1)] {
            ring.parts.slots.write_value(index * 8, &ring.format.pack(Slot { sequence: 2, block })).unwrap();
        }
        set_hand(&ring, 0, Hand::intent(1, 2, true));
        set_hand(&ring, 1, Hand::intent(3, 2, true));
        set_hand(&ring, 2, Hand::intent(3, 4, false));
        let theirs = ring.clone();
        let others = thread::spawn(move || {
            // The sender goes on, and sends block 4, which another receiver (seat 3) takes.
            set_hand(&theirs, 2, Hand::spare(4));
            assert_eq!(exchange(&theirs, 2, true).attempt().unwrap(), Attempt::Exchanged);
            let mut receiver = exchange(&theirs, 3, false);
            assert_eq!(receiver.attempt().unwrap(), Attempt::Exchanged);
            assert_eq!(receiver.block(), 4);
            receiver.let_go();
        });
        let found = rule(&ring.parts, ring.format, 4, 0).unwrap();
        assert_eq!(found, Some(Hand::message(2)));
        others.join().unwrap();
    });
}
