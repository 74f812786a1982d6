//! The kinds of rings and their sizes: computed at creation, or read once at attach and kept privately.

use crate::error::{Error, Result};
use crate::layout::mpmc::{self, BLOCK_HEADER_BYTES, BLOCK_UNIT_BYTES, slots_offset};
use crate::layout::spsc::{
    CAPACITY_BYTES_MAX, CAPACITY_BYTES_MIN, CAPACITY_SLOTS_MIN, DATA_OFFSET, RECORD_HEADER_BYTES,
};
use crate::layout::{
    FLAG_REDELIVERY, GEOMETRY_BLOCK_BYTES, GEOMETRY_CAPACITY, GEOMETRY_DATA_BYTES, GEOMETRY_DATA_OFFSET,
    GEOMETRY_MESSAGE_BYTES, GEOMETRY_PARTICIPANTS, GEOMETRY_SLOTS_OFFSET, KIND_MPMC_BYTES, KIND_MPMC_TYPED,
    KIND_SPSC_BYTES, KIND_SPSC_TYPED, OBJECT_UNIT_BYTES,
};
use shm_core::Header;
use shm_core::header::GEOMETRY_WORDS;

/// What a ring carries, and between how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Messages of any length, one producer, one consumer.
    SpscBytes,
    /// Values of one plain type, one producer, one consumer.
    SpscTyped,
    /// Messages of any length up to a maximum, many senders, many receivers.
    MpmcBytes,
    /// Values of one plain type, many senders, many receivers.
    MpmcTyped,
}

impl Kind {
    /// The number in the header.
    pub const fn code(self) -> u32 {
        match self {
            Self::SpscBytes => KIND_SPSC_BYTES,
            Self::SpscTyped => KIND_SPSC_TYPED,
            Self::MpmcBytes => KIND_MPMC_BYTES,
            Self::MpmcTyped => KIND_MPMC_TYPED,
        }
    }

    /// The kind of a number in a header.
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            KIND_SPSC_BYTES => Some(Self::SpscBytes),
            KIND_SPSC_TYPED => Some(Self::SpscTyped),
            KIND_MPMC_BYTES => Some(Self::MpmcBytes),
            KIND_MPMC_TYPED => Some(Self::MpmcTyped),
            _ => None,
        }
    }

    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SpscBytes => "an spsc ring of byte messages",
            Self::SpscTyped => "an spsc ring of typed values",
            Self::MpmcBytes => "an mpmc ring of byte messages",
            Self::MpmcTyped => "an mpmc ring of typed values",
        }
    }

    /// Whether many may send and receive.
    pub const fn is_mpmc(self) -> bool {
        matches!(self, Self::MpmcBytes | Self::MpmcTyped)
    }

    /// Whether it carries values of one type.
    pub const fn is_typed(self) -> bool {
        matches!(self, Self::SpscTyped | Self::MpmcTyped)
    }
}

