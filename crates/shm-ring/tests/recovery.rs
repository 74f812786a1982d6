//! What successors find, each state made by hand; and wake-ups, with nothing behind them that would hide a loss.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{FUSE, Scratch};
use shm_core::lock::{self, Lock};
use shm_core::{Access, Directory};
use shm_ring::layout::mpmc::{
    BLOCKS_MAX, COMMON_OFFSET, HAND_BLOCK_BITS, HAND_OFFSET, HAND_UNREAD, JOINS_OFFSET, LIFE_OFFSET,
    SEAT_BYTES, SEATS_OFFSET, SENDERS_OFFSET, TENURE_DIED, TENURE_OFFSET, TENURE_RECEIVER,
};
use shm_ring::layout::spsc::{
    CONSUMER_REGION_OFFSET, CONSUMER_WAIT_OFFSET, DATA_OFFSET, HEAD_OFFSET, PRODUCER_REGION_OFFSET,
    PRODUCER_SEAT_OFFSET, PRODUCER_WAIT_OFFSET, TENURE_OFFSET as SEAT_TENURE_OFFSET, WAKE_OFFSET,
};
use shm_ring::layout::{TENURE_JOINED, TENURE_STATE_BITS};
use shm_ring::{
    Consumer, End, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer, WaitStrategy, inspect,
    repair, repair_in,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Waits until the other thread of a test sleeps, or long enough that it would; the test is right either way.
fn let_the_other_side_sleep() {
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn sleepers_are_woken_by_the_other_side() {
    for _ in 0..5 {
        let name = Scratch::new("wake");
        let sleep = WaitStrategy::Sleep;
        let builder = Producer::builder(&name.0).capacity(32).wait(sleep).backstop(false);
        let mut producer = builder.create().unwrap();
        let mut consumer = Consumer::builder(&name.0).wait(sleep).backstop(false).open().unwrap();
        let receiving = std::thread::spawn(move || {
            assert_eq!(consumer.recv_timeout(FUSE).unwrap().to_vec(), b"x");
            consumer
        });
        let_the_other_side_sleep();
        producer.send(b"x").unwrap();
        let mut consumer = receiving.join().unwrap();
        producer.send(&[0; 8]).unwrap();
        let sending = std::thread::spawn(move || producer.send_timeout(&[1; 8], FUSE).map(|()| producer));
        let_the_other_side_sleep();
        drop(consumer.recv().unwrap());
        drop(sending.join().unwrap().unwrap());
    }
}

#[test]
fn the_first_value_of_a_tenure_wakes_a_producer_that_waits_for_its_slot() {
    let name = Scratch::new("slot");
    let sleep = WaitStrategy::Sleep;
    let mut consumer = TypedConsumer::<u64>::builder(&name.0).capacity(1).create().unwrap();
    let mut producer = TypedProducer::<u64>::builder(&name.0).wait(sleep).backstop(false).open().unwrap();
    producer.send(&1).unwrap();
    let sending = std::thread::spawn(move || producer.send_timeout(&2, FUSE).map(|()| producer));
    let_the_other_side_sleep();
    assert_eq!(consumer.recv().unwrap(), 1);
    let _producer = sending.join().unwrap().unwrap();
    assert_eq!(consumer.recv().unwrap(), 2);
}

/// A producer killed between the header that publishes and the ledger, and so between publishing and waking.
#[test]
fn a_successor_finds_what_was_published_counts_it_and_wakes() {
    let name = Scratch::new("walk");
    let builder = Consumer::builder(&name.0).capacity(64).wait(WaitStrategy::Sleep).backstop(false);
    let mut consumer = builder.create().unwrap();
    let receiving = std::thread::spawn(move || {
        assert!(consumer.recv_timeout(FUSE).unwrap().is_empty());
        consumer
    });
    let_the_other_side_sleep();
    name.scribble(DATA_OFFSET, &(1_u64 << 40).to_le_bytes()); // a message of length 0, and nobody is woken
    let mut producer = Producer::open(&name.0).unwrap();
    let mut consumer = receiving.join().unwrap();
    assert_eq!(shm_ring::inspect(&name.0).unwrap().sent, 1);
    producer.send(b"next").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"next");
}

/// A consumer killed between the cursor and the head: its successor gives the space back.
#[test]
fn a_consumers_successor_gives_back_what_was_handed_out() {
    let name = Scratch::new("head");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let sent = (0..10).take_while(|_| producer.try_send(&[1; 8]).is_ok()).count();
    assert_eq!(consumer.try_recv_batch(9).unwrap().len(), sent);
    drop(consumer);
    name.scribble(CONSUMER_REGION_OFFSET + HEAD_OFFSET, &[0; 8]);
    let _consumer = Consumer::open(&name.0).unwrap();
    assert!(producer.try_send(&[2; 24]).is_ok(), "an empty ring takes the longest message");
}

#[test]
fn a_consumer_that_leaves_withholds_nothing() {
    let name = Scratch::new("leaves");
    let mut producer = Producer::builder(&name.0).capacity(1024).create().unwrap();
    assert!((0..100).any(|_| producer.try_send(&[1; 8]).is_err()));
    let mut consumer = Consumer::open(&name.0).unwrap();
    drop(consumer.recv().unwrap());
    drop(consumer);
    producer.try_send(&[1; 8]).unwrap();
}

#[test]
fn a_message_that_is_held_is_not_written_over() {
    let name = Scratch::new("held");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send(&[1; 8]).unwrap();
    let held = consumer.recv().unwrap();
    let sent = (0..100).take_while(|_| producer.try_send(&[2; 8]).is_ok()).count();
    assert_eq!(sent, 2, "64 bytes less the held 16 less the next header's 8");
    assert_eq!(held.to_vec(), [1; 8]);
    drop(held);
    assert_eq!(consumer.try_recv_batch(9).unwrap().len(), 2);
}

#[test]
fn a_full_ring_is_full_and_an_emptied_one_is_not() {
    let name = Scratch::new("full");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    for _ in 0..20 {
        let sent = (0..10).take_while(|_| producer.try_send(&[]).is_ok()).count();
        assert_eq!(sent, 7, "eight words, one of them the next header");
        assert_eq!(consumer.try_recv_batch(10).unwrap().len(), 7);
        assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
    }
}

#[test]
fn what_is_forgotten_changes_nothing() {
    let name = Scratch::new("forget");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let mut batch = producer.batch();
    batch.push(b"never").unwrap();
    std::mem::forget(batch);
    producer.send(b"1").unwrap();
    producer.send(b"2").unwrap();
    std::mem::forget(consumer.try_peek().unwrap());
    assert_eq!(consumer.try_recv().unwrap().to_vec(), b"1");
    std::mem::forget(consumer.try_recv().unwrap());
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
}

/// A consumer that came when the third producer sat there still reads the first one's messages first, however many
/// producers have come and gone in silence since.
#[test]
fn tenures_are_told_apart_beyond_sixty_four() {
    let name = Scratch::new("many");
    for number in 1..=3_u8 {
        let mut producer = Producer::open_or_create(&name.0).unwrap();
        producer.send(&[number]).unwrap();
        producer.close();
    }
    let mut consumer = Consumer::open(&name.0).unwrap();
    for _ in 0..62 {
        Producer::open(&name.0).unwrap().close();
    }
    for number in 1..=3 {
        assert_eq!(consumer.try_recv().unwrap().to_vec(), [number]);
    }
    assert!(matches!(consumer.try_recv(), Err(Error::Disconnected(_))));
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
}

/// Whoever finds a ring marked as removed helps to unlink it: that ring, and not its successor.
#[test]
fn helping_a_removal_never_removes_the_successor() {
    let name = Scratch::new("help");
    let stop = AtomicBool::new(false);
    let stopped = || stop.load(Ordering::Relaxed); // only ends the test
    let mut lost = 0;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stopped() {
                    let _ = Consumer::builder(&name.0).attach_timeout(Duration::ZERO).open();
                }
            });
        }
        for _ in 0..5_000 {
            let Ok(ring) = Producer::builder(&name.0).capacity(64).create() else { continue };
            let inode = name.inode();
            std::thread::sleep(Duration::from_micros(60));
            // Nobody else removes a ring that is not marked: while `ring` lives its name must be there.
            lost += u32::from(name.inode() != inode);
            drop(ring);
            let _ = shm_ring::remove_forced(&name.0);
        }
        stop.store(true, Ordering::Relaxed); // only ends the test
    });
    assert_eq!(lost, 0, "fresh rings lost their name");
}

