//! Flushing and recovering rings of many senders and receivers.

use super::{Digest, LOST, Side, Snapshot};
use crate::error::{Error, Result, Role};
use crate::layout::mpmc::{
    HAND_OFFSET, JOINS_OFFSET, LAST_DIED_OFFSET, LAST_DROPPED_OFFSET, LEAVES_OFFSET, NOTICE_OFFSET, Parts,
    RECEIVERS_OFFSET, SEAT_BYTES, SENDERS_OFFSET, TOLD_OFFSET,
};
use crate::layout::{Geometry, Kind};
use crate::mpmc::block::Blocks;
use crate::mpmc::exchange::totals;
use crate::mpmc::hand::Hand;
use crate::mpmc::seat::{RoleWords, seat_offset};
use crate::mpmc::slot::{Slot, SlotFormat};
use shm_core::sync::Ordering;
use shm_core::{Region, Words};

/// A ring, as far as its messages are concerned.
struct Ring {
    parts: Parts,
    format: SlotFormat,
    slots: Words,
    blocks: Blocks,
    bytes: bool,
    message_bytes: u64,
}

impl Ring {
    fn of(region: &Region, geometry: &Geometry) -> Result<Self> {
        let parts = Parts::of(region, geometry)?;
        Ok(Self {
            format: SlotFormat::new(geometry),
            slots: parts.slots.words()?,
            blocks: Blocks::new(&parts, geometry),
            bytes: geometry.kind == Kind::MpmcBytes,
            message_bytes: geometry.message_bytes,
            parts,
        })
    }

    /// Adds the message of a position to the digest. The slot's word said `word`, and the block may be another
    /// message's by now; whoever needs to know looks at the slot again.
    fn digest(&self, digest: &mut Digest, position: u64, word: u64) -> Result<()> {
        let block = self.format.unpack(word).block;
        if block >= self.format.blocks() {
            return Err(Error::Corrupt("a slot holds an impossible block"));
        }
        digest.word(position);
        digest.word(word);
        let at = self.blocks.offset(block);
        if self.bytes {
            let header: u64 = self.blocks.region().read_value(at)?;
            digest.word(header);
            let length = self.blocks.length(header)?;
            digest.region(self.blocks.region(), self.blocks.payload_offset(block), length)
        } else {
            digest.region(self.blocks.region(), at, usize::try_from(self.message_bytes).unwrap_or(usize::MAX))
        }
    }
}

/// Notes what is in the ring, while others send and receive.
pub(super) fn take(region: &Region, geometry: &Geometry, sync: impl Fn() -> Result<()>) -> Result<Snapshot> {
    let ring = Ring::of(region, geometry)?;
    let side = |role: Role| -> Result<Side> {
        let words = RoleWords::of(&ring.parts, role)?;
        let (joins, leaves) = words.events();
        let value = |word: &shm_core::Word<u64>| word.load(Ordering::Relaxed); // only told to people later
        // Whoever sits now did not survive, when this is needed.
        // They may have come, gone and been told of since.
        let up_to_now = |word| value(word).min(joins);
        let died = if joins == leaves { up_to_now(&words.last_died) } else { joins };
        Ok(Side {
            tenure: joins,
            dropped: up_to_now(&words.last_dropped),
            died: died.min(joins),
            told: up_to_now(&words.told),
        })
    };
    let (sending, receiving) = (side(Role::Sender)?, side(Role::Receiver)?);
    let (end, first) = totals(&ring.parts.slots, ring.format)?;
    // They were counted one after the other: what was received in between, and garbage, is not gone through.
    let mut first = first.max(end.saturating_sub(geometry.capacity));
    // What was sent before this is on the disk afterwards, and stays in its slot and its block until it is received.
    sync()?;
    let mut digest = Digest::new();
    let mut position = first;
    while position < end {
        let at = SlotFormat::byte_position(position);
        let word = ring.slots.load(at, Ordering::Acquire); // A24 pairs with X4
        let wanted = ring.format.wanted_sequence(position, false);
        let sequence = ring.format.unpack(word).sequence;
        if sequence < wanted {
            return Err(Error::Corrupt("a slot's sequence went back"));
        }
        let mut with = digest;
        let read = if sequence == wanted { ring.digest(&mut with, position, word) } else { Ok(()) };
        // An exchange for itself, as where a message is refused: a load could come too early.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed); // X8 pairs with X4
        let stayed =
            sequence == wanted && ring.slots.compare_exchange(at, word, word, success, failure).is_ok();
        position += 1;
        if stayed {
            read?;
            digest = with;
        } else {
            // Received meanwhile, and all before it.
            (digest, first) = (Digest::new(), position);
        }
    }
    Ok(Snapshot { first, end, count: end, digest: digest.value(), sending, receiving })
}

/// Which blocks are not in the messages that were flushed, if those are whole.
pub(super) fn verify(region: &Region, geometry: &Geometry, snapshot: &Snapshot) -> Result<Vec<u64>> {
    let ring = Ring::of(region, geometry)?;
    let Snapshot { first, end, .. } = *snapshot;
    if first > end || end - first > geometry.capacity || end > ring.format.position_max() {
        return Err(LOST);
    }
    let mut is_free = vec![true; usize::try_from(ring.format.blocks()).unwrap_or(0)];
    let mut digest = Digest::new();
    for position in first..end {
        let word = ring.slots.load(SlotFormat::byte_position(position), Ordering::Relaxed); // nobody takes part
        let slot = ring.format.unpack(word);
        let free = usize::try_from(slot.block).ok().and_then(|block| is_free.get_mut(block)).ok_or(LOST)?;
        if slot.sequence != ring.format.wanted_sequence(position, false) || !std::mem::take(free) {
            return Err(LOST);
        }
        ring.digest(&mut digest, position, word).map_err(|_| LOST)?;
    }
    if digest.value() != snapshot.digest {
        return Err(LOST);
    }
    Ok((0..).zip(is_free).filter_map(|(block, free)| free.then_some(block)).collect())
}

/// Writes everything but the messages anew. Can be killed anywhere and done again.
pub(super) fn give(region: &Region, geometry: &Geometry, snapshot: &Snapshot) -> Result<()> {
    let mut free = verify(region, geometry, snapshot)?.into_iter();
    let mut next = || free.next().ok_or(LOST);
    let ring = Ring::of(region, geometry)?;
    // A notice that somebody leaves meanwhile stays.
    ring.parts.common.copy_in(0, &[0; NOTICE_OFFSET])?;
    for position in snapshot.end..snapshot.first + geometry.capacity {
        let slot = Slot { sequence: ring.format.empty_sequence(position), block: next()? };
        let at = SlotFormat::byte_position(position);
        ring.slots.store(at, ring.format.pack(slot), Ordering::Relaxed)?; // nobody takes part
    }
    for seat in 0..geometry.participants {
        ring.parts.seats.copy_in(seat_offset(seat), &[0; SEAT_BYTES])?;
        ring.parts.seats.write_value(seat_offset(seat) + HAND_OFFSET, &Hand::spare(next()?).pack())?;
    }
    for (at, side) in [(SENDERS_OFFSET, snapshot.sending), (RECEIVERS_OFFSET, snapshot.receiving)] {
        let words = [
            (JOINS_OFFSET, side.tenure),
            (LEAVES_OFFSET, side.tenure),
            (LAST_DROPPED_OFFSET, side.dropped),
            (LAST_DIED_OFFSET, side.died),
            (TOLD_OFFSET, side.told),
        ];
        for (word, value) in words {
            ring.parts.common.write_value(at + word, &value)?;
        }
    }
    Ok(())
}
