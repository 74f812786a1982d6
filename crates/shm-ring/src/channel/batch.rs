//! Many messages by one publication, or one release.

use crate::channel::consumer::Consumer;
use crate::channel::message::View;
use crate::channel::producer::Producer;
use crate::error::{Error, Result};
use crate::record::Record;
use shm_core::{Deadline, Span};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

/// Messages that one call of [`Peeks::write_to`] writes, at most.
const SPANS_MAX: usize = 64;

/// Messages that are sent together. Dropped without [`send`](Self::send), nothing was sent.
///
/// Consumers see all of them or none, whatever happens to this process.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("batch-doc-{}", std::process::id());
/// # let mut producer = shm_ring::Producer::create(name)?;
/// let mut batch = producer.batch();
/// for price in [100_u64, 101, 99] {
///     batch.push(&price.to_le_bytes())?;
/// }
/// batch.send()?;
/// # shm_ring::remove_forced(name)
/// # }
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    producer: &'a mut Producer,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(producer: &'a mut Producer) -> Self {
        producer.writer().forget_batch();
        Self { producer }
    }

    /// Adds a message, if there is space for it behind those that were added.
    ///
    /// # Errors
    /// [`Full`](Error::Full): send what was added and begin another batch;
    /// [`TooLarge`](Error::TooLarge), and as [`Producer::send`].
    pub fn push(&mut self, message: &[u8]) -> Result<()> {
        self.push_tagged(0, message)
    }

    /// As [`push`](Self::push), with a number of yours beside the message.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_tagged(&mut self, tag: u16, message: &[u8]) -> Result<()> {
        let reserved = self.producer.reserve_for_batch(message.len())?.ok_or(Error::Full)?;
        let writer = self.producer.writer();
        writer.fill(&reserved, 0, message)?;
        writer.stage(&reserved, message.len(), tag)
    }

    /// How many messages were added.
    pub fn len(&self) -> u64 {
        self.producer.staged()
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends them all.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send(self) -> Result<()> {
        self.producer.publish()
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.producer.writer().forget_batch();
    }
}

/// Messages that were received together: nobody receives them again. Dropping it gives their space back, as far as
/// there is reason to: it may be held back below an eighth of the ring while more messages wait.
#[derive(Debug)]
pub struct Messages<'a> {
    consumer: &'a mut Consumer,
    records: Vec<Record>,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(consumer: &'a mut Consumer, max: usize, deadline: Option<Deadline>) -> Result<Self> {
        let mut records = consumer.spare_records();
        if max > 0 {
            let first = match deadline {
                None => consumer.look_now()?,
                Some(deadline) => consumer.look_until(deadline)?,
            };
            records.push(first);
        }
        while records.len() < max
            && let Some(record) = consumer.look_further()
        {
            records.push(record);
        }
        if let Some(last) = records.last() {
            consumer.hand_out(last.end(), records.len() as u64);
        }
        Ok(Self { consumer, records })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none, because none were asked for.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The messages, in the order in which they were sent.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = View<'_>> {
        self.records.iter().map(|record| self.consumer.view(record))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        self.consumer.keep_spare(std::mem::take(&mut self.records));
        self.consumer.give_back();
    }
}

/// Messages that are looked at one after the other, and received only when they are [taken](Self::take).
///
/// For those who pass messages on and want none lost when that fails: look at some, pass them on, take those
/// that arrived. What is not taken comes again, to this consumer or, if it dies, to the next.
#[derive(Debug)]
pub struct Peeks<'a> {
    consumer: &'a mut Consumer,
    /// Those that were looked at and not taken.
    records: Vec<Record>,
}

impl<'a> Peeks<'a> {
    pub(crate) fn new(consumer: &'a mut Consumer) -> Self {
        let records = consumer.spare_records();
        Self { consumer, records }
    }

    /// Looks at the next message if there is one now.
    ///
    /// # Errors
    /// As [`Consumer::try_recv`]; but as long as messages are not taken, the answer to none more is
    /// [`Empty`](Error::Empty): ends are told when all that was sent is received.
    pub fn try_next(&mut self) -> Result<View<'_>> {
        let record = if self.is_empty() {
            self.consumer.look_now()?
        } else {
            self.consumer.ours()?; // what was looked at may have been copied by a fork
            self.consumer.look_further().ok_or(Error::Empty)?
        };
        Ok(self.noted(record))
    }

    /// Looks at the next message. Waits for it until the deadline if there is nothing to take, and not at all
    /// otherwise.
    ///
    /// # Errors
    /// As [`Consumer::recv_until`] or [`try_next`](Self::try_next).
    pub fn next_until(&mut self, deadline: Deadline) -> Result<View<'_>> {
        if !self.is_empty() {
            return self.try_next();
        }
        let record = self.consumer.look_until(deadline)?;
        Ok(self.noted(record))
    }

    /// How many were looked at and not taken.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none to take.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Writes the messages that were looked at and not taken, one behind the other with nothing in between, to a
    /// file, a pipe or a socket straight from the ring, by one `writev(2)`: how many bytes were written. `range` says
    /// which of all their bytes; fewer may be written than that, and of more than 64 messages those behind never are
    /// by one call. Nothing is received by this: [take](Self::take) what was written to its end.
    ///
    /// # Errors
    /// As [`View::write_to`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = &format!("peeks-write-to-doc-{}", std::process::id());
    /// # let mut producer = shm_ring::Producer::create(name)?;
    /// # (producer.send(b"hello, ")?, producer.send(b"world")?);
    /// # let mut consumer = shm_ring::Consumer::open(name)?;
    /// # let (reader, file) = std::io::pipe()?;
    /// let mut peeks = consumer.peek_batch();
    /// let (mut bytes, mut written) = (0, 0);
    /// while let Ok(message) = peeks.try_next() {
    ///     bytes += message.len();
    /// }
    /// while written < bytes {
    ///     written += peeks.write_to(written..bytes, &file)?;
    /// }
    /// peeks.take(peeks.len());
    /// # drop((peeks, file));
    /// # assert_eq!(std::io::read_to_string(reader)?, "hello, world");
    /// # drop((producer, consumer));
    /// # Ok(shm_ring::remove(name)?)
    /// # }
    /// ```
    pub fn write_to(&self, range: Range<usize>, descriptor: impl AsFd) -> io::Result<usize> {
        let mut before = 0;
        let mut spans = [Span::new(0, 0); SPANS_MAX];
        let mut free = spans.iter_mut();
        for record in &self.records {
            let view = self.consumer.view(record);
            let part = range.start.saturating_sub(before)..range.end.saturating_sub(before);
            before = before.saturating_add(view.len());
            let Some(span) = view.span(&part) else { continue };
            let Some(place) = free.next() else { break };
            *place = span;
        }
        let unused = free.len();
        match spans.get(..SPANS_MAX - unused) {
            Some(spans) if !spans.is_empty() => self.consumer.data().write_to(spans, descriptor),
            _ => Ok(0),
        }
    }

    /// Receives the first `count` of those that were looked at and not taken (all, if there are not as many).
    pub fn take(&mut self, count: usize) {
        let count = count.min(self.records.len());
        if let Some(last) = self.records.drain(..count).next_back() {
            self.consumer.take(last.end(), count as u64);
        }
    }

    fn noted(&mut self, record: Record) -> View<'_> {
        self.records.push(record);
        self.consumer.view(&record)
    }
}

impl Drop for Peeks<'_> {
    fn drop(&mut self) {
        self.consumer.keep_spare(std::mem::take(&mut self.records));
        self.consumer.look_back();
    }
}
