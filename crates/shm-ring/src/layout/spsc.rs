//! Where everything lies in an SPSC ring.
//!
//! ```text
//!      0  header            never changes after birth (shm_core::header)
//!    512  producer region   written by the producer only
//!   1024  consumer region   written by the consumer only
//!   4096  data              written by the producer only
//! ```
//!
//! Words that different processes write, or that one polls while the other writes others, lie on
//! different lines of 128 bytes. Offsets below are relative to the region they belong to, so that the
//! two regions can also live in two objects.

use crate::error::{Result, Role};
use crate::layout::Geometry;
use shm_core::line::LINE_BYTES;
use shm_core::{Region, Span, life};

/// Where the producer region begins in a named ring.
pub const PRODUCER_REGION_OFFSET: usize = 512;
/// Bytes in the producer region, without the data.
pub const PRODUCER_REGION_BYTES: usize = 4 * LINE_BYTES;
/// Producer region: how far it has published, a [ledger](LEDGER_BYTES).
pub const TAIL_OFFSET: usize = 0;
/// Producer region: the [wait words](WAIT_BYTES).
pub const PRODUCER_WAIT_OFFSET: usize = LINE_BYTES;
/// Producer region: the [seat](SEAT_BYTES).
pub const PRODUCER_SEAT_OFFSET: usize = 2 * LINE_BYTES;
/// Producer region: counts for people.
pub const PRODUCER_STATISTICS_OFFSET: usize = 3 * LINE_BYTES;

/// Where the consumer region begins in a named ring.
pub const CONSUMER_REGION_OFFSET: usize = 1024;
/// Bytes in the consumer region.
pub const CONSUMER_REGION_BYTES: usize = 5 * LINE_BYTES;
/// Consumer region: u64, up to where space may be used again.
pub const HEAD_OFFSET: usize = 0;
/// Consumer region: what has been handed out, a [ledger](LEDGER_BYTES). Unused in typed rings, where it is `head`.
pub const CURSOR_OFFSET: usize = LINE_BYTES;
/// Consumer region: the [wait words](WAIT_BYTES).
pub const CONSUMER_WAIT_OFFSET: usize = 2 * LINE_BYTES;
/// Consumer region: the [seat](SEAT_BYTES).
pub const CONSUMER_SEAT_OFFSET: usize = 3 * LINE_BYTES;
/// Consumer region: counts for people.
pub const CONSUMER_STATISTICS_OFFSET: usize = 4 * LINE_BYTES;

/// A ledger is two entries {position u64, count u64}. The one with the greater position counts; the other
/// is the one written next, count first. So position and count agree whenever its writer is killed.
pub const LEDGER_BYTES: usize = 2 * LEDGER_ENTRY_BYTES;
/// Bytes of one ledger entry.
pub const LEDGER_ENTRY_BYTES: usize = 16;
/// Ledger entry: the position, u64.
pub const LEDGER_POSITION_OFFSET: usize = 0;
/// Ledger entry: messages up to that position, u64.
pub const LEDGER_COUNT_OFFSET: usize = 8;

/// Bytes of the wait words.
pub const WAIT_BYTES: usize = 28;
/// Wait words: u64, odd while this side is about to sleep or asleep; a new value at every arming.
pub const SLEEP_OFFSET: usize = 0;
/// Wait words: u32, raised before this side wakes the other, which sleeps on it.
pub const WAKE_OFFSET: usize = 8;
/// Wait words: u32, [notices](super::NOTICE_REMOVED) to the other side.
pub const NOTICE_OFFSET: usize = 16;
/// Wait words: u32, the word that the kernel marks when this side's process dies.
pub const LIFE_OFFSET: usize = 24;

