//! One of many that receive typed values.

use crate::attach::{Content, Mode, Settings};
use crate::blocking::Place;
use crate::channel::builder::{Builder, Crowded, DEFAULT_CAPACITY_MESSAGES, Handle, sealed};
use crate::channel::common::common_methods;
use crate::channel::typed_sender::content;
use crate::error::{End, Error, Result, Role};
use crate::mpmc::operate::Handed;
use crate::mpmc::place::Seated;
use crate::wait::WaitCounts;
use bytemuck::CheckedBitPattern;
use shm_core::Deadline;
use std::marker::PhantomData;
use std::time::Duration;

/// Receives values of one plain type from a ring that many may receive from, and send into.
///
/// As [`Receiver`](crate::Receiver) in everything but what it receives. Bytes that are not a value of `T`
/// are [`Corrupt`](Error::Corrupt).
#[derive(Debug)]
pub struct TypedReceiver<T> {
    place: Seated,
    redelivered: bool,
    _value: PhantomData<fn() -> T>,
}

impl<T: CheckedBitPattern> Handle for TypedReceiver<T> {}
impl<T: CheckedBitPattern> Crowded for TypedReceiver<T> {}

impl<T: CheckedBitPattern> sealed::Sealed for TypedReceiver<T> {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_MESSAGES;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        content::<T>(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self> {
        let place = Seated::attach(settings, mode, content, Role::Receiver, deadline)?;
        Ok(Self { place, redelivered: false, _value: PhantomData })
    }
}

impl<T: CheckedBitPattern> TypedReceiver<T> {
    common_methods!("sender");

    /// Another receiver at the same ring: a participant of its own, with its own seat, which may go to another
    /// thread.
    ///
    /// # Errors
    /// As [`Receiver::try_clone`](crate::Receiver::try_clone).
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { place: self.place.another()?, redelivered: false, _value: PhantomData })
    }

    /// Receives the next value, waiting for it as long as it takes.
    ///
    /// # Errors
    /// As [`Receiver::recv`](crate::Receiver::recv).
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
        let handed = self.place.receive_now(usize::MAX)?;
        self.copy_out(handed)
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
        let handed = self.place.receive_until(usize::MAX, deadline)?;
        self.copy_out(handed)
    }

    /// Receives values one after the other until there are no more or no room for them: waits for the first until
    /// the deadline. How many that were.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until), when there is no first one.
    pub fn recv_slice_until(&mut self, values: &mut [T], deadline: Deadline) -> Result<usize> {
        let Some((first, rest)) = values.split_first_mut() else {
            return Ok(0);
        };
        *first = self.recv_until(deadline)?;
        let mut received = 1;
        for place in rest {
            // What stands against it is told by the next call.
            let Ok(Some(handed)) = self.place.receive() else { break };
            let Ok(value) = self.copy_out(handed) else { break };
            *place = value;
            received += 1;
        }
        Ok(received)
    }

    /// Whether another receiver had the value that was received last in hand before, and died. Only in rings made for
    /// [redelivery](Builder::redelivery).
    pub fn was_redelivered(&self) -> bool {
        self.redelivered
    }

    /// Values until all senders have gone. It ends without an error if all of them closed; otherwise the error is its
    /// last item.
    pub fn iter(&mut self) -> TypedDeliveries<'_, T> {
        TypedDeliveries { receiver: self, ended: false }
    }

    /// Says that this receiver wants no more values, and leaves.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Values in the ring that nobody has received, as far as can be seen; others are sending and receiving.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.waiting()
    }

    /// Whether there is no value to receive now.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Copies the value out of the block in hand, and lets the block go.
    #[inline(always)]
    fn copy_out(&mut self, handed: Handed) -> Result<T> {
        let blocks = self.place.blocks();
        let value = blocks.region().read_checked(blocks.offset(handed.block));
        self.redelivered = handed.again;
        // Judged before the block is let go: then the compiler keeps it in registers. Judged after, it is stored by
        // words and loaded by pairs of words, which waits until the stores have left for the cache (a receive of 56
        // bytes takes 9 ns so, and took 15).
        let value = match value {
            Ok(Some(value)) => value,
            Ok(None) => return Err(self.refuse(Error::Corrupt("a value is none of its type"))),
            Err(error) => return Err(self.refuse(error.into())),
        };
        self.place.let_go();
        Ok(value)
    }

    #[cold]
    fn refuse(&mut self, error: Error) -> Error {
        self.place.let_go();
        self.place.judge(error)
    }
}

/// See [`TypedReceiver::iter`].
#[derive(Debug)]
pub struct TypedDeliveries<'a, T> {
    receiver: &'a mut TypedReceiver<T>,
    ended: bool,
}

impl<T: CheckedBitPattern> Iterator for TypedDeliveries<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let received = self.receiver.recv();
        self.ended = received.is_err();
        match received {
            Err(Error::Disconnected(End::Closed)) => None,
            received => Some(received),
        }
    }
}
