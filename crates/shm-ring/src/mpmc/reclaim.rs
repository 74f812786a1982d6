//! Which block a dead participant held.
//!
//! Its hand word says so: {h, none} exactly; {h, e}: one of the two, **and the other one is in circulation**. So
//! whoever sees one of the two circulate knows that the dead one's is the other. Only the holder of the seat's lock
//! looks, and writes the word: the next one to sit there, or whoever cleans up. (If several could rule on one
//! word by compare-and-exchange, the same pair could come round again between the look and the exchange.)
//!
//! To rule on {a, b}: read every other word; then every slot and every word again, noting the blocks in slots
//! and in words {x, none}; then every word once more. An unsettled word {c, d} that is equal in the first and
//! the third reading, and one of whose blocks was noted or so derived, says that the other one is in *its*
//! participant's hand or will be: a sighting as well. A word {x, e} alone proves neither of the two.
//!
//! # Why that is right
//! A participant settles its word before its next exchange, so a word that is the same in two readings with a look
//! between them belongs to one exchange, before or after its X4. A block that was noted in between was outside of
//! that participant's hand (in a slot, or in another's) at some moment between the readings; so the block that it
//! has, or that the exchange leaves it, is the other. A participant stopped in the middle of an operation does not
//! prevent this: chains through unsettled words reach one that is settled, or a slot. The states of small rings in
//! which any participant is frozen at any step were explored: every dead seat can be ruled on, and no ruling is
//! wrong (`docs/crash.md`).
//!
//! Weak memory: the lock makes everything visible that the dead one had seen, so a word read here is never
//! older than the exchange that gave the dead one its block. Of what the others did the dead one need not have seen
//! anything: each hand is stored as a release (R18 to R22), and read before a fence, so that what is read behind the
//! fence is not older than how the block in that hand came there.

use crate::error::{Error, Result};
use crate::layout::mpmc::{HAND_OFFSET, Parts};
use crate::mpmc::hand::Hand;
use crate::mpmc::seat::seat_offset;
use crate::mpmc::slot::SlotFormat;
use shm_core::sync::{Ordering, fence, yield_now};

#[cfg(all(test, loom))]
mod model;

/// Looks at all slots and words, before the answer is that it can not be told now.
const ROUNDS: u32 = 64;

/// What the dead participant of `seat` has in hand; `None` if that can not be told now, because all others
/// are in the middle of exchanges at every look. The caller holds the seat's lock.
pub(crate) fn rule(parts: &Parts, format: SlotFormat, participants: u64, seat: u64) -> Result<Option<Hand>> {
    let own = read(parts, format, seat)?;
    let Some(expected) = own.expected else {
        return Ok(Some(own));
    };
    for _ in 0..ROUNDS {
        let others = || (0..participants).filter(|&other| other != seat);
        let mut circulating = look(parts, format, others)?;
        match (circulating.contains(own.block), circulating.contains(expected)) {
            (true, true) => return Err(Error::Corrupt("a block is in two places")),
            (true, false) => return Ok(Some(Hand { block: expected, expected: None, unread: own.unread })),
            (false, true) => return Ok(Some(Hand::spare(own.block))),
            (false, false) => yield_now(),
        }
    }
    Ok(None)
}

/// Some of a ring's blocks.
struct BlockSet(Vec<u64>);

impl BlockSet {
    fn new(blocks: u64) -> Self {
        Self((0..blocks.div_ceil(64)).map(|_| 0).collect())
    }

    /// Numbers that are no block's are ignored; whoever exchanges with one finds the ring corrupt.
    fn insert(&mut self, block: u64) {
        if let Some(word) = self.word(block) {
            *word |= 1 << (block % 64);
        }
    }

    fn contains(&mut self, block: u64) -> bool {
        self.word(block).is_some_and(|word| *word & 1 << (block % 64) != 0)
    }

    fn word(&mut self, block: u64) -> Option<&mut u64> {
        self.0.get_mut(usize::try_from(block / 64).ok()?)
    }
}

