//! Where everything lies in an MPMC ring.
//!
//! ```text
//!      0  header        never changes after birth (shm_core::header)
//!    512  common words  written by all
//!   1024  seats         one for each participant, two lines; written by whoever holds the seat's lock
//!      …  slots         one u64 for each message: {sequence, block}; exchanged by all
//!      …  blocks        written by whoever has them in hand; capacity + participants of them
//! ```
//!
//! A slot's sequence is twice its lap when it is empty, and one more when it is full. Slot i starts with block
//! i; the participant on seat j starts with block capacity + j in hand.

use crate::error::{Error, Result};
use crate::layout::Geometry;
use shm_core::line::LINE_BYTES;
use shm_core::{Region, Span, life};

/// Where the common words begin.
pub const COMMON_OFFSET: usize = 512;
/// Bytes of the common words.
pub const COMMON_BYTES: usize = 4 * LINE_BYTES;
/// Common words: u32, [wait word](WAIT_STATE_BITS) of those who wait for messages.
pub const DATA_WAIT_OFFSET: usize = 0;
/// Common words: u32, [wait word](WAIT_STATE_BITS) of those who wait for space.
pub const SPACE_WAIT_OFFSET: usize = LINE_BYTES;
/// Common words: what is known of all [senders](ROLE_BYTES).
pub const SENDERS_OFFSET: usize = 2 * LINE_BYTES;
/// Common words: what is known of all [receivers](ROLE_BYTES).
pub const RECEIVERS_OFFSET: usize = 2 * LINE_BYTES + ROLE_BYTES;
/// Common words: u32, [notices](super::NOTICE_REMOVED) to all.
pub const NOTICE_OFFSET: usize = 3 * LINE_BYTES;

/// Low bits of a wait word that hold its state; the rest is its generation.
pub const WAIT_STATE_BITS: u32 = 2;
/// Wait word: nobody sleeps.
pub const WAIT_IDLE: u32 = 0;
/// Wait word: somebody may sleep.
pub const WAIT_ARMED: u32 = 1;
/// Wait word: somebody wakes all.
pub const WAIT_WAKING: u32 = 2;

/// Bytes of what is known of all participants of one role.
pub const ROLE_BYTES: usize = 40;
/// Role: u64, how many have ever joined; the newest one's tenure number.
pub const JOINS_OFFSET: usize = 0;
/// Role: u64, how many have left, or were cleaned up behind; spares others a look at all seats.
pub const LEAVES_OFFSET: usize = 8;
/// Role: u64, greatest number of a tenure that ended by leaving without closing.
pub const LAST_DROPPED_OFFSET: usize = 16;
/// Role: u64, greatest number of a tenure that ended by a death, as far as seats were taken over.
pub const LAST_DIED_OFFSET: usize = 24;
/// Role: u64, greatest `joins` at which the end of all of them was told to the other role.
pub const TOLD_OFFSET: usize = 32;

/// Where the seats begin.
pub const SEATS_OFFSET: usize = 1024;
/// Bytes of a seat: a line for its holder, and one that others look at.
pub const SEAT_BYTES: usize = 2 * LINE_BYTES;
/// Seat: u64, the [hand](HAND_BLOCK_BITS).
pub const HAND_OFFSET: usize = 0;
/// Seat: u64, messages sent in this tenure.
pub const SENT_OFFSET: usize = 8;
/// Seat: u64, messages received in this tenure.
pub const RECEIVED_OFFSET: usize = 16;
/// Seat: u64, number of the tenure times 256, plus its [state](super::TENURE_JOINED) and
/// [role](TENURE_RECEIVER).
pub const TENURE_OFFSET: usize = LINE_BYTES;
/// Seat: u32, who sat down last; for people.
pub const PID_OFFSET: usize = LINE_BYTES + 8;
/// Seat: u64, how often its holders waited for space.
pub const FULL_WAITS_OFFSET: usize = LINE_BYTES + 16;
/// Seat: u64, messages its holders discarded because the ring was full.
pub const DROPPED_OFFSET: usize = LINE_BYTES + 24;
/// Seat: u64, most messages waiting that its holders saw.
pub const HIGH_WATER_OFFSET: usize = LINE_BYTES + 32;
/// Seat: u64, messages that were in the hand of a receiver when it died here, and were not handed out again.
pub const LOST_OFFSET: usize = LINE_BYTES + 40;
/// Seat: u32, the word that the kernel marks when its holder's process dies.
pub const LIFE_OFFSET: usize = LINE_BYTES + 48;

/// Tenure state: died, as whoever took the seat over after it found.
pub const TENURE_DIED: u64 = 4;
/// Tenure state: about to join.
pub const TENURE_JOINING: u64 = 5;
/// Beside the tenure's state: it is a receiver's.
pub const TENURE_RECEIVER: u64 = 16;

/// Bits of a block's number in a hand: bits 0 to 25 the block in hand, bits 26 to 51 the block expected from
/// an exchange that is under way, or all ones.
pub const HAND_BLOCK_BITS: u32 = 26;
/// Hand: the block in hand (or expected, if that is where the exchange went) is a message being read.
pub const HAND_UNREAD: u64 = 1 << 52;

