//! The ring of byte messages. A record's header publishes it, so a small message moves one cache line.
//!
//! # Space
//! The producer writes only where the consumer has released: pads, records and the 8 bytes of the next
//! header lie within `capacity - (position - head)`, checked before anything is written.
//!
//! # Publishing one message or many
//! 1. payloads, and all headers but the first (a pad's header is one);
//! 2. zero in the word behind the last record;
//! 3. the first header: R3. From here on the messages are sent;
//! 4. the ledger of the tail: R2.
//!
//! Killed before 3, nothing was sent, and what was written is garbage behind a zero header. Killed between
//! 3 and 4, the successor finds the published records by walking the headers from the stored tail. A
//! dropped reservation is a kill before 3.
//!
//! # Consuming
//! At most once: first the ledger of the cursor says that the messages are handed out, then they are;
//! `head` follows when they have been looked at. Killed in between, the successor starts behind them.
//! A look that is not to be the last (peek) leaves the ledger alone until it is taken.
//!
//! Whoever has taken everything withholds nothing: `head` is stored when the lag reaches an eighth of
//! the ring *or nothing more is published*, so that an empty ring takes the longest message.
//!
//! The rules and their kills are model-checked; see `docs/crash.md`.

use crate::error::{Error, Result};
use crate::layout::spsc::{CURSOR_OFFSET, HEAD_OFFSET, Parts, RECORD_HEADER_BYTES, TAIL_OFFSET};
use crate::ledger::{self, Ledger, POSITION_MAX};
use crate::position::{fits, place, record_bytes};
use crate::record::{self, Found, Record};
use core::ptr::NonNull;
use shm_core::sync::{Ordering, compiler_fence};
use shm_core::{ReadWord, Region, Span, Word, Words};

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
mod tests;

