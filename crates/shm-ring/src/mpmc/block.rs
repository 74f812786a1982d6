//! What lies in a block: a message of bytes behind a header, or one value.
//!
//! A block is written by whoever has it in hand, and read by whoever has it in hand after it went through a slot.
//! Its words need no order of their own: the slot's exchange (X4) publishes them.

use crate::error::{Error, Result};
use crate::layout::Geometry;
use crate::layout::mpmc::{BLOCK_HEADER_BYTES, Parts};
use shm_core::Region;

const LENGTH_BITS: u32 = 40;
const TAG_SHIFT: u32 = 48;

/// All blocks of a ring.
#[derive(Debug)]
pub(crate) struct Blocks {
    region: Region,
    block_bytes: u64,
    message_bytes: u64,
}

/// Where a message lies, as its block's header says; checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) tag: u16,
}

#[allow(clippy::cast_possible_truncation)] // offsets in a mapping, which was made by this process
impl Blocks {
    pub(crate) fn new(parts: &Parts, geometry: &Geometry) -> Self {
        Self {
            region: parts.blocks.clone(),
            block_bytes: geometry.block_bytes,
            message_bytes: geometry.message_bytes,
        }
    }

    /// The memory that the offsets of this file count in.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Where a block begins.
    #[inline(always)]
    pub(crate) fn offset(&self, block: u64) -> usize {
        (block * self.block_bytes) as usize
    }

    /// Where the message of a block of bytes begins.
    #[inline(always)]
    pub(crate) fn payload_offset(&self, block: u64) -> usize {
        self.offset(block) + BLOCK_HEADER_BYTES as usize
    }

    /// The longest message.
    #[inline(always)]
    pub(crate) fn message_bytes(&self) -> usize {
        self.message_bytes as usize
    }

    /// Says that a block is going to be written. Changes nothing but how long that takes.
    #[inline(always)]
    pub(crate) fn will_write(&self, block: u64) {
        self.region.will_write(self.offset(block));
    }

    /// Says how long the message in a block is, which its sender has in hand.
    #[inline]
    pub(crate) fn seal(&self, block: u64, length: usize, tag: u16) -> Result<()> {
        let header = length as u64 | u64::from(tag) << TAG_SHIFT;
        Ok(self.region.write_value(self.offset(block), &header)?)
    }

    /// Whether a message that is in a slot has at most so many bytes. What is impossible is found when it is received.
    #[inline(always)]
    pub(crate) fn is_no_longer_than(&self, block: u64, longest: usize) -> bool {
        self.open(block).is_ok_and(|placed| placed.length <= longest)
    }

    /// The message in a block that its receiver has in hand. The header is read once.
    #[inline(always)]
    pub(crate) fn open(&self, block: u64) -> Result<Placed> {
        let header: u64 = self.region.read_value(self.offset(block))?;
        Ok(Placed {
            offset: self.payload_offset(block),
            length: self.length(header)?,
            tag: (header >> TAG_SHIFT) as u16,
        })
    }

    /// The length that a block's header tells, checked.
    #[inline(always)]
    pub(crate) fn length(&self, header: u64) -> Result<usize> {
        let length = header & ((1 << LENGTH_BITS) - 1);
        let unused = header >> LENGTH_BITS & ((1 << (TAG_SHIFT - LENGTH_BITS)) - 1);
        if length > self.message_bytes || unused != 0 {
            return Err(Error::Corrupt("a block's length is impossible"));
        }
        Ok(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Kind;

    fn blocks() -> Blocks {
        let geometry = Geometry::mpmc(Kind::MpmcBytes, 2, 100, 2, false).unwrap();
        let region = Region::on_heap(usize::try_from(geometry.object_bytes).unwrap()).unwrap();
        Blocks::new(&Parts::of(&region, &geometry).unwrap(), &geometry)
    }

    #[test]
    fn what_is_sealed_is_opened() {
        let blocks = blocks();
        assert_eq!((blocks.message_bytes(), blocks.offset(3), blocks.payload_offset(3)), (100, 384, 392));
        for (block, length, tag) in [(0, 0, 0), (1, 100, 0xFFFF), (3, 7, 0x8001)] {
            blocks.seal(block, length, tag).unwrap();
            let placed = blocks.open(block).unwrap();
            assert_eq!(
                (placed.offset, placed.length, placed.tag),
                (blocks.payload_offset(block), length, tag)
            );
        }
        assert_eq!(blocks.open(0).unwrap().length, 0, "each block has a header of its own");
    }

    #[test]
    fn impossible_headers_are_corrupt() {
        let blocks = blocks();
        assert_eq!(blocks.length(100).unwrap(), 100);
        assert!(blocks.length(101).is_err());
        for bit in 0..64 {
            let tag_only = bit >= TAG_SHIFT;
            let short = bit < 7 && 1 << bit <= 100;
            assert_eq!(blocks.length(1 << bit).is_ok(), tag_only || short, "bit {bit}");
        }
        blocks.region.write_value(blocks.offset(2), &101_u64).unwrap();
        assert!(matches!(blocks.open(2), Err(Error::Corrupt(_))));
    }
}
