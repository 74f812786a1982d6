//! Either side of a ring of either kind, and what goes through it: numbered messages whose every byte follows
//! from the number.

use shm_ring::{Consumer, End, Error, Kind, Producer, Result, Role, TypedConsumer, TypedProducer};
use std::time::Duration;

/// Bytes in the rings of bytes.
pub(crate) const CAPACITY_BYTES: u64 = 256;
/// Slots in the rings of values.
pub(crate) const CAPACITY_SLOTS: u64 = 8;
/// The longest message of all: it fits an empty ring wherever the next one goes.
pub(crate) const LONGEST: usize = 120;
/// How long a process tries to take a seat that is to come free.
pub(crate) const PATIENCE: Duration = shm_tests::FUSE;

/// What rings of values carry.
pub(crate) type Value = [u64; 3];

/// Message `number`. In a ring of [`CAPACITY_BYTES`] that begins with message 0, message 8 is the first to need a
/// pad.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let lengths = [8, 24, 13, 40, 16];
    bytes_of(number, lengths[usize::try_from(number % 5).unwrap()])
}

/// Message `number`, as long as messages get.
pub(crate) fn longest(number: u64) -> Vec<u8> {
    bytes_of(number, LONGEST)
}

fn bytes_of(number: u64, length: usize) -> Vec<u8> {
    let rest = (8..length as u64).map(|at| (number ^ at).to_le_bytes()[0].wrapping_mul(31) | 1);
    number.to_le_bytes().into_iter().chain(rest).collect()
}

/// The number of a message.
///
/// # Panics
/// When any of its bytes is not what the number demands.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(*bytes.first_chunk().expect("a message has at least its number"));
    let expected = if bytes.len() == LONGEST { longest(number) } else { content(number) };
    assert_eq!(bytes, expected, "message {number} is torn");
    number
}

/// Value `number`.
pub(crate) fn value(number: u64) -> Value {
    [number, !number, number.wrapping_mul(0x9E37_79B9_7F4A_7C15)]
}

/// The number of a value.
pub(crate) fn number_of(found: Value) -> u64 {
    assert_eq!(found, value(found[0]), "value {} is torn", found[0]);
    found[0]
}

/// The side that sends.
#[derive(Debug)]
pub(crate) enum Sender {
    Bytes(Producer),
    Typed(TypedProducer<Value>),
}

/// The side that receives.
#[derive(Debug)]
pub(crate) enum Receiver {
    Bytes(Consumer),
    Typed(TypedConsumer<Value>),
}

impl Sender {
    /// Creates a ring and sits down as the one that sends. In a ring of bytes it is told of consumers' ends.
    pub(crate) fn create(kind: Kind, name: &str) -> Self {
        match kind {
            Kind::SpscBytes => {
                let builder = Producer::builder(name).capacity(CAPACITY_BYTES).require_peer(true);
                Self::Bytes(builder.create().unwrap())
            }
            _ => Self::Typed(TypedProducer::builder(name).capacity(CAPACITY_SLOTS).create().unwrap()),
        }
    }

    /// Takes the seat of the one that sends, if it is free by then.
    pub(crate) fn open(kind: Kind, name: &str, timeout: Duration) -> Result<Self> {
        match kind {
            Kind::SpscBytes => Producer::builder(name).attach_timeout(timeout).open().map(Self::Bytes),
            _ => TypedProducer::builder(name).attach_timeout(timeout).open().map(Self::Typed),
        }
    }

    /// Sends message `number` if there is space; whether there was.
    pub(crate) fn send(&mut self, number: u64) -> bool {
        let sent = match self {
            Self::Bytes(producer) => producer.try_send(&content(number)),
            Self::Typed(producer) => producer.try_send(&value(number)),
        };
        match sent {
            Ok(()) => true,
            Err(Error::Full) => false,
            Err(error) => panic!("sending {number}: {error}"),
        }
    }

    /// Sends message `number` in the greatest length there is.
    pub(crate) fn send_longest(&mut self, number: u64) -> bool {
        match self {
            Self::Bytes(producer) => producer.try_send(&longest(number)).is_ok(),
            Self::Typed(_) => self.send(number),
        }
    }

    /// Ends of consumers that it is told of now.
    pub(crate) fn ends(&mut self) -> Vec<End> {
        let mut ends = Vec::new();
        if let Self::Bytes(producer) = self {
            while let Err(error) = producer.check() {
                match error {
                    Error::Disconnected(end) => ends.push(end),
                    error => panic!("{error}"),
                }
            }
        }
        ends
    }

    /// Messages that are not handed out, as the other side says.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(producer) => producer.len().unwrap(),
            Self::Typed(producer) => producer.len().unwrap(),
        }
    }

    pub(crate) fn close(self) {
        match self {
            Self::Bytes(producer) => producer.close(),
            Self::Typed(producer) => producer.close(),
        }
    }
}

impl Receiver {
    /// Creates a ring and sits down as the one that receives.
    pub(crate) fn create(kind: Kind, name: &str) -> Self {
        match kind {
            Kind::SpscBytes => {
                Self::Bytes(Consumer::builder(name).capacity(CAPACITY_BYTES).create().unwrap())
            }
            _ => Self::Typed(TypedConsumer::builder(name).capacity(CAPACITY_SLOTS).create().unwrap()),
        }
    }

    /// Takes the seat of the one that receives, if it is free by then.
    pub(crate) fn open(kind: Kind, name: &str, timeout: Duration) -> Result<Self> {
        match kind {
            Kind::SpscBytes => Consumer::builder(name).attach_timeout(timeout).open().map(Self::Bytes),
            _ => TypedConsumer::builder(name).attach_timeout(timeout).open().map(Self::Typed),
        }
    }

    /// Receives the next message or end that is there now.
    pub(crate) fn receive(&mut self) -> Option<Result<u64>> {
        let received = match self {
            Self::Bytes(consumer) => {
                consumer.recv_timeout(Duration::ZERO).map(|message| number(&message.to_vec()))
            }
            Self::Typed(consumer) => consumer.recv_timeout(Duration::ZERO).map(number_of),
        };
        match received {
            Err(Error::TimedOut) => None,
            received => Some(received),
        }
    }

    /// Whether nothing can be received now.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(consumer) => consumer.is_empty().unwrap(),
            Self::Typed(consumer) => consumer.is_empty().unwrap(),
        }
    }
}

/// Asks for the seat of `role` and expects that a living process has it: which one.
pub(crate) fn who_sits(kind: Kind, role: Role, name: &str) -> u32 {
    let error = match role {
        Role::Producer | Role::Sender => {
            Sender::open(kind, name, Duration::ZERO).expect_err("the seat is taken")
        }
        Role::Consumer | Role::Receiver => {
            Receiver::open(kind, name, Duration::ZERO).expect_err("the seat is taken")
        }
    };
    match error {
        Error::SeatTaken { role: taken, pid } if taken == role => pid,
        error => panic!("{error}"),
    }
}
