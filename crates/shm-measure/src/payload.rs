//! Messages whose every byte depends on their number, cheap to make and to verify.
//!
//! Up to [`COMPUTED_BYTES_MAX`] bytes each word of a message is computed from its number; longer ones are slices of one
//! long tape of random-looking bytes, which begin at another place for each number, with the number in front.

use crate::{Failure, Result};

/// Bytes of a message's number, which every message begins with: no message is shorter.
pub const NUMBER_BYTES: usize = size_of::<u64>();
/// The number that ends a run, and no other message has.
pub const STOP: u64 = u64::MAX;
/// The longest message that is computed.
pub const COMPUTED_BYTES_MAX: usize = 512;

/// Odd, so that no two numbers give the same word.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Messages of a tape with numbers that differ by less than this begin at different places.
const PLACES: u64 = 509;

/// Makes and verifies messages of one length.
pub trait Payload {
    /// Bytes of each message.
    fn length(&self) -> usize;

    /// Message number `number`, in memory of this value.
    fn make(&mut self, number: u64) -> &[u8];

    /// Writes message number `number` to `target`, which is as long.
    fn fill(&mut self, number: u64, target: &mut [u8]);

    /// Whether `message` is message number `number`, in every byte.
    fn is(&mut self, number: u64, message: &[u8]) -> bool;
}

/// What is said of a message that is not what was expected.
pub(crate) fn wrong(number: u64, length: usize, message: &[u8]) -> Failure {
    let found = message.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let bytes = message.len();
    format!("message {number} of {length} bytes arrived as {bytes} bytes that begin with number {found:?}")
        .into()
}

#[inline(always)]
fn word(number: u64, index: usize) -> u64 {
    number.wrapping_add(STEP.wrapping_mul(index as u64))
}

/// Messages of `WORDS` words, for the lengths at which each nanosecond counts.
#[derive(Debug)]
pub struct Fixed<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Default for Fixed<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> Payload for Fixed<WORDS> {
    #[inline(always)]
    fn length(&self) -> usize {
        WORDS * NUMBER_BYTES
    }

    #[inline(always)]
    fn make(&mut self, number: u64) -> &[u8] {
        self.0 = std::array::from_fn(|index| word(number, index));
        bytemuck::cast_slice(&self.0)
    }

    #[inline(always)]
    fn fill(&mut self, number: u64, target: &mut [u8]) {
        target.copy_from_slice(self.make(number));
    }

    #[inline(always)]
    fn is(&mut self, number: u64, message: &[u8]) -> bool {
        let (words, rest) = message.as_chunks::<NUMBER_BYTES>();
        let Ok(words) = <&[[u8; NUMBER_BYTES]; WORDS]>::try_from(words) else { return false };
        let differences =
            words.iter().enumerate().map(|(index, bytes)| u64::from_ne_bytes(*bytes) ^ word(number, index));
        rest.is_empty() && differences.fold(0, |all, one| all | one) == 0
    }
}

/// Messages of any length.
#[derive(Debug)]
pub struct Tape {
    bytes: Vec<u8>,
    length: usize,
    /// Where a number was last written over the tape, and what stood there.
    covered: Option<(usize, [u8; NUMBER_BYTES])>,
}

