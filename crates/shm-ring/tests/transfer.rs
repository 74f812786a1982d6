//! Messages that are read from descriptors straight into rings, and written to them from where they lie.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_ring::{Consumer, Error, Producer, Receiver, Sender};
use std::io::{PipeReader, Read, Write, pipe};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

/// A pipe with something in it, and nothing more to come.
fn source(bytes: &[u8]) -> PipeReader {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(bytes).unwrap();
    reader
}

/// What comes out of a pipe that `write` is given.
fn written(write: impl FnOnce(&std::io::PipeWriter)) -> Vec<u8> {
    let (mut reader, writer) = pipe().unwrap();
    write(&writer);
    drop(writer);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn ours(error: std::io::Error) -> Error {
    error.downcast::<Error>().unwrap()
}

#[test]
fn what_is_read_is_the_message() {
    let name = Scratch::new("read");
    let mut producer = Producer::builder(&name.0).capacity(4096).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    for round in 0..100_u8 {
        // Ends meet the ring's end in every way.
        let text: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_mul(round)).collect();
        let (head, tail) = text.split_at(usize::from(round));
        let mut space = producer.reserve(1000).unwrap();
        space.write_at(0, head).unwrap();
        let file = source(tail);
        assert_eq!(space.read_from(head.len(), &file).unwrap(), tail.len());
        assert_eq!(space.read_from(text.len(), &file).unwrap(), 0, "the end");
        space.commit(text.len()).unwrap();
        let message = consumer.recv().unwrap();
        assert_eq!(message.len(), 256);
        let found = written(|file| {
            assert_eq!(message.write_to(0..100, file).unwrap(), 100);
            assert_eq!(message.view().write_to(100..1000, file).unwrap(), 156);
            assert_eq!(message.write_to(256..300, file).unwrap(), 0);
            assert_eq!(message.write_to(10_000..usize::MAX, file).unwrap(), 0);
        });
        assert_eq!(found, text);
    }
}

#[test]
fn reading_stays_within_the_reservation() {
    let name = Scratch::new("within");
    let mut producer = Producer::builder(&name.0).capacity(4096).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let file = source(&[7; 100]);
    {
        let mut space = producer.reserve(10).unwrap();
        assert_eq!(space.read_from(8, &file).unwrap(), 2);
        assert_eq!(space.read_from(10, &file).unwrap(), 0, "no room");
        let error = ours(space.read_from(11, &file).unwrap_err());
        assert!(matches!(error, Error::TooLarge { length: 11, max: 10 }));
    }
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)), "nothing was sent");
    producer.send(b"next").unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"next");
}

#[test]
fn reading_stays_within_a_block() {
    let name = Scratch::new("within-block");
    let mut sender = Sender::builder(&name.0).capacity(4).max_message(10).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    let file = source(b"0123456789");
    let mut space = sender.reserve(10).unwrap();
    assert_eq!(space.read_from(8, &file).unwrap(), 2);
    assert_eq!(space.read_from(10, &file).unwrap(), 0, "no room");
    let error = ours(space.read_from(11, &file).unwrap_err());
    assert!(matches!(error, Error::TooLarge { length: 11, max: 10 }));
    space.write_at(0, b"ab").unwrap();
    assert_eq!(space.read_from(2, &file).unwrap(), 8);
    space.commit(10).unwrap();
    assert_eq!(receiver.recv().unwrap().to_vec(), b"ab23456789");
}

#[test]
fn looked_at_messages_are_written_together_and_received_when_taken() {
    let name = Scratch::new("peeks");
    let mut producer = Producer::builder(&name.0).capacity(4096).create().unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let texts = ["one", "", "three", "fourteen"];
    for _ in 0..100 {
        texts.iter().for_each(|text| producer.send(text.as_bytes()).unwrap());
        let mut peeks = consumer.peek_batch();
        while peeks.try_next().is_ok() {}
        let all = texts.concat();
        for from in 0..all.len() {
            let found = written(|file| {
                let bytes = peeks.write_to(from..all.len() - 2, file).unwrap();
                assert_eq!(bytes, all.len().saturating_sub(2).saturating_sub(from));
            });
            assert_eq!(found, all.as_bytes()[from.min(all.len() - 2)..all.len() - 2]);
        }
        // Those that were taken are not written again.
        peeks.take(3);
        assert_eq!(written(|file| assert_eq!(peeks.write_to(0..100, file).unwrap(), 8)), b"fourteen");
        drop(peeks);
        assert_eq!(consumer.recv().unwrap().to_vec(), b"fourteen");
    }
    for number in 0..100_u8 {
        producer.send(&[number, number]).unwrap();
    }
    let mut peeks = consumer.peek_batch();
    while peeks.try_next().is_ok() {}
    assert_eq!(peeks.len(), 100);
    let mut bytes = 0;
    let found = written(|file| {
        while bytes < 200 {
            bytes += peeks.write_to(bytes..200, file).unwrap();
            assert!(bytes == 128 || bytes == 200, "{bytes}");
        }
    });
    assert_eq!(found, (0..100).flat_map(|number| [number, number]).collect::<Vec<u8>>());
}

#[test]
fn a_reservation_waits_until_its_deadline() {
    let name = Scratch::new("until");
    let mut producer = Producer::builder(&name.0).capacity(64).create().unwrap();
    let mut space = producer.reserve_until(24, shm_ring::Deadline::NEVER).unwrap();
    assert_eq!(space.read_from(0, source(&[1; 24])).unwrap(), 24);
    space.commit(24).unwrap();
    let deadline = shm_ring::Deadline::after(SOON);
    assert!(matches!(producer.reserve_until(24, deadline), Err(Error::TimedOut)));
}

#[test]
fn what_is_in_hand_stays_when_no_space_comes() {
    let name = Scratch::new("in-hand");
    let builder = Sender::builder(&name.0).capacity(2).max_message(100);
    let mut sender = builder.create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    sender.send(b"one").unwrap();
    sender.send(b"two").unwrap();
    let mut space = sender.reserve(100).unwrap();
    assert_eq!(space.read_from(0, source(b"three")).unwrap(), 5);
    let error = ours(space.read_from(101, source(b"")).unwrap_err());
    assert!(matches!(error, Error::TooLarge { length: 101, max: 100 }));
    let (space, error) = space.commit_until(5, shm_ring::Deadline::after(SOON)).unwrap_err();
    assert!(matches!(error, Error::TimedOut));
    assert_eq!(receiver.recv().unwrap().to_vec(), b"one");
    assert!(space.commit_until(5, shm_ring::Deadline::NEVER).is_ok());
    for text in ["two", "three"] {
        let message = receiver.recv().unwrap();
        assert_eq!(
            written(|file| assert_eq!(message.write_to(0..9, file).unwrap(), text.len())),
            text.as_bytes()
        );
    }
}
