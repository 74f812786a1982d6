//! Both sides of a ring of typed values.

use crate::attach::{Content, Mode, Settings};
use crate::attachment::{Attached, Attachment, try_now, wait};
use crate::channel::builder::{Builder, DEFAULT_CAPACITY_SLOTS, Handle, sealed};
use crate::error::{End, Error, Result, Role};
use crate::fingerprint;
use crate::layout::Geometry;
use crate::spsc::typed::{Reader, Writer};
use crate::statistics::{ConsumerStatistics, ProducerStatistics};
use crate::wait::WaitCounts;
use bytemuck::{CheckedBitPattern, NoUninit};
use shm_core::Deadline;
use std::time::Duration;

/// Sends values of one plain type into a ring that has no other producer.
///
/// As [`Producer`](crate::Producer) in everything but what it sends. `T` is any type without padding and
/// without pointers that `bytemuck` can vouch for (`Pod`, or `NoUninit` for types with invalid bit patterns).
///
/// ```
/// use shm_ring::{TypedConsumer, TypedProducer};
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("typed-doc-{}", std::process::id());
/// let mut producer = TypedProducer::<[f64; 2]>::create(name)?;
/// let mut consumer = TypedConsumer::<[f64; 2]>::open(name)?;
/// producer.send(&[1.5, 2.5])?;
/// assert_eq!(consumer.recv()?, [1.5, 2.5]);
/// assert!(TypedConsumer::<u64>::open(name).is_err(), "another type");
/// # drop((producer, consumer));
/// # shm_ring::remove(name)
/// # }
/// ```
#[derive(Debug)]
pub struct TypedProducer<T> {
    writer: Writer<T>,
    statistics: ProducerStatistics,
    geometry: Geometry,
    place: Attachment,
}

/// Receives values of one plain type from a ring that has no other consumer.
///
/// As [`Consumer`](crate::Consumer) in everything but what it receives. A slot whose bytes are not a value of
/// `T` is [`Corrupt`](Error::Corrupt).
#[derive(Debug)]
pub struct TypedConsumer<T> {
    reader: Reader<T>,
    statistics: ConsumerStatistics,
    geometry: Geometry,
    place: Attachment,
}

fn content<T>(settings: &Settings) -> Result<Content> {
    let geometry = Geometry::slots(settings.capacity, size_of::<T>() as u64)?;
    let fingerprint = fingerprint::of_type::<T>(&settings.schema);
    Ok(Content { geometry, fingerprint, type_name: std::any::type_name::<T>() })
}

impl<T> Attached for TypedProducer<T> {
    fn attachment(&mut self) -> &mut Attachment {
        &mut self.place
    }
}

impl<T> Attached for TypedConsumer<T> {
    fn attachment(&mut self) -> &mut Attachment {
        &mut self.place
    }
}

impl<T: NoUninit> Handle for TypedProducer<T> {}
impl<T: CheckedBitPattern> Handle for TypedConsumer<T> {}

impl<T: NoUninit> sealed::Sealed for TypedProducer<T> {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_SLOTS;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        content::<T>(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, wanted: &Content, deadline: Deadline) -> Result<Self> {
        let mapped = settings.map(mode, wanted, deadline)?;
        let geometry = mapped.geometry;
        let (place, (writer, statistics)) =
            Attachment::new(mapped, Role::Producer, settings, deadline, |parts, _| {
                let writer = Writer::resume(parts, geometry.capacity)?;
                let position = writer.sent();
                Ok(((writer, ProducerStatistics::new(parts, geometry.kind)?), position))
            })?;
        Ok(Self { writer, statistics, geometry, place })
    }
}

impl<T: CheckedBitPattern> sealed::Sealed for TypedConsumer<T> {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_SLOTS;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        content::<T>(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, wanted: &Content, deadline: Deadline) -> Result<Self> {
        let mapped = settings.map(mode, wanted, deadline)?;
        let geometry = mapped.geometry;
        let (place, (reader, statistics)) =
            Attachment::new(mapped, Role::Consumer, settings, deadline, |parts, _| {
                let reader = Reader::resume(parts, geometry.capacity)?;
                let position = reader.received();
                Ok(((reader, ConsumerStatistics::new(parts, geometry.kind)?), position))
            })?;
        Ok(Self { reader, statistics, geometry, place })
    }
}

impl<T: NoUninit> TypedProducer<T> {
    /// Options for a producer at the ring `name`.
    pub fn builder(name: &str) -> Builder<Self> {
        Builder::new(name)
    }

