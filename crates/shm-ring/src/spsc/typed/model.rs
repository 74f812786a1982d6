//! Typed slots at small capacities, explored by loom.

use super::{Reader, Writer};
use crate::error::Role;
use crate::layout::spsc::Parts;
use crate::model::{claim_seat, descriptors, explore, spsc_locks, spsc_parts};
use crate::seat::Start;
use loom::thread;
use shm_core::model::{kernel, mortal};
use shm_core::sync::yield_now;
use std::sync::Arc;

/// Sends values from the first that was not sent on, each its own number.
fn send_up_to(writer: &mut Writer<u64>, end: u64, batch: usize) {
    while writer.sent() < end {
        let values: Vec<u64> = (writer.sent()..end).take(batch).collect();
        if writer.send(&values).unwrap() == 0 {
            yield_now();
        }
    }
}

fn receive(reader: &mut Reader<u64>) -> u64 {
    loop {
        if let Some(value) = reader.receive_one().unwrap() {
            return value;
        }
        yield_now();
    }
}

fn stream(name: &str, slots: u64, batch: usize) {
    explore(name, 3, move || {
        let parts = Arc::new(spsc_parts(usize::try_from(slots).unwrap() * 8));
        let theirs = parts.clone();
        let producer =
            thread::spawn(move || send_up_to(&mut Writer::resume(&theirs, slots).unwrap(), 4, batch));
        let mut reader = Reader::<u64>::resume(&parts, slots).unwrap();
        for expected in 0..4 {
            assert_eq!(receive(&mut reader), expected);
        }
        assert_eq!(reader.receive_one().unwrap(), None);
        producer.join().unwrap();
    });
}

#[test]
fn values_arrive_in_order_through_one_slot() {
    stream("typed, one slot", 1, 1);
}

#[test]
fn batches_arrive_in_order_through_two_slots() {
    stream("typed, batches", 2, 2);
}

/// Sits down as the producer, when the seat is free, and sends up to value number `end`.
fn produce(parts: &Parts, object: usize, end: u64) {
    let seat = claim_seat(parts, object, Role::Producer);
    let mut writer = Writer::resume(parts, 1).unwrap();
    seat.sit(Start { position: writer.sent(), count: writer.sent() });
    send_up_to(&mut writer, end, 1);
    kernel::close(&descriptors()[object]);
}

/// The producer is killed before any of its stores; the next one goes on.
#[test]
fn a_producers_successor_goes_on() {
    for stores in 0..10 {
        explore(&format!("typed, a producer killed after {stores} stores"), 2, move || {
            let _locks = spsc_locks();
            let parts = Arc::new(spsc_parts(8));
            let theirs = parts.clone();
            let producer = thread::spawn(move || {
                mortal::run(stores, || produce(&theirs, 0, 2));
                kernel::close(&descriptors()[0]);
            });
            let theirs = parts.clone();
            let successor = thread::spawn(move || produce(&theirs, 1, 2));
            let mut reader = Reader::<u64>::resume(&parts, 1).unwrap();
            // A newer tenure is entered when all of the one before it is received.
            let mut received = 0;
            while received < 2 {
                match reader.receive_one().unwrap() {
                    Some(value) => {
                        assert_eq!(value, received);
                        received += 1;
                    }
                    None => match reader.at_border().unwrap() {
                        Some(number) => reader.enter(number),
                        None => yield_now(),
                    },
                }
            }
            producer.join().unwrap();
            successor.join().unwrap();
        });
    }
}

/// The end of a tenure is not passed before it is seen: the border stands where the next one began.
#[test]
fn a_border_stands_between_two_tenures() {
    explore("typed, a border", 3, || {
        let _locks = spsc_locks();
        let parts = Arc::new(spsc_parts(32));
        produce(&parts, 0, 1);
        let mut reader = Reader::<u64>::resume(&parts, 4).unwrap();
        let theirs = parts.clone();
        let successor = thread::spawn(move || {
            let seat = claim_seat(&theirs, 1, Role::Producer);
            let mut writer = Writer::resume(&theirs, 4).unwrap();
            seat.sit(Start { position: writer.sent(), count: writer.sent() });
            send_up_to(&mut writer, 2, 1);
        });
        // The first tenure's value comes before its border, and the second's after it.
        let mut values = Vec::new();
        while values.len() < 2 {
            if let Some(number) = reader.at_border().unwrap() {
                assert_eq!((number, values.as_slice()), (2, &[0][..]));
                reader.enter(number);
            }
            let behind_border = reader.entered == 2;
            match reader.receive_one().unwrap() {
                Some(value) => {
                    assert_eq!(value, values.len() as u64);
                    assert!(value == 0 || behind_border, "a value of a tenure that was not entered");
                    values.push(value);
                }
                None => yield_now(),
            }
        }
        successor.join().unwrap();
    });
}

/// The consumer is killed before any of its stores; the next one goes on.
#[test]
fn a_consumers_successor_goes_on() {
    fn consume(parts: &Parts, object: usize) {
        let _seat = claim_seat(parts, object, Role::Consumer);
        let mut reader = Reader::<u64>::resume(parts, 1).unwrap();
        while reader.received() < 3 {
            let expected = reader.received();
            assert_eq!(receive(&mut reader), expected);
        }
        kernel::close(&descriptors()[object]);
    }
    for stores in 0..5 {
        explore(&format!("typed, a consumer killed after {stores} stores"), 2, move || {
            let _locks = spsc_locks();
            let parts = Arc::new(spsc_parts(8));
            let theirs = parts.clone();
            let consumer = thread::spawn(move || {
                mortal::run(stores, || consume(&theirs, 0));
                kernel::close(&descriptors()[0]);
            });
            let theirs = parts.clone();
            let successor = thread::spawn(move || consume(&theirs, 1));
            send_up_to(&mut Writer::resume(&parts, 1).unwrap(), 3, 1);
            consumer.join().unwrap();
            successor.join().unwrap();
        });
    }
}
