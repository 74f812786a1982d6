//! The ring of typed slots. Small values share cache lines, so an index publishes them instead of a
//! header each; either side looks at the other's index only when its private copy says full or empty.
//!
//! `tail` counts what was sent and `head` what was received, so they are the statistics as well, and a
//! successor has nothing to find: it starts at the stored index. A batch is one store of the index.
//!
//! A value is copied out before `head` is stored, and `head` is stored before the value is handed out:
//! a consumer killed before the store has handed out nothing, one killed after it has the value in hand.

use crate::error::{Error, Result};
use crate::layout::TENURE_STATE_BITS;
use crate::layout::spsc::{
    BEGAN_OFFSET, HEAD_OFFSET, PRODUCER_SEAT_OFFSET, Parts, TAIL_OFFSET, TENURE_OFFSET,
};
use crate::ledger::POSITION_MAX;
use bytemuck::{CheckedBitPattern, NoUninit};
use shm_core::sync::{Ordering, compiler_fence};
use shm_core::{ReadValues, ReadWord, Values, Word};

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
mod tests;

/// What both sides demand of the two indices, whatever the other one stored.
fn check(capacity: u64, head: u64, tail: u64) -> Result<()> {
    if head <= tail && tail - head <= capacity && tail <= POSITION_MAX {
        Ok(())
    } else {
        Err(Error::Corrupt("head and tail contradict each other"))
    }
}

/// The line of the value so many further on is asked for in advance, where a value is at least half a line: the
/// consumer has read it the last time around, so that a store waits until it has given it up (64 bytes, on two dies: 33
/// million a second without, 43 with).
const VALUES_AHEAD: u64 = 4;
const BYTES_AHEAD_MIN: usize = 32;

/// The producer's half.
#[derive(Debug)]
pub(crate) struct Writer<T> {
    slots: Values<T>,
    capacity: u64,
    tail: Word<u64>,
    head: ReadWord<u64>,
    /// Values published.
    sent: u64,
    /// Up to here values may be published: `head` as last seen and the capacity. It only grows, so what it allows stays
    /// allowed.
    limit: u64,
}

impl<T> Writer<T> {
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }
}

impl<T: NoUninit> Writer<T> {
    pub(crate) fn resume(parts: &Parts, capacity: u64) -> Result<Self> {
        let tail: Word<u64> = parts.producer.word(TAIL_OFFSET)?;
        let head: ReadWord<u64> = parts.consumer.read_word(HEAD_OFFSET)?;
        let sent = tail.load(Ordering::Relaxed); // its last writer let go of the seat we hold
        let seen_head = head.load(Ordering::Acquire); // A7 pairs with R6
        check(capacity, seen_head, sent)?;
        let limit = seen_head + capacity;
        Ok(Self { slots: parts.data.values(capacity)?, capacity, tail, head, sent, limit })
    }

    /// Slots that may be written; `head` is looked at only when fewer are known than are wanted.
    #[inline]
    fn room(&mut self, wanted: usize) -> Result<u64> {
        let room = self.limit - self.sent;
        if room >= self.capacity.min(wanted as u64) { Ok(room) } else { self.look_at_head() }
    }

    #[inline(never)]
    fn look_at_head(&mut self) -> Result<u64> {
        let head = self.head.load(Ordering::Acquire); // A8 pairs with R6
        if head < self.limit - self.capacity {
            return Err(Error::Corrupt("the consumer's head moved backwards"));
        }
        check(self.capacity, head, self.sent)?;
        self.limit = head + self.capacity;
        Ok(self.limit - self.sent)
    }

    /// Sends a value if there is room as far as is known. Otherwise nothing is done, and `false`.
    #[inline(always)]
    pub(crate) fn send_plainly(&mut self, value: &T) -> bool {
        let has_room = self.sent < self.limit;
        if has_room {
            if size_of::<T>() >= BYTES_AHEAD_MIN && self.sent + VALUES_AHEAD < self.limit {
                self.slots.will_write(self.sent + VALUES_AHEAD);
            }
            self.slots.write(self.sent, value);
            self.publish(1);
        }
        has_room
    }

    /// Sends as many of `values` as there is room for, at once; how many that were.
    #[inline]
    pub(crate) fn send(&mut self, values: &[T]) -> Result<usize> {
        let room = usize::try_from(self.room(values.len())?).unwrap_or(usize::MAX);
        let values = values.get(..room).unwrap_or(values);
        self.slots.write_run(self.sent, values);
        if !values.is_empty() {
            self.publish(values.len() as u64);
        }
        Ok(values.len())
    }

    #[inline(always)]
    fn publish(&mut self, count: u64) {
        self.sent += count;
        self.tail.store(self.sent, Ordering::Release); // R7 pairs with A9 A23
    }
}

/// The consumer's half.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    slots: ReadValues<T>,
    capacity: u64,
    head: Word<u64>,
    tail: ReadWord<u64>,
    /// The producer's seat: where the newest tenure began, and its number with its state.
    began: ReadWord<u64>,
    tenure: ReadWord<u64>,
    /// Values handed out.
    received: u64,
    /// `tail` as last seen, but no further than the beginning of a tenure that is not entered yet.
    seen_tail: u64,
    /// Number of the newest tenure that was entered.
    entered: u64,
    /// The most values that were seen waiting.
    most_waiting: u64,
}