/// The blocks that were surely not in the hand of the seat that is left out.
fn look<I: Iterator<Item = u64>>(
    parts: &Parts,
    format: SlotFormat,
    others: impl Fn() -> I,
) -> Result<BlockSet> {
    let read_all = || others().map(|other| read(parts, format, other)).collect::<Result<Vec<Hand>>>();
    let first = read_all()?;
    fence(Ordering::SeqCst); // F18 pairs with R14 R18 R19 R20 R21 R22 X4
    let mut seen = BlockSet::new(format.blocks());
    let slots = parts.slots.words()?;
    for index in 0..format.capacity() {
        let word = slots.load(SlotFormat::byte_position(index), Ordering::Acquire); // A14 pairs with X4
        seen.insert(format.unpack(word).block);
    }
    for hand in read_all()?.iter().filter(|hand| hand.expected.is_none()) {
        seen.insert(hand.block);
    }
    fence(Ordering::SeqCst); // F19 pairs with R14 R18 R19 R20 R21 R22 X4
    let third = read_all()?;
    let equal = first.iter().zip(&third).filter(|(before, after)| before == after);
    let mut pairs: Vec<(u64, u64)> =
        equal.filter_map(|(hand, _)| Some((hand.block, hand.expected?))).collect();
    loop {
        let unknown = pairs.len();
        pairs.retain(|&(hand, expected)| {
            let known = seen.contains(hand) || seen.contains(expected);
            if known {
                seen.insert(hand);
                seen.insert(expected);
            }
            !known
        });
        if pairs.len() == unknown {
            return Ok(seen);
        }
    }
}

/// A hand, as it is now.
pub(crate) fn read(parts: &Parts, format: SlotFormat, seat: u64) -> Result<Hand> {
    let word: u64 = parts.seats.read_value(seat_offset(seat) + HAND_OFFSET)?;
    Hand::unpack(word, format.blocks()).ok_or(Error::Corrupt("a hand holds an impossible block"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Geometry, Kind};
    use crate::mpmc::exchange::initialise;
    use crate::mpmc::slot::Slot;
    use shm_core::Region;

    /// Two slots (blocks 0 and 1 in them), four seats (blocks 2 to 5 in hand).
    fn ring() -> (Parts, SlotFormat) {
        let geometry = Geometry::mpmc(Kind::MpmcBytes, 2, 8, 4, false).unwrap();
        let region = Region::on_heap(usize::try_from(geometry.object_bytes).unwrap()).unwrap();
        let parts = Parts::of(&region, &geometry).unwrap();
        let format = SlotFormat::new(&geometry);
        initialise(&region, &geometry).unwrap();
        (parts, format)
    }

    fn set(parts: &Parts, seat: u64, hand: Hand) {
        parts.seats.write_value(seat_offset(seat) + HAND_OFFSET, &hand.pack()).unwrap();
    }

    fn put(parts: &Parts, format: SlotFormat, index: usize, block: u64) {
        parts.slots.write_value(index * 8, &format.pack(Slot { sequence: 1, block })).unwrap();
    }

    fn ruling(parts: &Parts, format: SlotFormat, seat: u64) -> Option<Hand> {
        rule(parts, format, 4, seat).unwrap()
    }

    #[test]
    fn an_exchange_that_did_not_happen_leaves_what_was_in_hand() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, true));
        assert_eq!(ruling(&parts, format, 0), Some(Hand::spare(2)));
    }

    #[test]
    fn an_exchange_that_happened_leaves_what_was_expected() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, true));
        put(&parts, format, 0, 2);
        assert_eq!(ruling(&parts, format, 0), Some(Hand::message(0)));
    }

    /// The dead one put 2 in the slot and got 0; somebody else took 2 from there and is settled.
    #[test]
    fn a_block_in_a_settled_hand_circulates() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, false));
        set(&parts, 1, Hand::spare(2));
        put(&parts, format, 0, 3);
        assert_eq!(ruling(&parts, format, 0), Some(Hand::spare(0)));
    }

    /// As before, but that one stopped before it settled: its own block, 3, is in the slot.
    #[test]
    fn a_block_in_an_unsettled_hand_is_derived() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, false));
        set(&parts, 1, Hand::intent(3, 2, true));
        put(&parts, format, 0, 3);
        assert_eq!(ruling(&parts, format, 0), Some(Hand::spare(0)));
    }

    /// And through another one still: 4 is in the slot, so 3 is in the hand of seat 2, so 2 is in that of seat 1.
    #[test]
    fn a_block_is_derived_through_a_chain() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, false));
        set(&parts, 1, Hand::intent(3, 2, true));
        set(&parts, 2, Hand::intent(4, 3, true));
        put(&parts, format, 0, 4);
        assert_eq!(ruling(&parts, format, 0), Some(Hand::spare(0)));
    }

    /// An unsettled word alone proves neither of its blocks.
    #[test]
    fn what_nobody_shows_is_not_ruled_on() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, false));
        set(&parts, 1, Hand::intent(0, 2, false));
        put(&parts, format, 0, 3);
        assert_eq!(ruling(&parts, format, 0), None);
    }

    #[test]
    fn a_block_in_two_places_is_corrupt() {
        let (parts, format) = ring();
        set(&parts, 0, Hand::intent(2, 0, false));
        set(&parts, 1, Hand::spare(2));
        assert!(matches!(rule(&parts, format, 4, 0), Err(Error::Corrupt(_))));
    }
}
