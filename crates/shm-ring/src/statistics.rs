//! Counts for people, kept in the ring so that they outlive the participants. None costs the hot path
//! more than a store to a line that is its own.
//!
//! Messages sent and received stand in the ledgers (or are the indices of a typed ring). The high-water
//! mark is sampled: the consumer compares both ledgers at each of the ring's first 1,024 messages and at every
//! 1,024th from then on (that of a typed ring both indices, whenever it looks at the producer's), the producer
//! whenever it begins to wait for space. It never says more than was true, and may miss a peak between two samples.

use crate::error::Result;
use crate::layout::spsc::{
    CONSUMER_STATISTICS_OFFSET, CURSOR_OFFSET, DROPPED_OFFSET, FULL_WAITS_OFFSET, HEAD_OFFSET,
    HIGH_WATER_OFFSET, PRODUCER_STATISTICS_OFFSET, Parts, RECORD_HEADER_BYTES, TAIL_OFFSET,
};
use crate::layout::{Geometry, Kind};
use crate::ledger;
use shm_core::sync::Ordering;
use shm_core::{ReadWord, Region, Word};

/// Messages between two samples, and samples of each message at first.
const SAMPLE_EVERY: u64 = 1024;

/// Messages ever sent, as the producer region says.
pub(crate) fn sent(producer: &Region, kind: Kind) -> Result<u64> {
    if !kind.is_typed() {
        return Ok(ledger::read(producer, TAIL_OFFSET)?.count);
    }
    let tail: ReadWord<u64> = producer.read_word(TAIL_OFFSET)?;
    Ok(tail.load(Ordering::Relaxed)) // shown to people
}

/// Messages ever handed out, as the consumer region says.
pub(crate) fn received(consumer: &Region, kind: Kind) -> Result<u64> {
    if !kind.is_typed() {
        return Ok(ledger::read(consumer, CURSOR_OFFSET)?.count);
    }
    let head: ReadWord<u64> = consumer.read_word(HEAD_OFFSET)?;
    Ok(head.load(Ordering::Relaxed)) // shown to people
}

/// Of `sent` messages and `received` ones, how many are waiting: no more than there is room for, whatever the other
/// side says.
fn waiting(sent: u64, received: u64, geometry: &Geometry) -> u64 {
    let room = if geometry.kind.is_typed() { 1 } else { RECORD_HEADER_BYTES };
    sent.saturating_sub(received).min(geometry.capacity / room)
}

/// A count that only its owner writes.
#[derive(Debug)]
struct Counter(Word<u64>);

impl Counter {
    fn add_one(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed); // own; own
    }

    fn raise_to(&self, value: u64) {
        let old = self.0.load(Ordering::Relaxed); // own
        if value > old {
            self.0.store(value, Ordering::Relaxed); // shown to people
        }
    }
}

/// The counts that a producer keeps.
#[derive(Debug)]
pub(crate) struct ProducerStatistics {
    full_waits: Counter,
    dropped: Counter,
    high_water: Counter,
    peer: Region,
    geometry: Geometry,
    /// Messages sent when the last full wait was counted: a wait in many slices is one.
    waited_at: Option<u64>,
}

impl ProducerStatistics {
    pub(crate) fn new(parts: &Parts, geometry: Geometry) -> Result<Self> {
        let counter = |offset| parts.producer.word(PRODUCER_STATISTICS_OFFSET + offset).map(Counter);
        Ok(Self {
            full_waits: counter(FULL_WAITS_OFFSET)?,
            dropped: counter(DROPPED_OFFSET)?,
            high_water: counter(HIGH_WATER_OFFSET)?,
            peer: parts.consumer.read_only(),
            geometry,
            waited_at: None,
        })
    }

    /// Of `sent` messages, how many are waiting.
    pub(crate) fn waiting(&self, sent: u64) -> Result<u64> {
        Ok(waiting(sent, received(&self.peer, self.geometry.kind)?, &self.geometry))
    }

