//! The two records of flushes, written in turn, so that one is whole while the other is being written.

use super::{Digest, Side, Snapshot};
use crate::layout::restart::{CHECKSUM_OFFSET, RECORD_BYTES, RECORDS, RECORDS_OFFSET};
use shm_core::{Identity, Region};

const WORDS: usize = CHECKSUM_OFFSET / 8;

/// A record that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) snapshot: Snapshot,
}

impl Record {
    fn pack(self) -> [u64; WORDS] {
        let Snapshot { first, end, count, digest, sending, receiving } = self.snapshot;
        let [a, b] = [sending, receiving].map(|side| [side.tenure, side.dropped, side.died, side.told]);
        [self.number, first, end, count, digest, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
    }

    fn unpack(words: [u64; WORDS]) -> Self {
        let [number, first, end, count, digest, a0, a1, a2, a3, b0, b1, b2, b3] = words;
        let sending = Side { tenure: a0, dropped: a1, died: a2, told: a3 };
        let receiving = Side { tenure: b0, dropped: b1, died: b2, told: b3 };
        Self { number, snapshot: Snapshot { first, end, count, digest, sending, receiving } }
    }
}

fn checksum(instance: Identity, words: &[u64; WORDS]) -> u64 {
    let mut digest = Digest::new();
    digest.bytes(&instance.0);
    words.iter().for_each(|word| digest.word(*word));
    digest.value()
}

/// The records that are whole, each in its place.
pub(super) fn read_all(region: &Region, instance: Identity) -> shm_core::Result<[Option<Record>; RECORDS]> {
    let mut records = [None; RECORDS];
    for (index, record) in records.iter_mut().enumerate() {
        let at = RECORDS_OFFSET + index * RECORD_BYTES;
        let words: [u64; WORDS] = region.read_value(at)?;
        let found = Record::unpack(words);
        if found.number > 0 && region.read_value::<u64>(at + CHECKSUM_OFFSET)? == checksum(instance, &words) {
            *record = Some(found);
        }
    }
    Ok(records)
}

/// Writes the next record, over the older one. The caller holds the flush lock, or nobody else knows the ring yet.
pub(super) fn write(region: &Region, instance: Identity, snapshot: &Snapshot) -> shm_core::Result<()> {
    let numbers = read_all(region, instance)?.map(|record| record.map_or(0, |record| record.number));
    let older = usize::from(numbers[1] < numbers[0]);
    let number = numbers[0].max(numbers[1]).saturating_add(1);
    let words = Record { number, snapshot: *snapshot }.pack();
    let at = RECORDS_OFFSET + older * RECORD_BYTES;
    region.write_value(at, &words)?;
    region.write_value(at + CHECKSUM_OFFSET, &checksum(instance, &words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_record_counts_whatever_became_of_the_other() {
        let region = Region::on_heap(4096).unwrap();
        let instance = Identity([7; 16]);
        let newest = |region: &Region| {
            let records = read_all(region, instance).unwrap();
            records.into_iter().flatten().max_by_key(|record| record.number)
        };
        assert_eq!(newest(&region), None);
        for number in 1..6 {
            let snapshot = Snapshot { first: number, end: number + 1, ..Snapshot::default() };
            let before = newest(&region);
            write(&region, instance, &snapshot).unwrap();
            assert_eq!(newest(&region), Some(Record { number, snapshot }));
            // Any byte of it is from before.
            let place = RECORDS_OFFSET + usize::from(number % 2 == 0) * RECORD_BYTES;
            for at in place..place + RECORD_BYTES {
                let byte: u8 = region.read_value(at).unwrap();
                region.write_value(at, &(byte ^ 0x10)).unwrap();
                assert_eq!(newest(&region), before, "byte {at}");
                region.write_value(at, &byte).unwrap();
            }
        }
        assert_eq!(read_all(&region, Identity([8; 16])).unwrap(), [None; 2]);
    }
}
