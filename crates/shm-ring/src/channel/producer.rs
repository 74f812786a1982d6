//! The side that sends messages of bytes.

#![allow(unsafe_code)] // `Reservation::as_mut_slice`, for those who write in place

use crate::attach::{Content, Mode, Settings};
use crate::attachment::Attachment;
use crate::blocking::{Attached, Place, try_now, wait};
use crate::channel::batch::Batch;
use crate::channel::builder::{Builder, DEFAULT_CAPACITY_BYTES, Handle, Paired, sealed};
use crate::channel::common::common_methods;
use crate::error::{Error, Result, Role};
use crate::fingerprint;
use crate::layout::Geometry;
use crate::seat::Start;
use crate::spsc::bytes::{Reserved, Writer};
use crate::statistics::ProducerStatistics;
use crate::wait::WaitCounts;
use shm_core::Deadline;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Sends messages of bytes into a ring that has no other producer.
///
/// A message is sent when the call returns: it stays in the ring when this process ends or is killed, and is
/// received in order, once. A producer that is killed loses at most the message it was just sending.
///
/// Dropping the handle leaves *without closing*, and consumers are told so; [`close`](Self::close) says that
/// the stream ended as it should.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("producer-doc-{}", std::process::id());
/// let mut producer = shm_ring::Producer::open_or_create(name)?;
/// producer.send(b"hello")?;
/// producer.close();
/// # shm_ring::remove(name)
/// # }
/// ```
#[derive(Debug)]
pub struct Producer {
    writer: Writer,
    statistics: ProducerStatistics,
    // Last: leaves the seat and closes the object when the rest is gone.
    place: Attachment,
}

impl Attached for Producer {
    type Place = Attachment;

    fn place(&mut self) -> &mut Attachment {
        &mut self.place
    }

    fn progress(&self) -> u64 {
        self.writer.sent()
    }
}

impl Handle for Producer {}
impl Paired for Producer {}

impl sealed::Sealed for Producer {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_BYTES;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        let geometry = Geometry::bytes(settings.capacity)?;
        Ok(Content { geometry, fingerprint: fingerprint::of_bytes(&settings.schema), type_name: "bytes" })
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self> {
        let ground = settings.ground(mode, content, Role::Producer, deadline)?;
        let geometry = ground.geometry();
        let (place, (writer, statistics)) =
            Attachment::new(ground, Role::Producer, settings, deadline, |parts, tenure| {
                let writer = Writer::resume(parts, tenure)?;
                let start = Start { position: writer.position(), count: writer.sent() };
                Ok(((writer, ProducerStatistics::new(parts, geometry)?), start))
            })?;
        Ok(Self { writer, statistics, place })
    }
}

impl Producer {
    common_methods!("consumer");

