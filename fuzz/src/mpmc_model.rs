//! An MPMC ring against a queue: several senders and receivers that come and go, in any order, at tiny capacities.
//!
//! An input is: bytes or values and the capacity (u8), and the operations, each with who does it.
//!
//! The rules, beside agreement with the queue: full and empty are exact; who sent is of no matter; the end of all
//! senders is told only when there is none, and nothing waits.

use crate::handles::Attach;
use crate::input::Reader;
use crate::object::{NAME, Scratch};
use shm_core::Deadline;
use shm_ring::{Error, Receiver, Result, Sender, TypedReceiver, TypedSender, View, inspect_in};
use std::collections::VecDeque;
use std::time::Duration;

/// Most operations of an input.
const OPERATIONS_MAX: usize = 200;
/// Seats of the ring.
const PARTICIPANTS: usize = 5;
const MESSAGE_BYTES_MAX: usize = 72;

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

/// Plays an input.
pub fn play(input: &[u8]) {
    let mut reader = Reader::new(input);
    SCRATCH.with(|scratch| {
        let _ = std::fs::remove_file(scratch.object());
        let shape = reader.u8();
        let capacity = 2 << (shape % 3);
        if shape < 128 {
            let new =
                Sender::builder(NAME).directory(scratch.directory()).max_message(MESSAGE_BYTES_MAX as u64);
            let new = new.capacity(capacity).participants(PARTICIPANTS as u64).attach_timeout(Duration::ZERO);
            Crowd::<Sender, Receiver>::new(scratch, new.create().expect("a ring")).play(reader);
        } else {
            let new = TypedSender::<u64>::builder(NAME).directory(scratch.directory());
            let new = new.capacity(capacity).participants(PARTICIPANTS as u64).attach_timeout(Duration::ZERO);
            Crowd::<TypedSender<u64>, TypedReceiver<u64>>::new(scratch, new.create().expect("a ring"))
                .play(reader);
        }
    });
}

/// A sender, as far as the model is concerned.
trait Puts: Attach {
    fn again(&self) -> Result<Self>;
    /// One message, in the way of that number.
    fn put(&mut self, message: &Message, way: u8) -> Result<bool>;
    fn length(&self) -> u64;
}

/// A receiver, as far as the model is concerned.
trait Gets: Attach {
    fn again(&self) -> Result<Self>;
    /// At most `max` messages, in the way of that number.
    fn get(&mut self, max: usize, way: u8) -> Result<Vec<Message>>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    tag: u16,
    bytes: Vec<u8>,
}

impl Puts for Sender {
    fn again(&self) -> Result<Self> {
        self.try_clone()
    }

    fn put(&mut self, message: &Message, way: u8) -> Result<bool> {
        if way.is_multiple_of(2) {
            return self.try_send_tagged(message.tag, &message.bytes).map(|()| true);
        }
        let mut space = self.reserve(message.bytes.len())?;
        space.write_at(0, &message.bytes)?;
        assert!(space.write_at(message.bytes.len(), b"x").is_err(), "wrote beyond a reservation");
        space.set_tag(message.tag);
        if way % 8 == 7 {
            return Ok(false);
        }
        space.try_commit(message.bytes.len()).map(|()| true).map_err(|(_, error)| error)
    }

    fn length(&self) -> u64 {
        self.len().expect("a sound ring")
    }
}

impl Gets for Receiver {
    fn again(&self) -> Result<Self> {
        self.try_clone()
    }

    fn get(&mut self, max: usize, way: u8) -> Result<Vec<Message>> {
        let message = |view: &View<'_>| Message { tag: view.tag(), bytes: view.to_vec() };
        match way % 3 {
            0 => {
                let delivery = self.try_recv()?;
                assert!(!delivery.is_redelivered(), "nobody died");
                Ok(vec![message(&delivery.view())])
            }
            1 => {
                let mut buffer = vec![0; max * 8];
                let (length, tag) = self.try_recv_into(&mut buffer)?;
                buffer.truncate(length);
                Ok(vec![Message { tag, bytes: buffer }])
            }
            _ => {
                let mut messages = Vec::new();
                let count =
                    self.recv_batch_until(max, Deadline::now(), |view| messages.push(message(&view)))?;
                assert_eq!(count, messages.len());
                Ok(messages)
            }
        }
    }
}

impl Puts for TypedSender<u64> {
    fn again(&self) -> Result<Self> {
        self.try_clone()
    }

    fn put(&mut self, message: &Message, _: u8) -> Result<bool> {
        self.try_send(&value_of(message)).map(|()| true)
    }

    fn length(&self) -> u64 {
        self.len().expect("a sound ring")
    }
}

impl Gets for TypedReceiver<u64> {
    fn again(&self) -> Result<Self> {
        self.try_clone()
    }

    fn get(&mut self, max: usize, way: u8) -> Result<Vec<Message>> {
        let message = |value: u64| Message { tag: 0, bytes: value.to_le_bytes().to_vec() };
        if way.is_multiple_of(2) {
            return Ok(vec![message(self.try_recv()?)]);
        }
        let mut values = vec![0; max];
        let count = self.recv_slice_until(&mut values, Deadline::now())?;
        Ok(values[..count].iter().copied().map(message).collect())
    }
}

