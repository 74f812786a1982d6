//! The producer's half of a ring of byte messages.

use super::{CACHE_LINE_BYTES, walk};
use crate::error::{Error, Result};
use crate::layout::spsc::{HEAD_OFFSET, Parts, TAIL_OFFSET};
use crate::ledger::Ledger;
use crate::position::{fits, place, record_bytes};
use crate::record;
use core::ptr::NonNull;
use shm_core::sync::{Ordering, compiler_fence};
use shm_core::{ReadWord, Region, Span, Words};

/// The producer's half.
#[derive(Debug)]
pub(crate) struct Writer {
    words: Words,
    data: Region,
    head: ReadWord<u64>,
    tail: Ledger,
    capacity: u64,
    /// `head` as last seen. It only grows, so what it allows stays allowed.
    seen_head: u64,
    /// The number of our tenure, until its first message is published.
    first_of: Option<u64>,
    staged: Staged,
}

/// Records that are written but not published.
#[derive(Clone, Copy, Debug)]
struct Staged {
    /// The header that publishes them all: where, and what. `None`: nothing is staged.
    first: Option<(u64, u64)>,
    /// Position behind the last of them.
    end: u64,
    messages: u64,
}

impl Writer {
    /// Takes over where the last producer was: behind everything that is published.
    /// `tenure` numbers ours.
    pub(crate) fn resume(parts: &Parts, tenure: u64) -> Result<Self> {
        let words = parts.data.words()?;
        let capacity = parts.data.bytes() as u64;
        let mut tail = Ledger::resume(&parts.producer, TAIL_OFFSET)?;
        let (end, messages) = walk(&words, tail.balance().position, capacity)?;
        if end > tail.balance().position {
            tail.advance(end, messages);
        }
        let head: ReadWord<u64> = parts.consumer.read_word(HEAD_OFFSET)?;
        let seen_head = head.load(Ordering::Acquire); // A4 pairs with R4 R5
        if seen_head > end || end - seen_head > capacity {
            return Err(Error::Corrupt("the consumer's head is not among what was published"));
        }
        let staged = Staged { first: None, end, messages: 0 };
        Ok(Self {
            words,
            data: parts.data.clone(),
            head,
            tail,
            capacity,
            seen_head,
            first_of: Some(tenure),
            staged,
        })
    }

