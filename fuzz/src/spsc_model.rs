//! An SPSC ring against a queue: everything that its handles do, in any order, at tiny capacities.
//!
//! An input is: bytes or values and the capacity (u8), and the operations.
//!
//! The rules, beside agreement with the queue: an empty ring takes every message that is not too large; full means
//! full; lengths and statistics agree; every end of a producer is told at most once, and never before what it sent.

use crate::handles::{Attach, Held};
use crate::input::Reader;
use crate::object::{NAME, Scratch};
use shm_ring::{Consumer, End, Error, Producer, TypedConsumer, TypedProducer, inspect_in};
use std::collections::VecDeque;

/// Most operations of an input.
const OPERATIONS_MAX: usize = 200;

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

/// Plays an input.
pub fn play(input: &[u8]) {
    let mut reader = Reader::new(input);
    SCRATCH.with(|scratch| {
        let _ = std::fs::remove_file(scratch.object());
        let shape = reader.u8();
        if shape < 128 {
            // 32 to 256 bytes.
            Bytes::new(scratch, 32 << (shape % 4)).play(reader);
        } else {
            // 1 to 8 values.
            Values::new(scratch, 1 << (shape % 4)).play(reader);
        }
    });
}

/// How producers came and went, and what the consumer was told of it.
#[derive(Debug, Default)]
struct Ends {
    /// How each producer that has gone did so.
    ends: Vec<End>,
    /// How many of them the consumer was told, or has met the successor's messages of.
    told: usize,
    /// The tenure of the message received last, or at which the consumer came.
    entered: usize,
}

impl Ends {
    fn tenure(&self) -> usize {
        self.ends.len()
    }

    /// The consumer is told of an end, with this tenure's messages being next, if there are any.
    fn tell(&mut self, end: End, next: Option<usize>) {
        // Told are all ends up to the one before the next message; without one, up to the last.
        let last = next.unwrap_or(self.ends.len());
        assert!(last > self.told, "told of an end that is not there: {end:?}, {self:?}");
        let worst = self.ends[self.told..last].iter().max();
        assert_eq!(Some(&end), worst, "told of another end: {self:?}");
        self.told = last;
    }

    /// The consumer receives a message of a tenure. Whoever came in the middle is told nothing of what was before.
    fn receive(&mut self, tenure: usize) {
        assert!(
            tenure <= self.entered || self.told >= tenure,
            "a message of tenure {tenure} before the end of the one before: {self:?}"
        );
        self.entered = self.entered.max(tenure);
    }
}

struct Waiting {
    tag: u16,
    bytes: Vec<u8>,
    tenure: usize,
    /// Of its tenure. What looks at several messages stops before it.
    first: bool,
}

/// A ring of bytes and the queue that it should be.
struct Bytes<'a> {
    scratch: &'a Scratch,
    producer: Held<Producer>,
    consumer: Held<Consumer>,
    queue: VecDeque<Waiting>,
    ends: Ends,
    /// That of the message sent last.
    last_tenure: Option<usize>,
    sent: u64,
    received: u64,
}

impl<'a> Bytes<'a> {
    fn new(scratch: &'a Scratch, capacity: u64) -> Self {
        let new = Producer::builder(NAME).directory(scratch.directory()).capacity(capacity);
        let producer = Held::new(new.create().expect("a ring"));
        let consumer = Held::new(Consumer::attach(scratch).expect("the ring just made"));
        assert_eq!(producer.capacity(), capacity);
        Self {
            scratch,
            producer,
            consumer,
            queue: VecDeque::new(),
            ends: Ends::default(),
            last_tenure: None,
            sent: 0,
            received: 0,
        }
    }

