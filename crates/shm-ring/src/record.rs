//! The one word that stands before every message, and that publishes it.
//!
//! | bits | field |
//! |---|---|
//! | 0-39 | length in bytes |
//! | 40-47 | kind: 1 message, 2 pad, 64 + n first message of a tenure whose number is n modulo 64 |
//! | 48-63 | tag, for the user |
//!
//! Zero means that nothing is published here yet. A pad fills the data up to its end.

use crate::error::{Error, Result};
use crate::layout::spsc::RECORD_HEADER_BYTES;
use crate::position::{bytes_to_end, record_bytes};

/// Bytes of a header, as an offset.
pub(crate) const HEADER: usize = 8;

const LENGTH_BITS: u32 = 40;
const TAG_SHIFT: u32 = 48;
const KIND_MESSAGE: u64 = 1;
const KIND_PAD: u64 = 2;
const KIND_FIRST_MESSAGE: u64 = 64;
const TENURE_MASK: u64 = 63;
const KIND_FIRST_MESSAGE_MAX: u64 = KIND_FIRST_MESSAGE | TENURE_MASK;

/// A message in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Position of its header.
    pub(crate) start: u64,
    /// Position behind it.
    pub(crate) end: u64,
    /// Bytes of payload.
    pub(crate) length: u64,
    /// The user's tag.
    pub(crate) tag: u16,
    /// For the first message of a tenure: the tenure's number modulo 64.
    pub(crate) first_of: Option<u8>,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing is published here.
    Nothing,
    /// The next record stands at the beginning of the data, at this position.
    Pad(u64),
    /// A message.
    Message(Record),
}

/// The header of a message; `first_of` is the number of the tenure that it begins.
#[inline(always)]
pub(crate) const fn message(length: u64, tag: u16, first_of: Option<u64>) -> u64 {
    let kind = match first_of {
        None => KIND_MESSAGE,
        Some(tenure) => KIND_FIRST_MESSAGE | tenure & TENURE_MASK,
    };
    length | kind << LENGTH_BITS | (tag as u64) << TAG_SHIFT
}

/// The header of a pad of `pad_bytes`, header included.
#[inline(always)]
pub(crate) const fn pad(pad_bytes: u64) -> u64 {
    (pad_bytes - RECORD_HEADER_BYTES) | KIND_PAD << LENGTH_BITS
}

/// Reads the header `word` found at `position`. Everything in it may be garbage.
///
/// What comes out lies within the data: it neither crosses the end nor exceeds half the ring.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // the tag is the top 16 bits, a tenure's number 6
pub(crate) fn decode(word: u64, position: u64, capacity: u64) -> Result<Found> {
    if word == 0 {
        return Ok(Found::Nothing);
    }
    let length = word & ((1 << LENGTH_BITS) - 1);
    let bytes = record_bytes(length);
    let to_end = bytes_to_end(position, capacity);
    match word >> LENGTH_BITS & 0xFF {
        kind @ (KIND_MESSAGE | KIND_FIRST_MESSAGE..=KIND_FIRST_MESSAGE_MAX)
            if bytes <= capacity / 2 && bytes <= to_end =>
        {
            Ok(Found::Message(Record {
                start: position,
                end: position + bytes,
                length,
                tag: (word >> TAG_SHIFT) as u16,
                first_of: (kind != KIND_MESSAGE).then_some((kind & TENURE_MASK) as u8),
            }))
        }
        // A pad is shorter than the record that did not fit, hence than half the ring.
        KIND_PAD
            if length + RECORD_HEADER_BYTES == to_end && to_end < capacity / 2 && word >> TAG_SHIFT == 0 =>
        {
            Ok(Found::Pad(position + to_end))
        }
        _ => Err(Error::Corrupt("a record's header is impossible")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPACITY: u64 = 256;

    #[test]
    fn what_is_written_is_read() {
        let word = message(13, 0xFFFF, Some(65));
        let record = Record { start: 40, end: 64, length: 13, tag: 0xFFFF, first_of: Some(1) };
        assert_eq!(decode(word, 40, CAPACITY).unwrap(), Found::Message(record));
        assert_eq!(decode(pad(16), 240, CAPACITY).unwrap(), Found::Pad(256));
        assert_eq!(decode(0, 0, CAPACITY).unwrap(), Found::Nothing);
    }

    #[test]
    fn the_impossible_is_refused() {
        assert!(decode(message(121, 0, None), 0, CAPACITY).is_err(), "longer than half");
        assert!(decode(message(24, 0, None), 240, CAPACITY).is_err(), "crosses the end");
        assert!(decode(pad(16), 232, CAPACITY).is_err(), "a pad that ends early");
        assert!(decode(pad(256), 0, CAPACITY).is_err(), "a pad of a whole ring");
        assert!(decode(message(1, 0, None) | 7 << LENGTH_BITS, 0, CAPACITY).is_err(), "unknown kind");
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_data(word: u64, position in 0u64..1 << 50) {
            let position = position & !7;
            match decode(word, position, CAPACITY) {
                Ok(Found::Message(record)) => {
                    prop_assert_eq!(record.start, position);
                    prop_assert!(record.end > position && record.end - position <= CAPACITY / 2);
                    prop_assert!(record.start % CAPACITY + (record.end - record.start) <= CAPACITY);
                    prop_assert!(record.length <= record.end - record.start - 8);
                }
                Ok(Found::Pad(next)) => prop_assert!(next > position && next % CAPACITY == 0),
                Ok(Found::Nothing) => prop_assert_eq!(word, 0),
                Err(_) => {}
            }
        }
    }
    #[test]
    fn a_pad_is_shorter_than_half_a_ring_and_says_nothing_else() {
        assert_eq!(decode(pad(120), 136, CAPACITY).unwrap(), Found::Pad(256));
        assert_eq!(decode(pad(8), 504, CAPACITY).unwrap(), Found::Pad(512));
        assert!(decode(pad(128), 128, CAPACITY).is_err());
        assert!(decode(pad(16) | 1 << TAG_SHIFT, 240, CAPACITY).is_err());
        assert!(decode(pad(24), 240, CAPACITY).is_err());
    }

    #[test]
    fn half_a_ring_up_to_the_end_is_a_message() {
        for position in [0, 64, 128] {
            let record = Record { start: position, end: position + 128, length: 120, tag: 0, first_of: None };
            assert_eq!(decode(message(120, 0, None), position, CAPACITY).unwrap(), Found::Message(record));
        }
        assert!(decode(message(120, 0, None), 136, CAPACITY).is_err());
    }

    #[test]
    fn a_kind_is_a_message_a_pad_or_the_first_message_of_a_tenure() {
        for kind in 0..=255_u64 {
            match decode(kind << LENGTH_BITS | 1, 0, CAPACITY) {
                Ok(Found::Message(record)) if kind == 1 => assert_eq!(record.first_of, None),
                Ok(Found::Message(record)) => {
                    assert!((64..128).contains(&kind), "{kind}");
                    assert_eq!(record.first_of.map(u64::from), Some(kind - 64));
                    assert_eq!(message(1, 0, Some(kind)), kind << LENGTH_BITS | 1);
                }
                Ok(found) => panic!("{kind}: {found:?}"),
                Err(_) => assert!(kind != 1 && !(64..128).contains(&kind), "{kind}"),
            }
        }
    }
}
