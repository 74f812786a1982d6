//! Where everything lies in a ring object. `docs/layout.md` says the same for readers in other languages.
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

use crate::error::{Error, Result};
use shm_core::line::LINE_BYTES;
use shm_core::{Header, Region, Span};

/// `kind` of a single-producer single-consumer ring of byte messages.
pub const KIND_SPSC_BYTES: u32 = 1;
/// `kind` of a single-producer single-consumer ring of typed slots.
pub const KIND_SPSC_TYPED: u32 = 2;

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
pub const WAIT_BYTES: usize = 24;
/// Wait words: u64, odd while this side is about to sleep or asleep; a new value at every arming.
pub const SLEEP_OFFSET: usize = 0;
/// Wait words: u32, raised before this side wakes the other, which sleeps on it.
pub const WAKE_OFFSET: usize = 8;
/// Wait words: u32, kept for the word that the kernel marks when this side's process dies; zero.
pub const LIFE_OFFSET: usize = 12;
/// Wait words: u32, [notices](NOTICE_REMOVED) to the other side.
pub const NOTICE_OFFSET: usize = 16;
/// Notice: the ring was removed.
pub const NOTICE_REMOVED: u32 = 1;
/// Notice: this side found state that no correct peer leaves.
pub const NOTICE_POISONED: u32 = 2;

/// Bytes of a seat.
pub const SEAT_BYTES: usize = 48;
/// Seat: u64, number of the tenure (from 1) times 256, plus its [state](TENURE_JOINED).
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
/// Low bits of the tenure word that hold its state.
pub const TENURE_STATE_BITS: u32 = 8;
/// Tenure state: sits, or died sitting: the lock on the seat's first byte tells which.
pub const TENURE_JOINED: u64 = 1;
/// Tenure state: closed.
pub const TENURE_CLOSED: u64 = 2;
/// Tenure state: left without closing.
pub const TENURE_DROPPED: u64 = 3;

/// Producer statistics: u64, how often it waited for space.
pub const FULL_WAITS_OFFSET: usize = 0;
/// Producer statistics: u64, messages it discarded because the ring was full.
pub const DROPPED_OFFSET: usize = 8;
/// Statistics of either side: u64, most messages waiting that it has seen.
pub const HIGH_WATER_OFFSET: usize = 16;

/// Where the data begins in a named ring.
pub const DATA_OFFSET: usize = 4096;
/// Objects are a multiple of this long.
pub const OBJECT_UNIT_BYTES: usize = 4096;

/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: u64 = 8;
/// The smallest ring of byte messages.
pub const CAPACITY_BYTES_MIN: u64 = 32;
/// The largest ring of byte messages (1 TiB: a record's length has 40 bits).
pub const CAPACITY_BYTES_MAX: u64 = 1 << 40;
/// The smallest ring of typed slots.
pub const CAPACITY_SLOTS_MIN: u64 = 1;

/// Header geometry: capacity, in bytes or slots.
pub const GEOMETRY_CAPACITY: usize = 0;
/// Header geometry: longest message in bytes, or bytes in a slot.
pub const GEOMETRY_MESSAGE_BYTES: usize = 1;
/// Header geometry: where the data begins.
pub const GEOMETRY_DATA_OFFSET: usize = 2;
/// Header geometry: bytes of data.
pub const GEOMETRY_DATA_BYTES: usize = 3;

const _: () = assert!(PRODUCER_REGION_OFFSET >= shm_core::header::HEADER_BYTES);
const _: () = assert!(PRODUCER_REGION_OFFSET + PRODUCER_REGION_BYTES <= CONSUMER_REGION_OFFSET);
const _: () = assert!(CONSUMER_REGION_OFFSET + CONSUMER_REGION_BYTES <= DATA_OFFSET);
const _: () = assert!(PRODUCER_REGION_OFFSET.is_multiple_of(LINE_BYTES));
const _: () = assert!(CONSUMER_REGION_OFFSET.is_multiple_of(LINE_BYTES));
const _: () = assert!(LEDGER_BYTES <= LINE_BYTES && WAIT_BYTES <= LINE_BYTES && SEAT_BYTES <= LINE_BYTES);
const _: () = assert!(HIGH_WATER_OFFSET + 8 <= LINE_BYTES);

/// What a ring carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Messages of any length, one producer, one consumer.
    SpscBytes,
    /// Values of one plain type, one producer, one consumer.
    SpscTyped,
}

impl Kind {
    /// The number in the header.
    pub const fn code(self) -> u32 {
        match self {
            Self::SpscBytes => KIND_SPSC_BYTES,
            Self::SpscTyped => KIND_SPSC_TYPED,
        }
    }

    /// The kind of a number in a header.
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            KIND_SPSC_BYTES => Some(Self::SpscBytes),
            KIND_SPSC_TYPED => Some(Self::SpscTyped),
            _ => None,
        }
    }

    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SpscBytes => "an spsc ring of byte messages",
            Self::SpscTyped => "an spsc ring of typed values",
        }
    }
}

/// The sizes of one ring: computed at creation, or read once at attach and kept privately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What it carries.
    pub kind: Kind,
    /// Bytes of data, or slots. A power of two.
    pub capacity: u64,
    /// The longest message, or the size of a slot.
    pub message_bytes: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes in the whole object.
    pub object_bytes: u64,
}