    /// The producer begins to wait for space, or goes on waiting if nothing was sent since it began.
    pub(crate) fn count_full_wait(&mut self, sent: u64) {
        if self.waited_at.replace(sent) != Some(sent) {
            self.full_waits.add_one();
        }
        // A consumer region in disorder is found by the algorithm, not by counting.
        self.high_water.raise_to(self.waiting(sent).unwrap_or(0));
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.add_one();
    }
}

/// The counts that a consumer keeps.
#[derive(Debug)]
pub(crate) struct ConsumerStatistics {
    high_water: Counter,
    peer: Region,
    geometry: Geometry,
    /// Messages received at which the next sample is due.
    next_sample: u64,
}

impl ConsumerStatistics {
    pub(crate) fn new(parts: &Parts, geometry: Geometry) -> Result<Self> {
        Ok(Self {
            high_water: Counter(parts.consumer.word(CONSUMER_STATISTICS_OFFSET + HIGH_WATER_OFFSET)?),
            peer: parts.producer.read_only(),
            geometry,
            next_sample: 0,
        })
    }

    /// Of all messages sent, how many are waiting when `received` of them were handed out.
    pub(crate) fn waiting(&self, received: u64) -> Result<u64> {
        Ok(waiting(sent(&self.peer, self.geometry.kind)?, received, &self.geometry))
    }

    /// A message was found, behind `received` others. `alone`: whether there is none behind it.
    #[inline(always)]
    pub(crate) fn sample(&mut self, received: u64, alone: impl FnOnce() -> bool) {
        if received >= self.next_sample {
            self.sample_now(received, alone());
        }
    }

    #[cold]
    fn sample_now(&mut self, received: u64, alone: bool) {
        self.next_sample = if received < SAMPLE_EVERY { 0 } else { received.saturating_add(SAMPLE_EVERY) };
        if alone {
            // Not worth taking the line away from a producer that is about to write it.
            self.high_water.raise_to(1);
            return;
        }
        // A producer region in disorder is found by the algorithm, not by counting.
        self.high_water.raise_to(self.waiting(received).unwrap_or(0));
    }

    /// So many were seen waiting.
    pub(crate) fn seen(&self, waiting: u64) {
        self.high_water.raise_to(waiting);
    }
}

/// The most messages waiting that either side has seen.
pub(crate) fn high_water(parts: &Parts) -> Result<u64> {
    let read = |region: &Region, offset: usize| -> Result<u64> {
        let word: ReadWord<u64> = region.read_word(offset + HIGH_WATER_OFFSET)?;
        Ok(word.load(Ordering::Relaxed)) // shown to people
    };
    let producer = read(&parts.producer, PRODUCER_STATISTICS_OFFSET)?;
    Ok(producer.max(read(&parts.consumer, CONSUMER_STATISTICS_OFFSET)?))
}