    fn play(mut self, mut reader: Reader<'_>) {
        for _ in 0..OPERATIONS_MAX {
            if reader.is_empty() {
                break;
            }
            self.step(&mut reader);
            let waiting = self.queue.len() as u64;
            assert_eq!(self.producer.len().expect("a sound ring"), waiting);
            assert_eq!(self.consumer.len().expect("a sound ring"), waiting);
        }
        let status = inspect_in(&self.scratch.directory(), NAME).expect("a sound ring");
        assert_eq!((status.sent, status.received), (self.sent, self.received));
        assert_eq!(status.depth, self.queue.len() as u64);
        assert!(status.high_water >= status.depth);
    }

    fn step(&mut self, reader: &mut Reader<'_>) {
        match reader.below(10) {
            0 | 1 => {
                let bytes = self.content(reader.u8());
                let sent = self.producer.try_send_tagged(7, &bytes);
                self.after_send(sent, 7, bytes);
            }
            2 => self.reserve(reader),
            3 => self.batch(reader),
            4 | 5 => self.receive(),
            6 => self.receive_into(reader.u8()),
            7 => self.receive_batch(reader.below(5)),
            8 => self.peek(reader.below(4), reader.below(5)),
            _ => self.somebody_returns(reader.u8()),
        }
    }

    /// Content that differs from message to message and byte to byte, up to one byte too long.
    fn content(&self, length: u8) -> Vec<u8> {
        let length = usize::from(length) % (self.producer.max_message() + 2);
        let first = self.sent.wrapping_mul(31);
        (0..length as u64).map(|at| first.wrapping_add(at * 7 + 1).to_le_bytes()[0]).collect()
    }

    fn sent(&mut self, tag: u16, bytes: Vec<u8>) {
        let tenure = self.ends.tenure();
        let first = self.last_tenure.replace(tenure) != Some(tenure);
        self.queue.push_back(Waiting { tag, bytes, tenure, first });
        self.sent += 1;
    }