/// Bytes of a block's header in a ring of byte messages: u64, bits 0-39 the message's length, 48-63 its tag.
/// Blocks of typed values have none.
pub const BLOCK_HEADER_BYTES: u64 = 8;
/// Blocks are a multiple of this long, so that two participants do not write to one line.
pub const BLOCK_UNIT_BYTES: u64 = 64;
/// The longest message of any MPMC ring (a length has 40 bits).
pub const MESSAGE_BYTES_MAX: u64 = (1 << 40) - 1;
/// The smallest ring, in messages.
pub const CAPACITY_MIN: u64 = 2;
/// The most slots and participants together: a block's number has 26 bits, and all ones is none.
pub const BLOCKS_MAX: u64 = (1 << HAND_BLOCK_BITS) - 1;
/// The fewest participants a ring can be made for: one on each side.
pub const PARTICIPANTS_MIN: u64 = 2;
/// The most participants a ring can be made for.
pub const PARTICIPANTS_MAX: u64 = 8192;
/// A slot's sequence must last for so many messages: 500 years at a million a second.
pub const SEQUENCE_MESSAGES_MIN_BITS: u32 = 54;

const _: () = assert!(COMMON_OFFSET >= shm_core::header::HEADER_BYTES);
const _: () = assert!(COMMON_OFFSET + COMMON_BYTES <= SEATS_OFFSET);
const _: () = assert!(RECEIVERS_OFFSET + ROLE_BYTES <= NOTICE_OFFSET);
const _: () = assert!(COMMON_OFFSET.is_multiple_of(LINE_BYTES) && SEATS_OFFSET.is_multiple_of(LINE_BYTES));
const _: () = assert!(LIFE_OFFSET + 4 <= SEAT_BYTES && (LIFE_OFFSET as u64).is_multiple_of(life::ALIGNMENT));

/// Bits of a slot word that hold the block's number; the rest is the sequence.
pub(crate) const fn slot_block_bits(blocks: u64) -> u32 {
    64 - (blocks - 1).leading_zeros()
}

/// Where the slots begin.
pub(crate) const fn slots_offset(participants: u64) -> u64 {
    SEATS_OFFSET as u64 + participants * SEAT_BYTES as u64
}

/// Why a geometry can not be had, if it can not.
pub(crate) fn check(capacity: u64, participants: u64, message_bytes: u64) -> Result<()> {
    let refuse = |reason| Err(Error::InvalidCapacity { reason });
    if !(PARTICIPANTS_MIN..=PARTICIPANTS_MAX).contains(&participants) {
        return refuse("a ring is made for 2 to 8192 participants");
    }
    if capacity < CAPACITY_MIN || capacity + participants > BLOCKS_MAX {
        return refuse("an mpmc ring has room for 2 to 33,554,432 messages");
    }
    if message_bytes > MESSAGE_BYTES_MAX {
        return refuse("a message has less than 1 TiB");
    }
    let sequence_bits = 64 - slot_block_bits(capacity + participants);
    if capacity.trailing_zeros() + sequence_bits - 1 < SEQUENCE_MESSAGES_MIN_BITS {
        return refuse("so few messages for so many participants; give it more capacity");
    }
    Ok(())
}

/// The parts of a mapped ring.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) common: Region,
    pub(crate) seats: Region,
    pub(crate) slots: Region,
    pub(crate) blocks: Region,
}

impl Parts {
    /// Divides the mapping of a named ring.
    pub(crate) fn of(region: &Region, geometry: &Geometry) -> shm_core::Result<Self> {
        let part = |offset: u64, bytes: u64| {
            // What does not fit is refused by `part`.
            let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
            region.part(Span::new(size(offset), size(bytes)))
        };
        let seats_bytes = geometry.participants * SEAT_BYTES as u64;
        Ok(Self {
            common: part(COMMON_OFFSET as u64, COMMON_BYTES as u64)?,
            seats: part(SEATS_OFFSET as u64, seats_bytes)?,
            slots: part(slots_offset(geometry.participants), geometry.capacity * 8)?,
            blocks: part(geometry.data_offset, geometry.data_bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_as_many_bits_as_its_number_needs() {
        let bits = [3, 4, 5, 8, 9, 1 << 20, (1 << 20) + 1, BLOCKS_MAX].map(slot_block_bits);
        assert_eq!(bits, [2, 2, 3, 3, 4, 20, 21, 26]);
        assert_eq!([2, 3, 64].map(slots_offset), [1536, 1792, 17_408]);
    }

    #[test]
    fn limits_of_a_geometry_are_reached_and_not_passed() {
        let possible = |capacity, participants, bytes| check(capacity, participants, bytes).is_ok();
        for (participants, fine) in [(0, false), (1, false), (2, true), (8192, true), (8193, false)] {
            assert_eq!(possible(1 << 20, participants, 0), fine, "{participants}");
        }
        assert!(!possible(1, 2, 0) && possible(2, 2, 0));
        assert!(possible(1 << 25, 8192, 0) && !possible(1 << 26, 2, 0));
        assert!(possible(2, 2, MESSAGE_BYTES_MAX) && !possible(2, 2, MESSAGE_BYTES_MAX + 1));
        // Bits of a slot word for the block's number, and what is left of 54 for positions.
        for (capacity, most) in [(2, 1022), (4, 2044), (8, 4088), (16, 8176)] {
            assert!(possible(capacity, most, 0), "{capacity}");
            assert!(!possible(capacity, most + 1, 0), "{capacity}");
        }
        assert!(possible(32, 8160, 0) && possible(32, 8192, 0));
    }

    #[test]
    fn the_parts_lie_one_behind_the_other() {
        let geometry = Geometry::mpmc(crate::layout::Kind::MpmcBytes, 4, 100, 3, false).unwrap();
        let region = Region::on_heap(usize::try_from(geometry.object_bytes).unwrap()).unwrap();
        let parts = Parts::of(&region, &geometry).unwrap();
        let place = |part: &Region| (part.address() - region.address(), part.bytes());
        assert_eq!(place(&parts.common), (512, 512));
        assert_eq!(place(&parts.seats), (1024, 768));
        assert_eq!(place(&parts.slots), (1792, 32));
        assert_eq!(place(&parts.blocks), (4096, 7 * 128));
    }
}
