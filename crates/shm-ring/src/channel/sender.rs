//! One of many that send messages of bytes.

#![allow(unsafe_code)] // `BlockReservation::as_mut_slice`, for those who write in place

use crate::attach::{Content, Mode, Settings};
use crate::blocking::Place;
use crate::channel::builder::{Builder, Crowded, DEFAULT_CAPACITY_MESSAGES, Handle, sealed};
use crate::channel::common::common_methods;
use crate::error::{Error, Result, Role};
use crate::fingerprint;
use crate::layout::{Geometry, Kind};
use crate::mpmc::place::Seated;
use crate::wait::WaitCounts;
use shm_core::{Deadline, Span};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Sends messages of bytes into a ring that many may send into, and receive from.
///
/// A message is sent when the call returns: it stays in the ring when this process ends or is killed, and one
/// receiver receives it. All messages are received in the order in which they were sent, whoever sent
/// them. A sender that is killed, at any instruction, loses at most the message it was just sending, and
/// delays nobody.
///
/// Dropping the handle leaves *without closing*, and receivers are told so when the last sender has gone;
/// [`close`](Self::close) says that the stream ended as it should.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("sender-doc-{}", std::process::id());
/// let mut sender = shm_ring::Sender::open_or_create(name)?;
/// sender.send(b"hello")?;
/// let mut second = sender.try_clone()?; // for another thread; other processes open the ring
/// second.send(b"again")?;
/// sender.close();
/// # shm_ring::remove_forced(name)
/// # }
/// ```
#[derive(Debug)]
pub struct Sender {
    place: Seated,
}

impl Handle for Sender {}
impl Crowded for Sender {}

impl sealed::Sealed for Sender {
    const DEFAULT_CAPACITY: u64 = DEFAULT_CAPACITY_MESSAGES;

    #[allow(private_interfaces)]
    fn content(settings: &Settings) -> Result<Content> {
        let geometry = Geometry::mpmc(
            Kind::MpmcBytes,
            settings.capacity,
            settings.message_bytes,
            settings.participants,
            settings.redelivery,
        )?;
        Ok(Content { geometry, fingerprint: fingerprint::of_bytes(&settings.schema), type_name: "bytes" })
    }

    #[allow(private_interfaces)]
    fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self> {
        Ok(Self { place: Seated::attach(settings, mode, content, Role::Sender, deadline)? })
    }
}

impl Sender {
    common_methods!("receiver");

    /// Another sender at the same ring: a participant of its own, with its own seat, which may go to another thread.
    ///
    /// # Errors
    /// [`NoSeat`](Error::NoSeat); [`Detached`](Error::Detached) when the ring has lost its name; and as
    /// [`Builder::open`].
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { place: self.place.another()? })
    }

    /// Sends a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge); [`Detached`](Error::Detached) when the ring was removed;
    /// [`Disconnected`](Error::Disconnected) if that was [asked for](Builder::require_peer);
    /// [`Corrupt`](Error::Corrupt). Nothing was sent then.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_until(0, message, Deadline::NEVER)
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
        fill(&self.place, tag, message)?;
        self.place.send_now()
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
        fill(&self.place, tag, message)?;
        self.place.send_until(deadline)
    }

    /// Sends messages one after the other, waiting for space as long as it takes, and waking receivers
    /// once for all of them; how many were sent. When one can not be, those before it are, and the next call says why.
    ///
    /// # Errors
    /// As [`send`](Self::send), when the first can not be sent.
    pub fn send_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        self.place.send_each(messages, |place, message| fill(place, 0, message.as_ref()))
    }

    /// Room for a message of up to `length` bytes, to be written in place. It is this sender's own: there is always
    /// one, and space in the ring is looked for when it is [committed](BlockReservation::commit).
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge).
    pub fn reserve(&mut self, length: usize) -> Result<BlockReservation<'_>> {
        fits(&self.place, length)?;
        Ok(BlockReservation { sender: self, length, tag: 0 })
    }

    /// Says that the stream is complete, and leaves. What was sent stays to be received.
    pub fn close(mut self) {
        self.place.close();
    }

    /// Counts a message that the caller discarded because the ring was full.
    pub fn count_dropped(&mut self) {
        self.place.count_dropped();
    }

    /// Messages in the ring that nobody has received, as far as can be seen; others are sending and receiving.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt).
    pub fn len(&self) -> Result<u64> {
        self.place.waiting()
    }

    /// Whether everything sent was received; it may have been untrue a moment ago.
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

    /// What stands against further sends: that the ring is corrupt, was removed, or has lost its name and no receiver
    /// is there; or, if that was [asked for](crate::Builder::require_peer), that all receivers it has met are gone. A
    /// send that finds no space learns of that within a fraction of a second, and any send of a sender that asked for
    /// it within as much, or a few sends; this asks at once. Makes system calls.
    ///
    /// # Errors
    /// [`Disconnected`](Error::Disconnected), told once; [`Detached`](Error::Detached);
    /// [`Corrupt`](Error::Corrupt).
    pub fn check(&mut self) -> Result<()> {
        self.place.check()
    }
}

/// Whether the ring takes messages of this length.
#[inline(always)]
fn fits(place: &Seated, length: usize) -> Result<()> {
    let max = place.blocks().message_bytes();
    if length <= max { Ok(()) } else { Err(Error::TooLarge { length, max }) }
}

