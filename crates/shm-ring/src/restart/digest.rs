//! Tells bytes from other bytes after a restart. It guards against what disks and kernels leave, not against people.

use crate::error::Result;
use shm_core::Region;

const START: u64 = 0xCBF2_9CE4_8422_2325;
/// 2^64 divided by the golden ratio: odd, so that multiplying loses nothing.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const ROTATION: u32 = 29;
const CHUNK_BYTES: usize = 4096;

/// A digest of 64-bit words. Each word is a bijection of what came before, so that bytes which differ in one word never
/// have the same digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn new() -> Self {
        Self(START)
    }

    pub(super) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(FACTOR).rotate_left(ROTATION);
    }

    /// Bytes, as little-endian words; zeros make the last one whole.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            for (to, from) in whole.iter_mut().zip(word) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(whole));
        }
    }

    /// As [`bytes`](Self::bytes), of shared memory. Each byte is read once.
    pub(super) fn region(&mut self, region: &Region, offset: usize, length: usize) -> Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        for start in (0..length).step_by(CHUNK_BYTES) {
            let bytes = &mut chunk[..CHUNK_BYTES.min(length - start)];
            region.copy_out(offset + start, bytes)?;
            self.bytes(bytes);
        }
        Ok(())
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_slices_have_the_same_digest_and_others_another() {
        let bytes: Vec<u8> = (0..10_001_u32).map(|index| (index * 7 % 251) as u8).collect();
        let region = Region::on_heap(bytes.len() + 3).unwrap();
        region.copy_in(3, &bytes).unwrap();
        let of_region = || {
            let mut digest = Digest::new();
            digest.region(&region, 3, bytes.len()).unwrap();
            digest
        };
        let mut of_bytes = Digest::new();
        of_bytes.bytes(&bytes);
        assert_eq!(of_region(), of_bytes);
        for changed in [0, 4095, 4096, 10_000] {
            region.copy_in(3 + changed, &[bytes[changed] ^ 1]).unwrap();
            assert_ne!(of_region(), of_bytes, "byte {changed}");
            region.copy_in(3 + changed, &[bytes[changed]]).unwrap();
        }
    }

    /// As `docs/layout.md` says.
    #[test]
    fn the_digest_is_fixed_for_ever() {
        let mut digest = Digest::new();
        digest.bytes(b"shmring");
        assert_eq!(digest.value(), expected(u64::from_le_bytes(*b"shmring\0")));
    }

    fn expected(word: u64) -> u64 {
        (0xCBF2_9CE4_8422_2325_u64 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
    }
    #[test]
    fn chunks_and_words_end_where_the_bytes_do() {
        let region = Region::on_heap(2 * CHUNK_BYTES + 16).unwrap();
        region.copy_in(0, &vec![9; 2 * CHUNK_BYTES + 16]).unwrap();
        for length in [0, 1, 7, 8, 9, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES] {
            let (mut of_region, mut of_bytes) = (Digest::new(), Digest::new());
            of_region.region(&region, 5, length).unwrap();
            of_bytes.bytes(&vec![9; length]);
            assert_eq!(of_region, of_bytes, "{length}");
        }
    }
}
