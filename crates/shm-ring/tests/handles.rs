//! What each call of each handle answers, between two handles in one process: lengths, tags, limits, deadlines, ends.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_ring::{
    Consumer, Deadline, End, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender, inspect, remove_forced,
};
use std::time::Duration;

fn past() -> Deadline {
    Deadline::now()
}

fn times_out<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::TimedOut))
}

fn bytes(capacity: u64) -> (Scratch, Producer, Consumer) {
    let name = Scratch::new("handles");
    let producer = Producer::builder(&name.0).capacity(capacity).create().unwrap();
    let consumer = Consumer::open(&name.0).unwrap();
    (name, producer, consumer)
}

#[test]
fn a_producer_of_bytes_answers() {
    let (name, mut producer, mut consumer) = bytes(64);
    assert_eq!((producer.capacity(), producer.max_message(), consumer.max_message()), (64, 24, 24));
    let emptiness = |producer: &Producer, consumer: &Consumer| {
        assert_eq!(producer.len().unwrap(), consumer.len().unwrap());
        (producer.len().unwrap(), producer.is_empty().unwrap(), consumer.is_empty().unwrap())
    };
    assert_eq!(emptiness(&producer, &consumer), (0, true, true));
    producer.send_timeout(b"12345678", Duration::ZERO).unwrap();
    producer.send_until(7, b"12345678", past()).unwrap();
    producer.try_send_tagged(8, b"12345678").unwrap();
    assert_eq!(emptiness(&producer, &consumer), (3, false, false));
    assert!(matches!(producer.try_send(b"12345678"), Err(Error::Full)));
    assert!(matches!(producer.try_reserve(8), Err(Error::Full)));
    assert!(times_out(producer.send_until(0, b"12345678", past())));
    assert!(times_out(producer.reserve_timeout(8, Duration::ZERO)));
    producer.count_dropped();
    assert_eq!((inspect(&name.0).unwrap().dropped, inspect(&name.0).unwrap().full_waits), (1, 1));
    let tags = [0, 7, 8].map(|_| {
        let message = consumer.try_recv().unwrap();
        assert_eq!((message.len(), message.is_empty(), message.to_vec().len()), (8, false, 8));
        message.tag()
    });
    assert_eq!(tags, [0, 7, 8]);
    producer.check().unwrap();
    assert!(!consumer.is_closed().unwrap());
    producer.close();
    assert!(consumer.is_closed().unwrap());
}

#[test]
fn a_reservation_of_bytes_answers() {
    let (_name, mut producer, mut consumer) = bytes(64);
    let mut space = producer.reserve_timeout(10, Duration::ZERO).unwrap();
    assert_eq!(space.capacity(), 10);
    space.write_at(4, b"456789").unwrap();
    space.write_at(0, b"0123").unwrap();
    space.write_at(10, b"").unwrap();
    assert!(matches!(space.write_at(4, b"4567890"), Err(Error::TooLarge { length: 11, max: 10 })));
    assert!(matches!(space.write_at(usize::MAX, b"1"), Err(Error::TooLarge { length: usize::MAX, max: 10 })));
    space.set_tag(9);
    space.commit(10).unwrap();
    let space = producer.reserve(0).unwrap();
    assert!(matches!(space.commit(1), Err(Error::TooLarge { length: 1, max: 0 })));
    let message = consumer.try_recv().unwrap();
    assert_eq!((message.tag(), message.to_vec()), (9, b"0123456789".to_vec()));
}

#[test]
fn a_batch_answers() {
    let (_name, mut producer, mut consumer) = bytes(64);
    let mut batch = producer.batch();
    assert_eq!((batch.len(), batch.is_empty()), (0, true));
    batch.push(b"one").unwrap();
    batch.push_tagged(5, b"").unwrap();
    assert_eq!((batch.len(), batch.is_empty()), (2, false));
    assert!(matches!(batch.push(&[0; 25]), Err(Error::TooLarge { length: 25, max: 24 })));
    batch.push(&[1; 24]).unwrap(); // 56 of 64 are used, and the next header is to fit behind it
    assert!(matches!(batch.push(b""), Err(Error::Full)));
    drop(batch);
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
    let mut batch = producer.batch();
    batch.push(b"one").unwrap();
    batch.push_tagged(5, b"").unwrap();
    batch.send().unwrap();
    let messages = consumer.try_recv_batch(9).unwrap();
    assert_eq!((messages.len(), messages.is_empty()), (2, false));
    let found: Vec<_> = messages.iter().map(|view| (view.tag(), view.to_vec(), view.is_empty())).collect();
    assert_eq!(found, [(0, b"one".to_vec(), false), (5, vec![], true)]);
    drop(messages);
    let none = consumer.try_recv_batch(0).unwrap();
    assert_eq!((none.len(), none.is_empty()), (0, true));
    drop(none);
    assert!(times_out(consumer.recv_batch_until(3, past())));
    for _ in 0..3 {
        producer.send(b"x").unwrap();
    }
    assert_eq!(consumer.recv_batch_until(2, past()).unwrap().len(), 2);
    assert_eq!(consumer.recv_batch_until(2, past()).unwrap().len(), 1);
}

