//! What one side makes of each word of the other: the words are set, nobody else is there.

use super::*;
use crate::layout::TENURE_JOINED;
use crate::layout::spsc::{CONSUMER_REGION_BYTES, PRODUCER_REGION_BYTES};
use shm_core::Region;

const CAPACITY: u64 = 4;
const DATA_BYTES: usize = 32;

fn parts() -> Parts {
    Parts {
        producer: Region::on_heap(PRODUCER_REGION_BYTES).unwrap(),
        consumer: Region::on_heap(CONSUMER_REGION_BYTES).unwrap(),
        data: Region::on_heap(DATA_BYTES).unwrap(),
    }
}

fn writer(parts: &Parts) -> Result<Writer<u64>> {
    Writer::resume(parts, CAPACITY)
}

fn reader(parts: &Parts) -> Result<Reader<u64>> {
    Reader::resume(parts, CAPACITY)
}

fn set_indices(parts: &Parts, head: u64, tail: u64) {
    parts.consumer.write_value(HEAD_OFFSET, &head).unwrap();
    parts.producer.write_value(TAIL_OFFSET, &tail).unwrap();
}

fn sit(parts: &Parts, tenure: u64, began: u64) {
    let seat = |field| PRODUCER_SEAT_OFFSET + field;
    parts.producer.write_value(seat(BEGAN_OFFSET), &began).unwrap();
    let word = tenure << TENURE_STATE_BITS | TENURE_JOINED;
    parts.producer.write_value(seat(TENURE_OFFSET), &word).unwrap();
}

fn is_corrupt<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt(_)))
}

#[test]
fn nobody_comes_where_the_indices_can_not_be() {
    for (head, tail, possible) in [
        (0, 0, true),
        (0, CAPACITY, true),
        (7, 9, true),
        (0, CAPACITY + 1, false),
        (9, 8, false),
        (POSITION_MAX, POSITION_MAX, true),
        (POSITION_MAX, POSITION_MAX + 1, false),
        (POSITION_MAX + 1, POSITION_MAX + 1, false),
    ] {
        let parts = parts();
        set_indices(&parts, head, tail);
        assert_eq!(writer(&parts).is_ok(), possible, "{head} {tail}");
        assert_eq!(reader(&parts).is_ok(), possible, "{head} {tail}");
    }
}

#[test]
fn a_head_goes_forwards_and_not_beyond_what_was_published() {
    for (head, answer) in [(1, None), (2, Some(0)), (3, Some(1)), (6, Some(3)), (7, None)] {
        let parts = parts();
        set_indices(&parts, 2, 6);
        let mut writer = writer(&parts).unwrap();
        set_indices(&parts, head, 6);
        assert_eq!(writer.send(&[1, 2, 3]).ok(), answer, "{head}");
    }
}

/// The head is looked at only when fewer slots are known to be free than are wanted.
#[test]
fn a_head_is_looked_at_when_it_must_be() {
    let parts = parts();
    let mut writer = writer(&parts).unwrap();
    set_indices(&parts, 9, 0); // what will be found when it looks
    assert_eq!(writer.send(&[1, 2, 3]).unwrap(), 3);
    assert_eq!(writer.send(&[4]).unwrap(), 1);
    assert_eq!(writer.sent(), 4);
    assert!(is_corrupt(writer.send(&[5])));
}

#[test]
fn all_that_fits_is_sent_and_all_that_waits_is_received() {
    let parts = parts();
    let (mut writer, mut reader) = (writer(&parts).unwrap(), reader(&parts).unwrap());
    assert_eq!(writer.send(&[]).unwrap(), 0);
    assert_eq!(writer.send(&[1, 2, 3, 4, 5, 6]).unwrap(), 4);
    assert_eq!(writer.send(&[5]).unwrap(), 0);
    let mut values = [0; 3];
    assert_eq!(reader.receive(&mut values).unwrap(), 3);
    assert_eq!((values, reader.seen()), ([1, 2, 3], 4));
    assert_eq!(writer.send(&[5, 6]).unwrap(), 2);
    assert_eq!(reader.receive(&mut values).unwrap(), 3);
    assert_eq!((values, reader.seen()), ([4, 5, 6], 4));
    assert_eq!(reader.receive(&mut values).unwrap(), 0);
    assert_eq!((writer.sent(), reader.received()), (6, 6));
    let stored: u64 = parts.consumer.read_value(HEAD_OFFSET).unwrap();
    assert_eq!(stored, 6);
}

#[test]
fn a_tail_goes_forwards_and_not_beyond_a_ring() {
    for (tail, possible) in [(3, false), (4, true), (6, true), (7, false)] {
        let parts = parts();
        set_indices(&parts, 2, 4);
        let mut reader = reader(&parts).unwrap();
        set_indices(&parts, 2, tail);
        assert_eq!(reader.receive(&mut [0; 4]).is_ok(), possible, "{tail}");
    }
}

/// The tail is looked at only when fewer values are known to wait than are wanted.
#[test]
fn a_tail_is_looked_at_when_it_must_be() {
    let parts = parts();
    set_indices(&parts, 0, 3);
    let mut reader = reader(&parts).unwrap();
    set_indices(&parts, 0, 100);
    assert_eq!(reader.receive(&mut [0; 2]).unwrap(), 2);
    assert_eq!(reader.receive_one().unwrap(), Some(0));
    assert!(is_corrupt(reader.receive_one()));
}

/// More values may be wanted than there are slots: a full ring is enough then, and nobody looks for more.
#[test]
fn a_full_ring_is_all_that_can_be_wanted() {
    let parts = parts();
    set_indices(&parts, 0, CAPACITY);
    let mut reader = reader(&parts).unwrap();
    set_indices(&parts, 0, 100);
    assert_eq!(reader.receive(&mut [0; 9]).unwrap(), 4);
    let parts = self::parts();
    let mut writer = writer(&parts).unwrap();
    set_indices(&parts, 100, 0);
    assert_eq!(writer.send(&[0; 9]).unwrap(), 4);
}

/// Values of a new tenure wait behind its border until it is entered.
#[test]
fn nothing_beyond_a_border_is_received_before_it_is_crossed() {
    let parts = parts();
    sit(&parts, 1, 0);
    let mut reader = reader(&parts).unwrap();
    set_indices(&parts, 0, 2);
    assert_eq!(reader.at_border().unwrap(), None);
    sit(&parts, 2, 2);
    assert_eq!(reader.at_border().unwrap(), None, "two are to be received before");
    assert_eq!(reader.receive(&mut [0; 4]).unwrap(), 2);
    assert_eq!(reader.at_border().unwrap(), None, "it has published nothing");
    set_indices(&parts, 2, 4);
    assert_eq!(reader.receive(&mut [0; 4]).unwrap(), 0);
    assert_eq!(reader.seen(), 2);
    assert_eq!(reader.at_border().unwrap(), Some(2));
    reader.enter(2);
    assert_eq!(reader.at_border().unwrap(), None);
    assert_eq!(reader.receive(&mut [0; 4]).unwrap(), 2);
}

/// A border that can not be is not believed.
#[test]
fn a_garbled_border_lies_within_what_is_there() {
    for (began, waiting) in [(u64::MAX, 2), (0, 0), (4, 1)] {
        let parts = parts();
        sit(&parts, 1, 0);
        set_indices(&parts, 3, 3);
        let mut reader = reader(&parts).unwrap();
        sit(&parts, 2, began);
        set_indices(&parts, 3, 5);
        assert_eq!(reader.receive(&mut [0; 4]).unwrap(), waiting, "{began}");
    }
}
