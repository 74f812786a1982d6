//! Random operations on a ring of bytes against a queue, at capacities from the smallest on: contents, order,
//! tags, statistics, and which ends are told when. Producer and consumer have two mappings at two addresses, as
//! two processes would.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

mod common;

use common::Scratch;
use proptest::prelude::*;
use shm_ring::{Consumer, End, Error, Producer, inspect};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Operation {
    Send(usize, u16),
    Batch(Vec<usize>, bool),
    Reserve(usize, usize, bool),
    Receive,
    ReceiveInto(usize),
    ReceiveBatch(usize),
    Peek(usize, usize),
    ProducerReturns(bool),
    ConsumerReturns,
}

fn operations(max: usize) -> impl Strategy<Value = Vec<Operation>> {
    let length = move || prop_oneof![0..=max, Just(max), Just(0)];
    let operation = prop_oneof![
        6 => (length(), any::<u16>()).prop_map(|(length, tag)| Operation::Send(length, tag)),
        2 => (prop::collection::vec(length(), 0..4), prop::bool::weighted(0.8))
            .prop_map(|(lengths, send)| Operation::Batch(lengths, send)),
        2 => (length(), length(), prop::bool::weighted(0.8)).prop_map(|(room, used, commit)| {
            Operation::Reserve(room.max(used), used, commit)
        }),
        5 => Just(Operation::Receive),
        1 => (0..=max).prop_map(Operation::ReceiveInto),
        2 => (0..5_usize).prop_map(Operation::ReceiveBatch),
        2 => (0..4_usize, 0..5_usize).prop_map(|(look, take)| Operation::Peek(look, take)),
        1 => any::<bool>().prop_map(Operation::ProducerReturns),
        1 => Just(Operation::ConsumerReturns),
    ];
    prop::collection::vec(operation, 1..120)
}

struct Waiting {
    tag: u16,
    bytes: Vec<u8>,
    tenure: u64,
    first: bool,
}

/// A ring and the queue that it should be.
struct Pair {
    name: Scratch,
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    queue: VecDeque<Waiting>,
    ends: Vec<End>,
    entered: u64,
    told: u64,
    last_tenure: u64,
    sent: u64,
    received: u64,
}

impl Pair {
    fn new(capacity: u64) -> Self {
        let name = Scratch::new("model");
        let producer = Producer::builder(&name.0).capacity(capacity).create().unwrap();
        let consumer = Consumer::open(&name.0).unwrap();
        Self {
            name,
            producer: Some(producer),
            consumer: Some(consumer),
            queue: VecDeque::new(),
            ends: vec![],
            entered: 1,
            told: 0,
            last_tenure: 0,
            sent: 0,
            received: 0,
        }
    }

    fn tenure(&self) -> u64 {
        self.ends.len() as u64 + 1
    }

    /// Content that differs from message to message and byte to byte.
    fn content(&self, length: usize) -> Vec<u8> {
        (0..length).map(|at| (self.sent as usize * 31 + at * 7 + 1).to_le_bytes()[0]).collect()
    }

    fn sent(&mut self, tag: u16, bytes: Vec<u8>) {
        let tenure = self.tenure();
        let first = std::mem::replace(&mut self.last_tenure, tenure) != tenure;
        self.queue.push_back(Waiting { tag, bytes, tenure, first });
        self.sent += 1;
    }

    /// What the next receiving call must say, if it is not a message.
    fn expected_reason(&mut self) -> Option<Option<End>> {
        let last = match self.queue.front() {
            Some(front) if front.tenure > self.entered && self.told + 1 < front.tenure => front.tenure - 1,
            Some(front) => {
                self.entered = self.entered.max(front.tenure);
                return None;
            }
            None if self.tenure() > self.entered && self.told + 1 < self.tenure() => self.tenure() - 1,
            None => return Some(None),
        };
        let end = self.ends[self.told as usize..last as usize].iter().max().copied();
        self.told = last;
        Some(end)
    }

    fn check_reason(&mut self, error: &Error) -> Result<(), TestCaseError> {
        match (self.expected_reason(), error) {
            (Some(None), Error::Empty) => Ok(()),
            (Some(Some(expected)), Error::Disconnected(end)) if expected == *end => Ok(()),
            (expected, error) => Err(TestCaseError::fail(format!("{error:?} instead of {expected:?}"))),
        }
    }

