//! The side that receives messages of bytes.

use crate::attach::{Content, Mode, Settings};
use crate::attachment::Attachment;
use crate::blocking::{Attached, Place, try_now, wait};
use crate::channel::batch::{Messages, Peeks};
use crate::channel::builder::{Builder, Handle, Paired, sealed};
use crate::channel::common::common_methods;
use crate::channel::message::{Message, Peek, View};
use crate::channel::producer::Producer;
use crate::error::{End, Error, Result, Role};
use crate::record::Record;
use crate::seat::Start;
use crate::spsc::bytes::Reader;
use crate::statistics::ConsumerStatistics;
use crate::wait::WaitCounts;
use shm_core::{Deadline, Region};
use std::time::Duration;

/// Receives messages of bytes from a ring that has no other consumer.
///
/// Messages come in the order in which they were sent, each once. When everything that was sent is received
/// and the producer has gone, the next call says how: [`Disconnected`](Error::Disconnected), once for each
/// end; the call after that waits for the next producer.
///
/// A consumer that is killed takes with it what its last call had handed out, and nothing else; the next
/// consumer goes on behind that.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("consumer-doc-{}", std::process::id());
/// # let mut producer = shm_ring::Producer::create(name)?;
/// # producer.send(b"hello")?;
/// # producer.close();
/// let mut consumer = shm_ring::Consumer::open(name)?;
/// for message in consumer.iter() {
///     println!("{}", String::from_utf8_lossy(&message?.bytes));
/// }
/// # drop(consumer);
/// # shm_ring::remove(name)
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    reader: Reader,
    statistics: ConsumerStatistics,
    spare_records: Vec<Record>,
    // Last: leaves the seat and closes the object when the rest is gone.
    place: Attachment,
}

/// A message copied out of the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnedMessage {
    /// The number that the sender attached; 0 unless it said otherwise.
    pub tag: u16,
    /// The message.
    pub bytes: Vec<u8>,
}

impl Attached for Consumer {
    type Place = Attachment;

    fn place(&mut self) -> &mut Attachment {
        &mut self.place
    }

    fn progress(&self) -> u64 {
        self.reader.received()
    }

    #[inline(always)]
    fn has_news(&self) -> bool {
        self.reader.will_read_further();
        !self.reader.is_drained()
    }
}

impl Handle for Consumer {}
impl Paired for Consumer {}

impl sealed::Sealed for Consumer {
    const DEFAULT_CAPACITY: u64 = <Producer as sealed::Sealed>::DEFAULT_CAPACITY;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        Producer::content(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self> {
        let ground = settings.ground(mode, content, Role::Consumer, deadline)?;
        let geometry = ground.geometry();
        let (place, (reader, statistics)) =
            Attachment::new(ground, Role::Consumer, settings, deadline, |parts, _| {
                let reader = Reader::resume(parts)?;
                let start = Start { position: reader.position(), count: reader.received() };
                Ok(((reader, ConsumerStatistics::new(parts, geometry)?), start))
            })?;
        Ok(Self { reader, statistics, spare_records: Vec::new(), place })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.place.is_forked_copy() {
            self.reader.look_back();
            self.reader.release_all();
        }
    }
}

impl Consumer {
    common_methods!("producer");

    /// Receives the next message, waiting for it as long as it takes. It is looked at in place and copied from
    /// there; its space is given back when it is dropped.
    ///
    /// # Errors
    /// [`Disconnected`](Error::Disconnected) when everything is received and the producer has gone;
    /// [`Detached`](Error::Detached) when everything is received and the ring was removed;
    /// [`Corrupt`](Error::Corrupt).
    #[inline]
    pub fn recv(&mut self) -> Result<Message<'_>> {
        self.recv_until(Deadline::NEVER)
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// [`Empty`](Error::Empty), and as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Message<'_>> {
        let record = self.look_now()?;
        self.reader.take(record.end(), 1);
        Ok(Message::new(self, record))
    }

