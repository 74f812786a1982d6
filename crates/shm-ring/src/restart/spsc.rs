//! Flushing and recovering rings of one producer and one consumer.

use super::{Digest, LOST, Side, Snapshot};
use crate::error::{Error, Result, Role};
use crate::layout::spsc::{
    BEGAN_COUNT_OFFSET, BEGAN_OFFSET, CONSUMER_SEAT_OFFSET, CONSUMER_WAIT_OFFSET, CURSOR_OFFSET,
    DIED_BITS_OFFSET, DROPPED_BITS_OFFSET, HEAD_OFFSET, LEDGER_COUNT_OFFSET, LEDGER_POSITION_OFFSET,
    NOTICE_OFFSET, PRODUCER_SEAT_OFFSET, PRODUCER_WAIT_OFFSET, Parts, TAIL_OFFSET, TENURE_OFFSET,
    TOLD_OFFSET,
};
use crate::layout::{Geometry, Kind};
use crate::ledger::{self, Balance, POSITION_MAX};
use crate::record::{self, Found};
use crate::spsc::bytes::walk;
use shm_core::sync::Ordering;
use shm_core::{ReadWord, Region};

/// Looks at a ledger whose entries change at every look.
const LOOKS: u32 = 100;

/// Notes what is in the ring. The caller takes part and does nothing else meanwhile: so either nobody sends, or nobody
/// lets go of what was received, and what lies between the positions stays as it is.
pub(super) fn take(region: &Region, geometry: &Geometry, sync: impl Fn() -> Result<()>) -> Result<Snapshot> {
    let parts = Parts::of(region, geometry)?;
    let (first, last) = if geometry.kind == Kind::SpscBytes {
        let (cursor, tail) =
            (balance(&parts.consumer, CURSOR_OFFSET)?, balance(&parts.producer, TAIL_OFFSET)?);
        // The tail may lag behind what is published: its writer was stopped or killed in between. From there on the
        // records tell; they stay, as nobody lets go of what follows the cursor, or nobody sends.
        let known = if cursor.position > tail.position { cursor } else { tail };
        let (end, more) = walk(&parts.data.words()?, known.position, geometry.capacity)?;
        (cursor.position, Balance { position: end, count: known.count.saturating_add(more) })
    } else {
        let index = |region: &Region, offset| -> Result<u64> {
            let word: ReadWord<u64> = region.read_word(offset)?;
            Ok(word.load(Ordering::Acquire)) // A23 pairs with R6 R7
        };
        let first = index(&parts.consumer, HEAD_OFFSET)?;
        let sent = index(&parts.producer, TAIL_OFFSET)?;
        (first, Balance { position: sent, count: sent })
    };
    let side = |role: Role| -> Result<Side> {
        let (region, seat) = if role.sends() {
            (&parts.producer, PRODUCER_SEAT_OFFSET)
        } else {
            (&parts.consumer, CONSUMER_SEAT_OFFSET)
        };
        let word = |offset| region.read_value::<u64>(seat + offset);
        Ok(Side {
            tenure: word(TENURE_OFFSET)?,
            dropped: word(DROPPED_BITS_OFFSET)?,
            died: word(DIED_BITS_OFFSET)?,
            told: word(TOLD_OFFSET)?,
        })
    };
    let mut snapshot = Snapshot {
        first,
        end: last.position,
        count: last.count,
        digest: 0,
        sending: side(Role::Producer)?,
        receiving: side(Role::Consumer)?,
    };
    sync()?;
    snapshot.digest = digest(&parts, geometry, &snapshot)?;
    Ok(snapshot)
}

/// A ledger, position and count of one moment, though its writer is at work.
fn balance(region: &Region, offset: usize) -> Result<Balance> {
    let mut seen = ledger::read(region, offset)?;
    for _ in 0..LOOKS {
        let again = ledger::read(region, offset)?;
        if again == seen {
            break;
        }
        seen = again;
    }
    Ok(seen)
}

