//! What the handles do, between two mappings in one process.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

mod common;

use common::Scratch;
use shm_ring::{
    Consumer, Deadline, End, Error, Kind, Producer, Role, TypedConsumer, TypedProducer, TypedSender,
    WaitStrategy, inspect, remove_forced,
};
use std::time::Duration;

#[test]
fn a_second_comer_is_refused_and_told_who_sits_there() {
    let name = Scratch::new("second");
    let _producer = Producer::create(&name.0).unwrap();
    let me = std::process::id();
    let soon = Duration::from_millis(1);
    let second = Producer::builder(&name.0).attach_timeout(soon).open();
    assert!(matches!(second, Err(Error::SeatTaken { role: Role::Producer, pid }) if pid == me));
    let _consumer = Consumer::open(&name.0).unwrap();
    let second = Consumer::builder(&name.0).attach_timeout(soon).open();
    assert!(matches!(second, Err(Error::SeatTaken { role: Role::Consumer, pid }) if pid == me));
}

#[test]
fn a_ring_is_opened_only_as_what_it_is() {
    let name = Scratch::new("kind");
    drop(Producer::create(&name.0).unwrap());
    let wrong = TypedConsumer::<u64>::open(&name.0);
    assert!(matches!(wrong, Err(Error::WrongKind { found: Kind::SpscBytes, wanted: Kind::SpscTyped })));
    assert!(matches!(Consumer::builder(&name.0).schema("v2").open(), Err(Error::WrongType { .. })));
    let other = Scratch::new("type");
    drop(TypedProducer::<u64>::builder(&other.0).schema("v1").create().unwrap());
    assert!(matches!(TypedConsumer::<u64>::open(&other.0), Err(Error::WrongType { .. })));
    assert!(matches!(
        TypedConsumer::<i64>::builder(&other.0).schema("v1").open(),
        Err(Error::WrongType { .. })
    ));
    assert!(TypedConsumer::<u64>::builder(&other.0).schema("v1").open().is_ok());
}

#[test]
fn statistics_are_exact_while_nobody_works_and_never_fall() {
    let name = Scratch::new("statistics");
    let mut producer = Producer::builder(&name.0).capacity(256).create().unwrap();
    let mut sent = 0;
    while sent < 100 && producer.try_send(&[1; 8]).is_ok() {
        sent += 1;
    }
    producer.count_dropped();
    assert!(matches!(producer.send_timeout(&[1; 8], Duration::from_millis(1)), Err(Error::TimedOut)));
    let look = || inspect(&name.0).unwrap();
    let check = |received: u64| {
        let status = look();
        assert_eq!((status.sent, status.received, status.depth), (sent, received, sent - received));
        assert_eq!((status.dropped, status.full_waits, status.high_water), (1, 1, sent));
    };
    check(0);
    let mut consumer = Consumer::open(&name.0).unwrap();
    drop(consumer.recv().unwrap());
    check(1);
    drop((producer, consumer));
    check(1);
    assert!(look().participants.is_empty());
    let mut consumer = Consumer::open(&name.0).unwrap();
    assert_eq!(consumer.try_recv_batch(100).unwrap().len() as u64, sent - 1);
    check(sent);
    assert_eq!(look().participants.len(), 1);
}

#[test]
fn keeping_up_takes_no_system_call() {
    let name = Scratch::new("calls");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let before = (producer.wait_counts(), consumer.wait_counts());
    for number in 0..100_000_u64 {
        producer.send(&number.to_le_bytes()).unwrap();
        assert_eq!(consumer.recv().unwrap().to_vec(), number.to_le_bytes());
    }
    assert_eq!((producer.wait_counts(), consumer.wait_counts()), before);
}

#[test]
fn a_reservation_gives_back_what_it_does_not_use() {
    let name = Scratch::new("reserve");
    let mut producer = Producer::builder(&name.0).capacity(128).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    for _ in 0..5 {
        // without giving back, three would fill the ring
        let mut space = producer.try_reserve(24).unwrap();
        assert!(space.write_at(20, b"12345").is_err());
        space.write_at(0, b"abc").unwrap();
        space.commit(1).unwrap();
    }
    assert_eq!(
        consumer.try_recv_batch(9).unwrap().iter().map(|view| view.to_vec()).collect::<Vec<_>>(),
        vec![b"a"; 5]
    );
    assert!(matches!(producer.try_reserve(8).unwrap().commit(9), Err(Error::TooLarge { .. })));
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
}