/// The sizes of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What it carries.
    pub kind: Kind,
    /// Bytes of data (SPSC bytes), slots (SPSC typed), or messages (MPMC). A power of two.
    pub capacity: u64,
    /// The longest message, or the size of a value.
    pub message_bytes: u64,
    /// Where the data begins.
    pub data_offset: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes in the whole object.
    pub object_bytes: u64,
    /// MPMC: how many may take part at once. SPSC: 0.
    pub participants: u64,
    /// MPMC: bytes in a block. SPSC: 0.
    pub block_bytes: u64,
    /// MPMC: whether what a receiver had in hand when it died is handed out again.
    pub redelivery: bool,
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
        Self::spsc(Kind::SpscBytes, capacity, capacity / 2 - RECORD_HEADER_BYTES, capacity)
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
                Self::spsc(Kind::SpscTyped, slots, slot_bytes, bytes)
            }
            _ => {
                Err(Error::InvalidCapacity { reason: "a typed ring has at least one slot and at most 1 TiB" })
            }
        }
    }

    /// An MPMC ring for `capacity` messages (rounded up to a power of two, at least 2) of up to `message_bytes`
    /// each, or values of just that size, and for `participants` at a time.
    ///
    /// # Errors
    /// [`Error::InvalidCapacity`].
    pub fn mpmc(
        kind: Kind,
        capacity: u64,
        message_bytes: u64,
        participants: u64,
        redelivery: bool,
    ) -> Result<Self> {
        let wanted = capacity.clamp(1, mpmc::BLOCKS_MAX).max(mpmc::CAPACITY_MIN).next_power_of_two();
        if capacity == 0 || capacity > wanted || (kind.is_typed() && message_bytes == 0) {
            return Err(Error::InvalidCapacity {
                reason: "an mpmc ring has room for 2 to 33,554,432 messages",
            });
        }
        mpmc::check(wanted, participants, message_bytes)?;
        let header_bytes = if kind.is_typed() { 0 } else { BLOCK_HEADER_BYTES };
        // Below 2^40 and 2^26: none of these sums and products overflows, except the last, which is checked.
        let block_bytes = (header_bytes + message_bytes).next_multiple_of(BLOCK_UNIT_BYTES);
        let data_offset =
            (slots_offset(participants) + wanted * 8).next_multiple_of(OBJECT_UNIT_BYTES as u64);
        let data_bytes = block_bytes.checked_mul(wanted + participants);
        let Some(data_bytes) = data_bytes.filter(|&bytes| bytes <= CAPACITY_BYTES_MAX) else {
            return Err(Error::InvalidCapacity { reason: "a ring has at most 1 TiB" });
        };
        let object_bytes = object_bytes(data_offset, data_bytes)?;
        Ok(Self {
            kind,
            capacity: wanted,
            message_bytes,
            data_offset,
            data_bytes,
            object_bytes,
            participants,
            block_bytes,
            redelivery,
        })
    }

    fn spsc(kind: Kind, capacity: u64, message_bytes: u64, data_bytes: u64) -> Result<Self> {
        let data_offset = DATA_OFFSET as u64;
        let object_bytes = object_bytes(data_offset, data_bytes)?;
        Ok(Self {
            kind,
            capacity,
            message_bytes,
            data_offset,
            data_bytes,
            object_bytes,
            participants: 0,
            block_bytes: 0,
            redelivery: false,
        })
    }

    /// The header of a new ring of this geometry.
    ///
    /// # Errors
    /// When the kernel has no random numbers to give.
    pub fn header(&self, fingerprint: u64) -> Result<Header> {
        let mut header = Header::new(self.kind.code(), self.object_bytes, self.words())?;
        header.fingerprint = fingerprint;
        header.flags = if self.redelivery { FLAG_REDELIVERY } else { 0 };
        Ok(header)
    }

    fn words(&self) -> [u64; GEOMETRY_WORDS] {
        let mut geometry = [0; GEOMETRY_WORDS];
        geometry[GEOMETRY_CAPACITY] = self.capacity;
        geometry[GEOMETRY_MESSAGE_BYTES] = self.message_bytes;
        geometry[GEOMETRY_DATA_OFFSET] = self.data_offset;
        geometry[GEOMETRY_DATA_BYTES] = self.data_bytes;
        if self.kind.is_mpmc() {
            geometry[GEOMETRY_PARTICIPANTS] = self.participants;
            geometry[GEOMETRY_SLOTS_OFFSET] = slots_offset(self.participants);
            geometry[GEOMETRY_BLOCK_BYTES] = self.block_bytes;
        }
        geometry
    }

    /// The geometry that a header speaks of, if it is one this library would have made.
    ///
    /// # Errors
    /// [`Error::NotARing`] for an unknown kind, [`Error::Corrupt`] for impossible sizes.
    pub fn from_header(header: &Header, object: &str) -> Result<Self> {
        let kind = Kind::from_code(header.kind).ok_or_else(|| Error::NotARing { object: object.into() })?;
        let words = header.geometry;
        let (capacity, message_bytes) = (words[GEOMETRY_CAPACITY], words[GEOMETRY_MESSAGE_BYTES]);
        let redelivery = header.flags & FLAG_REDELIVERY != 0;
        let expected = match kind {
            Kind::SpscBytes => Self::bytes(capacity),
            Kind::SpscTyped => Self::slots(capacity, message_bytes),
            Kind::MpmcBytes | Kind::MpmcTyped => {
                Self::mpmc(kind, capacity, message_bytes, words[GEOMETRY_PARTICIPANTS], redelivery)
            }
        };
        match expected {
            Ok(geometry)
                if geometry.object_bytes == header.object_bytes
                    && geometry.redelivery == redelivery
                    && words == geometry.words() =>
            {
                Ok(geometry)
            }
            _ => Err(Error::Corrupt("the header's sizes contradict each other")),
        }
    }
}

