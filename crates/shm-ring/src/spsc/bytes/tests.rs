//! What one side makes of each word of the other, and of what a dead one left: the words are set, nobody else is there.

use super::*;
use crate::layout::spsc::{
    CONSUMER_REGION_BYTES, CURSOR_OFFSET, HEAD_OFFSET, LEDGER_BYTES, PRODUCER_REGION_BYTES, Parts,
    TAIL_OFFSET,
};
use crate::ledger;
use crate::record::Record;
use shm_core::Region;

const CAPACITY: usize = 64;

fn parts() -> Parts {
    Parts {
        producer: Region::on_heap(PRODUCER_REGION_BYTES).unwrap(),
        consumer: Region::on_heap(CONSUMER_REGION_BYTES).unwrap(),
        data: Region::on_heap(CAPACITY).unwrap(),
    }
}

fn send(writer: &mut Writer, length: usize) -> Result<()> {
    let reserved = writer.reserve(length)?;
    writer.stage(&reserved, length, 0)?;
    writer.publish()
}

fn receive(reader: &mut Reader) -> Record {
    let record = reader.peek().unwrap().unwrap();
    reader.accept(&record);
    reader.take(record.end(), 1);
    record
}

fn set_head(parts: &Parts, head: u64) {
    parts.consumer.write_value(HEAD_OFFSET, &head).unwrap();
}

fn head(parts: &Parts) -> u64 {
    parts.consumer.read_value(HEAD_OFFSET).unwrap()
}

fn set_tail(parts: &Parts, position: u64) {
    parts.producer.write_value(TAIL_OFFSET, &position).unwrap();
}

fn set_cursor(parts: &Parts, position: u64) {
    parts.consumer.write_value(CURSOR_OFFSET, &position).unwrap();
}

fn is_corrupt<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt(_)))
}

#[test]
fn a_successor_finds_what_was_published_and_not_yet_counted() {
    let parts = parts();
    let mut writer = Writer::resume(&parts, 1).unwrap();
    send(&mut writer, 8).unwrap();
    send(&mut writer, 3).unwrap();
    let stood = (writer.position(), writer.sent());
    parts.producer.copy_in(TAIL_OFFSET, &[0; LEDGER_BYTES]).unwrap();
    let writer = Writer::resume(&parts, 2).unwrap();
    assert_eq!((writer.position(), writer.sent()), stood);
    assert_eq!(ledger::read(&parts.producer, TAIL_OFFSET).unwrap().position, stood.0);
}

#[test]
fn a_producer_comes_only_where_its_consumer_can_be() {
    for (head, tail, possible) in
        [(0, 0, true), (8, 0, false), (0, 56, true), (64, 120, true), (0, 128, false), (0, 72, false)]
    {
        let parts = parts();
        set_tail(&parts, tail);
        set_head(&parts, head);
        assert_eq!(Writer::resume(&parts, 1).is_ok(), possible, "{head} {tail}");
    }
}

#[test]
fn a_consumer_comes_only_where_its_producer_can_be() {
    for (head, cursor, tail, possible) in [
        (0, 0, 0, true),
        (8, 8, 0, true), // counted later than it was published
        (8, 0, 0, false),
        (0, 8, 0, true),
        (0, 56, 0, true),
        (0, 72, 0, false),
        (0, 0, 56, true),
        (0, 0, 72, false),
        (128, 128, 56, false),
        (128, 128, 200, false),
    ] {
        let parts = parts();
        set_tail(&parts, tail);
        set_cursor(&parts, cursor);
        set_head(&parts, head);
        let reader = Reader::resume(&parts);
        assert_eq!(reader.is_ok(), possible, "{head} {cursor} {tail}");
        if let Ok(reader) = reader {
            assert_eq!((reader.position(), self::head(&parts)), (cursor, cursor));
        }
    }
}

