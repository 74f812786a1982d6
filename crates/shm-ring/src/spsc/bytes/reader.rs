//! The consumer's half of a ring of byte messages.

use super::CACHE_LINE_BYTES;
use crate::error::{Error, Result};
use crate::layout::spsc::{CURSOR_OFFSET, HEAD_OFFSET, Parts, RECORD_HEADER_BYTES, TAIL_OFFSET};
use crate::ledger::{self, Ledger};
use crate::record::{self, Found, Record};
use shm_core::sync::Ordering;
use shm_core::{Region, Word, Words};

/// `head` is stored when the consumer is this part of the ring ahead of it.
const RELEASE_PART: u64 = 8;

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
    /// Bytes of the last record that was looked at.
    last_bytes: u64,
    /// `head` as stored.
    released: u64,
    /// Nothing was there before the message that comes next, and likely nothing is behind it.
    was_drained: bool,
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
            last_bytes: 0,
            released: at,
            was_drained: false,
            came_at: tail,
        })
    }

    /// Position behind the last message handed out.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.balance().position
    }

    /// Messages handed out since the ring's birth.
    #[inline(always)]
    pub(crate) fn received(&self) -> u64 {
        self.cursor.balance().count
    }

    /// The word at which the next header will be, or is.
    #[inline(always)]
    fn next_header(&self) -> u64 {
        self.words.load(self.looked, Ordering::Acquire) // A5 pairs with R3
    }

    /// Before a look at a header that is waited for. A message as long as the last one that ends on the next line can
    /// come with both lines at a time. (A longer one is still being written there, and the line would only be taken
    /// away.)
    #[inline(always)]
    pub(crate) fn will_read_further(&self) {
        let end_on_line = self.looked % CACHE_LINE_BYTES + self.last_bytes;
        if end_on_line > CACHE_LINE_BYTES && end_on_line <= 2 * CACHE_LINE_BYTES {
            self.words.will_read(self.looked + CACHE_LINE_BYTES);
        }
    }

    /// The next message, if it is there and is just a message. Whatever else may be the case,
    /// [`peek`](Self::peek) says.
    #[inline(always)]
    pub(crate) fn glance(&self) -> Option<Record> {
        let record = record::plain(self.next_header(), self.looked, self.capacity)?;
        self.is_within_the_ring(record).then_some(record)
    }

    /// The next message behind those that were looked at. `None` if nothing more is published.
    pub(crate) fn peek(&self) -> Result<Option<Record>> {
        match record::decode(self.next_header(), self.looked, self.capacity)? {
            Found::Message(record) => self.within_the_ring(record),
            Found::Nothing => Ok(None),
            Found::Pad(next) => self.behind_pad(next),
        }
    }

    /// Whoever publishes leaves room for the next header before what is not released. So nobody can be led around the
    /// ring again and again, however many messages it asks for at once.
    #[inline(always)]
    fn is_within_the_ring(&self, record: Record) -> bool {
        record.end() + RECORD_HEADER_BYTES - self.released <= self.capacity
    }

    fn within_the_ring(&self, record: Record) -> Result<Option<Record>> {
        if !self.is_within_the_ring(record) {
            return Err(Error::Corrupt("published records run around the whole ring"));
        }
        Ok(Some(record))
    }

    /// For the first message of a tenure that began after we came: the tenure's number modulo 64.
    #[inline(always)]
    pub(crate) fn new_tenure(&self, record: &Record) -> Option<u8> {
        record.first_of().filter(|_| record.start >= self.came_at)
    }

    /// Whether nothing is published behind what was looked at, as far as is seen.
    #[inline(always)]
    pub(crate) fn is_drained(&self) -> bool {
        self.words.load(self.looked, Ordering::Relaxed) == 0 // a hint: a look at it follows, if it matters
    }

    /// Whether nothing is published behind what was handed out.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        let at = self.position();
        let word = self.words.load(at, Ordering::Relaxed); // nothing is read because of it
        Ok(record::decode(word, at, self.capacity)? == Found::Nothing)
    }

    /// Notes that nothing is published behind what was handed out.
    pub(crate) fn note_drained(&mut self) {
        self.was_drained = true;
    }

    /// Notes that a message was looked at: the next look goes behind it.
    #[inline(always)]
    pub(crate) fn accept(&mut self, record: &Record) {
        self.looked = record.end();
        self.last_bytes = record.end() - record.start;
    }

    /// A pad is published together with the message behind it, so what follows one is a message.
    fn behind_pad(&self, next: u64) -> Result<Option<Record>> {
        let word = self.words.load(next, Ordering::Relaxed); // published by R3, seen by A5
        match record::decode(word, next, self.capacity)? {
            Found::Message(record) => self.within_the_ring(record),
            _ => Err(Error::Corrupt("a pad is not followed by a message")),
        }
    }

    /// Looks again from the cursor on: what was looked at and not taken comes again.
    #[inline(always)]
    pub(crate) fn look_back(&mut self) {
        self.looked = self.position();
    }

    /// Records that `messages` up to `end` are handed out.
    #[inline(always)]
    pub(crate) fn take(&mut self, end: u64, messages: u64) {
        self.cursor.advance(end, messages); // ends with F2: nothing is handed out before it
    }

    /// Gives space back up to the cursor, if there is reason to; `true` if it did.
    #[inline(always)]
    pub(crate) fn release(&mut self) -> bool {
        let at = self.position();
        let lag = at - self.released;
        if lag == 0 {
            return false;
        }
        // The next header is looked at only if nothing else decides: where messages are answered one by one, its line
        // is still the producer's, and the answer would wait for it.
        let likely_drained = core::mem::take(&mut self.was_drained);
        if lag < self.capacity / RELEASE_PART && !likely_drained && self.more_waits(at) {
            return false;
        }
        self.release_all();
        true
    }

    #[inline(always)]
    fn more_waits(&self, at: u64) -> bool {
        self.words.load(at, Ordering::Relaxed) != 0 // a hint: it decides nothing but when
    }

    /// Gives all space up to the cursor back. Nobody looks at what lies there any more: the loads of the
    /// payload are ordered before R5.
    #[inline(always)]
    pub(crate) fn release_all(&mut self) {
        self.released = self.position();
        self.head.store(self.released, Ordering::Release); // R5 pairs with A3 A4
    }

    /// The data, for looking at payloads.
    #[inline(always)]
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
