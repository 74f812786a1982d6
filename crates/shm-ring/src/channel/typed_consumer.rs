//! The side that receives typed values.

use crate::attach::{Content, Mode, Settings};
use crate::attachment::Attachment;
use crate::blocking::{Attached, Place, try_now, wait};
use crate::channel::builder::{Builder, DEFAULT_CAPACITY_SLOTS, Handle, Paired, sealed};
use crate::channel::common::common_methods;
use crate::channel::typed_producer::content;
use crate::error::{End, Error, Result, Role};
use crate::seat::Start;
use crate::spsc::typed::Reader;
use crate::statistics::ConsumerStatistics;
use crate::wait::WaitCounts;
use bytemuck::CheckedBitPattern;
use shm_core::Deadline;
use std::time::Duration;

/// Receives values of one plain type from a ring that has no other consumer.
///
/// As [`Consumer`](crate::Consumer) in everything but what it receives. A slot whose bytes are not a value of
/// `T` is [`Corrupt`](Error::Corrupt).
#[derive(Debug)]
pub struct TypedConsumer<T> {
    reader: Reader<T>,
    statistics: ConsumerStatistics,
    place: Attachment,
}

impl<T> Attached for TypedConsumer<T> {
    type Place = Attachment;

    fn place(&mut self) -> &mut Attachment {
        &mut self.place
    }

    fn progress(&self) -> u64 {
        self.reader.received()
    }
}

impl<T: CheckedBitPattern> Handle for TypedConsumer<T> {}
impl<T: CheckedBitPattern> Paired for TypedConsumer<T> {}

impl<T: CheckedBitPattern> sealed::Sealed for TypedConsumer<T> {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_SLOTS;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        content::<T>(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, wanted: &Content, deadline: Deadline) -> Result<Self> {
        let ground = settings.ground(mode, wanted, Role::Consumer, deadline)?;
        let geometry = ground.geometry();
        let (place, (reader, statistics)) =
            Attachment::new(ground, Role::Consumer, settings, deadline, |parts, _| {
                let reader = Reader::resume(parts, geometry.capacity)?;
                let start = Start { position: reader.received(), count: reader.received() };
                Ok(((reader, ConsumerStatistics::new(parts, geometry)?), start))
            })?;
        Ok(Self { reader, statistics, place })
    }
}

impl<T> Drop for TypedConsumer<T> {
    fn drop(&mut self) {
        if !self.place.is_forked_copy() {
            self.statistics.seen(self.reader.seen());
        }
    }
}

impl<T: CheckedBitPattern> TypedConsumer<T> {
    common_methods!("producer");

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
        match self.receive_plainly() {
            Some(value) => Ok(value),
            None => self.try_receive_otherwise(),
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
        match self.receive_plainly() {
            Some(value) => Ok(value),
            None => self.receive_waiting(deadline),
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
        self.place.ours()?;
        self.statistics.waiting(self.reader.received())
    }

    /// Whether there is no value to receive now.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Receives a value, if nothing at all is to be considered but that it is there.
    #[inline(always)]
    fn receive_plainly(&mut self) -> Option<T> {
        if !self.place.is_sound() {
            return None;
        }
        let value = self.reader.receive_plainly()?;
        self.place.notify();
        Some(value)
    }

    #[inline(never)]
    fn try_receive_otherwise(&mut self) -> Result<T> {
        try_now(self, Self::attempt)?.ok_or(Error::Empty)
    }

    #[inline(never)]
    fn receive_waiting(&mut self, deadline: Deadline) -> Result<T> {
        wait(self, deadline, Self::attempt)
    }

    /// `None` when there is no value.
    #[inline(always)]
    fn attempt(&mut self) -> Result<Option<T>> {
        if self.place.is_sound() && self.reader.is_drained() {
            return Ok(None);
        }
        self.attempt_closely()
    }

    fn attempt_closely(&mut self) -> Result<Option<T>> {
        self.place.sound()?;
        let mut received = self.reader.receive_one();
        if matches!(received, Ok(None)) && self.enter_tenure()? {
            received = self.reader.receive_one();
        }
        match received {
            Ok(Some(value)) => {
                self.statistics.seen(self.reader.seen());
                self.place.notify();
                Ok(Some(value))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(self.place.judge(error)),
        }
    }

    /// `None` when there is no value.
    #[inline]
    fn attempt_slice(&mut self, values: &mut [T]) -> Result<Option<usize>> {
        if self.place.is_sound() && self.reader.is_drained() {
            return Ok(None);
        }
        self.place.sound()?;
        let mut received = self.reader.receive(values);
        if matches!(received, Ok(0)) && self.enter_tenure()? {
            received = self.reader.receive(values);
        }
        match received {
            Ok(0) => Ok(None),
            Ok(count) => {
                self.statistics.seen(self.reader.seen());
                self.place.notify();
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
                self.place.enter(number).map_err(|error| self.place.judge(error))?;
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
