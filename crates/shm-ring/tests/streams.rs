//! When streams begin and end, and who is told, in one process; deaths need processes of their own.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_ring::{
    Consumer, End, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender,
};
use std::cell::Cell;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(1);

fn told(result: Result<shm_ring::Message<'_>, Error>) -> End {
    match result {
        Err(Error::Disconnected(end)) => end,
        Ok(message) => panic!("a message: {:?}", message.to_vec()),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_closed_stream_is_drained_and_then_told_once() {
    let name = Scratch::new("closed");
    let mut consumer = Consumer::create(&name.0).unwrap();
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::TimedOut)), "nobody has come yet");
    let mut producer = Producer::open(&name.0).unwrap();
    producer.send(b"last").unwrap();
    producer.close();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"last");
    assert_eq!(told(consumer.recv()), End::Closed);
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::TimedOut)), "told once");
    assert!(consumer.is_closed().unwrap());
}

#[test]
fn a_dropped_producer_did_not_close() {
    let name = Scratch::new("dropped");
    let mut consumer = Consumer::create(&name.0).unwrap();
    drop(Producer::open(&name.0).unwrap());
    assert_eq!(told(consumer.recv()), End::Dropped);
}

#[test]
fn an_end_that_nobody_was_told_is_told_to_the_next_consumer() {
    let name = Scratch::new("next");
    let mut producer = Producer::create(&name.0).unwrap();
    producer.send(b"a").unwrap();
    producer.close();
    let mut first = Consumer::open(&name.0).unwrap();
    assert_eq!(first.recv().unwrap().to_vec(), b"a");
    drop(first); // leaves before it is told
    let mut second = Consumer::open(&name.0).unwrap();
    assert_eq!(told(second.recv()), End::Closed);
    drop(second);
    let mut third = Consumer::open(&name.0).unwrap();
    assert!(
        matches!(third.recv_timeout(SOON), Err(Error::TimedOut)),
        "waits for the next sender, as a FIFO does"
    );
    drop(Producer::open(&name.0).unwrap());
    assert_eq!(told(third.recv()), End::Dropped);
}

#[test]
fn a_consumer_that_is_there_is_told_between_two_streams() {
    let name = Scratch::new("between");
    let mut consumer = Consumer::create(&name.0).unwrap();
    for (message, closing) in [(b"1", true), (b"2", false)] {
        let mut producer = Producer::open(&name.0).unwrap();
        producer.send(message).unwrap();
        if closing { producer.close() } else { drop(producer) }
    }
    let mut producer = Producer::open(&name.0).unwrap();
    producer.send(b"3").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"1");
    assert_eq!(told(consumer.recv()), End::Closed);
    assert_eq!(consumer.recv().unwrap().to_vec(), b"2");
    assert_eq!(told(consumer.recv()), End::Dropped);
    assert_eq!(consumer.recv().unwrap().to_vec(), b"3");
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::TimedOut)));
}

#[test]
fn a_consumer_that_comes_later_reads_through_and_is_told_the_worst() {
    let name = Scratch::new("later");
    let mut producer = Producer::create(&name.0).unwrap();
    producer.send(b"1").unwrap();
    drop(producer);
    let mut producer = Producer::open(&name.0).unwrap();
    producer.send(b"2").unwrap();
    producer.close();
    let mut consumer = Consumer::open(&name.0).unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"1");
    assert_eq!(consumer.recv().unwrap().to_vec(), b"2");
    assert_eq!(told(consumer.recv()), End::Dropped);
}

#[test]
fn a_silent_stream_between_two_others_is_told_too() {
    let name = Scratch::new("silent");
    let mut consumer = Consumer::create(&name.0).unwrap();
    drop(Producer::open(&name.0).unwrap());
    let mut producer = Producer::open(&name.0).unwrap();
    assert_eq!(told(consumer.recv()), End::Dropped);
    producer.send(b"x").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"x");
    producer.close();
    assert_eq!(told(consumer.recv()), End::Closed);
}