/// Three hands that speak of each other's blocks: nobody can tell who has which, so they are counted and left alone.
#[test]
fn places_that_can_not_be_cleared_now_are_counted() {
    let name = Scratch::new("busy");
    Sender::builder(&name.0).capacity(2).participants(3).create_ring().unwrap();
    // The slots hold the blocks 0 and 1.
    for (seat, hand) in
        [2 | 3 << HAND_BLOCK_BITS, 3 | 4 << HAND_BLOCK_BITS, 4 | 2 << HAND_BLOCK_BITS].into_iter().enumerate()
    {
        let hand: u64 = hand;
        name.scribble(SEATS_OFFSET + seat * SEAT_BYTES + HAND_OFFSET, &hand.to_le_bytes());
    }
    for _ in 0..2 {
        let found = repair(&name.0).unwrap();
        assert_eq!((found.repaired, found.to_redeliver, found.busy), (0, 0, 3));
    }
    let newcomer = Sender::builder(&name.0).attach_timeout(Duration::ZERO).open();
    assert!(matches!(newcomer, Err(Error::Busy { .. })));
}

/// A repair has both sides of a ring of two look again; one that only looks wakes nobody.
#[test]
fn a_repair_wakes_both_sides() {
    let name = Scratch::new("repair-wakes");
    let _producer = Producer::create(&name.0).unwrap();
    let wakes = || {
        [PRODUCER_REGION_OFFSET + PRODUCER_WAIT_OFFSET, CONSUMER_REGION_OFFSET + CONSUMER_WAIT_OFFSET].map(
            |words| {
                let mut count = [0; 4];
                name.read(words + WAKE_OFFSET, &mut count);
                u32::from_le_bytes(count)
            },
        )
    };
    let before = wakes();
    repair_in(&Directory::posix(), &name.0, true).unwrap();
    assert_eq!(wakes(), before);
    repair(&name.0).unwrap();
    assert_eq!(wakes(), before.map(|count| count + 1));
}