#[test]
fn a_consumer_of_bytes_answers() {
    let (_name, mut producer, mut consumer) = bytes(64);
    assert!(times_out(consumer.recv_until(past())) && times_out(consumer.recv_timeout(Duration::ZERO)));
    assert!(times_out(consumer.peek_until(past())));
    assert!(matches!(consumer.try_peek(), Err(Error::Empty)));
    assert!(matches!(consumer.try_recv_into(&mut [0; 9]), Err(Error::Empty)));
    producer.send_tagged(3, b"abcd").unwrap();
    producer.send_tagged(4, b"efgh").unwrap();
    for _ in 0..2 {
        let peek = consumer.try_peek().unwrap();
        assert_eq!((peek.tag(), peek.len(), peek.is_empty(), peek.to_vec()), (3, 4, false, b"abcd".to_vec()));
        let mut part = [b'.'; 3];
        assert_eq!((peek.read_at(2, &mut part), part), (2, *b"cd."));
        assert_eq!((peek.read_at(1, &mut part[..1]), part), (1, *b"bd."));
        assert_eq!((peek.read_at(4, &mut part), peek.read_at(9, &mut part)), (0, 0));
    }
    let mut all = b">".to_vec();
    consumer.peek_until(past()).unwrap().view().append_to(&mut all);
    assert_eq!(all, b">abcd");
    for length in [0, 3] {
        let refused = consumer.try_recv_into(&mut [0; 4][..length]);
        assert!(matches!(refused, Err(Error::BufferTooSmall { length: 4 })));
    }
    let mut exact = [0; 4];
    assert_eq!((consumer.try_recv_into(&mut exact).unwrap(), exact), ((4, 3), *b"abcd"));
    let mut longer = [0; 5];
    assert_eq!((consumer.recv_into(&mut longer).unwrap(), longer), ((4, 4), *b"efgh\0"));
    producer.send(b"taken").unwrap();
    drop(consumer.try_peek().unwrap());
    assert!(!consumer.is_empty().unwrap(), "it was only looked at");
    consumer.try_peek().unwrap().take();
    assert!(consumer.is_empty().unwrap());
    producer.check().unwrap();
    consumer.close();
    assert!(producer.is_closed().unwrap());
}

#[test]
fn looks_at_many_answer() {
    let (_name, mut producer, mut consumer) = bytes(256);
    let mut peeks = consumer.peek_batch();
    assert_eq!((peeks.len(), peeks.is_empty()), (0, true));
    assert!(times_out(peeks.next_until(past())));
    assert!(matches!(peeks.try_next(), Err(Error::Empty)));
    drop(peeks);
    for tag in 0..4 {
        producer.send_tagged(tag, b"x").unwrap();
    }
    let mut peeks = consumer.peek_batch();
    assert_eq!(peeks.next_until(past()).unwrap().tag(), 0);
    assert_eq!(peeks.next_until(past()).unwrap().tag(), 1);
    assert_eq!(peeks.try_next().unwrap().tag(), 2);
    assert_eq!((peeks.len(), peeks.is_empty()), (3, false));
    peeks.take(2);
    assert_eq!((peeks.len(), peeks.is_empty()), (1, false));
    assert_eq!(peeks.try_next().unwrap().tag(), 3);
    assert!(matches!(peeks.try_next(), Err(Error::Empty)));
    assert!(matches!(peeks.next_until(past()), Err(Error::Empty)), "there is something to take");
    peeks.take(0);
    assert_eq!(peeks.len(), 2);
    drop(peeks);
    assert_eq!(consumer.len().unwrap(), 2);
    let mut peeks = consumer.peek_batch();
    assert_eq!(peeks.try_next().unwrap().tag(), 2);
    peeks.take(99);
    assert!(peeks.is_empty());
    drop(peeks);
    assert_eq!(consumer.try_recv().unwrap().tag(), 3);
}

