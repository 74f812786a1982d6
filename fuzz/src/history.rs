//! What became of real rings in files on a disk: their bytes at many moments, and which messages each flush covered.

use crate::digest;
use crate::handles::Attach;
use crate::object::{NAME, Scratch};
use shm_core::header::{CREATED_OFFSET, INSTANCE_OFFSET};
use shm_ring::layout::restart::RECORDS;
use shm_ring::{
    Consumer, Error, Producer, Receiver, Result, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Kinds of rings: bytes, values, and of many bytes, values, and bytes that come again.
pub const KINDS: usize = 5;
/// Histories of each.
pub const PER_KIND: usize = 16;
/// Things that happen in one.
const EVENTS: usize = 260;
const CAPACITY_BYTES: u64 = 2048;
const CAPACITY_VALUES: u64 = 32;
const CAPACITY_MANY: u64 = 8;
const MESSAGE_BYTES_MAX: u64 = 120;
const PARTICIPANTS: u64 = 3;
/// Tells a value from others by its upper half.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// A moment at which the machine may stop.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Each page on the disk is one of these versions.
    pub versions: Range<usize>,
    /// How many of the flushes were complete, or begun.
    pub flushes: usize,
}

/// A ring's life.
#[derive(Debug)]
pub struct History {
    /// The file as it was from time to time.
    pub versions: Vec<Vec<u8>>,
    /// Moments, in order.
    pub moments: Vec<Moment>,
    /// The messages that each flush covered; the first is the birth.
    pub flushes: Vec<Range<u64>>,
}

/// A sending handle, with numbers for messages.
pub trait Puts: Attach {
    /// Makes the ring.
    fn create(scratch: &Scratch) -> Result<Self>;
    /// Sends a message; [`Error::Full`] when there is no space.
    fn put(&mut self, number: u64) -> Result<()>;
    /// See the handle's.
    fn flush(&mut self) -> Result<()>;
}

/// A receiving handle, with numbers for messages.
pub trait Gets: Attach {
    /// The next message: its number, `None` if it is no message that anybody sends. [`Error::Empty`] when there is
    /// none, whatever became of the others.
    fn get(&mut self) -> Result<Option<u64>>;
    /// See the handle's.
    fn flush(&mut self) -> Result<()>;
}

/// A message of bytes that tells its number, by all of its bytes.
fn message(number: u64) -> Vec<u8> {
    let length = 8 + (number.wrapping_mul(FACTOR) >> 32) % (MESSAGE_BYTES_MAX - 7);
    let words = (0..length.div_ceil(8)).flat_map(|index| (number ^ index.wrapping_mul(FACTOR)).to_le_bytes());
    words.take(usize::try_from(length).unwrap_or(0)).collect()
}

fn of_message(bytes: &[u8]) -> Option<u64> {
    let number = bytes.first_chunk().map(|first| u64::from_le_bytes(*first))?;
    (bytes == message(number)).then_some(number)
}

/// A value that tells its number, which is small, and a checksum.
fn value(number: u64) -> u64 {
    number << 48 | number.wrapping_add(1).wrapping_mul(FACTOR) >> 16
}

fn of_value(found: u64) -> Option<u64> {
    (found == value(found >> 48)).then_some(found >> 48)
}

macro_rules! plays {
    ($sender:ty, $receiver:ty, $builder:expr, $encode:expr, $decode:expr) => {
        impl Puts for $sender {
            fn create(scratch: &Scratch) -> Result<Self> {
                $builder(Self::builder(NAME).directory(scratch.directory())).create()
            }

            fn put(&mut self, number: u64) -> Result<()> {
                self.try_send(&$encode(number))
            }

            fn flush(&mut self) -> Result<()> {
                Self::flush(self)
            }
        }

        impl Gets for $receiver {
            fn get(&mut self) -> Result<Option<u64>> {
                loop {
                    match self.try_recv() {
                        Err(Error::Disconnected(_)) => {} // those who were there before
                        received => return received.map($decode),
                    }
                }
            }

            fn flush(&mut self) -> Result<()> {
                Self::flush(self)
            }
        }
    };
}

type Many = shm_ring::Builder<Sender>;
type ManyValues = shm_ring::Builder<TypedSender<u64>>;

plays!(
    Producer,
    Consumer,
    |builder: shm_ring::Builder<Self>| builder.capacity(CAPACITY_BYTES),
    message,
    |it| of_message(&it.to_vec())
);
plays!(
    TypedProducer<u64>,
    TypedConsumer<u64>,
    |builder: shm_ring::Builder<Self>| builder.capacity(CAPACITY_VALUES),
    value,
    of_value
);
plays!(Sender, Receiver, |builder: Many| many(builder), message, |it| of_message(&it.to_vec()));
plays!(
    TypedSender<u64>,
    TypedReceiver<u64>,
    |builder: ManyValues| builder.capacity(CAPACITY_MANY).participants(PARTICIPANTS),
    value,
    of_value
);