/// As a clean-up leaves a dead receiver's seat that was killed itself, between saying how the tenure ended and settling
/// the hand.
#[test]
fn a_clean_up_that_was_killed_is_finished_by_the_next() {
    for redelivery in [false, true] {
        let name = Scratch::new("half-clean");
        let builder = Sender::builder(&name.0).capacity(2).participants(3).redelivery(redelivery);
        let _sender = builder.create().unwrap();
        let seat = SEATS_OFFSET + 2 * SEAT_BYTES;
        let hand = 4 | BLOCKS_MAX << HAND_BLOCK_BITS | HAND_UNREAD;
        name.scribble(seat + HAND_OFFSET, &hand.to_le_bytes());
        name.scribble(seat + TENURE_OFFSET, &(1 << 8 | TENURE_RECEIVER | TENURE_DIED).to_le_bytes());
        let look = || inspect(&name.0).map(|status| (status.limbo, status.lost)).unwrap();
        let clean = || repair(&name.0).map(|found| (found.repaired, found.to_redeliver)).unwrap();
        if redelivery {
            assert_eq!((look(), clean(), look()), ((0, 0), (0, 1), (0, 0)), "it waits to be handed out");
        } else {
            assert_eq!((look(), clean(), look()), ((1, 0), (1, 0), (0, 1)), "it is lost, and counted");
            assert_eq!((clean(), look()), ((0, 0), (0, 1)), "once");
        }
    }
}

/// What a producer has published and not counted when it is killed, its successor will count, and so does who only
/// looks. What a living one publishes, it counts itself.
#[test]
fn a_look_counts_what_a_dead_producer_published_last() {
    let name = Scratch::new("uncounted");
    let _consumer = Consumer::builder(&name.0).capacity(64).create().unwrap();
    let producer = Producer::open(&name.0).unwrap();
    name.scribble(DATA_OFFSET, &(1_u64 << 40).to_le_bytes()); // a message of length 0
    let sent = || inspect(&name.0).map(|status| (status.sent, status.depth)).unwrap();
    assert_eq!(sent(), (0, 0), "it is about to count it");
    drop(producer);
    assert_eq!(sent(), (0, 0), "whoever leaves has counted all: this is none");
    let tenure = PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET + SEAT_TENURE_OFFSET;
    let joined = 1 << TENURE_STATE_BITS | TENURE_JOINED;
    name.scribble(tenure, &joined.to_le_bytes()); // and nobody has the lock
    assert_eq!(sent(), (1, 1));
}

/// The kernel marks the life word of who dies while it still has its locks: a sleeper that watches it is woken by the
/// mark, and asks until the locks are free.
#[test]
fn a_receiver_that_was_woken_by_a_mark_asks_until_it_knows() {
    let name = Scratch::new("many-mark");
    let builder = Receiver::builder(&name.0).capacity(2).participants(3).wait(WaitStrategy::Sleep);
    let mut receiver = builder.backstop(false).create().unwrap();
    let dying = name.open(Access::ReadWrite).unwrap();
    let seat = SEATS_OFFSET + SEAT_BYTES;
    assert!(lock::try_lock(&dying, seat as u64, Lock::Exclusive).unwrap());
    name.scribble(seat + LIFE_OFFSET, &0xC000_0000_u32.to_le_bytes());
    name.scribble(seat + TENURE_OFFSET, &(1 << TENURE_STATE_BITS | TENURE_JOINED).to_le_bytes());
    name.scribble(COMMON_OFFSET + SENDERS_OFFSET + JOINS_OFFSET, &1_u64.to_le_bytes());
    let receiving = std::thread::spawn(move || receiver.recv_timeout(FUSE).map(|message| message.to_vec()));
    let_the_other_side_sleep();
    drop(dying);
    let received = receiving.join().unwrap();
    assert!(matches!(received, Err(Error::Disconnected(End::Died))), "{received:?}");
}
