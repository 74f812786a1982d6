//! Words that no correct participant writes: errors that stop both sides, and never a panic.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use bytemuck::{CheckedBitPattern, NoUninit};
use common::Scratch;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_OFFSET, CONSUMER_SEAT_OFFSET, CURSOR_OFFSET, DATA_OFFSET, LEDGER_COUNT_OFFSET,
    LEDGER_ENTRY_BYTES, NOTICE_OFFSET, PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET, PRODUCER_WAIT_OFFSET,
    TAIL_OFFSET, TENURE_OFFSET, TOLD_OFFSET,
};
use shm_ring::layout::{NOTICE_POISONED, TENURE_JOINED, TENURE_STATE_BITS};
use shm_ring::{Consumer, Error, Producer, TypedConsumer, TypedProducer, inspect};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const PRODUCER_TENURE: usize = PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET + TENURE_OFFSET;

/// Makes the last producer's leaving look like a death: joined, and the lock free.
fn pretend_death(name: &Scratch, tenure: u64) {
    name.scribble(PRODUCER_TENURE, &(tenure << TENURE_STATE_BITS | TENURE_JOINED).to_le_bytes());
}

#[test]
fn impossible_lengths_are_too_large() {
    let name = Scratch::new("lengths");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    for less in 0..32 {
        let length = usize::MAX - less;
        let got = producer.try_reserve(length).map(|space| space.capacity());
        assert!(matches!(got, Err(Error::TooLarge { .. })), "{length:#x}: {got:?}");
    }
}

/// Every word of both regions and of the data in turn becomes each of a few wild values, before and after the
/// sides attach: whatever is answered, it is an answer, and it comes.
#[test]
fn no_word_makes_anybody_panic_or_hang() {
    let wild =
        [0, 1, 7, 8, 255, 256, 257, 1 << 40, 1 << 41 | 8, 1 << 62, (1 << 62) + 8, u64::MAX - 7, u64::MAX];
    let name = Scratch::new("wild");
    let regions = (PRODUCER_REGION_OFFSET..PRODUCER_REGION_OFFSET + 512)
        .chain(CONSUMER_REGION_OFFSET..CONSUMER_REGION_OFFSET + 640)
        .chain(DATA_OFFSET..DATA_OFFSET + 64);
    for offset in regions.step_by(8) {
        for value in wild {
            for early in [true, false] {
                let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
                let mut consumer = Consumer::open(&name.0).ok();
                producer.send(&[1; 8]).unwrap();
                if early {
                    drop(consumer.take());
                    name.scribble(offset, &u64::to_le_bytes(value));
                    consumer = Consumer::builder(&name.0).attach_timeout(Duration::ZERO).open().ok();
                } else {
                    name.scribble(offset, &u64::to_le_bytes(value));
                }
                for _ in 0..20 {
                    let _ = producer.send_timeout(&[2; 16], Duration::ZERO);
                    let _ =
                        consumer.as_mut().map(|consumer| consumer.try_recv().map(|message| message.to_vec()));
                    let _ = inspect(&name.0);
                }
                producer.close();
                let _ = consumer
                    .as_mut()
                    .map(|consumer| consumer.recv_timeout(SOON).map(|message| message.to_vec()));
                drop(Producer::builder(&name.0).attach_timeout(Duration::ZERO).open());
                let _ = name.take_away(); // gone if the value said that it is removed
            }
        }
    }
}

#[test]
fn a_garbage_count_is_no_panic() {
    let name = Scratch::new("count");
    let mut producer = Producer::create(&name.0).unwrap();
    producer.send(b"x").unwrap();
    for entry in 0..2 {
        let at = CONSUMER_REGION_OFFSET + CURSOR_OFFSET + entry * LEDGER_ENTRY_BYTES + LEDGER_COUNT_OFFSET;
        name.scribble(at, &[0xFF; 8]);
    }
    let mut consumer = Consumer::open(&name.0).unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"x", "counts are for people");
}

#[test]
fn an_end_that_is_still_to_come_was_not_told() {
    let name = Scratch::new("told");
    let _producer = Producer::create(&name.0).unwrap();
    name.scribble(CONSUMER_REGION_OFFSET + CONSUMER_SEAT_OFFSET + TOLD_OFFSET, &[0xFF; 8]);
    assert!(matches!(Consumer::open(&name.0), Err(Error::Corrupt(_))));
}

#[test]
fn a_cursor_far_from_the_tail_is_refused() {
    let (tail, cursor) = (PRODUCER_REGION_OFFSET + TAIL_OFFSET, CONSUMER_REGION_OFFSET + CURSOR_OFFSET);
    for (offset, position) in [(cursor, 1_u64 << 40), (cursor, 4096 + 32), (tail, 1 << 40), (tail, 4096 + 8)]
    {
        let name = Scratch::new("far");
        let mut producer = Producer::builder(&name.0).capacity(4096).create().unwrap();
        producer.send(b"abc").unwrap();
        producer.close();
        name.scribble(offset, &position.to_le_bytes());
        assert!(matches!(Consumer::open(&name.0), Err(Error::Corrupt(_))), "{offset} {position}");
    }
}