/// Numbered messages of all lengths through rings from the smallest on, under every way of waiting: two threads
/// that share nothing but the memory.
#[test]
fn two_sides_at_work_at_once() {
    for capacity in [32, 64, 256, 4096] {
        for strategy in [WaitStrategy::Spin, WaitStrategy::Adaptive, WaitStrategy::Sleep] {
            let name = Scratch::new("stress");
            let mut producer = Producer::builder(&name.0).capacity(capacity).wait(strategy).create().unwrap();
            let mut consumer = Consumer::builder(&name.0).wait(strategy).open().unwrap();
            let max = producer.max_message();
            let count = if strategy == WaitStrategy::Adaptive { 20_000 } else { 2_000_u64 };
            let message = move |number: u64| -> Vec<u8> {
                (0..number as usize % (max + 1)).map(|at| (number as usize + at).to_le_bytes()[0]).collect()
            };
            let sending = std::thread::spawn(move || {
                for number in 0..count {
                    producer.send_tagged(number.to_le_bytes()[0].into(), &message(number)).unwrap();
                }
                producer.close();
            });
            let mut number = 0_u64;
            for received in consumer.iter() {
                let received = received.unwrap();
                assert_eq!(received.tag, u16::from(number.to_le_bytes()[0]));
                assert_eq!(received.bytes, message(number), "message {number}");
                number += 1;
            }
            assert_eq!(number, count);
            sending.join().unwrap();
        }
    }
}

