//! What stands against calls at a ring of two, and what is told of the other side, where its words are set by hand.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_core::Access;
use shm_core::lock::{self, Lock};
use shm_ring::layout::spsc::{
    CONSUMER_REGION_OFFSET, CONSUMER_SEAT_OFFSET, CONSUMER_WAIT_OFFSET, DIED_BITS_OFFSET, LIFE_OFFSET,
    NOTICE_OFFSET, PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET, PRODUCER_WAIT_OFFSET, SLEEP_OFFSET,
    TENURE_OFFSET, WAKE_OFFSET,
};
use shm_ring::layout::{NOTICE_POISONED, NOTICE_REMOVED, TENURE_JOINED, TENURE_STATE_BITS};
use shm_ring::{
    Consumer, End, Error, Producer, TypedConsumer, TypedProducer, WaitStrategy, inspect, remove_forced,
};
use std::time::{Duration, Instant};

const PRODUCERS_WAIT: usize = PRODUCER_REGION_OFFSET + PRODUCER_WAIT_OFFSET;
const CONSUMERS_WAIT: usize = CONSUMER_REGION_OFFSET + CONSUMER_WAIT_OFFSET;
const CONSUMERS_SEAT: usize = CONSUMER_REGION_OFFSET + CONSUMER_SEAT_OFFSET;

fn pair(what: &str) -> (Scratch, Producer, Consumer) {
    let name = Scratch::new(what);
    let producer = Producer::builder(&name.0).wait(WaitStrategy::Sleep).create().unwrap();
    let consumer = Consumer::builder(&name.0).wait(WaitStrategy::Sleep).open().unwrap();
    (name, producer, consumer)
}

fn received(consumer: &mut Consumer) -> Result<Vec<u8>, Error> {
    consumer.try_recv().map(|message| message.to_vec())
}

/// Garbage stops both sides though messages wait and there is space; a removal stops the sending side only.
#[test]
fn notices_are_heeded_at_once() {
    let (name, mut producer, mut consumer) = pair("poisoned");
    producer.send(b"x").unwrap();
    name.scribble(PRODUCERS_WAIT + NOTICE_OFFSET, &NOTICE_POISONED.to_le_bytes());
    assert!(matches!(received(&mut consumer), Err(Error::Corrupt(_))));
    name.scribble(CONSUMERS_WAIT + NOTICE_OFFSET, &NOTICE_POISONED.to_le_bytes());
    assert!(matches!(producer.try_send(b"y"), Err(Error::Corrupt(_))));
    let (name, mut producer, mut consumer) = pair("removed");
    producer.send(b"x").unwrap();
    for notice in [PRODUCERS_WAIT, CONSUMERS_WAIT] {
        name.scribble(notice + NOTICE_OFFSET, &NOTICE_REMOVED.to_le_bytes());
    }
    assert!(matches!(producer.try_send(b"y"), Err(Error::Detached)));
    assert_eq!(received(&mut consumer).unwrap(), b"x");
    assert!(matches!(received(&mut consumer), Err(Error::Detached)));
}

#[test]
fn a_check_tells_what_stands_against_sending() {
    let (name, mut producer, _consumer) = pair("check");
    producer.check().unwrap();
    remove_forced(&name.0).unwrap();
    assert!(matches!(producer.check(), Err(Error::Detached)));
    let name = Scratch::new("check-peer");
    let mut producer = Producer::builder(&name.0).require_peer(true).create().unwrap();
    let consumer = Consumer::open(&name.0).unwrap();
    producer.check().unwrap();
    drop(consumer);
    assert!(matches!(producer.check(), Err(Error::Disconnected(End::Dropped))));
    producer.check().unwrap();
}

#[test]
fn sleeps_and_wakes_are_counted_and_leave_the_word_even() {
    let (name, mut producer, mut consumer) = pair("counts");
    name.scribble(CONSUMERS_WAIT + SLEEP_OFFSET, &101_u64.to_le_bytes());
    let before = producer.wait_counts().wakes;
    producer.send(b"x").unwrap();
    producer.send(b"x").unwrap();
    assert_eq!(producer.wait_counts().wakes, before + 1, "once for each arming");
    assert_eq!(
        (received(&mut consumer).unwrap(), received(&mut consumer).unwrap()),
        (vec![b'x'], vec![b'x'])
    );
    // It sleeps, unless this process is stopped for longer than that; then again.
    let begun = Instant::now();
    while consumer.wait_counts().sleeps == 0 {
        assert!(matches!(consumer.recv_timeout(Duration::from_millis(1)), Err(Error::TimedOut)));
        assert!(begun.elapsed() < common::FUSE);
    }
    let mut word = [0; 8];
    name.read(CONSUMERS_WAIT + SLEEP_OFFSET, &mut word);
    assert_eq!(u64::from_le_bytes(word) % 2, 0);
}

