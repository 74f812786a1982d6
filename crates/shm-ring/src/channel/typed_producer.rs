//! The side that sends typed values.

use crate::attach::{Content, Mode, Settings};
use crate::attachment::Attachment;
use crate::blocking::{Attached, Place, try_now, wait};
use crate::channel::builder::{Builder, DEFAULT_CAPACITY_SLOTS, Handle, Paired, sealed};
use crate::channel::common::common_methods;
use crate::error::{Error, Result, Role};
use crate::fingerprint;
use crate::layout::Geometry;
use crate::seat::Start;
use crate::spsc::typed::Writer;
use crate::statistics::ProducerStatistics;
use crate::wait::WaitCounts;
use bytemuck::NoUninit;
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
    place: Attachment,
}

/// What a ring of `T` carries.
pub(super) fn content<T>(settings: &Settings) -> Result<Content> {
    let geometry = Geometry::slots(settings.capacity, size_of::<T>() as u64)?;
    let fingerprint = fingerprint::of_type::<T>(&settings.schema);
    Ok(Content { geometry, fingerprint, type_name: std::any::type_name::<T>() })
}

impl<T> Attached for TypedProducer<T> {
    type Place = Attachment;

    fn place(&mut self) -> &mut Attachment {
        &mut self.place
    }

    fn progress(&self) -> u64 {
        self.writer.sent()
    }
}

impl<T: NoUninit> Handle for TypedProducer<T> {}
impl<T: NoUninit> Paired for TypedProducer<T> {}

impl<T: NoUninit> sealed::Sealed for TypedProducer<T> {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_SLOTS;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        content::<T>(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, wanted: &Content, deadline: Deadline) -> Result<Self> {
        let ground = settings.ground(mode, wanted, Role::Producer, deadline)?;
        let geometry = ground.geometry();
        let (place, (writer, statistics)) =
            Attachment::new(ground, Role::Producer, settings, deadline, |parts, _| {
                let writer = Writer::resume(parts, geometry.capacity)?;
                let start = Start { position: writer.sent(), count: writer.sent() };
                Ok(((writer, ProducerStatistics::new(parts, geometry)?), start))
            })?;
        Ok(Self { writer, statistics, place })
    }
}

impl<T: NoUninit> TypedProducer<T> {
    common_methods!("consumer");

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
        if self.send_plainly(value) { Ok(()) } else { self.try_send_otherwise(value) }
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
        if self.send_plainly(value) { Ok(()) } else { self.send_otherwise(value, deadline) }
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
        if !self.place.is_forked_copy() {
            self.statistics.count_dropped();
        }
    }

    /// Values in the ring that were not received, as the consumer last said.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.ours()?;
        self.statistics.waiting(self.writer.sent())
    }

    /// Whether everything sent was received; it may have been untrue a moment ago.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sends a value, if nothing at all is to be considered but that there is room. Otherwise nothing is done.
    #[inline(always)]
    fn send_plainly(&mut self, value: &T) -> bool {
        let sent = self.place.is_ready() && self.place.is_calm() && self.writer.send_plainly(value);
        if sent {
            self.place.notify();
        }
        sent
    }

    #[inline(never)]
    fn send_otherwise(&mut self, value: &T, deadline: Deadline) -> Result<()> {
        let values = core::slice::from_ref(value);
        match self.attempt(values)? {
            Some(_) => Ok(()),
            None => self.send_waiting(values, deadline).map(drop),
        }
    }

    #[inline(never)]
    fn try_send_otherwise(&mut self, value: &T) -> Result<()> {
        match self.try_send_slice(core::slice::from_ref(value))? {
            0 => Err(Error::Full),
            _ => Ok(()),
        }
    }

    #[cold]
    fn send_waiting(&mut self, values: &[T], deadline: Deadline) -> Result<usize> {
        self.statistics.count_full_wait(self.writer.sent());
        wait(self, deadline, |producer| producer.attempt(values))
    }

    /// As [`Producer::check`](crate::Producer::check).
    ///
    /// # Errors
    /// As there.
    pub fn check(&mut self) -> Result<()> {
        self.place.check()
    }

    /// `None` when there is no free slot (and there was something to send).
    #[inline]
    fn attempt(&mut self, values: &[T]) -> Result<Option<usize>> {
        self.place.ready()?;
        self.place.watch()?;
        match self.writer.send(values) {
            Ok(0) if !values.is_empty() => Ok(None),
            Ok(count) => {
                self.place.notify();
                Ok(Some(count))
            }
            Err(error) => Err(self.place.judge(error)),
        }
    }
}
