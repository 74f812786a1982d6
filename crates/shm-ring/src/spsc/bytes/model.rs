//! Byte messages at the smallest capacity, explored by loom.

use super::{Reader, Writer, walk};
use crate::error::{Error, Role};
use crate::layout::spsc::{Parts, TAIL_OFFSET};
use crate::ledger;
use crate::model::{claim_seat, descriptors, explore, spsc_locks, spsc_parts};
use crate::seat::Start;
use loom::thread;
use shm_core::model::{kernel, mortal};
use shm_core::sync::yield_now;
use std::sync::Arc;

const CAPACITY: usize = 32;

/// Stages a message; waits for space.
fn stage(writer: &mut Writer, message: &[u8]) {
    loop {
        match writer.reserve(message.len()) {
            Ok(reserved) => {
                writer.fill(&reserved, 0, message).unwrap();
                return writer.stage(&reserved, message.len(), 0).unwrap();
            }
            Err(Error::Full) => yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn send(writer: &mut Writer, message: &[u8]) {
    if !writer.send_plainly(message, 0) {
        stage(writer, message);
        writer.publish().unwrap();
    }
}

fn try_receive(reader: &mut Reader) -> Option<Vec<u8>> {
    let record = reader.glance().or_else(|| reader.peek().unwrap())?;
    reader.accept(&record);
    reader.take(record.end(), 1);
    let mut payload = vec![0; usize::try_from(record.length()).unwrap()];
    reader.data().copy_out(reader.payload_offset(&record), &mut payload).unwrap();
    reader.release();
    Some(payload)
}

fn receive(reader: &mut Reader) -> Vec<u8> {
    loop {
        if let Some(message) = try_receive(reader) {
            return message;
        }
        yield_now();
    }
}

fn stream(name: &str, preemptions: usize, messages: &'static [&'static [u8]]) {
    explore(name, preemptions, move || {
        let parts = Arc::new(spsc_parts(CAPACITY));
        let theirs = parts.clone();
        let producer = thread::spawn(move || {
            let mut writer = Writer::resume(&theirs, 1).unwrap();
            messages.iter().for_each(|message| send(&mut writer, message));
        });
        let mut reader = Reader::resume(&parts).unwrap();
        for message in messages {
            assert_eq!(receive(&mut reader), *message);
        }
        assert_eq!(try_receive(&mut reader), None);
        producer.join().unwrap();
    });
}

/// Three laps of half a ring each: every one waits for space.
#[test]
fn messages_arrive_in_order_around_the_end() {
    stream("bytes, around the end", 2, &[b"message0", b"message1", b"message2"]);
}

/// An empty message, then one that needs a pad.
#[test]
fn messages_arrive_behind_a_pad() {
    stream("bytes, a pad", 2, &[b"message0", b"", b"message2"]);
}

/// A pad, two messages and the zero behind them become visible at once.
#[test]
fn a_batch_arrives_whole() {
    explore("bytes, a batch", 2, || {
        let parts = Arc::new(spsc_parts(64));
        let theirs = parts.clone();
        let producer = thread::spawn(move || {
            let mut writer = Writer::resume(&theirs, 1).unwrap();
            send(&mut writer, &[1; 24]);
            send(&mut writer, &[2; 8]);
            stage(&mut writer, &[3; 24]); // behind a pad
            stage(&mut writer, &[]);
            writer.publish().unwrap();
        });
        let mut reader = Reader::resume(&parts).unwrap();
        assert_eq!([receive(&mut reader), receive(&mut reader)], [vec![1; 24], vec![2; 8]]);
        assert_eq!(receive(&mut reader), [3; 24]);
        assert_eq!(try_receive(&mut reader), Some(vec![]));
        producer.join().unwrap();
    });
}

/// Somebody who takes no part walks the headers while the producer publishes in memory that was used before. (The
/// consumer has gone, and has given back all: this is not about space.)
#[test]
fn a_walk_finds_whole_publications() {
    explore("bytes, a walk", 3, || {
        let parts = Arc::new(spsc_parts(CAPACITY));
        let mut writer = Writer::resume(&parts, 1).unwrap();
        let mut reader = Reader::resume(&parts).unwrap();
        for _ in 0..2 {
            send(&mut writer, b"message");
            receive(&mut reader);
        }
        let theirs = parts.clone();
        let producer = thread::spawn(move || {
            let mut writer = Writer::resume(&theirs, 1).unwrap();
            stage(&mut writer, b"");
            stage(&mut writer, b"");
            writer.publish().unwrap();
        });
        let tail = ledger::read(&parts.producer, TAIL_OFFSET).unwrap();
        let walked = walk(&parts.data.words().unwrap(), tail.position, CAPACITY as u64).unwrap();
        assert!([2, 4].contains(&(tail.count + walked.1)), "{tail:?} {walked:?}");
        producer.join().unwrap();
    });
}

const MESSAGES: [&[u8]; 4] = [b"message0", b"", b"message2", b"message3"];

/// Sits down as the producer, if the seat is free, and sends what is not yet sent while there is space.
fn produce(parts: &Parts, object: usize) {
    let Some(seat) = claim_seat(parts, object, Role::Producer) else { return };
    let mut writer = Writer::resume(parts, seat.number()).unwrap();
    seat.sit(Start { position: writer.position(), count: writer.sent() });
    while let Some(message) = MESSAGES.get(usize::try_from(writer.sent()).unwrap()) {
        let Ok(reserved) = writer.reserve(message.len()) else { break };
        writer.fill(&reserved, 0, message).unwrap();
        writer.stage(&reserved, message.len(), 0).unwrap();
        writer.publish().unwrap();
    }
}

/// Sits down as the consumer, if the seat is free, and receives what is there and was not yet handed out.
fn consume(parts: &Parts, object: usize) {
    let Some(_seat) = claim_seat(parts, object, Role::Consumer) else { return };
    let mut reader = Reader::resume(parts).unwrap();
    loop {
        let expected = usize::try_from(reader.received()).unwrap();
        let Some(message) = try_receive(&mut reader) else { break };
        assert_eq!(message, MESSAGES[expected]);
    }
}

/// One is killed before a store, and another one may take its seat over as soon as it is free, while the other side
/// works. Nobody waits; in the end, all that is still to be done is done.
fn takeover(stores: usize, mortal: fn(&Parts, usize), other: fn(&Parts, usize)) {
    let _locks = spsc_locks();
    let parts = Arc::new(spsc_parts(CAPACITY));
    let theirs = parts.clone();
    let first = thread::spawn(move || {
        mortal::run(stores, || mortal(&theirs, 0));
        kernel::close(&descriptors()[0]);
    });
    let theirs = parts.clone();
    let second = thread::spawn(move || {
        mortal(&theirs, 1);
        kernel::close(&descriptors()[1]);
    });
    other(&parts, 2);
    first.join().unwrap();
    second.join().unwrap();
    kernel::close(&descriptors()[2]);
    for _ in 0..MESSAGES.len() {
        produce(&parts, 3);
        consume(&parts, 3);
        kernel::close(&descriptors()[3]);
    }
    assert_eq!(Reader::resume(&parts).unwrap().received(), MESSAGES.len() as u64);
}

#[test]
fn a_producers_successor_goes_on() {
    for stores in [9, 11, 13, 14] {
        explore(&format!("bytes, a producer killed after {stores} stores"), 1, move || {
            takeover(stores, produce, consume);
        });
    }
}

/// The next consumer goes on behind what the dead one had in hand, and the producer writes over nothing that the dead
/// one still read.
#[test]
fn a_consumers_successor_goes_on() {
    for stores in [2, 3, 4] {
        explore(&format!("bytes, a consumer killed after {stores} stores"), 1, move || {
            takeover(stores, consume, produce);
        });
    }
}

/// A successor that does nothing but come gives back what the dead one had read, and not before it had.
#[test]
fn what_a_dead_consumer_read_is_given_back() {
    explore("bytes, given back", 3, || {
        let _locks = spsc_locks();
        let parts = Arc::new(spsc_parts(64));
        let mut writer = Writer::resume(&parts, 1).unwrap();
        send(&mut writer, &[0; 24]);
        let theirs = parts.clone();
        let consumers = thread::spawn(move || {
            // Before its second store of `head`.
            assert!(mortal::run(4, || assert_eq!(try_receive_as(&theirs, 0), Some(vec![0; 24]))));
            kernel::close(&descriptors()[0]);
            let _seat = claim_seat(&theirs, 1, Role::Consumer).unwrap();
            assert_eq!(Reader::resume(&theirs).unwrap().received(), 1);
        });
        // The other half of the ring, then what the dead one read: filled and not sent, so that it finds but the first.
        if writer.reserve(24).is_ok_and(|reserved| writer.stage(&reserved, 24, 0).is_ok()) {
            let reserved = writer.reserve(16).unwrap();
            writer.fill(&reserved, 0, &[2; 16]).unwrap();
        }
        consumers.join().unwrap();
    });
}

/// Sits down as the consumer and receives a message, if there is one.
fn try_receive_as(parts: &Parts, object: usize) -> Option<Vec<u8>> {
    let _seat = claim_seat(parts, object, Role::Consumer).unwrap();
    try_receive(&mut Reader::resume(parts).unwrap())
}
