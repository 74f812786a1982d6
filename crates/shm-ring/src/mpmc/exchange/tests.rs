//! Participants that come one after the other: where each of them finds its place, and what it makes of garbage.

use super::*;
use crate::layout::Kind;

struct Ring {
    parts: Parts,
    format: SlotFormat,
}

impl Ring {
    fn new(capacity: u64) -> Self {
        let geometry = Geometry::mpmc(Kind::MpmcBytes, capacity, 8, 4, false).unwrap();
        let region = Region::on_heap(usize::try_from(geometry.object_bytes).unwrap()).unwrap();
        initialise(&region, &geometry).unwrap();
        let parts = Parts::of(&region, &geometry).unwrap();
        Self { parts, format: SlotFormat::new(&geometry) }
    }

    fn side(&self, seat: u64, sends: bool) -> Exchange {
        Exchange::new(&self.parts, self.format, seat, sends).unwrap()
    }

    fn set(&self, index: usize, slot: Slot) {
        self.parts.slots.write_value(index * 8, &self.format.pack(slot)).unwrap();
    }

    fn slot(&self, index: usize) -> Slot {
        self.format.unpack(self.parts.slots.read_value(index * 8).unwrap())
    }

    /// A ring through which so many messages went, by seats 0 and 1.
    fn worked(capacity: u64, sent: u64, received: u64) -> Self {
        let ring = Self::new(capacity);
        let (mut sender, mut receiver) = (ring.side(0, true), ring.side(1, false));
        while receiver.cursor() < received || sender.cursor() < sent {
            let more = sender.cursor() < sent && sender.attempt().unwrap() == Attempt::Exchanged;
            let less = receiver.cursor() < received && receiver.attempt().unwrap() == Attempt::Exchanged;
            assert!(more || less);
        }
        ring
    }
}

#[test]
fn whoever_comes_finds_the_place_of_its_next_operation() {
    for capacity in [2, 4, 16] {
        for received in (0..5 * capacity).chain([1000, 1001, 1023, 1024]) {
            for waiting in 0..=capacity {
                let sent = received + waiting;
                let ring = Ring::worked(capacity, sent, received);
                let state = format!("{sent} {received} of {capacity}");
                assert_eq!(totals(&ring.parts.slots, ring.format).unwrap(), (sent, received), "{state}");
                let (mut sender, mut receiver) = (ring.side(2, true), ring.side(3, false));
                if waiting < capacity {
                    assert_eq!(sender.attempt().unwrap(), Attempt::Exchanged, "{state}");
                    assert_eq!(sender.cursor(), sent + 1, "{state}");
                } else {
                    assert_eq!(sender.attempt().unwrap(), Attempt::NotNow, "{state}");
                    assert_eq!(sender.cursor(), sent, "{state}");
                    assert_eq!(receiver.attempt().unwrap(), Attempt::Exchanged, "{state}");
                    assert_eq!(receiver.cursor(), received + 1, "{state}");
                }
            }
            let ring = Ring::worked(capacity, received, received);
            let mut receiver = ring.side(3, false);
            assert_eq!(receiver.attempt().unwrap(), Attempt::NotNow);
            assert_eq!(receiver.cursor(), received);
        }
    }
}

/// Those who stay behind by any distance catch up, and no position is skipped or repeated.
#[test]
fn whoever_falls_behind_catches_up() {
    for behind in 0..40 {
        let ring = Ring::new(8);
        let (mut sender, mut receiver) = (ring.side(0, true), ring.side(1, false));
        let (mut late_sender, mut late_receiver) = (ring.side(2, true), ring.side(3, false));
        for _ in 0..3 {
            assert_eq!(late_sender.attempt().unwrap(), Attempt::Exchanged);
            assert_eq!(late_receiver.attempt().unwrap(), Attempt::Exchanged);
            for _ in 0..behind {
                assert_eq!(sender.attempt().unwrap(), Attempt::Exchanged);
                assert_eq!(receiver.attempt().unwrap(), Attempt::Exchanged);
            }
        }
        assert_eq!(late_receiver.attempt().unwrap(), Attempt::NotNow);
        assert_eq!(late_receiver.cursor(), 3 + 3 * behind);
        assert_eq!(late_sender.attempt().unwrap(), Attempt::Exchanged);
        assert_eq!(late_sender.cursor(), 4 + 3 * behind);
    }
}

