//! The digests of a ring in a file, as `docs/layout.md` has them, and not as the libraries compute them: so that an
//! input can be an image whose digests are right though its words are anything.

use shm_core::header::{GEOMETRY_OFFSET, INSTANCE_OFFSET, KIND_OFFSET};
use shm_ring::layout::mpmc::BLOCK_HEADER_BYTES;
use shm_ring::layout::restart::{
    CHECKSUM_OFFSET, DIGEST_OFFSET, END_OFFSET, FIRST_OFFSET, RECORD_BYTES, RECORDS, RECORDS_OFFSET,
};
use shm_ring::layout::spsc::DATA_OFFSET;
use shm_ring::layout::{
    GEOMETRY_BLOCK_BYTES, GEOMETRY_CAPACITY, GEOMETRY_DATA_OFFSET, GEOMETRY_MESSAGE_BYTES,
    GEOMETRY_PARTICIPANTS, GEOMETRY_SLOTS_OFFSET, KIND_MPMC_BYTES, KIND_SPSC_BYTES, KIND_SPSC_TYPED,
};

const START: u64 = 0xCBF2_9CE4_8422_2325;
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const ROTATION: u32 = 29;

/// The word at an offset; 0 behind the end.
pub fn word(image: &[u8], offset: usize) -> u64 {
    let bytes = image.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Of bytes, as words.
fn digest(start: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(start, |digest, chunk| {
        let mut whole = [0; 8];
        whole[..chunk.len()].copy_from_slice(chunk);
        (digest ^ u64::from_le_bytes(whole)).wrapping_mul(FACTOR).rotate_left(ROTATION)
    })
}

fn place(record: usize) -> usize {
    RECORDS_OFFSET + record * RECORD_BYTES
}

/// The checksum that a record should have.
fn checksum(image: &[u8], record: usize) -> u64 {
    let bytes = &image[place(record)..][..CHECKSUM_OFFSET];
    digest(digest(START, &image[INSTANCE_OFFSET..][..16]), bytes)
}

/// Whether a record has it.
pub fn is_whole(image: &[u8], record: usize) -> bool {
    word(image, place(record) + CHECKSUM_OFFSET) == checksum(image, record)
}

/// Gives both records the checksums that they should have.
pub fn make_whole(image: &mut [u8]) {
    for record in 0..RECORDS {
        if image.len() >= place(record + 1) {
            let right = checksum(image, record).to_le_bytes();
            image[place(record) + CHECKSUM_OFFSET..][..8].copy_from_slice(&right);
        }
    }
}

/// Gives both records the digests of the messages that they tell of, as far as there can be such.
pub fn cover(image: &mut [u8]) {
    for record in 0..RECORDS {
        if image.len() >= place(record + 1)
            && let Some(right) = of_messages(image, record)
        {
            image[place(record) + DIGEST_OFFSET..][..8].copy_from_slice(&right.to_le_bytes());
        }
    }
}

/// Of the messages that a record tells of, in an image whose geometry may be anything. `None` where there are none.
fn of_messages(image: &[u8], record: usize) -> Option<u64> {
    let kind = u32::try_from(word(image, KIND_OFFSET) & 0xFFFF_FFFF).ok()?;
    let geometry = |number: usize| usize::try_from(word(image, GEOMETRY_OFFSET + 8 * number)).ok();
    let capacity = geometry(GEOMETRY_CAPACITY).filter(|capacity| capacity.is_power_of_two())?;
    let unit = geometry(GEOMETRY_MESSAGE_BYTES)?;
    let first = word(image, place(record) + FIRST_OFFSET);
    let end = word(image, place(record) + END_OFFSET);
    let count = end.checked_sub(first).and_then(|count| usize::try_from(count).ok())?;
    if count > capacity {
        return None;
    }
    if kind == KIND_SPSC_BYTES || kind == KIND_SPSC_TYPED {
        let unit = if kind == KIND_SPSC_BYTES { 1 } else { unit };
        let start = usize::try_from(first).ok()? & (capacity - 1);
        let before_wrap = count.min(capacity - start);
        let data = image.get(DATA_OFFSET..)?;
        let until_wrap = data.get(start.checked_mul(unit)?..(start + before_wrap).checked_mul(unit)?)?;
        let behind = data.get(..(count - before_wrap).checked_mul(unit)?)?;
        return Some(digest(digest(START, until_wrap), behind));
    }
    let blocks = capacity.checked_add(geometry(GEOMETRY_PARTICIPANTS)?)?;
    let mask = (blocks.checked_next_power_of_two()? as u64) - 1;
    let (slots, data) = (geometry(GEOMETRY_SLOTS_OFFSET)?, geometry(GEOMETRY_DATA_OFFSET)?);
    let block_bytes = geometry(GEOMETRY_BLOCK_BYTES)?;
    (first..end).try_fold(START, |so_far, position| {
        let index = usize::try_from(position).ok()? & (capacity - 1);
        let slot = word(image, slots.checked_add(8 * index)?);
        let block = usize::try_from(slot & mask).ok()?.checked_mul(block_bytes)?.checked_add(data)?;
        let length = if kind == KIND_MPMC_BYTES {
            let header = usize::try_from(word(image, block) & 0xFF_FFFF_FFFF).ok()?;
            let header_bytes = usize::try_from(BLOCK_HEADER_BYTES).ok()?;
            let place = image.get(block..block.checked_add(header_bytes.checked_add(header)?)?)?;
            return Some(digest(digest(digest(so_far, &position.to_le_bytes()), &slot.to_le_bytes()), place));
        } else {
            unit
        };
        let value = image.get(block..block.checked_add(length)?)?;
        Some(digest(digest(digest(so_far, &position.to_le_bytes()), &slot.to_le_bytes()), value))
    })
}