/// Of all bytes between the positions.
fn digest(parts: &Parts, geometry: &Geometry, snapshot: &Snapshot) -> Result<u64> {
    let unit = if geometry.kind == Kind::SpscBytes { 1 } else { geometry.message_bytes };
    let Snapshot { first, end, .. } = *snapshot;
    if first > end || end > POSITION_MAX || end - first > geometry.capacity {
        return Err(Error::Corrupt("head and tail contradict each other"));
    }
    let start = first & (geometry.capacity - 1);
    let before_wrap = (end - first).min(geometry.capacity - start);
    let mut digest = Digest::new();
    for (from, units) in [(start, before_wrap), (0, end - first - before_wrap)] {
        digest.region(&parts.data, offset(from * unit), offset(units * unit))?;
    }
    Ok(digest.value())
}

#[allow(clippy::cast_possible_truncation)] // in the mapping
fn offset(bytes: u64) -> usize {
    bytes as usize
}

/// How many messages there are, if all that was flushed is whole.
pub(super) fn verify(region: &Region, geometry: &Geometry, snapshot: &Snapshot) -> Result<u64> {
    let parts = Parts::of(region, geometry)?;
    if digest(&parts, geometry, snapshot).map_err(|_| LOST)? != snapshot.digest {
        return Err(LOST);
    }
    let Snapshot { first, end, .. } = *snapshot;
    if geometry.kind != Kind::SpscBytes {
        return Ok(end - first);
    }
    let (mut position, mut messages) = (first, 0);
    while position < end {
        let header = parts.data.read_value(offset(position & (geometry.capacity - 1)))?;
        position = match record::decode(header, position, geometry.capacity).map_err(|_| LOST)? {
            Found::Nothing => return Err(LOST),
            Found::Pad(end) => end,
            Found::Message(message) => {
                messages += 1;
                message.end()
            }
        };
    }
    if position == end { Ok(messages) } else { Err(LOST) }
}

/// Zeros, but for the notice, which somebody may leave meanwhile.
fn clear(region: &Region, notice: usize) -> Result<()> {
    let after = notice + size_of::<u32>();
    region.copy_in(0, &vec![0; notice])?;
    Ok(region.copy_in(after, &vec![0; region.bytes() - after])?)
}