    /// Receives the next message, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Message<'_>> {
        self.recv_until(Deadline::after(timeout))
    }

    /// Receives the next message, waiting until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`recv`](Self::recv).
    #[inline]
    pub fn recv_until(&mut self, deadline: Deadline) -> Result<Message<'_>> {
        let record = self.look_until(deadline)?;
        self.reader.take(record.end(), 1);
        Ok(Message::new(self, record))
    }

    /// Receives the next message into `buffer`, waiting as long as it takes and allocating nothing; returns its
    /// length and tag.
    ///
    /// # Errors
    /// [`BufferTooSmall`](Error::BufferTooSmall), which leaves the message in the ring; and as
    /// [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut [u8]) -> Result<(usize, u16)> {
        let record = self.look_until(Deadline::NEVER)?;
        self.copy_into(&record, buffer)
    }

    /// As [`recv_into`](Self::recv_into), if there is a message now.
    ///
    /// # Errors
    /// [`Empty`](Error::Empty), and as [`recv_into`](Self::recv_into).
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<(usize, u16)> {
        let record = self.look_now()?;
        self.copy_into(&record, buffer)
    }

    #[inline(always)]
    fn copy_into(&mut self, record: &Record, buffer: &mut [u8]) -> Result<(usize, u16)> {
        let view = self.view(record);
        let (length, tag) = (view.len(), view.tag());
        if length > buffer.len() {
            self.look_back();
            return Err(Error::BufferTooSmall { length });
        }
        view.read_at(0, buffer);
        // This process's own: whoever looked has asked.
        self.reader.take(record.end(), 1);
        self.release();
        Ok((length, tag))
    }

    /// Looks at the next message without receiving it, if there is one now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek(&mut self) -> Result<Peek<'_>> {
        let record = self.look_now()?;
        Ok(Peek::new(self, record))
    }

    /// Looks at the next message without receiving it, waiting until the deadline.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until).
    pub fn peek_until(&mut self, deadline: Deadline) -> Result<Peek<'_>> {
        let record = self.look_until(deadline)?;
        Ok(Peek::new(self, record))
    }

    /// Receives up to `max` messages that are there now, together: their space is given back at once, when the
    /// batch is dropped. Killed while it holds a batch, a consumer takes the batch with it.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_batch(&mut self, max: usize) -> Result<Messages<'_>> {
        Messages::new(self, max, None)
    }

    /// As [`try_recv_batch`](Self::try_recv_batch), waiting for the first message until the deadline.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until).
    pub fn recv_batch_until(&mut self, max: usize, deadline: Deadline) -> Result<Messages<'_>> {
        Messages::new(self, max, Some(deadline))
    }

    /// Looks at messages one after the other without receiving any of them, until they are
    /// [taken](Peeks::take).
    pub fn peek_batch(&mut self) -> Peeks<'_> {
        Peeks::new(self)
    }

    /// Messages, copied out, until the producer has gone. It ends without an error if the producer closed;
    /// otherwise the error is its last item.
    pub fn iter(&mut self) -> Iter<'_> {
        Iter { consumer: self, ended: false }
    }

    /// Says that no more messages are wanted, and leaves.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Messages in the ring that were not handed out; more may be there right after.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.ours()?;
        self.statistics.waiting(self.reader.received())
    }

    /// Whether there is no message to receive now.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        self.place.ours()?;
        self.reader.is_empty()
    }

    /// The longest message the ring takes, in bytes.
    pub fn max_message(&self) -> usize {
        usize::try_from(self.place.geometry().message_bytes).unwrap_or(usize::MAX)
    }

    /// The next message, from the cursor on: a look that was forgotten (leaked) changes nothing.
    #[inline(always)]
    pub(crate) fn look_now(&mut self) -> Result<Record> {
        self.reader.look_back();
        match self.glance() {
            Some(record) => Ok(record),
            None => self.look_closely(),
        }
    }

    #[inline(always)]
    pub(crate) fn look_until(&mut self, deadline: Deadline) -> Result<Record> {
        self.reader.look_back();
        match self.glance() {
            Some(record) => Ok(record),
            None => self.look_waiting(deadline),
        }
    }

    #[inline(never)]
    fn look_closely(&mut self) -> Result<Record> {
        match self.attempt()? {
            Some(record) => Ok(record),
            None => try_now(self, Self::attempt)?.ok_or(Error::Empty),
        }
    }

    #[inline(never)]
    fn look_waiting(&mut self, deadline: Deadline) -> Result<Record> {
        wait(self, deadline, Self::attempt)
    }

    /// The next record, if nothing at all is to be considered but that it is there.
    #[inline(always)]
    fn glance(&mut self) -> Option<Record> {
        if !self.place.is_sound() {
            return None;
        }
        let record = self.reader.glance()?;
        self.reader.accept(&record);
        self.statistics.sample(self.reader.received(), || self.reader.is_drained());
        Some(record)
    }

    /// The next record, unless there is none, or the end of a tenure is to be told before it.
    #[inline(always)]
    pub(crate) fn attempt(&mut self) -> Result<Option<Record>> {
        self.reader.will_read_further();
        if let Some(record) = self.glance() {
            return Ok(Some(record));
        }
        self.attempt_closely()
    }

    fn attempt_closely(&mut self) -> Result<Option<Record>> {
        self.place.sound()?;
        let found = match self.reader.peek() {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.give_back();
                self.reader.note_drained();
                return Ok(None);
            }
            Err(error) => return Err(self.place.judge(error)),
        };
        if let Some(number) = self.reader.new_tenure(&found) {
            self.place.enter_tenure(number).map_err(|error| self.place.judge(error))?;
        }
        self.reader.accept(&found);
        self.statistics.sample(self.reader.received(), || self.reader.is_drained());
        Ok(Some(found))
    }

    /// Whether this handle is this process's own, and not the copy that a fork made in a child.
    pub(crate) fn ours(&self) -> Result<()> {
        self.place.ours()
    }

    /// One more message behind those that were looked at, if there is one and it does not begin a tenure. What
    /// else stands against it is told by the next call.
    pub(crate) fn look_further(&mut self) -> Option<Record> {
        let record = self.reader.peek().ok().flatten().filter(|record| record.first_of().is_none())?;
        self.reader.accept(&record);
        Some(record)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // at most half of the ring, which is mapped
    pub(crate) fn view(&self, record: &Record) -> View<'_> {
        let offset = self.reader.payload_offset(record);
        View::new(self.reader.data(), offset, record.length() as usize, record.tag())
    }

    /// What the spans of views lie in.
    pub(crate) fn data(&self) -> &Region {
        self.reader.data()
    }

    /// Receives what was looked at up to `end`.
    #[inline(always)]
    pub(crate) fn take(&mut self, end: u64, messages: u64) {
        if self.place.is_forked_copy() {
            return; // what was looked at is the parent's
        }
        self.reader.take(end, messages);
        self.give_back();
    }

    /// Records that messages up to `end` are handed out; their space comes back later.
    #[inline(always)]
    pub(crate) fn hand_out(&mut self, end: u64, messages: u64) {
        self.reader.take(end, messages);
    }

    /// Gives the space of what was received back, if there is reason to.
    #[inline(always)]
    pub(crate) fn give_back(&mut self) {
        if !self.place.is_forked_copy() {
            self.release();
        }
    }

    #[inline(always)]
    fn release(&mut self) {
        if self.reader.release() {
            self.place.notify();
        }
    }

    /// Memory for the records of a batch, kept from one to the next.
    pub(crate) fn spare_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.spare_records)
    }

    pub(crate) fn keep_spare(&mut self, mut records: Vec<Record>) {
        records.clear();
        self.spare_records = records;
    }

    #[inline(always)]
    pub(crate) fn look_back(&mut self) {
        self.reader.look_back();
    }
}

/// See [`Consumer::iter`].
#[derive(Debug)]
pub struct Iter<'a> {
    consumer: &'a mut Consumer,
    ended: bool,
}

impl Iterator for Iter<'_> {
    type Item = Result<OwnedMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.consumer.recv() {
            Ok(message) => Some(Ok(OwnedMessage { tag: message.tag(), bytes: message.to_vec() })),
            Err(error) => {
                self.ended = true;
                (!matches!(error, Error::Disconnected(End::Closed))).then_some(Err(error))
            }
        }
    }
}
