//! Slot words and positions. Pure arithmetic, with the tests that belong to it.
//!
//! A position counts messages since the ring's birth. It lies in slot `position % capacity`, in lap
//! `position / capacity`. The slot's sequence is 2 x lap while the slot is empty, waiting for the message of that
//! lap, and one more while it holds it.

use crate::layout::Geometry;
use crate::layout::mpmc::slot_block_bits;

/// How a ring's slot words are divided, and how many slots there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotFormat {
    capacity_bits: u32,
    block_bits: u32,
    blocks: u64,
}

/// What a slot word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) sequence: u64,
    /// Below the number of blocks, unless the word is garbage.
    pub(crate) block: u64,
}

impl SlotFormat {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let blocks = geometry.capacity + geometry.participants;
        Self {
            capacity_bits: geometry.capacity.trailing_zeros(),
            block_bits: slot_block_bits(blocks),
            blocks,
        }
    }

    /// Slots.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> u64 {
        1 << self.capacity_bits
    }

    /// Blocks, in slots and in hands together.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    #[inline(always)]
    pub(crate) fn unpack(&self, word: u64) -> Slot {
        Slot { sequence: word >> self.block_bits, block: word & ((1 << self.block_bits) - 1) }
    }

    #[inline(always)]
    pub(crate) fn pack(&self, slot: Slot) -> u64 {
        slot.sequence << self.block_bits | slot.block
    }

    /// Where the slot of a position lies, in bytes (modulo the array's length).
    #[inline(always)]
    pub(crate) fn byte_position(position: u64) -> u64 {
        position.wrapping_mul(8)
    }

    /// The sequence that a slot has while the message of `position` is to be sent.
    #[inline(always)]
    pub(crate) fn empty_sequence(&self, position: u64) -> u64 {
        (position >> self.capacity_bits) << 1
    }

    /// The sequence that a slot has while the message of `position` can be sent, or received.
    #[inline(always)]
    pub(crate) fn wanted_sequence(&self, position: u64, sends: bool) -> u64 {
        self.empty_sequence(position) | u64::from(!sends)
    }

    /// A position that is surely not passed by all the others, and at or beyond which the next operation is,
    /// seen a sequence in the slot of `position`. `sends`: for senders, else for receivers.
    ///
    /// Positions are passed in order, by both roles. A full slot of lap L: L's message was sent there. An empty
    /// one: the message of lap L - 1 was received there.
    pub(crate) fn next_after(&self, position: u64, sequence: u64, sends: bool) -> u64 {
        let (lap, full) = (sequence >> 1, sequence & 1 == 1);
        let index = position & (self.capacity() - 1);
        let passed_lap = if full && sends { Some(lap) } else { lap.checked_sub(1) };
        passed_lap.map_or(0, |lap| (lap << self.capacity_bits) + index + 1)
    }

    /// Positions beyond this are garbage: their sequences could not be stored.
    pub(crate) fn position_max(&self) -> u64 {
        let lap_bits = 64 - self.block_bits - 1;
        1 << (lap_bits + self.capacity_bits).min(62)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Kind;
    use proptest::prelude::*;

    fn format(capacity: u64, participants: u64) -> SlotFormat {
        SlotFormat::new(&Geometry::mpmc(Kind::MpmcBytes, capacity, 8, participants, false).unwrap())
    }

    /// The slots of a ring in which `sent` messages were sent and `received` of them received.
    fn sequence(format: &SlotFormat, index: u64, sent: u64, received: u64) -> u64 {
        let capacity = format.capacity();
        let passed = |count: u64| (count + capacity - 1 - index) / capacity;
        passed(sent) + passed(received)
    }

    proptest! {
        #[test]
        fn words_are_unpacked(shift in 1u32..20, participants in 2u64..64, sequence in 0u64..1 << 38, block: u64) {
            let format = format(1 << shift, participants);
            let slot = Slot { sequence, block: block % format.blocks() };
            prop_assert_eq!(format.unpack(format.pack(slot)), slot);
        }

        /// Whatever slot one looks at, the jump never goes beyond the place of the next operation, and always
        /// beyond the slot's own position if that was passed.
        #[test]
        fn no_jump_goes_too_far(shift in 1u32..6, received in 0u64..1000, waiting in 0u64..64, index in 0u64..64) {
            let format = format(1 << shift, 2);
            let capacity = format.capacity();
            let (index, sent) = (index % capacity, received + waiting % (capacity + 1));
            let sequence = sequence(&format, index, sent, received);
            let sender = format.next_after(index, sequence, true);
            let receiver = format.next_after(index, sequence, false);
            prop_assert!(sender <= sent, "{} {}", sender, sent);
            prop_assert!(receiver <= received, "{} {}", receiver, received);
            prop_assert!(sender + capacity >= sent && receiver + capacity >= received);
        }

        /// Whatever a slot holds, garbage too: if it is more than what is waited for, the search goes forwards.
        #[test]
        fn every_jump_goes_forwards(
            shift in 0u32..16, participants in 2u64..1000, position: u64, sequence: u64, sends: bool,
        ) {
            let format = format(2 << shift, participants);
            let position = position % (format.position_max() + 1);
            let sequence = format.unpack(sequence).sequence;
            prop_assume!(sequence > format.wanted_sequence(position, sends));
            prop_assert!(format.next_after(position, sequence, sends) > position);
            // The nearest of them, and the farthest.
            let nearest = format.wanted_sequence(position, sends) + 1;
            for sequence in [nearest, nearest + 1, format.unpack(u64::MAX).sequence.max(nearest)] {
                prop_assert!(format.next_after(position, sequence, sends) > position);
            }
        }
    }

    #[test]
    fn laps_begin_where_the_slots_end() {
        let format = format(4, 2);
        assert_eq!([0, 3, 4, 8].map(|position| format.empty_sequence(position)), [0, 0, 2, 4]);
        assert!(format.position_max() >= 1 << 54);
    }
    #[test]
    fn a_slot_tells_the_first_position_that_may_not_be_passed() {
        let format = format(4, 2);
        for (position, sequence, sender, receiver) in [
            (1, 0, 0, 0), // nothing was sent there
            (1, 1, 2, 0), // message 1 is there
            (1, 2, 2, 2), // and was received
            (1, 3, 6, 2), // message 5 is there
            (5, 3, 6, 2),
            (0, 4, 5, 5),
            (3, 5, 12, 8),
        ] {
            assert_eq!(format.next_after(position, sequence, true), sender, "{position} {sequence}");
            assert_eq!(format.next_after(position, sequence, false), receiver, "{position} {sequence}");
        }
        assert_eq!([false, true].map(|sends| format.wanted_sequence(9, sends)), [5, 4]);
    }

    #[test]
    fn positions_last_as_long_as_sequences() {
        // Bits of sequence and of slot, without the one that says full.
        assert_eq!(format(2, 1022).position_max(), 1 << 54);
        assert_eq!(format(8, 1016).position_max(), 1 << 56);
        assert_eq!(format(4, 2).position_max(), 1 << 62);
        assert_eq!(format(1 << 20, 1 << 13).position_max(), 1 << 62);
        assert_eq!((format(4, 3).capacity(), format(4, 3).blocks()), (4, 7));
        assert_eq!(SlotFormat::byte_position(5), 40);
    }
}