#[test]
fn values_between_two_answer() {
    let name = Scratch::new("handles-typed");
    let mut producer = TypedProducer::<u64>::builder(&name.0).capacity(4).create().unwrap();
    let mut consumer = TypedConsumer::<u64>::open(&name.0).unwrap();
    assert_eq!((producer.capacity(), consumer.capacity()), (4, 4));
    let state = |producer: &TypedProducer<u64>, consumer: &TypedConsumer<u64>| {
        assert_eq!(producer.len().unwrap(), consumer.len().unwrap());
        assert_eq!(producer.is_empty().unwrap(), consumer.is_empty().unwrap());
        (producer.len().unwrap(), producer.is_empty().unwrap())
    };
    assert_eq!(state(&producer, &consumer), (0, true));
    assert!(times_out(consumer.recv_until(past())) && times_out(consumer.recv_timeout(Duration::ZERO)));
    assert!(times_out(consumer.recv_slice_until(&mut [0; 2], past())));
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
    assert!(matches!(consumer.try_recv_slice(&mut [0; 2]), Err(Error::Empty)));
    assert_eq!(consumer.try_recv_slice(&mut []).unwrap(), 0);
    assert_eq!(consumer.recv_slice_until(&mut [], past()).unwrap(), 0);
    producer.send_timeout(&1, Duration::ZERO).unwrap();
    producer.send_until(&2, past()).unwrap();
    assert_eq!(state(&producer, &consumer), (2, false));
    assert_eq!(producer.try_send_slice(&[3, 4, 5]).unwrap(), 2);
    assert_eq!(producer.try_send_slice(&[5]).unwrap(), 0);
    assert!(matches!(producer.try_send(&5), Err(Error::Full)));
    assert!(
        times_out(producer.send_until(&5, past())) && times_out(producer.send_timeout(&5, Duration::ZERO))
    );
    assert_eq!(producer.try_send_slice(&[]).unwrap(), 0);
    producer.send_slice(&[]).unwrap();
    producer.count_dropped();
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.dropped, status.full_waits, status.depth, status.sent), (1, 1, 4, 4));
    let mut values = [0; 3];
    assert_eq!((consumer.recv_slice_until(&mut values, past()).unwrap(), values), (3, [1, 2, 3]));
    assert_eq!((consumer.try_recv_slice(&mut values).unwrap(), values), (1, [4, 2, 3]));
    producer.send_slice(&[6, 7]).unwrap();
    assert_eq!((consumer.try_recv().unwrap(), consumer.recv_until(past()).unwrap()), (6, 7));
    assert!(!producer.is_closed().unwrap());
    consumer.close();
    assert!(producer.is_closed().unwrap());
}

fn crowd(redelivery: bool) -> (Scratch, Sender, Receiver) {
    let name = Scratch::new("handles-mpmc");
    let builder = Sender::builder(&name.0).capacity(4).max_message(16).participants(4);
    let sender = builder.redelivery(redelivery).create().unwrap();
    let receiver = Receiver::open(&name.0).unwrap();
    (name, sender, receiver)
}

#[test]
fn one_of_many_senders_answers() {
    let (name, mut sender, mut receiver) = crowd(false);
    assert_eq!((sender.capacity(), sender.max_message(), receiver.max_message()), (4, 16, 16));
    assert_eq!((sender.len().unwrap(), sender.is_empty().unwrap()), (0, true));
    sender.send_timeout(b"a", Duration::ZERO).unwrap();
    sender.send_until(5, b"b", past()).unwrap();
    sender.send_tagged(6, b"c").unwrap();
    assert!(matches!(sender.try_send(&[0; 17]), Err(Error::TooLarge { length: 17, max: 16 })));
    sender.try_send(&[0; 16]).unwrap();
    assert_eq!((sender.len().unwrap(), sender.is_empty().unwrap()), (4, false));
    assert!(matches!(sender.try_send(b"e"), Err(Error::Full)));
    assert!(times_out(sender.send_until(0, b"e", past())));
    assert!(times_out(sender.send_timeout(b"e", Duration::ZERO)));
    sender.count_dropped();
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.dropped, status.full_waits, status.high_water, status.sent), (1, 1, 4, 4));
    let found = [0; 3].map(|_| {
        let delivery = receiver.try_recv().unwrap();
        assert_eq!((delivery.len(), delivery.is_empty(), delivery.is_redelivered()), (1, false, false));
        (delivery.tag(), delivery.to_vec()[0])
    });
    assert_eq!(found, [(0, b'a'), (5, b'b'), (6, b'c')]);
    assert_eq!(receiver.recv().unwrap().len(), 16);
    assert_eq!(sender.send_batch(&[b"x", b"y", b"z"]).unwrap(), 3);
    assert_eq!(sender.send_batch::<&[u8]>(&[]).unwrap(), 0);
    let too_long: [&[u8]; 2] = [b"ok", &[0; 17]];
    assert_eq!(sender.send_batch(&too_long).unwrap(), 1);
    assert!(matches!(sender.send_batch(&too_long[1..]), Err(Error::TooLarge { length: 17, max: 16 })));
    sender.check().unwrap();
    assert!(!receiver.is_closed().unwrap());
    sender.close();
    assert!(receiver.is_closed().unwrap());
}

