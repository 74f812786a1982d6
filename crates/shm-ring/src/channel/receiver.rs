//! One of many that receive messages of bytes.

use crate::attach::{Content, Mode, Settings};
use crate::blocking::Place;
use crate::channel::builder::{Builder, Crowded, Handle, sealed};
use crate::channel::common::common_methods;
use crate::channel::consumer::OwnedMessage;
use crate::channel::message::View;
use crate::channel::sender::Sender;
use crate::error::{End, Error, Result, Role};
use crate::mpmc::operate::Handed;
use crate::mpmc::place::Seated;
use crate::wait::WaitCounts;
use shm_core::Deadline;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::Duration;

/// Receives messages of bytes from a ring that many may receive from, and send into.
///
/// Each message goes to one receiver, in the order in which they were sent. When everything that was sent is
/// received and no sender is left, the next call says how they ended: [`Disconnected`](Error::Disconnected), once to
/// every receiver that is there; the call after that waits for the next sender.
///
/// A receiver that is killed takes with it the message it had in hand, and nothing else; or nothing at all in
/// a ring made for [redelivery](Builder::redelivery). It delays nobody. Whoever wants to hold several messages at
/// once uses as many receivers: each has one hand.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("receiver-doc-{}", std::process::id());
/// # let mut sender = shm_ring::Sender::create(name)?;
/// # sender.send(b"hello")?;
/// # sender.close();
/// let mut receiver = shm_ring::Receiver::open(name)?;
/// for message in receiver.iter() {
///     println!("{}", String::from_utf8_lossy(&message?.bytes));
/// }
/// # drop(receiver);
/// # shm_ring::remove(name)
/// # }
/// ```
#[derive(Debug)]
pub struct Receiver {
    place: Seated,
}

impl Handle for Receiver {}
impl Crowded for Receiver {}

impl sealed::Sealed for Receiver {
    const DEFAULT_CAPACITY: u64 = <Sender as sealed::Sealed>::DEFAULT_CAPACITY;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        Sender::content(settings)
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self> {
        Ok(Self { place: Seated::attach(settings, mode, content, Role::Receiver, deadline)? })
    }
}

impl Receiver {
    common_methods!("sender");

    /// Another receiver at the same ring: a participant of its own, with its own seat, which may go to another
    /// thread.
    ///
    /// # Errors
    /// [`NoSeat`](Error::NoSeat); [`Detached`](Error::Detached) when the ring has lost its name; and as
    /// [`Builder::open`].
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { place: self.place.another()? })
    }

    /// Receives the next message, waiting for it as long as it takes. It is looked at in place and copied from
    /// there; it is this receiver's until it is dropped.
    ///
    /// # Errors
    /// [`Disconnected`](Error::Disconnected) when everything is received and all senders have gone;
    /// [`Detached`](Error::Detached) when everything is received and the ring was removed;
    /// [`Corrupt`](Error::Corrupt).
    #[inline]
    pub fn recv(&mut self) -> Result<Delivery<'_>> {
        self.recv_until(Deadline::NEVER)
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// [`Empty`](Error::Empty), and as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Delivery<'_>> {
        let handed = self.place.receive_now(usize::MAX)?;
        Delivery::new(self, handed)
    }

    /// Receives the next message, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Delivery<'_>> {
        self.recv_until(Deadline::after(timeout))
    }

    /// Receives the next message, waiting until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`recv`](Self::recv).
    #[inline]
    pub fn recv_until(&mut self, deadline: Deadline) -> Result<Delivery<'_>> {
        let handed = self.place.receive_until(usize::MAX, deadline)?;
        Delivery::new(self, handed)
    }

    /// Receives the next message into `buffer`, waiting as long as it takes and allocating nothing; returns its
    /// length and tag.
    ///
    /// # Errors
    /// [`BufferTooSmall`](Error::BufferTooSmall), which leaves the message in the ring, for whichever receiver comes
    /// next; and as [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut [u8]) -> Result<(usize, u16)> {
        let handed = self.place.receive_until(buffer.len(), Deadline::NEVER)?;
        self.copy_into(handed, buffer)
    }

    /// As [`recv_into`](Self::recv_into), if there is a message now.
    ///
    /// # Errors
    /// [`Empty`](Error::Empty), and as [`recv_into`](Self::recv_into).
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<(usize, u16)> {
        let handed = self.place.receive_now(buffer.len())?;
        self.copy_into(handed, buffer)
    }

    #[inline(always)]
    fn copy_into(&mut self, handed: Handed, buffer: &mut [u8]) -> Result<(usize, u16)> {
        let delivery = Delivery::new(self, handed)?;
        let (length, tag) = (delivery.len(), delivery.tag());
        if length > buffer.len() {
            return Err(Error::BufferTooSmall { length }); // can not be: it was looked at before it was received
        }
        delivery.read_at(0, buffer);
        Ok((length, tag))
    }

    /// Receives up to `max` messages one after the other and shows each to `each`: waits for the first of them until
    /// the deadline, and takes the others if they are there. How many that were. Killed meanwhile, this
    /// receiver takes with it the one that is just shown.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until), when there is no first one.
    pub fn recv_batch_until(
        &mut self,
        max: usize,
        deadline: Deadline,
        mut each: impl FnMut(View<'_>),
    ) -> Result<usize> {
        if max == 0 {
            return Ok(0);
        }
        each(self.recv_until(deadline)?.view());
        let mut received = 1;
        while received < max
            && let Ok(Some(handed)) = self.place.receive() // what stands against it is told by the next call
            && let Ok(delivery) = Delivery::new(self, handed)
        {
            each(delivery.view());
            received += 1;
        }
        Ok(received)
    }

    /// Messages, copied out, until all senders have gone. It ends without an error if all of them closed;
    /// otherwise the error is its last item.
    pub fn iter(&mut self) -> Deliveries<'_> {
        Deliveries { receiver: self, ended: false }
    }

    /// Says that this receiver wants no more messages, and leaves.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Messages in the ring that nobody has received, as far as can be seen; others are sending and receiving.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.waiting()
    }

    /// Whether there is no message to receive now.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The longest message the ring takes, in bytes.
    pub fn max_message(&self) -> usize {
        self.place.blocks().message_bytes()
    }
}

