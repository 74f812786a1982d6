//! One of many that send typed values.

use crate::attach::{Content, Mode, Settings};
use crate::blocking::Place;
use crate::channel::builder::{Builder, Crowded, DEFAULT_CAPACITY_MESSAGES, Handle, sealed};
use crate::channel::common::common_methods;
use crate::error::{Result, Role};
use crate::fingerprint;
use crate::layout::{Geometry, Kind};
use crate::mpmc::place::Seated;
use crate::wait::WaitCounts;
use bytemuck::NoUninit;
use shm_core::Deadline;
use std::marker::PhantomData;
use std::time::Duration;

/// Sends values of one plain type into a ring that many may send into, and receive from.
///
/// As [`Sender`](crate::Sender) in everything but what it sends.
///
/// ```
/// use shm_ring::{TypedReceiver, TypedSender};
///
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("typed-sender-doc-{}", std::process::id());
/// let mut sender = TypedSender::<[f64; 3]>::open_or_create(name)?;
/// let mut receiver = TypedReceiver::<[f64; 3]>::open(name)?;
/// sender.send(&[1.0, 2.0, 3.0])?;
/// assert_eq!(receiver.recv()?, [1.0, 2.0, 3.0]);
/// # drop((sender, receiver));
/// # shm_ring::remove(name)
/// # }
/// ```
#[derive(Debug)]
pub struct TypedSender<T> {
    place: Seated,
    _value: PhantomData<fn(T)>,
}

/// What a ring of values of `T` is made of.
pub(crate) fn content<T>(settings: &Settings) -> Result<Content> {
    let geometry = Geometry::mpmc(
        Kind::MpmcTyped,
        settings.capacity,
        size_of::<T>() as u64,
        settings.participants,
        settings.redelivery,
    )?;
    let fingerprint = fingerprint::of_type::<T>(&settings.schema);
    Ok(Content { geometry, fingerprint, type_name: std::any::type_name::<T>() })
}

impl<T: NoUninit> Handle for TypedSender<T> {}
impl<T: NoUninit> Crowded for TypedSender<T> {}

impl<T: NoUninit> sealed::Sealed for TypedSender<T> {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_MESSAGES;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        content::<T>(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self> {
        let place = Seated::attach(settings, mode, content, Role::Sender, deadline)?;
        Ok(Self { place, _value: PhantomData })
    }
}

impl<T: NoUninit> TypedSender<T> {
    common_methods!("receiver");

    /// Another sender at the same ring: a participant of its own, with its own seat, which may go to another thread.
    ///
    /// # Errors
    /// As [`Sender::try_clone`](crate::Sender::try_clone).
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { place: self.place.another()?, _value: PhantomData })
    }

    /// Sends a value, waiting for space as long as it takes.
    ///
    /// # Errors
    /// As [`Sender::send`](crate::Sender::send), except for `TooLarge`.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<()> {
        self.send_until(value, Deadline::NEVER)
    }

    /// Sends a value if there is space now.
    ///
    /// # Errors
    /// [`Full`](crate::Error::Full), and as [`send`](Self::send).
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<()> {
        fill(&self.place, value)?;
        self.place.send_now()
    }

    /// Sends a value, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// [`TimedOut`](crate::Error::TimedOut), and as [`send`](Self::send).
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<()> {
        self.send_until(value, Deadline::after(timeout))
    }

    /// Sends a value, waiting for space until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](crate::Error::TimedOut), and as [`send`](Self::send).
    #[inline]
    pub fn send_until(&mut self, value: &T, deadline: Deadline) -> Result<()> {
        fill(&self.place, value)?;
        self.place.send_until(deadline)
    }

    /// Sends values one after the other, waiting for space as long as it takes, and waking receivers once
    /// for all of them; how many were sent. When one can not be, those before it are, and the next call says why.
    ///
    /// # Errors
    /// As [`send`](Self::send), when the first can not be sent.
    pub fn send_slice(&mut self, values: &[T]) -> Result<usize> {
        self.place.send_each(values, fill)
    }

    /// Says that the stream is complete, and leaves. What was sent stays to be received.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Counts a value that the caller discarded because the ring was full.
    pub fn count_dropped(&mut self) {
        self.place.count_dropped();
    }

    /// Values in the ring that nobody has received, as far as can be seen; others are sending and receiving.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.waiting()
    }

    /// Whether everything sent was received; it may have been untrue a moment ago.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What stands against further sends. See [`Sender::check`](crate::Sender::check).
    ///
    /// # Errors
    /// As [`Sender::check`](crate::Sender::check).
    pub fn check(&mut self) -> Result<()> {
        self.place.check()
    }
}

/// Writes a value into the block in hand.
#[inline]
fn fill<T: NoUninit>(place: &Seated, value: &T) -> Result<()> {
    place.ours()?;
    let blocks = place.blocks();
    Ok(blocks.region().write_value(blocks.offset(place.block()), value)?)
}
