//! What lies in an MPMC ring's memory, read as `docs/layout.md` says and not by the library's own code.

use shm_core::{Object, Region, lock};
use shm_ring::layout::mpmc::{
    BLOCK_HEADER_BYTES, BLOCK_UNIT_BYTES, BLOCKS_MAX, HAND_BLOCK_BITS, HAND_OFFSET, HAND_UNREAD, LOST_OFFSET,
    PID_OFFSET, SEAT_BYTES, SEATS_OFFSET, TENURE_JOINING, TENURE_OFFSET, TENURE_RECEIVER,
};
use std::collections::BTreeSet;

const JOINED: u64 = shm_ring::layout::TENURE_JOINED;
const PAGE: usize = 4096;

/// A ring's sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) capacity: usize,
    pub(crate) participants: usize,
    pub(crate) message_bytes: usize,
}

/// What a hand word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hand {
    pub(crate) block: u64,
    pub(crate) expected: Option<u64>,
    pub(crate) unread: bool,
}

/// What a seat says, and the kernel of its lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) hand: Hand,
    pub(crate) pid: u32,
    /// Somebody joins or has joined, and has not left.
    pub(crate) sits: bool,
    /// Somebody has joined, and has not left.
    pub(crate) joined: bool,
    pub(crate) receives: bool,
    pub(crate) lost: u64,
    pub(crate) free: bool,
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) sequence: u64,
    pub(crate) block: u64,
}

/// A ring at a moment at which nobody works.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    shape: Shape,
    pub(crate) slots: Vec<Slot>,
    pub(crate) seats: Vec<Seat>,
}

impl Shape {
    fn slots_offset(self) -> usize {
        SEATS_OFFSET + self.participants * SEAT_BYTES
    }

    fn block_offset(self, block: u64) -> usize {
        let blocks = (self.slots_offset() + 8 * self.capacity).next_multiple_of(PAGE);
        let bytes = self.message_bytes as u64 + BLOCK_HEADER_BYTES;
        blocks + usize::try_from(block * bytes.next_multiple_of(BLOCK_UNIT_BYTES)).unwrap()
    }

    fn blocks(self) -> u64 {
        (self.capacity + self.participants) as u64
    }

    /// The hand of a seat.
    pub(crate) fn hand(self, region: &Region, seat: usize) -> Hand {
        Hand::of(region.read_value(SEATS_OFFSET + seat * SEAT_BYTES + HAND_OFFSET).unwrap())
    }

    fn slot(self, region: &Region, index: usize) -> Slot {
        let block_bits = 64 - (self.blocks() - 1).leading_zeros();
        let word: u64 = region.read_value(self.slots_offset() + 8 * index).unwrap();
        Slot { sequence: word >> block_bits, block: word & ((1 << block_bits) - 1) }
    }

    /// The message in a block.
    pub(crate) fn message(self, region: &Region, block: u64) -> Vec<u8> {
        let at = self.block_offset(block);
        let header: u64 = region.read_value(at).unwrap();
        let mut bytes = vec![0; usize::try_from(header & ((1 << 40) - 1)).unwrap()];
        region.copy_out(at + 8, &mut bytes).unwrap();
        bytes
    }
}

impl Hand {
    fn of(word: u64) -> Self {
        let expected = word >> HAND_BLOCK_BITS & BLOCKS_MAX;
        Self {
            block: word & BLOCKS_MAX,
            expected: (expected != BLOCKS_MAX).then_some(expected),
            unread: word & HAND_UNREAD != 0,
        }
    }
}