    /// Sends a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) at once if no space would ever be enough; [`Detached`](Error::Detached)
    /// when the ring was removed; [`Disconnected`](Error::Disconnected) if that was
    /// [asked for](Builder::require_peer); [`Corrupt`](Error::Corrupt). Nothing was sent then.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_tagged(0, message)
    }

    /// As [`send`](Self::send), with a number of yours beside the message.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_tagged(&mut self, tag: u16, message: &[u8]) -> Result<()> {
        self.send_until(tag, message, Deadline::NEVER)
    }

    /// Sends a message if there is space now.
    ///
    /// # Errors
    /// [`Full`](Error::Full), and as [`send`](Self::send).
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.try_send_tagged(0, message)
    }

    /// As [`try_send`](Self::try_send), with a number of yours beside the message.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[inline]
    pub fn try_send_tagged(&mut self, tag: u16, message: &[u8]) -> Result<()> {
        if self.send_plainly(message, tag) { Ok(()) } else { self.try_send_otherwise(tag, message) }
    }

    #[inline(never)]
    fn try_send_otherwise(&mut self, tag: u16, message: &[u8]) -> Result<()> {
        let reserved = self.reserve_now(message.len())?;
        self.finish(&reserved, tag, message)
    }

    /// Sends a message, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`send`](Self::send).
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_until(0, message, Deadline::after(timeout))
    }

    /// Sends a message with a number of yours, waiting for space until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`send`](Self::send).
    #[inline]
    pub fn send_until(&mut self, tag: u16, message: &[u8], deadline: Deadline) -> Result<()> {
        if self.send_plainly(message, tag) { Ok(()) } else { self.send_otherwise(tag, message, deadline) }
    }

    /// Sends a message, if nothing at all is to be considered but that there is space. Otherwise nothing is done.
    #[inline(always)]
    fn send_plainly(&mut self, message: &[u8], tag: u16) -> bool {
        let sent = self.place.is_ready() && self.place.is_calm() && self.writer.send_plainly(message, tag);
        if sent {
            self.place.notify();
        }
        sent
    }

    #[inline(never)]
    fn send_otherwise(&mut self, tag: u16, message: &[u8], deadline: Deadline) -> Result<()> {
        let reserved = self.reserve_until_inner(message.len(), deadline)?;
        self.finish(&reserved, tag, message)
    }

    /// Reserves space for a message of up to `length` bytes, to be written in place; waits for it as long as it
    /// takes. Nothing is sent until the reservation is [committed](Reservation::commit).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn reserve(&mut self, length: usize) -> Result<Reservation<'_>> {
        self.reserve_until(length, Deadline::NEVER)
    }

    /// As [`reserve`](Self::reserve), if there is space now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_reserve(&mut self, length: usize) -> Result<Reservation<'_>> {
        let reserved = self.reserve_now(length)?;
        Ok(Reservation { producer: self, reserved, tag: 0 })
    }

    /// As [`reserve`](Self::reserve), waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn reserve_timeout(&mut self, length: usize, timeout: Duration) -> Result<Reservation<'_>> {
        self.reserve_until(length, Deadline::after(timeout))
    }

    /// As [`reserve`](Self::reserve), waiting until the deadline.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn reserve_until(&mut self, length: usize, deadline: Deadline) -> Result<Reservation<'_>> {
        let reserved = self.reserve_until_inner(length, deadline)?;
        Ok(Reservation { producer: self, reserved, tag: 0 })
    }

    /// Begins a batch: messages that are sent together, by one publication.
    pub fn batch(&mut self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Says that the stream is complete, and leaves. What was sent stays to be received.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Counts a message that the caller discarded because the ring was full.
    pub fn count_dropped(&mut self) {
        if !self.place.is_forked_copy() {
            self.statistics.count_dropped();
        }
    }

    /// Messages in the ring that were not handed out, as the consumer last said; it may be receiving right now.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.ours()?;
        self.statistics.waiting(self.writer.sent())
    }

    /// Whether everything sent was handed out; it may have been untrue a moment ago.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The longest message the ring takes, in bytes.
    pub fn max_message(&self) -> usize {
        usize::try_from(self.place.geometry().message_bytes).unwrap_or(usize::MAX)
    }

    /// What stands against further sends: that the ring is corrupt, was removed, or has lost its name and no consumer
    /// is there; or, if that was [asked for](crate::Builder::require_peer), that a consumer it has met is gone. A send
    /// that finds no space learns of that within a fraction of a second, and any send of a producer that asked for it
    /// within as much, or a few dozen sends; this asks at once. Makes system calls.
    ///
    /// # Errors
    /// [`Disconnected`](Error::Disconnected), told once for each consumer; [`Detached`](Error::Detached);
    /// [`Corrupt`](Error::Corrupt).
    pub fn check(&mut self) -> Result<()> {
        self.place.check()
    }

    #[inline(always)]
    fn reserve_now(&mut self, length: usize) -> Result<Reserved> {
        self.writer.forget_batch();
        match self.attempt(length) {
            Ok(Some(reserved)) => Ok(reserved),
            Ok(None) => try_now(self, |producer| producer.attempt(length))?.ok_or(Error::Full),
            Err(error) => Err(error),
        }
    }

    #[inline(always)]
    fn reserve_until_inner(&mut self, length: usize, deadline: Deadline) -> Result<Reserved> {
        self.writer.forget_batch();
        match self.attempt(length) {
            Ok(Some(reserved)) => Ok(reserved),
            Ok(None) => self.reserve_waiting(length, deadline),
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn reserve_waiting(&mut self, length: usize, deadline: Deadline) -> Result<Reserved> {
        self.statistics.count_full_wait(self.writer.sent());
        wait(self, deadline, |producer| producer.attempt(length))
    }

    /// `None` when there is no space.
    #[inline(always)]
    fn attempt(&mut self, length: usize) -> Result<Option<Reserved>> {
        self.place.ready()?;
        self.place.watch()?;
        match self.writer.reserve(length) {
            Ok(reserved) => Ok(Some(reserved)),
            Err(Error::Full) => Ok(None),
            Err(error) => Err(self.place.judge(error)),
        }
    }

    #[inline(always)]
    fn finish(&mut self, reserved: &Reserved, tag: u16, message: &[u8]) -> Result<()> {
        self.writer.fill(reserved, 0, message)?;
        self.writer.stage(reserved, message.len(), tag)?;
        self.publish()
    }

    /// Room for one more message of a batch, if there is some now.
    pub(crate) fn reserve_for_batch(&mut self, length: usize) -> Result<Option<Reserved>> {
        self.attempt(length)
    }

    pub(crate) fn staged(&self) -> u64 {
        self.writer.staged()
    }

    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    #[inline(always)]
    pub(crate) fn publish(&mut self) -> Result<()> {
        self.place.ours()?; // a reservation or batch may have been copied by a fork
        self.writer.publish()?;
        self.place.notify();
        Ok(())
    }
}

/// Space for one message in the ring, written in place. Dropped without a commit, nothing was sent.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("reserve-doc-{}", std::process::id());
/// # let mut producer = shm_ring::Producer::create(name)?;
/// let mut space = producer.reserve(1024)?;
/// space.write_at(0, b"header")?;
/// space.write_at(6, b"body")?;
/// space.commit(10)?; // at most 1024; the rest is given back
/// # shm_ring::remove_forced(name)
/// # }
/// ```
#[derive(Debug)]
pub struct Reservation<'a> {
    producer: &'a mut Producer,
    reserved: Reserved,
    tag: u16,
}