fn object_bytes(data_offset: u64, data_bytes: u64) -> Result<u64> {
    let bytes = (data_offset + data_bytes).next_multiple_of(OBJECT_UNIT_BYTES as u64);
    if usize::try_from(bytes).is_err() {
        return Err(Error::InvalidCapacity { reason: "the ring does not fit this machine's address space" });
    }
    Ok(bytes)
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
        let mpmc = |kind, redelivery| Geometry::mpmc(kind, 16, 100, 8, redelivery).unwrap();
        for geometry in [
            Geometry::bytes(4096).unwrap(),
            Geometry::slots(16, 24).unwrap(),
            mpmc(Kind::MpmcBytes, true),
            mpmc(Kind::MpmcTyped, false),
        ] {
            let header = geometry.header(0).unwrap();
            assert_eq!(Geometry::from_header(&header, "x").unwrap(), geometry);
            for word in 0..8 {
                for value in [0, 1, 3, 64, u64::MAX] {
                    let mut wrong = header;
                    // Blocks are rounded up, so several longest messages have the same.
                    let fits = geometry.kind.is_mpmc() && word == GEOMETRY_MESSAGE_BYTES;
                    if wrong.geometry[word] != value && !fits {
                        wrong.geometry[word] = value;
                        assert!(Geometry::from_header(&wrong, "x").is_err(), "{word} {value}");
                    }
                }
            }
        }
    }

    /// Each of the three that are compared can be the only one that is wrong.
    #[test]
    fn a_header_that_contradicts_itself_in_one_place_is_refused() {
        let right = Geometry::bytes(4096).unwrap().header(0).unwrap();
        for wrong in [
            Header { object_bytes: right.object_bytes + OBJECT_UNIT_BYTES as u64, ..right },
            Header { flags: right.flags | FLAG_REDELIVERY, ..right },
            Header { geometry: [right.geometry[0], right.geometry[1] - 8, 0, 0, 0, 0, 0, 0], ..right },
        ] {
            assert!(matches!(Geometry::from_header(&wrong, "x"), Err(Error::Corrupt(_))), "{wrong:?}");
        }
    }

    #[test]
    fn mpmc_geometries_are_limited() {
        let new = |capacity, message_bytes, participants| {
            Geometry::mpmc(Kind::MpmcBytes, capacity, message_bytes, participants, false)
        };
        let smallest = new(1, 0, 2).unwrap();
        assert_eq!((smallest.capacity, smallest.block_bytes, smallest.data_bytes), (2, 64, 256));
        assert_eq!(new(1000, 56, 64).unwrap().block_bytes, 64);
        assert_eq!(new(1000, 57, 64).unwrap().block_bytes, 128);
        assert_eq!(new(1000, 57, 64).unwrap().capacity, 1024);
        for (capacity, message_bytes, participants) in [
            (0, 8, 64),
            (2, 8, 1),
            (2, 8, 8193),
            (2, 8, 1023), // sequences would not last
            (1 << 26, 8, 64),
            (u64::MAX, 8, 64),
            (1 << 25, 1 << 20, 64),
            (2, 1 << 40, 2),
            (2, u64::MAX, 2),
        ] {
            assert!(new(capacity, message_bytes, participants).is_err(), "{capacity} {message_bytes}");
        }
        assert!(new(2, 8, 1022).is_ok());
        assert!(new(1 << 25, 8, 8192).is_ok());
        assert!(Geometry::mpmc(Kind::MpmcTyped, 2, 0, 2, false).is_err());
    }
    #[test]
    fn limits_are_reached() {
        let most = Geometry::bytes(CAPACITY_BYTES_MAX).unwrap();
        assert_eq!((most.capacity, most.object_bytes), (CAPACITY_BYTES_MAX, CAPACITY_BYTES_MAX + 4096));
        assert_eq!(Geometry::slots(1, CAPACITY_BYTES_MAX).unwrap().data_bytes, CAPACITY_BYTES_MAX);
        assert!(Geometry::slots(1, CAPACITY_BYTES_MAX + 1).is_err());
        assert!(Geometry::slots(2, CAPACITY_BYTES_MAX / 2 + 1).is_err());
        let one = Geometry::slots(1, 1).unwrap();
        assert_eq!((one.capacity, one.data_bytes, one.data_offset, one.object_bytes), (1, 1, 4096, 8192));
    }

    /// The sizes of MPMC rings, one by one.
    #[test]
    fn mpmc_rings_lie_as_the_layout_says() {
        let ring = |kind| Geometry::mpmc(kind, 600, 64, 20, true).unwrap();
        let bytes = ring(Kind::MpmcBytes);
        // Seats from 1024 on, 256 bytes each; slots from 6144 on, 8 bytes each; then blocks, from a page's border on.
        assert_eq!((bytes.capacity, bytes.participants, bytes.message_bytes), (1024, 20, 64));
        assert_eq!((bytes.block_bytes, bytes.data_offset), (128, 16384));
        assert_eq!((bytes.data_bytes, bytes.object_bytes), (128 * 1044, 151_552));
        assert_eq!(bytes.words(), [1024, 64, 16384, 128 * 1044, 20, 6144, 128, 0]);
        assert_eq!(ring(Kind::MpmcTyped).block_bytes, 64);
        assert_eq!(Geometry::slots(3, 24).unwrap().words(), [4, 24, 4096, 96, 0, 0, 0, 0]);
    }

    #[test]
    fn the_largest_mpmc_rings_can_be_had_and_no_larger_ones() {
        let new = |capacity, message_bytes, participants| {
            Geometry::mpmc(Kind::MpmcTyped, capacity, message_bytes, participants, false)
        };
        assert_eq!(new(1 << 25, 64, 2).unwrap().capacity, 1 << 25);
        assert!(new((1 << 25) + 1, 64, 2).is_err());
        // 1 TiB in blocks of 4 + 4 participants, and one unit more.
        assert_eq!(new(4, 1 << 37, 4).unwrap().data_bytes, CAPACITY_BYTES_MAX);
        assert!(new(4, (1 << 37) + 1, 4).is_err());
        assert!(Geometry::mpmc(Kind::MpmcBytes, 2, mpmc::MESSAGE_BYTES_MAX, 2, false).is_err(), "4 TiB");
        assert_eq!(new(1, 1, 2).unwrap().capacity, 2);
    }

    #[test]
    fn kinds_are_what_they_are() {
        let all = [Kind::SpscBytes, Kind::SpscTyped, Kind::MpmcBytes, Kind::MpmcTyped];
        assert_eq!(all.map(Kind::is_mpmc), [false, false, true, true]);
        assert_eq!(all.map(Kind::is_typed), [false, true, false, true]);
        assert_eq!(all.map(|kind| Kind::from_code(kind.code())), all.map(Some));
        assert_eq!((Kind::from_code(0), Kind::from_code(5)), (None, None));
        for kind in all {
            let (many, typed) = (kind.describe().contains("mpmc"), kind.describe().contains("typed"));
            assert_eq!((many, typed), (kind.is_mpmc(), kind.is_typed()));
        }
    }
}