/// How often the producer waited for space, and how many messages it discarded.
pub(crate) fn full_waits_and_dropped(parts: &Parts) -> Result<(u64, u64)> {
    let read = |offset: usize| -> Result<u64> {
        let word: ReadWord<u64> = parts.producer.read_word(PRODUCER_STATISTICS_OFFSET + offset)?;
        Ok(word.load(Ordering::Relaxed)) // shown to people
    };
    Ok((read(FULL_WAITS_OFFSET)?, read(DROPPED_OFFSET)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::spsc::{CONSUMER_REGION_BYTES, LEDGER_COUNT_OFFSET, PRODUCER_REGION_BYTES};

    fn parts() -> Parts {
        Parts {
            producer: Region::on_heap(PRODUCER_REGION_BYTES).unwrap(),
            consumer: Region::on_heap(CONSUMER_REGION_BYTES).unwrap(),
            data: Region::on_heap(64).unwrap(),
        }
    }

    fn set_sent(parts: &Parts, count: u64) {
        parts.producer.write_value(TAIL_OFFSET + LEDGER_COUNT_OFFSET, &count).unwrap();
    }

    fn set_received(parts: &Parts, count: u64) {
        parts.consumer.write_value(CURSOR_OFFSET + LEDGER_COUNT_OFFSET, &count).unwrap();
    }

    #[test]
    fn counts_stand_in_ledgers_or_are_indices() {
        let parts = parts();
        set_sent(&parts, 7);
        set_received(&parts, 4);
        parts.producer.write_value(TAIL_OFFSET, &48_u64).unwrap();
        parts.consumer.write_value(HEAD_OFFSET, &40_u64).unwrap();
        assert_eq!(sent(&parts.producer, Kind::SpscBytes).unwrap(), 7);
        assert_eq!(received(&parts.consumer, Kind::SpscBytes).unwrap(), 4);
        assert_eq!(sent(&parts.producer, Kind::SpscTyped).unwrap(), 48);
        assert_eq!(received(&parts.consumer, Kind::SpscTyped).unwrap(), 40);
    }

    /// Each of the first 1,024 messages is a sample, and from then on every 1,024th.
    #[test]
    fn the_most_that_wait_are_sampled() {
        let parts = parts();
        let mut statistics = ConsumerStatistics::new(&parts, Geometry::bytes(4096).unwrap()).unwrap();
        for (received, waiting, most) in [
            (0, 3, 3),
            (1, 2, 3),
            (1023, 5, 5),
            (1024, 6, 6),
            (1025, 9, 6),
            (2047, 9, 6),
            (2048, 10, 10),
            (3071, 12, 10),
            (3072, 11, 11),
        ] {
            set_sent(&parts, received + waiting);
            assert_eq!(statistics.waiting(received).unwrap(), waiting);
            statistics.sample(received, || false);
            assert_eq!(high_water(&parts).unwrap(), most, "{received}");
        }
        // Who is told that it is alone does not look at the producer's count.
        set_sent(&parts, 4096 + 100);
        statistics.sample(4096, || true);
        assert_eq!(high_water(&parts).unwrap(), 11);
        statistics.seen(4);
        assert_eq!(high_water(&parts).unwrap(), 11);
        statistics.seen(14);
        assert_eq!(high_water(&parts).unwrap(), 14);
    }

    /// A hostile peer's count can say anything; no more can be there than there is room for.
    #[test]
    fn no_more_wait_than_there_is_room_for() {
        for (geometry, tail, most) in [
            (Geometry::bytes(4096), TAIL_OFFSET + LEDGER_COUNT_OFFSET, 512),
            (Geometry::slots(64, 100), TAIL_OFFSET, 64),
        ] {
            let (parts, geometry) = (parts(), geometry.unwrap());
            parts.producer.write_value(tail, &u64::MAX).unwrap();
            let consumer = ConsumerStatistics::new(&parts, geometry).unwrap();
            let producer = ProducerStatistics::new(&parts, geometry).unwrap();
            for counted in [consumer.waiting(7).unwrap(), producer.waiting(u64::MAX).unwrap()] {
                assert_eq!(counted, most, "{geometry:?}");
            }
        }
    }

    #[test]
    fn a_wait_in_many_slices_is_one() {
        let parts = parts();
        let mut statistics = ProducerStatistics::new(&parts, Geometry::bytes(4096).unwrap()).unwrap();
        set_received(&parts, 2);
        assert_eq!((statistics.waiting(5).unwrap(), statistics.waiting(1).unwrap()), (3, 0));
        for (sent, waits) in [(5, 1), (5, 1), (6, 2), (5, 3)] {
            statistics.count_full_wait(sent);
            assert_eq!(full_waits_and_dropped(&parts).unwrap(), (waits, 0));
        }
        assert_eq!(high_water(&parts).unwrap(), 4, "6 sent, 2 received");
        statistics.count_dropped();
        statistics.count_dropped();
        assert_eq!(full_waits_and_dropped(&parts).unwrap(), (3, 2));
    }
}