impl Tape {
    /// For messages of `length` bytes.
    ///
    /// # Errors
    /// When they would have no room for their number.
    pub fn new(length: usize) -> Result<Self> {
        if length < NUMBER_BYTES {
            return Err(format!(
                "a message of {length} bytes has no room for its number: {NUMBER_BYTES} or more"
            )
            .into());
        }
        let mut state = STEP;
        let words = (length + place(PLACES - 1)).div_ceil(NUMBER_BYTES);
        let bytes = std::iter::repeat_with(|| {
            // xorshift64: the same tape in both processes.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Ok(Self { bytes: bytes.take(words).flatten().collect(), length, covered: None })
    }

    fn is_computed(&self) -> bool {
        self.length <= COMPUTED_BYTES_MAX
    }

    /// Takes the number away that was last written over the tape.
    #[inline]
    fn uncover(&mut self) {
        if let Some((at, before)) = self.covered.take() {
            self.bytes[at..at + NUMBER_BYTES].copy_from_slice(&before);
        }
    }
}

impl Payload for Tape {
    fn length(&self) -> usize {
        self.length
    }

    #[inline]
    fn make(&mut self, number: u64) -> &[u8] {
        if self.is_computed() {
            let (words, _) = self.bytes.as_chunks_mut::<NUMBER_BYTES>();
            let used = words.iter_mut().take(self.length.div_ceil(NUMBER_BYTES)).enumerate();
            used.for_each(|(index, bytes)| *bytes = word(number, index).to_le_bytes());
            return &self.bytes[..self.length];
        }
        self.uncover();
        let at = place(number);
        let (start, end) = (&mut self.bytes[at..at + NUMBER_BYTES], at + self.length);
        let mut before = [0; NUMBER_BYTES];
        before.copy_from_slice(start);
        start.copy_from_slice(&number.to_le_bytes());
        self.covered = Some((at, before));
        &self.bytes[at..end]
    }

    #[inline]
    fn fill(&mut self, number: u64, target: &mut [u8]) {
        if self.is_computed() {
            return target.copy_from_slice(self.make(number));
        }
        self.uncover();
        let at = place(number);
        let (start, rest) = target.split_at_mut(NUMBER_BYTES);
        start.copy_from_slice(&number.to_le_bytes());
        rest.copy_from_slice(&self.bytes[at + NUMBER_BYTES..at + self.length]);
    }

    #[inline]
    fn is(&mut self, number: u64, message: &[u8]) -> bool {
        message == self.make(number)
    }
}

#[allow(clippy::cast_possible_truncation)] // less than PLACES words
fn place(number: u64) -> usize {
    (number % PLACES) as usize * NUMBER_BYTES
}

/// Calls a function that takes a payload with the best one for the length.
macro_rules! with_payload {
    ($length:expr, |$payload:ident| $body:expr) => {
        match $length {
            8 => {
                let $payload = &mut $crate::payload::Fixed::<1>::default();
                $body
            }
            56 => {
                let $payload = &mut $crate::payload::Fixed::<7>::default();
                $body
            }
            64 => {
                let $payload = &mut $crate::payload::Fixed::<8>::default();
                $body
            }
            length => {
                let $payload = &mut $crate::payload::Tape::new(length)?;
                $body
            }
        }
    };
}

pub(crate) use with_payload;

#[cfg(test)]
mod tests {
    use super::*;

    fn told_apart(mut sent: impl Payload, mut expected: impl Payload) {
        let length = sent.length();
        for number in (0..3000).chain([STOP - 1, STOP]) {
            let message = sent.make(number).to_vec();
            assert_eq!(message.len(), length);
            assert!(expected.is(number, &message));
            let mut filled = vec![0; length];
            expected.fill(number, &mut filled);
            assert!(sent.is(number, &filled));
        }
        let message = sent.make(7).to_vec();
        assert!(!expected.is(8, &message), "another number");
        assert!(!expected.is(7, &message[..length - 1]), "too short");
        for at in 0..length {
            let mut wrong = message.clone();
            wrong[at] ^= 1;
            assert!(!expected.is(7, &wrong), "byte {at} of {length}");
        }
        let mut renumbered = sent.make(1).to_vec();
        renumbered[..NUMBER_BYTES].copy_from_slice(&2_u64.to_le_bytes());
        assert!(length == NUMBER_BYTES || !expected.is(2, &renumbered));
    }

    #[test]
    fn messages_are_told_apart_down_to_the_byte() {
        told_apart(Fixed::<1>::default(), Fixed::<1>::default());
        told_apart(Fixed::<8>::default(), Tape::new(64).unwrap());
        for length in [8, 9, 64, 511, 512, 513, 1000] {
            told_apart(Tape::new(length).unwrap(), Tape::new(length).unwrap());
        }
        assert!(Tape::new(7).is_err());
    }

    #[test]
    fn messages_written_in_place_are_those_made() {
        for length in [64, 600, 5000] {
            let (mut fills, mut expects) = (Tape::new(length).unwrap(), Tape::new(length).unwrap());
            let mut target = vec![0; length];
            for number in 0..2000 {
                fills.fill(number, &mut target);
                assert!(expects.is(number, &target), "{number} of {length}");
            }
        }
    }
}
