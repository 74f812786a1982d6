//! The word that says which block a participant has in hand. Only the holder of its seat writes it.
//!
//! {hand, none}: just this block. {hand, expected}: an exchange was under way, and it is one of the two: `hand` if
//! the exchange did not happen, `expected` if it did; *the other one is in circulation*. What whoever takes a
//! dead one's seat over makes of that is the business of [`reclaim`](crate::mpmc::reclaim).

use crate::layout::mpmc::{BLOCKS_MAX, HAND_BLOCK_BITS, HAND_UNREAD};

/// What a hand word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hand {
    /// The block in hand.
    pub(crate) block: u64,
    /// The block that an exchange under way would bring.
    pub(crate) expected: Option<u64>,
    /// The block in hand is a message that was received and not yet let go; while an exchange is under way, the one
    /// that is expected would be.
    pub(crate) unread: bool,
}

impl Hand {
    /// Just this block, with nothing in it that matters.
    #[inline(always)]
    pub(crate) fn spare(block: u64) -> Self {
        Self { block, expected: None, unread: false }
    }

    /// Just this block, a message.
    #[inline(always)]
    pub(crate) fn message(block: u64) -> Self {
        Self { block, expected: None, unread: true }
    }

    /// About to exchange `block` for `expected`; `unread` if that is a message.
    #[inline(always)]
    pub(crate) fn intent(block: u64, expected: u64, unread: bool) -> Self {
        Self { block, expected: Some(expected), unread }
    }

    #[inline(always)]
    pub(crate) fn pack(self) -> u64 {
        let unread = if self.unread { HAND_UNREAD } else { 0 };
        self.block | self.expected.unwrap_or(BLOCKS_MAX) << HAND_BLOCK_BITS | unread
    }

    /// `None` for words that no correct participant of a ring of so many blocks writes.
    pub(crate) fn unpack(word: u64, blocks: u64) -> Option<Self> {
        let block = word & BLOCKS_MAX;
        let expected = word >> HAND_BLOCK_BITS & BLOCKS_MAX;
        let expected = (expected != BLOCKS_MAX).then_some(expected);
        let rest = word & !(HAND_UNREAD | BLOCKS_MAX | BLOCKS_MAX << HAND_BLOCK_BITS);
        let possible =
            rest == 0 && block < blocks && expected.is_none_or(|other| other < blocks && other != block);
        possible.then_some(Self { block, expected, unread: word & HAND_UNREAD != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unpacked_as_they_were_packed() {
        for hand in [Hand::spare(0), Hand::message(69), Hand::intent(3, 0, true), Hand::intent(69, 68, false)]
        {
            assert_eq!(Hand::unpack(hand.pack(), 70), Some(hand));
        }
    }

    #[test]
    fn impossible_words_are_refused() {
        let words = [
            Hand::spare(70).pack(),
            Hand::intent(0, 70, false).pack(),
            Hand::intent(5, 5, false).pack(),
            Hand::spare(1).pack() | 1 << 53,
            u64::MAX,
        ];
        for word in words {
            assert_eq!(Hand::unpack(word, 70), None, "{word:x}");
        }
    }
}
