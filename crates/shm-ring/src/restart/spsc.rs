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
