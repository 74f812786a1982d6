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
use core::num::NonZero;

/// Bytes of a header, as an offset.
pub(crate) const HEADER: usize = 8;

const LENGTH_BITS: u32 = 40;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
const TAG_SHIFT: u32 = 48;
const KIND_MESSAGE: u64 = 1;
const KIND_PAD: u64 = 2;
const KIND_FIRST_MESSAGE: u64 = 64;
const TENURE_MASK: u64 = 63;
const KIND_FIRST_MESSAGE_MAX: u64 = KIND_FIRST_MESSAGE | TENURE_MASK;

/// A message in the ring: where its header stands, and the header, which was judged. Two words, so that it stays in
/// registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Position of its header.
    pub(crate) start: u64,
    header: NonZero<u64>,
}

impl Record {
    /// Bytes of payload.
    #[inline(always)]
    pub(crate) const fn length(self) -> u64 {
        self.header.get() & LENGTH_MASK
    }

    /// Position behind it.
    #[inline(always)]
    pub(crate) const fn end(self) -> u64 {
        self.start + record_bytes(self.length())
    }

    /// The user's tag.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the top 16 bits
    pub(crate) const fn tag(self) -> u16 {
        (self.header.get() >> TAG_SHIFT) as u16
    }

    /// For the first message of a tenure: the tenure's number modulo 64.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // 6 bits
    pub(crate) const fn first_of(self) -> Option<u8> {
        let kind = kind(self.header.get());
        if kind == KIND_MESSAGE { None } else { Some((kind & TENURE_MASK) as u8) }
    }

    /// Whether it lies within the data, and is no longer than half the ring.
    #[inline(always)]
    const fn fits(self, capacity: u64) -> bool {
        let bytes = record_bytes(self.length());
        bytes <= capacity / 2 && bytes <= bytes_to_end(self.start, capacity)
    }
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

#[inline(always)]
const fn kind(header: u64) -> u64 {
    header >> LENGTH_BITS & 0xFF
}

/// The message whose header `word` was found at `position`, unless it is something else than a message, the first of a
/// tenure, or garbage: which of these, [`decode`] says.
#[inline(always)]
pub(crate) fn plain(word: u64, position: u64, capacity: u64) -> Option<Record> {
    let record = Record { start: position, header: NonZero::new(word)? };
    (kind(word) == KIND_MESSAGE && record.fits(capacity)).then_some(record)
}

/// Reads the header `word` found at `position`. Everything in it may be garbage.
///
/// What comes out lies within the data: it neither crosses the end nor exceeds half the ring.
#[inline(always)]
pub(crate) fn decode(word: u64, position: u64, capacity: u64) -> Result<Found> {
    let Some(header) = NonZero::new(word) else {
        return Ok(Found::Nothing);
    };
    let record = Record { start: position, header };
    let to_end = bytes_to_end(position, capacity);
    match kind(word) {
        KIND_MESSAGE | KIND_FIRST_MESSAGE..=KIND_FIRST_MESSAGE_MAX if record.fits(capacity) => {
            Ok(Found::Message(record))
        }
        // A pad is shorter than the record that did not fit, hence than half the ring.
        KIND_PAD
            if record.length() + RECORD_HEADER_BYTES == to_end
                && to_end < capacity / 2
                && word >> TAG_SHIFT == 0 =>
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
        let Found::Message(record) = decode(word, 40, CAPACITY).unwrap() else { panic!("no message") };
        assert_eq!((record.start, record.end(), record.length()), (40, 64, 13));
        assert_eq!((record.tag(), record.first_of()), (0xFFFF, Some(1)));
        let word = message(13, 7, None);
        let record = plain(word, 40, CAPACITY).unwrap();
        assert_eq!(decode(word, 40, CAPACITY).unwrap(), Found::Message(record));
        assert_eq!((record.tag(), record.first_of()), (7, None));
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
            let decoded = decode(word, position, CAPACITY);
            if let Some(record) = plain(word, position, CAPACITY) {
                prop_assert_eq!(record.first_of(), None);
                prop_assert!(matches!(decoded, Ok(Found::Message(found)) if found == record));
            }
            match decoded {
                Ok(Found::Message(record)) => {
                    let end = record.end();
                    prop_assert_eq!(record.start, position);
                    prop_assert!(end > position && end - position <= CAPACITY / 2);
                    prop_assert!(record.start % CAPACITY + (end - record.start) <= CAPACITY);
                    prop_assert!(record.length() <= end - record.start - 8);
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
            let record = Record { start: position, header: NonZero::new(message(120, 0, None)).unwrap() };
            assert_eq!(decode(message(120, 0, None), position, CAPACITY).unwrap(), Found::Message(record));
        }
        assert!(decode(message(120, 0, None), 136, CAPACITY).is_err());
    }

    #[test]
    fn a_kind_is_a_message_a_pad_or_the_first_message_of_a_tenure() {
        for kind in 0..=255_u64 {
            match decode(kind << LENGTH_BITS | 1, 0, CAPACITY) {
                Ok(Found::Message(record)) if kind == 1 => assert_eq!(record.first_of(), None),
                Ok(Found::Message(record)) => {
                    assert!((64..128).contains(&kind), "{kind}");
                    assert_eq!(record.first_of().map(u64::from), Some(kind - 64));
                    assert_eq!(message(1, 0, Some(kind)), kind << LENGTH_BITS | 1);
                }
                Ok(found) => panic!("{kind}: {found:?}"),
                Err(_) => assert!(kind != 1 && !(64..128).contains(&kind), "{kind}"),
            }
        }
    }
}