/// The head is believed only between where it was and what was published.
#[test]
fn a_head_goes_forwards_and_not_beyond_what_was_published() {
    let full = || {
        let parts = parts();
        let mut writer = Writer::resume(&parts, 1).unwrap();
        send(&mut writer, 16).unwrap();
        send(&mut writer, 16).unwrap();
        set_head(&parts, 24);
        send(&mut writer, 8).unwrap(); // looks at the head; published up to 64
        (parts, writer)
    };
    let (_parts, mut writer) = full();
    assert!(matches!(writer.reserve(16), Err(Error::Full)));
    for (head, answer) in [(16, "corrupt"), (24, "full"), (64, "space"), (72, "corrupt")] {
        let (parts, mut writer) = full();
        set_head(&parts, head);
        let got = match writer.reserve(16) {
            Ok(_) => "space",
            Err(Error::Full) => "full",
            Err(Error::Corrupt(_)) => "corrupt",
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got, answer, "{head}");
    }
}

/// Everything up to the last word is used, and that is for the next header.
#[test]
fn a_ring_is_filled_up_to_the_next_header_and_read_so() {
    let parts = parts();
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let mut reader = Reader::resume(&parts).unwrap();
    for length in [24, 16] {
        send(&mut writer, length).unwrap();
    }
    assert!(matches!(writer.reserve(0), Err(Error::Full)));
    assert_eq!((receive(&mut reader).end(), receive(&mut reader).end()), (32, 56));
    assert!(reader.peek().unwrap().is_none());
}

/// The longest message is half a ring with its header, and the answer says so.
#[test]
fn the_longest_message_is_told() {
    let mut writer = Writer::resume(&parts(), 1).unwrap();
    assert!(matches!(writer.reserve(25), Err(Error::TooLarge { length: 25, max: 24 })));
    assert_eq!(writer.reserve(24).unwrap().length, 24);
}

/// While more waits, space goes back by eighths of the ring; when nothing does, at once.
#[test]
fn space_goes_back_by_eighths() {
    let parts = parts();
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let mut reader = Reader::resume(&parts).unwrap();
    assert!(!reader.release());
    for length in [0, 0, 8] {
        send(&mut writer, length).unwrap();
    }
    receive(&mut reader);
    assert!(reader.release(), "an eighth");
    assert_eq!(head(&parts), 8);
    assert!(!reader.release());
    receive(&mut reader);
    receive(&mut reader);
    assert!(reader.release(), "nothing more waits");
    assert_eq!(head(&parts), 32);
}

#[test]
fn less_than_an_eighth_is_kept_while_more_waits() {
    let parts = Parts { data: Region::on_heap(128).unwrap(), ..parts() };
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let mut reader = Reader::resume(&parts).unwrap();
    for _ in 0..3 {
        send(&mut writer, 0).unwrap();
    }
    receive(&mut reader);
    assert!(!reader.release(), "8 of 128");
    assert_eq!(head(&parts), 0);
    receive(&mut reader);
    assert!(reader.release(), "16 of 128");
    assert_eq!(head(&parts), 16);
}

/// One who had to wait for a message likely has the last one there is, and does not look whether it has, once.
#[test]
fn who_had_to_wait_gives_space_back_at_once() {
    let parts = Parts { data: Region::on_heap(128).unwrap(), ..parts() };
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let mut reader = Reader::resume(&parts).unwrap();
    (0..4).for_each(|_| send(&mut writer, 0).unwrap());
    reader.note_drained();
    assert!(!reader.release(), "nothing is to be given back");
    receive(&mut reader);
    assert!(reader.release(), "8 of 128, and 24 wait");
    assert_eq!(head(&parts), 8);
    receive(&mut reader);
    assert!(!reader.release(), "that one was there");
    assert_eq!(head(&parts), 8);
}

/// What was looked at and not taken comes again, and a look stops where what is not released begins.
#[test]
fn looks_go_no_further_than_one_lap() {
    let parts = parts();
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let mut reader = Reader::resume(&parts).unwrap();
    send(&mut writer, 16).unwrap();
    let first = reader.peek().unwrap().unwrap();
    reader.accept(&first);
    assert!(reader.peek().unwrap().is_none());
    reader.look_back();
    assert_eq!(reader.peek().unwrap(), Some(first));
    // Garbage: published records all around.
    for at in (0..CAPACITY).step_by(8) {
        parts.data.write_value(at, &record::message(0, 0, None)).unwrap();
    }
    for _ in 0..7 {
        let record = reader.peek().unwrap().unwrap();
        reader.accept(&record);
    }
    assert!(is_corrupt(reader.peek()));
    assert!(is_corrupt(walk(&parts.data.words().unwrap(), 0, CAPACITY as u64)));
}

