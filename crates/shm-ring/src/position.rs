//! Positions: bytes or slots since the ring's birth, counted in 64 bits and never wrapped (a ring that
//! moves 100 GB a second would need five years). Pure arithmetic, with the tests that belong to it.

use crate::layout::spsc::RECORD_HEADER_BYTES;

/// Bytes that a message of `length` takes: its header, and itself up to the next multiple of 8.
#[inline(always)]
pub(crate) const fn record_bytes(length: u64) -> u64 {
    (RECORD_HEADER_BYTES + length + 7) & !7
}

/// Bytes from `position` to the end of the data; a position on the border has all of it ahead.
#[inline(always)]
pub(crate) const fn bytes_to_end(position: u64, capacity: u64) -> u64 {
    capacity - (position & (capacity - 1))
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Bytes to skip first, because the record would cross the end of the data; 0 if it would not.
    pub(crate) pad_bytes: u64,
    /// Where its header stands.
    pub(crate) start: u64,
    /// Where the next one may stand.
    pub(crate) end: u64,
}

/// Places a record of `record_bytes` behind `position`. Records never cross the end of the data.
#[inline(always)]
pub(crate) const fn place(position: u64, record_bytes: u64, capacity: u64) -> Placement {
    let to_end = bytes_to_end(position, capacity);
    let pad_bytes = if to_end < record_bytes { to_end } else { 0 };
    let start = position + pad_bytes;
    Placement { pad_bytes, start, end: start + record_bytes }
}

/// Whether everything up to `end` and the header behind it may be written, when the consumer has
/// released all before `head`.
#[inline(always)]
pub(crate) const fn fits(end: u64, head: u64, capacity: u64) -> bool {
    // The 8 bytes more are the next header, which is zeroed at every publication.
    end + RECORD_HEADER_BYTES - head <= capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_never_cross_the_end(shift in 5u32..20, position in 0u64..1 << 40, length in 0u64..1 << 20) {
            let capacity = 1 << shift;
            let position = position & !7;
            let bytes = record_bytes(length % (capacity / 2 - 7));
            let placement = place(position, bytes, capacity);
            prop_assert!(bytes_to_end(placement.start, capacity) >= bytes);
            prop_assert!(placement.pad_bytes < bytes);
            prop_assert_eq!(placement.end - position, placement.pad_bytes + bytes);
            prop_assert!(placement.pad_bytes == 0 || placement.start & (capacity - 1) == 0);
        }

        #[test]
        fn half_a_ring_always_fits_an_empty_one(shift in 5u32..20, position in 0u64..1 << 40, length in 0u64..1 << 20) {
            let capacity = 1 << shift;
            let position = position & !7;
            let bytes = record_bytes(length % (capacity / 2 - 7));
            prop_assert!(fits(place(position, bytes, capacity).end, position, capacity));
        }
    }

    #[test]
    fn lengths_are_rounded_to_words() {
        assert_eq!([0, 1, 8, 9, 16].map(record_bytes), [8, 16, 16, 24, 24]);
    }
}