/// Each exchange swaps the block in hand with the one in the slot, and the hand says so.
#[test]
fn blocks_change_places() {
    let ring = Ring::new(2);
    let hand = |seat: u64| {
        let word = ring.parts.seats.read_value(seat_offset(seat) + HAND_OFFSET).unwrap();
        Hand::unpack(word, ring.format.blocks()).unwrap()
    };
    let (mut sender, mut receiver) = (ring.side(0, true), ring.side(1, false));
    assert_eq!((sender.block(), receiver.block()), (2, 3));
    assert_eq!((hand(0), hand(1)), (Hand::spare(2), Hand::spare(3)));
    sender.attempt().unwrap();
    assert_eq!((sender.block(), hand(0), ring.slot(0)), (0, Hand::spare(0), Slot { sequence: 1, block: 2 }));
    receiver.attempt().unwrap();
    assert_eq!((receiver.block(), hand(1)), (2, Hand::message(2)));
    assert_eq!(ring.slot(0), Slot { sequence: 2, block: 3 });
    receiver.let_go();
    assert_eq!(hand(1), Hand::spare(2));
}

#[test]
fn a_refused_message_stays() {
    let ring = Ring::worked(2, 1, 0);
    let mut receiver = ring.side(3, false);
    let before = ring.slot(0);
    let mut seen = None;
    let refused = receiver.attempt_if(|block| {
        seen = Some(block);
        false
    });
    assert_eq!((refused.unwrap(), seen), (Attempt::Refused, Some(before.block)));
    assert_eq!((ring.slot(0), receiver.cursor()), (before, 0));
    assert_eq!(receiver.attempt_if(|_| true).unwrap(), Attempt::Exchanged);
}

#[test]
fn a_block_that_can_not_be_there_is_corrupt() {
    for (block, possible) in [(0, true), (5, true), (6, false), (7, false), (2, false)] {
        let ring = Ring::new(2); // blocks 0 to 5
        let mut sender = ring.side(0, true); // which has 2
        ring.set(0, Slot { sequence: 0, block });
        assert_eq!(sender.attempt().is_ok(), possible, "{block}");
    }
}

#[test]
fn a_hand_that_is_not_settled_is_nobodys_beginning() {
    let ring = Ring::new(2);
    for (hand, possible) in [(Hand::message(2), true), (Hand::intent(2, 0, false), false)] {
        ring.parts.seats.write_value(seat_offset(0) + HAND_OFFSET, &hand.pack()).unwrap();
        assert_eq!(Exchange::new(&ring.parts, ring.format, 0, true).is_ok(), possible);
    }
}

/// A slot is at most one step behind what a participant is to find there.
#[test]
fn a_sequence_that_went_back_is_corrupt() {
    let ring = Ring::worked(2, 4, 4);
    let (mut sender, mut receiver) = (ring.side(2, true), ring.side(3, false));
    assert_eq!(receiver.attempt().unwrap(), Attempt::NotNow);
    assert_eq!(sender.attempt().unwrap(), Attempt::Exchanged);
    let block = ring.slot(0).block;
    for (sequence, answer) in [(4, Some(Attempt::NotNow)), (3, None), (0, None)] {
        ring.set(0, Slot { sequence, block });
        assert_eq!(receiver.attempt().ok(), answer, "{sequence}");
    }
    // The sender's next is slot 1 in lap 2: sequence 4. Full for the lap before: 3.
    let block = ring.slot(1).block;
    for (sequence, answer) in [(3, Some(Attempt::NotNow)), (2, None)] {
        ring.set(1, Slot { sequence, block });
        assert_eq!(sender.attempt().ok(), answer, "{sequence}");
    }
}

#[test]
fn a_sequence_beyond_all_laps_is_corrupt() {
    let ring = Ring::new(2);
    let greatest = ring.format.unpack(u64::MAX).sequence;
    for index in 0..2 {
        ring.set(index, Slot { sequence: greatest, block: index as u64 });
    }
    assert!(matches!(ring.side(0, true).attempt(), Err(Error::Corrupt(_))));
    totals(&ring.parts.slots, ring.format).unwrap();
}