#[test]
fn a_block_in_hand_answers() {
    let (_name, mut sender, mut receiver) = crowd(false);
    let mut space = sender.reserve(10).unwrap();
    assert_eq!(space.capacity(), 10);
    space.write_at(4, b"456789").unwrap();
    space.write_at(0, b"0123").unwrap();
    assert!(matches!(space.write_at(4, b"4567890"), Err(Error::TooLarge { length: 11, max: 10 })));
    assert!(matches!(space.write_at(usize::MAX, b"1"), Err(Error::TooLarge { length: usize::MAX, max: 10 })));
    space.set_tag(9);
    let (space, error) = space.try_commit(11).unwrap_err();
    assert!(matches!(error, Error::TooLarge { length: 11, max: 10 }));
    space.try_commit(10).unwrap();
    assert!(matches!(sender.reserve(17), Err(Error::TooLarge { length: 17, max: 16 })));
    sender.reserve(0).unwrap().commit(0).unwrap();
    assert!(matches!(sender.reserve(4).unwrap().commit(5), Err(Error::TooLarge { length: 5, max: 4 })));
    let delivery = receiver.try_recv().unwrap();
    assert_eq!((delivery.tag(), delivery.to_vec()), (9, b"0123456789".to_vec()));
    let mut part = [b'.'; 3];
    assert_eq!((delivery.read_at(8, &mut part), part), (2, *b"89."));
    drop(delivery);
    let empty = receiver.try_recv().unwrap();
    assert_eq!((empty.len(), empty.is_empty()), (0, true));
}

#[test]
fn one_of_many_receivers_answers() {
    let (_name, mut sender, mut receiver) = crowd(false);
    assert!(times_out(receiver.recv_until(past())) && times_out(receiver.recv_timeout(Duration::ZERO)));
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
    assert!(matches!(receiver.try_recv_into(&mut [0; 16]), Err(Error::Empty)));
    assert_eq!(receiver.recv_batch_until(0, past(), |_| panic!("none was asked for")).unwrap(), 0);
    assert!(times_out(receiver.recv_batch_until(1, past(), |_| panic!("there is none"))));
    sender.send_tagged(3, b"abcd").unwrap();
    sender.send_tagged(4, b"").unwrap();
    for length in [0, 3] {
        let refused = receiver.try_recv_into(&mut [0; 4][..length]);
        assert!(matches!(refused, Err(Error::BufferTooSmall { length: 4 })));
    }
    let mut exact = [0; 4];
    assert_eq!((receiver.try_recv_into(&mut exact).unwrap(), exact), ((4, 3), *b"abcd"));
    assert_eq!(receiver.recv_into(&mut []).unwrap(), (0, 4));
    assert_eq!((receiver.len().unwrap(), receiver.is_empty().unwrap()), (0, true));
    for tag in 0..4 {
        sender.send_tagged(tag, b"x").unwrap();
    }
    assert_eq!((receiver.len().unwrap(), receiver.is_empty().unwrap()), (4, false));
    for tags in [vec![0, 1, 2], vec![3]] {
        let mut seen = vec![];
        assert_eq!(receiver.recv_batch_until(3, past(), |view| seen.push(view.tag())).unwrap(), tags.len());
        assert_eq!(seen, tags);
    }
    receiver.close();
    assert!(sender.is_closed().unwrap());
}