    fn check_message(&mut self, tag: u16, bytes: &[u8]) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.expected_reason(), None);
        let waiting = self.queue.pop_front().unwrap();
        prop_assert_eq!((tag, bytes), (waiting.tag, &waiting.bytes[..]));
        self.received += 1;
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Send(length, tag) => {
                let bytes = self.content(*length);
                let sent = self.producer.as_mut().unwrap().try_send_tagged(*tag, &bytes);
                self.after_send(sent, *tag, bytes)?;
            }
            Operation::Batch(lengths, send) => self.batch(lengths, *send)?,
            Operation::Reserve(room, used, commit) => {
                let bytes = self.content(*used);
                let mut producer = self.producer.take().unwrap();
                let sent = producer.try_reserve(*room).and_then(|mut space| {
                    space.write_at(0, &vec![0xEE; *room])?;
                    space.write_at(0, &bytes)?;
                    space.set_tag(7);
                    if *commit { space.commit(*used).map(|()| true) } else { Ok(false) }
                });
                self.producer = Some(producer);
                if sent.as_ref().is_ok_and(|sent| !sent) {
                    return Ok(());
                }
                self.after_send(sent.map(drop), 7, bytes)?;
            }
            Operation::Receive => {
                let mut consumer = self.consumer.take().unwrap();
                match consumer.try_recv() {
                    Ok(message) => self.check_message(message.tag(), &message.to_vec())?,
                    Err(error) => self.check_reason(&error)?,
                }
                self.consumer = Some(consumer);
            }
            Operation::ReceiveInto(size) => self.receive_into(*size)?,
            Operation::ReceiveBatch(max) => self.receive_batch(*max)?,
            Operation::Peek(look, take) => self.peek(*look, *take)?,
            Operation::ProducerReturns(closing) => {
                let producer = self.producer.take().unwrap();
                if *closing {
                    producer.close()
                } else {
                    drop(producer)
                }
                self.ends.push(if *closing { End::Closed } else { End::Dropped });
                self.producer = Some(Producer::open(&self.name.0).unwrap());
            }
            Operation::ConsumerReturns => {
                self.consumer = None;
                self.consumer = Some(Consumer::open(&self.name.0).unwrap());
                self.entered = self.tenure();
            }
        }
        let consumer = self.consumer.as_ref().unwrap();
        prop_assert_eq!(consumer.len().unwrap(), self.queue.len() as u64);
        prop_assert_eq!(self.producer.as_ref().unwrap().len().unwrap(), self.queue.len() as u64);
        Ok(())
    }

    fn after_send(&mut self, sent: Result<(), Error>, tag: u16, bytes: Vec<u8>) -> Result<(), TestCaseError> {
        match sent {
            Ok(()) => self.sent(tag, bytes),
            // Whoever has taken everything withholds nothing.
            Err(Error::Full) => prop_assert!(!self.queue.is_empty(), "an empty ring is full"),
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    }

    fn batch(&mut self, lengths: &[usize], send: bool) -> Result<(), TestCaseError> {
        let contents: Vec<_> = lengths.iter().map(|&length| self.content(length)).collect();
        let mut producer = self.producer.take().unwrap();
        let mut batch = producer.batch();
        let mut added = vec![];
        for bytes in contents {
            match batch.push_tagged(3, &bytes) {
                Ok(()) => added.push(bytes),
                Err(Error::Full) => break,
                Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
            }
        }
        prop_assert_eq!(batch.len(), added.len() as u64);
        if send {
            batch.send().unwrap();
            added.into_iter().for_each(|bytes| self.sent(3, bytes));
        } else {
            drop(batch);
        }
        self.producer = Some(producer);
        Ok(())
    }

    fn receive_into(&mut self, size: usize) -> Result<(), TestCaseError> {
        let mut consumer = self.consumer.take().unwrap();
        // Only when it can not block: the model says what comes.
        let waiting = self.queue.front().map(|front| front.bytes.len());
        let reason = if waiting.is_some() { None } else { Some(()) };
        if reason.is_none() {
            let mut buffer = vec![0; size];
            match consumer.recv_into(&mut buffer) {
                Ok((length, tag)) => self.check_message(tag, &buffer[..length])?,
                Err(Error::BufferTooSmall { length }) => {
                    prop_assert_eq!(self.expected_reason(), None);
                    prop_assert_eq!(Some(length), waiting);
                    prop_assert!(length > size);
                }
                Err(error) => self.check_reason(&error)?,
            }
        }
        self.consumer = Some(consumer);
        Ok(())
    }

    fn receive_batch(&mut self, max: usize) -> Result<(), TestCaseError> {
        let mut consumer = self.consumer.take().unwrap();
        match consumer.try_recv_batch(max) {
            Ok(messages) => {
                prop_assert!(messages.len() <= max);
                // It ends at a tenure's border, with the ring, or at its maximum.
                for view in messages.iter() {
                    self.check_message(view.tag(), &view.to_vec())?;
                }
                let border = self.queue.front().is_some_and(|front| front.first);
                prop_assert!(messages.len() == max || self.queue.is_empty() || border);
            }
            Err(error) => self.check_reason(&error)?,
        }
        self.consumer = Some(consumer);
        Ok(())
    }

    fn peek(&mut self, look: usize, take: usize) -> Result<(), TestCaseError> {
        let mut consumer = self.consumer.take().unwrap();
        let mut peeks = consumer.peek_batch();
        let mut seen = vec![];
        for index in 0..look {
            match peeks.try_next() {
                Ok(view) => seen.push((view.tag(), view.to_vec())),
                Err(Error::Empty) if index > 0 => break,
                Err(error) => {
                    self.check_reason(&error)?;
                    break;
                }
            }
        }
        if !seen.is_empty() {
            prop_assert_eq!(self.expected_reason(), None);
        }
        for (waiting, seen) in self.queue.iter().zip(&seen) {
            prop_assert_eq!((waiting.tag, &waiting.bytes), (seen.0, &seen.1));
        }
        peeks.take(take);
        drop(peeks);
        for (tag, bytes) in seen.into_iter().take(take) {
            self.check_message(tag, &bytes)?;
        }
        self.consumer = Some(consumer);
        Ok(())
    }
}