fn many(builder: Many) -> Many {
    builder.capacity(CAPACITY_MANY).max_message(MESSAGE_BYTES_MAX).participants(PARTICIPANTS)
}

/// Numbers that look random and are the same at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

thread_local! {
    static KNOWN: RefCell<HashMap<(usize, usize), Rc<History>>> = RefCell::new(HashMap::new());
}

/// A history of a kind; both numbers wrap around.
pub fn of(kind: usize, number: usize) -> Rc<History> {
    let key @ (kind, number) = (kind % KINDS, number % PER_KIND);
    let known = KNOWN.with_borrow(|known| known.get(&key).cloned());
    known.unwrap_or_else(|| {
        let scratch = Scratch::on_disk();
        let random = Random(1 + number as u64);
        let lived = match kind {
            0 => live::<Producer, Consumer>(&scratch, random, Puts::create),
            1 => live::<TypedProducer<u64>, TypedConsumer<u64>>(&scratch, random, Puts::create),
            2 => live::<Sender, Receiver>(&scratch, random, Puts::create),
            3 => live::<TypedSender<u64>, TypedReceiver<u64>>(&scratch, random, Puts::create),
            _ => live::<Sender, Receiver>(&scratch, random, |scratch| {
                many(Sender::builder(NAME).directory(scratch.directory())).redelivery(true).create()
            }),
        };
        let history = Rc::new(lived.expect("a ring's life"));
        KNOWN.with_borrow_mut(|known| known.insert(key, Rc::clone(&history)));
        history
    })
}

/// Who sends and who receives, and what came of it.
struct Life<'a, P, C> {
    scratch: &'a Scratch,
    sender: P,
    receiver: C,
    sent: u64,
    received: u64,
    history: History,
}

fn live<P: Puts, C: Gets>(
    scratch: &Scratch,
    mut random: Random,
    create: impl FnOnce(&Scratch) -> Result<P>,
) -> Result<History> {
    let sender = create(scratch)?;
    let receiver = C::attach(scratch)?;
    let history = History { versions: Vec::new(), moments: Vec::new(), flushes: vec![Range::default()] };
    let mut life = Life { scratch, sender, receiver, sent: 0, received: 0, history };
    life.look(0);
    for _ in 0..EVENTS {
        match random.below(64) {
            0..30 => life.send()?,
            30..58 => life.receive()?,
            58..61 => life.flush(random.below(2) == 0)?,
            61 => {
                if random.below(2) == 0 {
                    life.sender.close();
                } else {
                    drop(life.sender);
                }
                life.sender = P::attach(scratch)?;
            }
            62 => {
                drop(life.receiver);
                life.receiver = C::attach(scratch)?;
            }
            _ => {
                // One runs far behind the other.
                for _ in 0..40 {
                    if random.below(2) == 0 { life.send()? } else { life.receive()? }
                }
            }
        }
        if random.below(5) == 0 {
            life.look(life.oldest());
        }
    }
    life.look(life.oldest());
    Ok(life.history)
}

impl<P: Puts, C: Gets> Life<'_, P, C> {
    fn send(&mut self) -> Result<()> {
        match self.sender.put(self.sent) {
            Err(Error::Full) => Ok(()),
            other => other.map(|()| self.sent += 1),
        }
    }

    fn receive(&mut self) -> Result<()> {
        match self.receiver.get() {
            Err(Error::Empty) => Ok(()),
            received => {
                assert_eq!(received?, Some(self.received));
                self.received += 1;
                Ok(())
            }
        }
    }

    fn flush(&mut self, by_sender: bool) -> Result<()> {
        // Pages may be from before it until the next one is complete; and so may what counts.
        let before = self.history.versions.len();
        self.look(self.oldest());
        if by_sender {
            self.sender.flush()?
        } else {
            self.receiver.flush()?
        }
        self.history.flushes.push(self.received..self.sent);
        self.look(before);
        Ok(())
    }

    fn oldest(&self) -> usize {
        self.history.moments.last().map_or(0, |moment| moment.versions.start)
    }

    /// Notes what is in the file.
    fn look(&mut self, oldest: usize) {
        let mut bytes = std::fs::read(self.scratch.object()).expect("the ring's file");
        assert!((0..RECORDS).any(|record| digest::is_whole(&bytes, record)), "no record has its checksum");
        // The same bytes at every start, but for processes' numbers.
        bytes[INSTANCE_OFFSET..INSTANCE_OFFSET + 16].fill(7);
        bytes[CREATED_OFFSET..CREATED_OFFSET + 8].fill(0);
        digest::make_whole(&mut bytes);
        self.history.versions.push(bytes);
        let versions = oldest..self.history.versions.len();
        self.history.moments.push(Moment { versions, flushes: self.history.flushes.len() });
    }
}
