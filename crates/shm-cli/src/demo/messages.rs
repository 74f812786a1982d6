//! What is sent: messages whose length and bytes follow from their number, so that the receiver can verify every
//! one of them and nobody needs to keep a copy.
//!
//! A message is its number, followed by words of a sequence that begins at a random place for each number. Making
//! one costs little more than writing it, and checking one is making it again and comparing.

/// The shortest message in bytes: room for its number.
pub(crate) const LENGTH_MIN: usize = WORD;
/// The longest message in bytes.
pub(crate) const LENGTH_MAX: usize = 8192;
/// The length of the messages that go there and back.
pub(crate) const PING_BYTES: usize = 64;

const WORD: usize = size_of::<u64>();
/// Odd, and without a pattern in its bits: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Lengths: most messages are small and most bytes are in large ones. Of a hundred messages, those from the
/// first number on have a length between the other two.
const LENGTHS: [(u64, u64, u64); 4] =
    [(0, LENGTH_MIN as u64, 64), (60, 65, 256), (86, 257, 1024), (98, 1025, LENGTH_MAX as u64)];

/// The length of the message of that number in the mixed stream.
pub(crate) fn length_of(number: u64) -> usize {
    let random = mix(number);
    let (low, high) = (random & 0xFFFF_FFFF, random >> 32);
    let percent = (low * 100) >> 32;
    // Summed and not branched: the processor could not guess which it will be.
    let class = LENGTHS.iter().skip(1).map(|(from, ..)| usize::from(percent >= *from)).sum::<usize>();
    let (_, shortest, longest) = LENGTHS[class];
    let length = shortest + ((high * (longest - shortest + 1)) >> 32);
    usize::try_from(length).unwrap_or(LENGTH_MAX)
}

/// The finalizer of SplitMix64: a permutation that leaves no pattern.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Makes messages, one at a time.
#[derive(Debug)]
pub(crate) struct Messages {
    buffer: Box<[u8]>,
}

impl Messages {
    /// A maker of messages.
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; LENGTH_MAX].into_boxed_slice() }
    }

    /// The message of that number and length.
    pub(crate) fn make(&mut self, number: u64, length: usize) -> &[u8] {
        let length = length.clamp(LENGTH_MIN, LENGTH_MAX);
        let (head, body) = self.buffer[..length.next_multiple_of(WORD)].split_at_mut(WORD);
        head.copy_from_slice(&number.to_le_bytes());
        let mut word = mix(!number);
        for bytes in body.chunks_exact_mut(WORD) {
            bytes.copy_from_slice(&word.to_le_bytes());
            word = word.wrapping_add(STEP);
        }
        &self.buffer[..length]
    }
}

/// Verifies that messages are the ones that are due, byte by byte.
#[derive(Debug)]
pub(crate) struct Verifier {
    made: Messages,
    next: u64,
    tally: Tally,
}

/// What was received.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tally {
    /// Messages received.
    pub(crate) messages: u64,
    /// Messages that were exactly what was due.
    pub(crate) verified: u64,
    /// Bytes received.
    pub(crate) bytes: u64,
    /// What was wrong with the first message that was not what was due.
    pub(crate) complaint: Option<String>,
}

impl Verifier {
    /// A verifier to which message 0 is due.
    pub(crate) fn new() -> Self {
        Self { made: Messages::new(), next: 0, tally: Tally::default() }
    }

    /// Verifies the next message of the mixed stream.
    pub(crate) fn check_mixed(&mut self, received: &[u8]) {
        self.check(length_of(self.next), received);
    }

    /// Verifies that the next message is the one of `length` bytes that is due.
    pub(crate) fn check(&mut self, length: usize, received: &[u8]) {
        let number = self.next;
        self.next += 1;
        self.tally.messages += 1;
        self.tally.bytes += received.len() as u64;
        if received == self.made.make(number, length) {
            self.tally.verified += 1;
        } else {
            self.complain(number, length, received);
        }
    }

    /// What was received so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    #[cold]
    fn complain(&mut self, number: u64, length: usize, received: &[u8]) {
        if self.tally.complaint.is_some() {
            return;
        }
        let due = self.made.make(number, length);
        let what = if received.len() != due.len() {
            format!("{} bytes long instead of {}", received.len(), due.len())
        } else {
            let differs = received.iter().zip(due).position(|(found, due)| found != due);
            format!("wrong at byte {}", differs.unwrap_or_default())
        };
        self.tally.complaint = Some(format!("message {number} is {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_mixed_as_promised() {
        let lengths: Vec<usize> = (0..100_000).map(length_of).collect();
        let share = |range: std::ops::RangeInclusive<usize>| {
            lengths.iter().filter(|length| range.contains(length)).count() / 1000
        };
        assert!((59..=61).contains(&share(8..=64)));
        assert!((25..=27).contains(&share(65..=256)));
        assert!((11..=13).contains(&share(257..=1024)));
        assert!((1..=2).contains(&share(1025..=LENGTH_MAX)));
        assert!(lengths.contains(&LENGTH_MIN) && lengths.iter().any(|length| *length > 8000));
        assert!(lengths.iter().any(|length| length % 8 != 0));
    }

    #[test]
    fn what_was_sent_is_verified() {
        let (mut messages, mut verifier) = (Messages::new(), Verifier::new());
        for number in 0..1000 {
            verifier.check_mixed(messages.make(number, length_of(number)));
        }
        let bytes = (0..1000).map(|number| length_of(number) as u64).sum();
        let expected = Tally { messages: 1000, verified: 1000, bytes, complaint: None };
        assert_eq!(*verifier.tally(), expected);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let mut messages = Messages::new();
        for length in [8, 13, 64, 1021] {
            for at in 0..length {
                let (mut verifier, mut received) = (Verifier::new(), messages.make(0, length).to_vec());
                received[at] ^= 0x10;
                verifier.check(length, &received);
                assert_eq!(verifier.tally().verified, 0);
                let complaint = format!("message 0 is wrong at byte {at}");
                assert_eq!(verifier.tally().complaint, Some(complaint));
            }
        }
    }

    #[test]
    fn what_is_lost_repeated_or_cut_is_noticed() {
        let mut messages = Messages::new();
        for (number, length, complaint) in [
            (1, 64, "message 0 is wrong at byte 0"),
            (0, 63, "message 0 is 63 bytes long instead of 64"),
            (0, 65, "message 0 is 65 bytes long instead of 64"),
        ] {
            let mut verifier = Verifier::new();
            verifier.check(64, messages.make(number, length));
            verifier.check(64, messages.make(5, 64)); // the first complaint stays
            assert_eq!(verifier.tally().complaint.as_deref(), Some(complaint));
            assert_eq!((verifier.tally().messages, verifier.tally().verified), (2, 0));
        }
    }
}
