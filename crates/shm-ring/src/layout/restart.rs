//! Where a ring keeps what it needs after the machine was switched off: behind the header of every ring, whatever its
//! kind and its memory.
//!
//! ```text
//!    256  boot     which run of the machine the ring was born or recovered in
//!    272  record   what a flush covered
//!    384  record   the same; flushes use them in turn
//! ```

/// The kernel's number of the run of the machine in which the ring was born, or recovered last; 16 bytes, zero where it
/// could not be asked.
pub const BOOT_OFFSET: usize = 256;
/// Where the two records begin.
pub const RECORDS_OFFSET: usize = 272;
/// How many there are.
pub const RECORDS: usize = 2;
/// Bytes in a record.
pub const RECORD_BYTES: usize = 14 * 8;

/// Record: u64, number of the flush, from 1; 0: none.
pub const FLUSH_NUMBER_OFFSET: usize = 0;
/// Record: u64, position of the first message that is kept.
pub const FIRST_OFFSET: usize = 8;
/// Record: u64, position behind the last one.
pub const END_OFFSET: usize = 16;
/// Record: u64, messages sent up to there.
pub const COUNT_OFFSET: usize = 24;
/// Record: u64, digest of the messages.
pub const DIGEST_OFFSET: usize = 32;
/// Record: what is known of those who [send](SIDE_BYTES).
pub const SENDING_SIDE_OFFSET: usize = 40;
/// Record: what is known of those who [receive](SIDE_BYTES).
pub const RECEIVING_SIDE_OFFSET: usize = SENDING_SIDE_OFFSET + SIDE_BYTES;
/// Record: u64, digest of the instance in the header and of the rest of the record.
pub const CHECKSUM_OFFSET: usize = RECORD_BYTES - 8;

/// Bytes of what is known of a side: four u64. SPSC: the tenure word, the bit maps of tenures that were dropped and
/// that died, and the tenure of the other side whose end it was told last. MPMC: `joins`, the greatest number that was
/// dropped and that died, and the greatest `joins` at which the end of all was told.
pub const SIDE_BYTES: usize = 32;

/// Which byte of the object is locked by whoever flushes or recovers the ring.
pub const FLUSH_LOCK_BYTE: u64 = 2;

const _: () = assert!(BOOT_OFFSET >= shm_core::header::HEADER_BYTES);
const _: () = assert!(RECORDS_OFFSET >= BOOT_OFFSET + 16);
const _: () = assert!(RECORDS_OFFSET + RECORDS * RECORD_BYTES <= super::spsc::PRODUCER_REGION_OFFSET);
const _: () = assert!(RECORDS_OFFSET + RECORDS * RECORD_BYTES <= super::mpmc::COMMON_OFFSET);
const _: () = assert!(RECEIVING_SIDE_OFFSET + SIDE_BYTES == CHECKSUM_OFFSET);
