//! Byte messages at the smallest capacity, explored by loom.

use super::{Reader, Writer, walk};
use crate::error::Error;
use crate::layout::spsc::{Parts, TAIL_OFFSET};
use crate::ledger;
use crate::model::{explore, spsc_parts};
use loom::thread;
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
    stage(writer, message);
    writer.publish().unwrap();
}

fn try_receive(reader: &mut Reader) -> Option<Vec<u8>> {
    let record = reader.peek().unwrap()?;
    reader.accept(&record);
    reader.take(record.end, 1);
    let mut payload = vec![0; usize::try_from(record.length).unwrap()];
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
    stream("bytes, around the end", 3, &[b"message0", b"message1", b"message2"]);
}

/// An empty message, then one that needs a pad.
#[test]
fn messages_arrive_behind_a_pad() {
    stream("bytes, a pad", 3, &[b"message0", b"", b"message2"]);
}