#[test]
fn typed_values_at_every_small_capacity() {
    for capacity in [1, 2, 8, 1024] {
        let name = Scratch::new("values");
        let mut producer = TypedProducer::<[u64; 3]>::builder(&name.0).capacity(capacity).create().unwrap();
        let mut consumer = TypedConsumer::<[u64; 3]>::open(&name.0).unwrap();
        let sending = std::thread::spawn(move || {
            for number in 0..20_000_u64 {
                producer.send(&[number, !number, number * 3]).unwrap();
            }
            producer.close();
        });
        let mut number = 0;
        let mut values = [[0; 3]; 16];
        loop {
            match consumer.recv_slice_until(&mut values, Deadline::NEVER) {
                Ok(count) => {
                    for value in &values[..count] {
                        assert_eq!(*value, [number, !number, number * 3]);
                        number += 1;
                    }
                }
                Err(Error::Disconnected(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(number, 20_000);
        sending.join().unwrap();
    }
}

#[test]
fn open_or_create_takes_what_is_there() {
    let name = Scratch::new("either");
    let producer = Producer::builder(&name.0).capacity(64).open_or_create().unwrap();
    let consumer = Consumer::builder(&name.0).capacity(1 << 20).open_or_create().unwrap();
    assert_eq!((producer.capacity(), consumer.capacity()), (64, 64));
    assert!(Producer::create(&name.0).is_err());
}

#[test]
fn messages_are_looked_at_in_place() {
    let name = Scratch::new("view");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send_tagged(9, b"0123456789").unwrap();
    let message = consumer.recv().unwrap();
    let mut part = [0; 4];
    assert_eq!(message.read_at(8, &mut part), 2);
    assert_eq!(&part, b"89\0\0");
    assert_eq!(message.read_at(11, &mut part), 0);
    assert_eq!(message.read_at(usize::MAX, &mut part), 0);
    assert_eq!((message.tag(), message.len(), message.is_empty()), (9, 10, false));
}

#[test]
fn a_wait_in_many_slices_is_one() {
    let name = Scratch::new("slices");
    let mut producer = Producer::builder(&name.0).capacity(32).create().unwrap();
    let builder = Consumer::builder(&name.0);
    producer.send(&[0; 8]).unwrap();
    for _ in 0..3 {
        assert!(matches!(producer.send_timeout(&[0; 8], Duration::from_millis(1)), Err(Error::TimedOut)));
    }
    assert_eq!(inspect(&name.0).unwrap().full_waits, 1);
    drop(builder.clone().open().unwrap().recv().unwrap());
    producer.send(&[0; 8]).unwrap();
    assert!(matches!(producer.send_timeout(&[0; 8], Duration::from_millis(1)), Err(Error::TimedOut)));
    assert_eq!(inspect(&name.0).unwrap().full_waits, 2);
}

/// Also when some of them were known of before.
#[test]
fn a_slice_takes_all_slots_and_all_values_that_there_are() {
    let name = Scratch::new("whole-slices");
    let mut producer = TypedProducer::<u64>::builder(&name.0).capacity(4).create().unwrap();
    let mut consumer = TypedConsumer::<u64>::open(&name.0).unwrap();
    assert_eq!(producer.try_send_slice(&[0, 1, 2]).unwrap(), 3);
    let mut values = [0; 4];
    assert_eq!(consumer.try_recv_slice(&mut values[..2]).unwrap(), 2);
    assert_eq!(producer.try_send_slice(&[3, 4, 5, 6]).unwrap(), 3);
    assert_eq!(consumer.try_recv_slice(&mut values).unwrap(), 4);
    assert_eq!(values, [2, 3, 4, 5]);
}

/// While the consumer is there, not only when it has left.
#[test]
fn the_most_values_that_were_waiting_are_shown_at_once() {
    let name = Scratch::new("typed-high-water");
    let mut producer = TypedProducer::<u64>::builder(&name.0).capacity(8).create().unwrap();
    let mut consumer = TypedConsumer::<u64>::open(&name.0).unwrap();
    let mut receive = |producer: &mut TypedProducer<u64>, count: u64, slice: bool| {
        (0..count).for_each(|value| producer.send(&value).unwrap());
        let mut values = [0; 8];
        if slice {
            assert_eq!(consumer.try_recv_slice(&mut values).unwrap() as u64, count);
        } else {
            (0..count).for_each(|value| assert_eq!(consumer.recv().unwrap(), value));
        }
        assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
        inspect(&name.0).unwrap().high_water
    };
    assert_eq!(receive(&mut producer, 3, false), 3);
    assert_eq!(receive(&mut producer, 5, true), 5);
    assert_eq!(receive(&mut producer, 2, false), 5);
}

/// The life word of the next one in the same process holds what that of the last one did: nothing but the clock says
/// when to look. However seldom the producer sends, it looks soon.
#[test]
fn a_producer_that_sends_seldom_is_told_of_an_end_that_no_life_word_shows() {
    let name = Scratch::new("seldom");
    let mut producer = Producer::builder(&name.0).require_peer(true).create().unwrap();
    let consumer = Consumer::open(&name.0).unwrap();
    (0..100).for_each(|_| producer.send(b"message").unwrap());
    drop(consumer);
    let _next = Consumer::open(&name.0).unwrap();
    // Fewer messages than go without a look while they are many in a short time, and one more look.
    let told = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        producer.send(b"message").err()
    });
    assert!(matches!(told, Some(Error::Disconnected(End::Dropped))), "{told:?}");
}

/// A batch that is dropped gives all of its space back, without another receive.
#[test]
fn a_dropped_batch_makes_room() {
    let name = Scratch::new("dropped-batch");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    (0..3).for_each(|number| producer.send(&[number]).unwrap());
    assert!(matches!(producer.try_send(&[9; 24]), Err(Error::Full)));
    let messages = consumer.try_recv_batch(3).unwrap();
    assert!(matches!(producer.try_send(&[9; 24]), Err(Error::Full)), "they are being looked at");
    drop(messages);
    producer.try_send(&[9; 24]).unwrap();
}

/// What was sent of a slice before the ring was removed is said; if nothing was, why.
#[test]
fn a_slice_says_how_far_it_came() {
    let name = Scratch::new("slice");
    let mut sender = TypedSender::<u64>::builder(&name.0).capacity(4).create().unwrap();
    let full = TypedSender::<u64>::open(&name.0).unwrap();
    std::thread::scope(|scope| {
        let slice = scope.spawn(|| (sender.send_slice(&[1, 2, 3, 4, 5, 6]), sender.send_slice(&[7])));
        while full.len().unwrap() < 4 {
            std::thread::yield_now();
        }
        remove_forced(&name.0).unwrap();
        let (some, none) = slice.join().unwrap();
        assert!(matches!(some, Ok(4)), "{some:?}");
        assert!(matches!(none, Err(Error::Detached)), "{none:?}");
    });
}

/// The longest message is as long behind others as it is in the beginning.
#[test]
fn no_message_is_longer_than_the_longest() {
    for over in [0, 1, 8, 16, 100] {
        let name = Scratch::new("longest");
        let mut producer = Producer::builder(&name.0).capacity(256).create().unwrap();
        let longest = producer.max_message();
        producer.send(b"").unwrap();
        let sent = producer.try_send(&vec![7; longest + over]);
        if over == 0 {
            sent.unwrap();
        } else {
            assert!(matches!(sent, Err(Error::TooLarge { max, .. }) if max == longest), "{over}: {sent:?}");
        }
    }
}

/// What a batch added that was leaked is not in the way of what is sent next, by the short path neither.
#[test]
fn a_leaked_batch_sends_nothing_and_hinders_nothing() {
    let name = Scratch::new("leaked-batch");
    let mut producer = Producer::builder(&name.0).capacity(256).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send(b"first").unwrap();
    let mut batch = producer.batch();
    batch.push(b"never sent").unwrap();
    std::mem::forget(batch);
    producer.send(b"second").unwrap();
    for expected in [&b"first"[..], b"second"] {
        assert_eq!(consumer.try_recv().unwrap().to_vec(), expected);
    }
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
}