    /// Where the next message goes, if nothing is staged.
    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        self.tail.balance().position
    }

    /// Messages published since the ring's birth.
    #[inline(always)]
    pub(crate) fn sent(&self) -> u64 {
        self.tail.balance().count
    }

    /// Makes room for a message of `length` behind what is staged, and says at which offset of the data
    /// its payload goes. [`Error::Full`] when there is none; `head` is looked at only then.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, length: usize) -> Result<Reserved> {
        // Judged before it is rounded up: a sum could overflow.
        if length as u64 > self.capacity / 2 - record_bytes(0) {
            return Err(self.too_large(length));
        }
        let bytes = record_bytes(length as u64);
        let placement = place(self.staged.end, bytes, self.capacity);
        if !fits(placement.end, self.seen_head, self.capacity) {
            self.look_at_head()?;
            if !fits(placement.end, self.seen_head, self.capacity) {
                return Err(Error::Full);
            }
        }
        Ok(Reserved { pad_bytes: placement.pad_bytes, start: placement.start, length })
    }

    #[cold]
    fn too_large(&self, length: usize) -> Error {
        let max = usize::try_from(self.capacity / 2 - record_bytes(0)).unwrap_or(usize::MAX);
        Error::TooLarge { length, max }
    }

    #[inline(never)]
    fn look_at_head(&mut self) -> Result<()> {
        let head = self.head.load(Ordering::Acquire); // A3 pairs with R4 R5
        // Only forwards, and never beyond what was published: else space that is not free would look so.
        if head < self.seen_head || head > self.position() {
            return Err(Error::Corrupt("the consumer's head moved where it can not be"));
        }
        self.seen_head = head;
        Ok(())
    }

    /// Writes payload into a reservation.
    #[inline(always)]
    pub(crate) fn fill(&self, reserved: &Reserved, offset: usize, bytes: &[u8]) -> Result<()> {
        Ok(self.data.copy_in(self.payload_offset(reserved) + offset, bytes)?)
    }

    /// Reads payload into a reservation from a descriptor, from `offset` on, which lies in it.
    pub(crate) fn read_from(
        &self,
        reserved: &Reserved,
        offset: usize,
        descriptor: impl std::os::fd::AsFd,
    ) -> std::io::Result<usize> {
        let span = Span::new(self.payload_offset(reserved) + offset, reserved.length - offset);
        self.data.read_from(span, descriptor)
    }

    /// Where the payload of a reservation lies in this process.
    #[inline]
    pub(crate) fn payload(&self, reserved: &Reserved) -> Result<NonNull<u8>> {
        Ok(self.data.pointer(Span::new(self.payload_offset(reserved), reserved.length))?)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // masked by the capacity, which fits the address space
    fn payload_offset(&self, reserved: &Reserved) -> usize {
        (reserved.start & (self.capacity - 1)) as usize + record::HEADER
    }

    /// Appends the reservation, of which `length` bytes are used, to what is staged.
    #[inline(always)]
    pub(crate) fn stage(&mut self, reserved: &Reserved, length: usize, tag: u16) -> Result<()> {
        let length = length.min(reserved.length) as u64;
        let first_of = self.first_of.filter(|_| self.staged.messages == 0);
        let header = record::message(length, tag, first_of);
        let before = reserved.start - reserved.pad_bytes;
        match (self.staged.first, reserved.pad_bytes) {
            (None, 0) => self.staged.first = Some((reserved.start, header)),
            (None, pad_bytes) => {
                self.words.store(reserved.start, header, Ordering::Relaxed)?; // published by R3
                self.staged.first = Some((before, record::pad(pad_bytes)));
            }
            (Some(_), pad_bytes) => {
                self.words.store(reserved.start, header, Ordering::Relaxed)?; // published by R3
                if pad_bytes > 0 {
                    self.words.store(before, record::pad(pad_bytes), Ordering::Relaxed)?; // published by R3
                }
            }
        }
        self.staged.end = reserved.start + record_bytes(length);
        self.staged.messages += 1;
        Ok(())
    }

    /// Discards what a batch staged whose handle was dropped or leaked unsent. Every send begins with it.
    #[inline(always)]
    pub(crate) fn forget_batch(&mut self) {
        if self.staged.messages > 0 {
            self.staged = Staged { first: None, end: self.position(), messages: 0 };
        }
    }

    /// Messages staged.
    pub(crate) fn staged(&self) -> u64 {
        self.staged.messages
    }

    /// Sends a message, if it is just a message: nothing is staged, it needs no pad, it is not the first of the
    /// tenure, and there is room as far as is known. Otherwise nothing is done, and `false`.
    ///
    /// The whole of [`reserve`](Self::reserve), [`fill`](Self::fill), [`stage`](Self::stage) and
    /// [`publish`](Self::publish) for most messages, without anything to pass from one to the next.
    #[inline(always)]
    pub(crate) fn send_plainly(&mut self, message: &[u8], tag: u16) -> bool {
        let length = message.len() as u64;
        let plain = self.staged.messages == 0 && self.first_of.is_none();
        if !plain || length > self.capacity / 2 - record_bytes(0) {
            return false;
        }
        let placement = place(self.staged.end, record_bytes(length), self.capacity);
        let reserved = Reserved { pad_bytes: 0, start: placement.start, length: message.len() };
        placement.pad_bytes == 0
            && fits(placement.end, self.seen_head, self.capacity)
            && self.fill(&reserved, 0, message).is_ok()
            && self.words.store(placement.end, 0, Ordering::Relaxed).is_ok() // published by R3
            && self.publish_header(placement.start, record::message(length, tag, None), placement.end, 1).is_ok()
    }

    /// Sends everything that is staged, at once.
    #[inline]
    pub(crate) fn publish(&mut self) -> Result<()> {
        let Staged { first: Some((at, header)), end, messages } = self.staged else {
            return Ok(());
        };
        self.words.store(end, 0, Ordering::Relaxed)?; // published by R3
        self.publish_header(at, header, end, messages)
    }

    /// Sends what is written, the zero at `end` included.
    #[inline(always)]
    fn publish_header(&mut self, at: u64, header: u64, end: u64, messages: u64) -> Result<()> {
        self.words.store(at, header, Ordering::Release)?; // R3 pairs with A5 A6
        // A killed producer leaves a prefix of its compiled stores: the tail never stands ahead of the header.
        compiler_fence(Ordering::SeqCst); // F1 pairs with A6
        self.words.will_write(end + CACHE_LINE_BYTES);
        self.tail.advance(end, messages);
        self.first_of = None;
        self.staged = Staged { first: None, end, messages: 0 };
        Ok(())
    }
}

/// Space for one message, privately noted; nothing shared says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pad_bytes: u64,
    pub(super) start: u64,
    /// Bytes of payload it has room for.
    pub(crate) length: usize,
}