/// Writes a message into the block in hand.
#[inline(always)]
fn fill(place: &Seated, tag: u16, message: &[u8]) -> Result<()> {
    place.ours()?;
    fits(place, message.len())?;
    let (block, blocks) = (place.block(), place.blocks());
    blocks.region().copy_in(blocks.payload_offset(block), message)?;
    blocks.seal(block, message.len(), tag)
}

/// Room for one message, written in place. Dropped without a commit, nothing was sent.
///
/// ```
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = &format!("block-reserve-doc-{}", std::process::id());
/// # let mut sender = shm_ring::Sender::create(name)?;
/// let mut space = sender.reserve(1024)?;
/// space.write_at(0, b"header")?;
/// space.write_at(6, b"body")?;
/// space.commit(10)?; // at most 1024
/// # shm_ring::remove_forced(name)
/// # }
/// ```
#[derive(Debug)]
pub struct BlockReservation<'a> {
    sender: &'a mut Sender,
    length: usize,
    tag: u16,
}

impl BlockReservation<'_> {
    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.length
    }

    /// Copies bytes to a place in the message.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) when they leave the reservation; nothing is written then.
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let max = self.length;
        match offset.checked_add(bytes.len()) {
            Some(end) if end <= max => {
                self.sender.place.ours()?;
                let (block, blocks) = (self.sender.place.block(), self.sender.place.blocks());
                Ok(blocks.region().copy_in(blocks.payload_offset(block) + offset, bytes)?)
            }
            end => Err(Error::TooLarge { length: end.unwrap_or(usize::MAX), max }),
        }
    }

    /// Reads from a file, a pipe or a socket straight into the message, from `offset` on up to the end of the room, by
    /// one `read(2)`: how many bytes came, 0 at the end of a file. As
    /// [`Reservation::read_from`](crate::Reservation::read_from).
    ///
    /// # Errors
    /// As there.
    pub fn read_from(&mut self, offset: usize, descriptor: impl AsFd) -> io::Result<usize> {
        let max = self.length;
        if offset > max {
            return Err(io::Error::other(Error::TooLarge { length: offset, max }));
        }
        self.sender.place.ours().map_err(io::Error::other)?;
        let (block, blocks) = (self.sender.place.block(), self.sender.place.blocks());
        let span = Span::new(blocks.payload_offset(block) + offset, max - offset);
        blocks.region().read_from(span, descriptor)
    }

    /// A number of yours beside the message.
    pub fn set_tag(&mut self, tag: u16) {
        self.tag = tag;
    }

    /// The reserved bytes themselves, with whatever earlier messages left in them.
    ///
    /// # Safety
    /// For as long as the slice lives no other process writes these bytes: all participants use this
    /// library, and none of them is buggy. And no other handle of *this* process flushes the ring meanwhile: a flush
    /// may still be reading what was a message in these bytes a moment ago, which it then does not use. (Nobody else
    /// reads them before the commit.)
    #[inline]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let (block, blocks) = (self.sender.place.block(), self.sender.place.blocks());
        let span = Span::new(blocks.payload_offset(block), self.length);
        let start = self.sender.place.ours().and_then(|()| Ok(blocks.region().pointer(span)?));
        match start {
            // SAFETY: the block is in our hand, so no correct participant writes it; it lies in the mapping, which
            // outlives the borrow of the reservation, and that borrow keeps this handle from touching it otherwise.
            // That nobody else writes it, and no flush in this process reads it, is the caller's promise.
            Ok(start) => unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), self.length) },
            Err(_) => &mut [], // a copy in a forked child; blocks lie in the mapping
        }
    }

    /// Sends the first `length` bytes as the message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) when more is asked than was reserved, and as [`Sender::send`]; nothing is sent
    /// then.
    #[inline]
    pub fn commit(self, length: usize) -> Result<()> {
        self.seal(length)?;
        self.sender.place.send_until(Deadline::NEVER)
    }

    /// As [`commit`](Self::commit), if there is space now. When there is not, what was written is still there.
    ///
    /// # Errors
    /// [`Full`](Error::Full), and as [`commit`](Self::commit).
    pub fn try_commit(self, length: usize) -> std::result::Result<(), (Self, Error)> {
        match self.seal(length).and_then(|()| self.sender.place.send_now()) {
            Ok(()) => Ok(()),
            Err(error) => Err((self, error)),
        }
    }

    /// As [`commit`](Self::commit), waiting for space until the deadline. When none came, what was written is still
    /// there.
    ///
    /// # Errors
    /// [`TimedOut`](Error::TimedOut), and as [`commit`](Self::commit).
    pub fn commit_until(self, length: usize, deadline: Deadline) -> std::result::Result<(), (Self, Error)> {
        match self.seal(length).and_then(|()| self.sender.place.send_until(deadline)) {
            Ok(()) => Ok(()),
            Err(error) => Err((self, error)),
        }
    }

    fn seal(&self, length: usize) -> Result<()> {
        self.sender.place.ours()?;
        let max = self.length;
        if length > max {
            return Err(Error::TooLarge { length, max });
        }
        self.sender.place.blocks().seal(self.sender.place.block(), length, self.tag)
    }
}