/// Writes everything but the messages anew. Can be killed anywhere and done again.
pub(super) fn give(region: &Region, geometry: &Geometry, snapshot: &Snapshot) -> Result<()> {
    let messages = verify(region, geometry, snapshot)?;
    let parts = Parts::of(region, geometry)?;
    let (producer, consumer) = (&parts.producer, &parts.consumer);
    clear(producer, PRODUCER_WAIT_OFFSET + NOTICE_OFFSET)?;
    clear(consumer, CONSUMER_WAIT_OFFSET + NOTICE_OFFSET)?;
    let received = snapshot.count.saturating_sub(messages);
    let entry = |region: &Region, ledger: usize, position: u64, count: u64| -> Result<()> {
        region.write_value(ledger + LEDGER_POSITION_OFFSET, &position)?;
        Ok(region.write_value(ledger + LEDGER_COUNT_OFFSET, &count)?)
    };
    if geometry.kind == Kind::SpscBytes {
        entry(producer, TAIL_OFFSET, snapshot.end, snapshot.count)?;
        entry(consumer, CURSOR_OFFSET, snapshot.first, received)?;
        // Nothing is published behind the last one. There is always space for this word.
        if snapshot.end - snapshot.first < geometry.capacity {
            parts.data.write_value(offset(snapshot.end & (geometry.capacity - 1)), &0_u64)?;
        }
    } else {
        producer.write_value(TAIL_OFFSET, &snapshot.end)?;
    }
    consumer.write_value(HEAD_OFFSET, &snapshot.first)?;
    let sides = [
        (producer, PRODUCER_SEAT_OFFSET, snapshot.sending, snapshot.end, snapshot.count),
        (consumer, CONSUMER_SEAT_OFFSET, snapshot.receiving, snapshot.first, received),
    ];
    for (region, seat, side, position, count) in sides {
        let words = [
            (TENURE_OFFSET, side.tenure),
            (DROPPED_BITS_OFFSET, side.dropped),
            (DIED_BITS_OFFSET, side.died),
            (TOLD_OFFSET, side.told),
            (BEGAN_OFFSET, position),
            (BEGAN_COUNT_OFFSET, count),
        ];
        for (word, value) in words {
            region.write_value(seat + word, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TENURE_JOINED;
    use crate::spsc::bytes::{Reader, Writer};

    fn region() -> Region {
        Region::on_heap(8192).unwrap()
    }

    fn set(region: &Region, offset: usize, value: u64) {
        region.write_value(offset, &value).unwrap();
    }

    fn get(region: &Region, offset: usize) -> u64 {
        region.read_value(offset).unwrap()
    }

    /// Both seats hold words that differ, so that none is taken for another.
    fn sides(parts: &Parts) -> (Side, Side) {
        let side = |from: u64| Side {
            tenure: from << 8 | TENURE_JOINED,
            dropped: from + 1,
            died: from + 2,
            told: from + 3,
        };
        let (sending, receiving) = (side(100), side(200));
        for (region, seat, side) in [
            (&parts.producer, PRODUCER_SEAT_OFFSET, sending),
            (&parts.consumer, CONSUMER_SEAT_OFFSET, receiving),
        ] {
            set(region, seat + TENURE_OFFSET, side.tenure);
            set(region, seat + DROPPED_BITS_OFFSET, side.dropped);
            set(region, seat + DIED_BITS_OFFSET, side.died);
            set(region, seat + TOLD_OFFSET, side.told);
        }
        (sending, receiving)
    }

    fn garble(parts: &Parts) {
        for part in [&parts.producer, &parts.consumer] {
            part.copy_in(0, &vec![0xEE; part.bytes()]).unwrap();
        }
    }

    /// What is set up again is what was noted, word by word; but the notices stay.
    #[test]
    fn a_ring_of_bytes_is_set_up_as_it_was_noted() {
        let geometry = Geometry::bytes(64).unwrap();
        let region = region();
        let parts = Parts::of(&region, &geometry).unwrap();
        let mut writer = Writer::resume(&parts, 1).unwrap();
        let mut reader = Reader::resume(&parts).unwrap();
        for length in [0, 8, 16] {
            let reserved = writer.reserve(length).unwrap();
            writer.stage(&reserved, length, 0).unwrap();
            writer.publish().unwrap();
        }
        for _ in 0..2 {
            let record = reader.peek().unwrap().unwrap();
            reader.accept(&record);
            reader.take(record.end(), 1);
        }
        let (sending, receiving) = sides(&parts);
        let snapshot = take(&region, &geometry, || Ok(())).unwrap();
        assert_eq!((snapshot.first, snapshot.end, snapshot.count), (24, 48, 3));
        assert_eq!((snapshot.sending, snapshot.receiving), (sending, receiving));
        // As a producer leaves it that was killed before it counted, and a consumer that was faster.
        parts.producer.copy_in(TAIL_OFFSET, &[0; 32]).unwrap();
        assert_eq!(take(&region, &geometry, || Ok(())).unwrap(), snapshot);

        garble(&parts);
        parts.data.write_value(48, &u64::MAX).unwrap();
        give(&region, &geometry, &snapshot).unwrap();
        let (producer, consumer) = (&parts.producer, &parts.consumer);
        let tail = [0, 8, 16, 24].map(|field| get(producer, TAIL_OFFSET + field));
        let cursor = [0, 8, 16, 24].map(|field| get(consumer, CURSOR_OFFSET + field));
        assert_eq!((tail, cursor, get(consumer, HEAD_OFFSET)), ([48, 3, 0, 0], [24, 2, 0, 0], 24));
        let seat = |region, seat: usize| [0, 8, 16, 24, 32, 40, 48].map(|field| get(region, seat + field));
        let Side { tenure, dropped, died, told } = sending;
        assert_eq!(seat(producer, PRODUCER_SEAT_OFFSET), [tenure, 0, dropped, died, 48, told, 3]);
        let Side { tenure, dropped, died, told } = receiving;
        assert_eq!(seat(consumer, CONSUMER_SEAT_OFFSET), [tenure, 0, dropped, died, 24, told, 2]);
        let notice = |region: &Region, wait: usize| region.read_value::<u32>(wait + NOTICE_OFFSET).unwrap();
        let notices = (notice(producer, PRODUCER_WAIT_OFFSET), notice(consumer, CONSUMER_WAIT_OFFSET));
        assert_eq!(notices, (0xEEEE_EEEE, 0xEEEE_EEEE));
        for (region, wait) in [(producer, PRODUCER_WAIT_OFFSET), (consumer, CONSUMER_WAIT_OFFSET)] {
            let words: [u32; 7] = region.read_value(wait).unwrap();
            assert_eq!(words, [0, 0, 0, 0, 0xEEEE_EEEE, 0, 0]);
        }
        assert_eq!(parts.data.read_value::<u64>(48).unwrap(), 0);
        assert_eq!(verify(&region, &geometry, &snapshot).unwrap(), 1);
        for at in [24, 32, 47] {
            let byte: u8 = parts.data.read_value(at).unwrap();
            parts.data.write_value(at, &(byte ^ 1)).unwrap();
            assert!(verify(&region, &geometry, &snapshot).is_err(), "{at}");
            parts.data.write_value(at, &byte).unwrap();
        }
    }

    #[test]
    fn a_full_ring_of_values_is_set_up_as_it_was_noted() {
        let geometry = Geometry::slots(4, 3).unwrap();
        let region = region();
        let parts = Parts::of(&region, &geometry).unwrap();
        parts.data.copy_in(0, b"ABCDEFGHIJKL").unwrap();
        set(&parts.consumer, HEAD_OFFSET, 6);
        set(&parts.producer, TAIL_OFFSET, 10);
        let snapshot = take(&region, &geometry, || Ok(())).unwrap();
        assert_eq!((snapshot.first, snapshot.end, snapshot.count), (6, 10, 10));
        let mut digest = Digest::new();
        digest.bytes(b"GHIJKL");
        digest.bytes(b"ABCDEF");
        assert_eq!(snapshot.digest, digest.value());
        garble(&parts);
        give(&region, &geometry, &snapshot).unwrap();
        assert_eq!((get(&parts.producer, TAIL_OFFSET), get(&parts.consumer, HEAD_OFFSET)), (10, 6));
        assert_eq!(get(&parts.consumer, CONSUMER_SEAT_OFFSET + BEGAN_COUNT_OFFSET), 6);
        assert_eq!(verify(&region, &geometry, &snapshot).unwrap(), 4);
    }

    #[test]
    fn positions_that_can_not_be_are_not_believed() {
        let geometry = Geometry::slots(4, 8).unwrap();
        let parts = Parts::of(&region(), &geometry).unwrap();
        for (first, end, possible) in [
            (0, 0, true),
            (0, 4, true),
            (0, 5, false),
            (0, 9, false),
            (1, 0, false),
            (POSITION_MAX, POSITION_MAX, true),
            (POSITION_MAX, POSITION_MAX + 1, false),
            (POSITION_MAX + 2, POSITION_MAX + 3, false),
        ] {
            let snapshot = Snapshot { first, end, ..Snapshot::default() };
            assert_eq!(digest(&parts, &geometry, &snapshot).is_ok(), possible, "{first} {end}");
        }
    }
}