fn value_of(message: &Message) -> u64 {
    message.bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A ring with those who are at it, and the queue that it should be.
struct Crowd<'a, S, R> {
    scratch: &'a Scratch,
    senders: Vec<S>,
    receivers: Vec<R>,
    queue: VecDeque<Message>,
    capacity: usize,
    sent: u64,
    received: u64,
    /// Whether messages are values.
    typed: bool,
}

impl<'a, S: Puts, R: Gets> Crowd<'a, S, R> {
    fn new(scratch: &'a Scratch, sender: S) -> Self {
        let capacity = usize::try_from(Attach::capacity(&sender)).expect("a small ring");
        let receivers = vec![R::attach(scratch).expect("a seat")];
        let typed = S::WHO.contains("values");
        let queue = VecDeque::new();
        Self { scratch, senders: vec![sender], receivers, queue, capacity, sent: 0, received: 0, typed }
    }

    fn play(mut self, mut reader: Reader<'_>) {
        for _ in 0..OPERATIONS_MAX {
            if reader.is_empty() {
                break;
            }
            self.step(&mut reader);
            if let Some(sender) = self.senders.first() {
                assert_eq!(sender.length(), self.queue.len() as u64);
            }
        }
        let status = inspect_in(&self.scratch.directory(), NAME).expect("a sound ring");
        assert_eq!((status.sent, status.received), (self.sent, self.received));
        assert_eq!(status.depth, self.queue.len() as u64);
    }

    fn step(&mut self, reader: &mut Reader<'_>) {
        let (what, who) = (reader.below(8), usize::from(reader.u8()));
        match what {
            0..=2 => self.send(who, reader.u8(), reader.u8()),
            3..=5 => self.receive(who, reader.below(10), reader.u8()),
            6 => self.comes(who),
            _ => self.goes(who),
        }
    }

    fn send(&mut self, who: usize, length: u8, way: u8) {
        let count = self.senders.len().max(1);
        let Some(sender) = self.senders.get_mut(who % count) else { return };
        let length = if self.typed { 8 } else { usize::from(length) % (MESSAGE_BYTES_MAX + 2) };
        let mut bytes = self.sent.wrapping_mul(0x0101_0101_0101_0107).to_le_bytes().repeat(length / 8 + 1);
        bytes.truncate(length);
        let message = Message { tag: if self.typed { 0 } else { length as u16 }, bytes };
        match sender.put(&message, way) {
            Ok(true) => {
                assert!(self.queue.len() < self.capacity, "sent into a full ring");
                self.queue.push_back(message);
                self.sent += 1;
            }
            Ok(false) => {}
            Err(Error::Full) => assert_eq!(self.queue.len(), self.capacity, "full too early"),
            Err(Error::TooLarge { length, max }) => assert!(length > max && max == MESSAGE_BYTES_MAX),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn receive(&mut self, who: usize, max: usize, way: u8) {
        let count = self.receivers.len().max(1);
        let Some(receiver) = self.receivers.get_mut(who % count) else { return };
        match receiver.get(max, way) {
            Ok(messages) => {
                for message in messages {
                    assert_eq!(Some(message), self.queue.pop_front());
                    self.received += 1;
                }
            }
            Err(Error::Empty | Error::TimedOut) => assert!(self.queue.is_empty(), "empty too early"),
            Err(Error::BufferTooSmall { length }) => {
                assert_eq!(Some(length), self.queue.front().map(|front| front.bytes.len()));
                assert!(length > max * 8);
            }
            Err(Error::Disconnected(_)) => {
                assert!(self.queue.is_empty(), "an end before what was sent");
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn comes(&mut self, who: usize) {
        let full = self.senders.len() + self.receivers.len() == PARTICIPANTS;
        let come = if who.is_multiple_of(2) {
            let sender = match self.senders.first() {
                Some(sender) if who.is_multiple_of(4) => sender.again(),
                _ => S::attach(self.scratch),
            };
            sender.map(|sender| self.senders.push(sender))
        } else {
            let receiver = match self.receivers.first() {
                Some(receiver) if who % 4 == 1 => receiver.again(),
                _ => R::attach(self.scratch),
            };
            receiver.map(|receiver| self.receivers.push(receiver))
        };
        match come {
            Ok(()) => assert!(!full, "more than there are seats for"),
            Err(Error::NoSeat { participants }) => assert!(full && participants == PARTICIPANTS as u64),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn goes(&mut self, who: usize) {
        let closing = who.is_multiple_of(3);
        if who.is_multiple_of(2) && !self.senders.is_empty() {
            let sender = self.senders.remove(who / 2 % self.senders.len());
            if closing { sender.close() } else { drop(sender) }
        } else if !self.receivers.is_empty() {
            let receiver = self.receivers.remove(who / 2 % self.receivers.len());
            if closing { receiver.close() } else { drop(receiver) }
        }
    }
}
