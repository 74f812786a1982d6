//! Where all blocks of a ring are, read from its bytes as `docs/layout.md` says.

use shm_core::header::GEOMETRY_OFFSET;
use shm_tests::Ring;
use std::collections::BTreeSet;

/// Fails unless each block is in just one place, every hand is settled, and no seat is taken. Nobody is at the ring.
pub(crate) fn are_all_in_one_place(ring: &Ring) {
    let bytes = ring.bytes();
    let word = |at: u64| {
        let at = usize::try_from(at).unwrap();
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let geometry = |index: u64| word(GEOMETRY_OFFSET as u64 + 8 * index);
    let (capacity, participants, slots) = (geometry(0), geometry(4), geometry(5));
    let block_bits = 64 - (capacity + participants - 1).leading_zeros();
    let mut places = BTreeSet::new();
    for slot in 0..capacity {
        let block = word(slots + 8 * slot) & ((1 << block_bits) - 1);
        assert!(places.insert(block), "block {block} is in two places, one of them slot {slot}");
    }
    for seat in 0..participants {
        let (hand, tenure) = (word(1024 + 256 * seat), word(1024 + 256 * seat + 128));
        let (block, expected) = (hand & ((1 << 26) - 1), hand >> 26 & ((1 << 26) - 1));
        assert_eq!(expected, (1 << 26) - 1, "the hand of seat {seat} is not settled");
        assert!(places.insert(block), "block {block} is in two places, one of them the hand of seat {seat}");
        assert!(![1, 5].contains(&(tenure & 15)), "seat {seat} is still taken: {tenure}");
    }
    assert!(places.into_iter().eq(0..capacity + participants), "a block is nowhere");
}