/// A message that was received, as it lies in this receiver's block. Dropping it lets it go.
#[derive(Debug)]
pub struct Delivery<'a> {
    receiver: &'a mut Receiver,
    offset: usize,
    length: usize,
    tag: u16,
    redelivered: bool,
}

impl<'a> Delivery<'a> {
    #[inline(always)]
    fn new(receiver: &'a mut Receiver, handed: Handed) -> Result<Self> {
        match receiver.place.blocks().open(handed.block) {
            Ok(placed) => Ok(Self {
                receiver,
                offset: placed.offset,
                length: placed.length,
                tag: placed.tag,
                redelivered: handed.again,
            }),
            Err(error) => Err(receiver.place.judge(error)),
        }
    }

    /// A look at the message, with everything one can do with it.
    #[inline]
    pub fn view(&self) -> View<'_> {
        View::new(self.receiver.place.blocks().region(), self.offset, self.length, self.tag)
    }

    /// The number that the sender attached to the message; 0 unless it said otherwise.
    #[inline]
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// Bytes in the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the message has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A copy of the message.
    pub fn to_vec(&self) -> Vec<u8> {
        self.view().to_vec()
    }

    /// Copies bytes of the message from `from` on; how many there were, at most as many as fit.
    #[inline]
    pub fn read_at(&self, from: usize, bytes: &mut [u8]) -> usize {
        self.view().read_at(from, bytes)
    }

    /// Writes bytes of the message to a file, a pipe or a socket straight from the ring, as [`View::write_to`].
    ///
    /// # Errors
    /// As there.
    pub fn write_to(&self, range: Range<usize>, descriptor: impl AsFd) -> io::Result<usize> {
        self.view().write_to(range, descriptor)
    }

    /// Whether another receiver had this message in hand before, and died. It may have acted on it or not. Only in
    /// rings made for [redelivery](Builder::redelivery).
    #[inline]
    pub fn is_redelivered(&self) -> bool {
        self.redelivered
    }
}

impl Drop for Delivery<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.place.let_go();
    }
}

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Deliveries<'a> {
    receiver: &'a mut Receiver,
    ended: bool,
}

impl Iterator for Deliveries<'_> {
    type Item = Result<OwnedMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.receiver.recv() {
            Ok(message) => Some(Ok(OwnedMessage { tag: message.tag(), bytes: message.to_vec() })),
            Err(error) => {
                self.ended = true;
                (!matches!(error, Error::Disconnected(End::Closed))).then_some(Err(error))
            }
        }
    }
}