    fn after_send(&mut self, sent: Result<(), Error>, tag: u16, bytes: Vec<u8>) {
        match sent {
            Ok(()) => self.sent(tag, bytes),
            // Whoever has taken everything withholds nothing.
            Err(Error::Full) => assert!(!self.queue.is_empty(), "an empty ring is full"),
            Err(Error::TooLarge { length, max }) => {
                assert!(length > max && max == self.producer.max_message());
                assert_eq!(length, bytes.len());
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn reserve(&mut self, reader: &mut Reader<'_>) {
        let bytes = self.content(reader.u8());
        let (more, commit) = (reader.below(4), !reader.u8().is_multiple_of(4));
        let room = (bytes.len() + more).min(self.producer.max_message()).max(bytes.len());
        let sent = self.producer.try_reserve(room).and_then(|mut space| {
            assert_eq!(space.capacity(), room);
            space.write_at(0, &vec![0xEE; room])?;
            space.write_at(0, &bytes)?;
            assert!(space.write_at(room, b"x").is_err(), "wrote beyond a reservation");
            space.set_tag(9);
            if commit { space.commit(bytes.len()) } else { Ok(()) }
        });
        match sent {
            Ok(()) if !commit => {}
            Err(Error::TooLarge { length, max }) => {
                assert!(length == room && max == self.producer.max_message())
            }
            sent => self.after_send(sent, 9, bytes),
        }
    }

    fn batch(&mut self, reader: &mut Reader<'_>) {
        let (count, send) = (reader.below(5), !reader.u8().is_multiple_of(4));
        let contents: Vec<_> = (0..count).map(|_| self.content(reader.u8())).collect();
        let empty = self.queue.is_empty();
        let mut batch = self.producer.batch();
        let mut added = Vec::new();
        for bytes in contents {
            match batch.push_tagged(3, &bytes) {
                Ok(()) => added.push(bytes),
                Err(Error::TooLarge { length, max }) => assert!(length == bytes.len() && length > max),
                Err(Error::Full) => {
                    assert!(!(empty && added.is_empty()), "an empty ring is full");
                    break;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(batch.len(), added.len() as u64);
        if send {
            batch.send().expect("what was staged");
            added.into_iter().for_each(|bytes| self.sent(3, bytes));
        }
    }

    /// What the next receiving call says instead of a message.
    fn reason(&mut self, error: &Error) {
        match error {
            Error::Empty => assert!(self.queue.is_empty(), "empty, with {} waiting", self.queue.len()),
            Error::Disconnected(end) => {
                self.ends.tell(*end, self.queue.front().map(|front| front.tenure));
            }
            error => panic!("{error:?}"),
        }
    }

    fn take(&mut self, tag: u16, bytes: &[u8]) {
        let waiting = self.queue.pop_front().expect("a message that nobody sent");
        assert_eq!((tag, bytes), (waiting.tag, &waiting.bytes[..]));
        self.ends.receive(waiting.tenure);
        self.received += 1;
    }

    fn receive(&mut self) {
        let received = self.consumer.try_recv().map(|message| (message.tag(), message.to_vec()));
        match received {
            Ok((tag, bytes)) => self.take(tag, &bytes),
            Err(error) => self.reason(&error),
        }
    }

    fn receive_into(&mut self, size: u8) {
        let mut buffer = vec![0; usize::from(size)];
        match self.consumer.try_recv_into(&mut buffer) {
            Ok((length, tag)) => self.take(tag, &buffer[..length]),
            Err(Error::BufferTooSmall { length }) => {
                assert_eq!(Some(length), self.queue.front().map(|front| front.bytes.len()));
                assert!(length > buffer.len());
                let tenure = self.queue[0].tenure;
                self.ends.receive(tenure);
            }
            Err(error) => self.reason(&error),
        }
    }

    fn receive_batch(&mut self, max: usize) {
        let received = self.consumer.try_recv_batch(max);
        let received =
            received.map(|batch| batch.iter().map(|view| (view.tag(), view.to_vec())).collect::<Vec<_>>());
        match received {
            Ok(messages) => {
                assert!(messages.len() <= max);
                let last = messages.len();
                for (tag, bytes) in messages {
                    self.take(tag, &bytes);
                }
                // It ends with the ring, at its maximum, or where another producer's messages begin.
                let border = self.queue.front().is_some_and(|front| front.first);
                assert!(last == max || self.queue.is_empty() || border);
            }
            Err(error) => self.reason(&error),
        }
    }

    fn peek(&mut self, look: usize, take: usize) {
        let mut peeks = self.consumer.peek_batch();
        let mut seen = Vec::new();
        let mut reason = None;
        for _ in 0..look {
            match peeks.try_next() {
                Ok(view) => seen.push((view.tag(), view.to_vec())),
                Err(error) => {
                    reason = Some(error);
                    break;
                }
            }
        }
        assert_eq!(peeks.len(), seen.len());
        peeks.take(take);
        drop(peeks);
        for (waiting, (tag, bytes)) in self.queue.iter().zip(&seen) {
            assert_eq!((waiting.tag, &waiting.bytes), (*tag, bytes));
        }
        assert!(seen.len() <= self.queue.len(), "looked at what nobody sent");
        let looked = seen.len();
        if let Some(last) = looked.checked_sub(1) {
            let tenure = self.queue[last].tenure;
            self.ends.receive(tenure);
        }
        match reason {
            None => {}
            // Behind what was looked at.
            Some(Error::Empty) => {
                let next = self.queue.get(looked);
                assert!(next.is_none_or(|next| looked > 0 && next.first), "empty too early");
            }
            Some(Error::Disconnected(end)) => {
                self.ends.tell(end, self.queue.get(looked).map(|next| next.tenure));
            }
            Some(error) => panic!("{error:?}"),
        }
        for (tag, bytes) in seen.into_iter().take(take) {
            self.take(tag, &bytes);
        }
    }

    fn somebody_returns(&mut self, how: u8) {
        assert!(matches!(Consumer::attach(self.scratch), Err(Error::SeatTaken { .. })), "two on one seat");
        let closing = how.is_multiple_of(2);
        if how.is_multiple_of(3) {
            self.consumer.replace(self.scratch, closing);
            self.ends.entered = self.ends.tenure();
        } else {
            self.producer.replace(self.scratch, closing);
            self.ends.ends.push(if closing { End::Closed } else { End::Dropped });
        }
    }
}

/// A ring of values and the queue that it should be. Values are numbered.
struct Values<'a> {
    scratch: &'a Scratch,
    producer: Held<TypedProducer<u64>>,
    consumer: Held<TypedConsumer<u64>>,
    capacity: u64,
    sent: u64,
    received: u64,
    ends: Vec<End>,
    told: usize,
}

impl<'a> Values<'a> {
    fn new(scratch: &'a Scratch, capacity: u64) -> Self {
        let new = TypedProducer::<u64>::builder(NAME).directory(scratch.directory()).capacity(capacity);
        let producer = Held::new(new.create().expect("a ring"));
        let consumer = Held::new(TypedConsumer::attach(scratch).expect("the ring just made"));
        Self { scratch, producer, consumer, capacity, sent: 0, received: 0, ends: Vec::new(), told: 0 }
    }

    fn play(mut self, mut reader: Reader<'_>) {
        for _ in 0..OPERATIONS_MAX {
            if reader.is_empty() {
                break;
            }
            self.step(&mut reader);
            let waiting = self.sent - self.received;
            assert_eq!(self.producer.len().expect("a sound ring"), waiting);
            assert_eq!(self.consumer.len().expect("a sound ring"), waiting);
        }
        let status = inspect_in(&self.scratch.directory(), NAME).expect("a sound ring");
        assert_eq!((status.sent, status.received), (self.sent, self.received));
    }

    fn step(&mut self, reader: &mut Reader<'_>) {
        let waiting = self.sent - self.received;
        match reader.below(6) {
            0 => match self.producer.try_send(&self.sent) {
                Ok(()) => self.sent += 1,
                Err(Error::Full) => assert_eq!(waiting, self.capacity, "full too early"),
                Err(error) => panic!("{error:?}"),
            },
            1 => {
                let count = reader.below(12) as u64;
                let values: Vec<u64> = (self.sent..self.sent + count).collect();
                match self.producer.try_send_slice(&values) {
                    Ok(sent) => {
                        assert_eq!(
                            sent as u64,
                            count.min(self.capacity - waiting),
                            "another number than fit"
                        );
                        self.sent += sent as u64;
                    }
                    Err(Error::Full) => assert_eq!(waiting, self.capacity, "full too early"),
                    Err(error) => panic!("{error:?}"),
                }
            }
            2 => match self.consumer.try_recv() {
                Ok(value) => self.take(&[value]),
                Err(error) => self.reason(&error),
            },
            3 => {
                let mut values = vec![u64::MAX; reader.below(12)];
                match self.consumer.try_recv_slice(&mut values) {
                    Ok(count) => self.take(&values[..count]),
                    Err(error) => self.reason(&error),
                }
            }
            4 => {
                self.consumer.replace(self.scratch, reader.u8().is_multiple_of(2));
            }
            _ => {
                let closing = reader.u8().is_multiple_of(2);
                self.producer.replace(self.scratch, closing);
                self.ends.push(if closing { End::Closed } else { End::Dropped });
            }
        }
    }

    fn take(&mut self, values: &[u64]) {
        let expected: Vec<u64> = (self.received..self.received + values.len() as u64).collect();
        assert_eq!(values, expected);
        self.received += values.len() as u64;
        assert!(self.received <= self.sent, "received what nobody sent");
    }

    fn reason(&mut self, error: &Error) {
        match error {
            Error::Empty => assert_eq!(self.sent, self.received, "empty too early"),
            Error::Disconnected(end) => {
                assert!(self.ends[self.told..].contains(end), "told of an end that is not there: {end:?}");
                self.told += 1;
            }
            error => panic!("{error:?}"),
        }
    }
}