#[test]
fn inspecting_garbage_is_no_panic() {
    let name = Scratch::new("inspect");
    let mut producer = Producer::create(&name.0).unwrap();
    producer.send(b"x").unwrap();
    drop(producer);
    pretend_death(&name, 1);
    name.scribble(CONSUMER_REGION_OFFSET + CURSOR_OFFSET, &(1_u64 << 40).to_le_bytes());
    assert_eq!(inspect(&name.0).unwrap().sent, 1);
}

/// A type with bit patterns that are not values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[test]
fn a_slot_that_holds_no_value_of_its_type_stops_both_sides() {
    let name = Scratch::new("pattern");
    let mut producer = TypedProducer::<Side>::create(&name.0).unwrap();
    let mut consumer = TypedConsumer::<Side>::open(&name.0).unwrap();
    producer.send_slice(&[Side::Buy, Side::Sell]).unwrap();
    name.scribble(DATA_OFFSET + 1, &[9]);
    assert_eq!(consumer.recv().unwrap(), Side::Buy);
    assert!(matches!(consumer.recv(), Err(Error::Corrupt(_))));
    assert!(matches!(consumer.recv(), Err(Error::Corrupt(_))));
    assert!(matches!(producer.send(&Side::Buy), Err(Error::Corrupt(_))));
    assert!(inspect(&name.0).unwrap().poisoned);
    drop(consumer);
    assert!(matches!(TypedConsumer::<Side>::open(&name.0), Err(Error::Corrupt(_))));
}

#[test]
fn values_before_a_bad_slot_are_received() {
    let name = Scratch::new("before");
    let mut producer = TypedProducer::<Side>::create(&name.0).unwrap();
    let mut consumer = TypedConsumer::<Side>::open(&name.0).unwrap();
    producer.send_slice(&[Side::Buy, Side::Sell, Side::Buy]).unwrap();
    name.scribble(DATA_OFFSET + 2, &[9]);
    let mut values = [Side::Buy; 4];
    assert_eq!(consumer.try_recv_slice(&mut values).unwrap(), 2);
    assert!(matches!(consumer.try_recv_slice(&mut values), Err(Error::Corrupt(_))));
}

#[test]
fn a_garbage_tenure_stops_both_sides_for_good() {
    let name = Scratch::new("tenure");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    name.scribble(PRODUCER_TENURE, &[0xFF; 8]);
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::Corrupt(_))));
    pretend_death(&name, 1); // the garbage goes again
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::Corrupt(_))));
    assert!(matches!(producer.send(b"x"), Err(Error::Corrupt(_))));
}

/// Also where it is found by who only wants to know whether anybody can still come.
#[test]
fn a_garbage_tenure_stops_who_waits_for_nobody() {
    let name = Scratch::new("nobody");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let _consumer = Consumer::open(&name.0).unwrap();
    while producer.try_send(b"until it is full").is_ok() {}
    name.scribble(CONSUMER_REGION_OFFSET + CONSUMER_SEAT_OFFSET + TENURE_OFFSET, &[0xFF; 8]);
    name.take_away().unwrap();
    let awaited = producer.send_timeout(b"waits", common::FUSE);
    assert!(matches!(awaited, Err(Error::Corrupt(_))), "{awaited:?}");
    let next = producer.try_send(b"next");
    assert!(matches!(next, Err(Error::Corrupt(_))), "{next:?}");
}

#[test]
fn a_failed_attach_is_not_a_death() {
    let name = Scratch::new("attach");
    let _producer = Producer::builder(&name.0).require_peer(true).create().unwrap();
    let mut word = [0; 8];
    name.read(PRODUCER_TENURE, &mut word);
    name.scribble(PRODUCER_TENURE, &[0xFF; 8]);
    assert!(matches!(Consumer::open(&name.0), Err(Error::Corrupt(_))));
    name.scribble(PRODUCER_TENURE, &word);
    let status = inspect(&name.0).unwrap();
    assert!(status.participants.iter().all(|who| who.alive), "{:?}", status.participants);
}

/// Whoever has said that the ring is corrupt goes on saying it, and so does whoever was told by the other side.
#[test]
fn corrupt_is_for_good_on_both_sides() {
    let name = Scratch::new("good");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send(b"1").unwrap();
    producer.send(b"2").unwrap();
    let notice = PRODUCER_REGION_OFFSET + PRODUCER_WAIT_OFFSET + NOTICE_OFFSET;
    name.scribble(notice, &NOTICE_POISONED.to_le_bytes());
    assert!(matches!(consumer.try_recv(), Err(Error::Corrupt(_))));
    name.scribble(notice, &[0; 4]);
    assert!(matches!(consumer.try_recv(), Err(Error::Corrupt(_))));
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::Corrupt(_))));
}

/// Data in which a message is published everywhere: nobody is led around the ring again and again.
#[test]
fn records_without_an_end_are_looked_at_for_one_lap() {
    let name = Scratch::new("endless");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send(b"").unwrap();
    for offset in (DATA_OFFSET..DATA_OFFSET + 64).step_by(8) {
        name.scribble(offset, &(1_u64 << 40).to_le_bytes());
    }
    let found = consumer.try_recv_batch(usize::MAX).map(|messages| messages.len());
    assert!(matches!(found, Ok(..8) | Err(Error::Corrupt(_))), "{found:?}");
    let mut peeks = consumer.peek_batch();
    let looks = std::iter::repeat_with(|| peeks.try_next().map(drop)).take_while(Result::is_ok).count();
    assert!(looks < 8, "{looks}");
}
