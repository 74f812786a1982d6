//! Messages that are made and verified at next to no cost: slices of one long tape of random-looking
//! bytes, which begin at another place for each number, with the number in their first 8 bytes.

use crate::Result;

/// Bytes of a message's number, which every message has.
pub const NUMBER_BYTES: usize = size_of::<u64>();
/// Messages with numbers that differ by less than this begin at different places.
const PLACES: u64 = 509;

/// Makes and verifies messages of one length.
#[derive(Debug)]
pub struct Tape {
    bytes: Vec<u8>,
    length: usize,
    /// Where a number was last written over the tape, and what stood there.
    covered: Option<(usize, [u8; NUMBER_BYTES])>,
}

impl Tape {
    /// For messages of `length` bytes, at least [`NUMBER_BYTES`].
    pub fn new(length: usize) -> Self {
        let length = length.max(NUMBER_BYTES);
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let words = (length + place(PLACES - 1)).div_ceil(size_of::<u64>());
        let bytes = std::iter::repeat_with(|| {
            // xorshift64: the same tape in both processes.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Self { bytes: bytes.take(words).flatten().collect(), length, covered: None }
    }

    /// Message number `number`.
    pub fn message(&mut self, number: u64) -> &[u8] {
        if let Some((at, before)) = self.covered.take() {
            self.bytes[at..at + NUMBER_BYTES].copy_from_slice(&before);
        }
        let at = place(number);
        let (start, end) = (&mut self.bytes[at..at + NUMBER_BYTES], at + self.length);
        let mut before = [0; NUMBER_BYTES];
        before.copy_from_slice(start);
        start.copy_from_slice(&number.to_le_bytes());
        self.covered = Some((at, before));
        &self.bytes[at..end]
    }

    /// Compares every byte of `message` with what message number `number` is.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn verify(&mut self, number: u64, message: &[u8]) -> Result<()> {
        if message == self.message(number) {
            return Ok(());
        }
        let found = message.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let (length, wanted) = (message.len(), self.length);
        Err(format!(
            "message {number} of {wanted} bytes arrived as {length} bytes that begin with number {found:?}"
        )
        .into())
    }
}

#[allow(clippy::cast_possible_truncation)] // less than PLACES words
fn place(number: u64) -> usize {
    (number % PLACES) as usize * size_of::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_down_to_the_byte() {
        for length in [8, 9, 64, 1000] {
            let (mut sent, mut expected) = (Tape::new(length), Tape::new(length));
            for number in (0..3000).chain([u64::MAX]) {
                let message = sent.message(number).to_vec();
                assert_eq!(message.len(), length);
                expected.verify(number, &message).unwrap();
            }
            let message = sent.message(7).to_vec();
            assert!(expected.verify(8, &message).is_err(), "another number");
            assert!(expected.verify(7, &message[..length - 1]).is_err(), "too short");
            for at in 0..length {
                let mut wrong = message.clone();
                wrong[at] ^= 1;
                assert!(expected.verify(7, &wrong).is_err(), "byte {at} of {length}");
            }
        }
    }

    #[test]
    fn a_message_of_another_number_in_its_place_is_noticed() {
        let (mut sent, mut expected) = (Tape::new(64), Tape::new(64));
        let mut renumbered = sent.message(1).to_vec();
        renumbered[..NUMBER_BYTES].copy_from_slice(&2_u64.to_le_bytes());
        assert!(expected.verify(2, &renumbered).is_err());
    }
}