#[test]
fn a_walk_counts_messages_over_pads_and_refuses_impossible_positions() {
    let parts = parts();
    let words = parts.data.words().unwrap();
    assert_eq!(walk(&words, 48, 64).unwrap(), (48, 0));
    parts.data.write_value(48, &record::pad(16)).unwrap();
    parts.data.write_value(0, &record::message(16, 0, None)).unwrap();
    assert_eq!(walk(&words, 48, 64).unwrap(), (88, 1));
    // More than one lap, and at no time just one.
    for (at, length) in [(8, 16), (32, 16), (56, 0), (0, 16)] {
        parts.data.write_value(at, &record::message(length, 0, None)).unwrap();
    }
    assert!(is_corrupt(walk(&words, 8, 64)));
    assert!(walk(&self::parts().data.words().unwrap(), POSITION_MAX, 64).is_ok());
    assert!(is_corrupt(walk(&words, POSITION_MAX + 64, 64)));
}

/// A pad is published with the message behind it.
#[test]
fn a_pad_alone_is_corrupt() {
    let parts = parts();
    set_tail(&parts, 48);
    set_cursor(&parts, 48);
    set_head(&parts, 48);
    let reader = Reader::resume(&parts).unwrap();
    parts.data.write_value(48, &record::pad(16)).unwrap();
    assert!(is_corrupt(reader.peek()));
    parts.data.write_value(0, &record::message(16, 0, None)).unwrap();
    assert_eq!(reader.peek().unwrap().unwrap().start, 64);
}

/// The first message of a tenure says so, if the tenure began after the consumer had come.
#[test]
fn a_new_tenure_shows_only_to_those_who_were_there() {
    let parts = parts();
    let mut early = Reader::resume(&parts).unwrap();
    let mut writer = Writer::resume(&parts, 65).unwrap();
    for _ in 0..2 {
        let reserved = writer.reserve(0).unwrap();
        writer.stage(&reserved, 0, 0).unwrap();
    }
    writer.publish().unwrap();
    assert_eq!((writer.sent(), writer.staged()), (2, 0));
    let records = [receive(&mut early), receive(&mut early)];
    assert_eq!(records.map(|record| early.new_tenure(&record)), [Some(1), None]);
    let late = Reader::resume(&parts).unwrap();
    assert_eq!(late.new_tenure(&records[0]), None);
}

/// A reservation that is dropped, or a batch that is leaked, sends nothing and takes no space.
#[test]
fn what_was_staged_is_forgotten() {
    let parts = parts();
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let reserved = writer.reserve(24).unwrap();
    writer.stage(&reserved, 24, 0).unwrap();
    assert_eq!(writer.staged(), 1);
    writer.forget_batch();
    assert_eq!(writer.staged(), 0);
    writer.publish().unwrap();
    assert_eq!((writer.position(), writer.sent()), (0, 0));
    assert_eq!(writer.reserve(24).unwrap().start, 0);
}

/// Payload is filled in pieces, in any order, behind its header; and less than was reserved may be used.
#[test]
fn a_reservation_is_filled_in_pieces() {
    let parts = parts();
    let mut writer = Writer::resume(&parts, 1).unwrap();
    let mut reader = Reader::resume(&parts).unwrap();
    send(&mut writer, 16).unwrap();
    receive(&mut reader);
    let reserved = writer.reserve(10).unwrap();
    writer.fill(&reserved, 5, b"pieces").unwrap();
    writer.fill(&reserved, 0, b"three").unwrap();
    writer.stage(&reserved, 9, 3).unwrap();
    writer.publish().unwrap();
    let record = receive(&mut reader);
    assert_eq!((record.start, record.length(), record.tag()), (24, 9, 3));
    let mut bytes = [0; 9];
    reader.data().copy_out(reader.payload_offset(&record), &mut bytes).unwrap();
    assert_eq!(&bytes, b"threepiec");
    reader.release_all();
    let longer = writer.reserve(8).unwrap();
    writer.stage(&longer, 9, 0).unwrap();
    writer.publish().unwrap();
    assert_eq!(writer.position(), 48 + 16, "no more than was reserved");
}
