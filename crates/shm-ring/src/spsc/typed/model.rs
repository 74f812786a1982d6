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
        let plainly = matches!(values[..], [value] if writer.send_plainly(&value));
        if !plainly && writer.send(&values).unwrap() == 0 {
            yield_now();
        }
    }
}

fn receive(reader: &mut Reader<u64>) -> u64 {
    loop {
        if let Some(value) = reader.receive_plainly().or_else(|| reader.receive_one().unwrap()) {
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

/// Sits down as the producer, if the seat is free, and sends one value if there is space.
fn produce_in(parts: &Parts, object: usize, slots: u64) {
    let Some(seat) = claim_seat(parts, object, Role::Producer) else { return };
    let mut writer = Writer::resume(parts, slots).unwrap();
    seat.sit(Start { position: writer.sent(), count: writer.sent() });
    let value = writer.sent();
    writer.send(&[value]).unwrap();
}

/// Sits down as the consumer, if the seat is free, and receives what is there and was not yet handed out.
fn consume(parts: &Parts, object: usize) {
    let Some(_seat) = claim_seat(parts, object, Role::Consumer) else { return };
    let mut reader = Reader::<u64>::resume(parts, 1).unwrap();
    loop {
        let expected = reader.received();
        match reader.receive_one().unwrap() {
            Some(value) => assert_eq!(value, expected),
            None => break,
        }
    }
}

fn produce(parts: &Parts, object: usize) {
    (0..2).for_each(|_| produce_in(parts, object, 1));
}

/// One is killed before a store, and another one may take its seat over as soon as it is free, while the other side
/// works. Nobody waits.
fn takeover(stores: usize, mortal: fn(&Parts, usize), other: fn(&Parts, usize)) {
    let _locks = spsc_locks();
    let parts = Arc::new(spsc_parts(8));
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
    consume(&parts, 3);
}

#[test]
fn a_producers_successor_goes_on() {
    for stores in [6, 7, 8] {
        explore(&format!("typed, a producer killed after {stores} stores"), 1, move || {
            takeover(stores, produce, consume);
        });
    }
}

#[test]
fn a_consumers_successor_goes_on() {
    for stores in [1, 2] {
        explore(&format!("typed, a consumer killed after {stores} stores"), 1, move || {
            takeover(stores, consume, produce);
        });
    }
}

/// The end of a tenure is not passed before it is seen: the border stands where the next one began.
#[test]
fn a_border_stands_between_two_tenures() {
    explore("typed, a border", 3, || {
        let _locks = spsc_locks();
        let parts = Arc::new(spsc_parts(32));
        let mut reader = Reader::<u64>::resume(&parts, 4).unwrap();
        produce_in(&parts, 0, 4);
        kernel::close(&descriptors()[0]);
        assert_eq!(reader.at_border().unwrap(), Some(1));
        reader.enter(1);
        let theirs = parts.clone();
        let successor = thread::spawn(move || {
            produce_in(&theirs, 1, 4);
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