fn run(capacity: u64, operations: &[Operation]) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(capacity);
    for operation in operations {
        pair.apply(operation)?;
    }
    let status = inspect(&pair.name.0).unwrap();
    prop_assert_eq!((status.sent, status.received), (pair.sent, pair.received));
    prop_assert_eq!(status.depth, pair.queue.len() as u64);
    prop_assert!(status.high_water >= status.depth);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_of_32_bytes_is_a_queue(operations in operations(8)) {
        run(32, &operations)?;
    }

    #[test]
    fn a_ring_of_64_bytes_is_a_queue(operations in operations(24)) {
        run(64, &operations)?;
    }

    #[test]
    fn a_ring_of_128_bytes_is_a_queue(operations in operations(56)) {
        run(128, &operations)?;
    }

    #[test]
    fn a_ring_of_512_bytes_is_a_queue(operations in operations(248)) {
        run(512, &operations)?;
    }
}

/// Every length at every position of a small ring: the wrap, exhaustively.
#[test]
fn every_length_passes_at_every_position() {
    for capacity in [32, 64, 128] {
        let name = Scratch::new("wrap");
        let mut producer = Producer::builder(&name.0).capacity(capacity).create().unwrap();
        let mut consumer = Consumer::open(&name.0).unwrap();
        for _position in 0..capacity / 8 {
            for length in 0..=producer.max_message() {
                let message: Vec<u8> = (0..length).map(|at| (at + length).to_le_bytes()[0]).collect();
                producer.try_send(&message).unwrap();
                assert_eq!(consumer.try_recv().unwrap().to_vec(), message);
            }
            producer.try_send(b"").unwrap(); // moves the position by one word
            assert!(consumer.try_recv().unwrap().is_empty());
        }
        assert!(matches!(
            producer.try_send(&vec![0; producer.max_message() + 1]),
            Err(Error::TooLarge { .. })
        ));
    }
}