/// Bytes of a seat.
pub const SEAT_BYTES: usize = 56;
/// Seat: u64, number of the tenure (from 1) times 256, plus its [state](super::TENURE_JOINED).
pub const TENURE_OFFSET: usize = 0;
/// Seat: u32, who sat down last; for people.
pub const PID_OFFSET: usize = 8;
/// Seat: u64, bit n is set if the last tenure with a number of n modulo 64 ended by leaving without
/// closing. Written by the successor.
pub const DROPPED_BITS_OFFSET: usize = 16;
/// Seat: u64, bit n is set if the last tenure with a number of n modulo 64 ended by a death. Written by the
/// successor.
pub const DIED_BITS_OFFSET: usize = 24;
/// Seat: u64, position at which the present tenure began.
pub const BEGAN_OFFSET: usize = 32;
/// Seat: u64, number of the other side's last tenure whose end this side was told.
pub const TOLD_OFFSET: usize = 40;
/// Seat: u64, messages of this side when the present tenure began.
pub const BEGAN_COUNT_OFFSET: usize = 48;
/// Producer statistics: u64, how often it waited for space.
pub const FULL_WAITS_OFFSET: usize = 0;
/// Producer statistics: u64, messages it discarded because the ring was full.
pub const DROPPED_OFFSET: usize = 8;
/// Statistics of either side: u64, most messages waiting that it has seen.
pub const HIGH_WATER_OFFSET: usize = 16;

/// Where the data begins in a named ring.
pub const DATA_OFFSET: usize = 4096;
/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: u64 = 8;
/// The smallest ring of byte messages.
pub const CAPACITY_BYTES_MIN: u64 = 32;
/// The largest ring of byte messages (1 TiB: a record's length has 40 bits).
pub const CAPACITY_BYTES_MAX: u64 = 1 << 40;
/// The smallest ring of typed slots.
pub const CAPACITY_SLOTS_MIN: u64 = 1;

const _: () = assert!(PRODUCER_REGION_OFFSET >= shm_core::header::HEADER_BYTES);
const _: () = assert!(PRODUCER_REGION_OFFSET + PRODUCER_REGION_BYTES <= CONSUMER_REGION_OFFSET);
const _: () = assert!(CONSUMER_REGION_OFFSET + CONSUMER_REGION_BYTES <= DATA_OFFSET);
const _: () = assert!(PRODUCER_REGION_OFFSET.is_multiple_of(LINE_BYTES));
const _: () = assert!(CONSUMER_REGION_OFFSET.is_multiple_of(LINE_BYTES));
const _: () = assert!(LEDGER_BYTES <= LINE_BYTES && WAIT_BYTES <= LINE_BYTES && SEAT_BYTES <= LINE_BYTES);
const _: () = assert!(HIGH_WATER_OFFSET + 8 <= LINE_BYTES);
const _: () = assert!((LIFE_OFFSET as u64).is_multiple_of(life::ALIGNMENT));

/// Where the life word of a side lies, in a named ring as well as in the object that this side of a sealed one makes.
pub(crate) const fn life_offset(role: Role) -> u64 {
    let wait = if role.sends() {
        PRODUCER_REGION_OFFSET + PRODUCER_WAIT_OFFSET
    } else {
        CONSUMER_REGION_OFFSET + CONSUMER_WAIT_OFFSET
    };
    (wait + LIFE_OFFSET) as u64
}

/// The parts of a mapped ring.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) producer: Region,
    pub(crate) consumer: Region,
    pub(crate) data: Region,
}

impl Parts {
    /// Divides the mapping of a named ring.
    pub(crate) fn of(region: &Region, geometry: &Geometry) -> Result<Self> {
        let data_bytes = usize::try_from(geometry.data_bytes).unwrap_or(usize::MAX); // refused by `part` then
        Ok(Self {
            producer: region.part(Span::new(PRODUCER_REGION_OFFSET, PRODUCER_REGION_BYTES))?,
            consumer: region.part(Span::new(CONSUMER_REGION_OFFSET, CONSUMER_REGION_BYTES))?,
            data: region.part(Span::new(DATA_OFFSET, data_bytes))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_lie_where_the_constants_say() {
        let geometry = Geometry::bytes(4096).unwrap();
        let region = Region::on_heap(8192).unwrap();
        let parts = Parts::of(&region, &geometry).unwrap();
        let place = |part: &Region| (part.address() - region.address(), part.bytes());
        assert_eq!(place(&parts.producer), (512, 512));
        assert_eq!(place(&parts.consumer), (1024, 640));
        assert_eq!(place(&parts.data), (4096, 4096));
        assert_eq!([Role::Producer, Role::Consumer].map(life_offset), [664, 1304]);
    }
}