#[test]
fn values_between_many_answer() {
    let name = Scratch::new("handles-typed-mpmc");
    let mut sender = TypedSender::<u64>::builder(&name.0).capacity(4).participants(4).create().unwrap();
    let mut receiver = TypedReceiver::<u64>::open(&name.0).unwrap();
    assert_eq!((sender.capacity(), receiver.capacity()), (4, 4));
    assert_eq!((sender.len().unwrap(), sender.is_empty().unwrap()), (0, true));
    assert!(times_out(receiver.recv_until(past())) && times_out(receiver.recv_timeout(Duration::ZERO)));
    assert!(times_out(receiver.recv_slice_until(&mut [0; 2], past())));
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
    assert_eq!(receiver.recv_slice_until(&mut [], past()).unwrap(), 0);
    sender.send_timeout(&1, Duration::ZERO).unwrap();
    sender.send_until(&2, past()).unwrap();
    assert_eq!(sender.send_slice(&[3, 4]).unwrap(), 2);
    assert_eq!(sender.send_slice(&[]).unwrap(), 0);
    assert!(matches!(sender.try_send(&5), Err(Error::Full)));
    assert!(times_out(sender.send_until(&5, past())) && times_out(sender.send_timeout(&5, Duration::ZERO)));
    sender.count_dropped();
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.dropped, status.full_waits, status.depth, status.sent), (1, 1, 4, 4));
    assert_eq!((sender.len().unwrap(), sender.is_empty().unwrap()), (4, false));
    assert_eq!((receiver.len().unwrap(), receiver.is_empty().unwrap()), (4, false));
    let mut values = [0; 3];
    assert_eq!((receiver.recv_slice_until(&mut values, past()).unwrap(), values), (3, [1, 2, 3]));
    assert_eq!((receiver.recv_slice_until(&mut values, past()).unwrap(), values), (1, [4, 2, 3]));
    assert!(!receiver.was_redelivered());
    assert_eq!((receiver.len().unwrap(), receiver.is_empty().unwrap()), (0, true));
    sender.check().unwrap();
    let mut clone = receiver.try_clone().unwrap();
    sender.send(&9).unwrap();
    assert_eq!(clone.recv().unwrap(), 9);
    drop(clone);
    receiver.close();
    assert!(sender.is_closed().unwrap());
}

/// Iteration over a stream that was closed ends; over one that was not, it ends with the reason. Both once.
#[test]
fn iterations_end_as_their_streams_do() {
    for closing in [true, false] {
        macro_rules! ends {
            ($sender:ty, $receiver:ty, $message:expr) => {{
                let name = Scratch::new("handles-end");
                let mut sender = <$sender>::create(&name.0).unwrap();
                let mut receiver = <$receiver>::open(&name.0).unwrap();
                sender.send($message).unwrap();
                if closing {
                    sender.close()
                } else {
                    drop(sender)
                }
                let mut messages = receiver.iter();
                assert!(messages.next().unwrap().is_ok());
                let end = messages.next();
                let dropped = matches!(end, Some(Err(Error::Disconnected(End::Dropped))));
                assert_eq!((end.is_none(), dropped), (closing, !closing), "{}", stringify!($receiver));
                assert!(messages.next().is_none());
            }};
        }
        ends!(Producer, Consumer, b"x");
        ends!(Sender, Receiver, b"x");
        ends!(TypedProducer<u64>, TypedConsumer<u64>, &1);
        ends!(TypedSender<u64>, TypedReceiver<u64>, &1);
    }
}

/// Whoever asked to be told is told whether receivers closed; and everybody, that the ring was removed.
#[test]
fn checks_tell_how_the_other_side_ended() {
    macro_rules! ends {
        ($sender:ty, $receiver:ty) => {{
            for closing in [true, false] {
                let name = Scratch::new("handles-check");
                let mut sender = <$sender>::builder(&name.0).require_peer(true).create().unwrap();
                let receiver = <$receiver>::open(&name.0).unwrap();
                sender.check().unwrap();
                if closing { receiver.close() } else { drop(receiver) }
                let expected = if closing { End::Closed } else { End::Dropped };
                let end = sender.check();
                assert!(matches!(end, Err(Error::Disconnected(end)) if end == expected), "{end:?}");
                sender.check().unwrap();
                remove_forced(&name.0).unwrap();
                assert!(matches!(sender.check(), Err(Error::Detached)));
            }
        }};
    }
    ends!(Producer, Consumer);
    ends!(Sender, Receiver);
    ends!(TypedProducer<u64>, TypedConsumer<u64>);
    ends!(TypedSender<u64>, TypedReceiver<u64>);
}

/// A look that was leaked is no message received: the ring is not empty.
#[test]
fn a_leaked_look_hides_no_message() {
    let name = Scratch::new("handles-leaked");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send(b"message").unwrap();
    std::mem::forget(consumer.try_peek().unwrap());
    assert!(!consumer.is_empty().unwrap());
    assert_eq!(consumer.try_recv().unwrap().to_vec(), b"message");
    assert!(consumer.is_empty().unwrap());
}