#[test]
fn typed_streams_end_as_streams_of_bytes_do() {
    let name = Scratch::new("typed");
    let mut consumer = TypedConsumer::<u64>::create(&name.0).unwrap();
    for value in [1, 2] {
        let mut producer = TypedProducer::<u64>::open(&name.0).unwrap();
        producer.send_slice(&[value, value * 10]).unwrap();
        producer.close();
    }
    let mut producer = TypedProducer::<u64>::open(&name.0).unwrap();
    producer.send(&3).unwrap();
    // The first border was passed over by the second: both ends are told at the second.
    assert_eq!([consumer.recv().unwrap(), consumer.recv().unwrap()], [1, 10]);
    let mut values = [0; 8];
    assert_eq!(consumer.try_recv_slice(&mut values).unwrap(), 2);
    assert_eq!(values[..2], [2, 20]);
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Closed))));
    assert_eq!(consumer.recv().unwrap(), 3);
    drop(producer);
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Dropped))));
    assert!(matches!(consumer.recv_timeout(SOON), Err(Error::TimedOut)));
}

#[test]
fn iteration_ends_with_the_stream() {
    let name = Scratch::new("iterate");
    let mut producer = Producer::create(&name.0).unwrap();
    for tag in 0..3 {
        producer.send_tagged(tag, b"x").unwrap();
    }
    producer.close();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let tags: Vec<_> = consumer.iter().map(|message| message.unwrap().tag).collect();
    assert_eq!(tags, [0, 1, 2]);
    drop(Producer::open(&name.0).unwrap());
    assert!(matches!(consumer.iter().collect::<Vec<_>>()[..], [Err(Error::Disconnected(End::Dropped))]));
}

#[test]
fn a_producer_is_told_of_its_consumers_end_only_if_it_asks() {
    let name = Scratch::new("require");
    let mut producer = Producer::builder(&name.0).capacity(32).require_peer(true).create().unwrap();
    producer.send(b"x").unwrap();
    assert!(matches!(producer.send_timeout(&[0; 8], SOON), Err(Error::TimedOut)), "no consumer has come yet");
    let consumer = Consumer::open(&name.0).unwrap();
    consumer.close();
    assert!(matches!(producer.send(&[0; 8]), Err(Error::Disconnected(End::Closed))));
    assert!(matches!(producer.send_timeout(&[0; 8], SOON), Err(Error::TimedOut)), "told once");
    drop(producer);
    let mut producer = Producer::open(&name.0).unwrap();
    assert!(matches!(producer.send_timeout(&[0; 8], SOON), Err(Error::TimedOut)), "waits for the next");
}

#[test]
fn a_removed_ring_is_drained_and_then_detached() {
    let name = Scratch::new("removed");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    producer.send(b"x").unwrap();
    assert!(matches!(shm_ring::remove(&name.0), Err(Error::InUse(who)) if who.len() == 2));
    shm_ring::remove_forced(&name.0).unwrap();
    assert!(matches!(producer.send(b"y"), Err(Error::Detached)));
    assert_eq!(consumer.recv().unwrap().to_vec(), b"x");
    assert!(matches!(consumer.recv(), Err(Error::Detached)));
    assert!(matches!(Consumer::open(&name.0), Err(error) if error.is_not_found()));
    assert!(Producer::create(&name.0).is_ok(), "the name is free");
}

#[test]
fn a_sleeper_is_woken_by_a_removal() {
    let name = Scratch::new("sleeper");
    let mut consumer = Consumer::create(&name.0).unwrap();
    let sleeper = std::thread::spawn(move || matches!(consumer.recv(), Err(Error::Detached)));
    shm_ring::remove_forced(&name.0).unwrap();
    assert!(sleeper.join().unwrap());
}

#[test]
fn alone_at_a_ring_without_a_name_is_detached() {
    let name = Scratch::new("alone");
    let mut consumer = Consumer::create(&name.0).unwrap();
    name.take_away().unwrap();
    assert!(matches!(consumer.recv(), Err(Error::Detached)));
}

#[test]
fn together_at_a_ring_without_a_name_all_goes_on() {
    let name = Scratch::new("together");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    name.take_away().unwrap();
    assert!(matches!(consumer.recv_timeout(Duration::from_millis(250)), Err(Error::TimedOut)));
    producer.send(b"x").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"x");
}

/// Where nobody of the other side was ever there, nobody has gone.
#[test]
fn who_never_came_has_not_gone() {
    macro_rules! waits {
        ($($handle:ty),*) => {$(
            let name = Scratch::new("first");
            assert!(!<$handle>::create(&name.0).unwrap().is_closed().unwrap(), "{}", stringify!($handle));
        )*};
    }
    waits!(Producer, Consumer, TypedProducer<u64>, TypedConsumer<u64>);
    waits!(Sender, Receiver, TypedSender<u64>, TypedReceiver<u64>);
}