impl Geometry {
    /// A ring of byte messages with room for `capacity_bytes`, rounded up to a power of two.
    ///
    /// # Errors
    /// [`Error::InvalidCapacity`].
    pub fn bytes(capacity_bytes: u64) -> Result<Self> {
        if !(1..=CAPACITY_BYTES_MAX).contains(&capacity_bytes) {
            return Err(Error::InvalidCapacity { reason: "a ring has between 1 byte and 1 TiB" });
        }
        let capacity = capacity_bytes.max(CAPACITY_BYTES_MIN).next_power_of_two();
        // Half a ring always fits an empty one, wherever its positions stand.
        Self::new(Kind::SpscBytes, capacity, capacity / 2 - RECORD_HEADER_BYTES, capacity)
    }

    /// A ring of `capacity_slots` slots (rounded up to a power of two) of `slot_bytes` each.
    ///
    /// # Errors
    /// [`Error::InvalidCapacity`].
    pub fn slots(capacity_slots: u64, slot_bytes: u64) -> Result<Self> {
        let slots = capacity_slots.max(CAPACITY_SLOTS_MIN).checked_next_power_of_two();
        let sizes = slots.and_then(|slots| Some((slots, slots.checked_mul(slot_bytes)?)));
        match sizes {
            Some((slots, bytes)) if (1..=CAPACITY_BYTES_MAX).contains(&bytes) && capacity_slots > 0 => {
                Self::new(Kind::SpscTyped, slots, slot_bytes, bytes)
            }
            _ => {
                Err(Error::InvalidCapacity { reason: "a typed ring has at least one slot and at most 1 TiB" })
            }
        }
    }

    fn new(kind: Kind, capacity: u64, message_bytes: u64, data_bytes: u64) -> Result<Self> {
        let object_bytes = (DATA_OFFSET as u64 + data_bytes).next_multiple_of(OBJECT_UNIT_BYTES as u64);
        if usize::try_from(object_bytes).is_err() {
            return Err(Error::InvalidCapacity {
                reason: "the ring does not fit this machine's address space",
            });
        }
        Ok(Self { kind, capacity, message_bytes, data_bytes, object_bytes })
    }

    /// The header of a new ring of this geometry.
    ///
    /// # Errors
    /// When the kernel has no random numbers to give.
    pub fn header(&self, fingerprint: u64) -> Result<Header> {
        let mut geometry = [0; shm_core::header::GEOMETRY_WORDS];
        geometry[GEOMETRY_CAPACITY] = self.capacity;
        geometry[GEOMETRY_MESSAGE_BYTES] = self.message_bytes;
        geometry[GEOMETRY_DATA_OFFSET] = DATA_OFFSET as u64;
        geometry[GEOMETRY_DATA_BYTES] = self.data_bytes;
        let mut header = Header::new(self.kind.code(), self.object_bytes, geometry)?;
        header.fingerprint = fingerprint;
        Ok(header)
    }

    /// The geometry that a header speaks of, if it is one this library would have made.
    ///
    /// # Errors
    /// [`Error::NotARing`] for an unknown kind, [`Error::Corrupt`] for impossible sizes.
    pub fn from_header(header: &Header, object: &str) -> Result<Self> {
        let kind = Kind::from_code(header.kind).ok_or_else(|| Error::NotARing { object: object.into() })?;
        let capacity = header.geometry[GEOMETRY_CAPACITY];
        let expected = match kind {
            Kind::SpscBytes => Self::bytes(capacity),
            Kind::SpscTyped => Self::slots(capacity, header.geometry[GEOMETRY_MESSAGE_BYTES]),
        };
        match expected {
            Ok(geometry)
                if geometry.capacity == capacity
                    && geometry.object_bytes == header.object_bytes
                    && header.geometry == geometry.header(0)?.geometry =>
            {
                Ok(geometry)
            }
            _ => Err(Error::Corrupt("the header's sizes contradict each other")),
        }
    }
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
    fn capacities_are_rounded_up_and_limited() {
        assert_eq!(Geometry::bytes(1).unwrap().capacity, 32);
        assert_eq!(Geometry::bytes(33).unwrap().capacity, 64);
        assert_eq!(Geometry::bytes(1 << 20).unwrap().message_bytes, (1 << 19) - 8);
        assert!(Geometry::bytes(0).is_err());
        assert!(Geometry::bytes(CAPACITY_BYTES_MAX + 1).is_err());
        assert_eq!(Geometry::slots(3, 24).unwrap().data_bytes, 96);
        assert!(Geometry::slots(0, 8).is_err());
        assert!(Geometry::slots(8, 0).is_err());
        assert!(Geometry::slots(u64::MAX, 8).is_err());
        assert!(Geometry::slots(1 << 60, 8).is_err());
    }

    #[test]
    fn a_header_gives_its_geometry_back_and_no_other() {
        for geometry in [Geometry::bytes(4096).unwrap(), Geometry::slots(16, 24).unwrap()] {
            let header = geometry.header(0).unwrap();
            assert_eq!(Geometry::from_header(&header, "x").unwrap(), geometry);
            for word in 0..4 {
                for value in [0, 1, 3, 64, u64::MAX] {
                    let mut wrong = header;
                    if wrong.geometry[word] != value {
                        wrong.geometry[word] = value;
                        assert!(Geometry::from_header(&wrong, "x").is_err(), "{word} {value}");
                    }
                }
            }
        }
    }
}
