//! Schedules of a producer and a consumer.

use crate::common::Scratch;
use crate::config;
use crate::death::{Fate, dies, fate};
use proptest::prelude::*;
use shm_ring::{Consumer, End, Error, Producer, TypedConsumer, TypedProducer, inspect};
use std::collections::VecDeque;

type Outcome = Result<(), TestCaseError>;

/// What is done, and whether who does it dies of it.
#[derive(Clone, Debug)]
enum Operation {
    Send(Vec<usize>),
    Receive(usize),
    ProducerReturns(bool),
    ConsumerReturns(bool),
}

fn schedule(longest: usize) -> impl Strategy<Value = Vec<(Operation, Fate)>> {
    let operation = prop_oneof![
        4 => prop::collection::vec(0..=longest, 1..4).prop_map(Operation::Send),
        4 => (1..4_usize).prop_map(Operation::Receive),
        1 => any::<bool>().prop_map(Operation::ProducerReturns),
        1 => any::<bool>().prop_map(Operation::ConsumerReturns),
    ];
    prop::collection::vec((operation, fate()), 1..60)
}

/// A sending handle; messages are numbered, and of some length.
trait Sends: Sized {
    fn open(name: &str) -> Self;
    fn create(name: &str, capacity: u64) -> Self;
    /// All at once; how many were sent.
    fn send(&mut self, messages: &[Vec<u8>]) -> Result<usize, Error>;
    fn close(self);
}

/// A receiving handle.
trait Receives: Sized {
    fn open(name: &str) -> Self;
    /// All at once.
    fn receive(&mut self, max: usize) -> Result<Vec<Vec<u8>>, Error>;
    fn close(self);
}

impl Sends for Producer {
    fn open(name: &str) -> Self {
        Self::open(name).unwrap()
    }

    fn create(name: &str, capacity: u64) -> Self {
        Self::builder(name).capacity(capacity).create().unwrap()
    }

    fn send(&mut self, messages: &[Vec<u8>]) -> Result<usize, Error> {
        let mut batch = self.batch();
        for message in messages {
            match batch.push(message) {
                Err(Error::Full) if !batch.is_empty() => break,
                other => other?,
            }
        }
        let count = usize::try_from(batch.len()).unwrap();
        batch.send().map(|()| count)
    }

    fn close(self) {
        self.close();
    }
}

impl Receives for Consumer {
    fn open(name: &str) -> Self {
        Self::open(name).unwrap()
    }

    fn receive(&mut self, max: usize) -> Result<Vec<Vec<u8>>, Error> {
        self.try_recv_batch(max).map(|batch| batch.iter().map(|view| view.to_vec()).collect())
    }

    fn close(self) {
        self.close();
    }
}

impl Sends for TypedProducer<u64> {
    fn open(name: &str) -> Self {
        Self::open(name).unwrap()
    }

    fn create(name: &str, capacity: u64) -> Self {
        Self::builder(name).capacity(capacity).create().unwrap()
    }

    fn send(&mut self, messages: &[Vec<u8>]) -> Result<usize, Error> {
        let values: Vec<u64> = messages.iter().map(|bytes| number_of(bytes)).collect();
        self.try_send_slice(&values)
    }

    fn close(self) {
        self.close();
    }
}

impl Receives for TypedConsumer<u64> {
    fn open(name: &str) -> Self {
        Self::open(name).unwrap()
    }

    fn receive(&mut self, max: usize) -> Result<Vec<Vec<u8>>, Error> {
        let mut values = vec![0; max];
        let count = self.try_recv_slice(&mut values)?;
        Ok(values[..count].iter().map(|value| value.to_le_bytes().to_vec()).collect())
    }

    fn close(self) {
        self.close();
    }
}

fn number_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A ring and the queue that it should be.
struct Pair<P, C> {
    name: Scratch,
    producer: Option<P>,
    consumer: Option<C>,
    queue: VecDeque<Vec<u8>>,
    sent: u64,
    received: u64,
    /// How those producers left of whose end the consumer may still be told. Who died coming may never have been there.
    ends: Vec<End>,
    typed: bool,
}

impl<P: Sends, C: Receives> Pair<P, C> {
    fn new(capacity: u64, typed: bool) -> Self {
        let name = Scratch::new("schedule");
        let producer = Some(P::create(&name.0, capacity));
        let consumer = Some(C::open(&name.0));
        let (queue, ends) = (VecDeque::new(), Vec::new());
        Self { name, producer, consumer, queue, sent: 0, received: 0, ends, typed }
    }

    fn run(mut self, schedule: &[(Operation, Fate)]) -> Outcome {
        for (operation, fate) in schedule {
            match operation {
                Operation::Send(lengths) => self.send(lengths, *fate)?,
                Operation::Receive(max) => self.receive(*max, *fate)?,
                Operation::ProducerReturns(closing) => self.producer_returns(*closing, *fate),
                Operation::ConsumerReturns(closing) => self.consumer_returns(*closing, *fate),
            }
            let status = inspect(&self.name.0).unwrap();
            prop_assert_eq!((status.sent, status.received), (self.sent, self.received));
        }
        // It goes on, for more than a lap.
        for _ in 0..40 {
            self.receive(3, None)?;
            self.send(&[8], None)?;
        }
        while !self.queue.is_empty() {
            self.receive(3, None)?;
        }
        Ok(())
    }