/// Bits of tenures that are 64 older than those asked about say nothing of them.
#[test]
fn what_is_left_of_older_tenures_is_not_told() {
    let died = PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET + DIED_BITS_OFFSET;
    let (name, producer, mut consumer) = pair("stale");
    name.scribble(died, &(1_u64 << 1).to_le_bytes());
    producer.close();
    assert!(matches!(received(&mut consumer), Err(Error::Disconnected(End::Closed))));
    let (name, producer, mut consumer) = pair("stale-two");
    producer.close();
    let _second = Producer::open(&name.0).unwrap();
    name.scribble(died, &(1_u64 << 2 | 1 << 3).to_le_bytes());
    assert!(matches!(received(&mut consumer), Err(Error::Disconnected(End::Closed))));
}

/// Whichever side left it, or both, a notice is shown, and refuses newcomers.
#[test]
fn notices_are_shown_and_refuse_newcomers() {
    for sides in [&[PRODUCERS_WAIT][..], &[CONSUMERS_WAIT], &[PRODUCERS_WAIT, CONSUMERS_WAIT]] {
        for notice in [0, NOTICE_POISONED, NOTICE_REMOVED] {
            let (name, producer, consumer) = pair("shown");
            drop((producer, consumer));
            sides.iter().for_each(|side| name.scribble(side + NOTICE_OFFSET, &notice.to_le_bytes()));
            let status = inspect(&name.0).unwrap();
            let expected = (notice == NOTICE_POISONED, notice == NOTICE_REMOVED);
            assert_eq!((status.poisoned, status.removed), expected);
            match (notice, Producer::open(&name.0)) {
                (0, Ok(_)) | (NOTICE_POISONED, Err(Error::Corrupt(_))) => {}
                (NOTICE_REMOVED, Err(error)) if error.is_not_found() => {}
                (_, other) => panic!("{notice}: {other:?}"),
            }
        }
    }
}

/// Garbage stops a consumer of values as well, though it knows of one that waits.
#[test]
fn a_poisoned_ring_hands_no_value_out() {
    let name = Scratch::new("poisoned-values");
    let mut producer = TypedProducer::<u64>::create(&name.0).unwrap();
    let mut consumer = TypedConsumer::<u64>::open(&name.0).unwrap();
    for value in 1..=3 {
        producer.send(&value).unwrap();
    }
    assert_eq!(consumer.try_recv().unwrap(), 1);
    name.scribble(PRODUCERS_WAIT + NOTICE_OFFSET, &NOTICE_POISONED.to_le_bytes());
    let received = consumer.try_recv();
    assert!(matches!(received, Err(Error::Corrupt(_))), "{received:?}");
}

/// What a consumer of values saw waiting is told when it leaves, if not before.
#[test]
fn the_most_values_that_were_seen_waiting_outlive_the_consumer() {
    let name = Scratch::new("seen-values");
    let mut producer = TypedProducer::<u64>::builder(&name.0).capacity(16).create().unwrap();
    (1..=5).for_each(|value| producer.send(&value).unwrap());
    let mut consumer = TypedConsumer::<u64>::open(&name.0).unwrap();
    (1..=5).for_each(|value| assert_eq!(consumer.try_recv().unwrap(), value));
    drop(consumer);
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.depth, status.high_water), (0, 5));
}

/// Both sides are woken by a forced removal, whoever is there and whatever stands in their words.
#[test]
fn a_forced_removal_wakes_both_sides() {
    let (name, _producer, _consumer) = pair("removal-wakes");
    let region = name.open(Access::ReadWrite).unwrap().map(Access::ReadWrite).unwrap();
    let wakes = || {
        [PRODUCERS_WAIT, CONSUMERS_WAIT].map(|words| {
            let mut count = [0; 4];
            region.copy_out(words + WAKE_OFFSET, &mut count).unwrap();
            u32::from_le_bytes(count)
        })
    };
    let before = wakes();
    remove_forced(&name.0).unwrap();
    assert_eq!(wakes(), before.map(|count| count + 1));
}

/// The kernel marks a life word while the process is still being taken down, and frees the locks later. A producer that
/// saw the mark too early asks again, though it never sleeps.
#[test]
fn a_mark_that_came_before_the_end_is_followed_up() {
    let name = Scratch::new("mark");
    let builder = Producer::builder(&name.0).capacity(1 << 20).require_peer(true).backstop(false);
    let mut producer = builder.create().unwrap();
    let dying = name.open(Access::ReadWrite).unwrap();
    assert!(lock::try_lock(&dying, CONSUMERS_SEAT as u64, Lock::Exclusive).unwrap());
    let joined: u64 = 1 << TENURE_STATE_BITS | TENURE_JOINED;
    name.scribble(CONSUMERS_SEAT + TENURE_OFFSET, &joined.to_le_bytes());
    name.scribble(CONSUMERS_WAIT + LIFE_OFFSET, &0xC000_0000_u32.to_le_bytes());
    (0..100).for_each(|_| producer.try_send(b"it may live").unwrap());
    drop(dying);
    // Far fewer than fit.
    let end = (0..20_000).find_map(|_| {
        std::thread::sleep(Duration::from_micros(100));
        producer.try_send(b"it is dead").err()
    });
    assert!(matches!(end, Some(Error::Disconnected(End::Died))), "{end:?}");
}