    /// Creates the ring with default options. See [`Builder::create`].
    ///
    /// # Errors
    /// As [`Builder::create`].
    pub fn create(name: &str) -> Result<Self> {
        Self::builder(name).create()
    }

    /// Opens the ring. See [`Builder::open`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Opens or creates the ring with default options. See [`Builder::open_or_create`].
    ///
    /// # Errors
    /// As [`Builder::open_or_create`].
    pub fn open_or_create(name: &str) -> Result<Self> {
        Self::builder(name).open_or_create()
    }

    /// Sends a value, waiting for a slot as long as it takes.
    ///
    /// # Errors
    /// As [`Producer::send`](crate::Producer::send), except for `TooLarge`.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<()> {
        self.send_until(value, Deadline::NEVER)
    }

    /// Sends a value if there is a free slot now.
    ///
    /// # Errors
    /// [`Full`](Error::Full), and as [`send`](Self::send).
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<()> {
        match self.try_send_slice(core::slice::from_ref(value))? {
            0 => Err(Error::Full),
            _ => Ok(()),
        }
    }

    /// Sends a value, waiting at most `timeout` for a slot.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`send`](Self::send).
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<()> {
        self.send_until(value, Deadline::after(timeout))
    }

    /// Sends a value, waiting until the deadline for a slot.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`send`](Self::send).
    #[inline]
    pub fn send_until(&mut self, value: &T, deadline: Deadline) -> Result<()> {
        let values = core::slice::from_ref(value);
        match self.attempt(values)? {
            Some(_) => Ok(()),
            None => self.send_waiting(values, deadline).map(drop),
        }
    }

    /// Sends as many of the values as there are free slots for, together; how many that were.
    ///
    /// # Errors
    /// As [`send`](Self::send). Having no free slot is not an error.
    #[inline]
    pub fn try_send_slice(&mut self, values: &[T]) -> Result<usize> {
        match self.attempt(values)? {
            Some(count) => Ok(count),
            None => Ok(try_now(self, |producer| producer.attempt(values))?.unwrap_or(0)),
        }
    }

    /// Sends all values, as many together as there are free slots for, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`send`](Self::send); what was sent until then stays sent.
    pub fn send_slice(&mut self, mut values: &[T]) -> Result<()> {
        while !values.is_empty() {
            let count = match self.attempt(values)? {
                Some(count) => count,
                None => self.send_waiting(values, Deadline::NEVER)?,
            };
            values = values.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that the stream is complete, and leaves. What was sent stays to be received.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Counts a value that the caller discarded because the ring was full.
    pub fn count_dropped(&mut self) {
        self.statistics.count_dropped();
    }

    /// Values in the ring that were not received, as the consumer last said.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.statistics.waiting(self.writer.sent())
    }

    /// Whether everything sent was received; it may have been untrue a moment ago.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Slots in the ring.
    pub fn capacity(&self) -> u64 {
        self.geometry.capacity
    }

    /// As [`Producer::is_closed`](crate::Producer::is_closed).
    ///
    /// # Errors
    /// When the kernel can not be asked.
    pub fn is_closed(&self) -> Result<bool> {
        self.place.peer_has_gone()
    }

    /// System calls made for waiting and waking.
    pub fn wait_counts(&self) -> WaitCounts {
        self.place.counts()
    }

    #[cold]
    fn send_waiting(&mut self, values: &[T], deadline: Deadline) -> Result<usize> {
        self.statistics.count_full_wait(self.writer.sent());
        wait(self, deadline, |producer| producer.attempt(values))
    }

    /// `None` when there is no free slot (and there was something to send).
    #[inline]
    fn attempt(&mut self, values: &[T]) -> Result<Option<usize>> {
        self.place.ready()?;
        match self.writer.send(values) {
            Ok(0) if !values.is_empty() => Ok(None),
            Ok(count) => {
                self.place.notify()?;
                Ok(Some(count))
            }
            Err(error) => Err(self.place.judge(error)),
        }
    }
}

impl<T: CheckedBitPattern> TypedConsumer<T> {
    /// Options for a consumer at the ring `name`.
    pub fn builder(name: &str) -> Builder<Self> {
        Builder::new(name)
    }

    /// Creates the ring with default options. See [`Builder::create`].
    ///
    /// # Errors
    /// As [`Builder::create`].
    pub fn create(name: &str) -> Result<Self> {
        Self::builder(name).create()
    }

    /// Opens the ring. See [`Builder::open`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Opens or creates the ring with default options. See [`Builder::open_or_create`].
    ///
    /// # Errors
    /// As [`Builder::open_or_create`].
    pub fn open_or_create(name: &str) -> Result<Self> {
        Self::builder(name).open_or_create()
    }