/// As between two: whoever is alone at a ring that lost its name is told, and not as long as others are there.
#[test]
fn alone_or_together_at_a_ring_of_many_without_a_name() {
    let name = Scratch::new("alone-many");
    let mut receiver = Receiver::builder(&name.0).participants(2).create().unwrap();
    let mut sender = Sender::open(&name.0).unwrap();
    name.take_away().unwrap();
    assert!(matches!(receiver.recv_timeout(Duration::from_millis(250)), Err(Error::TimedOut)));
    sender.send(b"x").unwrap();
    assert_eq!(receiver.recv().unwrap().to_vec(), b"x");
    drop(sender);
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Dropped))));
    assert!(matches!(receiver.recv(), Err(Error::Detached)));
}

/// Whoever sends and asked to be told of ends is told of this one, by calls that do not wait as well, and by a check.
#[test]
fn alone_without_a_name_is_told_whoever_tries_or_asks() {
    macro_rules! told {
        ($handle:ty, $value:expr) => {
            for require_peer in [true, false] {
                let name = Scratch::new("alone-trying");
                let builder = <$handle>::builder(&name.0).capacity(32).require_peer(require_peer);
                let mut sender = builder.create().unwrap();
                while sender.try_send($value).is_ok() {}
                sender.check().unwrap();
                name.take_away().unwrap();
                // So rarely that each call looks at the clock.
                let begun = Instant::now();
                let answer = loop {
                    std::thread::sleep(Duration::from_millis(10));
                    match sender.try_send($value) {
                        Err(Error::Full) if begun.elapsed() < common::FUSE => {}
                        answer => break answer,
                    }
                };
                let what = (stringify!($handle), require_peer);
                assert!(matches!(answer, Err(Error::Detached)), "{what:?}: {answer:?}");
                assert!(matches!(sender.check(), Err(Error::Detached)), "{what:?}");
            }
        };
    }
    told!(Producer, b"x");
    told!(Sender, b"x");
    told!(TypedProducer<u64>, &1);
    told!(TypedSender<u64>, &1);
}

/// Who is told how many of several were sent is told by the next call that there are no receivers any more.
#[test]
fn an_end_that_cuts_a_batch_short_is_told_by_the_next_call() {
    macro_rules! told {
        ($sender:ty, $receiver:ty, $send:ident, $value:expr, $values:expr) => {
            let name = Scratch::new("cut-short");
            let builder = <$sender>::builder(&name.0).capacity(4).require_peer(true);
            let (mut sender, watcher) = (builder.create().unwrap(), <$sender>::open(&name.0).unwrap());
            let receiver = <$receiver>::open(&name.0).unwrap();
            std::thread::scope(|scope| {
                let sending = scope.spawn(|| sender.$send(&$values));
                while watcher.len().unwrap() < 4 {
                    std::thread::yield_now();
                }
                drop(receiver);
                assert!(matches!(sending.join().unwrap(), Ok(4)));
            });
            let next = sender.try_send($value);
            assert!(matches!(next, Err(Error::Disconnected(End::Dropped))), "{next:?}");
            assert!(matches!(sender.try_send($value), Err(Error::Full)), "once");
        };
    }
    told!(Sender, Receiver, send_batch, b"x", [b"x"; 6]);
    told!(TypedSender<u64>, TypedReceiver<u64>, send_slice, &7, [7; 6]);
}

/// The same where there is space: the sender learned of the end because it was time to ask.
#[test]
fn an_end_that_is_found_between_messages_is_told_by_the_next_call() {
    struct Slow<'a>(&'a Cell<Option<Receiver>>, bool);
    impl AsRef<[u8]> for Slow<'_> {
        fn as_ref(&self) -> &[u8] {
            if self.1 {
                self.0.take();
                std::thread::sleep(Duration::from_millis(120)); // more than a slice
            }
            b"x"
        }
    }
    let name = Scratch::new("cut-between");
    let mut sender = Sender::builder(&name.0).capacity(64).require_peer(true).create().unwrap();
    let receiver = Cell::new(Some(Receiver::open(&name.0).unwrap()));
    // The first few calls may go without a look at the clock.
    let messages: Vec<_> = (0..20).map(|index| Slow(&receiver, index > 0)).collect();
    let sent = sender.send_batch(&messages).unwrap();
    assert!((1..20).contains(&sent), "{sent}");
    assert!(matches!(sender.try_send(b"x"), Err(Error::Disconnected(End::Dropped))));
    sender.try_send(b"x").unwrap();
}