impl Picture {
    pub(crate) fn of(region: &Region, object: &Object, shape: Shape) -> Self {
        let word = |at: usize| region.read_value::<u64>(at).unwrap();
        let half = |at: usize| region.read_value::<u32>(at).unwrap();
        let slots = (0..shape.capacity).map(|index| shape.slot(region, index));
        let seats = (0..shape.participants).map(|index| {
            let at = SEATS_OFFSET + index * SEAT_BYTES;
            let tenure = word(at + TENURE_OFFSET);
            let state = tenure & (TENURE_RECEIVER - 1);
            Seat {
                hand: shape.hand(region, index),
                pid: half(at + PID_OFFSET),
                sits: state == JOINED || state == TENURE_JOINING,
                joined: state == JOINED,
                receives: tenure & TENURE_RECEIVER != 0,
                lost: word(at + LOST_OFFSET),
                free: lock::is_free(object, at as u64).unwrap(),
            }
        });
        Self { shape, slots: slots.collect(), seats: seats.collect() }
    }

    /// Messages ever sent and ever received; while others work, about so many.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let sequences = || self.slots.iter().map(|slot| slot.sequence);
        (
            sequences().map(|sequence| sequence.div_ceil(2)).sum(),
            sequences().map(|sequence| sequence / 2).sum(),
        )
    }

    /// Messages ever sent and ever received. Fails if the slots do not agree on them.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let ((sent, received), capacity) = (self.counts(), self.slots.len() as u64);
        for (index, slot) in self.slots.iter().enumerate() {
            let passed = |total: u64| (total + capacity - 1 - index as u64) / capacity;
            let so = slot.sequence.div_ceil(2) == passed(sent) && slot.sequence / 2 == passed(received);
            assert!(so, "slot {index} is out of turn: {self:#?}");
        }
        (sent, received)
    }

    /// Every block is in one place: a slot, a hand, or, where that is `allowed`, one of the two of an unsettled hand.
    /// The hands of all seats then, as they must be ruled.
    pub(crate) fn hands(&self, allowed: impl Fn(usize) -> bool) -> Vec<Hand> {
        let mut left: BTreeSet<u64> = (0..self.shape.blocks()).collect();
        let mut place =
            |block: u64| assert!(left.remove(&block), "block {block} is in two places: {self:#?}");
        self.slots.iter().for_each(|slot| place(slot.block));
        let mut open = Vec::new();
        for (index, seat) in self.seats.iter().enumerate() {
            if seat.hand.expected.is_none() {
                place(seat.hand.block);
            } else {
                assert!(allowed(index), "the hand of seat {index} is not settled: {self:#?}");
                open.push(index);
            }
        }
        let mut hands: Vec<Hand> = self.seats.iter().map(|seat| seat.hand).collect();
        // Each open hand has one of the blocks that are left; there is just one way to give them out, or the
        // last exchanges form a ring, which needs a slot.
        let mut ways = Vec::new();
        for choice in 0..1_u32 << open.len() {
            let chosen: Vec<u64> = open
                .iter()
                .enumerate()
                .map(|(bit, &seat)| {
                    let hand = self.seats[seat].hand;
                    if choice >> bit & 1 == 1 { hand.expected.unwrap() } else { hand.block }
                })
                .collect();
            if chosen.iter().copied().collect::<BTreeSet<u64>>() == left {
                ways.push((choice, chosen));
            }
        }
        assert_eq!(
            ways.len(),
            1,
            "blocks {left:?} are in no place, or it can not be told in which: {self:#?}"
        );
        for (bit, &seat) in open.iter().enumerate() {
            let happened = ways[0].0 >> bit & 1 == 1;
            hands[seat] = Hand {
                block: ways[0].1[bit],
                expected: None,
                unread: happened && self.seats[seat].hand.unread,
            };
        }
        hands
    }

    /// Whether slots are others now.
    pub(crate) fn differs_in_slots(&self, region: &Region) -> bool {
        self.slots.iter().enumerate().any(|(index, slot)| *slot != self.shape.slot(region, index))
    }

    /// Somebody died on the seat, and nobody has cleaned up.
    pub(crate) fn is_dead(&self, seat: usize) -> bool {
        self.seats[seat].sits && self.seats[seat].free
    }

    /// Nothing is left of anybody dead.
    pub(crate) fn is_clean(&self) -> bool {
        self.seats.iter().all(|seat| !(seat.sits && seat.free) && seat.hand.expected.is_none())
    }
}