/// `head` is stored when the consumer is this part of the ring ahead of it.
const RELEASE_PART: u64 = 8;

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
        if messages > 0 || end > tail.balance().position {
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
    pub(crate) fn position(&self) -> u64 {
        self.tail.balance().position
    }

    /// Messages published since the ring's birth.
    pub(crate) fn sent(&self) -> u64 {
        self.tail.balance().count
    }

    /// Makes room for a message of `length` behind what is staged, and says at which offset of the data
    /// its payload goes. [`Error::Full`] when there is none; `head` is looked at only then.
    #[inline]
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
    #[inline]
    pub(crate) fn fill(&self, reserved: &Reserved, offset: usize, bytes: &[u8]) -> Result<()> {
        Ok(self.data.copy_in(self.payload_offset(reserved) + offset, bytes)?)
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
    #[inline]
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

    /// Forgets what is staged; nothing of it was sent.
    pub(crate) fn discard(&mut self) {
        self.staged = Staged { first: None, end: self.position(), messages: 0 };
    }

    /// Discards what a batch staged whose handle was forgotten (leaked).
    #[inline(always)]
    pub(crate) fn forget_batch(&mut self) {
        if self.staged.messages > 0 {
            self.discard();
        }
    }

    /// Messages staged.
    pub(crate) fn staged(&self) -> u64 {
        self.staged.messages
    }

    /// Sends everything that is staged, at once.
    #[inline]
    pub(crate) fn publish(&mut self) -> Result<()> {
        let Staged { first: Some((at, header)), end, messages } = self.staged else {
            return Ok(());
        };
        self.words.store(end, 0, Ordering::Relaxed)?; // published by R3
        self.words.store(at, header, Ordering::Release)?; // R3 pairs with A5 A6
        // A killed producer leaves a prefix of its compiled stores: the tail never stands ahead of the header.
        compiler_fence(Ordering::SeqCst); // F1 pairs with A6
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
    start: u64,
    /// Bytes of payload it has room for.
    pub(crate) length: usize,
}

/// The consumer's half.
#[derive(Debug)]
pub(crate) struct Reader {
    words: Words,
    data: Region,
    head: Word<u64>,
    cursor: Ledger,
    capacity: u64,
    /// Up to here records have been looked at; at or beyond the cursor.
    looked: u64,
    /// `head` as stored.
    released: u64,
    /// Where the published records ended when we came: a tenure that begins before this began before us.
    came_at: u64,
}

impl Reader {
    /// Takes over where the last consumer was: behind everything it was handed.
    pub(crate) fn resume(parts: &Parts) -> Result<Self> {
        let cursor = Ledger::resume(&parts.consumer, CURSOR_OFFSET)?;
        let head: Word<u64> = parts.consumer.word(HEAD_OFFSET)?;
        let at = cursor.balance().position;
        let stored = head.load(Ordering::Relaxed); // its last writer let go of the seat we hold
        if stored > at {
            return Err(Error::Corrupt("the consumer's head is ahead of its cursor"));
        }
        // The tail lags behind what was published by less than the ring, and is never further ahead of the cursor.
        let capacity = parts.data.bytes() as u64;
        let tail = ledger::read(&parts.producer, TAIL_OFFSET)?.position;
        if at > tail + capacity || tail > at + capacity {
            return Err(Error::Corrupt("the consumer's cursor is not among what was published"));
        }
        head.store(at, Ordering::Release); // R4 pairs with A3 A4
        Ok(Self {
            words: parts.data.words()?,
            data: parts.data.clone(),
            head,
            cursor,
            capacity,
            looked: at,
            released: at,
            came_at: tail,
        })
    }

    /// Position behind the last message handed out.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.balance().position
    }

    /// Messages handed out since the ring's birth.
    pub(crate) fn received(&self) -> u64 {
        self.cursor.balance().count
    }

    /// The next message behind those that were looked at. `None` if nothing more is published.
    #[inline]
    pub(crate) fn peek(&self) -> Result<Option<Record>> {
        let word = self.words.load(self.looked, Ordering::Acquire); // A5 pairs with R3
        match record::decode(word, self.looked, self.capacity)? {
            Found::Message(record) => self.within_the_ring(record),
            Found::Nothing => Ok(None),
            Found::Pad(next) => self.behind_pad(next),
        }
    }

    /// Whoever publishes leaves room for the next header before what is not released. So nobody can be led around the
    /// ring again and again, however many messages it asks for at once.
    #[inline(always)]
    fn within_the_ring(&self, record: Record) -> Result<Option<Record>> {
        if record.end + RECORD_HEADER_BYTES - self.released > self.capacity {
            return Err(Error::Corrupt("published records run around the whole ring"));
        }
        Ok(Some(record))
    }

    /// For the first message of a tenure that began after we came: the tenure's number modulo 64.
    #[inline]
    pub(crate) fn new_tenure(&self, record: &Record) -> Option<u8> {
        record.first_of.filter(|_| record.start >= self.came_at)
    }

    /// Notes that a message was looked at: the next look goes behind it.
    #[inline]
    pub(crate) fn accept(&mut self, record: &Record) {
        self.looked = record.end;
    }

    /// A pad is published together with the message behind it, so what follows one is a message.
    #[inline(never)]
    fn behind_pad(&self, next: u64) -> Result<Option<Record>> {
        let word = self.words.load(next, Ordering::Relaxed); // published by R3, seen by A5
        match record::decode(word, next, self.capacity)? {
            Found::Message(record) => self.within_the_ring(record),
            _ => Err(Error::Corrupt("a pad is not followed by a message")),
        }
    }

    /// Looks again from the cursor on: what was looked at and not taken comes again.
    pub(crate) fn look_back(&mut self) {
        self.looked = self.position();
    }

    /// Records that `messages` up to `end` are handed out.
    #[inline]
    pub(crate) fn take(&mut self, end: u64, messages: u64) {
        self.cursor.advance(end, messages); // ends with F2: nothing is handed out before it
    }

    /// Gives space back up to the cursor, if there is reason to; `true` if it did.
    #[inline]
    pub(crate) fn release(&mut self) -> bool {
        let at = self.position();
        let lag = at - self.released;
        if lag == 0 {
            return false;
        }
        let more_waits = self.words.load(at, Ordering::Relaxed) != 0; // a hint: it decides nothing but when
        if more_waits && lag < self.capacity / RELEASE_PART {
            return false;
        }
        self.release_all();
        true
    }

    /// Gives all space up to the cursor back. Nobody looks at what lies there any more: the loads of the
    /// payload are ordered before R5.
    pub(crate) fn release_all(&mut self) {
        self.released = self.position();
        self.head.store(self.released, Ordering::Release); // R5 pairs with A3 A4
    }

    /// The data, for looking at payloads.
    #[inline]
    pub(crate) fn data(&self) -> &Region {
        &self.data
    }

    /// Where in the data a record's payload lies.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // masked by the capacity, which fits the address space
    pub(crate) fn payload_offset(&self, record: &Record) -> usize {
        (record.start & (self.capacity - 1)) as usize + record::HEADER
    }
}

/// Walks the published records from `position` on: where they end, and how many messages they hold.
/// Never more than one capacity of them.
pub(crate) fn walk(words: &Words, position: u64, capacity: u64) -> Result<(u64, u64)> {
    let (mut at, mut messages) = (position, 0);
    if position > POSITION_MAX {
        return Err(Error::Corrupt("a stored position is impossible"));
    }
    loop {
        let word = words.load(at, Ordering::Acquire); // A6 pairs with R3 F1
        match record::decode(word, at, capacity)? {
            Found::Nothing => return Ok((at, messages)),
            Found::Pad(next) => at = next,
            Found::Message(record) => (at, messages) = (record.end, messages + 1),
        }
        if at - position > capacity {
            return Err(Error::Corrupt("published records run around the whole ring"));
        }
    }
}