    /// Receives the next value, waiting for it as long as it takes.
    ///
    /// # Errors
    /// As [`Consumer::recv`](crate::Consumer::recv).
    #[inline]
    pub fn recv(&mut self) -> Result<T> {
        self.recv_until(Deadline::NEVER)
    }

    /// Receives the next value if there is one now.
    ///
    /// # Errors
    /// [`Empty`](Error::Empty), and as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<T> {
        match self.attempt()? {
            Some(value) => Ok(value),
            None => try_now(self, Self::attempt)?.ok_or(Error::Empty),
        }
    }

    /// Receives the next value, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T> {
        self.recv_until(Deadline::after(timeout))
    }

    /// Receives the next value, waiting until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`recv`](Self::recv).
    #[inline]
    pub fn recv_until(&mut self, deadline: Deadline) -> Result<T> {
        match self.attempt()? {
            Some(value) => Ok(value),
            None => wait(self, deadline, Self::attempt),
        }
    }

    /// Receives as many values as are there now and fit, together; how many that were, at least one.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    #[inline]
    pub fn try_recv_slice(&mut self, values: &mut [T]) -> Result<usize> {
        if values.is_empty() {
            return Ok(0);
        }
        match self.attempt_slice(values)? {
            Some(count) => Ok(count),
            None => try_now(self, |consumer| consumer.attempt_slice(values))?.ok_or(Error::Empty),
        }
    }

    /// Receives as many values as fit, together, waiting for the first of them until the deadline; how many that
    /// were, at least one.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until).
    pub fn recv_slice_until(&mut self, values: &mut [T], deadline: Deadline) -> Result<usize> {
        if values.is_empty() {
            return Ok(0);
        }
        wait(self, deadline, |consumer| consumer.attempt_slice(values))
    }

    /// Values until the producer has gone. It ends without an error if the producer closed; otherwise the error is
    /// its last item.
    pub fn iter(&mut self) -> TypedIter<'_, T> {
        TypedIter { consumer: self, ended: false }
    }

    /// Says that no more values are wanted, and leaves.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Values in the ring that were not received; more may be there right after.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.statistics.waiting(self.reader.received())
    }

    /// Whether there is no value to receive now.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Slots in the ring.
    pub fn capacity(&self) -> u64 {
        self.geometry.capacity
    }

    /// As [`Consumer::is_closed`](crate::Consumer::is_closed).
    ///
    /// # Errors
    /// When the kernel can not be asked.
    pub fn is_closed(&self) -> Result<bool> {
        self.place.peer_has_gone()
    }

    /// System calls made for waiting and waking.
    pub fn wait_counts(&self) -> WaitCounts {
        self.place.counts()
    }

    /// `None` when there is no value.
    #[inline]
    fn attempt(&mut self) -> Result<Option<T>> {
        match self.reader.receive_one() {
            Ok(Some(value)) => {
                self.place.notify()?;
                Ok(Some(value))
            }
            Ok(None) if self.enter_tenure()? => {
                self.reader.receive_one().map_err(|error| self.place.judge(error))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(self.place.judge(error)),
        }
    }

    /// `None` when there is no value.
    #[inline]
    fn attempt_slice(&mut self, values: &mut [T]) -> Result<Option<usize>> {
        let mut received = self.reader.receive(values);
        if matches!(received, Ok(0)) && self.enter_tenure()? {
            received = self.reader.receive(values);
        }
        match received {
            Ok(0) => Ok(None),
            Ok(count) => {
                self.place.notify()?;
                Ok(Some(count))
            }
            Err(error) => Err(self.place.judge(error)),
        }
    }

    /// When all values of earlier tenures are received and a newer one has published: enters it, unless an end is
    /// to be told first. Whether it did.
    #[inline]
    fn enter_tenure(&mut self) -> Result<bool> {
        self.statistics.seen(self.reader.seen());
        match self.reader.at_border() {
            Ok(None) => Ok(false),
            Ok(Some(number)) => {
                self.place.enter(number)?;
                self.reader.enter(number);
                Ok(true)
            }
            Err(error) => Err(self.place.judge(error)),
        }
    }
}

/// See [`TypedConsumer::iter`].
#[derive(Debug)]
pub struct TypedIter<'a, T> {
    consumer: &'a mut TypedConsumer<T>,
    ended: bool,
}

impl<T: CheckedBitPattern> Iterator for TypedIter<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let received = self.consumer.recv();
        self.ended = received.is_err();
        match received {
            Err(Error::Disconnected(End::Closed)) => None,
            received => Some(received),
        }
    }
}