    fn messages(&self, lengths: &[usize]) -> Vec<Vec<u8>> {
        let message = |(number, length): (u64, &usize)| {
            let mut bytes = (number.wrapping_mul(0x0101_0101_0101_0107)).to_le_bytes().repeat(length / 8 + 1);
            bytes.truncate(if self.typed { 8 } else { *length });
            bytes
        };
        (self.sent..).zip(lengths).map(message).collect()
    }

    fn send(&mut self, lengths: &[usize], fate: Fate) -> Outcome {
        let messages = self.messages(lengths);
        let mut producer = self.producer.take().unwrap();
        let Some(after) = fate else {
            let sent = producer.send(&messages);
            self.producer = Some(producer);
            return self.were_sent(&messages, &sent);
        };
        let done = dies(after, move || {
            let sent = producer.send(&messages);
            (producer, sent)
        });
        let messages = self.messages(lengths);
        match done {
            Some(sent) => self.were_sent(&messages, &sent)?,
            None => {
                // The next one finds out; looked at before that, what is counted may be what was published or not.
                self.producer = Some(P::open(&self.name.0));
                let moved = usize::try_from(inspect(&self.name.0).unwrap().sent - self.sent).unwrap();
                prop_assert!(moved <= messages.len(), "{} of {} messages", moved, messages.len());
                self.were_sent(&messages, &Ok(moved))?;
            }
        }
        self.ends.push(End::Died);
        if self.producer.is_none() {
            self.producer = Some(P::open(&self.name.0));
        }
        Ok(())
    }

    fn were_sent(&mut self, messages: &[Vec<u8>], sent: &Result<usize, Error>) -> Outcome {
        match sent {
            Ok(count) => {
                self.queue.extend(messages[..*count].iter().cloned());
                self.sent += *count as u64;
            }
            Err(Error::Full) => prop_assert!(!self.queue.is_empty(), "an empty ring is full"),
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    }

    fn receive(&mut self, max: usize, fate: Fate) -> Outcome {
        let mut consumer = self.consumer.take().unwrap();
        let Some(after) = fate else {
            let received = consumer.receive(max);
            self.consumer = Some(consumer);
            return self.were_received(received);
        };
        let done = dies(after, move || {
            let received = consumer.receive(max);
            (consumer, received)
        });
        match done {
            Some(received) => self.were_received(received)?,
            None => {
                // What it was handed is gone with it, and nothing else.
                let moved = inspect(&self.name.0).unwrap().received - self.received;
                prop_assert!(moved <= max as u64, "{} of {} messages", moved, max);
                self.queue.drain(..usize::try_from(moved).unwrap());
                self.received += moved;
            }
        }
        self.consumer = Some(C::open(&self.name.0));
        Ok(())
    }

    fn were_received(&mut self, received: Result<Vec<Vec<u8>>, Error>) -> Outcome {
        match received {
            Ok(messages) => {
                for message in messages {
                    prop_assert_eq!(Some(message), self.queue.pop_front());
                    self.received += 1;
                }
            }
            Err(Error::Empty) => prop_assert!(self.queue.is_empty(), "empty too early"),
            Err(Error::Disconnected(end)) => {
                let told = self.ends.iter().position(|left| *left == end);
                prop_assert!(told.is_some(), "told of {:?}, with {:?}", end, self.ends);
                self.ends.remove(told.unwrap());
            }
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    }

    fn producer_returns(&mut self, closing: bool, fate: Fate) {
        match self.producer.take() {
            Some(producer) if closing => producer.close(),
            other => drop(other),
        }
        self.ends.push(if closing { End::Closed } else { End::Dropped });
        if let Some(after) = fate {
            let name = self.name.0.clone();
            dies(after, move || (P::open(&name), ()));
            self.ends.push(End::Died);
        }
        self.producer = Some(P::open(&self.name.0));
    }

    fn consumer_returns(&mut self, closing: bool, fate: Fate) {
        match self.consumer.take() {
            Some(consumer) if closing => consumer.close(),
            other => drop(other),
        }
        if let Some(after) = fate {
            let name = self.name.0.clone();
            dies(after, move || (C::open(&name), ()));
        }
        self.consumer = Some(C::open(&self.name.0));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_ring_of_bytes_is_a_queue_whoever_dies(shift in 0..3_u32, schedule in schedule(8)) {
        Pair::<Producer, Consumer>::new(32 << shift, false).run(&schedule)?;
    }

    #[test]
    fn a_larger_ring_of_bytes_is_a_queue_whoever_dies(schedule in schedule(56)) {
        Pair::<Producer, Consumer>::new(128, false).run(&schedule)?;
    }

    #[test]
    fn a_ring_of_values_is_a_queue_whoever_dies(shift in 0..4_u32, schedule in schedule(8)) {
        Pair::<TypedProducer<u64>, TypedConsumer<u64>>::new(1 << shift, true).run(&schedule)?;
    }
}