impl<T> Reader<T> {
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The most values that were seen waiting at the last look at `tail`.
    pub(crate) fn seen(&self) -> u64 {
        self.most_waiting
    }
}

impl<T: CheckedBitPattern> Reader<T> {
    pub(crate) fn resume(parts: &Parts, capacity: u64) -> Result<Self> {
        let head: Word<u64> = parts.consumer.word(HEAD_OFFSET)?;
        let tail: ReadWord<u64> = parts.producer.read_word(TAIL_OFFSET)?;
        let received = head.load(Ordering::Acquire); // A12 pairs with R6 F3
        let mut reader = Self {
            slots: parts.data.read_values(capacity)?,
            capacity,
            head,
            tail,
            began: parts.producer.read_word(PRODUCER_SEAT_OFFSET + BEGAN_OFFSET)?,
            tenure: parts.producer.read_word(PRODUCER_SEAT_OFFSET + TENURE_OFFSET)?,
            received,
            seen_tail: received,
            entered: 0,
            most_waiting: 0,
        };
        // Tenures that began before we came are one stream to us.
        reader.entered = reader.newest_tenure();
        reader.look_at_tail()?;
        Ok(reader)
    }

    /// Values that may be read; `tail` is looked at only when fewer are known than are wanted.
    #[inline]
    fn waiting(&mut self, wanted: usize) -> Result<u64> {
        let waiting = self.seen_tail - self.received;
        if waiting >= self.capacity.min(wanted as u64) { Ok(waiting) } else { self.look_at_tail() }
    }

    #[inline(never)]
    fn look_at_tail(&mut self) -> Result<u64> {
        let tail = self.tail.load(Ordering::Acquire); // A9 pairs with R7
        if tail < self.seen_tail {
            return Err(Error::Corrupt("the producer's tail moved backwards"));
        }
        check(self.capacity, self.received, tail)?;
        // A tenure's number and beginning are stored before its first publication: A9 shows them with that.
        let border = if self.newest_tenure() == self.entered {
            tail
        } else {
            self.began.load(Ordering::Relaxed).clamp(self.received, tail) // ordered by A10
        };
        self.most_waiting = self.most_waiting.max(tail - self.received);
        self.seen_tail = border;
        Ok(border - self.received)
    }

    #[inline]
    fn newest_tenure(&self) -> u64 {
        self.tenure.load(Ordering::Acquire) >> TENURE_STATE_BITS // A10 pairs with R8
    }

    /// If all values of the entered tenures are received and a newer tenure has published: its number.
    pub(crate) fn at_border(&mut self) -> Result<Option<u64>> {
        let newest = self.newest_tenure();
        if newest == self.entered || self.waiting(1)? > 0 {
            return Ok(None);
        }
        let tail = self.tail.load(Ordering::Relaxed); // a hint: A9 follows when the tenure is entered
        Ok((tail > self.received).then_some(newest))
    }

    /// Goes on into the newest tenure.
    pub(crate) fn enter(&mut self, number: u64) {
        self.entered = number;
    }

    /// Receives as many values as are waiting and fit, at once; how many that were.
    #[inline]
    pub(crate) fn receive(&mut self, values: &mut [T]) -> Result<usize> {
        let waiting = usize::try_from(self.waiting(values.len())?).unwrap_or(usize::MAX);
        let mut count = 0;
        for (value, position) in values.iter_mut().zip(self.received..).take(waiting) {
            match self.read(position) {
                Ok(found) => *value = found,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break, // those before it first
            }
            count += 1;
        }
        if count > 0 {
            self.give_back(count as u64);
        }
        Ok(count)
    }

    /// Receives a value if one is known to be there. Whatever else may be the case, [`receive_one`](Self::receive_one)
    /// says.
    #[inline(always)]
    pub(crate) fn receive_plainly(&mut self) -> Option<T> {
        if self.received >= self.seen_tail {
            return None;
        }
        let value = self.read(self.received).ok()?;
        self.give_back(1);
        Some(value)
    }

    /// Whether nothing was sent beyond what was received, in no tenure.
    #[inline(always)]
    pub(crate) fn is_drained(&self) -> bool {
        self.tail.load(Ordering::Relaxed) == self.received // a hint: A9 follows if not
    }

    /// Receives one value.
    #[inline]
    pub(crate) fn receive_one(&mut self) -> Result<Option<T>> {
        if self.waiting(1)? == 0 {
            return Ok(None);
        }
        let value = self.read(self.received)?;
        self.give_back(1);
        Ok(Some(value))
    }

    /// Copies a slot out, and only then looks whether it holds a value of the type.
    #[inline(always)]
    fn read(&self, position: u64) -> Result<T> {
        self.slots.read(position).ok_or(Error::Corrupt("a slot does not hold a value of its type"))
    }

    #[inline(always)]
    fn give_back(&mut self, count: u64) {
        self.received += count;
        self.head.store(self.received, Ordering::Release); // R6 pairs with A7 A8 A12 A23
        compiler_fence(Ordering::SeqCst); // F3 pairs with A12
    }
}