impl Reservation<'_> {
    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.reserved.length
    }

    /// Copies bytes to a place in the message.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) when they leave the reservation; nothing is written then.
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let max = self.reserved.length;
        match offset.checked_add(bytes.len()) {
            Some(end) if end <= max => {
                self.producer.place.ours()?;
                self.producer.writer.fill(&self.reserved, offset, bytes)
            }
            end => Err(Error::TooLarge { length: end.unwrap_or(usize::MAX), max }),
        }
    }

    /// Reads from a file, a pipe or a socket straight into the message, from `offset` on up to the end of the
    /// reservation, by one `read(2)`: how many bytes came, 0 at the end of a file. Blocks while there is nothing to
    /// read, unless the descriptor is set not to. Killed meanwhile, this process has sent nothing.
    ///
    /// # Errors
    /// What the call says, as [`Region::read_from`](shm_core::Region::read_from): among others
    /// [`Interrupted`](io::ErrorKind::Interrupted) and [`WouldBlock`](io::ErrorKind::WouldBlock), after which it can be
    /// tried again. With an [`Error`] of this crate inside in a forked child, and when `offset` leaves the reservation.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = &format!("read-from-doc-{}", std::process::id());
    /// # let file = std::io::pipe()?.0;
    /// # let mut producer = shm_ring::Producer::create(name)?;
    /// loop {
    ///     let mut space = producer.reserve(64 << 10)?;
    ///     match space.read_from(0, &file)? {
    ///         0 => break,
    ///         bytes => space.commit(bytes)?,
    ///     }
    /// }
    /// # Ok(shm_ring::remove_forced(name)?)
    /// # }
    /// ```
    pub fn read_from(&mut self, offset: usize, descriptor: impl AsFd) -> io::Result<usize> {
        let max = self.reserved.length;
        if offset > max {
            return Err(io::Error::other(Error::TooLarge { length: offset, max }));
        }
        self.producer.place.ours().map_err(io::Error::other)?;
        self.producer.writer.read_from(&self.reserved, offset, descriptor)
    }

    /// A number of yours beside the message.
    pub fn set_tag(&mut self, tag: u16) {
        self.tag = tag;
    }

    /// The reserved bytes themselves, with whatever earlier messages left in them.
    ///
    /// # Safety
    /// For as long as the slice lives no other process writes these bytes: nobody else produces into this
    /// ring by other means than this library. (Consumers do not read them before the commit.)
    #[inline]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let length = self.reserved.length;
        match self.producer.place.ours().and_then(|()| self.producer.writer.payload(&self.reserved)) {
            // SAFETY: the space is reserved, so no consumer looks at it; it lies in the mapping, which outlives the
            // borrow of the reservation, and that borrow keeps this process from touching it otherwise. That nobody
            // else writes it is the caller's promise.
            Ok(start) => unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), length) },
            Err(_) => &mut [], // a copy in a forked child; the span was checked when it was reserved
        }
    }

    /// Sends the first `length` bytes as the message.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) when more is asked than was reserved; nothing is sent then.
    #[inline]
    pub fn commit(self, length: usize) -> Result<()> {
        let max = self.reserved.length;
        if length > max {
            return Err(Error::TooLarge { length, max });
        }
        self.producer.place.ours()?;
        self.producer.writer.stage(&self.reserved, length, self.tag)?;
        self.producer.publish()
    }
}
